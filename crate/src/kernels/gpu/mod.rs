//! Kernels of the GPU, through wgpu: WebGPU in the browser, Vulkan natively.
//!
//! The kernels of an 8-bit model give the same bits as the CPU's: the same integers, the same order of
//! f32 sums, and a division, a square root and an exponential that do not depend on the device's rounding
//! (`exact.wgsl`). A single different rounding changes a quantised byte, and every later layer amplifies
//! the difference. Products in f32 sum in the device's order, and differ in their last bits.
//!
//! Half precision is not used, as its sums would not have the CPU's bits.
//!
//! A [`Recorder`] records dispatches once into a [`Program`], which can be submitted repeatedly. Only
//! [`Gpu::submit`] waits for the device.
//!
//! | part | owns |
//! |---|---|
//! | `device` | opening the device, buffers, faults, submission and reading back |
//! | `pipelines` | the compiled kernels, each compiled on first use |
//! | `source` | the kernels' source text: constants, and lines repeated in place of loops |
//! | `program` | the list of dispatches and their parameters |
//! | `timing` | time per kind of kernel, by the device's timestamps |
//! | `variants` | the kernel variants that are timed when the device is opened |
//! | `operations` | one function for each kernel, which selects its variant |
//! | `shaders/` | the kernels, in WGSL |

mod device;
mod error;
mod operations;
mod pipelines;
mod program;
mod source;
#[cfg(test)]
pub(crate) mod tests;
mod timing;
mod variants;

pub use device::{Buffer, Gpu};
pub use error::GpuError;
pub use operations::{
    Attention, AttentionTask, Embedding, FloatProduct, Int8Product, Matrix, Output, Quantize,
    RankFactor, Rows, RowsMode, Store, WeightRow, attention_queries, packed_words,
};
pub use program::{Program, Recorder};
pub use timing::TimeSplit;
