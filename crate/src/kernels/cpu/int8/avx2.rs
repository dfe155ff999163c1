//! x86-64 with AVX2: `vpmaddubsw` adds two products in 16 bits, which 7-bit activations cannot
//! overflow (2 · 127 · 127 < 2¹⁵), and `vpmaddwd` adds two of those in 32 bits. 14-bit activations take
//! `vpmaddwd` alone.

use std::arch::x86_64::*;

use super::{Dot, Group, Int14Layout, PANEL};

pub(super) struct Avx2;

impl Dot for Avx2 {
    const INT14_LAYOUT: Int14Layout = Int14Layout::Words;

    #[inline(always)]
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
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
            for (out, sums) in out.iter_mut().zip(sums) {
                for (half, sum) in sums.into_iter().enumerate() {
                    _mm256_storeu_si256(out.as_mut_ptr().add(8 * half).cast(), sum);
                }
            }
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
        // SAFETY: the caller has AVX2, and rows of `int14` eight times as long as the groups; a group
        // is four halves of a register, four columns each.
        unsafe {
            for half in 0..2 {
                let mut sums = [[_mm256_setzero_si256(); R]; 2];
                for (k, group) in groups.iter().enumerate() {
                    let mut x = [_mm256_setzero_si256(); R];
                    for r in 0..R {
                        let four = int14[r].add(8 * k).cast::<i64>().read_unaligned();
                        x[r] = _mm256_set1_epi64x(four);
                    }
                    for (quarter, sums) in sums.iter_mut().enumerate() {
                        let at: *const __m128i = group.0.as_ptr().cast();
                        let bytes = _mm_loadu_si128(at.add(2 * half + quarter));
                        let weights = _mm256_cvtepi8_epi16(bytes);
                        for (sum, &x) in sums.iter_mut().zip(&x) {
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(weights, x));
                        }
                    }
                }
                for r in 0..R {
                    // Columns 0, 1, 4, 5 and 2, 3, 6, 7.
                    let fours = _mm256_hadd_epi32(sums[0][r], sums[1][r]);
                    let sum = _mm256_permute4x64_epi64::<0b11_01_10_00>(fours);
                    _mm256_storeu_si256(out[r].as_mut_ptr().add(8 * half).cast(), sum);
                }
            }
        }
    }
}
