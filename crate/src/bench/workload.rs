//! What can be measured, as the driver names it in JSON, and what a sample of it computes.

use serde::{Deserialize, Serialize};

use super::Ceiling;
use crate::learn::Optimizer;
use crate::lora::Merge;
use crate::model::Precision;

/// What is measured, as the driver names it in JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "measure", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Workload {
    /// The most that an instruction gives from the level-1 cache, or the memory when read.
    Ceiling {
        /// Which of them.
        unit: Ceiling,
    },
    /// One linear layer, `[rows, depth] · [columns, depth]ᵀ`.
    Product {
        /// Rows of activations.
        rows: usize,
        /// Outputs of the layer.
        columns: usize,
        /// Inputs of the layer.
        depth: usize,
        /// `int8` or `f32`.
        precision: Precision,
    },
    /// The encoder over a batch of inputs.
    Encoder {
        /// The model and the batch.
        #[serde(flatten)]
        batch: Batch,
    },
    /// One evaluation of the objective, of those that a learning run makes: merge the modules with new
    /// weights, then the losses. What a run computes once is left out, of the count too.
    Loss {
        /// The model and the batch.
        #[serde(flatten)]
        batch: Batch,
        /// The modules.
        #[serde(flatten)]
        modules: Modules,
    },
    /// One step of tuning a composition of the modules: the gradient of the losses, and Adam. What a
    /// run computes once is left out.
    Tune {
        /// The model and the batch.
        #[serde(flatten)]
        batch: Batch,
        /// The modules.
        #[serde(flatten)]
        modules: Modules,
    },
    /// A whole learning run.
    Learn {
        /// The model and the batch.
        #[serde(flatten)]
        batch: Batch,
        /// The modules.
        #[serde(flatten)]
        modules: Modules,
        /// Evaluations.
        budget: u32,
        /// The search: `cobyla` as published, any other with the default settings.
        optimizer: Optimizer,
    },
    /// The encoder and `newTokens` greedy tokens.
    Seq2seq {
        /// The model and the batch.
        #[serde(flatten)]
        batch: Batch,
        /// Tokens decoded of each input.
        new_tokens: usize,
    },
    /// `newTokens` greedy tokens, once the inputs are encoded.
    Decode {
        /// The model and the batch.
        #[serde(flatten)]
        batch: Batch,
        /// Tokens decoded of each input.
        new_tokens: usize,
    },
    /// Reading and packing a model's file, in the pieces that [`super::Pieces`] gives.
    Load {
        /// The model.
        model: String,
        /// `int8` or `f32`.
        precision: Precision,
    },
    /// A whole learning run on the demo library, whose files were added, as the page does it.
    LibraryLearn {
        /// Name of the task, the stem of its file.
        task: String,
        /// Names of the modules that are chosen from.
        modules: Vec<String>,
        /// `int8` or `f32`.
        precision: Precision,
    },
    /// Greedy decoding of the demo library's task, composed of all modules at equal weights.
    LibraryDecode {
        /// Name of the task, the stem of its file.
        task: String,
        /// Names of the modules composed.
        modules: Vec<String>,
        /// `int8` or `f32`.
        precision: Precision,
        /// Inputs decoded at once.
        inputs: usize,
    },
}

/// A model and a batch of random inputs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// `flan-t5-small`, `flan-t5-base` or `tiny`.
    pub model: String,
    /// `int8` or `f32`.
    pub precision: Precision,
    /// Inputs.
    pub examples: usize,
    /// Tokens of each input.
    pub tokens: usize,
    /// Tokens of each label; unused where nothing is scored.
    #[serde(default = "one")]
    pub targets: usize,
}

fn one() -> usize {
    1
}

/// Random modules of rank `rank` on q and v.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Modules {
    /// Their number.
    pub modules: usize,
    /// Their rank.
    pub rank: usize,
    /// How they are merged.
    pub merge: Merge,
}

/// What one sample of a workload computes, by its shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Multiply-adds.
    pub multiply_adds: u64,
    /// Bytes that have to be read from memory.
    pub bytes: u64,
    /// Tokens decoded.
    pub tokens: u64,
}
