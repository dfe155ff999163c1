//! The backward pass. Each block's input is kept; what a block computes in between is computed again,
//! unless all of it is small enough to be kept.
//!
//! Memory beside the packed weights, for `E` input and `D` output tokens in a batch:
//!
//! - the transposed weights, as large as the packed ones without the embedding;
//! - `4 · d_model · (E · num_layers + D · num_decoder_layers)` bytes of blocks' inputs;
//! - what one block computes, [`tape_bytes`], or all of them if they take at most [`TAPE_LIMIT`].

use std::collections::BTreeMap;

use super::blocks::{Attention, AttentionMask, Block, FeedForwardLayer, activate, attend_to};
use super::losses::{LOGIT_ROWS, PreparedStack, T5Batch, cross_entropy};
use super::{T5Config, T5Model};
use crate::kernels::cpu::{
    HeadGradient, HeadGradientInput, Operand, Query, Store, attention_gradient, exponentials,
    gated_gelu_gradient, largest, relu_gradient, rms_norm, rms_norm_gradient,
};
use crate::kernels::parallel::{for_each_item, run_of_rows};
use crate::kernels::scratch::{self, Scratch};
use crate::model::gradient::{Backward, Wanted};
use crate::model::linear::{Activations, Context, Linear};
use crate::model::{
    Control, ExampleLoss, GradientBatch, Gradients, LinearId, LinearKind, LoraBranches,
    LoraCandidates, ModelConfig, ModelError, Stack, TokenizedExample, WithRespectTo,
};

/// Bytes of intermediate results of all blocks up to which they are kept instead of computed again.
const TAPE_LIMIT: usize = 256 << 20;

/// What one attention sub-layer computed.
struct AttentionTape {
    /// Its input, `[rows, d_model]`, before the norm.
    x: Vec<f32>,
    /// Queries, keys and values, `[rows, num_heads · d_kv]`.
    projected: [Scratch<f32>; 3],
    /// `[rows, num_heads · d_kv]`.
    attended: Scratch<f32>,
}

/// What the feed-forward sub-layer computed.
struct FeedForwardTape {
    /// Its input, `[rows, d_model]`, before the norm.
    x: Vec<f32>,
    /// What goes through the activation, `[rows, d_ff]`.
    gate: Scratch<f32>,
    /// The other factor of a gated layer, `[rows, d_ff]`, or empty.
    up: Scratch<f32>,
}

/// What one block computed.
struct BlockTape {
    own: AttentionTape,
    cross: Option<AttentionTape>,
    feed_forward: FeedForwardTape,
}

/// Bytes of what one block computes for so many rows of its own and of the encoder.
pub(super) fn tape_bytes(config: &T5Config, rows: usize, encoder_rows: Option<usize>) -> usize {
    let (d_model, width) = (config.d_model, config.d_attention());
    let own = rows * (d_model + 4 * width);
    let cross = encoder_rows.map_or(0, |keys| rows * (d_model + 2 * width) + keys * 2 * width);
    4 * (own + cross + rows * (d_model + 2 * config.d_ff))
}

/// A batch with the transposed weights that its gradients need.
#[derive(Debug)]
pub(super) struct T5GradientBatch {
    batch: T5Batch,
    /// `[d_in, d_out]`, of the layers whose input depends on LoRA branches.
    transposed: BTreeMap<LinearId, Linear>,
    /// `[d_model, vocab_size]`.
    lm_head: Linear,
}

impl Drop for T5GradientBatch {
    fn drop(&mut self) {
        // The buffers of a backward pass are much larger than those of an evaluation.
        scratch::release();
    }
}

