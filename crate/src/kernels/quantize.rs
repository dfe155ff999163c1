//! Quantisation of weights and activations to the integers of 8-bit products, the same on the CPU and
//! on the GPU.
//!
//! Rows are cut into blocks of [`BLOCK`] along the reduction, the last one shorter; each block has its
//! own scale, so that an outlier reduces the precision of its own block only.
//!
//! **Weights** `[d_out, d_in]` are signed bytes from −127 to 127:
//! `w ≈ scale · q`, `scale = max|w| / 127`.
//!
//! **Activations** have 7 bits, because WebAssembly's fastest product
//! (`i32x4.relaxed_dot_i8x16_i7x16_add`) is exact only for operands from 0 to 127:
//! `x ≈ scale · (q − 64)`, `scale = max|x| / 63`.
//!
//! A product, with b the blocks of the reduction and every sum within a block in integers, is
//! `y[row, out] = Σ_b w_scale[out, b] · (x_scale[row, b] · (Σ_k q_x·q_w − 64·Σ_k q_w))`,
//! where the last sum does not depend on the activations. The blocks are added up in f32 from the
//! first to the last.
//!
//! **14-bit activations** (int14) add 7 low bits `l` for the remainder:
//! `x ≈ scale/128 · (128·(q − 64) + (l − 64))`. A kernel multiplies them as one integer, or the high and
//! the low bits apart and adds both sums: exact both ways, and rounded once to f32 before the product
//! with `scale/128`.
//!
//! All rounding is to the nearest integer, ties to even.

use super::cpu::ROUNDER;

/// Elements of the reduction that share one scale.
pub const BLOCK: usize = 128;
/// The quantised value of an activation of 0.
pub const ZERO_POINT: u8 = 64;

const LARGEST_WEIGHT: f32 = 127.0;
const LARGEST_ACTIVATION: f32 = 63.0;
/// Number of low-part steps per high-part step of a 14-bit activation.
pub const LOW_STEPS: i16 = 128;
/// The largest low part that 7 bits hold.
const LARGEST_LOW: f32 = 63.0;
/// Blocks whose values are all smaller than this are quantised to 0: the inverse of their scale would not
/// be finite.
const SMALLEST: f32 = 1e-30;

/// A weight matrix in 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedMatrix {
    /// Outputs of the layer.
    pub d_out: usize,
    /// Inputs of the layer.
    pub d_in: usize,
    /// `[d_out, d_in]`.
    pub values: Vec<i8>,
    /// `[d_out, blocks]`.
    pub scales: Vec<f32>,
}

impl QuantizedMatrix {
    /// Quantises a row-major matrix `[d_out, d_in]`.
    ///
    /// # Panics
    /// If `weights` does not have that size.
    pub fn new(weights: &[f32], d_out: usize, d_in: usize) -> Self {
        assert_eq!(weights.len(), d_out * d_in);
        let blocks = d_in.div_ceil(BLOCK);
        let mut values = vec![0; weights.len()];
        let mut scales = vec![0.0; d_out * blocks];
        let rows = weights.chunks_exact(d_in.max(1)).zip(values.chunks_exact_mut(d_in.max(1)));
        for ((row, values), scales) in rows.zip(scales.chunks_exact_mut(blocks.max(1))) {
            quantize_weights(row, values, scales);
        }
        Self { d_out, d_in, values, scales }
    }
}

/// Quantises one output row of a weight matrix, with a scale for each block.
///
/// # Panics
/// If the numbers of values and weights differ, or there are fewer scales than blocks.
pub fn quantize_weights(row: &[f32], values: &mut [i8], scales: &mut [f32]) {
    assert_eq!(row.len(), values.len());
    let blocks = row.len().div_ceil(BLOCK);
    let blocks = row.chunks(BLOCK).zip(values.chunks_mut(BLOCK)).zip(&mut scales[..blocks]);
    for ((block, values), scale) in blocks {
        let largest = largest_size(block);
        let (inverse, step) = inverse_and_step(largest, LARGEST_WEIGHT);
        *scale = step;
        for (value, &weight) in values.iter_mut().zip(block) {
            *value = nearest(weight * inverse) as i8;
        }
    }
}

/// The factor that maps the absolute value `largest` to the integer `limit`, and its inverse, the scale.
#[inline(always)]
fn inverse_and_step(largest: f32, limit: f32) -> (f32, f32) {
    if largest < SMALLEST { (0.0, 0.0) } else { (limit / largest, largest / limit) }
}

/// Quantises one row of activations: a byte from 1 to 127 for each, and a scale for each block.
///
/// # Panics
/// If the numbers of values and activations differ, or there are fewer scales than blocks.
#[inline(always)]
pub fn quantize_activations(row: &[f32], values: &mut [u8], scales: &mut [f32]) {
    assert_eq!(row.len(), values.len());
    let blocks = row.len().div_ceil(BLOCK);
    let blocks = row.chunks(BLOCK).zip(values.chunks_mut(BLOCK)).zip(&mut scales[..blocks]);
    for ((block, values), scale) in blocks {
        (*scale, _) = quantize_block(block, values);
    }
}

