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
