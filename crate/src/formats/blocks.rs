//! Decoding of GGUF's quantised element types: blocks of 32 or 256 values with their scales.
//!
//! Layouts: `block_q4_0` and its siblings in
//! <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>; every product and difference is
//! rounded where ggml's own `dequantize_row_*` rounds it, so the values have the same bits.

use half::f16;

/// Values in a block of the types without `_K`.
pub(super) const BLOCK: usize = 32;
/// Values in a block of the types with `_K`.
pub(super) const SUPER_BLOCK: usize = 256;
/// Values in a block of `_K` types that share a scale and a minimum.
const SUB_BLOCK: usize = 32;
/// Bytes of the eight 6-bit scales and eight 6-bit minima of Q4_K and Q5_K.
const PACKED_SCALES: usize = 12;

pub(super) const Q4_0_BYTES: usize = 2 + BLOCK / 2;
pub(super) const Q4_1_BYTES: usize = 4 + BLOCK / 2;
pub(super) const Q5_0_BYTES: usize = 2 + BLOCK / 8 + BLOCK / 2;
pub(super) const Q5_1_BYTES: usize = 4 + BLOCK / 8 + BLOCK / 2;
pub(super) const Q8_0_BYTES: usize = 2 + BLOCK;
pub(super) const Q4_K_BYTES: usize = 4 + PACKED_SCALES + SUPER_BLOCK / 2;
pub(super) const Q5_K_BYTES: usize = Q4_K_BYTES + SUPER_BLOCK / 8;
pub(super) const Q6_K_BYTES: usize = SUPER_BLOCK / 2 + SUPER_BLOCK / 4 + SUPER_BLOCK / 16 + 2;

fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// The 4-bit values of 16 bytes: the low halves, then the high halves.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(|byte| byte & 0xf).chain(bytes.iter().map(|byte| byte >> 4))
}

/// 5-bit values: [`nibbles`], with bit `i` of `high` as the fifth bit of value `i`.
fn five_bits<'b>(high: &[u8], bytes: &'b [u8]) -> impl Iterator<Item = u8> + 'b {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    nibbles(bytes).enumerate().map(move |(i, low)| low | (((high >> i) & 1) as u8) << 4)
}

/// `f16` scale, then signed bytes.
pub(super) fn q8_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block, 0);
    out.extend(block[2..].iter().map(|&q| scale * f32::from(q as i8)));
}

/// `f16` scale, then 4 bits around 8.
pub(super) fn q4_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block, 0);
    out.extend(nibbles(&block[2..]).map(|q| scale * (f32::from(q) - 8.0)));
}

/// `f16` scale and minimum, then 4 bits.
pub(super) fn q4_1(block: &[u8], out: &mut Vec<f32>) {
    let (scale, minimum) = (half(block, 0), half(block, 2));
    out.extend(nibbles(&block[4..]).map(|q| scale * f32::from(q) + minimum));
}

/// `f16` scale, then 5 bits around 16.
pub(super) fn q5_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block, 0);
    out.extend(five_bits(&block[2..6], &block[6..]).map(|q| scale * (f32::from(q) - 16.0)));
}

/// `f16` scale and minimum, then 5 bits.
pub(super) fn q5_1(block: &[u8], out: &mut Vec<f32>) {
    let (scale, minimum) = (half(block, 0), half(block, 2));
    out.extend(five_bits(&block[4..8], &block[8..]).map(|q| scale * f32::from(q) + minimum));
}

/// The 6-bit scale and minimum of sub-block `index` from the 12 bytes of all.
fn scale_and_minimum(packed: &[u8], index: usize) -> (f32, f32) {
    let (scale, minimum) = if index < 4 {
        (packed[index] & 63, packed[index + 4] & 63)
    } else {
        let (low, high) = (packed[index + 4], index - 4);
        ((low & 0xf) | (packed[high] >> 6) << 4, (low >> 4) | (packed[high + 4] >> 6) << 4)
    };
    (f32::from(scale), f32::from(minimum))
}

/// `f16` scale of the scales and of the minima, eight of each in 6 bits, then 4 bits. `fifth_bit`
/// returns the fifth bit of a value, as 0 or 16, by its sub-block and its index there.
fn with_minima(
    block: &[u8],
    values: &[u8],
    fifth_bit: impl Fn(usize, usize) -> u8,
    out: &mut Vec<f32>,
) {
    let (scales_scale, minima_scale) = (half(block, 0), half(block, 2));
    let packed = &block[4..4 + PACKED_SCALES];
    for (pair, bytes) in values.chunks_exact(SUB_BLOCK).enumerate() {
        for (half, shift) in [0, 4].into_iter().enumerate() {
            let index = 2 * pair + half;
            let (scale, minimum) = scale_and_minimum(packed, index);
            let (scale, minimum) = (scales_scale * scale, minima_scale * minimum);
            out.extend(bytes.iter().enumerate().map(|(i, byte)| {
                let q = (byte >> shift) & 0xf | fifth_bit(index, i);
                scale * f32::from(q) - minimum
            }));
        }
    }
}

/// 4 bits with a scale and a minimum for every 32 values.
pub(super) fn q4_k(block: &[u8], out: &mut Vec<f32>) {
    with_minima(block, &block[4 + PACKED_SCALES..], |_, _| 0, out);
}

/// 5 bits with a scale and a minimum for every 32 values.
pub(super) fn q5_k(block: &[u8], out: &mut Vec<f32>) {
    let (high, values) = block[4 + PACKED_SCALES..].split_at(SUPER_BLOCK / 8);
    with_minima(block, values, |index, i| ((high[i] >> index) & 1) << 4, out);
}

/// 6 bits around 32, with a signed 8-bit scale for every 16 values.
pub(super) fn q6_k(block: &[u8], out: &mut Vec<f32>) {
    const HALF: usize = SUPER_BLOCK / 2;
    let (low, rest) = block.split_at(SUPER_BLOCK / 2);
    let (high, rest) = rest.split_at(SUPER_BLOCK / 4);
    let (scales, scale) = rest.split_at(SUPER_BLOCK / 16);
    let scale = half(scale, 0);
    for i in 0..SUPER_BLOCK {
        // Each half of the block interleaves its four sub-blocks of 32 in the same bytes.
        let (half, index) = (i / HALF, i % HALF);
        let (sub_block, column) = (index / SUB_BLOCK, index % SUB_BLOCK);
        let low = low[half * 64 + (sub_block % 2) * SUB_BLOCK + column] >> (4 * (sub_block / 2));
        let high = high[half * SUB_BLOCK + column] >> (2 * sub_block);
        let q = i32::from((low & 0xf) | (high & 3) << 4) - 32;
        out.push(scale * f32::from(scales[i / 16] as i8) * q as f32);
    }
}
