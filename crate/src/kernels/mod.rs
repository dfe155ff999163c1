//! The arithmetic under the model.
//!
//! Every result here has the same bits on every machine: sums run in an order that depends on
//! nothing but the shapes, products and sums are separate operations (no fused multiply-add), and
//! exponentials, logarithms and square roots are made of operations that IEEE 754 defines exactly.
//! Instruction set, number of threads and tile sizes change the speed alone.
//!
//! [`cpu`] holds the kernels, one file per instruction set; [`parallel`] shares tiles of an output
//! among threads; [`quantize`] says which integers 8-bit products are made of; [`scratch`] keeps
//! memory between passes.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod parallel;
pub mod quantize;
pub mod scratch;
