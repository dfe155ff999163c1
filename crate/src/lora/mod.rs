//! Composing LoRA modules: several adapters and one weight each become the side paths that the
//! model applies beside its base weights, which stay as they are.

mod composition;
mod export;
#[cfg(feature = "gpu")]
mod gpu;

#[cfg(feature = "gpu")]
pub(crate) use composition::check_weights;
pub use composition::{Composition, LastComposition, LoraError, Merge};
pub use export::{PeftFiles, export};
