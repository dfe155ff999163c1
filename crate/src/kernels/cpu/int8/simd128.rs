//! WebAssembly without relaxed SIMD: `i32x4.dot_i16x8` of bytes that are widened as they are loaded.

use std::arch::wasm32::*;

use super::{Dot, Group, PANEL};

pub(super) struct Simd128;

impl Dot for Simd128 {
    #[inline(always)]
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
    ) -> [[i32; PANEL]; R] {
        // SAFETY: the caller's rows are four times as long as the groups; a group is eight halves of
        // a vector, two columns each, and the starts are four vectors.
        unsafe {
            let mut sums = [[i32x4_splat(0); 8]; R];
            for (k, group) in groups.iter().enumerate() {
                let x = rows
                    .map(|row| u16x8_extend_low_u8x16(v128_load32_splat(row.add(4 * k).cast())));
                for eighth in 0..8 {
                    let at: *const i16 = group.0.as_ptr().cast();
                    let weights = i16x8_load_extend_i8x8(at.add(4 * eighth).cast());
                    for (sums, &x) in sums.iter_mut().zip(&x) {
                        sums[eighth] = i32x4_add(sums[eighth], i32x4_dot_i16x8(weights, x));
                    }
                }
            }
            let starts: *const v128 = starts.as_ptr().cast();
            sums.map(|sums| {
                // Each vector holds two sums for each of two columns.
                let quarters = [0, 1, 2, 3].map(|quarter| {
                    let (a, b) = (sums[2 * quarter], sums[2 * quarter + 1]);
                    let even = i32x4_shuffle::<0, 2, 4, 6>(a, b);
                    let odd = i32x4_shuffle::<1, 3, 5, 7>(a, b);
                    i32x4_add(v128_load(starts.add(quarter)), i32x4_add(even, odd))
                });
                std::mem::transmute::<[v128; 4], [i32; PANEL]>(quarters)
            })
        }
    }
}
