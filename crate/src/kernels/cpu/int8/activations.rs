//! Rows of activations in 7 bits, and what makes them.

use super::super::rows::inverse_norm;
use super::super::vectorised;
use super::GROUP;
use crate::kernels::quantize::{BLOCK, ZERO_POINT, quantize_activations};
use crate::kernels::scratch::Scratch;

/// Rows of quantised activations, each filled up to whole groups.
#[derive(Debug, Default)]
pub struct QuantizedRows {
    depth: usize,
    /// `[rows, depth in whole groups]`.
    pub(super) values: Scratch<u8>,
    /// `[rows, blocks]`.
    pub(super) scales: Scratch<f32>,
}

impl QuantizedRows {
    /// Places for rows. What is beyond `depth` in a row may be anything: the weights there are 0.
    pub fn new(rows: usize, depth: usize) -> Self {
        Self {
            depth,
            values: Scratch::new(rows * depth.next_multiple_of(GROUP)),
            scales: Scratch::new(rows * depth.div_ceil(BLOCK)),
        }
    }

    /// Activations in a row.
    pub fn depth(&self) -> usize {
        self.depth
    }

    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> (&[u8], &[f32]) {
        let (stride, blocks) = (self.depth.next_multiple_of(GROUP), self.depth.div_ceil(BLOCK));
        (&self.values[row * stride..][..stride], &self.scales[row * blocks..][..blocks])
    }

    /// Each row's values and scales.
    #[inline(always)]
    fn rows_mut(&mut self) -> impl Iterator<Item = (&mut [u8], &mut [f32])> {
        let (depth, stride) = (self.depth, self.depth.next_multiple_of(GROUP));
        let values = self.values.chunks_exact_mut(stride.max(1));
        let values = values.map(move |values| &mut values[..depth]);
        values.zip(self.scales.chunks_exact_mut(depth.div_ceil(BLOCK).max(1)))
    }

    fn check(&self, x: &[f32]) {
        let rows = x.len() / self.depth.max(1);
        assert_eq!(rows * self.depth, x.len());
        assert_eq!(rows * self.depth.next_multiple_of(GROUP), self.values.len());
    }
}

#[inline(always)]
fn quantize_body(x: &[f32], out: &mut QuantizedRows) {
    out.check(x);
    for (row, (values, scales)) in x.chunks_exact(out.depth.max(1)).zip(out.rows_mut()) {
        quantize_activations(row, values, scales);
    }
}

vectorised! {
    /// Quantises the rows of `x`, `[rows, out.depth()]`.
    ///
    /// # Panics
    /// If `out` has not as many rows.
    pub fn quantize_rows(x: &[f32], out: &mut QuantizedRows) = quantize_body
}

#[inline(always)]
fn norm_body(x: &[f32], weight: &[f32], epsilon: f32, factor: f32, out: &mut QuantizedRows) {
    out.check(x);
    assert_eq!(weight.len(), out.depth);
    let mut normed = [0.0; BLOCK];
    for (row, (values, scales)) in x.chunks_exact(weight.len().max(1)).zip(out.rows_mut()) {
        let inverse = inverse_norm(row, epsilon, factor);
        let blocks = row.chunks(BLOCK).zip(weight.chunks(BLOCK));
        let places = values.chunks_mut(BLOCK).zip(scales.chunks_mut(1));
        for ((x, weight), (values, scale)) in blocks.zip(places) {
            let normed = &mut normed[..x.len()];
            for ((normed, &x), &weight) in normed.iter_mut().zip(x).zip(weight) {
                *normed = x * inverse * weight;
            }
            quantize_activations(normed, values, scale);
        }
    }
}

vectorised! {
    /// Quantises T5's norm of the rows of `x`, `[rows, out.depth()]`, as
    /// [`rms_norm`](crate::kernels::cpu::rms_norm) gives it.
    ///
    /// # Panics
    /// If `out` has not as many rows or the weight is not of their depth.
    pub fn norm_rows(
        x: &[f32],
        weight: &[f32],
        epsilon: f32,
        factor: f32,
        out: &mut QuantizedRows,
    ) = norm_body
}

#[inline(always)]
fn rest_body(x: &[f32], rows: &QuantizedRows, out: &mut QuantizedRows) {
    out.check(x);
    let mut rest = [0.0; BLOCK];
    let depth = rows.depth;
    for (index, (values, scales)) in out.rows_mut().enumerate() {
        let (quantized, steps) = rows.row(index);
        let blocks = x[index * depth..][..depth].chunks(BLOCK).zip(quantized.chunks(BLOCK));
        let places = values.chunks_mut(BLOCK).zip(scales.chunks_mut(1));
        for (((x, quantized), &step), (values, scale)) in blocks.zip(steps).zip(places) {
            let rest = &mut rest[..x.len()];
            for ((rest, &x), &q) in rest.iter_mut().zip(x).zip(quantized) {
                *rest = x - step * (f32::from(q) - f32::from(ZERO_POINT));
            }
            quantize_activations(rest, values, scale);
        }
    }
}

vectorised! {
    /// Quantises what the quantised `rows` leave of `x`, both `[rows, out.depth()]`: together they
    /// have about 14 bits.
    ///
    /// # Panics
    /// If `out` or `rows` has not as many rows of that depth.
    pub fn quantize_rest(x: &[f32], rows: &QuantizedRows, out: &mut QuantizedRows) = rest_body
}
