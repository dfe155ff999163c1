//! Errors of loading and running models, and cancellation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Precision;
use crate::formats::FormatError;
#[cfg(feature = "gpu")]
use crate::kernels::gpu::GpuError;

/// Errors of loading and running a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file of weights is not valid.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A field of `config.json` is not usable.
    #[error("the model's config.json cannot be used: {field} should be {expected}, found {found}")]
    Config {
        /// Name of the field.
        field: String,
        /// What is supported.
        expected: String,
        /// The value in the file.
        found: String,
    },
    /// There is not enough memory.
    #[error("out of memory: {} MB more are needed at once", bytes.div_ceil(1_000_000))]
    OutOfMemory {
        /// Bytes of the allocation that failed.
        bytes: usize,
    },
    /// The file of weights lacks a tensor.
    #[error(
        "the model's weights have no tensor {name}, which its configuration asks for{}; \
         do config.json and the weights belong together?",
        found.as_ref().map_or(String::new(), |found| format!(", and have, for example, {found}"))
    )]
    MissingTensor {
        /// Hugging Face's name of the tensor.
        name: String,
        /// A tensor of the weights that the model does not have.
        found: Option<String>,
    },
    /// A tensor whose name a wrapper of the model has changed.
    #[error(
        "tensor {name} starts with {prefix:?}, which a wrapper such as torch.compile, DataParallel or \
         PEFT adds; save the model inside it"
    )]
    WrappedTensor {
        /// The name in the file.
        name: String,
        /// What the wrapper added.
        prefix: &'static str,
    },
    /// A tensor of a model whose adapter has not been merged.
    #[error(
        "tensor {name} is of a model that an adapter is attached to; save the adapter and the base \
         separately, or save what PEFT's merge_and_unload() returns"
    )]
    UnmergedAdapter {
        /// The name in the file.
        name: String,
    },
    /// A tensor of a T5 that classifies.
    #[error(
        "tensor {name} is of T5ForSequenceClassification or T5ForTokenClassification, which give a class and \
         no text; a T5ForConditionalGeneration is needed"
    )]
    Classifier {
        /// The name in the file.
        name: String,
    },
    /// Two names of the embedding hold different values.
    #[error(
        "the weights hold the embedding as {first} and, with other values, as {name}; a T5 has one, and \
         versions of transformers differ in which they take: save the model again with one of them"
    )]
    DifferentEmbeddings {
        /// The name that arrived first.
        first: String,
        /// The name of the copy that differs.
        name: String,
    },
    /// A tensor's shape contradicts `config.json`.
    #[error("tensor {name} should have the shape {expected:?} by config.json, found {found:?}")]
    TensorShape {
        /// Hugging Face's name of the tensor.
        name: String,
        /// The shape that the configuration gives.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A token outside the vocabulary.
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
        /// Size of the model's vocabulary.
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
        /// The limit.
        limit: usize,
    },
    /// A loss that is not a number.
    #[error(
        "the loss of example {example} is not a finite number: values of the base, of a module or of its \
         weight overflow"
    )]
    NotFinite {
        /// Index of the example.
        example: usize,
    },
    /// LoRA branches that were packed for models of another precision.
    #[error("the modules were composed for {found:?}, but the model computes in {expected:?}")]
    BranchPrecision {
        /// The model's precision.
        expected: Precision,
        /// The precision of the LoRA branches.
        found: Precision,
    },
    /// The GPU cannot be used, or no longer.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The computation was cancelled through its [`Control`].
    #[error("stopped")]
    Cancelled,
}

/// A handle that cancels a computation, checked between layers. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Control {
    cancelled: Option<Arc<AtomicBool>>,
}

impl Control {
    /// A control that never cancels.
    pub fn none() -> Self {
        Self::default()
    }

    /// A control for [`Control::cancel`].
    pub fn cancellable() -> Self {
        Self { cancelled: Some(Arc::default()) }
    }

    /// Cancels every computation that has a clone of this control; does nothing on
    /// [`Control::none`].
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
