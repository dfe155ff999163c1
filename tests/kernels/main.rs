//! Every CPU kernel against scalar loops on random shapes and values: equal bits for every instruction set
//! of this machine.
//!
//! `cargo test` runs it natively; `run.mjs` runs the wasm builds with and without relaxed SIMD in Chromium.

#[path = "../random.rs"]
mod random;

use loraloom::kernels::cpu::{
    HeadCache, Isa, Operand, PackedF32, PackedInt8, QuantizedRows, Query, Store, Term, attend,
    exponentials, gated_gelu, largest, norm_rows, product_f32, product_int8, quantize_rows, relu,
    rms_norm, scale_columns,
};
use loraloom::kernels::parallel::{Grid, for_each_tile};
use loraloom::kernels::quantize::{BLOCK, QuantizedMatrix, quantize_block_int14};
use random::Random;

/// Number of random shapes for each kernel.
const ROUNDS: usize = 40;
const EPSILON: f32 = 1e-6;

/// Values of very different magnitudes, zeros and subnormal numbers among them.
fn values(random: &mut Random, count: usize) -> Vec<f32> {
    let value = |random: &mut Random| {
        let unit = (random.next() >> 40) as f32 / (1 << 23) as f32 - 1.0;
        match random.below(40) {
            0 => 0.0,
            1 => unit * 1e-39,
            2 => unit * 1e5,
            3 => -0.0,
            _ => unit * 3.0,
        }
    };
    (0..count).map(|_| value(random)).collect()
}

#[track_caller]
fn assert_bits(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let same = found.to_bits() == expected.to_bits();
        assert!(same, "{what}, value {index}: {found:e} for {expected:e}");
    }
}

/// A row's quantised values and the scales of its blocks, in 14 bits or in 7.
fn integers(row: &[f32], int14: bool) -> (Vec<i32>, Vec<f32>) {
    let (mut all, mut scales) = (Vec::new(), Vec::new());
    for block in row.chunks(BLOCK) {
        let (mut seven, mut fourteen) = (vec![0; block.len()], vec![0; block.len()]);
        let scale = quantize_block_int14(block, &mut seven, &mut fourteen);
        if int14 {
            all.extend(fourteen.into_iter().map(i32::from));
            scales.push(scale / 128.0);
        } else {
            all.extend(seven.into_iter().map(|byte| i32::from(byte) - 64));
            scales.push(scale);
        }
    }
    (all, scales)
}

/// `x · weightsᵀ` in 8 bits, `[rows, d_out]`.
fn plain_int8(x: &[f32], weights: &QuantizedMatrix, int14: bool) -> Vec<f32> {
    let QuantizedMatrix { d_out, d_in, values, scales } = weights;
    let blocks = d_in.div_ceil(BLOCK);
    let mut out = Vec::new();
    for row in x.chunks(*d_in) {
        let (integers, steps) = integers(row, int14);
        for column in 0..*d_out {
            let weights = &values[column * d_in..][..*d_in];
            let pairs = integers.chunks(BLOCK).zip(weights.chunks(BLOCK)).enumerate();
            out.push(pairs.fold(0.0f32, |sum, (block, (x, w))| {
                let products = x.iter().zip(w).map(|(&x, &w)| x * i32::from(w));
                sum + products.sum::<i32>() as f32 * steps[block] * scales[column * blocks + block]
            }));
        }
    }
    out
}

fn int8_products(isa: Isa, random: &mut Random) {
    let (rows, d_in, d_out) = (1 + random.below(70), 1 + random.below(400), 1 + random.below(90));
    let x = values(random, rows * d_in);
    let weights = QuantizedMatrix::new(&values(random, d_out * d_in), d_out, d_in);
    let packed = PackedInt8::new(&weights);
    let mut quantized = QuantizedRows::with_int14(isa, rows, d_in);
    quantize_rows(isa, &x, &mut quantized);
    for int14 in [false, true] {
        let what = format!("{isa:?}: {rows} x {d_in} x {d_out} in 8 bits, int14: {int14}");
        let term = Term { x: &quantized, int14, weights: &packed };
        let mut out = vec![f32::NAN; rows * d_out];
        product_int8(isa, &[term], rows, Store::Replace, &mut out);
        let once = plain_int8(&x, &weights, int14);
        assert_bits(&out, &once, &what);
        product_int8(isa, &[term, term], rows, Store::Add, &mut out);
        let thrice: Vec<f32> = once.iter().map(|&once| once + (once + once)).collect();
        assert_bits(&out, &thrice, &what);
    }
}

