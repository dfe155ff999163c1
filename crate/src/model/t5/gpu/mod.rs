//! The model on the graphics card. Weights are copied there once from a [`T5Model`], which stays: it
//! is what the device's results are checked against, and what they are rebuilt from if the device is
//! lost.
//!
//! | part | owns |
//! |---|---|
//! | `weights` | the model's weights on the device |
//! | `modules` | LoRA modules on the device, merged there for any coefficients |
//! | `plan` | the memory plan: what fits, and how large it is, before anything is made |
//! | `workspace` | the buffers that a batch passes through |
//! | `layers` | the dispatches of blocks and linear layers |
//! | `evaluation` | losses of a batch for a population of coefficients |
//! | `decoder` | greedy decoding |
//!
//! A *population* is several vectors of coefficients evaluated in one submission: its members' rows
//! lie one after another, the base's products take them all, and only LoRA branches tell them apart.

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
pub use modules::{GpuModules, ModuleLayers};
pub use weights::GpuModel;

#[cfg(doc)]
use super::T5Model;
