//! The layers of one block: weights, and their application to a ragged batch.

use super::position::PositionBias;
use super::{FeedForward, T5Config, tensors};
use crate::kernels::cpu::{HeadCache, Operand, Query, Store, attend, gated_gelu, relu};
use crate::kernels::parallel::{Grid, for_each_item, for_each_tile, run_of_rows};
use crate::kernels::scratch::Scratch;
use crate::model::linear::{Activations, Context, Linear};
use crate::model::{LinearId, LinearKind, ModelError, Stack, Tensors};

/// About how many 8-bit multiply-adds take the time of one in f32.
const INT8_GAIN: usize = 4;

/// One attention sub-layer with its norm.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    pub(super) norm: Vec<f32>,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) o: Linear,
    pub(super) ids: [LinearId; 4],
}

/// The feed-forward sub-layer with its norm.
#[derive(Debug, Clone)]
pub(super) struct FeedForwardLayer {
    pub(super) norm: Vec<f32>,
    /// `wi`, or `wi_0`, whose result goes through the activation.
    pub(super) wi: Linear,
    /// `wi_1`, the other factor of a gated layer.
    pub(super) gate: Option<Linear>,
    pub(super) wo: Linear,
    stack: Stack,
    block: usize,
}

impl FeedForwardLayer {
    pub(super) fn id(&self, kind: LinearKind) -> LinearId {
        LinearId { stack: self.stack, block: self.block, kind }
    }

    /// The id of `wi` or `wi_0`.
    pub(super) fn wi_id(&self) -> LinearId {
        self.id(if self.gate.is_some() { LinearKind::Wi0 } else { LinearKind::Wi })
    }
}

/// One block of a stack.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) attention: Attention,
    pub(super) cross: Option<Attention>,
    pub(super) feed_forward: FeedForwardLayer,
}

impl Block {
    /// Takes a block's tensors.
    pub(super) fn take(
        from: &mut Tensors,
        feed_forward: FeedForward,
        stack: Stack,
        block: usize,
    ) -> Result<Self, ModelError> {
        use LinearKind::*;
        let layer = |from: &mut Tensors, id| from.linear(&tensors::linear(id));
        let attention = |from: &mut Tensors, index: usize, kinds: [LinearKind; 4]| {
            let ids = kinds.map(|kind| LinearId { stack, block, kind });
            Ok::<_, ModelError>(Attention {
                norm: from.vector(&tensors::norm(stack, block, index))?,
                q: layer(from, ids[0])?,
                k: layer(from, ids[1])?,
                v: layer(from, ids[2])?,
                o: layer(from, ids[3])?,
                ids,
            })
        };
        let gated = feed_forward == FeedForward::GatedGelu;
        let is_decoder = stack == Stack::Decoder;
        let id = |kind| LinearId { stack, block, kind };
        Ok(Self {
            attention: attention(from, 0, [SelfQ, SelfK, SelfV, SelfO])?,
            cross: is_decoder
                .then(|| attention(from, 1, [CrossQ, CrossK, CrossV, CrossO]))
                .transpose()?,
            feed_forward: FeedForwardLayer {
                norm: from.vector(&tensors::norm(stack, block, if is_decoder { 2 } else { 1 }))?,
                wi: layer(from, id(if gated { Wi0 } else { Wi }))?,
                gate: gated.then(|| layer(from, id(Wi1))).transpose()?,
                wo: layer(from, id(Wo))?,
                stack,
                block,
            },
        })
    }

    /// The linear layers with their ids.
    pub(super) fn layers(&self) -> Vec<(LinearId, &Linear)> {
        let Self { feed_forward, .. } = self;
        let mut layers: Vec<(LinearId, &Linear)> = self.attention.layers().collect();
        layers.extend(self.cross.iter().flat_map(Attention::layers));
        layers.push((feed_forward.wi_id(), &feed_forward.wi));
        let gate = feed_forward.gate.iter();
        layers.extend(gate.map(|gate| (feed_forward.id(LinearKind::Wi1), gate)));
        layers.push((feed_forward.id(LinearKind::Wo), &feed_forward.wo));
        layers
    }

    pub(super) fn bytes(&self) -> usize {
        self.layers().into_iter().map(|(_, layer)| layer.bytes()).sum()
    }
}

/// Keys and values of every head of every example, `[examples, num_heads]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Cache {
    pub(super) heads: Vec<HeadCache>,
}

