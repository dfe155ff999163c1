//! Weights of a T5 model, and the model's entry points.

use std::sync::Arc;

use super::blocks::{Attention, Block, Cache};
#[cfg(feature = "gpu")]
use super::gpu::{self, T5GpuModel};
use super::gradient::T5GradientBatch;
use super::{GreedyDecoder, T5Config, tensors};
use crate::formats::{TensorSource, take_all};
use crate::kernels::cpu::Isa;
#[cfg(feature = "gpu")]
use crate::kernels::gpu::{Gpu, GpuError};
use crate::model::linear::{Activations, Context, Embedding, Linear};
use crate::model::{
    Control, Decoder, Encoded, GradientBatch, LoraBranches, Model, ModelBuilder, ModelConfig,
    ModelError, Precision, PreparedBatch, Stack, Tensors, TokenizedExample,
};
#[cfg(feature = "gpu")]
use crate::model::{GpuLoad, GpuModel};

/// A stack's blocks and what they share.
#[derive(Debug)]
pub(super) struct StackWeights {
    pub(super) blocks: Vec<Block>,
    /// `[buckets, num_heads]` of each block, or of the first one for all.
    pub(super) relative_attention_biases: Vec<Vec<f32>>,
    pub(super) final_norm: Vec<f32>,
}

impl StackWeights {
    fn take(tensors: &mut Tensors, config: &T5Config, stack: Stack) -> Result<Self, ModelError> {
        Ok(Self {
            blocks: (0..config.blocks(stack))
                .map(|block| Block::take(tensors, config.feed_forward, stack, block))
                .collect::<Result<_, _>>()?,
            relative_attention_biases: (config.biased_blocks(stack))
                .map(|block| tensors.vector(&tensors::relative_attention_bias(stack, block)))
                .collect::<Result<_, _>>()?,
            final_norm: tensors.vector(&tensors::final_norm(stack))?,
        })
    }
}

#[derive(Debug)]
pub(super) struct Weights {
    pub(super) config: T5Config,
    pub(super) precision: Precision,
    pub(super) embedding: Embedding,
    pub(super) encoder: StackWeights,
    pub(super) decoder: StackWeights,
    pub(super) lm_head: Linear,
}

/// A T5 model. Clones share the weights.
#[derive(Debug, Clone)]
pub struct T5Model {
    isa: Isa,
    pub(super) weights: Arc<Weights>,
}

impl T5Model {
    /// Reads and packs the weights.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`], [`ModelError::TensorShape`] or [`ModelError::Format`] for
    /// weights that do not fit the configuration.
    pub fn load(
        config: T5Config,
        source: &dyn TensorSource,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        let mut builder = ModelBuilder::new(Arc::new(config.clone()), precision);
        take_all(source, &mut builder)?;
        Self::new(config, builder.finish_tensors()?)
    }

    /// # Errors
    /// [`ModelError::MissingTensor`].
    pub(super) fn new(mut config: T5Config, mut tensors: Tensors) -> Result<Self, ModelError> {
        let (embedding, lm_head) = match tensors.embedding() {
            None => (Embedding::Tied, tensors.linear(tensors::EMBEDDING[0])?),
            Some(embedding) => (embedding, tensors.linear(tensors::LM_HEAD)?),
        };
        config.tie_word_embeddings = matches!(embedding, Embedding::Tied);
        let encoder = StackWeights::take(&mut tensors, &config, Stack::Encoder)?;
        let decoder = StackWeights::take(&mut tensors, &config, Stack::Decoder)?;
        let precision = tensors.precision;
        let weights = Weights { config, precision, embedding, encoder, decoder, lm_head };
        Ok(Self { isa: Isa::fastest(), weights: Arc::new(weights) })
    }

    /// The model's sizes.
    pub fn config(&self) -> &T5Config {
        &self.weights.config
    }

    /// Uses another instruction set than the machine's fastest; the results do not change.
    pub fn with_isa(mut self, isa: Isa) -> Self {
        self.isa = isa;
        self
    }

