//! Models: what every architecture shares, and one folder for each architecture.
//!
//! | part | owns |
//! |---|---|
//! | `Model`, `ModelConfig` | the traits between a session and an architecture |
//! | [`parse_config`] | the choice of the architecture |
//! | `batch` | tokenized examples, losses, encoder states |
//! | `builder`, `packed` | a model built tensor by tensor, and the copy of its packed weights |
//! | `linear` | weight matrices, activations and LoRA branches in each [`Precision`] |
//! | `gradient` | gradients of LoRA branches, and the linear layers' part of the backward pass |
//! | `linear_id` | names of the linear layers |
//! | `reference_outputs` | the check of a model against published outputs |
//! | [`t5`] | the T5 family |

use std::fmt;
#[cfg(feature = "gpu")]
use std::pin::Pin;
use std::sync::Arc;

mod batch;
mod builder;
mod error;
mod generation;
mod gradient;
mod linear;
mod linear_id;
#[cfg(feature = "bench")]
pub mod measured;
mod packed;
mod reference_outputs;
pub mod t5;

pub use batch::{Encoded, ExampleLoss, MAX_TOKENS, TokenizedExample};
pub use builder::{LmHeadNote, ModelBuilder, TensorKind, TensorSpecs, Tensors, UnusedTensors};
pub use error::{Control, ModelError};
pub use generation::{GenerationNote, generation_note};
pub(crate) use gradient::CandidateLayer;
pub use gradient::{BranchGradient, GradientBatch, Gradients, LoraCandidates, WithRespectTo};
pub use linear::{LoraBranch, LoraBranches, Precision};
pub use linear_id::{GroupCoefficients, LayerGroup, LinearId, LinearKind, Stack};
pub use packed::{PACKED_LAYOUT, PackedCopy, PackedReader, PackedSource};
pub use reference_outputs::{Expected, REFERENCE_OUTPUTS, ReferenceOutput, Verified, verify};
#[cfg(feature = "gpu")]
pub use t5::{GpuDecoder, GpuEvaluation, GpuModules, ModuleLayer};

use crate::formats::{TensorSource, Tokenizer, take_all};
#[cfg(feature = "gpu")]
use crate::kernels::gpu::{Gpu, GpuError};
use t5::T5Config;

/// Sizes of a model, from its `config.json`.
pub trait ModelConfig: fmt::Debug + Send + Sync {
    /// Rows of the embedding.
    fn vocab_size(&self) -> usize;

    /// Width of the residual stream.
    fn d_model(&self) -> usize;

    /// Number of blocks of a stack.
    fn blocks(&self, stack: Stack) -> usize;

    /// Number of parameters, embeddings included; a tied `lm_head` counts once.
    fn parameters(&self) -> u64;

    /// The token that decoding starts from.
    fn decoder_start_token_id(&self) -> u32;

    /// The token that ends an output, `</s>`.
    fn eos_token_id(&self) -> u32;

    /// Shape of a linear layer's weight, `[d_out, d_in]`, or `None` if the model has no such layer.
    fn linear_shape(&self, id: LinearId) -> Option<[usize; 2]>;

    /// Every linear layer with the shape of its weight.
    fn linear_layers(&self) -> Vec<(LinearId, [usize; 2])> {
        let ids = [Stack::Encoder, Stack::Decoder].into_iter().flat_map(|stack| {
            (0..self.blocks(stack)).flat_map(move |block| {
                LinearKind::ALL.into_iter().map(move |kind| LinearId { stack, block, kind })
            })
        });
        ids.filter_map(|id| Some((id, self.linear_shape(id)?))).collect()
    }

    /// Every tensor of the weights, by Hugging Face's name.
    fn tensors(&self) -> TensorSpecs;

    /// What to know of `lm_head` in a loaded model, by whether its weights contain one.
    fn lm_head_note(&self, is_in_weights: bool) -> Option<LmHeadNote>;

    /// The model that this one was saved from, where the configuration names it.
    fn name_or_path(&self) -> Option<&str>;

