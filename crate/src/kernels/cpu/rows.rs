//! Operations on rows of activations between the products: norms, activation functions, softmax sums.

use super::math::{VECTOR_LANES, both, each, exp, max, sum_lanes};
use super::vectorised;

/// Lanes of a sum over a row.
const LANES: usize = 8;

/// Σ f(x) in eight lanes, which are summed as a tree.
#[inline(always)]
fn sum_of(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += f(value);
    }
    sum_lanes(lanes)
}

/// Σ x·y in eight lanes, which are summed as a tree.
#[inline(always)]
pub(super) fn sum_of_products(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x.iter().zip(y) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane += x * y;
    }
    sum_lanes(lanes)
}

/// The largest value; −∞ for an empty row.
#[inline(always)]
pub(super) fn largest_body(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = max(value, *lane);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = max(value, *lane);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, max)
}

/// The chunk, opaque to the compiler, which would otherwise combine lanes of several chunks in one vector.
#[inline(always)]
fn opaque(chunk: &mut [f32; VECTOR_LANES]) -> &mut [f32; VECTOR_LANES] {
    std::hint::black_box(chunk)
}

/// Replaces each value by exp(value − shift) and returns their sum.
#[inline(always)]
pub(super) fn exponentials_body(row: &mut [f32], shift: f32) -> f32 {
    let (whole, rest) = row.as_chunks_mut::<VECTOR_LANES>();
    for chunk in whole {
        let chunk = opaque(chunk);
        *chunk = exp(each(*chunk, |value| value - shift));
    }
    for value in rest {
        [*value] = exp([*value - shift]);
    }
    sum_of(row, |value| value)
}

#[inline(always)]
fn largest_into(row: &[f32], result: &mut f32) {
    *result = largest_body(row);
}

#[inline(always)]
fn exponentials_into(row: &mut [f32], shift: f32, result: &mut f32) {
    *result = exponentials_body(row, shift);
}

vectorised! {
    /// Writes the largest value of a row, −∞ for an empty row, to `result`.
    pub fn largest(row: &[f32], result: &mut f32) = largest_into
}

vectorised! {
    /// Replaces each value by exp(value − shift) and writes their sum to `result`.
    pub fn exponentials(row: &mut [f32], shift: f32, result: &mut f32) = exponentials_into
}

/// The factor of a row in T5's norm, without the weight: `factor / √(mean(x²) + epsilon)`.
#[inline(always)]
pub(super) fn inverse_norm(row: &[f32], epsilon: f32, factor: f32) -> f32 {
    let mean = sum_of(row, |value| value * value) / row.len() as f32;
    factor / (mean + epsilon).sqrt()
}

#[inline(always)]
fn rms_norm_body(x: &[f32], weight: &[f32], epsilon: f32, factor: f32, out: &mut [f32]) {
    let width = weight.len();
    if width == 0 {
        return;
    }
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let inverse = inverse_norm(row, epsilon, factor);
        for ((out, &value), &weight) in out.iter_mut().zip(row).zip(weight) {
            *out = value * inverse * weight;
        }
    }
}

vectorised! {
    /// Writes T5's norm of each row of `x`, `[rows, d_model]`, to `out`:
    /// `factor · weight · x / √(mean(x²) + epsilon)`, without mean subtraction or bias.
    pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, factor: f32, out: &mut [f32])
        = rms_norm_body
}

#[inline(always)]
fn gated_gelu_body(gate: &mut [f32], up: &[f32]) {
    let (gates, rest_of_gate) = gate.as_chunks_mut::<VECTOR_LANES>();
    let (ups, rest_of_up) = up.as_chunks::<VECTOR_LANES>();
    for (gate, up) in gates.iter_mut().zip(ups) {
        let gate = opaque(gate);
        *gate = both(gelu(*gate), *up, |gelu, up| gelu * up);
    }
    for (gate, up) in rest_of_gate.iter_mut().zip(rest_of_up) {
        let [gelu] = gelu([*gate]);
        *gate = gelu * up;
    }
}

/// √(8/π), by which GELU in its tanh form takes `x + 0.044715·x³`.
pub(super) const SQRT_8_OVER_PI: f32 = 1.595_769;

/// e^(−2u) of GELU in its tanh form, where (1 + tanh u)/2 = 1/(1 + e^(−2u)), without the cancellation of
/// 1 + tanh.
#[inline(always)]
pub(super) fn gelu_power<const N: usize>(x: [f32; N]) -> [f32; N] {
    exp(each(x, |x| -(SQRT_8_OVER_PI * (x + 0.044_715 * (x * x * x)))))
}

/// GELU in its tanh form.
#[inline(always)]
fn gelu<const N: usize>(x: [f32; N]) -> [f32; N] {
    both(x, gelu_power(x), |x, power| x / (1.0 + power))
}

vectorised! {
    /// Replaces `gate` by `gelu_new(gate) · up`, with GELU in its tanh form.
    pub fn gated_gelu(gate: &mut [f32], up: &[f32]) = gated_gelu_body
}

#[inline(always)]
fn relu_body(x: &mut [f32]) {
    for value in x {
        *value = max(*value, 0.0);
    }
}

vectorised! {
    /// Replaces negative values by 0.
    pub fn relu(x: &mut [f32]) = relu_body
}

#[inline(always)]
fn scale_columns_body(x: &mut [f32], scales: &[f32]) {
    if scales.is_empty() {
        return;
    }
    for row in x.chunks_exact_mut(scales.len()) {
        for (value, &scale) in row.iter_mut().zip(scales) {
            *value *= scale;
        }
    }
}

vectorised! {
    /// Multiplies each column of `x`, `[rows, scales.len()]`, by its scale.
    pub fn scale_columns(x: &mut [f32], scales: &[f32]) = scale_columns_body
}

/// Index of the largest value, the first of equals; 0 for an empty row.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (index, &value) in row.iter().enumerate() {
        if value > row[best] {
            best = index;
        }
    }
    best
}
