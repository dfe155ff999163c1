//! Attention over a batch, and appending to its cache of keys and values.

use bytemuck::{Pod, Zeroable};

use super::layout::{AppendParams, AttentionParams};
use super::{number, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::{Buffer, Recorder};

/// Bytes of workgroup memory, WebGPU's default limit.
const WORKGROUP_BYTES: usize = 16_384;

/// A run of queries of one example, and its keys.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct AttentionTask {
    /// Row of the first query.
    pub first_row: u32,
    /// Number of queries, at most [`attention_queries`].
    pub queries: u32,
    /// Position of the first query in its example, before [`Attention::decoded`] is added.
    pub first_position: u32,
    /// Row of the first key and value.
    pub key_row: u32,
    /// Number of keys.
    pub keys: u32,
}

/// Attention over a batch.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Number of heads.
    pub num_heads: usize,
    /// Width of a head.
    pub d_kv: usize,
    /// Queries `[rows, num_heads · d_kv]`, and the distance between the starts of two rows.
    pub q: (&'a Buffer, usize),
    /// Keys and values, the distance between the starts of two rows, the first column of the keys, and that
    /// of the values.
    pub kv: (&'a Buffer, usize, usize, usize),
    /// Position bias `[num_heads, width]` by head and distance, and its width.
    pub bias: Option<(&'a Buffer, usize)>,
    /// Whether keys after a query's own position are masked.
    pub causal: bool,
    /// [`AttentionTask`]s, and their number.
    pub tasks: (&'a Buffer, usize),
    /// Whether each task has one query.
    pub single: bool,
    /// Number of positions decoded so far, one value.
    pub decoded: &'a Buffer,
    /// The output, `[rows, num_heads · d_kv]`.
    pub out: &'a Buffer,
}

/// Threads of a workgroup.
const THREADS: usize = 64;
/// Queries that a thread processes together.
const GROUP: usize = 4;

/// Queries of a workgroup, and keys that its tile holds, for heads of this width.
fn attention_tile(d_kv: usize, single: bool) -> (usize, usize) {
    // The kernel's workgroup memory: queries, keys, probabilities, partial maxima and sums.
    let fits = |queries: usize, keys: usize| {
        let (groups, quads) = (queries.div_ceil(GROUP), d_kv.div_ceil(4));
        let vectors =
            quads * 4 * groups + keys * (quads | 1) + keys * groups + THREADS + groups * 8;
        vectors * 16 <= WORKGROUP_BYTES
    };
    let queries = if single { 1 } else { 16 };
    let sizes = [(queries, 64), (queries, 32), (queries, 16), (4, 8), (1, 4), (1, 1)];
    sizes.into_iter().find(|&(queries, keys)| fits(queries, keys)).unwrap_or((1, 1))
}

/// Limit on the queries of an [`AttentionTask`].
pub fn attention_queries(d_kv: usize, single: bool) -> usize {
    attention_tile(d_kv, single).0
}

impl Recorder<'_> {
    /// Records the attention of every task and head.
    pub fn attention(&mut self, attention: Attention<'_>) {
        let Attention { num_heads, d_kv, q, kv, bias, .. } = attention;
        let (bias_buffer, bias_width) = bias.unwrap_or((q.0, 1));
        let params = AttentionParams {
            tasks: word(attention.tasks.1),
            q_stride: word(q.1),
            kv_stride: word(kv.1),
            k_offset: word(kv.2),
            v_offset: word(kv.3),
            out_stride: word(num_heads * d_kv),
            causal: attention.causal.into(),
            biased: bias.is_some().into(),
            bias_width: word(bias_width),
            zero: 0,
        };
        let (queries, keys) = attention_tile(d_kv, attention.single);
        let (groups, quads) = (queries.div_ceil(GROUP), d_kv.div_ceil(4));
        let constants = vec![
            number("D_KV", d_kv),
            number("QUADS", quads),
            number("GROUPS", groups),
            number("KEYS", keys),
            number("KEYS_EACH", keys.div_ceil(THREADS / groups)),
            number("LOADS", (keys * quads).div_ceil(THREADS)),
            number("COLUMNS", d_kv.div_ceil(THREADS)),
        ];
        let buffers = [q.0, kv.0, bias_buffer, attention.tasks.0, attention.decoded, attention.out];
        let [x, y] = spread(attention.tasks.1);
        self.dispatch(Kernel::Attention, constants, &params, &buffers, [x, y, word(num_heads)]);
    }

    /// Writes `width` columns of `x` from `offset` on, in rows of `stride` values, to a cache
    /// `[rows, capacity, width]` at position `decoded`.
    #[allow(clippy::too_many_arguments)]
    pub fn append(
        &mut self,
        x: &Buffer,
        (stride, offset): (usize, usize),
        rows: usize,
        width: usize,
        capacity: usize,
        decoded: &Buffer,
        cache: &Buffer,
    ) {
        let params = AppendParams {
            rows: word(rows),
            width: word(width),
            x_stride: word(stride),
            x_offset: word(offset),
            capacity: word(capacity),
        };
        let [groups_x, groups_y] = spread(rows);
        self.dispatch(
            Kernel::Append,
            vec![],
            &params,
            &[x, decoded, cache],
            [groups_x, groups_y, 1],
        );
    }
}