impl T5GradientBatch {
    /// # Errors
    /// As [`Model::prepare`](crate::model::Model::prepare).
    pub(super) fn new(model: &T5Model, batch: &[TokenizedExample]) -> Result<Self, ModelError> {
        let batch = model.prepare_batch(batch)?;
        let mut layers: Vec<(LinearId, &Linear)> = Vec::new();
        for stack in [&model.weights.encoder, &model.weights.decoder] {
            layers.extend(stack.blocks.iter().flat_map(Block::layers));
        }
        // The first block's queries, keys and values are made of embeddings, which get no gradient.
        let is_first = |id: LinearId| {
            use LinearKind::{SelfK, SelfQ, SelfV};
            id.block == 0 && matches!(id.kind, SelfQ | SelfK | SelfV)
        };
        layers.retain(|&(id, _)| !is_first(id));
        let mut transposed: Vec<Option<Linear>> = vec![None; layers.len()];
        let cost = layers.iter().map(|(_, layer)| layer.bytes()).max().unwrap_or(0);
        let items = transposed.iter_mut().zip(&layers).collect();
        for_each_item(items, cost, |(place, (_, layer))| *place = Some(layer.transposed()));
        let transposed = layers.iter().zip(transposed);
        Ok(Self {
            transposed: transposed.filter_map(|(&(id, _), layer)| Some((id, layer?))).collect(),
            lm_head: model.weights.lm_head.transposed(),
            batch,
        })
    }

    /// Whether what all blocks compute is small enough to be kept.
    fn keeps_tapes(&self) -> bool {
        let T5Batch { model, inputs, outputs, .. } = &self.batch;
        let (config, rows) = (model.config(), inputs.rows());
        let encoder = tape_bytes(config, rows, None) * config.blocks(Stack::Encoder);
        let decoder =
            tape_bytes(config, outputs.rows(), Some(rows)) * config.blocks(Stack::Decoder);
        encoder + decoder <= TAPE_LIMIT
    }
}

impl GradientBatch for T5GradientBatch {
    fn gradients(
        &self,
        branches: &LoraBranches,
        with_respect_to: WithRespectTo,
        control: &Control,
    ) -> Result<Gradients, ModelError> {
        self.run(branches, Wanted::Branches(with_respect_to), control)
    }

    fn candidate_gradients(
        &self,
        branches: &LoraBranches,
        candidates: &LoraCandidates,
        control: &Control,
    ) -> Result<BTreeMap<LinearId, Vec<f32>>, ModelError> {
        let (expected, found) = (branches.precision(), candidates.precision());
        if expected != found {
            return Err(ModelError::BranchPrecision { expected, found });
        }
        let of = self.run(branches, Wanted::Candidates(candidates), control)?.branches;
        Ok(of.into_iter().map(|(id, gradient)| (id, gradient.scales)).collect())
    }
}

impl T5GradientBatch {
    fn run(
        &self,
        branches: &LoraBranches,
        wanted: Wanted<'_>,
        control: &Control,
    ) -> Result<Gradients, ModelError> {
        let T5Batch { model, inputs, outputs, .. } = &self.batch;
        let (context, config) = (model.context(Some(branches))?, model.config());
        let (encoder, decoder) = (&model.weights.encoder, &model.weights.decoder);
        let keep = self.keeps_tapes();
        let pass = Pass { model, context, control, keep };

        let encoded = pass.forward(&encoder.blocks, inputs, None)?;
        let mut states = vec![0.0; encoded.x.len()];
        let epsilon = config.layer_norm_epsilon;
        rms_norm(context.isa, &encoded.x, &encoder.final_norm, epsilon, 1.0, &mut states);
        let memory = Memory { states: &states, bounds: inputs.bounds() };
        let decoded = pass.forward(&decoder.blocks, outputs, Some(memory))?;

        let mut backward = Backward::new(context, &self.transposed, wanted);
        let (losses, mut gradient) = self.loss_gradient(context, &decoded.x);
        let mut of_states = vec![0.0; states.len()];
        let stack = StackGradient { blocks: &decoder.blocks, prepared: outputs, passed: decoded };
        let cross = Some((memory, &mut of_states[..]));
        pass.backward(&mut backward, stack, cross, &mut gradient)?;

        let mut gradient = vec![0.0; states.len()];
        let norm = &encoder.final_norm;
        rms_norm_gradient(context.isa, &encoded.x, norm, epsilon, 1.0, &of_states, &mut gradient);
        let stack = StackGradient { blocks: &encoder.blocks, prepared: inputs, passed: encoded };
        pass.backward(&mut backward, stack, None, &mut gradient)?;
        Ok(Gradients { losses, branches: backward.gradients })
    }

