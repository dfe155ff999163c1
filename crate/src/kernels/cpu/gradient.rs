//! Gradients of the operations between the products: attention, norm and activation functions. As
//! everywhere, each sum has one order, so that gradients have the same bits on every machine.

use super::float::{Operand, PackedF32, Store, panel_product, store};
use super::math::VECTOR_LANES;
use super::rows::{
    SQRT_8_OVER_PI, exponentials_body, gelu_power, inverse_norm, largest_body, sum_of_products,
};
use super::{PANEL, Query, vectorised};

/// Rows that one pass over a panel computes.
const ROWS: usize = if cfg!(target_arch = "wasm32") { 2 } else { 4 };

/// One head's keys, values and the gradient of its output over one example.
#[derive(Debug, Clone, Copy)]
pub struct HeadGradientInput<'a> {
    /// Rows of keys, `d_kv` values each.
    pub keys: Operand<'a>,
    /// Rows of values, `d_kv` values each.
    pub values: Operand<'a>,
    /// Rows of the gradient of the attention's output, `d_kv` values each, as many as queries.
    pub output: Operand<'a>,
    /// First row of the queries and of `output`.
    pub first_query: usize,
    /// Number of queries.
    pub queries: usize,
    /// First row of the keys and values.
    pub first_key: usize,
    /// Number of keys.
    pub keys_len: usize,
    /// Values in each row.
    pub d_kv: usize,
}

/// Gradients of one head's queries, keys and values over one example, `[positions, d_kv]` each.
#[derive(Debug, Clone, Default)]
pub struct HeadGradient {
    /// `[queries, d_kv]`.
    pub queries: Vec<f32>,
    /// `[keys, d_kv]`.
    pub keys: Vec<f32>,
    /// `[keys, d_kv]`.
    pub values: Vec<f32>,
}

/// Writes `x · weightsᵀ` of a few rows, `[rows, columns]`.
#[inline(always)]
fn small_product(x: Operand<'_>, rows: usize, weights: &PackedF32, out: &mut [f32]) {
    let (columns, depth) = (weights.columns(), weights.depth());
    for from in (0..columns).step_by(PANEL) {
        let panel = weights.panel(from / PANEL);
        let to = columns.min(from + PANEL);
        let mut row = 0;
        while row + ROWS <= rows {
            let group: [&[f32]; ROWS] = std::array::from_fn(|r| x.row(row + r, depth));
            for (r, sums) in panel_product(group, panel).iter().enumerate() {
                store(&mut out[(row + r) * columns..][from..to], sums, Store::Replace);
            }
            row += ROWS;
        }
        for row in row..rows {
            let [sums] = panel_product([x.row(row, depth)], panel);
            store(&mut out[row * columns..][from..to], &sums, Store::Replace);
        }
    }
}

/// Packs rows `[rows, width]` as the weights of `width` inputs and `rows` outputs.
#[inline(always)]
fn packed_rows(x: Operand<'_>, first: usize, rows: usize, width: usize) -> PackedF32 {
    let mut packed = PackedF32::zeros(rows, width);
    for row in 0..rows {
        packed.set_column(row, 0, x.row(first + row, width));
    }
    packed
}

/// Packs rows `[rows, width]` as the weights of `rows` inputs and `width` outputs.
#[inline(always)]
fn packed_columns(x: Operand<'_>, first: usize, rows: usize, width: usize) -> PackedF32 {
    let mut packed = PackedF32::zeros(width, rows);
    for row in 0..rows {
        packed.set_row(row, x.row(first + row, width));
    }
    packed
}

/// `[columns, rows]` of `[rows, columns]`.
#[inline(always)]
pub fn transposed(x: &[f32], columns: usize) -> Vec<f32> {
    let rows = x.len() / columns.max(1);
    let mut out = vec![0.0; x.len()];
    for (row, values) in x.chunks_exact(columns.max(1)).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            out[column * rows + row] = value;
        }
    }
    out
}

