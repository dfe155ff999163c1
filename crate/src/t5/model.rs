//! Weights of a model, encoding, and the teacher-forced loss.

use serde::{Deserialize, Serialize};

use super::blocks::{Attention, Block, Cache, Sight, attend_to, finish};
use super::linear::{Activations, Context, Embedding, Linear};
use super::position::PositionBias;
use super::{Control, GreedyDecoder, ModelBuilder, ModelError, SidePaths, T5Config};
use crate::formats::{Stack, TensorSource, take_all};
use crate::kernels::cpu::{Isa, Store, exponentials, largest, ln, rms_norm};
use crate::kernels::parallel::{Grid, for_each_tile};
use crate::kernels::scratch::Scratch;

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

    pub(super) fn context<'a>(&self, side: Option<&'a SidePaths>) -> Context<'a> {
        Context::new(self.isa, self.precision, self.config.d_model, side)
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
    /// A [`ModelError`] for an input that is empty, too long or not of this vocabulary, and
    /// [`ModelError::Cancelled`].
    pub fn encode(
        &self,
        inputs: &[&[u32]],
        side: Option<&SidePaths>,
        control: &Control,
    ) -> Result<Encoded, ModelError> {
        for (example, input) in inputs.iter().enumerate() {
            self.config.check_tokens("the input", example, input)?;
        }
        let (context, config) = (self.context(side), &self.config);
        let lengths = || inputs.iter().map(|input| input.len());
        let bounds = bounds(lengths());
        let longest = lengths().max().unwrap_or(0);
        let weights = &self.encoder.relative_attention_bias;
        let bias = PositionBias::new(config, weights, Stack::Encoder, longest);
        let sight = Sight { bounds: &bounds, first: 0, bias: Some(&bias), causal: false };
        let mut x = self.embed(inputs.iter().flat_map(|input| input.iter().copied()));
        for block in &self.encoder.blocks {
            control.check()?;
            let [q, k, v] = block.attention.own(context, config, &x);
            let attended = attend_to(context, config, &q, [&k, &v], &bounds, sight);
            let feed_forward = Some(&block.feed_forward);
            finish(context, config, &block.attention, &attended, feed_forward, &mut x);
        }
        control.check()?;
        let mut states = vec![0.0; x.len()];
        let epsilon = config.layer_norm_epsilon;
        rms_norm(context.isa, &x, &self.encoder.final_norm, epsilon, 1.0, &mut states);
        Ok(Encoded { states, bounds })
    }

    /// Each example's mean cross-entropy of its labels, teacher-forced.
    ///
    /// # Errors
    /// As [`T5Model::encode`], for labels too.
    pub fn losses(
        &self,
        batch: &[TokenizedExample],
        side: Option<&SidePaths>,
        control: &Control,
    ) -> Result<Vec<ExampleLoss>, ModelError> {
        for (example, tokens) in batch.iter().enumerate() {
            self.config.check_tokens("the output", example, &tokens.labels)?;
        }
        let inputs: Vec<&[u32]> = batch.iter().map(|example| &*example.input).collect();
        let encoded = self.encode(&inputs, side, control)?;
        let (context, config) = (self.context(side), &self.config);

        let lengths = || batch.iter().map(|example| example.labels.len());
        let bounds = bounds(lengths());
        let start = config.decoder_start_token_id;
        let mut x = self.embed(batch.iter().flat_map(|example| {
            let shifted = &example.labels[..example.labels.len() - 1];
            std::iter::once(start).chain(shifted.iter().copied())
        }));
        let longest = lengths().max().unwrap_or(0);
        let weights = &self.decoder.relative_attention_bias;
        let bias = PositionBias::new(config, weights, Stack::Decoder, longest);
        let own_sight = Sight { bounds: &bounds, first: 0, bias: Some(&bias), causal: true };
        let cross_sight = Sight { bias: None, causal: false, ..own_sight };
        for block in &self.decoder.blocks {
            control.check()?;
            let [q, k, v] = block.attention.own(context, config, &x);
            let mut attended = attend_to(context, config, &q, [&k, &v], &bounds, own_sight);
            let mut last = &block.attention;
            if let Some(cross) = &block.cross {
                finish(context, config, last, &attended, None, &mut x);
                let [k, v] = cross.memory(context, config, &encoded.states);
                let q = cross.queries(context, config, &x);
                let key_bounds = &encoded.bounds;
                attended = attend_to(context, config, &q, [&k, &v], key_bounds, cross_sight);
                last = cross;
            }
            finish(context, config, last, &attended, Some(&block.feed_forward), &mut x);
        }
        control.check()?;
        let labels: Vec<u32> =
            batch.iter().flat_map(|example| example.labels.iter().copied()).collect();
        let token_losses = self.token_losses(context, &x, &labels);
        Ok(bounds
            .windows(2)
            .map(|pair| {
                let tokens = pair[1] - pair[0];
                let sum: f64 = token_losses[pair[0]..pair[1]].iter().sum();
                ExampleLoss { loss: (sum / tokens as f64) as f32, tokens }
            })
            .collect())
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

    /// −log softmax(lm_head(x))[label] of every row, in f64.
    fn token_losses(&self, context: Context<'_>, x: &[f32], labels: &[u32]) -> Vec<f64> {
        /// Rows whose logits are held at once.
        const ROWS: usize = 32;
        let vocab_size = self.config.vocab_size;
        let mut losses = Vec::with_capacity(labels.len());
        for (x, labels) in x.chunks(ROWS * self.config.d_model).zip(labels.chunks(ROWS)) {
            let input = self.lm_head_input(context, x);
            let mut logits = Scratch::new(labels.len() * vocab_size);
            context.apply_base(&self.lm_head, &input, Store::Replace, &mut logits);
            let picked: Vec<f32> = (logits.chunks_exact(vocab_size).zip(labels))
                .map(|(row, &label)| row[label as usize])
                .collect();
            // Each row's largest logit and sum of exponentials replace its first two logits.
            let grid = Grid::even(labels.len(), vocab_size, 1, vocab_size);
            for_each_tile(&mut logits, &grid, vocab_size * 16, |mut tile| {
                let row = tile.row(tile.rows.start);
                let (mut shift, mut sum) = (0.0, 0.0);
                largest(context.isa, row, &mut shift);
                exponentials(context.isa, row, shift, &mut sum);
                row[..2].copy_from_slice(&[shift, sum]);
            });
            losses.extend(logits.chunks_exact(vocab_size).zip(picked).map(|(row, label)| {
                ln(f64::from(row[1])) + (f64::from(row[0]) - f64::from(label))
            }));
        }
        losses
    }

    /// Starts greedy decoding of a batch.
    ///
    /// # Errors
    /// As [`T5Model::encode`].
    pub fn greedy(
        &self,
        inputs: &[&[u32]],
        side: Option<&SidePaths>,
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
        side: Option<&SidePaths>,
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
