//! One function for each kernel: its operands, its parameters, and the variant for its shape.

use bytemuck::{Pod, Zeroable};

use super::pipelines::{Constant, Kernel};
use super::program::spread;
use super::{Buffer, Gpu, GpuError, Recorder};
use crate::kernels::quantize::{BLOCK, QuantizedMatrix};

/// Bytes of a quantised row are filled up to a multiple of this, the depth of a product's tile.
const ROW_BYTES: usize = 32;
/// Bytes of workgroup memory that every device has.
const WORKGROUP_BYTES: usize = 16_384;
/// Rows up to which a product is a few reductions rather than tiles.
const VECTOR_ROWS: usize = 8;
/// Workgroups below which a product takes smaller tiles, to keep the device busy.
const ENOUGH_WORKGROUPS: usize = 128;
/// Threads along each side of a product's tile.
const TILE_SIDE: usize = 16;

/// Words of a quantised row of `width` values.
pub fn packed_words(width: usize) -> usize {
    width.next_multiple_of(ROW_BYTES) / 4
}

fn word(value: usize) -> u32 {
    u32::try_from(value).expect("an index that fits the words of a buffer")
}

/// Rows of activations on the device, in f32 and quantised.
#[derive(Debug, Clone)]
pub struct Rows {
    values: Buffer,
    quantized: Quantized,
    /// What 7 bits leave.
    rest: Quantized,
}

/// Quantised rows: bytes, and scales of blocks.
#[derive(Debug, Clone)]
struct Quantized {
    packed: Buffer,
    scales: Buffer,
}

impl Rows {
    /// Room for `rows` rows of up to `width` values; without their quantised form if
    /// `quantized` is false.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn new(
        gpu: &Gpu,
        what: &str,
        rows: usize,
        width: usize,
        quantized: bool,
    ) -> Result<Self, GpuError> {
        let [values, packed, scales] = Self::words(rows, width, quantized);
        let quantized = || {
            let (packed, scales) = (gpu.zeros(what, packed)?, gpu.zeros(what, scales)?);
            Ok::<_, GpuError>(Quantized { packed, scales })
        };
        Ok(Self { values: gpu.zeros(what, values)?, quantized: quantized()?, rest: quantized()? })
    }

    /// Words of the three buffers.
    pub(crate) fn words(rows: usize, width: usize, quantized: bool) -> [usize; 3] {
        if quantized {
            [rows * width, rows * packed_words(width), rows * width.div_ceil(BLOCK)]
        } else {
            [rows * width, 0, 0]
        }
    }

    /// The values, `[rows, width]`.
    pub fn values(&self) -> &Buffer {
        &self.values
    }
}

/// Rows of a weight matrix that one binding holds.
#[derive(Debug, Clone)]
struct Part {
    first: usize,
    count: usize,
    values: Buffer,
    /// `[count, blocks]`; of a matrix in f32, anything.
    scales: Buffer,
}

/// A weight matrix `[d_out, d_in]` on the device, in as many parts as bindings ask for.
#[derive(Debug, Clone)]
pub struct Matrix {
    d_out: usize,
    d_in: usize,
    quantized: bool,
    parts: Vec<Part>,
    bytes: u64,
}

