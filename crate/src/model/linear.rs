//! Linear layers: the base's product, and the LoRA branch that is added to it.

use std::collections::BTreeMap;

use bytemuck::{cast_slice, cast_slice_mut};
use half::f16;
use serde::{Deserialize, Serialize};

use crate::choices::Choices;
use crate::kernels::cpu::{
    Isa, Operand, PackedF32, PackedInt8, QuantizedRows, Store, Term, norm_rows, product_f32,
    product_int8, quantize_rows, rms_norm, scale_columns,
};
use crate::kernels::scratch::Scratch;
use crate::model::{LinearId, LinearKind, Stack};

/// What the base model's products are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Exact.
    F32,
    /// Weights in 8 bits, activations in 7 or 14; everything else in f32.
    #[default]
    Int8,
}

impl Choices for Precision {
    const ALL: &'static [Self] = &[Self::F32, Self::Int8];

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::F32 => ("f32", "Exact, four times as large."),
            Self::Int8 => ("int8", "The base's weights in 8 bits."),
        }
    }
}

impl Precision {
    /// Whether the products are those of 8-bit integers, not of f32.
    pub(crate) fn is_quantized(self) -> bool {
        match self {
            Precision::F32 => false,
            Precision::Int8 => true,
        }
    }

    /// Bytes of a weight of a [`Linear`].
    pub(crate) fn weight_bytes(self) -> usize {
        match self {
            Precision::F32 => size_of::<f32>(),
            Precision::Int8 => size_of::<i8>(),
        }
    }

    /// Bytes of a value of an [`Embedding`] that is not tied to `lm_head`.
    pub(super) fn embedding_bytes(self) -> usize {
        match self {
            Precision::F32 => size_of::<f32>(),
            Precision::Int8 => size_of::<f16>(),
        }
    }
}

/// A weight matrix `[d_out, d_in]`, packed for its precision.
#[derive(Debug, Clone)]
pub(super) enum Linear {
    F32(PackedF32),
    Int8(PackedInt8),
}

impl Linear {
    pub(super) fn new(weights: &[f32], [d_out, d_in]: [usize; 2], precision: Precision) -> Self {
        match precision {
            Precision::F32 => Linear::F32(PackedF32::new(weights, d_out, d_in)),
            Precision::Int8 => Linear::Int8(PackedInt8::quantize(weights, d_out, d_in)),
        }
    }

    /// A matrix of zeros.
    pub(super) fn zeros([d_out, d_in]: [usize; 2], precision: Precision) -> Self {
        match precision {
            Precision::F32 => Linear::F32(PackedF32::zeros(d_out, d_in)),
            Precision::Int8 => Linear::Int8(PackedInt8::zeros(d_out, d_in)),
        }
    }

    /// Packs the weights of the outputs from `first` on, `[rows, d_in]`.
    pub(super) fn set_rows(&mut self, first: usize, rows: &[f32]) {
        match self {
            Linear::F32(packed) => {
                for (column, row) in (first..).zip(rows.chunks_exact(packed.depth().max(1))) {
                    packed.set_column(column, 0, row);
                }
            }
            Linear::Int8(packed) => packed.quantize_columns(first, rows),
        }
    }

    /// The packed weights where they are in 8 bits.
    #[cfg(feature = "gpu")]
    pub(super) fn as_int8(&self) -> Option<&PackedInt8> {
        match self {
            Linear::F32(_) => None,
            Linear::Int8(packed) => Some(packed),
        }
    }

    /// Writes the weights of one output, `[d_in]`, to `out`.
    pub(super) fn read_row(&self, index: usize, out: &mut [f32]) {
        match self {
            Linear::F32(packed) => packed.read_column(index, out),
            Linear::Int8(packed) => packed.read_column(index, out),
        }
    }

