//! WebAssembly with relaxed SIMD. The relaxed dot product is defined for a second operand of 7 bits,
//! which the activations are, so the result is the same on every engine.

use std::arch::wasm32::*;

use super::{Dot, Group, PANEL};

pub(super) struct Relaxed;

impl Dot for Relaxed {
    #[inline(always)]
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
    ) -> [[i32; PANEL]; R] {
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
                        sums[r][quarter] = i32x4_relaxed_dot_i8x16_i7x16_add(
                            weights[quarter],
                            x,
                            sums[r][quarter],
                        );
                    }
                }
            }
            sums.map(|quarters| std::mem::transmute::<[v128; 4], [i32; PANEL]>(quarters))
        }
    }
}