impl Matrix {
    /// Uploads quantised matrices of the same `d_in`, one below another.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] if not even one row fits a binding.
    ///
    /// # Panics
    /// If there is no matrix or their `d_in` differ.
    pub fn int8(gpu: &Gpu, what: &str, matrices: &[QuantizedMatrix]) -> Result<Self, GpuError> {
        let d_in = matrices[0].d_in;
        assert!(matrices.iter().all(|matrix| matrix.d_in == d_in));
        let stride = packed_words(d_in) * 4;
        let blocks = d_in.div_ceil(BLOCK);
        let rows: Vec<(&[i8], &[f32])> = matrices
            .iter()
            .flat_map(|matrix| {
                matrix.values.chunks_exact(d_in).zip(matrix.scales.chunks_exact(blocks))
            })
            .collect();
        let most = gpu.largest_binding() as usize / stride;
        gpu.check_size(what, stride as u64)?;
        let mut parts = Vec::new();
        for (index, rows) in rows.chunks(most).enumerate() {
            let mut bytes = vec![0i8; rows.len() * stride];
            for (padded, (row, _)) in bytes.chunks_exact_mut(stride).zip(rows) {
                padded[..d_in].copy_from_slice(row);
            }
            let scales: Vec<f32> = rows.iter().flat_map(|&(_, scales)| scales).copied().collect();
            parts.push(Part {
                first: index * most,
                count: rows.len(),
                values: gpu.upload(what, &bytes)?,
                scales: gpu.upload(what, &scales)?,
            });
        }
        let bytes = (rows.len() * (stride + 4 * blocks)) as u64;
        Ok(Self { d_out: rows.len(), d_in, quantized: true, parts, bytes })
    }

    /// Uploads a row-major matrix in f32.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] if not even one row fits a binding.
    ///
    /// # Panics
    /// If the values do not fill rows of `d_in`.
    pub fn f32(gpu: &Gpu, what: &str, values: &[f32], d_in: usize) -> Result<Self, GpuError> {
        assert!(values.len().is_multiple_of(d_in));
        let most = gpu.largest_binding() as usize / (d_in * 4);
        gpu.check_size(what, d_in as u64 * 4)?;
        let unused = gpu.zeros(what, 1)?;
        let parts = values.chunks(most * d_in).enumerate().map(|(index, values)| {
            Ok(Part {
                first: index * most,
                count: values.len() / d_in,
                values: gpu.upload(what, values)?,
                scales: unused.clone(),
            })
        });
        Ok(Self {
            parts: parts.collect::<Result<_, GpuError>>()?,
            d_out: values.len() / d_in,
            d_in,
            quantized: false,
            bytes: size_of_val(values) as u64,
        })
    }

    /// Inputs of the layer.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// Outputs of the layer.
    pub fn d_out(&self) -> usize {
        self.d_out
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// An embedding `[vocab_size, width]`, in as many parts as bindings ask for.
#[derive(Debug, Clone)]
pub struct Embedding(Matrix);

impl Embedding {
    /// Uploads a row-major embedding.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] if not even one row fits a binding.
    pub fn new(gpu: &Gpu, values: &[f32], width: usize) -> Result<Self, GpuError> {
        Ok(Self(Matrix::f32(gpu, "the embedding", values, width)?))
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }
}

/// How rows are quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantize {
    /// Not at all.
    No,
    /// In 7 bits.
    Coarse,
    /// In 14 bits: 7, and what they leave in 7 more.
    Fine,
}

/// Where a product's result goes: rows of `stride` values, into the columns from `offset` on.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// The buffer.
    pub buffer: &'a Buffer,
    /// Distance between two rows.
    pub stride: usize,
    /// First column.
    pub offset: usize,
    /// What becomes of what is there.
    pub store: Store,
}

/// What happens to a product's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// It replaces what is there.
    Replace = 0,
    /// It is added to what is there.
    Add = 1,
}

/// What is done to a row before it is quantised.
#[derive(Debug, Clone, Copy)]
pub enum RowsMode<'a> {
    /// Nothing.
    Plain,
    /// T5's norm: `factor · weight · x / √(mean(x²) + epsilon)`.
    Norm {
        /// `[width]`.
        weight: &'a Buffer,
        /// Added to the mean square.
        epsilon: f32,
        /// Multiplies the result.
        factor: f32,
    },
    /// `gelu_new(gate) · up` of rows that hold both, the gate first.
    GatedGelu,
    /// The larger of each value and 0.
    Relu,
}