#[inline(always)]
fn attention_gradient_body(
    query: Query<'_>,
    head: HeadGradientInput<'_>,
    gradient: &mut HeadGradient,
) {
    let HeadGradientInput { queries, keys_len, d_kv, first_query, first_key, .. } = head;
    let keys = packed_rows(head.keys, first_key, keys_len, d_kv);
    let values = packed_rows(head.values, first_key, keys_len, d_kv);
    let start = first_query * query.rows.stride;
    let query_rows = Operand { offset: query.rows.offset + start, ..query.rows };
    let start = first_query * head.output.stride;
    let output = Operand { offset: head.output.offset + start, ..head.output };
    let mut probabilities = vec![0.0; queries * keys_len];
    small_product(query_rows, queries, &keys, &mut probabilities);
    let mut scores = vec![0.0; queries * keys_len];
    small_product(output, queries, &values, &mut scores);
    // P = softmax(S); the gradient of S is P · (∂P − Σ P·∂P).
    for (row, (p, gradient)) in probabilities
        .chunks_exact_mut(keys_len.max(1))
        .zip(scores.chunks_exact_mut(keys_len.max(1)))
        .enumerate()
    {
        let position = query.first_position + row;
        let visible = if query.causal { keys_len.min(position + 1) } else { keys_len };
        let (p, masked) = p.split_at_mut(visible);
        masked.fill(0.0);
        gradient[visible..].fill(0.0);
        if let Some((bias, centre)) = query.bias {
            let bias = &bias[centre - position..][..visible];
            p.iter_mut().zip(bias).for_each(|(score, &bias)| *score += bias);
        }
        let largest = largest_body(p);
        let inverse = 1.0 / exponentials_body(p, largest);
        p.iter_mut().for_each(|p| *p *= inverse);
        let gradient = &mut gradient[..visible];
        let mean = sum_of_products(p, gradient);
        gradient.iter_mut().zip(&*p).for_each(|(gradient, &p)| *gradient = p * (*gradient - mean));
    }
    gradient.queries = vec![0.0; queries * d_kv];
    gradient.keys = vec![0.0; keys_len * d_kv];
    gradient.values = vec![0.0; keys_len * d_kv];
    let by_key = packed_columns(head.keys, first_key, keys_len, d_kv);
    small_product(Operand::dense(&scores, keys_len), queries, &by_key, &mut gradient.queries);
    let by_query = packed_columns(query_rows, 0, queries, d_kv);
    let scores = transposed(&scores, keys_len);
    small_product(Operand::dense(&scores, queries), keys_len, &by_query, &mut gradient.keys);
    let by_query = packed_columns(output, 0, queries, d_kv);
    let probabilities = transposed(&probabilities, keys_len);
    let probabilities = Operand::dense(&probabilities, queries);
    small_product(probabilities, keys_len, &by_query, &mut gradient.values);
}

vectorised! {
    /// Writes the gradients of one head's queries, keys and values, given that of its output. The
    /// probabilities are computed again; working memory is two matrices of `[queries, keys]` and
    /// their transposes.
    ///
    /// # Panics
    /// If an operand or the bias is too short.
    pub fn attention_gradient(
        query: Query<'_>,
        head: HeadGradientInput<'_>,
        gradient: &mut HeadGradient,
    ) = attention_gradient_body
}

#[inline(always)]
fn rms_norm_gradient_body(
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    factor: f32,
    gradient: &[f32],
    out: &mut [f32],
) {
    let width = weight.len();
    if width == 0 {
        return;
    }
    let mut weighted = vec![0.0; width];
    let rows = x.chunks_exact(width).zip(gradient.chunks_exact(width));
    for ((row, gradient), out) in rows.zip(out.chunks_exact_mut(width)) {
        let inverse = inverse_norm(row, epsilon, 1.0);
        for ((weighted, &gradient), &weight) in weighted.iter_mut().zip(gradient).zip(weight) {
            *weighted = gradient * weight;
        }
        let along = sum_of_products(&weighted, row) / width as f32 * (inverse * inverse);
        let scale = factor * inverse;
        for ((out, &weighted), &x) in out.iter_mut().zip(&weighted).zip(row) {
            *out += scale * (weighted - x * along);
        }
    }
}

vectorised! {
    /// Adds to `out` the gradient of the rows `x` of [`rms_norm`](super::rms_norm), `[rows, d_model]`,
    /// given that of its result.
    pub fn rms_norm_gradient(
        x: &[f32],
        weight: &[f32],
        epsilon: f32,
        factor: f32,
        gradient: &[f32],
        out: &mut [f32],
    ) = rms_norm_gradient_body
}

#[inline(always)]
fn gated_gelu_gradient_body(gate: &mut [f32], up: &mut [f32], gradient: &[f32]) {
    let (gates, gate_rest) = gate.as_chunks_mut::<VECTOR_LANES>();
    let (ups, up_rest) = up.as_chunks_mut::<VECTOR_LANES>();
    let (gradients, gradient_rest) = gradient.as_chunks::<VECTOR_LANES>();
    for ((gate, up), gradient) in gates.iter_mut().zip(ups).zip(gradients) {
        (*gate, *up) = gated_gelu_gradients(*gate, *up, *gradient);
    }
    for ((gate, up), &gradient) in gate_rest.iter_mut().zip(up_rest).zip(gradient_rest) {
        let ([of_gate], [of_up]) = gated_gelu_gradients([*gate], [*up], [gradient]);
        (*gate, *up) = (of_gate, of_up);
    }
}

