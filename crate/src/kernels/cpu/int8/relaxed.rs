//! WebAssembly with relaxed SIMD. The relaxed dot products are exact for a second operand of 7 bits, as
//! activations have, so the results are the same on every engine. Which of the two is faster depends on
//! the machine.

use std::arch::wasm32::*;
use std::hint::black_box;

use super::words::block_int14_words;
use super::{Dot, Group, Int14Layout, PANEL};

/// Whether the engine implements the four-way dot product by a two-way one, as on x86-64 without VNNI.
/// It then loads a vector of ones for each product, which [`RelaxedPairs`] does once.
pub(in crate::kernels::cpu) fn relaxed_dot_uses_pairs() -> bool {
    // With an operand beyond 7 bits, 2 · 255 · 127 saturates in a 16-bit pair.
    let (weights, x) = black_box((i8x16_splat(127), u8x16_splat(255)));
    let sum = i32x4_relaxed_dot_i8x16_i7x16_add(weights, x, i32x4_splat(0));
    i32x4_extract_lane::<0>(sum) == 2 * i32::from(i16::MAX)
}

/// The four-way dot product.
pub(super) struct Relaxed;

/// The two-way dot product, whose results are added in pairs.
pub(super) struct RelaxedPairs;

/// [`Dot::block`] with `dot(weights, x, sum)`, which adds the products of four weights of each of four
/// columns and four activations to the columns' sums.
///
/// # Safety
/// Each row is four times as long as the groups.
#[inline(always)]
unsafe fn block<const R: usize>(
    rows: [*const u8; R],
    groups: &[Group],
    starts: &[i32; PANEL],
    dot: impl Fn(v128, v128, v128) -> v128,
    out: &mut [[i32; PANEL]; R],
) {
    // SAFETY: the caller's rows are four times as long as the groups; a group and the starts are
    // four vectors of 16 bytes each.
    unsafe {
        let quarters = |at: *const v128| [0, 1, 2, 3].map(|i| v128_load(at.add(i)));
        let mut sums = [quarters(starts.as_ptr().cast()); R];
        for (k, group) in groups.iter().enumerate() {
            let weights = quarters(group.0.as_ptr().cast());
            for r in 0..R {
                let x = v128_load32_splat(rows[r].add(4 * k).cast());
                for quarter in 0..4 {
                    sums[r][quarter] = dot(weights[quarter], x, sums[r][quarter]);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            for (quarter, sum) in sums.into_iter().enumerate() {
                v128_store(out.as_mut_ptr().add(4 * quarter).cast(), sum);
            }
        }
    }
}

impl Dot for Relaxed {
    #[inline(always)]
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
        let dot = |weights, x, sum| i32x4_relaxed_dot_i8x16_i7x16_add(weights, x, sum);
        // SAFETY: the caller's.
        unsafe { block(rows, groups, starts, dot, out) }
    }
}

impl Dot for RelaxedPairs {
    const INT14_LAYOUT: Int14Layout = Int14Layout::Words;

    #[inline(always)]
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
        let dot = |weights, x, sum| {
            let pairs = i16x8_relaxed_dot_i8x16_i7x16(weights, x);
            i32x4_add(sum, i32x4_dot_i16x8(pairs, i16x8_splat(1)))
        };
        // SAFETY: the caller's.
        unsafe { block(rows, groups, starts, dot, out) }
    }

    #[inline(always)]
    unsafe fn block_int14<const R: usize>(
        _: [*const u8; R],
        int14: [*const u8; R],
        groups: &[Group],
        _: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
        // SAFETY: the caller's.
        unsafe { block_int14_words(int14, groups, out) }
    }
}
