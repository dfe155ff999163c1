//! Greedy decoding, a token at a time for all rows of a batch that are not finished.

use super::blocks::{AttentionMask, Cache, attend_cached, finish};
use super::position::PositionBiases;
use super::{T5Config, T5Model};
use crate::kernels::cpu::{Store, argmax};
use crate::kernels::scratch::Scratch;
use crate::model::{Control, Decoder, LoraBranches, MAX_TOKENS, Model, ModelError, Stack};

/// A batch in greedy decoding.
#[derive(Debug)]
pub(super) struct GreedyDecoder {
    model: T5Model,
    biases: PositionBiases,
    max_new_tokens: usize,
    /// The index in the batch of each row that is not finished.
    rows: Vec<usize>,
    /// The last token of each row that is not finished.
    tokens: Vec<u32>,
    /// Tokens decoded so far.
    position: usize,
    /// Per block: the decoder's own keys and values, and the encoder's.
    own: Vec<Cache>,
    cross: Vec<Cache>,
}

impl GreedyDecoder {
    pub(super) fn new(
        model: &T5Model,
        inputs: &[&[u32]],
        branches: Option<&LoraBranches>,
        max_new_tokens: usize,
        control: &Control,
    ) -> Result<Self, ModelError> {
        if max_new_tokens > MAX_TOKENS {
            let (tokens, limit) = (max_new_tokens, MAX_TOKENS);
            return Err(ModelError::TooLong { what: "the answer", example: 0, tokens, limit });
        }
        let encoded = model.encode(inputs, branches, control)?;
        let (config, decoder) = (model.config(), &model.weights.decoder);
        let context = model.context(branches)?;
        let mut cross = Vec::new();
        for attention in decoder.blocks.iter().filter_map(|block| block.cross.as_ref()) {
            control.check()?;
            cross.push(model.cross_cache(context, attention, &encoded));
        }
        let weights = &decoder.relative_attention_biases;
        let capacities = || inputs.iter().map(|_| max_new_tokens);
        Ok(Self {
            model: model.clone(),
            biases: PositionBiases::new(config, weights, Stack::Decoder, max_new_tokens),
            own: (decoder.blocks.iter()).map(|_| Cache::new(config, capacities())).collect(),
            cross,
            rows: if max_new_tokens == 0 { Vec::new() } else { (0..inputs.len()).collect() },
            tokens: vec![config.decoder_start_token_id; inputs.len()],
            position: 0,
            max_new_tokens,
        })
    }

    fn drop_finished(&mut self) {
        let at_limit = self.position >= self.max_new_tokens;
        let T5Config { eos_token_id: eos, num_heads, .. } = *self.model.config();
        let keep: Vec<bool> = self.tokens.iter().map(|&token| !at_limit && token != eos).collect();
        if keep.iter().all(|&keep| keep) {
            return;
        }
        retain(&mut self.rows, &keep, 1);
        retain(&mut self.tokens, &keep, 1);
        for cache in self.own.iter_mut().chain(&mut self.cross) {
            retain(&mut cache.heads, &keep, num_heads);
        }
    }
}

impl Decoder for GreedyDecoder {
    fn is_finished(&self) -> bool {
        self.rows.is_empty()
    }

    fn step(
        &mut self,
        branches: Option<&LoraBranches>,
        control: &Control,
    ) -> Result<Vec<(usize, u32)>, ModelError> {
        if self.is_finished() {
            return Ok(Vec::new());
        }
        let model = self.model.clone();
        let (context, config) = (model.context(branches)?, model.config());
        let bounds: Vec<usize> = (0..=self.rows.len()).collect();
        let first = self.position;
        let mut x = model.embed(self.tokens.iter().copied());
        for (index, block) in model.weights.decoder.blocks.iter().enumerate() {
            if let Err(cancelled) = control.check() {
                // The caches of some blocks already hold this position.
                self.rows.clear();
                return Err(cancelled);
            }
            let bias = Some(self.biases.of(index));
            let own_mask = AttentionMask { bounds: &bounds, first, bias, causal: true };
            let cross_mask = AttentionMask { bias: None, causal: false, ..own_mask };
            let own = &mut self.own[index];
            let [q, k, v] = block.attention.own(context, config, &x);
            own.extend(config, &k, &v, &bounds);
            let mut attended = attend_cached(context, config, &q, own, own_mask);
            let mut last = &block.attention;
            if let Some(cross) = &block.cross {
                finish(context, config, last, &attended, None, &mut x);
                let q = cross.queries(context, config, &x);
                attended = attend_cached(context, config, &q, &self.cross[index], cross_mask);
                last = cross;
            }
            finish(context, config, last, &attended, Some(&block.feed_forward), &mut x);
        }
        let input = model.lm_head_input(context, &x);
        let mut logits = Scratch::new(self.rows.len() * config.vocab_size);
        context.apply_base(&model.weights.lm_head, &input, Store::Replace, &mut logits);
        self.tokens =
            logits.chunks_exact(config.vocab_size).map(|row| argmax(row) as u32).collect();
        self.position += 1;
        let decoded: Vec<(usize, u32)> =
            self.rows.iter().copied().zip(self.tokens.iter().copied()).collect();
        self.drop_finished();
        Ok(decoded)
    }
}

/// Keeps the groups of `size` items that are marked.
fn retain<T>(items: &mut Vec<T>, keep: &[bool], size: usize) {
    let mut index = 0;
    items.retain(|_| {
        index += 1;
        keep[(index - 1) / size]
    });
}