    /// The packed bytes.
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        match self {
            Linear::F32(packed) => packed.parts().into(),
            Linear::Int8(packed) => packed.parts().into(),
        }
    }

    /// [`Linear::parts`], to be written.
    pub(super) fn parts_mut(&mut self) -> Vec<&mut [u8]> {
        match self {
            Linear::F32(packed) => packed.parts_mut().into(),
            Linear::Int8(packed) => packed.parts_mut().into(),
        }
    }

    /// The matrix of the transposed weights, `[d_in, d_out]`; those in 8 bits are quantised again.
    pub(super) fn transposed(&self) -> Self {
        /// Columns that are gathered together, so that each row is read a few times only.
        const COLUMNS: usize = 32;
        let (d_out, d_in) = (self.d_out(), self.d_in());
        let mut transposed = match self {
            Linear::F32(_) => Linear::zeros([d_in, d_out], Precision::F32),
            Linear::Int8(_) => Linear::zeros([d_in, d_out], Precision::Int8),
        };
        let mut rows = vec![0.0; d_out * d_in];
        for (index, row) in rows.chunks_exact_mut(d_in.max(1)).enumerate() {
            self.read_row(index, row);
        }
        for first in (0..d_in).step_by(COLUMNS) {
            let count = COLUMNS.min(d_in - first);
            let mut columns = vec![0.0; count * d_out];
            for (index, row) in rows.chunks_exact(d_in).enumerate() {
                for (column, &value) in row[first..first + count].iter().enumerate() {
                    columns[column * d_out + index] = value;
                }
            }
            transposed.set_rows(first, &columns);
        }
        transposed
    }

    pub(super) fn d_in(&self) -> usize {
        match self {
            Linear::F32(packed) => packed.depth(),
            Linear::Int8(packed) => packed.depth(),
        }
    }

    pub(super) fn d_out(&self) -> usize {
        match self {
            Linear::F32(packed) => packed.columns(),
            Linear::Int8(packed) => packed.columns(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Linear::F32(packed) => packed.bytes(),
            Linear::Int8(packed) => packed.bytes(),
        }
    }
}

/// The embedding, `[vocab_size, d_model]`.
#[derive(Debug, Clone)]
pub(super) enum Embedding {
    F32(Vec<f32>),
    /// For [`Precision::Int8`]: only a few rows are read, so precision costs no time here.
    F16(Vec<f16>),
    /// Tied to `lm_head`, whose rows are read.
    Tied,
}

impl Embedding {
    /// An embedding of `values` zeros that is not tied to `lm_head`.
    pub(super) fn zeros(values: usize, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Embedding::F32(vec![0.0; values]),
            Precision::Int8 => Embedding::F16(vec![f16::ZERO; values]),
        }
    }

    /// Sets the rows from `first` on, `[rows, width]`.
    pub(super) fn set_rows(&mut self, first: usize, width: usize, rows: &[f32]) {
        let range = first * width..first * width + rows.len();
        match self {
            Embedding::F32(values) => values[range].copy_from_slice(rows),
            Embedding::F16(values) => {
                values[range].iter_mut().zip(rows).for_each(|(value, row)| *value = to_f16(row));
            }
            Embedding::Tied => {}
        }
    }

    /// Writes the embedding of a token, `[d_model]`, to `out`.
    pub(super) fn read_row(&self, lm_head: &Linear, token: usize, out: &mut [f32]) {
        let range = token * out.len()..(token + 1) * out.len();
        match self {
            Embedding::F32(values) => out.copy_from_slice(&values[range]),
            Embedding::F16(values) => {
                out.iter_mut().zip(&values[range]).for_each(|(out, value)| *out = value.to_f32());
            }
            Embedding::Tied => lm_head.read_row(token, out),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Embedding::F32(values) => size_of_val(&**values),
            Embedding::F16(values) => size_of_val(&**values),
            Embedding::Tied => 0,
        }
    }

    /// The bytes.
    pub(super) fn part(&self) -> &[u8] {
        match self {
            Embedding::F32(values) => cast_slice(values),
            Embedding::F16(values) => cast_slice(values),
            Embedding::Tied => &[],
        }
    }

    /// [`Embedding::part`], to be written.
    pub(super) fn part_mut(&mut self) -> &mut [u8] {
        match self {
            Embedding::F32(values) => cast_slice_mut(values),
            Embedding::F16(values) => cast_slice_mut(values),
            Embedding::Tied => &mut [],
        }
    }
}