/// The gradients of the gate and of the other factor. With `s = 1/(1 + e^(−2u))`, GELU is `x·s` and its
/// derivative `s + x·s·(1 − s)·2u′`.
#[inline(always)]
fn gated_gelu_gradients<const N: usize>(
    gate: [f32; N],
    up: [f32; N],
    gradient: [f32; N],
) -> ([f32; N], [f32; N]) {
    let power = gelu_power(gate);
    let (mut of_gate, mut of_up) = ([0.0; N], [0.0; N]);
    for lane in 0..N {
        let (x, s) = (gate[lane], 1.0 / (1.0 + power[lane]));
        let slope = SQRT_8_OVER_PI * (1.0 + 0.134_145 * (x * x));
        let derivative = s + x * (s * (1.0 - s)) * slope;
        of_gate[lane] = derivative * (gradient[lane] * up[lane]);
        of_up[lane] = x / (1.0 + power[lane]) * gradient[lane];
    }
    (of_gate, of_up)
}

vectorised! {
    /// Replaces the two factors of [`gated_gelu`](super::gated_gelu) by their gradients, given that of
    /// their product.
    pub fn gated_gelu_gradient(gate: &mut [f32], up: &mut [f32], gradient: &[f32])
        = gated_gelu_gradient_body
}

#[inline(always)]
fn relu_gradient_body(x: &mut [f32], gradient: &[f32]) {
    for (x, &gradient) in x.iter_mut().zip(gradient) {
        *x = if *x > 0.0 { gradient } else { 0.0 };
    }
}