impl Cache {
    /// A cache with room for `capacities` positions, one per example.
    pub(super) fn new(config: &T5Config, capacities: impl Iterator<Item = usize>) -> Self {
        let heads = capacities.flat_map(|capacity| {
            (0..config.num_heads).map(move |_| HeadCache::new(config.d_kv, capacity))
        });
        Self { heads: heads.collect() }
    }

    /// Adds keys and values, `[rows, num_heads · d_kv]`, of examples between the row bounds.
    pub(super) fn extend(
        &mut self,
        config: &T5Config,
        keys: &[f32],
        values: &[f32],
        bounds: &[usize],
    ) {
        let (width, d_kv) = (config.d_attention(), config.d_kv);
        let cost = keys.len() / self.heads.len().max(1) * 4;
        for_each_item(self.heads.iter_mut().enumerate().collect(), cost, |(index, head)| {
            let (example, offset) = (index / config.num_heads, index % config.num_heads * d_kv);
            head.extend(
                Operand { values: keys, stride: width, offset },
                Operand { values, stride: width, offset },
                bounds[example]..bounds[example + 1],
            );
        });
    }
}

/// Applies layers of one width to the same rows `x`, `[rows, d_model]`, through a norm if there is
/// one. Returns `[rows, width]` for each layer.
fn project<const N: usize>(
    context: Context<'_>,
    config: &T5Config,
    x: &[f32],
    norm: Option<&[f32]>,
    layers: [(LinearId, &Linear); N],
) -> [Scratch<f32>; N] {
    let (d_model, width) = (config.d_model, config.d_attention());
    let rows = x.len() / d_model;
    let run = run_of_rows(rows);
    let mut results = [(); N].map(|()| Scratch::new(rows * width));
    let mut outputs = results.each_mut().map(|result| result.chunks_mut(run * width));
    let runs = (x.chunks(run * d_model))
        .map(|x| (x, outputs.each_mut().map(|outputs| outputs.next().unwrap_or_default())))
        .collect();
    let int14 = layers.iter().any(|&(id, _)| context.uses_int14(id));
    for_each_item(runs, run * width * d_model * N / INT8_GAIN, |(x, outputs)| {
        let input = match norm {
            Some(weight) => {
                Activations::normed(context, config.layer_norm_epsilon, weight, 1.0, x, int14)
            }
            None => Activations::new(context, x, d_model, int14),
        };
        for ((id, linear), out) in layers.into_iter().zip(outputs) {
            context.apply(id, linear, &input, Store::Replace, out);
        }
    });
    results
}

/// The results of [`project`] without LoRA branches, cached where only the branches change.
#[derive(Debug)]
pub(super) struct Projected<const N: usize> {
    /// Rows of each input.
    run: usize,
    width: usize,
    inputs: Vec<Activations>,
    results: [Scratch<f32>; N],
}

impl<const N: usize> Projected<N> {
    fn new(
        context: Context<'_>,
        config: &T5Config,
        x: &[f32],
        norm: &[f32],
        layers: [(LinearId, &Linear); N],
    ) -> Self {
        let (d_model, width) = (config.d_model, config.d_attention());
        let (rows, context) = (x.len() / d_model, context.without_branches());
        let run = run_of_rows(rows);
        let int14 = layers.iter().any(|&(id, _)| context.uses_int14(id));
        let normed =
            |x| Activations::normed(context, config.layer_norm_epsilon, norm, 1.0, x, int14);
        let inputs: Vec<Activations> = x.chunks(run * d_model).map(normed).collect();
        let cost = run * width * d_model * N / INT8_GAIN;
        let results = over_runs(&inputs, [rows, run, width], cost, |_, input, outputs| {
            for ((id, linear), out) in layers.into_iter().zip(outputs) {
                context.apply(id, linear, input, Store::Replace, out);
            }
        });
        Self { run, width, inputs, results }
    }

    /// The results with the layers' LoRA branches, `[rows, width]` each: the bits of [`project`].
    fn with_branches(&self, context: Context<'_>, ids: [LinearId; N]) -> [Scratch<f32>; N] {
        let (run, width) = (self.run, self.width);
        let rows = self.results.first().map_or(0, |base| base.len() / width);
        over_runs(
            &self.inputs,
            [rows, run, width],
            run * width * N * 16,
            |first, input, outputs| {
                for ((id, base), out) in ids.into_iter().zip(&self.results).zip(outputs) {
                    out.copy_from_slice(&base[first..first + out.len()]);
                    context.add_branch(id, input, out.len() / width, out);
                }
            },
        )
    }
}

