//! What can go wrong in the model, and the flag that stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Precision;
use crate::formats::FormatError;
#[cfg(feature = "gpu")]
use crate::kernels::gpu::GpuError;

/// What went wrong while a model was loaded or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The file of weights is not valid.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A field of `config.json` is not usable.
    #[error(
        "the model's configuration cannot be used: {field} should be {expected}, found {found}"
    )]
    Config {
        /// Name of the field.
        field: String,
        /// What is supported.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// The file of weights lacks a tensor.
    #[error(
        "the model's weights have no tensor {name}, which its configuration asks for; \
         do config.json and the weights belong together?"
    )]
    MissingTensor {
        /// Hugging Face's name of the tensor.
        name: String,
    },
    /// A tensor's shape contradicts `config.json`.
    #[error("tensor {name} should have the shape {expected:?} by config.json, found {found:?}")]
    TensorShape {
        /// Hugging Face's name of the tensor.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A token that the vocabulary does not have.
    #[error(
        "{what} of example {example} holds token {token} at position {position}, \
         but the model's vocabulary has {vocab_size}; does the tokenizer belong to the model?"
    )]
    TokenOutOfRange {
        /// `input` or `output`.
        what: &'static str,
        /// Index of the example in the batch.
        example: usize,
        /// Index of the token.
        position: usize,
        /// The token.
        token: u32,
        /// Tokens that the model knows.
        vocab_size: usize,
    },
    /// An input or output without tokens.
    #[error("{what} of example {example} is empty")]
    Empty {
        /// `input` or `output`.
        what: &'static str,
        /// Index of the example in the batch.
        example: usize,
    },
    /// An input or output that is longer than the limit.
    #[error("{what} of example {example} has {tokens} tokens; the limit is {limit}, so shorten it")]
    TooLong {
        /// `input` or `output`.
        what: &'static str,
        /// Index of the example in the batch.
        example: usize,
        /// Tokens found.
        tokens: usize,
        /// Most tokens allowed.
        limit: usize,
    },
    /// LoRA branches that were packed for models of another precision.
    #[error("the modules were composed for {found:?}, but the model computes in {expected:?}")]
    BranchPrecision {
        /// What the model computes in.
        expected: Precision,
        /// What the LoRA branches were packed for.
        found: Precision,
    },
    /// The graphics card cannot be used, or not any more.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The caller asked to stop.
    #[error("stopped")]
    Cancelled,
}

/// A handle to stop a computation, looked at between layers. Clones stop together.
#[derive(Debug, Clone, Default)]
pub struct Control {
    cancelled: Option<Arc<AtomicBool>>,
}

impl Control {
    /// For work that nobody will stop.
    pub fn none() -> Self {
        Self::default()
    }

    /// For work that [`Control::cancel`] stops.
    pub fn cancellable() -> Self {
        Self { cancelled: Some(Arc::default()) }
    }

    /// Stops all work that was given a clone of this control; nothing on [`Control::none`].
    pub fn cancel(&self) {
        if let Some(flag) = &self.cancelled {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// # Errors
    /// [`ModelError::Cancelled`] once [`Control::cancel`] was called.
    pub fn check(&self) -> Result<(), ModelError> {
        match &self.cancelled {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(ModelError::Cancelled),
            _ => Ok(()),
        }
    }
}
