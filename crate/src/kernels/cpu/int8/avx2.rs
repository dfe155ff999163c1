//! x86-64 with AVX2: `vpmaddubsw` adds two products in 16 bits, which 7-bit activations cannot
//! overflow (2 · 127 · 127 < 2¹⁵), and `vpmaddwd` two of those in 32.

use std::arch::x86_64::*;

use super::{Dot, Group, PANEL};

pub(super) struct Avx2;

impl Dot for Avx2 {
    #[inline(always)]
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
    ) -> [[i32; PANEL]; R] {
        // SAFETY: the caller has AVX2, and rows four times as long as the groups; a group and the
        // starts are two registers of 32 bytes each.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let halves =
                |at: *const __m256i| [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))];
            let mut sums = [halves(starts.as_ptr().cast()); R];
            for (k, group) in groups.iter().enumerate() {
                let weights = halves(group.0.as_ptr().cast());
                for r in 0..R {
                    let x = _mm256_set1_epi32(rows[r].add(4 * k).cast::<i32>().read_unaligned());
                    for half in 0..2 {
                        let pairs = _mm256_maddubs_epi16(x, weights[half]);
                        let fours = _mm256_madd_epi16(pairs, ones);
                        sums[r][half] = _mm256_add_epi32(sums[r][half], fours);
                    }
                }
            }
            sums.map(|halves| std::mem::transmute::<[__m256i; 2], [i32; PANEL]>(halves))
        }
    }
}
