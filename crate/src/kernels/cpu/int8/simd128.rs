//! WebAssembly without relaxed SIMD: words, to which bytes are widened as they are loaded.

use std::arch::wasm32::*;

use super::words::{fine_words, words};
use super::{Dot, Fine, Group, PANEL};

pub(super) struct Simd128;

impl Dot for Simd128 {
    const FINE: Fine = Fine::Words;

    #[inline(always)]
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
        // SAFETY: the caller's; a row has four bytes for each group.
        unsafe {
            let four = |row: *const u8, k: usize| {
                u16x8_extend_low_u8x16(v128_load32_splat(row.add(4 * k).cast()))
            };
            words(rows, groups, starts, four, out);
        }
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