/// Quantises a block of activations to 7 bits; returns its scale and the scale's inverse.
#[inline(always)]
fn quantize_block(block: &[f32], values: &mut [u8]) -> (f32, f32) {
    let (inverse, step) = inverse_and_step(largest_size(block), LARGEST_ACTIVATION);
    for (value, &x) in values.iter_mut().zip(block) {
        *value = (nearest(x * inverse) + i32::from(ZERO_POINT)) as u8;
    }
    (step, inverse)
}

/// Quantises a block of activations to 7 bits, `values`, and to 14, `int14`: `128·(q − 64) + (l − 64)`.
/// Returns the scale of the 7-bit values.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn quantize_block_int14(block: &[f32], values: &mut [u8], int14: &mut [i16]) -> f32 {
    assert!(block.len() == values.len() && block.len() == int14.len());
    let (step, inverse) = quantize_block(block, values);
    for ((int14, &value), &x) in int14.iter_mut().zip(&*values).zip(block) {
        let high = i16::from(value) - i16::from(ZERO_POINT);
        // Only the first product rounds: the difference is at most half a step.
        let low = (x * inverse - f32::from(high)) * f32::from(LOW_STEPS);
        let low = if low < LARGEST_LOW { low } else { LARGEST_LOW };
        *int14 = LOW_STEPS * high + nearest(low) as i16;
    }
    step
}

/// The nearest integer to a number whose absolute value is below 2²². Anything else (an infinity times 0)
/// gives an arbitrary byte, and the block's scale is not finite.
#[inline(always)]
fn nearest(value: f32) -> i32 {
    i32::from((value + ROUNDER).to_bits() as i8)
}

/// The largest absolute value; 0 if there are no values.
#[inline(always)]
fn largest_size(values: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0f32; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if value.abs() > *lane { value.abs() } else { *lane };
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = if value.abs() > *lane { value.abs() } else { *lane };
    }
    lanes.into_iter().fold(0.0, |largest, lane| if lane > largest { lane } else { largest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_weights_are_within_half_a_step() {
        let row: Vec<f32> = (0..301).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let matrix = QuantizedMatrix::new(&row, 7, 43);
        for (index, (&weight, &value)) in row.iter().zip(&matrix.values).enumerate() {
            let scale = matrix.scales[index / 43];
            assert!((weight - scale * f32::from(value)).abs() <= 0.5001 * scale);
        }
        for values in matrix.values.chunks_exact(43) {
            assert_eq!(values.iter().map(|value| value.unsigned_abs()).max(), Some(127));
        }
    }

    #[test]
    fn ties_round_to_even() {
        let (mut values, mut scales) = ([0; 6], [0.0]);
        quantize_weights(&[127.0, 0.5, 1.5, -0.5, -1.5, -2.5], &mut values, &mut scales);
        assert_eq!((values, scales), ([127, 0, 2, 0, -2, -2], [1.0]));
    }

    #[test]
    fn an_outlier_changes_the_scale_of_its_block_only() {
        let mut row = [0.25f32; 2 * BLOCK + 5];
        row[3] = -100.0;
        let (mut values, mut scales) = ([0; 2 * BLOCK + 5], [0.0; 3]);
        quantize_activations(&row, &mut values, &mut scales);
        assert_eq!((values[3], values[4]), (1, 64));
        assert!(values[BLOCK..].iter().all(|&value| value == 127));
        assert!((scales[0] * 63.0 - 100.0).abs() < 1e-5 && (scales[2] * 63.0 - 0.25).abs() < 1e-7);
        let matrix = QuantizedMatrix::new(&row, 1, row.len());
        assert_eq!((matrix.values[3], matrix.values[4], matrix.values[BLOCK]), (-127, 0, 127));
        assert_eq!(matrix.scales, [100.0 / 127.0, 0.25 / 127.0, 0.25 / 127.0]);
    }

    #[test]
    fn zeros_and_subnormal_values_are_quantised_to_zero() {
        let (mut values, mut scales) = ([0; 4], [1.0; 1]);
        quantize_activations(&[0.0, 1e-40, -1e-38, 0.0], &mut values, &mut scales);
        assert_eq!((values, scales), ([ZERO_POINT; 4], [0.0]));
        assert_eq!(QuantizedMatrix::new(&[0.0, -1e-40], 1, 2).scales, [0.0]);
    }

    #[test]
    fn an_infinity_makes_the_scale_infinite() {
        let (mut values, mut scales) = ([0; 2], [0.0; 1]);
        quantize_activations(&[f32::INFINITY, 1.0], &mut values, &mut scales);
        assert!(!scales[0].is_finite());
    }
}
