//! Kernels of the graphics card, by wgpu: WebGPU in the browser, Vulkan natively.
//!
//! What a model in 8 bits is computed with has the bits of the CPU: the same integers, the same order
//! of f32 sums, and a division, a root and an exponential that do not leave rounding to the device
//! (`exact.wgsl`). One rounding more or less turns a byte somewhere, and every layer after it makes
//! more of that. Products in f32 sum in the order that suits the device, and differ in their last
//! bits.
//!
//! Half precision is not used: its sums would leave the CPU's bits, which are worth more here than the
//! rate of a product.
//!
//! Work is recorded once, into a [`Program`], and submitted as often as wanted; nothing here waits
//! for the device but [`Gpu::submit`], which is awaited.
//!
//! | part | owns |
//! |---|---|
//! | `device` | opening the device, buffers, faults, submission and reading back |
//! | `pipelines` | the kernels' programs, compiled when first used |
//! | `source` | the kernels' texts: constants, and lines repeated in place of loops |
//! | `program` | the list of dispatches and their parameters |
//! | `timing` | where the device's time goes, by its own timestamps |
//! | `variants` | the variants that are timed when the device is opened |
//! | `operations` | one function for each kernel, which chooses its variant |
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
