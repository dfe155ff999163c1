//! Attention over a batch, and the caches of keys and values that it reads.

use bytemuck::{Pod, Zeroable};

use super::{number, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::{Buffer, Recorder};

/// Bytes of workgroup memory that every device has.
const WORKGROUP_BYTES: usize = 16_384;

/// A run of queries of one example and the keys that they look at.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct AttentionTask {
    /// Row of the first query.
    pub first_row: u32,
    /// Number of queries, at most [`attention_queries`].
    pub queries: u32,
    /// Position of the first query in its example, not counting what was decoded.
    pub first_position: u32,
    /// Row of the first key and value.
    pub key_row: u32,
    /// Number of keys.
    pub keys: u32,
}

/// Attention over a batch.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Heads.
    pub num_heads: usize,
    /// Width of a head.
    pub d_kv: usize,
    /// Queries `[rows, num_heads · d_kv]` from the first column of rows of this many values.
    pub q: (&'a Buffer, usize),
    /// Keys and values: distance between rows, first column of the keys, first column of the values.
    pub kv: (&'a Buffer, usize, usize, usize),
    /// Bias by head and distance, `[num_heads, width]`, and its width.
    pub bias: Option<(&'a Buffer, usize)>,
    /// Whether a query sees only keys up to its own position.
    pub causal: bool,
    /// Tasks on the device, and how many.
    pub tasks: (&'a Buffer, usize),
    /// Whether each task has one query.
    pub single: bool,
    /// Positions decoded so far, one value.
    pub decoded: &'a Buffer,
    /// `[rows, num_heads · d_kv]`.
    pub out: &'a Buffer,
}

/// Threads of a workgroup.
const THREADS: usize = 64;
/// Queries that a thread takes together.
const GROUP: usize = 4;

/// Queries that one workgroup takes and keys that it holds at a time, for heads of this width.
fn attention_tile(d_kv: usize, single: bool) -> (usize, usize) {
    // As the kernel declares them: queries, keys, probabilities, and what threads tell each other.
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

/// Queries that one [`AttentionTask`] can have.
pub fn attention_queries(d_kv: usize, single: bool) -> usize {
    attention_tile(d_kv, single).0
}

impl Recorder<'_> {
    /// Attention of every task and head.
    pub fn attention(&mut self, attention: Attention<'_>) {
        #[repr(C)]
        #[derive(Clone, Copy, Pod, Zeroable)]
        struct Params {
            tasks: u32,
            q_stride: u32,
            kv_stride: u32,
            k_offset: u32,
            v_offset: u32,
            out_stride: u32,
            causal: u32,
            biased: u32,
            bias_width: u32,
            zero: u32,
        }
        let Attention { num_heads, d_kv, q, kv, bias, .. } = attention;
        let (bias_buffer, bias_width) = bias.unwrap_or((q.0, 1));
        let params = Params {
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

    /// Adds the columns from `offset` on of `x`, rows of `stride` values, to a cache
    /// `[rows, capacity, width]` at the position decoded.
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
        let params = [rows, width, stride, offset, capacity].map(word);
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
