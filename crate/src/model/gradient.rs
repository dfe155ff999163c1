//! Gradients of LoRA branches, and the linear layers' part of the backward pass. The base gets no
//! gradient; quantisation counts as the identity.

use std::collections::BTreeMap;

use super::linear::{Activations, Context, Linear, LoraBranches, product};
use super::{Control, ExampleLoss, LinearId, ModelError, Precision};
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

/// LoRA matrices that have no part in a composition, of which the gradient at 0 is computed.
#[derive(Debug)]
pub struct LoraCandidates {
    precision: Precision,
    layers: BTreeMap<LinearId, CandidateLayer>,
}

/// One layer's matrices, one candidate after another.
#[derive(Debug)]
pub(crate) struct CandidateLayer {
    /// A, `[rank, d_in]`.
    lora_a: Linear,
    /// Bᵀ, `[rank, d_out]`.
    lora_b: Linear,
}

impl CandidateLayer {
    /// A `[rank, d_in]` and Bᵀ `[rank, d_out]`, row-major.
    pub(crate) fn new(lora_a: &[f32], lora_b: &[f32], rank: usize, precision: Precision) -> Self {
        let [lora_a, lora_b] = [lora_a, lora_b]
            .map(|matrix| Linear::new(matrix, [rank, matrix.len() / rank.max(1)], precision));
        Self { lora_a, lora_b }
    }
}

impl LoraCandidates {
    /// The candidates of these layers, each packed for `precision`.
    pub(crate) fn new(precision: Precision, layers: BTreeMap<LinearId, CandidateLayer>) -> Self {
        Self { precision, layers }
    }

    /// The precision that the matrices are packed for.
    pub fn precision(&self) -> Precision {
        self.precision
    }
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
        control: &Control,
    ) -> Result<Gradients, ModelError>;

    /// The gradient of the mean of the examples' losses with respect to a factor of each rank of the
    /// candidates at 0, beside the LoRA branches: `[rank]` of every layer.
    ///
    /// # Errors
    /// As [`GradientBatch::gradients`].
    fn candidate_gradients(
        &self,
        branches: &LoraBranches,
        candidates: &LoraCandidates,
        control: &Control,
    ) -> Result<BTreeMap<LinearId, Vec<f32>>, ModelError>;
}

/// What gets gradients.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// The LoRA branches.
    Branches(WithRespectTo),
    /// Candidates beside them.
    Candidates(&'a LoraCandidates),
}

/// A backward pass over linear layers.
pub(super) struct Backward<'a> {
    pub(super) context: Context<'a>,
    /// The base's weights `[d_in, d_out]`.
    layers: &'a BTreeMap<LinearId, Linear>,
    /// A `[d_in, rank]` and B `[rank, d_out]` of the branches in use.
    branches: BTreeMap<LinearId, [Linear; 2]>,
    wanted: Wanted<'a>,
    pub(super) gradients: BTreeMap<LinearId, BranchGradient>,
}

impl<'a> Backward<'a> {
    /// A pass over layers of these transposed weights, with the context's LoRA branches.
    pub(super) fn new(
        context: Context<'a>,
        layers: &'a BTreeMap<LinearId, Linear>,
        wanted: Wanted<'a>,
    ) -> Self {
        let branches = context.branches().map(|(id, branch)| {
            let transposed = [&branch.lora_a, &branch.lora_b].map(Linear::transposed);
            (id, transposed)
        });
        let branches = branches.collect();
        Self { context, layers, branches, wanted, gradients: BTreeMap::new() }
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

    /// Computes the gradients that are wanted of a layer from its input rows and the gradient of its
    /// output rows.
    pub(super) fn branch_gradient(&mut self, id: LinearId, input: &[f32], gradient: &[f32]) {
        let result = match self.wanted {
            Wanted::Candidates(candidates) => {
                let Some(CandidateLayer { lora_a, lora_b }) = candidates.layers.get(&id) else {
                    return;
                };
                let Reduced { scales, .. } = self.reduce(id, lora_a, lora_b, input, gradient);
                BranchGradient { scales, ..BranchGradient::default() }
            }
            Wanted::Branches(with_respect_to) => {
                let (Some([_, transposed_b]), Some(branch)) =
                    (self.branches.get(&id), self.context.branch(id))
                else {
                    return;
                };
                let (context, rank) = (self.context, branch.scales.len());
                let Reduced { mut input_by_a, mut gradient_by_b, scales } =
                    self.reduce(id, &branch.lora_a, transposed_b, input, gradient);
                let mut result = BranchGradient { scales, ..BranchGradient::default() };
                if with_respect_to.lora_b {
                    scale_columns(context.isa, &mut input_by_a, &branch.scales);
                    let by_rank = outer_product(context, &input_by_a, rank, gradient);
                    result.lora_b = transposed(&by_rank, branch.lora_b.d_out());
                }
                if with_respect_to.lora_a {
                    scale_columns(context.isa, &mut gradient_by_b, &branch.scales);
                    result.lora_a = outer_product(context, &gradient_by_b, rank, input);
                }
                result
            }
        };
        self.gradients.insert(id, result);
    }

    /// Of `y = B · (scales ⊙ (A · x))`: `A · x`, `Bᵀ · ∂y`, and from both the gradient of the scales.
    fn reduce(
        &self,
        id: LinearId,
        lora_a: &Linear,
        transposed_b: &Linear,
        input: &[f32],
        gradient: &[f32],
    ) -> Reduced {
        let (context, rank) = (self.context, lora_a.d_out());
        let (rows, int14) = (input.len() / lora_a.d_in(), context.uses_int14(id));
        let reduce = |x: &[f32], by: &Linear| {
            let x = Activations::new(context, x, by.d_in(), int14);
            let mut reduced = Scratch::new(rows * rank);
            product(context.isa, &[(&x, by)], int14, rows, Store::Replace, &mut reduced);
            reduced
        };
        let (input_by_a, gradient_by_b) = (reduce(input, lora_a), reduce(gradient, transposed_b));
        let mut scales = vec![0.0f64; rank];
        for (a, b) in input_by_a.chunks_exact(rank).zip(gradient_by_b.chunks_exact(rank)) {
            for ((sum, &a), &b) in scales.iter_mut().zip(a).zip(b) {
                *sum += f64::from(a) * f64::from(b);
            }
        }
        let scales = scales.into_iter().map(|sum| sum as f32).collect();
        Reduced { input_by_a, gradient_by_b, scales }
    }
}

/// What the gradients of a layer's LoRA matrices are made of.
struct Reduced {
    /// `[rows, rank]`.
    input_by_a: Scratch<f32>,
    /// `[rows, rank]`.
    gradient_by_b: Scratch<f32>,
    /// The gradient of the scales, `[rank]`.
    scales: Vec<f32>,
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
