//! Encoding and the teacher-forced loss in two steps: the part that does not depend on LoRA branches
//! is computed once for a batch, the rest for every evaluation.

use super::T5Model;
use super::blocks::{AttentionMask, Block, Projected, attend_to, finish};
use super::model::{StackWeights, bounds};
use super::position::PositionBiases;
use crate::kernels::cpu::{Store, exponentials, largest, ln, rms_norm};
use crate::kernels::parallel::{Grid, for_each_tile};
use crate::kernels::scratch::Scratch;
use crate::model::linear::Context;
use crate::model::{
    Control, Encoded, ExampleLoss, LoraBranches, ModelConfig, ModelError, PreparedBatch, Stack,
    TokenizedExample,
};

/// Rows whose logits are in memory at once.
pub(super) const LOGIT_ROWS: usize = 32;

/// −log softmax of a logit, given the row's largest one and the sum of the exponentials of all less that.
pub(super) fn cross_entropy(logit: f32, largest: f32, sum: f32) -> f64 {
    ln(f64::from(sum)) + (f64::from(largest) - f64::from(logit))
}

/// A stack's input: token embeddings, position biases, and the first block's projections by the
/// base.
#[derive(Debug)]
pub(super) struct PreparedStack {
    bounds: Vec<usize>,
    /// `[tokens, d_model]`.
    embedded: Vec<f32>,
    biases: PositionBiases,
    first: Option<Projected<3>>,
}

impl PreparedStack {
    fn new(
        model: &T5Model,
        stack: Stack,
        weights: &StackWeights,
        lengths: impl Iterator<Item = usize> + Clone,
        tokens: impl Iterator<Item = u32>,
    ) -> Self {
        let (context, config) = (model.base_context(), model.config());
        let embedded = model.embed(tokens);
        let first = weights.blocks.first();
        let first = first.map(|block| block.attention.own_of_base(context, config, &embedded));
        let longest = lengths.clone().max().unwrap_or(0);
        let biases = &weights.relative_attention_biases;
        let biases = PositionBiases::new(config, biases, stack, longest);
        Self { bounds: bounds(lengths), embedded, biases, first }
    }

    /// Row bounds of the examples, `[examples + 1]`.
    pub(super) fn bounds(&self) -> &[usize] {
        &self.bounds
    }

    /// Tokens of all examples.
    pub(super) fn rows(&self) -> usize {
        self.bounds.last().copied().unwrap_or(0)
    }

    /// `[tokens, d_model]`.
    pub(super) fn embedded(&self) -> &[f32] {
        &self.embedded
    }

    /// Which keys each token attends to in a block.
    pub(super) fn mask(&self, block: usize, causal: bool) -> AttentionMask<'_> {
        let bias = Some(self.biases.of(block));
        AttentionMask { bounds: &self.bounds, first: 0, bias, causal }
    }

    /// Each example's mean of its tokens' losses.
    pub(super) fn example_losses(&self, token_losses: &[f64]) -> Vec<ExampleLoss> {
        let losses = self.bounds.windows(2).map(|pair| {
            let tokens = pair[1] - pair[0];
            let sum: f64 = token_losses[pair[0]..pair[1]].iter().sum();
            ExampleLoss { loss: (sum / tokens as f64) as f32, tokens }
        });
        losses.collect()
    }

    /// Queries, keys and values of a block's attention of `x` over itself.
    pub(super) fn own(
        &self,
        model: &T5Model,
        context: Context<'_>,
        (index, block): (usize, &Block),
        x: &[f32],
    ) -> [Scratch<f32>; 3] {
        match &self.first {
            Some(first) if index == 0 => block.attention.own_with_branches(context, first),
            _ => block.attention.own(context, model.config(), x),
        }
    }
}

/// A batch with everything computed that LoRA branches do not change.
#[derive(Debug)]
pub(super) struct T5Batch {
    pub(super) model: T5Model,
    pub(super) inputs: PreparedStack,
    pub(super) outputs: PreparedStack,
    pub(super) labels: Vec<u32>,
}

impl T5Model {
    pub(super) fn prepare_inputs(&self, inputs: &[&[u32]]) -> Result<PreparedStack, ModelError> {
        for (example, input) in inputs.iter().enumerate() {
            self.config().check_tokens("the input", example, input)?;
        }
        let lengths = inputs.iter().map(|input| input.len());
        let tokens = inputs.iter().flat_map(|input| input.iter().copied());
        Ok(PreparedStack::new(self, Stack::Encoder, &self.weights.encoder, lengths, tokens))
    }