    /// The name in [`ModelConfig::tensors`] of a tensor that has several.
    fn canonical_name<'n>(&self, name: &'n str) -> &'n str;

    /// Whether Hugging Face passes over a tensor of this name without a warning, though the model has
    /// none: older files contain it, and it has no effect.
    fn is_ignored(&self, name: &str) -> bool;

    /// Builds the model from its tensors.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`].
    fn build(&self, tensors: Tensors) -> Result<Arc<dyn Model>, ModelError>;

    /// Checks that a tokenizer belongs to the model.
    ///
    /// # Errors
    /// [`ModelError::Config`] if the tokenizer has more tokens than the model, or ends texts with
    /// another one.
    fn check_tokenizer(&self, tokenizer: &Tokenizer) -> Result<(), ModelError> {
        let mismatch = |field: &str, expected: String, found: usize| {
            Err(ModelError::Config { field: field.into(), expected, found: found.to_string() })
        };
        let (tokens, end) = (tokenizer.vocabulary_size(), tokenizer.end());
        if tokens > self.vocab_size() {
            let expected = format!("at least {tokens}, the tokens of its tokenizer");
            return mismatch("vocab_size", expected, self.vocab_size());
        }
        if end != self.eos_token_id() {
            let expected = format!("{end}, with which its tokenizer ends texts");
            return mismatch("eos_token_id", expected, self.eos_token_id() as usize);
        }
        Ok(())
    }

    /// Checks tokens of example `example`; `what` names them in the error.
    ///
    /// # Errors
    /// [`ModelError::Empty`], [`ModelError::TooLong`] or [`ModelError::TokenOutOfRange`].
    fn check_tokens(
        &self,
        what: &'static str,
        example: usize,
        tokens: &[u32],
    ) -> Result<(), ModelError> {
        let vocab_size = self.vocab_size();
        if tokens.is_empty() {
            return Err(ModelError::Empty { what, example });
        }
        if tokens.len() > MAX_TOKENS {
            let (tokens, limit) = (tokens.len(), MAX_TOKENS);
            return Err(ModelError::TooLong { what, example, tokens, limit });
        }
        match tokens.iter().position(|&token| token as usize >= vocab_size) {
            None => Ok(()),
            Some(position) => {
                let token = tokens[position];
                Err(ModelError::TokenOutOfRange { what, example, position, token, vocab_size })
            }
        }
    }
}

/// A loaded model; its weights never change.
pub trait Model: fmt::Debug + Send + Sync {
    /// The model's sizes.
    fn config(&self) -> &dyn ModelConfig;

    /// What the products are computed in.
    fn precision(&self) -> Precision;

    /// Bytes of the packed weights.
    fn bytes(&self) -> usize;

    /// Computes the part of a batch's losses that does not depend on LoRA branches.
    ///
    /// # Errors
    /// A [`ModelError`] for an input or labels that are empty, too long or not of this vocabulary.
    fn prepare(&self, batch: &[TokenizedExample]) -> Result<Box<dyn PreparedBatch>, ModelError>;

    /// Prepares a batch for gradients, which takes about as much memory again as the model.
    ///
    /// # Errors
    /// As [`Model::prepare`].
    fn differentiate(
        &self,
        batch: &[TokenizedExample],
    ) -> Result<Box<dyn GradientBatch>, ModelError>;

    /// Runs the encoder over a batch of inputs.
    ///
    /// # Errors
    /// A [`ModelError`] for an input that is empty, too long or not of this vocabulary, for LoRA
    /// branches of another precision, and [`ModelError::Cancelled`].
    fn encode(
        &self,
        inputs: &[&[u32]],
        branches: Option<&LoraBranches>,
        control: &Control,
    ) -> Result<Encoded, ModelError>;

    /// Starts greedy decoding of a batch of inputs.
    ///
    /// # Errors
    /// As [`Model::encode`].
    fn greedy(
        &self,
        inputs: &[&[u32]],
        branches: Option<&LoraBranches>,
        max_new_tokens: usize,
        control: &Control,
    ) -> Result<Box<dyn Decoder>, ModelError>;

    /// Each example's mean cross-entropy of its labels, teacher-forced.
    ///
    /// # Errors
    /// As [`Model::prepare`] and [`PreparedBatch::losses`].
    fn losses(
        &self,
        batch: &[TokenizedExample],
        branches: Option<&LoraBranches>,
        control: &Control,
    ) -> Result<Vec<ExampleLoss>, ModelError> {
        self.prepare(batch)?.losses(branches, control)
    }

    /// Greedily decodes a batch; `on_token` is called with each row's tokens as they are decoded. The
    /// outputs contain no start token and end with `</s>` if it was reached.
    ///
    /// # Errors
    /// As [`Model::encode`].
    fn generate(
        &self,
        inputs: &[&[u32]],
        branches: Option<&LoraBranches>,
        max_new_tokens: usize,
        control: &Control,
        on_token: &mut dyn FnMut(usize, u32),
    ) -> Result<Vec<Vec<u32>>, ModelError> {
        let mut decoder = self.greedy(inputs, branches, max_new_tokens, control)?;
        let mut outputs = vec![Vec::new(); inputs.len()];
        while !decoder.is_finished() {
            for (row, token) in decoder.step(branches, control)? {
                on_token(row, token);
                outputs[row].push(token);
            }
        }
        Ok(outputs)
    }

    /// Checks that the GPU has room for the base's losses of a batch with inputs and labels of these
    /// lengths; allocates nothing.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] naming what does not fit.
    #[cfg(feature = "gpu")]
    fn check_gpu_room(&self, gpu: &Gpu, inputs: &[usize], labels: &[usize])
    -> Result<(), GpuError>;

    /// Copies the weights to the GPU, in the model's precision.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] if the GPU cannot hold a single row of a matrix, and the device's
    /// faults, [`GpuError::OutOfMemory`] among them.
    #[cfg(feature = "gpu")]
    fn load_gpu(&self, gpu: Arc<Gpu>) -> GpuLoad<'_>;
}

