//! The kernels: matrix products, attention, norms and activations, on the CPU and the GPU.
//!
//! Every result here has the same bits on every machine: sums run in an order that depends on
//! nothing but the shapes, products and sums are separate operations (no fused multiply-add), and
//! exponentials, logarithms and square roots consist of operations that IEEE 754 defines exactly.
//! Instruction set, thread count and tile sizes change only the speed.
//!
//! [`cpu`] holds the kernels, one file per instruction set; `gpu` those in WGSL; [`parallel`] shares
//! tiles of an output among threads; [`quantize`] defines the integers of 8-bit products; [`scratch`]
//! reuses memory between passes.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod parallel;
pub mod quantize;
pub mod scratch;

/// Numbers from −1 to 1 for tests, the same for a seed.
#[cfg(test)]
pub(crate) fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}
