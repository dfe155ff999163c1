//! Greedy decoding, a token at a time for all rows of a batch that are not finished.

use super::blocks::{AttentionMask, Cache, attend_cached, finish};
use super::model::T5Model;
use super::position::PositionBias;
use super::{Control, LoraBranches, MAX_TOKENS, ModelError};
use crate::kernels::cpu::{Store, argmax};
use crate::kernels::scratch::Scratch;
use crate::model::Stack;

/// A batch that is being decoded. Rows leave it when they are finished. It holds neither the model
/// nor the LoRA branches, so that its owner can keep all three between steps.
#[derive(Debug)]
pub struct GreedyDecoder {
    bias: PositionBias,
    max_new_tokens: usize,
    eos_token_id: u32,
    num_heads: usize,
    /// The caller's index of each row that is not finished.
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
        side: Option<&LoraBranches>,
        max_new_tokens: usize,
        control: &Control,
    ) -> Result<Self, ModelError> {
        if max_new_tokens > MAX_TOKENS {
            let (tokens, limit) = (max_new_tokens, MAX_TOKENS);
            return Err(ModelError::TooLong { what: "the answer", example: 0, tokens, limit });
        }
        let encoded = model.encode(inputs, side, control)?;
        let config = model.config();
        let context = model.context(side)?;
        let mut cross = Vec::new();
        for attention in model.decoder.blocks.iter().filter_map(|block| block.cross.as_ref()) {
            control.check()?;
            cross.push(model.cross_cache(context, attention, &encoded));
        }
        let weights = &model.decoder.relative_attention_bias;
        let capacities = || inputs.iter().map(|_| max_new_tokens);
        Ok(Self {
            bias: PositionBias::new(config, weights, Stack::Decoder, max_new_tokens),
            own: (model.decoder.blocks.iter()).map(|_| Cache::new(config, capacities())).collect(),
            cross,
            rows: if max_new_tokens == 0 { Vec::new() } else { (0..inputs.len()).collect() },
            tokens: vec![config.decoder_start_token_id; inputs.len()],
            position: 0,
            eos_token_id: config.eos_token_id,
            num_heads: config.num_heads,
            max_new_tokens,
        })
    }

    /// Whether every row has ended with `</s>` or at the limit.
    pub fn is_finished(&self) -> bool {
        self.rows.is_empty()
    }

    /// Decodes one more token of every row that is not finished: pairs of the row's index in the
    /// batch and its token. Of equal logits the lowest token is taken. Model and LoRA branches have to
    /// be those that the decoding was started with.
    ///
    /// # Errors
    /// [`ModelError::Cancelled`].
    ///
    /// # Panics
    /// If the model has other sizes than the one that the decoding was started with.
    pub fn step(
        &mut self,
        model: &T5Model,
        side: Option<&LoraBranches>,
        control: &Control,
    ) -> Result<Vec<(usize, u32)>, ModelError> {
        if self.is_finished() {
            return Ok(Vec::new());
        }
        let (context, config) = (model.context(side)?, model.config());
        let bounds: Vec<usize> = (0..=self.rows.len()).collect();
        let (first, bias) = (self.position, Some(&self.bias));
        let own_sight = AttentionMask { bounds: &bounds, first, bias, causal: true };
        let cross_sight = AttentionMask { bias: None, causal: false, ..own_sight };
        let mut x = model.embed(self.tokens.iter().copied());
        for (index, block) in model.decoder.blocks.iter().enumerate() {
            if let Err(cancelled) = control.check() {
                // The caches of some blocks already hold this position.
                self.rows.clear();
                return Err(cancelled);
            }
            let own = &mut self.own[index];
            let [q, k, v] = block.attention.own(context, config, &x);
            own.extend(config, &k, &v, &bounds);
            let mut attended = attend_cached(context, config, &q, own, own_sight);
            let mut last = &block.attention;
            if let Some(cross) = &block.cross {
                finish(context, config, last, &attended, None, &mut x);
                let q = cross.queries(context, config, &x);
                attended = attend_cached(context, config, &q, &self.cross[index], cross_sight);
                last = cross;
            }
            finish(context, config, last, &attended, Some(&block.feed_forward), &mut x);
        }
        let input = model.lm_head_input(context, &x);
        let mut logits = Scratch::new(self.rows.len() * config.vocab_size);
        context.apply_base(&model.lm_head, &input, Store::Replace, &mut logits);
        self.tokens =
            logits.chunks_exact(config.vocab_size).map(|row| argmax(row) as u32).collect();
        self.position += 1;
        let decoded: Vec<(usize, u32)> =
            self.rows.iter().copied().zip(self.tokens.iter().copied()).collect();
        self.drop_finished();
        Ok(decoded)
    }

    fn drop_finished(&mut self) {
        let at_limit = self.position >= self.max_new_tokens;
        let eos = self.eos_token_id;
        let keep: Vec<bool> = self.tokens.iter().map(|&token| !at_limit && token != eos).collect();
        if keep.iter().all(|&keep| keep) {
            return;
        }
        retain(&mut self.rows, &keep, 1);
        retain(&mut self.tokens, &keep, 1);
        for cache in self.own.iter_mut().chain(&mut self.cross) {
            retain(&mut cache.heads, &keep, self.num_heads);
        }
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