/// Results `[rows, width]` that `work` writes `run` rows at a time, given where the run begins in them and
/// its input; `cost` is the multiply-adds of a run.
fn over_runs<const N: usize>(
    inputs: &[Activations],
    [rows, run, width]: [usize; 3],
    cost: usize,
    work: impl Fn(usize, &Activations, [&mut [f32]; N]) + Sync + Send,
) -> [Scratch<f32>; N] {
    let mut results = [(); N].map(|()| Scratch::new(rows * width));
    let mut outputs = results.each_mut().map(|result| result.chunks_mut(run * width));
    let runs = (inputs.iter().enumerate())
        .map(|(index, input)| {
            let outputs = outputs.each_mut().map(|outputs| outputs.next().unwrap_or_default());
            (index * run * width, input, outputs)
        })
        .collect();
    for_each_item(runs, cost, |(first, input, outputs)| work(first, input, outputs));
    results
}

/// The keys that each query attends to.
#[derive(Clone, Copy)]
pub(super) struct AttentionMask<'a> {
    /// Row bounds of the examples' queries.
    pub(super) bounds: &'a [usize],
    /// Position of each example's first row.
    pub(super) first: usize,
    pub(super) bias: Option<&'a PositionBias>,
    /// Whether a query attends only to keys up to its own position.
    pub(super) causal: bool,
}

impl Attention {
    fn layers(&self) -> impl Iterator<Item = (LinearId, &Linear)> {
        self.ids.into_iter().zip([&self.q, &self.k, &self.v, &self.o])
    }

    /// Queries, keys and values of the attention of `x` over itself, each
    /// `[rows, num_heads · d_kv]`.
    pub(super) fn own(
        &self,
        context: Context<'_>,
        config: &T5Config,
        x: &[f32],
    ) -> [Scratch<f32>; 3] {
        project(context, config, x, Some(&self.norm), self.own_layers())
    }

    fn own_layers(&self) -> [(LinearId, &Linear); 3] {
        let [q, k, v, _] = self.ids;
        [(q, &self.q), (k, &self.k), (v, &self.v)]
    }

    /// [`Attention::own`] without LoRA branches.
    pub(super) fn own_of_base(
        &self,
        context: Context<'_>,
        config: &T5Config,
        x: &[f32],
    ) -> Projected<3> {
        Projected::new(context, config, x, &self.norm, self.own_layers())
    }

    /// [`Attention::own`] from the cached results without branches, with the same bits.
    pub(super) fn own_with_branches(
        &self,
        context: Context<'_>,
        without_branches: &Projected<3>,
    ) -> [Scratch<f32>; 3] {
        without_branches.with_branches(context, self.own_layers().map(|(id, _)| id))
    }

    /// Queries of the cross-attention, `[rows, num_heads · d_kv]`.
    pub(super) fn queries(
        &self,
        context: Context<'_>,
        config: &T5Config,
        x: &[f32],
    ) -> Scratch<f32> {
        let [queries] = project(context, config, x, Some(&self.norm), [(self.ids[0], &self.q)]);
        queries
    }

    /// Keys and values of the encoder's output, each `[rows, num_heads · d_kv]`.
    pub(super) fn memory(
        &self,
        context: Context<'_>,
        config: &T5Config,
        states: &[f32],
    ) -> [Scratch<f32>; 2] {
        let layers = [(self.ids[1], &self.k), (self.ids[2], &self.v)];
        project(context, config, states, None, layers)
    }
}

/// Attention of queries over keys and values of examples between `key_bounds`.
pub(super) fn attend_to(
    context: Context<'_>,
    config: &T5Config,
    queries: &[f32],
    [keys, values]: [&[f32]; 2],
    key_bounds: &[usize],
    mask: AttentionMask<'_>,
) -> Scratch<f32> {
    let (width, d_kv) = (config.d_attention(), config.d_kv);
    with_heads(context, config, queries, keys.len() / width, mask, |example, head, attend| {
        let rows = key_bounds[example]..key_bounds[example + 1];
        let mut cache = HeadCache::new(d_kv, rows.len());
        let offset = head * d_kv;
        cache.extend(
            Operand { values: keys, stride: width, offset },
            Operand { values, stride: width, offset },
            rows,
        );
        attend(&cache);
    })
}

/// Attention of queries over cached keys and values.
pub(super) fn attend_cached(
    context: Context<'_>,
    config: &T5Config,
    queries: &[f32],
    cache: &Cache,
    mask: AttentionMask<'_>,
) -> Scratch<f32> {
    let keys = cache.heads.first().map_or(0, HeadCache::len);
    with_heads(context, config, queries, keys, mask, |example, head, attend| {
        attend(&cache.heads[example * config.num_heads + head]);
    })
}

