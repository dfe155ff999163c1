//! Gradients of LoRA branches, and the linear layers' part of the backward pass. The base gets no
//! gradient; quantisation counts as the identity.

use std::collections::BTreeMap;

use super::linear::{Activations, Context, Linear, LoraBranches, product};
use super::{ExampleLoss, LinearId, ModelError};
use crate::kernels::cpu::{Operand, PackedF32, Store, product_f32, scale_columns, transposed};
use crate::kernels::scratch::Scratch;

/// Which matrices of the LoRA branches get gradients; their scales always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WithRespectTo {
    /// A of every branch.
    pub lora_a: bool,
    /// B of every branch.
    pub lora_b: bool,
}

/// The gradient of one layer's LoRA branch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BranchGradient {
    /// `[rank, d_in]`; empty where it was not asked for.
    pub lora_a: Vec<f32>,
    /// `[d_out, rank]`; empty where it was not asked for.
    pub lora_b: Vec<f32>,
    /// `[rank]`.
    pub scales: Vec<f32>,
}

/// The losses of a batch, and the gradient of their mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// Each example's loss.
    pub losses: Vec<ExampleLoss>,
    /// Of every branch with a scale other than 0.
    pub branches: BTreeMap<LinearId, BranchGradient>,
}

/// A batch whose gradients can be computed for any LoRA branches.
pub trait GradientBatch: std::fmt::Debug + Send + Sync {
    /// The gradient of the mean of the examples' losses with respect to the LoRA branches.
    ///
    /// # Errors
    /// [`ModelError::BranchPrecision`] and [`ModelError::Cancelled`].
    fn gradients(
        &self,
        branches: &LoraBranches,
        with_respect_to: WithRespectTo,
        control: &super::Control,
    ) -> Result<Gradients, ModelError>;
}

/// A backward pass over linear layers.
pub(super) struct Backward<'a> {
    pub(super) context: Context<'a>,
    /// The base's weights `[d_in, d_out]`.
    layers: &'a BTreeMap<LinearId, Linear>,
    /// A `[d_in, rank]` and B `[rank, d_out]` of the branches in use.
    branches: BTreeMap<LinearId, [Linear; 2]>,
    with_respect_to: WithRespectTo,
    pub(super) gradients: BTreeMap<LinearId, BranchGradient>,
}

impl<'a> Backward<'a> {
    /// A pass over layers of these transposed weights, with the context's LoRA branches.
    pub(super) fn new(
        context: Context<'a>,
        layers: &'a BTreeMap<LinearId, Linear>,
        with_respect_to: WithRespectTo,
    ) -> Self {
        let branches = context.branches().map(|(id, branch)| {
            let transposed = [&branch.lora_a, &branch.lora_b].map(Linear::transposed);
            (id, transposed)
        });
        let branches = branches.collect();
        Self { context, layers, branches, with_respect_to, gradients: BTreeMap::new() }
    }

    /// The gradient of a layer's input rows, `[rows, d_in]`, given that of its output rows. A layer
    /// whose input needs no gradient has no transposed weights.
    pub(super) fn input_gradient(
        &self,
        id: LinearId,
        gradient: &[f32],
        how: Store,
        out: &mut [f32],
    ) {
        let Some(layer) = self.layers.get(&id) else { return };
        let Context { isa, .. } = self.context;
        let (int14, d_out) = (self.context.uses_int14(id), layer.d_in());
        let rows = gradient.len() / d_out;
        let gradient = Activations::new(self.context, gradient, d_out, int14);
        let Some([lora_a, lora_b]) = self.branches.get(&id) else {
            return product(isa, &[(&gradient, layer)], int14, rows, how, out);
        };
        let rank = lora_b.d_out();
        let mut reduced = Scratch::new(rows * rank);
        product(isa, &[(&gradient, lora_b)], int14, rows, Store::Replace, &mut reduced);
        if let Some(branch) = self.context.branch(id) {
            scale_columns(isa, &mut reduced, &branch.scales);
        }
        let reduced = Activations::new(self.context, &reduced, rank, int14);
        product(isa, &[(&gradient, layer), (&reduced, lora_a)], int14, rows, how, out);
    }

    /// Computes the gradient of a layer's LoRA branch from the layer's input rows and the gradient of
    /// its output rows.
    pub(super) fn branch_gradient(&mut self, id: LinearId, input: &[f32], gradient: &[f32]) {
        let (Some([_, transposed_b]), Some(branch)) =
            (self.branches.get(&id), self.context.branch(id))
        else {
            return;
        };
        let (context, rank) = (self.context, branch.scales.len());
        let (d_in, d_out) = (branch.lora_a.d_in(), branch.lora_b.d_out());
        let (rows, int14) = (input.len() / d_in, context.uses_int14(id));
        let reduce = |x: &[f32], width: usize, by: &Linear| {
            let x = Activations::new(context, x, width, int14);
            let mut reduced = Scratch::new(rows * rank);
            product(context.isa, &[(&x, by)], int14, rows, Store::Replace, &mut reduced);
            reduced
        };
        // Of y = B · (scales ⊙ (A · x)): A · x and Bᵀ · ∂y.
        let mut reduced = reduce(input, d_in, &branch.lora_a);
        let mut expanded = reduce(gradient, d_out, transposed_b);
        let mut scales = vec![0.0f64; rank];
        for (reduced, expanded) in reduced.chunks_exact(rank).zip(expanded.chunks_exact(rank)) {
            for ((sum, &a), &b) in scales.iter_mut().zip(reduced).zip(expanded) {
                *sum += f64::from(a) * f64::from(b);
            }
        }
        let mut result = BranchGradient {
            scales: scales.into_iter().map(|sum| sum as f32).collect(),
            ..BranchGradient::default()
        };
        if self.with_respect_to.lora_b {
            scale_columns(context.isa, &mut reduced, &branch.scales);
            let by_rank = outer_product(context, &reduced, rank, gradient);
            result.lora_b = transposed(&by_rank, d_out);
        }
        if self.with_respect_to.lora_a {
            scale_columns(context.isa, &mut expanded, &branch.scales);
            result.lora_a = outer_product(context, &expanded, rank, input);
        }
        self.gradients.insert(id, result);
    }
}

/// `xᵀ · y` of rows `[rows, rank]` and `[rows, width]`: `[rank, width]`, summed in the rows' order.
fn outer_product(context: Context<'_>, x: &[f32], rank: usize, y: &[f32]) -> Vec<f32> {
    let rows = x.len() / rank;
    let width = y.len() / rows.max(1);
    let mut packed = PackedF32::zeros(width, rows);
    for (row, values) in y.chunks_exact(width).enumerate() {
        packed.set_row(row, values);
    }
    let by_rank = transposed(x, rank);
    let mut out = vec![0.0; rank * width];
    let by_rank = Operand::dense(&by_rank, rows);
    product_f32(context.isa, by_rank, rank, &packed, Store::Replace, &mut out);
    out
}
