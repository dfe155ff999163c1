//! LoRA modules: reading PEFT folders, and composing several modules with one weight each into the
//! LoRA branches that the model applies beside its base weights, which never change.

mod adapter_set;
mod candidates;
#[cfg(feature = "candle")]
mod candle;
mod composition;
mod error;
mod export;
mod merge;
mod peft;
mod svd;
mod truncate;
mod tunable;

pub use adapter_set::AdapterSet;
#[cfg(feature = "gpu")]
pub(crate) use adapter_set::{Used, check_weights};
#[cfg(feature = "candle")]
pub use candle::MergedWeights;
pub use composition::{Composition, GroupWeights, ModuleWeight, WeightedModule};
pub use error::LoraError;
pub use export::{ExportOptions, Exported, PeftFiles, export, export_scaled};
pub use merge::Merge;
pub use peft::{AdapterConfig, AdapterNotes, PeftAdapter, PeftLayer};
pub use truncate::{TruncatedLayer, Truncation};
pub use tunable::{TunableComposition, TunedPart, TunedScales};