/// The nearest number in half precision; one beyond its range becomes its largest.
fn to_f16(value: &f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// Largest `d_model` at which every layer takes 14-bit activations: narrow models are sensitive to
/// coarse ones. On the demo library 7 bits change 3 % of the outputs, 14 bits half as many, and the
/// products are small.
const NARROW: usize = 256;

/// Rows of activations, in the form that the precision needs.
#[derive(Debug)]
pub(super) enum Activations {
    /// `[rows, width]`, and the width.
    F32(Scratch<f32>, usize),
    Int8(QuantizedRows),
}

impl Activations {
    /// Rows `[rows, width]`; with `int14`, for layers of which some take 14-bit activations.
    pub(super) fn new(context: Context<'_>, values: &[f32], width: usize, int14: bool) -> Self {
        match context.precision {
            Precision::F32 => {
                let mut copy = Scratch::new(values.len());
                copy.copy_from_slice(values);
                Activations::F32(copy, width)
            }
            Precision::Int8 => {
                let count = values.len() / width.max(1);
                let mut rows = if int14 {
                    QuantizedRows::with_int14(context.isa, count, width)
                } else {
                    QuantizedRows::new(count, width)
                };
                quantize_rows(context.isa, values, &mut rows);
                Activations::Int8(rows)
            }
        }
    }

    /// T5's norm of rows `[rows, weight.len()]`, times `factor`.
    pub(super) fn normed(
        context: Context<'_>,
        epsilon: f32,
        weight: &[f32],
        factor: f32,
        x: &[f32],
        int14: bool,
    ) -> Self {
        if context.precision.is_quantized() && !int14 {
            let mut rows = QuantizedRows::new(x.len() / weight.len().max(1), weight.len());
            norm_rows(context.isa, x, weight, epsilon, factor, &mut rows);
            return Activations::Int8(rows);
        }
        let mut normed = Scratch::new(x.len());
        rms_norm(context.isa, x, weight, epsilon, factor, &mut normed);
        match context.precision {
            Precision::F32 => Activations::F32(normed, weight.len()),
            Precision::Int8 => Self::new(context, &normed, weight.len(), int14),
        }
    }
}

/// The low-rank branch of one linear layer: `y += B · (scales ⊙ (A · x))`.
#[derive(Debug, Clone)]
pub struct LoraBranch {
    /// A, `[rank, d_in]`.
    pub(super) lora_a: Linear,
    /// B, `[d_out, rank]`.
    pub(super) lora_b: Linear,
    /// `[rank]`, apart from A and B so that other weights of the modules need no packing.
    pub(super) scales: Vec<f32>,
}

impl LoraBranch {
    /// A branch of A `[rank, d_in]` and B `[d_out, rank]`, row-major, with one scale per rank.
    pub(crate) fn new(
        lora_a: &[f32],
        lora_b: &[f32],
        scales: Vec<f32>,
        precision: Precision,
    ) -> Self {
        let rank = scales.len();
        let [d_in, d_out] = [lora_a, lora_b].map(|matrix| matrix.len() / rank.max(1));
        Self {
            lora_a: Linear::new(lora_a, [rank, d_in], precision),
            lora_b: Linear::new(lora_b, [d_out, rank], precision),
            scales,
        }
    }

    fn is_used(&self) -> bool {
        self.scales.iter().any(|&scale| scale != 0.0)
    }

    /// Sets the factor of every rank.
    ///
    /// # Panics
    /// If there are not as many as ranks.
    pub(crate) fn set_scales(&mut self, scales: &[f32]) {
        self.scales.copy_from_slice(scales);
    }
}

/// LoRA branches by layer, packed for models of one precision.
#[derive(Debug, Clone)]
pub struct LoraBranches {
    precision: Precision,
    layers: BTreeMap<LinearId, LoraBranch>,
}

impl LoraBranches {
    /// The branches of these layers, each packed for `precision`.
    pub(crate) fn new(precision: Precision, layers: BTreeMap<LinearId, LoraBranch>) -> Self {
        Self { precision, layers }
    }

    /// The precision that the branches are packed for.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Every branch with its layer.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (LinearId, &mut LoraBranch)> {
        self.layers.iter_mut().map(|(&id, branch)| (id, branch))
    }

    /// Bytes of the packed matrices.
    pub fn bytes(&self) -> usize {
        let branches = self.layers.values();
        branches.map(|branch| branch.lora_a.bytes() + branch.lora_b.bytes()).sum()
    }
}