/// A product in f32 for a population: `out[m, r, c] (+)= factor[m, c] · Σ_k x[m, r, k]·w[m, c, k]`.
#[derive(Debug, Clone, Copy)]
pub struct FloatProduct<'a> {
    /// Members of the population.
    pub members: usize,
    /// Rows of each member.
    pub rows: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Length of the reduction.
    pub depth: usize,
    /// Activations, their distance between rows and their first column.
    pub x: (&'a Buffer, usize, usize),
    /// Weights `[columns, depth]` and where they start.
    pub weights: (&'a Buffer, usize),
    /// Distance between the weights of two members, 0 where they share them.
    pub weights_per_member: usize,
    /// Factors of the columns, where they start, and the distance between two members'.
    pub factors: Option<(&'a Buffer, usize, usize)>,
    /// Where the result goes.
    pub out: Output<'a>,
}

/// A product in 8 bits for a population, of rows that were quantised.
#[derive(Debug, Clone, Copy)]
pub struct Int8Product<'a> {
    /// Members of the population.
    pub members: usize,
    /// Rows of each member.
    pub rows: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Length of the reduction.
    pub depth: usize,
    /// Activations.
    pub x: &'a Rows,
    /// Of the columns the first that take 14 bits of the activations.
    pub fine: usize,
    /// Weights: rows of [`packed_words`], their first word, and the distance between two members' in
    /// words.
    pub weights: (&'a Buffer, usize, usize),
    /// Scales of the weights' blocks, the first, and the distance between two members'.
    pub scales: (&'a Buffer, usize, usize),
    /// Factors of the columns, where they start, and the distance between two members'.
    pub factors: Option<(&'a Buffer, usize, usize)>,
    /// Where the result goes.
    pub out: Output<'a>,
}

/// A row of weights that is quantised on the device.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct WeightRow {
    /// Its first value among those of a member.
    pub source: u32,
    /// Its values.
    pub width: u32,
    /// Its first word among those of a member.
    pub word: u32,
    /// Its first scale among those of a member.
    pub scale: u32,
}

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

/// Where the factor of one rank of a side path comes from.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RankFactor {
    /// Index of the module whose coefficient it is multiplied by.
    pub adapter: u32,
    /// The scaling.
    pub scaling: f32,
}

impl RankFactor {
    /// In place of a module: the factor is the scaling alone.
    pub const ALL_MODULES: u32 = u32::MAX;
}

/// Queries that one workgroup takes and keys that it holds at a time, for heads of this width.
fn attention_tile(d_kv: usize, single: bool) -> (usize, usize) {
    let values = WORKGROUP_BYTES / 4 - 128;
    let fits = |queries: usize, keys: usize| {
        queries * d_kv + keys * (d_kv + 1) + queries * (keys + 8) <= values
    };
    let queries = if single { 1 } else { 16 };
    let sizes = [(queries, 64), (queries, 32), (queries, 16), (4, 8), (1, 4), (1, 1)];
    sizes.into_iter().find(|&(queries, keys)| fits(queries, keys)).unwrap_or((1, 1))
}

/// Queries that one [`AttentionTask`] can have.
pub fn attention_queries(d_kv: usize, single: bool) -> usize {
    attention_tile(d_kv, single).0
}

/// Rows and columns of a tile for each thread: the largest that leave the device enough workgroups.
fn tile(rows: usize, columns: usize, members: usize) -> (usize, usize) {
    let workgroups = |(r, c): (usize, usize)| {
        rows.div_ceil(r * TILE_SIDE) * columns.div_ceil(c * TILE_SIDE) * members
    };
    let sizes = [(4, 4), (2, 4), (4, 2), (2, 2), (1, 2), (2, 1), (1, 1)];
    let narrow = |&(r, c): &(usize, usize)| {
        (r == 1 || rows > (r / 2) * TILE_SIDE) && (c == 1 || columns > (c / 2) * TILE_SIDE)
    };
    let mut fitting = sizes.into_iter().filter(narrow);
    let largest = fitting.next().unwrap_or((1, 1));
    if workgroups(largest) >= ENOUGH_WORKGROUPS {
        return largest;
    }
    fitting
        .find(|&size| workgroups(size) >= ENOUGH_WORKGROUPS)
        .unwrap_or(if rows > TILE_SIDE && columns > TILE_SIDE { (2, 2) } else { (1, 1) })
}

fn vector_rows(rows: usize) -> usize {
    if rows == 1 { 1 } else { 4 }
}

fn number(name: &'static str, value: usize) -> (&'static str, Constant) {
    (name, Constant::Number(word(value)))
}

impl Recorder<'_> {
    /// Rows of an embedding, `[rows, width]`. Tokens are given for the first `period` rows and
    /// repeat.
    pub fn embed(
        &mut self,
        embedding: &Embedding,
        tokens: &Buffer,
        period: usize,
        rows: usize,
        out: &Buffer,
    ) {
        #[repr(C)]
        #[derive(Clone, Copy, Pod, Zeroable)]
        struct Params {
            rows: u32,
            period: u32,
            width: u32,
            first: u32,
            count: u32,
        }
        let [x, y] = spread(rows);
        for part in &embedding.0.parts {
            let params = Params {
                rows: word(rows),
                period: word(period),
                width: word(embedding.0.d_in),
                first: word(part.first),
                count: word(part.count),
            };
            self.dispatch(Kernel::Embed, vec![], &params, &[tokens, &part.values, out], [x, y, 1]);
        }
    }

    /// Prepares rows for products: `mode` of `x`, `[rows, width]` from `x_offset` on at a distance of
    /// `x_stride`, into `out`, and its quantised form.
    #[allow(clippy::too_many_arguments)]
    pub fn rows(
        &mut self,
        mode: RowsMode<'_>,
        x: &Buffer,
        (x_stride, x_offset): (usize, usize),
        rows: usize,
        width: usize,
        out: &Rows,
        quantize: Quantize,
    ) {
        #[repr(C)]
        #[derive(Clone, Copy, Pod, Zeroable)]
        struct Params {
            rows: u32,
            width: u32,
            x_stride: u32,
            x_offset: u32,
            words: u32,
            blocks: u32,
            epsilon: f32,
            factor: f32,
            zero: u32,
        }
        let (mode, weight, epsilon, factor) = match mode {
            RowsMode::Plain => (0, x, 0.0, 1.0),
            RowsMode::Norm { weight, epsilon, factor } => (1, weight, epsilon, factor),
            RowsMode::GatedGelu => (2, x, 0.0, 1.0),
            RowsMode::Relu => (3, x, 0.0, 1.0),
        };
        let params = Params {
            rows: word(rows),
            width: word(width),
            x_stride: word(x_stride),
            x_offset: word(x_offset),
            words: word(packed_words(width)),
            blocks: word(width.div_ceil(BLOCK)),
            epsilon,
            factor,
            zero: 0,
        };
        let constants = vec![
            number("MODE", mode),
            ("QUANTIZE", Constant::Flag(quantize != Quantize::No)),
            ("FINE", Constant::Flag(quantize == Quantize::Fine)),
        ];
        let [groups_x, groups_y] = spread(rows);
        let Rows { values, quantized, rest } = out;
        let buffers =
            [x, weight, values, &quantized.packed, &quantized.scales, &rest.packed, &rest.scales];
        self.dispatch(Kernel::Rows, constants, &params, &buffers, [groups_x, groups_y, 1]);
    }

    /// Adds `values` values of `sums` to those of `out`.
    pub fn add(&mut self, sums: &Buffer, values: usize, out: &Buffer) {
        let [x, y] = spread(values.div_ceil(128));
        self.dispatch(Kernel::Add, vec![], &word(values), &[sums, out], [x, y, 1]);
    }

    /// `x · weightsᵀ` of `rows` rows, which [`Recorder::rows`] prepared. In 8 bits the first `fine`
    /// columns take 14 bits of them.
    pub fn product(
        &mut self,
        x: &Rows,
        rows: usize,
        weights: &Matrix,
        fine: usize,
        out: Output<'_>,
    ) {
        for part in &weights.parts {
            let out = Output { offset: out.offset + part.first, ..out };
            if weights.quantized {
                self.int8_product(Int8Product {
                    members: 1,
                    rows,
                    columns: part.count,
                    depth: weights.d_in,
                    x,
                    fine: fine.saturating_sub(part.first).min(part.count),
                    weights: (&part.values, 0, 0),
                    scales: (&part.scales, 0, 0),
                    factors: None,
                    out,
                });
            } else {
                self.float_product(FloatProduct {
                    members: 1,
                    rows,
                    columns: part.count,
                    depth: weights.d_in,
                    x: (&x.values, weights.d_in, 0),
                    weights: (&part.values, 0),
                    weights_per_member: 0,
                    factors: None,
                    out,
                });
            }
        }
    }

    /// A product in 8 bits.
    pub fn int8_product(&mut self, product: Int8Product<'_>) {
        #[repr(C)]
        #[derive(Clone, Copy, Pod, Zeroable)]
        struct Params {
            rows: u32,
            columns: u32,
            fine: u32,
            words: u32,
            blocks: u32,
            w_offset: u32,
            w_member: u32,
            scale_offset: u32,
            scale_member: u32,
            out_stride: u32,
            out_offset: u32,
            scaled: u32,
            factor_offset: u32,
            factor_member: u32,
            store: u32,
            zero: u32,
        }
        let Int8Product { members, rows, columns, depth, x, weights, scales, out, .. } = product;
        let (factors, factor_offset, factor_member) = product.factors.unwrap_or((scales.0, 0, 0));
        let params = Params {
            rows: word(rows),
            columns: word(columns),
            fine: word(product.fine),
            words: word(packed_words(depth)),
            blocks: word(depth.div_ceil(BLOCK)),
            w_offset: word(weights.1 / 4),
            w_member: word(weights.2 / 4),
            scale_offset: word(scales.1),
            scale_member: word(scales.2),
            out_stride: word(out.stride),
            out_offset: word(out.offset),
            scaled: product.factors.is_some().into(),
            factor_offset: word(factor_offset),
            factor_member: word(factor_member),
            store: out.store as u32,
            zero: 0,
        };
        let (coarse, rest) = (&x.quantized, &x.rest);
        let buffers = [
            &coarse.packed,
            &coarse.scales,
            &rest.packed,
            &rest.scales,
            weights.0,
            scales.0,
            factors,
            out.buffer,
        ];
        let kernels = [Kernel::VectorInt8, Kernel::ProductInt8];
        let (kernel, constants, groups) = product_variant(kernels, rows, columns, members);
        self.dispatch(kernel, constants, &params, &buffers, groups);
    }

    /// Quantises rows of weights, `[members, values]`, to words, `[members, words]`, and scales,
    /// `[members, scales]`.
    pub fn quantize_weights(
        &mut self,
        members: usize,
        (rows, count): (&Buffer, usize),
        (source, values): (&Buffer, usize),
        (packed, words): (&Buffer, usize),
        (scales, blocks): (&Buffer, usize),
    ) {
        let params = [count, values, words, blocks, 0].map(word);
        let [x, y] = spread(count);
        let buffers = [rows, source, packed, scales];
        self.dispatch(Kernel::Quantize, vec![], &params, &buffers, [x, y, word(members)]);
    }

    /// A product in f32.
    pub fn float_product(&mut self, product: FloatProduct<'_>) {
        #[repr(C)]
        #[derive(Clone, Copy, Pod, Zeroable)]
        struct Params {
            rows: u32,
            columns: u32,
            depth: u32,
            x_stride: u32,
            x_offset: u32,
            w_stride: u32,
            w_offset: u32,
            w_member: u32,
            out_stride: u32,
            out_offset: u32,
            scaled: u32,
            factor_offset: u32,
            factor_member: u32,
            add: u32,
        }
        let FloatProduct { members, rows, columns, depth, out, .. } = product;
        let (factors, factor_offset, factor_member) =
            product.factors.unwrap_or((product.weights.0, 0, 0));
        let params = Params {
            rows: word(rows),
            columns: word(columns),
            depth: word(depth),
            x_stride: word(product.x.1),
            x_offset: word(product.x.2),
            w_stride: word(depth),
            w_offset: word(product.weights.1),
            w_member: word(product.weights_per_member),
            out_stride: word(out.stride),
            out_offset: word(out.offset),
            scaled: product.factors.is_some().into(),
            factor_offset: word(factor_offset),
            factor_member: word(factor_member),
            add: (out.store != Store::Replace).into(),
        };
        let buffers = [product.x.0, product.weights.0, factors, out.buffer];
        let (kernel, constants, groups) =
            product_variant([Kernel::VectorF32, Kernel::ProductF32], rows, columns, members);
        self.dispatch(kernel, constants, &params, &buffers, groups);
    }

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
        let constants =
            vec![number("D_KV", d_kv), number("QUERIES", queries), number("KEYS", keys)];
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

    /// Keeps of each row of logits, `[rows, columns]`, in `states`, `[all rows, 4]` from row `first`
    /// on: the largest, its token and, where labels are given, the sum of exponentials relative to it
    /// and the label's logit. Labels are given for the first `period` of all rows and repeat.
    pub fn logits(
        &mut self,
        logits: &Buffer,
        [rows, columns, first]: [usize; 3],
        labels: Option<(&Buffer, usize)>,
        states: &Buffer,
    ) {
        let constants = vec![("SUMMED", Constant::Flag(labels.is_some()))];
        let (labels, period) = labels.unwrap_or((logits, 1));
        let params = [rows, columns, first, period, 0].map(word);
        let [x, y] = spread(rows);
        self.dispatch(Kernel::Logits, constants, &params, &[logits, labels, states], [x, y, 1]);
    }

    /// Ends a decoding step: the tokens of `states` become `tokens` and a row of `history`, and
    /// `decoded` counts on.
    pub fn advance(
        &mut self,
        rows: usize,
        states: &Buffer,
        tokens: &Buffer,
        history: &Buffer,
        decoded: &Buffer,
    ) {
        let buffers = [states, tokens, history, decoded];
        self.dispatch(Kernel::Advance, vec![], &word(rows), &buffers, [1, 1, 1]);
    }

    /// `merged[m, i] = Σ_j coefficients[m, j] · sources[j, i]` for `[members, modules, values]`.
    pub fn merge(
        &mut self,
        [members, modules, values]: [usize; 3],
        coefficients: &Buffer,
        sources: &Buffer,
        merged: &Buffer,
    ) {
        let params = [members, modules, values, 0].map(word);
        let [x, y] = spread(values.div_ceil(128));
        self.dispatch(Kernel::Merge, vec![], &params, &[coefficients, sources, merged], [x, y, 1]);
    }

    /// The factor of each [`RankFactor`] for each member, `[members, ranks]`.
    pub fn factors(
        &mut self,
        [members, modules, ranks]: [usize; 3],
        coefficients: &Buffer,
        sources: &Buffer,
        factors: &Buffer,
    ) {
        let params = [members, modules, ranks].map(word);
        let [x, y] = spread((members * ranks).div_ceil(128));
        self.dispatch(
            Kernel::Factors,
            vec![],
            &params,
            &[coefficients, sources, factors],
            [x, y, 1],
        );
    }
}

/// The kernel for a product of this shape, its constants and its workgroups.
fn product_variant(
    [vector, tiled]: [Kernel; 2],
    rows: usize,
    columns: usize,
    members: usize,
) -> (Kernel, Vec<(&'static str, Constant)>, [u32; 3]) {
    if rows <= VECTOR_ROWS {
        let taken = vector_rows(rows);
        let groups = [word(columns.div_ceil(8)), word(rows.div_ceil(taken)), word(members)];
        return (vector, vec![number("ROWS", taken)], groups);
    }
    let (r, c) = tile(rows, columns, members);
    let groups =
        [word(columns.div_ceil(c * TILE_SIDE)), word(rows.div_ceil(r * TILE_SIDE)), word(members)];
    (tiled, vec![number("ROWS", r), number("COLUMNS", c)], groups)
}