/// The future of [`Model::load_gpu`].
#[cfg(feature = "gpu")]
pub type GpuLoad<'m> = Pin<Box<dyn Future<Output = Result<Box<dyn GpuModel>, GpuError>> + 'm>>;

/// A batch with everything computed that LoRA branches do not change.
pub trait PreparedBatch: fmt::Debug + Send + Sync {
    /// Each example's loss, with the bits of [`Model::losses`].
    ///
    /// # Errors
    /// [`ModelError::BranchPrecision`] and [`ModelError::Cancelled`].
    fn losses(
        &self,
        branches: Option<&LoraBranches>,
        control: &Control,
    ) -> Result<Vec<ExampleLoss>, ModelError>;
}

/// A batch in greedy decoding. Rows leave it once they are finished.
pub trait Decoder: fmt::Debug + Send + Sync {
    /// Whether every row has ended with `</s>` or at the limit.
    fn is_finished(&self) -> bool;

    /// Decodes one more token of every row that is not finished: pairs of the row's index in the
    /// batch and its token. Of equal logits the lowest token is taken. The LoRA branches have to be
    /// those that the decoding was started with.
    ///
    /// # Errors
    /// [`ModelError::BranchPrecision`] and [`ModelError::Cancelled`].
    fn step(
        &mut self,
        branches: Option<&LoraBranches>,
        control: &Control,
    ) -> Result<Vec<(usize, u32)>, ModelError>;
}

/// A model whose weights are on the GPU.
#[cfg(feature = "gpu")]
pub trait GpuModel: fmt::Debug {
    /// The device.
    fn gpu(&self) -> &Gpu;

    /// Bytes of the weights on the device, the embedding included.
    fn bytes(&self) -> u64;

    /// Bytes of the embedding.
    fn embedding_bytes(&self) -> u64;

    /// Copies the matrices of `count` LoRA modules to the device. `layer` returns those of one linear
    /// layer, checked to fit it. `summed` says whether every layer has one copy for each module, which
    /// the device sums, or a single one.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] if the modules' matrices of one group of layers exceed a binding.
    fn load_modules<'a>(
        &self,
        layer: &dyn Fn(LinearId) -> Option<ModuleLayer<'a>>,
        count: usize,
        summed: bool,
    ) -> Result<GpuModules, GpuError>;

    /// Prepares a batch for evaluations of up to `members` vectors of coefficients at once.
    ///
    /// # Errors
    /// As [`Model::prepare`], and [`GpuError::TooLarge`] if the batch does not fit the device.
    fn prepare(
        &self,
        batch: &[TokenizedExample],
        modules: Option<&GpuModules>,
        members: usize,
    ) -> Result<GpuEvaluation, ModelError>;

    /// Starts greedy decoding of a batch, with modules and one coefficient each or with the base
    /// alone.
    ///
    /// # Errors
    /// As [`Model::greedy`], and [`GpuError::TooLarge`] if the batch does not fit the device.
    ///
    /// # Panics
    /// If the number of coefficients is not that of the modules.
    fn greedy(
        &self,
        inputs: &[&[u32]],
        modules: Option<(&GpuModules, &[GroupCoefficients])>,
        max_new_tokens: usize,
    ) -> Result<GpuDecoder, ModelError>;
}

#[cfg(feature = "gpu")]
impl dyn GpuModel + '_ {
    /// Greedily decodes a batch; see [`Model::generate`].
    ///
    /// # Errors
    /// As [`GpuModel::greedy`] and [`GpuDecoder::step`].
    pub async fn generate(
        &self,
        inputs: &[&[u32]],
        modules: Option<(&GpuModules, &[GroupCoefficients])>,
        max_new_tokens: usize,
        control: &Control,
        on_token: &mut dyn FnMut(usize, u32),
    ) -> Result<Vec<Vec<u32>>, ModelError> {
        let mut decoder = self.greedy(inputs, modules, max_new_tokens)?;
        let mut outputs = vec![Vec::new(); inputs.len()];
        while !decoder.is_finished() {
            for (row, token) in decoder.step(control).await? {
                on_token(row, token);
                outputs[row].push(token);
            }
        }
        Ok(outputs)
    }
}

/// Reads `config.json` and so chooses the architecture, by its `model_type`.
///
/// # Errors
/// [`ModelError::Config`] naming the field that is missing, out of range or not supported.
pub fn parse_config(json: &[u8]) -> Result<Arc<dyn ModelConfig>, ModelError> {
    Ok(Arc::new(T5Config::parse(json)?))
}

/// Reads and packs a model's weights.
///
/// # Errors
/// [`ModelError::MissingTensor`], [`ModelError::TensorShape`] or [`ModelError::Format`] for weights
/// that do not fit the configuration.
pub fn load(
    config: Arc<dyn ModelConfig>,
    source: &dyn TensorSource,
    precision: Precision,
) -> Result<Arc<dyn Model>, ModelError> {
    let mut builder = ModelBuilder::new(config, precision);
    take_all(source, &mut builder)?;
    builder.finish()
}
