//! Parts of a model, for `pkg-scripts/bench`.

use super::Precision;
use super::linear::{Activations, Context, Linear};
use crate::kernels::cpu::{Isa, Store};

/// One linear layer and its input.
pub struct LinearAlone {
    linear: Linear,
    precision: Precision,
    d_in: usize,
    x: Activations,
    out: Vec<f32>,
}

impl LinearAlone {
    /// A layer of the row-major `weights`, `[d_out, d_in]`, and rows of `x`, `[rows, d_in]`.
    ///
    /// # Panics
    /// If `weights` is not of that shape.
    pub fn new(weights: &[f32], shape: [usize; 2], precision: Precision, x: Vec<f32>) -> Self {
        let linear = Linear::new(weights, shape, precision);
        let out = vec![0.0; x.len() / shape[1] * shape[0]];
        let context = Context::new(Isa::fastest(), precision, shape[1], None);
        let x = Activations::new(context, &x, shape[1], false);
        Self { linear, precision, d_in: shape[1], x, out }
    }

    /// Computes `x · weightsᵀ`, `[rows, d_out]`.
    pub fn apply(&mut self) -> &[f32] {
        let context = Context::new(Isa::fastest(), self.precision, self.d_in, None);
        context.apply_base(&self.linear, &self.x, Store::Replace, &mut self.out);
        &self.out
    }
}
