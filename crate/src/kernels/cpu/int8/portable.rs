//! Plain integer loops: the kernel of any machine, and the reference for the others.

use super::{Dot, Group, PANEL};

pub(super) struct Portable;

impl Dot for Portable {
    #[inline(always)]
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
        *out = [*starts; R];
        for (k, group) in groups.iter().enumerate() {
            for r in 0..R {
                // SAFETY: the caller's rows are four times as long as the groups.
                let x = unsafe { rows[r].add(4 * k).cast::<[u8; 4]>().read() }.map(i32::from);
                for (sum, w) in out[r].iter_mut().zip(&group.0) {
                    let w = w.map(i32::from);
                    *sum += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
                }
            }
        }
    }
}
