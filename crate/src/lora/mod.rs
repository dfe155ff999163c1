//! LoRA modules: reading PEFT folders, and composing several modules with one weight each into the
//! LoRA branches that the model applies beside its base weights, which stay as they are.

mod adapter_set;
mod composition;
mod export;
#[cfg(feature = "gpu")]
mod gpu;
mod peft;

#[cfg(feature = "gpu")]
pub(crate) use adapter_set::check_weights;
pub use adapter_set::{AdapterSet, CompositionCache, LoraError, Merge};
pub use composition::{Composition, WeightedModule};
pub use export::{PeftFiles, export};
pub use peft::{AdapterConfig, PeftAdapter, PeftLayer};