/// Calls `work` with each example, each head, and the function that computes their attention over a
/// cache. `keys` is the approximate number of keys, for the cost.
fn with_heads(
    context: Context<'_>,
    config: &T5Config,
    queries: &[f32],
    keys: usize,
    mask: AttentionMask<'_>,
    work: impl Fn(usize, usize, &mut dyn FnMut(&HeadCache)) + Sync,
) -> Scratch<f32> {
    let (width, d_kv) = (config.d_attention(), config.d_kv);
    let mut attended = Scratch::new(queries.len());
    let grid = Grid::ragged(mask.bounds.to_vec(), width, d_kv);
    let examples = mask.bounds.len().saturating_sub(1).max(1);
    let cost = queries.len() / width / examples * (keys / examples + 1) * d_kv * 2;
    for_each_tile(&mut attended, &grid, cost, |mut tile| {
        let (example, head) = (tile.row_tile, tile.column_tile);
        let query = Query {
            rows: Operand { values: queries, stride: width, offset: head * d_kv },
            first_position: mask.first,
            bias: mask.bias.map(|bias| bias.head(head)),
            causal: mask.causal,
        };
        work(example, head, &mut |cache| attend(context.isa, query, cache, &mut tile));
    });
    attended
}

/// Adds an attention's output to `x`, `[rows, d_model]`, and then the feed-forward sub-layer if there
/// is one.
pub(super) fn finish(
    context: Context<'_>,
    config: &T5Config,
    attention: &Attention,
    attended: &[f32],
    feed_forward: Option<&FeedForwardLayer>,
    x: &mut [f32],
) {
    let (d_model, width) = (config.d_model, config.d_attention());
    let run = run_of_rows(x.len() / d_model);
    let runs = x.chunks_mut(run * d_model).zip(attended.chunks(run * width)).collect();
    let depth = width + feed_forward.map_or(0, |_| 3 * config.d_ff);
    for_each_item(runs, run * d_model * depth / INT8_GAIN, |(x, attended)| {
        let int14 = context.uses_int14(attention.ids[3]);
        let attended = Activations::new(context, attended, width, int14);
        context.apply(attention.ids[3], &attention.o, &attended, Store::Add, x);
        if let Some(layer) = feed_forward {
            layer.apply(context, config, x);
        }
    });
}

impl FeedForwardLayer {
    /// Adds the sub-layer's result to a run of rows `x`.
    fn apply(&self, context: Context<'_>, config: &T5Config, x: &mut [f32]) {
        let hidden = x.len() / config.d_model * config.d_ff;
        let mut gate = Scratch::new(hidden);
        let mut up = Scratch::new(if self.gate.is_some() { hidden } else { 0 });
        self.expand(context, config, x, &mut gate, &mut up);
        activate(context, &mut gate, &up);
        self.contract(context, config, &gate, x);
    }

    /// Writes what goes through the activation, `[rows, d_ff]`, and the other factor of a gated layer.
    pub(super) fn expand(
        &self,
        context: Context<'_>,
        config: &T5Config,
        x: &[f32],
        gate: &mut [f32],
        up: &mut [f32],
    ) {
        let epsilon = config.layer_norm_epsilon;
        let int14 = context.uses_int14(self.wi_id());
        let input = Activations::normed(context, epsilon, &self.norm, 1.0, x, int14);
        context.apply(self.wi_id(), &self.wi, &input, Store::Replace, gate);
        if let Some(linear) = &self.gate {
            context.apply(self.id(LinearKind::Wi1), linear, &input, Store::Replace, up);
        }
    }

    /// Adds the last layer's result for rows `[rows, d_ff]` to `x`.
    pub(super) fn contract(
        &self,
        context: Context<'_>,
        config: &T5Config,
        hidden: &[f32],
        x: &mut [f32],
    ) {
        let id = self.id(LinearKind::Wo);
        let hidden = Activations::new(context, hidden, config.d_ff, context.uses_int14(id));
        context.apply(id, &self.wo, &hidden, Store::Add, x);
    }
}

/// Applies the activation to `gate`: GELU times the other factor `up`, or ReLU where there is none.
pub(super) fn activate(context: Context<'_>, gate: &mut [f32], up: &[f32]) {
    if up.is_empty() {
        relu(context.isa, gate);
    } else {
        gated_gelu(context.isa, gate, up);
    }
}
