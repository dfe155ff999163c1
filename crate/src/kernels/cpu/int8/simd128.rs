//! WebAssembly without relaxed SIMD: 16-bit products of bytes that are widened as they are loaded.

use std::arch::wasm32::*;

use super::words::{block_int14_words, words};
use super::{Dot, Group, Int14Layout, PANEL};

pub(super) struct Simd128;

impl Dot for Simd128 {
    const INT14_LAYOUT: Int14Layout = Int14Layout::Words;

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
