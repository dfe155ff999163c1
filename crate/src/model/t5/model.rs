//! Weights of a model, and what it is asked for.

use serde::{Deserialize, Serialize};

use super::blocks::{Attention, Block, Cache};
use super::linear::{Activations, Context, Embedding, Linear};
use super::{Control, GreedyDecoder, LoraBranches, ModelBuilder, ModelError, T5Config};
use crate::formats::{TensorSource, take_all};
use crate::kernels::cpu::Isa;

/// What the base model's products are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Exact.
    F32,
    /// Weights in 8 bits, activations in 7; everything else in f32.
    #[default]
    Int8,
}

/// One example as token ids, both ending with `</s>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedExample {
    /// What the encoder reads.
    pub input: Vec<u32>,
    /// What the decoder should write, without the start token.
    pub labels: Vec<u32>,
}

/// The loss of one example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExampleLoss {
    /// Mean cross-entropy of the labels, in nats per token.
    pub loss: f32,
    /// Labels that it is the mean of.
    pub tokens: usize,
}

/// The encoder's output for a batch.
#[derive(Debug)]
pub struct Encoded {
    pub(super) states: Vec<f32>,
    pub(super) bounds: Vec<usize>,
}

impl Encoded {
    /// The hidden states of all examples, one after another, `[tokens, d_model]`.
    pub fn states(&self) -> &[f32] {
        &self.states
    }

    /// Rows of each example: example `i` has the rows from `bounds[i]` to `bounds[i + 1]`.
    pub fn bounds(&self) -> &[usize] {
        &self.bounds
    }
}

/// A stack's blocks and what they share.
#[derive(Debug, Clone)]
pub(super) struct StackWeights {
    pub(super) blocks: Vec<Block>,
    /// `[buckets, num_heads]`, held by block 0 and used by all.
    pub(super) relative_attention_bias: Vec<f32>,
    pub(super) final_norm: Vec<f32>,
}

/// A T5 model: configuration and weights, which nothing changes after they are loaded.
#[derive(Debug, Clone)]
pub struct T5Model {
    pub(super) config: T5Config,
    precision: Precision,
    isa: Isa,
    pub(super) embedding: Embedding,
    pub(super) encoder: StackWeights,
    pub(super) decoder: StackWeights,
    pub(super) lm_head: Linear,
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
        let mut builder = ModelBuilder::new(config, precision);
        take_all(source, &mut builder)?;
        builder.finish()
    }

    pub(super) fn new(
        config: T5Config,
        precision: Precision,
        embedding: Embedding,
        encoder: StackWeights,
        decoder: StackWeights,
        lm_head: Linear,
    ) -> Self {
        Self { config, precision, isa: Isa::fastest(), embedding, encoder, decoder, lm_head }
    }

    /// The model's sizes.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// What the products are computed in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        let blocks = self.encoder.blocks.iter().chain(&self.decoder.blocks);
        self.embedding.bytes() + self.lm_head.bytes() + blocks.map(Block::bytes).sum::<usize>()
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
        side: Option<&'a LoraBranches>,
    ) -> Result<Context<'a>, ModelError> {
        let expected = self.precision;
        match side.map(|side| side.precision) {
            Some(found) if found != expected => {
                Err(ModelError::BranchPrecision { expected, found })
            }
            _ => Ok(Context::new(self.isa, expected, self.config.d_model, side)),
        }
    }

    pub(super) fn base_context(&self) -> Context<'static> {
        Context::new(self.isa, self.precision, self.config.d_model, None)
    }

    /// The embeddings of tokens that were checked, `[tokens, d_model]`.
    pub(super) fn embed(&self, tokens: impl Iterator<Item = u32>) -> Vec<f32> {
        let mut rows = Vec::new();
        for token in tokens {
            let start = rows.len();
            rows.resize(start + self.config.d_model, 0.0);
            self.embedding.read_row(&self.lm_head, token as usize, &mut rows[start..]);
        }
        rows
    }

    /// Runs the encoder over a batch of inputs.
    ///
    /// # Errors
    /// A [`ModelError`] for an input that is empty, too long or not of this vocabulary, for LoRA branches
    /// of another precision, and [`ModelError::Cancelled`].
    pub fn encode(
        &self,
        inputs: &[&[u32]],
        side: Option<&LoraBranches>,
        control: &Control,
    ) -> Result<Encoded, ModelError> {
        self.encode_prepared(&self.prepare_inputs(inputs)?, self.context(side)?, control)
    }

    /// Keys and values of the encoder's output.
    pub(super) fn cross_cache(
        &self,
        context: Context<'_>,
        cross: &Attention,
        encoded: &Encoded,
    ) -> Cache {
        let lengths = encoded.bounds.windows(2).map(|pair| pair[1] - pair[0]);
        let mut cache = Cache::new(&self.config, lengths);
        let [keys, values] = cross.memory(context, &self.config, &encoded.states);
        cache.extend(&self.config, &keys, &values, &encoded.bounds);
        cache
    }

    /// The decoder's final norm, with the scaling of a tied `lm_head`.
    pub(super) fn lm_head_input(&self, context: Context<'_>, x: &[f32]) -> Activations {
        let config = &self.config;
        let factor =
            if config.tie_word_embeddings { 1.0 / (config.d_model as f32).sqrt() } else { 1.0 };
        let weight = &self.decoder.final_norm;
        Activations::normed(context, config.layer_norm_epsilon, weight, factor, x, true)
    }

    /// Starts greedy decoding of a batch.
    ///
    /// # Errors
    /// As [`T5Model::encode`].
    pub fn greedy(
        &self,
        inputs: &[&[u32]],
        side: Option<&LoraBranches>,
        max_new_tokens: usize,
        control: &Control,
    ) -> Result<GreedyDecoder, ModelError> {
        GreedyDecoder::new(self, inputs, side, max_new_tokens, control)
    }

    /// Greedily decodes a batch; `on_token` is told each row's tokens as they come. The answers
    /// hold no start token and end with `</s>` if it was reached.
    ///
    /// # Errors
    /// As [`T5Model::encode`].
    pub fn generate(
        &self,
        inputs: &[&[u32]],
        side: Option<&LoraBranches>,
        max_new_tokens: usize,
        control: &Control,
        on_token: &mut dyn FnMut(usize, u32),
    ) -> Result<Vec<Vec<u32>>, ModelError> {
        let mut decoder = self.greedy(inputs, side, max_new_tokens, control)?;
        let mut outputs = vec![Vec::new(); inputs.len()];
        while !decoder.is_finished() {
            for (row, token) in decoder.step(self, side, control)? {
                on_token(row, token);
                outputs[row].push(token);
            }
        }
        Ok(outputs)
    }
}

/// Where each example's rows start, and where the last one's end.
pub(super) fn bounds(lengths: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut bounds = vec![0];
    for length in lengths {
        bounds.push(bounds[bounds.len() - 1] + length);
    }
    bounds
}
