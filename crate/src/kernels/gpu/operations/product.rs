//! Products in 8 bits and in f32, and the kernel and tile for a shape.

use super::layout::{FloatParams, Int8Params};
use super::{Matrix, Rows, number, packed_words, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::source::Constant;
use crate::kernels::gpu::{Buffer, Recorder};
use crate::kernels::quantize::BLOCK;

/// Rows up to which the kernel for a few rows is used in place of the tiled one.
const VECTOR_ROWS: usize = 8;
/// Workgroups below which a product takes smaller tiles, to keep the device busy.
const ENOUGH_WORKGROUPS: usize = 128;
/// Threads along each side of a product's tile.
const TILE_SIDE: usize = 16;

/// Destination of a product's result: rows of `stride` values, of which it writes the columns from
/// `offset` on.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// The buffer.
    pub buffer: &'a Buffer,
    /// Distance between the starts of two rows.
    pub stride: usize,
    /// First column.
    pub offset: usize,
    /// Whether the result replaces or is added.
    pub store: Store,
}

/// How a product's result is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Replaces the output's values.
    Replace = 0,
    /// Adds to the output's values.
    Add = 1,
}

/// An f32 product for a population: `out[m, r, c] (+)= factor[m, c] · Σ_k x[m, r, k]·w[m, c, k]`.
#[derive(Debug, Clone, Copy)]
pub struct FloatProduct<'a> {
    /// Number of members of the population.
    pub members: usize,
    /// Rows of each member.
    pub rows: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Length of the reduction.
    pub depth: usize,
    /// Activations, the distance between the starts of two rows, and the first column.
    pub x: (&'a Buffer, usize, usize),
    /// Weights `[columns, depth]` and their start.
    pub weights: (&'a Buffer, usize),
    /// Distance between the weights of two members; 0 if they share them.
    pub weights_per_member: usize,
    /// Factors of the columns, their start, and the distance between those of two members.
    pub factors: Option<(&'a Buffer, usize, usize)>,
    /// The destination.
    pub out: Output<'a>,
}

/// An 8-bit product for a population.
#[derive(Debug, Clone, Copy)]
pub struct Int8Product<'a> {
    /// Number of members of the population.
    pub members: usize,
    /// Rows of each member.
    pub rows: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Length of the reduction.
    pub depth: usize,
    /// Quantised activations.
    pub x: &'a Rows,
    /// Number of leading columns that use the 14-bit activations; the others use 7 bits.
    pub int14_columns: usize,
    /// Weights in rows of [`packed_words`], their first word, and the distance in words between those of two
    /// members.
    pub weights: (&'a Buffer, usize, usize),
    /// Scales of the weights' blocks, their start, and the distance between those of two members.
    pub scales: (&'a Buffer, usize, usize),
    /// Factors of the columns, their start, and the distance between those of two members.
    pub factors: Option<(&'a Buffer, usize, usize)>,
    /// The destination.
    pub out: Output<'a>,
}

impl Recorder<'_> {
    /// `x · weightsᵀ` for `rows` rows, which [`Recorder::rows`] prepared. In 8 bits the first `int14_columns`
    /// columns take 14 bits of them.
    pub fn product(
        &mut self,
        x: &Rows,
        rows: usize,
        weights: &Matrix,
        int14_columns: usize,
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
                    int14_columns: int14_columns.saturating_sub(part.first).min(part.count),
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

    /// An 8-bit product.
    pub fn int8_product(&mut self, product: Int8Product<'_>) {
        let Int8Product { members, rows, columns, depth, x, weights, scales, out, .. } = product;
        let (factors, factor_offset, factor_member) = product.factors.unwrap_or((scales.0, 0, 0));
        let params = Int8Params {
            rows: word(rows),
            columns: word(columns),
            int14_columns: word(product.int14_columns),
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
        let buffers = [
            &x.quantized.packed,
            &x.quantized.scales,
            &x.low_bits,
            weights.0,
            scales.0,
            factors,
            out.buffer,
        ];
        let int14 = product.int14_columns > 0;
        let kernels = [Kernel::VectorInt8, Kernel::ProductInt8];
        let Variant { kernel, mut constants, tile, groups } =
            product_variant(kernels, rows, columns, members);
        constants.push(("INT14", Constant::Flag(int14)));
        if let Some((r, c)) = tile {
            // With two tiles of activations only half a block fits workgroup memory.
            let quads = if int14 { 4 } else { 8 };
            constants.extend([
                number("QUADS", quads),
                number("X_LOADS", (r * quads).div_ceil(TILE_SIDE)),
                number("W_LOADS", (c * quads).div_ceil(TILE_SIDE)),
            ]);
        }
        self.dispatch(kernel, constants, &params, &buffers, groups);
    }

    /// An f32 product.
    pub fn float_product(&mut self, product: FloatProduct<'_>) {
        let FloatProduct { members, rows, columns, depth, out, .. } = product;
        let (factors, factor_offset, factor_member) =
            product.factors.unwrap_or((product.weights.0, 0, 0));
        let params = FloatParams {
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
        let Variant { kernel, constants, groups, .. } =
            product_variant([Kernel::VectorF32, Kernel::ProductF32], rows, columns, members);
        self.dispatch(kernel, constants, &params, &buffers, groups);
    }
}

/// The kernel of a product, its constants and its workgroups.
struct Variant {
    kernel: Kernel,
    constants: Vec<(&'static str, Constant)>,
    /// Rows and columns of the output for each thread of the tiled kernel.
    tile: Option<(usize, usize)>,
    groups: [u32; 3],
}

/// The variant for a product of this shape: the kernel for a few rows, or the tiled one.
fn product_variant(
    [vector, tiled]: [Kernel; 2],
    rows: usize,
    columns: usize,
    members: usize,
) -> Variant {
    if rows <= VECTOR_ROWS {
        let taken = vector_rows(rows);
        return Variant {
            kernel: vector,
            constants: vec![number("ROWS", taken)],
            tile: None,
            groups: [word(columns.div_ceil(8)), word(rows.div_ceil(taken)), word(members)],
        };
    }
    let (r, c) = tile(rows, columns, members);
    let [across, down] = [columns.div_ceil(c * TILE_SIDE), rows.div_ceil(r * TILE_SIDE)];
    Variant {
        kernel: tiled,
        constants: vec![number("ROWS", r), number("COLUMNS", c)],
        tile: Some((r, c)),
        groups: [word(across), word(down), word(members)],
    }
}

/// Rows and columns of the output for each thread: the largest tile with enough workgroups to occupy the
/// device.
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
