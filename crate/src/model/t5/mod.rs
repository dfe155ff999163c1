//! The T5 family, Flan-T5 included: encoder, teacher-forced decoder with its loss, greedy decoding.
//!
//! A batch is *ragged*: the tokens of all examples are concatenated, `[tokens, d_model]`, without
//! padding. An example's result has the same bits whatever else is in its batch.

mod blocks;
mod config;
#[cfg(feature = "gpu")]
mod gpu;
mod gradient;
mod greedy;
mod losses;
mod model;
mod position;
mod tensors;

pub use config::{FeedForward, T5Config};
#[cfg(feature = "gpu")]
pub use gpu::{GpuDecoder, GpuEvaluation, GpuModules, ModuleLayer};
use greedy::GreedyDecoder;
pub use model::T5Model;