    /// # Errors
    /// [`ModelError::BranchPrecision`].
    pub(super) fn context<'a>(
        &self,
        branches: Option<&'a LoraBranches>,
    ) -> Result<Context<'a>, ModelError> {
        let expected = self.weights.precision;
        match branches.map(LoraBranches::precision) {
            Some(found) if found != expected => {
                Err(ModelError::BranchPrecision { expected, found })
            }
            _ => Ok(Context::new(self.isa, expected, self.config().d_model, branches)),
        }
    }

    pub(super) fn base_context(&self) -> Context<'static> {
        Context::new(self.isa, self.weights.precision, self.config().d_model, None)
    }

    /// The embeddings of tokens that were checked, `[tokens, d_model]`.
    pub(super) fn embed(&self, tokens: impl Iterator<Item = u32>) -> Vec<f32> {
        let Weights { config, embedding, lm_head, .. } = &*self.weights;
        let mut rows = Vec::new();
        for token in tokens {
            let start = rows.len();
            rows.resize(start + config.d_model, 0.0);
            embedding.read_row(lm_head, token as usize, &mut rows[start..]);
        }
        rows
    }

    /// Keys and values of the encoder's output.
    pub(super) fn cross_cache(
        &self,
        context: Context<'_>,
        cross: &Attention,
        encoded: &Encoded,
    ) -> Cache {
        let config = self.config();
        let lengths = encoded.bounds().windows(2).map(|pair| pair[1] - pair[0]);
        let mut cache = Cache::new(config, lengths);
        let [keys, values] = cross.memory(context, config, encoded.states());
        cache.extend(config, &keys, &values, encoded.bounds());
        cache
    }

    /// The factor of the decoder's final norm.
    pub(super) fn lm_head_factor(&self) -> f32 {
        let config = self.config();
        if config.scale_decoder_outputs { 1.0 / (config.d_model as f32).sqrt() } else { 1.0 }
    }

    /// The decoder's final norm, scaled where the configuration says so.
    pub(super) fn lm_head_input(&self, context: Context<'_>, x: &[f32]) -> Activations {
        let (config, factor) = (self.config(), self.lm_head_factor());
        let weight = &self.weights.decoder.final_norm;
        Activations::normed(context, config.layer_norm_epsilon, weight, factor, x, true)
    }
}

impl Model for T5Model {
    fn config(&self) -> &dyn ModelConfig {
        &self.weights.config
    }

    fn precision(&self) -> Precision {
        self.weights.precision
    }

    fn bytes(&self) -> usize {
        let Weights { embedding, encoder, decoder, lm_head, .. } = &*self.weights;
        let blocks = encoder.blocks.iter().chain(&decoder.blocks);
        embedding.bytes() + lm_head.bytes() + blocks.map(Block::bytes).sum::<usize>()
    }

    fn prepare(&self, batch: &[TokenizedExample]) -> Result<Box<dyn PreparedBatch>, ModelError> {
        Ok(Box::new(self.prepare_batch(batch)?))
    }

    fn differentiate(
        &self,
        batch: &[TokenizedExample],
    ) -> Result<Box<dyn GradientBatch>, ModelError> {
        Ok(Box::new(T5GradientBatch::new(self, batch)?))
    }

    fn encode(
        &self,
        inputs: &[&[u32]],
        branches: Option<&LoraBranches>,
        control: &Control,
    ) -> Result<Encoded, ModelError> {
        self.encode_prepared(&self.prepare_inputs(inputs)?, self.context(branches)?, control)
    }

    fn greedy(
        &self,
        inputs: &[&[u32]],
        branches: Option<&LoraBranches>,
        max_new_tokens: usize,
        control: &Control,
    ) -> Result<Box<dyn Decoder>, ModelError> {
        Ok(Box::new(GreedyDecoder::new(self, inputs, branches, max_new_tokens, control)?))
    }

    #[cfg(feature = "gpu")]
    fn check_gpu_room(
        &self,
        gpu: &Gpu,
        inputs: &[usize],
        labels: &[usize],
    ) -> Result<(), GpuError> {
        gpu::check_losses(gpu, self, inputs, labels)
    }

    #[cfg(feature = "gpu")]
    fn load_gpu(&self, gpu: Arc<Gpu>) -> GpuLoad<'_> {
        Box::pin(async {
            let model: Box<dyn GpuModel> = Box::new(T5GpuModel::load(gpu, self).await?);
            Ok(model)
        })
    }
}

/// Row bounds of examples of these lengths, `[examples + 1]`.
pub(super) fn bounds(lengths: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut bounds = vec![0];
    for length in lengths {
        bounds.push(bounds[bounds.len() - 1] + length);
    }
    bounds
}
