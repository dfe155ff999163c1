//! Linear layers: the base's product, and a LoRA side path beside it.

use std::collections::BTreeMap;

use super::Precision;
use crate::formats::LinearId;
use crate::kernels::cpu::{Isa, Operand, PackedF32, Store, product, scale_columns};

/// A weight matrix `[d_out, d_in]`, packed for its precision.
#[derive(Debug, Clone)]
pub(super) enum Linear {
    F32(PackedF32),
}

impl Linear {
    pub(super) fn new(weights: &[f32], [d_out, d_in]: [usize; 2], precision: Precision) -> Self {
        match precision {
            Precision::F32 => Linear::F32(PackedF32::new(weights, d_out, d_in)),
            Precision::Int8 => Linear::F32(PackedF32::new(weights, d_out, d_in)),
        }
    }

    pub(super) fn d_out(&self) -> usize {
        match self {
            Linear::F32(packed) => packed.columns(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Linear::F32(packed) => packed.bytes(),
        }
    }
}

/// Rows of activations that linear layers are applied to, in the form that their precision needs.
#[derive(Debug, Default)]
pub(super) struct Activations {
    /// `[rows, width]`.
    pub(super) values: Vec<f32>,
    pub(super) rows: usize,
    pub(super) width: usize,
}

impl Activations {
    pub(super) fn new(values: Vec<f32>, width: usize) -> Self {
        Self { rows: values.len() / width.max(1), width, values }
    }

    fn operand(&self) -> Operand<'_> {
        Operand::dense(&self.values, self.width)
    }
}

/// The low-rank path beside one linear layer: `y += B · (scales ⊙ (A · x))`.
#[derive(Debug, Clone)]
pub struct SidePath {
    /// A, `[rank, d_in]`.
    pub(crate) lora_a: PackedF32,
    /// B, `[d_out, rank]`.
    pub(crate) lora_b: PackedF32,
    /// One factor per rank, so that other weights of the modules need no packing.
    pub(crate) scales: Vec<f32>,
}

/// Side paths by the layer that they stand beside.
#[derive(Debug, Clone, Default)]
pub struct SidePaths {
    pub(crate) layers: BTreeMap<LinearId, SidePath>,
}

impl SidePaths {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.layers.values().map(|path| path.lora_a.bytes() + path.lora_b.bytes()).sum()
    }
}

/// What linear layers are applied with.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) isa: Isa,
    pub(super) side: Option<&'a SidePaths>,
}

impl Context<'_> {
    /// Applies a layer and its side path to `x`, into `out`, `[rows, d_out]`.
    pub(super) fn apply(
        &self,
        id: LinearId,
        linear: &Linear,
        x: &Activations,
        how: Store,
        out: &mut [f32],
    ) {
        self.apply_base(linear, x, how, out);
        let Some(path) = self.side.and_then(|side| side.layers.get(&id)) else { return };
        if path.scales.iter().all(|&scale| scale == 0.0) {
            return;
        }
        let rank = path.scales.len();
        let mut reduced = vec![0.0; x.rows * rank];
        product(self.isa, x.operand(), x.rows, &path.lora_a, Store::Replace, &mut reduced);
        scale_columns(self.isa, &mut reduced, &path.scales);
        let reduced = Operand::dense(&reduced, rank);
        product(self.isa, reduced, x.rows, &path.lora_b, Store::Add, out);
    }

    /// Applies a layer that has no side path.
    pub(super) fn apply_base(&self, linear: &Linear, x: &Activations, how: Store, out: &mut [f32]) {
        match linear {
            Linear::F32(packed) => product(self.isa, x.operand(), x.rows, packed, how, out),
        }
    }
}