    /// The examples' losses, and the gradient of their mean with respect to the decoder's last rows.
    fn loss_gradient(&self, context: Context<'_>, x: &[f32]) -> (Vec<ExampleLoss>, Vec<f32>) {
        let T5Batch { model, outputs, labels, .. } = &self.batch;
        let (config, bounds) = (model.config(), outputs.bounds());
        let (vocab_size, d_model) = (config.vocab_size, config.d_model);
        let examples = bounds.len().saturating_sub(1);
        // Each row's share in the mean over the examples of the mean over their tokens.
        let shares: Vec<f32> = (bounds.windows(2))
            .flat_map(|pair| {
                let tokens = pair[1] - pair[0];
                std::iter::repeat_n(1.0 / (tokens * examples) as f32, tokens)
            })
            .collect();
        let mut token_losses = Vec::with_capacity(labels.len());
        let mut of_input = vec![0.0; x.len()];
        let rows = x.chunks(LOGIT_ROWS * d_model).zip(of_input.chunks_mut(LOGIT_ROWS * d_model));
        let labelled = labels.chunks(LOGIT_ROWS).zip(shares.chunks(LOGIT_ROWS));
        for ((x, of_input), (labels, shares)) in rows.zip(labelled) {
            let input = model.lm_head_input(context, x);
            let mut logits = Scratch::new(labels.len() * vocab_size);
            context.apply_base(&model.weights.lm_head, &input, Store::Replace, &mut logits);
            let mut losses = vec![0.0f64; labels.len()];
            let items = logits.chunks_exact_mut(vocab_size).zip(labels).zip(shares);
            let items = items.zip(&mut losses).collect();
            for_each_item(items, vocab_size * 16, |(((row, &label), &share), loss)| {
                let (mut shift, mut sum) = (0.0, 0.0);
                let picked = row[label as usize];
                largest(context.isa, row, &mut shift);
                exponentials(context.isa, row, shift, &mut sum);
                *loss = cross_entropy(picked, shift, sum);
                let scale = share / sum;
                row.iter_mut().for_each(|value| *value *= scale);
                row[label as usize] -= share;
            });
            token_losses.extend(losses);
            let logits = Activations::new(context, &logits, vocab_size, true);
            context.apply_base(&self.lm_head, &logits, Store::Replace, of_input);
        }
        let mut gradient = vec![0.0; x.len()];
        let norm = &model.weights.decoder.final_norm;
        let (epsilon, factor) = (config.layer_norm_epsilon, model.lm_head_factor());
        rms_norm_gradient(context.isa, x, norm, epsilon, factor, &of_input, &mut gradient);
        (outputs.example_losses(&token_losses), gradient)
    }
}

/// The encoder's output.
#[derive(Clone, Copy)]
struct Memory<'a> {
    /// `[rows, d_model]`.
    states: &'a [f32],
    bounds: &'a [usize],
}

/// A stack's blocks after the forward pass.
struct Passed {
    /// Each block's input, if the tapes are not kept.
    inputs: Vec<Vec<f32>>,
    tapes: Vec<BlockTape>,
    /// The last block's output, `[rows, d_model]`.
    x: Vec<f32>,
}

/// What a stack's backward pass starts from.
struct StackGradient<'a> {
    blocks: &'a [Block],
    prepared: &'a PreparedStack,
    passed: Passed,
}

/// One forward and backward pass.
struct Pass<'a> {
    model: &'a T5Model,
    context: Context<'a>,
    control: &'a Control,
    keep: bool,
}