fn f32_products(isa: Isa, random: &mut Random) {
    let (rows, d_in, d_out) = (1 + random.below(70), 1 + random.below(200), 1 + random.below(90));
    let (x, weights) = (values(random, rows * d_in), values(random, d_out * d_in));
    let mut expected = Vec::new();
    for row in x.chunks(d_in) {
        for column in weights.chunks(d_in) {
            expected.push(row.iter().zip(column).fold(0.0f32, |sum, (x, w)| sum + x * w));
        }
    }
    let packed = PackedF32::new(&weights, d_out, d_in);
    let mut out = vec![f32::NAN; rows * d_out];
    product_f32(isa, Operand::dense(&x, d_in), rows, &packed, Store::Replace, &mut out);
    assert_bits(&out, &expected, &format!("{isa:?}: {rows} x {d_in} x {d_out} in f32"));
}

/// A sum in the order of all sums over a row: eight lanes, then a tree.
fn plain_sum(row: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0.0f32; 8];
    for (index, value) in row.enumerate() {
        lanes[index % 8] += value;
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// exp(value − shift) of one value, without vectors.
fn plain_exp(value: f32, shift: f32) -> f32 {
    let (mut one, mut sum) = ([value], 0.0);
    exponentials(Isa::PORTABLE, &mut one, shift, &mut sum);
    one[0]
}

fn norms(isa: Isa, random: &mut Random) {
    let (rows, width) = (1 + random.below(9), 1 + random.below(400));
    let (x, weight) = (values(random, rows * width), values(random, width));
    let mut expected = Vec::new();
    for row in x.chunks(width) {
        let mean = plain_sum(row.iter().map(|x| x * x)) / width as f32;
        let inverse = 0.5 / (mean + EPSILON).sqrt();
        expected.extend(row.iter().zip(&weight).map(|(x, weight)| x * inverse * weight));
    }
    let what = format!("{isa:?}: norm of {rows} x {width}");
    let mut normed = vec![f32::NAN; x.len()];
    rms_norm(isa, &x, &weight, EPSILON, 0.5, &mut normed);
    assert_bits(&normed, &expected, &what);
    // A product shows the quantised norm.
    let matrix = QuantizedMatrix::new(&values(random, 3 * width), 3, width);
    let mut quantized = QuantizedRows::new(rows, width);
    norm_rows(isa, &x, &weight, EPSILON, 0.5, &mut quantized);
    let term = Term { x: &quantized, int14: false, weights: &PackedInt8::new(&matrix) };
    let mut out = vec![f32::NAN; rows * 3];
    product_int8(isa, &[term], rows, Store::Replace, &mut out);
    assert_bits(&out, &plain_int8(&normed, &matrix, false), &what);
}

fn elementwise(isa: Isa, random: &mut Random) {
    let count = 1 + random.below(70);
    let what = format!("{isa:?}: {count} elements");
    let (x, up) = (values(random, count), values(random, count));
    let mut found = x.clone();
    gated_gelu(isa, &mut found, &up);
    for (index, (&x, &up)) in x.iter().zip(&up).enumerate() {
        let mut alone = [x];
        gated_gelu(Isa::PORTABLE, &mut alone, &[up]);
        assert_bits(&found[index..=index], &alone, &what);
    }
    let mut found = x.clone();
    relu(isa, &mut found);
    let positive: Vec<f32> = x.iter().map(|&x| if x > 0.0 { x } else { 0.0 }).collect();
    assert_bits(&found, &positive, &what);
    let mut found = [x.clone(), x.clone()].concat();
    scale_columns(isa, &mut found, &up);
    let scaled = [&x, &x].into_iter().flat_map(|x| x.iter().zip(&up).map(|(x, up)| x * up));
    assert_bits(&found, &scaled.collect::<Vec<f32>>(), &what);

    let mut max = 0.0;
    largest(isa, &x, &mut max);
    assert!(x.iter().all(|&x| x <= max) && x.contains(&max), "{what}");
    let (mut found, mut sum) = (x.clone(), 0.0);
    exponentials(isa, &mut found, max, &mut sum);
    let powers: Vec<f32> = x.iter().map(|&x| plain_exp(x, max)).collect();
    assert_bits(&found, &powers, &what);
    assert_bits(&[sum], &[plain_sum(powers.into_iter())], &what);
}

fn attention(isa: Isa, random: &mut Random) {
    let (d_kv, keys, queries) = (1 + random.below(70), 1 + random.below(70), 1 + random.below(9));
    let (first, causal) = (random.below(keys), random.below(2) == 1);
    let [q, k, v] = [queries, keys, keys].map(|rows| values(random, rows * d_kv));
    let bias = values(random, 2 * keys + queries + first);
    let centre = first + queries;
    let mut expected = Vec::new();
    for (row, q) in q.chunks(d_kv).enumerate() {
        let position = first + row;
        let seen = if causal { keys.min(position + 1) } else { keys };
        let scores: Vec<f32> = (k.chunks(d_kv).take(seen).enumerate())
            .map(|(key, k)| {
                let score = q.iter().zip(k).fold(0.0f32, |sum, (q, k)| sum + q * k);
                score + bias[centre + key - position]
            })
            .collect();
        let max = scores.iter().fold(f32::NEG_INFINITY, |max, &score| max.max(score));
        let powers: Vec<f32> = scores.iter().map(|&score| plain_exp(score, max)).collect();
        let inverse = 1.0 / plain_sum(powers.iter().copied());
        for d in 0..d_kv {
            let pairs = powers.iter().zip(v.chunks(d_kv));
            let mut sum = pairs.fold(0.0f32, |sum, (power, v)| sum + power * v[d]);
            // Masked positions add 0 times their value.
            for v in v.chunks(d_kv).take(keys).skip(seen) {
                sum += 0.0 * v[d];
            }
            expected.push(sum * inverse);
        }
    }
    let mut cache = HeadCache::new(d_kv, keys);
    cache.extend(Operand::dense(&k, d_kv), Operand::dense(&v, d_kv), 0..keys);
    let query = Query {
        rows: Operand::dense(&q, d_kv),
        first_position: first,
        bias: Some((&bias, centre)),
        causal,
    };
    let mut out = vec![f32::NAN; queries * d_kv];
    let grid = Grid::even(queries, d_kv, queries, d_kv);
    for_each_tile(&mut out, &grid, 0, |mut tile| attend(isa, query, &cache, &mut tile));
    let what = format!("{isa:?}: {queries} queries from {first}, {keys} keys of {d_kv}, {causal}");
    assert_bits(&out, &expected, &what);
}

#[cfg(target_arch = "wasm32")]
mod page {
    #[link(wasm_import_module = "page")]
    unsafe extern "C" {
        fn print(text: *const u8, bytes: usize);
    }

    /// Passes a line of text to the page.
    pub fn say(text: &str) {
        // SAFETY: the page reads only the text, before it returns.
        unsafe { print(text.as_ptr(), text.len()) }
    }
}

fn main() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| page::say(&panic.to_string())));
    for isa in Isa::available() {
        for (seed, kernel) in
            [int8_products, f32_products, norms, elementwise, attention].iter().enumerate()
        {
            let mut random = Random(seed as u64);
            (0..ROUNDS).for_each(|_| kernel(isa, &mut random));
        }
        #[cfg(target_arch = "wasm32")]
        page::say(&format!("passed: {isa:?}"));
        #[cfg(not(target_arch = "wasm32"))]
        println!("passed: {isa:?}");
    }
}