vectorised! {
    /// Replaces the inputs or outputs of [`relu`](super::relu) by the gradient of its input, given that
    /// of its output.
    pub fn relu_gradient(x: &mut [f32], gradient: &[f32]) = relu_gradient_body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::{Isa, gated_gelu, relu, rms_norm};
    use crate::kernels::noise;

    fn assert_close(found: &[f32], expected: &[f64], what: &str) {
        let largest = expected.iter().fold(1e-3f64, |largest, value| largest.max(value.abs()));
        assert_eq!(found.len(), expected.len(), "{what}");
        for (index, (&found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(error < 2e-5 * largest, "{what} {index}: {found} for {expected}");
        }
    }

    /// One head in f64: rows of `[rows, width]` from `offset` on.
    struct Plain<'a> {
        q: &'a [f32],
        k: &'a [f32],
        v: &'a [f32],
        output: &'a [f32],
        width: usize,
        offset: usize,
        shape: [usize; 3],
        bias: Option<(&'a [f32], usize)>,
        causal: bool,
    }

    impl Plain<'_> {
        /// Gradients of queries, keys and values.
        fn gradients(&self) -> [Vec<f64>; 3] {
            let Self { q, k, v, output, width, offset, shape: [queries, keys, d_kv], .. } = *self;
            let at = |x: &[f32], row: usize, d: usize| f64::from(x[row * width + offset + d]);
            let dot = |x: &[f32], i: usize, y: &[f32], j: usize| {
                (0..d_kv).map(|d| at(x, i, d) * at(y, j, d)).sum::<f64>()
            };
            let [mut dq, mut dk, mut dv] = [queries, keys, keys].map(|rows| vec![0.0; rows * d_kv]);
            for i in 0..queries {
                let visible = if self.causal { keys.min(i + 1) } else { keys };
                let score = |j: usize| {
                    let bias =
                        self.bias.map_or(0.0, |(bias, centre)| f64::from(bias[centre + j - i]));
                    (dot(q, i, k, j) + bias).exp()
                };
                let total: f64 = (0..visible).map(score).sum();
                let p: Vec<f64> = (0..visible).map(|j| score(j) / total).collect();
                let dp: Vec<f64> = (0..visible).map(|j| dot(output, i, v, j)).collect();
                let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
                for j in 0..visible {
                    let ds = p[j] * (dp[j] - mean);
                    for d in 0..d_kv {
                        dq[i * d_kv + d] += ds * at(k, j, d);
                        dk[j * d_kv + d] += ds * at(q, i, d);
                        dv[j * d_kv + d] += p[j] * at(output, i, d);
                    }
                }
            }
            [dq, dk, dv]
        }
    }

    #[test]
    fn attentions_gradients_are_those_of_the_plain_sums_on_every_instruction_set() {
        for (queries, keys, d_kv, causal) in [
            (1, 1, 1, false),
            (5, 5, 3, true),
            (7, 19, 17, false),
            (16, 16, 8, true),
            (33, 2, 5, false),
        ] {
            let width = 2 * d_kv + 1;
            let [q, output] = [3, 4].map(|seed| noise((queries + 2) * width, seed));
            let [k, v] = [5, 6].map(|seed| noise((keys + 1) * width, seed));
            let bias = noise(queries + keys, 7);
            let offset = d_kv;
            let operand = |values| Operand { values, stride: width, offset };
            let (first_query, first_key) = (2, 1);
            let input = HeadGradientInput {
                keys: operand(&k),
                values: operand(&v),
                output: operand(&output),
                first_query,
                queries,
                first_key,
                keys_len: keys,
                d_kv,
            };
            let bias = causal.then_some((&bias[..], queries - 1));
            let query = Query { rows: operand(&q), first_position: 0, bias, causal };
            let plain = Plain {
                q: &q[first_query * width..],
                k: &k[first_key * width..],
                v: &v[first_key * width..],
                output: &output[first_query * width..],
                width,
                offset,
                shape: [queries, keys, d_kv],
                bias,
                causal,
            };
            let expected = plain.gradients();
            let mut reference = HeadGradient::default();
            attention_gradient(Isa::PORTABLE, query, input, &mut reference);
            let what = format!("{queries} x {keys} x {d_kv}");
            assert_close(&reference.queries, &expected[0], &what);
            assert_close(&reference.keys, &expected[1], &what);
            assert_close(&reference.values, &expected[2], &what);
            for isa in Isa::available() {
                let mut found = HeadGradient::default();
                attention_gradient(isa, query, input, &mut found);
                let same = found.queries == reference.queries
                    && found.keys == reference.keys
                    && found.values == reference.values;
                assert!(same, "{what} {isa:?}");
            }
        }
    }

    /// The gradient of `Σ gradient · f(x)` by differences of it.
    fn by_differences(x: &[f32], gradient: &[f32], f: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f64> {
        const STEP: f32 = 1.0 / 256.0;
        let sum = |x: &[f32]| -> f64 {
            f(x).iter().zip(gradient).map(|(y, g)| f64::from(*y) * f64::from(*g)).sum()
        };
        let at = |index: usize| {
            let moved = |by: f32| {
                let mut x = x.to_vec();
                x[index] += by;
                sum(&x)
            };
            (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP))
        };
        (0..x.len()).map(at).collect()
    }

    fn assert_near(found: &[f32], expected: &[f64]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 2e-3, "{found} for {expected}");
        }
    }

    #[test]
    fn gradients_of_rows_are_the_differences_of_their_functions() {
        for isa in Isa::available() {
            let (width, rows) = (19, 3);
            let [x, up, gradient] = [11, 12, 13].map(|seed| noise(width * rows, seed));
            let weight = noise(width, 14);
            let normed = |x: &[f32]| {
                let mut out = vec![0.0; x.len()];
                rms_norm(isa, x, &weight, 1e-6, 0.7, &mut out);
                out
            };
            let mut found = vec![0.0; x.len()];
            rms_norm_gradient(isa, &x, &weight, 1e-6, 0.7, &gradient, &mut found);
            assert_near(&found, &by_differences(&x, &gradient, normed));

            let gated = |gate: &[f32], up: &[f32]| {
                let mut out = gate.to_vec();
                gated_gelu(isa, &mut out, up);
                out
            };
            let wide: Vec<f32> = x.iter().map(|value| 4.0 * value).collect();
            let (mut of_gate, mut of_up) = (wide.clone(), up.clone());
            gated_gelu_gradient(isa, &mut of_gate, &mut of_up, &gradient);
            assert_near(&of_gate, &by_differences(&wide, &gradient, |gate| gated(gate, &up)));
            assert_near(&of_up, &by_differences(&up, &gradient, |up| gated(&wide, up)));

            let positive = |x: &[f32]| {
                let mut out = x.to_vec();
                relu(isa, &mut out);
                out
            };
            // Away from the kink.
            let x: Vec<f32> = x.iter().map(|value| value + 0.01f32.copysign(*value)).collect();
            let mut found = x.clone();
            relu_gradient(isa, &mut found, &gradient);
            assert_near(&found, &by_differences(&x, &gradient, positive));
        }
    }
}
