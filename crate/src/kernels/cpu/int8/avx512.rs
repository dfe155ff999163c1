//! x86-64 with AVX-512 VNNI: `vpdpbusd` multiplies and sums a whole group.

use std::arch::x86_64::*;

use super::{Dot, Group, PANEL};

pub(super) struct Avx512;

impl Dot for Avx512 {
    #[inline(always)]
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
        // SAFETY: the caller has the instruction set, and rows four times as long as the groups; a
        // group and the starts are one register of 64 bytes each.
        unsafe {
            let multiply = |r: usize, k: usize, sum: __m512i| {
                let x = _mm512_set1_epi32(rows[r].add(4 * k).cast::<i32>().read_unaligned());
                let weights = _mm512_load_si512(groups.as_ptr().add(k).cast());
                _mm512_dpbusd_epi32(sum, x, weights)
            };
            let mut sums = [_mm512_loadu_si512(starts.as_ptr().cast()); R];
            let mut first = 0;
            if R <= 2 {
                // Four independent sums hide the latency of the instruction.
                let mut others = [[_mm512_setzero_si512(); 3]; R];
                while first + 4 <= groups.len() {
                    for r in 0..R {
                        sums[r] = multiply(r, first, sums[r]);
                        for (other, sum) in others[r].iter_mut().enumerate() {
                            *sum = multiply(r, first + 1 + other, *sum);
                        }
                    }
                    first += 4;
                }
                for (sum, others) in sums.iter_mut().zip(others) {
                    *sum = others.into_iter().fold(*sum, |sum, other| _mm512_add_epi32(sum, other));
                }
            }
            for k in first..groups.len() {
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = multiply(r, k, *sum);
                }
            }
            for r in 0..R {
                _mm512_storeu_si512(out[r].as_mut_ptr().cast(), sums[r]);
            }
        }
    }
}
