//! T5 on the GPU. The weights are copied once from a [`T5Model`](super::T5Model), which stays: the
//! GPU's results are checked against it, and a lost device is reopened from it.
//!
//! | part | owns |
//! |---|---|
//! | `weights` | the model's weights on the device |
//! | `modules` | LoRA modules on the device, merged there for any coefficients |
//! | `plan` | the memory plan: the size of every buffer, before any is allocated |
//! | `workspace` | the buffers that a batch passes through |
//! | `layers` | the dispatches of blocks and linear layers |
//! | `evaluation` | losses of a batch for a population of coefficients |
//! | `decoder` | greedy decoding |
//!
//! A *population* is several vectors of coefficients evaluated in one submission: its members' rows
//! are concatenated, the base's products take all of them, and only LoRA branches differ by member.

mod decoder;
mod evaluation;
mod layers;
mod modules;
mod plan;
#[cfg(test)]
mod tests;
mod weights;
mod workspace;

pub use decoder::GpuDecoder;
pub use evaluation::GpuEvaluation;
pub(super) use evaluation::check_losses;
pub use modules::{GpuModules, ModuleLayer};
pub(super) use weights::T5GpuModel;
