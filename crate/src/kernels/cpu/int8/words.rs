//! Products by WebAssembly's `i32x4.dot_i16x8` of weights that are widened as they are loaded. 14-bit
//! activations cost no more than 7-bit ones, so it also serves where the relaxed dot product is slow.

use std::arch::wasm32::*;

use super::{Group, PANEL};

/// [`Dot::block_int14`](super::Dot::block_int14) of words, which have no zero point and so no starts.
///
/// # Safety
/// Each row is eight times as long as the groups.
#[inline(always)]
pub(super) unsafe fn block_int14_words<const R: usize>(
    int14: [*const u8; R],
    groups: &[Group],
    out: &mut [[i32; PANEL]; R],
) {
    // SAFETY: the caller's rows have eight bytes for each group.
    unsafe {
        let four = |row: *const u8, k: usize| v128_load64_splat(row.add(8 * k).cast());
        words(int14, groups, &[0; PANEL], four, out);
    }
}

/// The dot products of a block, as many columns at a time as registers hold. `four(row, k)` loads the
/// four words of a row's group `k` into both halves of a vector.
///
/// # Safety
/// `four` may be called with each row and group.
#[inline(always)]
pub(super) unsafe fn words<const R: usize>(
    rows: [*const u8; R],
    groups: &[Group],
    starts: &[i32; PANEL],
    four: impl Fn(*const u8, usize) -> v128 + Copy,
    out: &mut [[i32; PANEL]; R],
) {
    // SAFETY: the caller's.
    unsafe {
        match R {
            1 => columns::<R, 8>(rows, groups, starts, four, 0, out),
            2 => {
                columns::<R, 4>(rows, groups, starts, four, 0, out);
                columns::<R, 4>(rows, groups, starts, four, 2, out);
            }
            _ => {
                columns::<R, 2>(rows, groups, starts, four, 0, out);
                columns::<R, 2>(rows, groups, starts, four, 1, out);
                columns::<R, 2>(rows, groups, starts, four, 2, out);
                columns::<R, 2>(rows, groups, starts, four, 3, out);
            }
        }
    }
}

/// [`words`] for the `VECTORS / 2` quarters of the columns from quarter `first` on.
///
/// # Safety
/// As [`words`].
#[inline(always)]
unsafe fn columns<const R: usize, const VECTORS: usize>(
    rows: [*const u8; R],
    groups: &[Group],
    starts: &[i32; PANEL],
    four: impl Fn(*const u8, usize) -> v128,
    first: usize,
    out: &mut [[i32; PANEL]; R],
) {
    // Each vector holds two sums for each of two columns.
    let mut sums = [[i32x4_splat(0); R]; VECTORS];
    for (k, group) in groups.iter().enumerate() {
        let mut x = [i32x4_splat(0); R];
        for r in 0..R {
            x[r] = four(rows[r], k);
        }
        for (v, sums) in sums.iter_mut().enumerate() {
            // SAFETY: a group is eight halves of a vector, two columns each.
            let weights = unsafe {
                let at: *const i16 = group.0.as_ptr().cast();
                i16x8_load_extend_i8x8(at.add(4 * (2 * first + v)).cast())
            };
            for (sum, &x) in sums.iter_mut().zip(&x) {
                *sum = i32x4_add(*sum, i32x4_dot_i16x8(weights, x));
            }
        }
    }
    for quarter in 0..VECTORS / 2 {
        let column = 4 * (first + quarter);
        for r in 0..R {
            let (a, b) = (sums[2 * quarter][r], sums[2 * quarter + 1][r]);
            let even = i32x4_shuffle::<0, 2, 4, 6>(a, b);
            let odd = i32x4_shuffle::<1, 3, 5, 7>(a, b);
            // SAFETY: the starts and a row's sums are four vectors each.
            unsafe {
                let start = v128_load(starts.as_ptr().add(column).cast());
                let sum = i32x4_add(start, i32x4_add(even, odd));
                v128_store(out[r].as_mut_ptr().add(column).cast(), sum);
            }
        }
    }
}
