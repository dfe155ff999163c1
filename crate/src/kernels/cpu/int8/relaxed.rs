//! WebAssembly with relaxed SIMD. The relaxed dot products are defined for a second operand of 7 bits,
//! which the activations are, so the results are the same on every engine; which of the two is faster
//! depends on what the machine has.

use std::arch::wasm32::*;
use std::hint::black_box;

use super::words::fine_words;
use super::{Dot, Fine, Group, PANEL};

/// Whether the engine makes the dot product of four of instructions for two, as on x86-64 without
/// VNNI. It prepares a vector of ones for each, which [`RelaxedPairs`] does once.
pub(in crate::kernels::cpu) fn is_made_of_pairs() -> bool {
    // An operand beyond 7 bits tells: added in pairs of 16 bits, 2 · 255 · 127 saturates.
    let (weights, x) = black_box((i8x16_splat(127), u8x16_splat(255)));
    let sum = i32x4_relaxed_dot_i8x16_i7x16_add(weights, x, i32x4_splat(0));
    i32x4_extract_lane::<0>(sum) == 2 * i32::from(i16::MAX)
}

/// Four products at a time.
pub(super) struct Relaxed;

/// Two products at a time, added in twos.
pub(super) struct RelaxedPairs;

/// Adds up a block with what one instruction set makes of four weights of each of four columns, and
/// of four activations.
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
    const FINE: Fine = Fine::Words;

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
    unsafe fn fine_block<const R: usize>(
        _: [*const u8; R],
        fine: [*const u8; R],
        groups: &[Group],
        _: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
        // SAFETY: the caller's.
        unsafe { fine_words(fine, groups, out) }
    }
}