impl Pass<'_> {
    fn forward(
        &self,
        blocks: &[Block],
        prepared: &PreparedStack,
        memory: Option<Memory<'_>>,
    ) -> Result<Passed, ModelError> {
        let x = prepared.embedded().to_vec();
        let mut passed = Passed { inputs: Vec::new(), tapes: Vec::new(), x };
        for (index, block) in blocks.iter().enumerate() {
            self.control.check()?;
            let (tape, x) = self.block((index, block), prepared, memory, &passed.x);
            let input = std::mem::replace(&mut passed.x, x);
            if self.keep {
                passed.tapes.push(tape);
            } else {
                passed.inputs.push(input);
            }
        }
        Ok(passed)
    }

    /// What a block computes, and its output.
    fn block(
        &self,
        (index, block): (usize, &Block),
        prepared: &PreparedStack,
        memory: Option<Memory<'_>>,
        x: &[f32],
    ) -> (BlockTape, Vec<f32>) {
        let (context, config) = (self.context, self.model.config());
        let mask = prepared.mask(index, memory.is_some());
        let projected = prepared.own(self.model, context, (index, block), x);
        let (own, x) = self.attention(&block.attention, projected, mask.bounds, mask, x);
        let (cross, x) = match block.cross.as_ref().zip(memory) {
            None => (None, x),
            Some((cross, memory)) => {
                let mask = AttentionMask { bias: None, causal: false, ..mask };
                let [k, v] = cross.memory(context, config, memory.states);
                let q = cross.queries(context, config, &x);
                let (cross, x) = self.attention(cross, [q, k, v], memory.bounds, mask, &x);
                (Some(cross), x)
            }
        };
        let (feed_forward, x) = self.feed_forward(&block.feed_forward, x);
        (BlockTape { own, cross, feed_forward }, x)
    }

    fn attention(
        &self,
        attention: &Attention,
        projected: [Scratch<f32>; 3],
        key_bounds: &[usize],
        mask: AttentionMask<'_>,
        x: &[f32],
    ) -> (AttentionTape, Vec<f32>) {
        let (context, config) = (self.context, self.model.config());
        let (d_model, width) = (config.d_model, config.d_attention());
        let [q, k, v] = &projected;
        let attended = attend_to(context, config, q, [k, v], key_bounds, mask);
        let mut out = x.to_vec();
        let run = run_of_rows(x.len() / d_model);
        let items = out.chunks_mut(run * d_model).zip(attended.chunks(run * width)).collect();
        let id = attention.ids[3];
        for_each_item(items, run * d_model * width, |(out, attended)| {
            let input = Activations::new(context, attended, width, context.uses_int14(id));
            context.apply(id, &attention.o, &input, Store::Add, out);
        });
        (AttentionTape { x: x.to_vec(), projected, attended }, out)
    }

    fn feed_forward(&self, layer: &FeedForwardLayer, x: Vec<f32>) -> (FeedForwardTape, Vec<f32>) {
        let (context, config) = (self.context, self.model.config());
        let (d_model, d_ff) = (config.d_model, config.d_ff);
        let rows = x.len() / d_model;
        let mut gate = Scratch::new(rows * d_ff);
        let mut up = Scratch::new(if layer.gate.is_some() { rows * d_ff } else { 0 });
        let mut out = x.clone();
        let run = run_of_rows(rows);
        let mut ups = up.chunks_mut(run * d_ff);
        let items = out.chunks_mut(run * d_model).zip(gate.chunks_mut(run * d_ff));
        let items = items.map(|(out, gate)| (out, gate, ups.next().unwrap_or_default())).collect();
        for_each_item(items, run * d_model * d_ff, |(out, gate, up): (&mut [f32], _, _)| {
            layer.expand(context, config, out, gate, up);
            layer.contract(context, config, &hidden(context, gate, up), out);
        });
        drop(ups);
        (FeedForwardTape { x, gate, up }, out)
    }

    /// Replaces the gradient of a stack's output by that of its embeddings, as far as LoRA branches
    /// change it, and adds up that of the encoder's states.
    fn backward(
        &self,
        backward: &mut Backward<'_>,
        stack: StackGradient<'_>,
        mut cross: Option<(Memory<'_>, &mut [f32])>,
        gradient: &mut [f32],
    ) -> Result<(), ModelError> {
        let StackGradient { blocks, prepared, mut passed } = stack;
        for (index, block) in blocks.iter().enumerate().rev() {
            self.control.check()?;
            let memory = cross.as_ref().map(|(memory, _)| *memory);
            let tape = match passed.inputs.pop() {
                Some(x) => Some(self.block((index, block), prepared, memory, &x).0),
                None => passed.tapes.pop(),
            };
            let Some(tape) = tape else { break };
            self.feed_forward_backward(backward, &block.feed_forward, tape.feed_forward, gradient);
            let mask = prepared.mask(index, memory.is_some());
            if let (Some(layer), Some(tape), Some((memory, of_states))) =
                (&block.cross, tape.cross, &mut cross)
            {
                let mask = AttentionMask { bias: None, causal: false, ..mask };
                let memory = Some((*memory, &mut **of_states));
                self.attention_backward(backward, layer, tape, mask, memory, gradient);
            }
            self.attention_backward(backward, &block.attention, tape.own, mask, None, gradient);
        }
        Ok(())
    }

    /// Adds the sub-layer's part to the gradient of its input, `[rows, d_model]`.
    fn feed_forward_backward(
        &self,
        backward: &mut Backward<'_>,
        layer: &FeedForwardLayer,
        tape: FeedForwardTape,
        gradient: &mut [f32],
    ) {
        let (context, config) = (self.context, self.model.config());
        let (d_model, d_ff) = (config.d_model, config.d_ff);
        let FeedForwardTape { x, mut gate, mut up } = tape;
        let hidden = hidden(context, &gate, &up);
        backward.branch_gradient(layer.id(LinearKind::Wo), &hidden, gradient);
        drop(hidden);
        let (rows, epsilon) = (x.len() / d_model, config.layer_norm_epsilon);
        let mut normed = Scratch::new(x.len());
        let run = run_of_rows(rows);
        let mut ups = up.chunks_mut(run * d_ff);
        let items = (gradient.chunks_mut(run * d_model).zip(x.chunks(run * d_model)))
            .zip(gate.chunks_mut(run * d_ff).zip(normed.chunks_mut(run * d_model)))
            .map(|(of, results)| (of, results, ups.next().unwrap_or_default()))
            .collect();
        let pass = &*backward;
        for_each_item(items, run * d_model * d_ff, |((gradient, x), (gate, normed), up)| {
            let mut of_hidden = Scratch::new(gate.len());
            let wo = layer.id(LinearKind::Wo);
            pass.input_gradient(wo, gradient, Store::Replace, &mut of_hidden);
            if layer.gate.is_some() {
                gated_gelu_gradient(context.isa, gate, up, &of_hidden);
            } else {
                relu_gradient(context.isa, gate, &of_hidden);
            }
            let mut of_normed = Scratch::new(x.len());
            pass.input_gradient(layer.wi_id(), gate, Store::Replace, &mut of_normed);
            if layer.gate.is_some() {
                pass.input_gradient(layer.id(LinearKind::Wi1), up, Store::Add, &mut of_normed);
            }
            rms_norm(context.isa, x, &layer.norm, epsilon, 1.0, normed);
            rms_norm_gradient(context.isa, x, &layer.norm, epsilon, 1.0, &of_normed, gradient);
        });
        drop(ups);
        backward.branch_gradient(layer.wi_id(), &normed, &gate);
        if layer.gate.is_some() {
            backward.branch_gradient(layer.id(LinearKind::Wi1), &normed, &up);
        }
    }

    /// Adds the sub-layer's part to the gradient of its input, `[rows, d_model]`, and for attention over
    /// the encoder to that of its states.
    fn attention_backward(
        &self,
        backward: &mut Backward<'_>,
        attention: &Attention,
        tape: AttentionTape,
        mask: AttentionMask<'_>,
        memory: Option<(Memory<'_>, &mut [f32])>,
        gradient: &mut [f32],
    ) {
        let (context, config) = (self.context, self.model.config());
        let (d_model, width) = (config.d_model, config.d_attention());
        let AttentionTape { x, projected, attended } = tape;
        let [q_id, k_id, v_id, o_id] = attention.ids;
        backward.branch_gradient(o_id, &attended, gradient);
        drop(attended);
        let rows = x.len() / d_model;
        let run = run_of_rows(rows);
        let mut of_attended = Scratch::new(rows * width);
        let items = gradient.chunks(run * d_model).zip(of_attended.chunks_mut(run * width));
        let pass = &*backward;
        for_each_item(items.collect(), run * d_model * width, |(gradient, out)| {
            pass.input_gradient(o_id, gradient, Store::Replace, out);
        });
        let key_bounds = memory.as_ref().map_or(mask.bounds, |(memory, _)| memory.bounds);
        let [of_q, of_k, of_v] =
            attention_gradients(context, config, &projected, &of_attended, key_bounds, mask);
        drop((projected, of_attended));

        let epsilon = config.layer_norm_epsilon;
        let mut normed = Scratch::new(x.len());
        let items = (gradient.chunks_mut(run * d_model).zip(x.chunks(run * d_model)))
            .zip(normed.chunks_mut(run * d_model).enumerate())
            .collect();
        let is_own = memory.is_none();
        for_each_item(items, run * d_model * width, |((gradient, x), (index, normed))| {
            rms_norm(context.isa, x, &attention.norm, epsilon, 1.0, normed);
            let mut of_normed = Scratch::new(x.len());
            of_normed.fill(0.0);
            let first = index * run * width;
            let range = first..first + x.len() / d_model * width;
            pass.input_gradient(q_id, &of_q[range.clone()], Store::Replace, &mut of_normed);
            if is_own {
                pass.input_gradient(k_id, &of_k[range.clone()], Store::Add, &mut of_normed);
                pass.input_gradient(v_id, &of_v[range], Store::Add, &mut of_normed);
            }
            rms_norm_gradient(context.isa, x, &attention.norm, epsilon, 1.0, &of_normed, gradient);
        });
        backward.branch_gradient(q_id, &normed, &of_q);
        let Some((memory, of_states)) = memory else {
            backward.branch_gradient(k_id, &normed, &of_k);
            return backward.branch_gradient(v_id, &normed, &of_v);
        };
        let pass = &*backward;
        let run = run_of_rows(memory.states.len() / d_model);
        let items = (of_states.chunks_mut(run * d_model))
            .zip(of_k.chunks(run * width).zip(of_v.chunks(run * width)))
            .collect();
        for_each_item(items, run * d_model * width, |(of_states, (of_k, of_v))| {
            pass.input_gradient(k_id, of_k, Store::Add, of_states);
            pass.input_gradient(v_id, of_v, Store::Add, of_states);
        });
        backward.branch_gradient(k_id, memory.states, &of_k);
        backward.branch_gradient(v_id, memory.states, &of_v);
    }
}

/// What a feed-forward sub-layer's last layer takes, from what its first layers gave.
fn hidden(context: Context<'_>, gate: &[f32], up: &[f32]) -> Scratch<f32> {
    let mut hidden = Scratch::new(gate.len());
    hidden.copy_from_slice(gate);
    activate(context, &mut hidden, up);
    hidden
}

/// Gradients of queries, keys and values, `[rows, num_heads · d_kv]` each.
fn attention_gradients(
    context: Context<'_>,
    config: &T5Config,
    [queries, keys, values]: &[Scratch<f32>; 3],
    output: &[f32],
    key_bounds: &[usize],
    mask: AttentionMask<'_>,
) -> [Vec<f32>; 3] {
    let (width, d_kv) = (config.d_attention(), config.d_kv);
    let examples = mask.bounds.len().saturating_sub(1);
    let mut heads = vec![HeadGradient::default(); examples * config.num_heads];
    let longest = key_bounds.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    let cost = longest * queries.len() / width / examples.max(1) * d_kv * 5;
    for_each_item(heads.iter_mut().enumerate().collect(), cost, |(index, gradient)| {
        let (example, head) = (index / config.num_heads, index % config.num_heads);
        let of_head = |values| Operand { values, stride: width, offset: head * d_kv };
        let query = Query {
            rows: of_head(queries),
            first_position: mask.first,
            bias: mask.bias.map(|bias| bias.head(head)),
            causal: mask.causal,
        };
        let input = HeadGradientInput {
            keys: of_head(keys),
            values: of_head(values),
            output: of_head(output),
            first_query: mask.bounds[example],
            queries: mask.bounds[example + 1] - mask.bounds[example],
            first_key: key_bounds[example],
            keys_len: key_bounds[example + 1] - key_bounds[example],
            d_kv,
        };
        attention_gradient(context.isa, query, input, gradient);
    });
    let mut of_queries = vec![0.0; queries.len()];
    let mut of_keys = vec![0.0; keys.len()];
    let mut of_values = vec![0.0; values.len()];
    for (index, gradient) in heads.iter().enumerate() {
        let (example, head) = (index / config.num_heads, index % config.num_heads);
        let scatter = |from: &[f32], first: usize, out: &mut [f32]| {
            for (row, values) in from.chunks_exact(d_kv).enumerate() {
                out[(first + row) * width + head * d_kv..][..d_kv].copy_from_slice(values);
            }
        };
        scatter(&gradient.queries, mask.bounds[example], &mut of_queries);
        scatter(&gradient.keys, key_bounds[example], &mut of_keys);
        scatter(&gradient.values, key_bounds[example], &mut of_values);
    }
    [of_queries, of_keys, of_values]
}
