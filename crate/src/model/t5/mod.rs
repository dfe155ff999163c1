//! The Flan-T5 model: encoder, teacher-forced decoder with its loss, greedy decoding.
//!
//! A batch is *ragged*: the tokens of all examples lie one after another, `[tokens, d_model]`, and
//! nothing is padded. An example's result has the same bits whatever else is in its batch.

mod blocks;
mod builder;
mod config;
mod error;
#[cfg(feature = "gpu")]
mod gpu;
mod greedy;
mod known_answers;
mod linear;
mod losses;
#[cfg(feature = "bench")]
pub mod measured;
mod model;
mod packed;
mod position;

pub use builder::ModelBuilder;
pub use config::{FeedForward, T5Config};
pub use error::{Control, ModelError};
#[cfg(feature = "gpu")]
pub use gpu::{GpuDecoder, GpuEvaluation, GpuModel, GpuModules, ModuleLayers};
pub use greedy::GreedyDecoder;
pub use known_answers::{KNOWN_ANSWERS, Known, KnownAnswer, Verified};
pub use linear::{LoraBranch, LoraBranches};
pub use losses::PreparedBatch;
pub use model::{Encoded, ExampleLoss, Precision, T5Model, TokenizedExample};
pub use packed::{PACKED_LAYOUT, PackedCopy, PackedReader, PackedSource};

/// Most tokens of one input or output. T5 knows no limit of its own; this one keeps a pasted book
/// from filling the memory.
pub const MAX_TOKENS: usize = 4096;
