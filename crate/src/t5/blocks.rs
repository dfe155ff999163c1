//! The layers of one block: weights, and their application to a ragged batch.

use super::builder::norm_name;
use super::linear::{Activations, Context, Linear};
use super::position::PositionBias;
use super::{ModelBuilder, ModelError, T5Config};
use crate::formats::{LinearId, LinearKind, Stack};
use crate::kernels::cpu::{HeadCache, Operand, Query, Store, attend, gated_gelu, relu, rms_norm};
use crate::kernels::parallel::{Grid, for_each_tile};

/// Rows of queries given to a thread at a time.
const QUERY_ROWS: usize = 64;

/// One attention sub-layer with its norm.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    norm: Vec<f32>,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    ids: [LinearId; 4],
}

/// The feed-forward sub-layer with its norm.
#[derive(Debug, Clone)]
pub(super) struct FeedForwardLayer {
    norm: Vec<f32>,
    /// `wi`, or `wi_0` whose result goes through the activation.
    wi: Linear,
    /// `wi_1`, the other factor of a gated layer.
    gate: Option<Linear>,
    wo: Linear,
    stack: Stack,
    block: usize,
}

/// One block of a stack.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) attention: Attention,
    pub(super) cross: Option<Attention>,
    pub(super) feed_forward: FeedForwardLayer,
}

impl Block {
    /// Takes a block's tensors out of `from`.
    pub(super) fn take(
        from: &mut ModelBuilder,
        gated: bool,
        stack: Stack,
        block: usize,
    ) -> Result<Self, ModelError> {
        use LinearKind::*;
        let attention = |from: &mut ModelBuilder, layer: usize, kinds: [LinearKind; 4]| {
            let ids = kinds.map(|kind| LinearId { stack, block, kind });
            Ok::<_, ModelError>(Attention {
                norm: from.vector(&norm_name(stack, block, layer))?,
                q: from.layer(ids[0])?,
                k: from.layer(ids[1])?,
                v: from.layer(ids[2])?,
                o: from.layer(ids[3])?,
                ids,
            })
        };
        let is_decoder = stack == Stack::Decoder;
        let id = |kind| LinearId { stack, block, kind };
        Ok(Self {
            attention: attention(from, 0, [SelfQ, SelfK, SelfV, SelfO])?,
            cross: is_decoder
                .then(|| attention(from, 1, [CrossQ, CrossK, CrossV, CrossO]))
                .transpose()?,
            feed_forward: FeedForwardLayer {
                norm: from.vector(&norm_name(stack, block, if is_decoder { 2 } else { 1 }))?,
                wi: from.layer(id(if gated { Wi0 } else { Wi }))?,
                gate: gated.then(|| from.layer(id(Wi1))).transpose()?,
                wo: from.layer(id(Wo))?,
                stack,
                block,
            },
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let attention = |attention: &Attention| {
            [&attention.q, &attention.k, &attention.v, &attention.o]
                .into_iter()
                .map(Linear::bytes)
                .sum::<usize>()
        };
        attention(&self.attention)
            + self.cross.as_ref().map_or(0, attention)
            + self.feed_forward.wi.bytes()
            + self.feed_forward.gate.as_ref().map_or(0, Linear::bytes)
            + self.feed_forward.wo.bytes()
    }
}

/// Keys and values of every head of every example, `[examples, num_heads]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Cache {
    pub(super) heads: Vec<HeadCache>,
}

/// The norm of every row, ready for linear layers.
pub(super) fn normed(
    context: Context<'_>,
    config: &T5Config,
    weight: &[f32],
    factor: f32,
    x: &[f32],
) -> Activations {
    let mut out = vec![0.0; x.len()];
    rms_norm(context.isa, x, weight, config.layer_norm_epsilon, factor, &mut out);
    Activations::new(out, config.d_model)
}

impl Attention {
    /// Keys and values of `source` for examples between the row bounds, added to `cache`, which has
    /// a head for each.
    pub(super) fn extend_cache(
        &self,
        context: Context<'_>,
        config: &T5Config,
        source: &Activations,
        bounds: &[usize],
        cache: &mut Cache,
    ) {
        let width = self.k.d_out();
        let mut keys = vec![0.0; source.rows * width];
        let mut values = vec![0.0; source.rows * width];
        context.apply(self.ids[1], &self.k, source, Store::Replace, &mut keys);
        context.apply(self.ids[2], &self.v, source, Store::Replace, &mut values);
        let (heads, d_kv) = (config.num_heads, config.d_kv);
        for (index, head) in cache.heads.iter_mut().enumerate() {
            let offset = index % heads * d_kv;
            let rows = bounds[index / heads]..bounds[index / heads + 1];
            head.extend(
                Operand { values: &keys, stride: width, offset },
                Operand { values: &values, stride: width, offset },
                rows,
            );
        }
    }