    pub(super) fn encode_prepared(
        &self,
        inputs: &PreparedStack,
        context: Context<'_>,
        control: &Control,
    ) -> Result<Encoded, ModelError> {
        let (config, bounds) = (self.config(), inputs.bounds.clone());
        let mut x = inputs.embedded.clone();
        for (index, block) in self.weights.encoder.blocks.iter().enumerate() {
            control.check()?;
            let [q, k, v] = inputs.own(self, context, (index, block), &x);
            let mask = inputs.mask(index, false);
            let attended = attend_to(context, config, &q, [&k, &v], &bounds, mask);
            let feed_forward = Some(&block.feed_forward);
            finish(context, config, &block.attention, &attended, feed_forward, &mut x);
        }
        control.check()?;
        let mut states = vec![0.0; x.len()];
        let epsilon = config.layer_norm_epsilon;
        rms_norm(context.isa, &x, &self.weights.encoder.final_norm, epsilon, 1.0, &mut states);
        Ok(Encoded { states, bounds })
    }

    pub(super) fn prepare_batch(&self, batch: &[TokenizedExample]) -> Result<T5Batch, ModelError> {
        for (example, tokens) in batch.iter().enumerate() {
            self.config().check_tokens("the output", example, &tokens.labels)?;
        }
        let inputs: Vec<&[u32]> = batch.iter().map(|example| &*example.input).collect();
        let inputs = self.prepare_inputs(&inputs)?;
        let start = self.config().decoder_start_token_id;
        let lengths = batch.iter().map(|example| example.labels.len());
        let shifted = batch.iter().flat_map(|example| {
            let shifted = &example.labels[..example.labels.len() - 1];
            std::iter::once(start).chain(shifted.iter().copied())
        });
        let outputs =
            PreparedStack::new(self, Stack::Decoder, &self.weights.decoder, lengths, shifted);
        let labels = batch.iter().flat_map(|example| example.labels.iter().copied()).collect();
        Ok(T5Batch { model: self.clone(), inputs, outputs, labels })
    }

    /// −log softmax(lm_head(x))[label] of every row, in f64.
    fn token_losses(&self, context: Context<'_>, x: &[f32], labels: &[u32]) -> Vec<f64> {
        let vocab_size = self.config().vocab_size;
        let mut losses = Vec::with_capacity(labels.len());
        let rows = x.chunks(LOGIT_ROWS * self.config().d_model).zip(labels.chunks(LOGIT_ROWS));
        for (x, labels) in rows {
            let input = self.lm_head_input(context, x);
            let mut logits = Scratch::new(labels.len() * vocab_size);
            context.apply_base(&self.weights.lm_head, &input, Store::Replace, &mut logits);
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
            let rows = logits.chunks_exact(vocab_size).zip(picked);
            losses.extend(rows.map(|(row, picked)| cross_entropy(picked, row[0], row[1])));
        }
        losses
    }
}

impl PreparedBatch for T5Batch {
    fn losses(
        &self,
        branches: Option<&LoraBranches>,
        control: &Control,
    ) -> Result<Vec<ExampleLoss>, ModelError> {
        let model = &self.model;
        let (context, config) = (model.context(branches)?, model.config());
        let encoded = model.encode_prepared(&self.inputs, context, control)?;
        let outputs = &self.outputs;
        let bounds = &outputs.bounds;
        let mut x = outputs.embedded.clone();
        for (index, block) in model.weights.decoder.blocks.iter().enumerate() {
            control.check()?;
            let own_mask = outputs.mask(index, true);
            let cross_mask = AttentionMask { bias: None, causal: false, ..own_mask };
            let [q, k, v] = outputs.own(model, context, (index, block), &x);
            let mut attended = attend_to(context, config, &q, [&k, &v], bounds, own_mask);
            let mut last = &block.attention;
            if let Some(cross) = &block.cross {
                finish(context, config, last, &attended, None, &mut x);
                let [k, v] = cross.memory(context, config, encoded.states());
                let q = cross.queries(context, config, &x);
                let key_bounds = encoded.bounds();
                attended = attend_to(context, config, &q, [&k, &v], key_bounds, cross_mask);
                last = cross;
            }
            finish(context, config, last, &attended, Some(&block.feed_forward), &mut x);
        }
        control.check()?;
        let token_losses = model.token_losses(context, &x, &self.labels);
        Ok(outputs.example_losses(&token_losses))
    }
}