/// Settings of a linear layer's application.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) isa: Isa,
    precision: Precision,
    d_model: usize,
    branches: Option<&'a LoraBranches>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        isa: Isa,
        precision: Precision,
        d_model: usize,
        branches: Option<&'a LoraBranches>,
    ) -> Self {
        Self { isa, precision, d_model, branches }
    }

    /// Whether a layer's 8-bit product takes 14-bit activations instead of 7-bit ones, for twice the
    /// work: every layer of narrow models; in others the layers where errors cost most (queries and
    /// keys, as T5 does not scale the attention scores) and those with few rows (the decoder).
    pub(super) fn uses_int14(&self, id: LinearId) -> bool {
        use LinearKind::{CrossK, CrossV, SelfK, SelfQ};
        self.d_model <= NARROW
            || match id.stack {
                Stack::Encoder => matches!(id.kind, SelfQ | SelfK),
                Stack::Decoder => !matches!(id.kind, CrossK | CrossV),
            }
    }

    /// The LoRA branch of a layer, if it has one that changes something.
    pub(super) fn branch(&self, id: LinearId) -> Option<&'a LoraBranch> {
        self.branches
            .and_then(|branches| branches.layers.get(&id))
            .filter(|branch| branch.is_used())
    }

    /// The LoRA branches that change something, with their layers.
    pub(super) fn branches(&self) -> impl Iterator<Item = (LinearId, &'a LoraBranch)> + use<'a> {
        let layers = self.branches.iter().flat_map(|branches| &branches.layers);
        let layers = layers.map(|(&id, branch)| (id, branch));
        layers.filter(|(_, branch)| branch.is_used()).collect::<Vec<_>>().into_iter()
    }

    /// Without LoRA branches.
    pub(super) fn without_branches(self) -> Self {
        Self { branches: None, ..self }
    }

    /// Applies a layer and its LoRA branch to `x`, into `out`, `[rows, d_out]`.
    pub(super) fn apply(
        &self,
        id: LinearId,
        linear: &Linear,
        x: &Activations,
        how: Store,
        out: &mut [f32],
    ) {
        let (rows, int14) = (out.len() / linear.d_out(), self.uses_int14(id));
        self.reduce(id, x, rows, |branch| match branch {
            None => product(self.isa, &[(x, linear)], int14, rows, how, out),
            Some(branch) => product(self.isa, &[(x, linear), branch], int14, rows, how, out),
        });
    }

    /// Adds a layer's LoRA branch to the result of its base, `[rows, d_out]`: together they have the
    /// bits of [`Context::apply`].
    pub(super) fn add_branch(&self, id: LinearId, x: &Activations, rows: usize, out: &mut [f32]) {
        self.reduce(id, x, rows, |branch| {
            if let Some(branch) = branch {
                product(self.isa, &[branch], self.uses_int14(id), rows, Store::Add, out);
            }
        });
    }

    /// Calls `with` with the second product of a layer's LoRA branch, if it has one: `scales ⊙ (A · x)`
    /// and B.
    fn reduce(
        &self,
        id: LinearId,
        x: &Activations,
        rows: usize,
        with: impl FnOnce(Option<(&Activations, &Linear)>),
    ) {
        let Some(branch) = self.branch(id) else {
            return with(None);
        };
        let (rank, int14) = (branch.scales.len(), self.uses_int14(id));
        let mut reduced = Scratch::new(rows * rank);
        product(self.isa, &[(x, &branch.lora_a)], int14, rows, Store::Replace, &mut reduced);
        scale_columns(self.isa, &mut reduced, &branch.scales);
        let reduced = Activations::new(*self, &reduced, rank, int14);
        with(Some((&reduced, &branch.lora_b)));
    }

    /// Applies a layer that has no LoRA branch, with all bits of its activations.
    pub(super) fn apply_base(&self, linear: &Linear, x: &Activations, how: Store, out: &mut [f32]) {
        product(self.isa, &[(x, linear)], true, out.len() / linear.d_out(), how, out);
    }
}

/// The sum of one or two products into `out`, `[rows, d_out]`.
pub(super) fn product(
    isa: Isa,
    products: &[(&Activations, &Linear)],
    int14: bool,
    rows: usize,
    how: Store,
    out: &mut [f32],
) {
    let mut terms = Vec::with_capacity(products.len());
    for (index, product) in products.iter().enumerate() {
        match *product {
            (Activations::Int8(x), Linear::Int8(weights)) => {
                terms.push(Term { x, int14: int14 && x.has_int14(), weights });
            }
            (Activations::F32(x, width), Linear::F32(weights)) => {
                let how = if index == 0 { how } else { Store::Add };
                product_f32(isa, Operand::dense(x, *width), rows, weights, how, out);
            }
            _ => unreachable!("a model's activations and weights have its precision"),
        }
    }
    if !terms.is_empty() {
        product_int8(isa, &terms, rows, how, out);
    }
}