    /// Caches with room for `capacities` positions, one per example.
    pub(super) fn empty_cache(config: &T5Config, capacities: impl Iterator<Item = usize>) -> Cache {
        let heads = capacities.flat_map(|capacity| {
            (0..config.num_heads).map(move |_| HeadCache::new(config.d_kv, capacity))
        });
        Cache { heads: heads.collect() }
    }

    /// The input's norm, for queries and, over itself, for keys and values.
    pub(super) fn normed(&self, context: Context<'_>, config: &T5Config, x: &[f32]) -> Activations {
        normed(context, config, &self.norm, 1.0, x)
    }

    /// Adds the sub-layer's result to `x`. `queries` is `x` after the norm; `cache` already holds
    /// the keys and values, those of these rows included. Row bounds part the examples; `first` is
    /// the position of each example's first row.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn attend(
        &self,
        context: Context<'_>,
        config: &T5Config,
        queries: &Activations,
        bounds: &[usize],
        first: usize,
        bias: Option<&PositionBias>,
        causal: bool,
        cache: &Cache,
        x: &mut [f32],
    ) {
        let (width, d_kv) = (self.q.d_out(), config.d_kv);
        let mut q = vec![0.0; queries.rows * width];
        context.apply(self.ids[0], &self.q, queries, Store::Replace, &mut q);

        // Examples are cut further, so that one long example is shared among threads too.
        let mut row_bounds = vec![0];
        let mut example_of = Vec::new();
        for (example, pair) in bounds.windows(2).enumerate() {
            let mut start = pair[0];
            while start < pair[1] {
                start = pair[1].min(start + QUERY_ROWS);
                row_bounds.push(start);
                example_of.push(example);
            }
        }
        let longest = cache.heads.iter().map(HeadCache::len).max().unwrap_or(0);
        let cost = QUERY_ROWS.min(queries.rows) * longest * d_kv * 2;
        let mut attended = vec![0.0; queries.rows * width];
        let grid = Grid::ragged(row_bounds, width, d_kv);
        for_each_tile(&mut attended, &grid, cost, |mut tile| {
            let (example, head) = (example_of[tile.row_tile], tile.column_tile);
            let query = Query {
                rows: Operand { values: &q, stride: width, offset: head * d_kv },
                first_position: first + tile.rows.start - bounds[example],
                bias: bias.map(|bias| bias.head(head)),
                causal,
            };
            attend(context.isa, query, &cache.heads[example * config.num_heads + head], &mut tile);
        });
        let attended = Activations::new(attended, width);
        context.apply(self.ids[3], &self.o, &attended, Store::Add, x);
    }
}

impl FeedForwardLayer {
    /// Adds the sub-layer's result to `x`.
    pub(super) fn apply(&self, context: Context<'_>, config: &T5Config, x: &mut [f32]) {
        let input = normed(context, config, &self.norm, 1.0, x);
        let id = |kind| LinearId { stack: self.stack, block: self.block, kind };
        let width = config.d_ff;
        let mut hidden = vec![0.0; input.rows * width];
        let isa = context.isa;
        // One share of the elementwise work: a few thousand exponentials.
        let share = 8192;
        match &self.gate {
            None => {
                context.apply(id(LinearKind::Wi), &self.wi, &input, Store::Replace, &mut hidden);
                relu(isa, &mut hidden);
            }
            Some(gate) => {
                let mut up = vec![0.0; input.rows * width];
                context.apply(id(LinearKind::Wi0), &self.wi, &input, Store::Replace, &mut hidden);
                context.apply(id(LinearKind::Wi1), gate, &input, Store::Replace, &mut up);
                let grid = Grid::even(1, hidden.len(), 1, share);
                for_each_tile(&mut hidden, &grid, share * 16, |mut tile| {
                    let columns = tile.columns.clone();
                    gated_gelu(isa, tile.row(0), &up[columns]);
                });
            }
        }
        let hidden = Activations::new(hidden, width);
        context.apply(id(LinearKind::Wo), &self.wo, &hidden, Store::Add, x);
    }
}
