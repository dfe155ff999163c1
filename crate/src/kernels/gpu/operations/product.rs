//! Products in 8 bits and in f32: their operands, and the kernel and tile for a shape.

use bytemuck::{Pod, Zeroable};

use super::{Matrix, Rows, number, packed_words, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::source::Constant;
use crate::kernels::gpu::{Buffer, Recorder};
use crate::kernels::quantize::BLOCK;

/// Rows up to which a product is a few reductions rather than tiles.
const VECTOR_ROWS: usize = 8;
/// Workgroups below which a product takes smaller tiles, to keep the device busy.
const ENOUGH_WORKGROUPS: usize = 128;
/// Threads along each side of a product's tile.
const TILE_SIDE: usize = 16;

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

impl Recorder<'_> {
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
        let buffers = [
            &x.quantized.packed,
            &x.quantized.scales,
            &x.lower,
            weights.0,
            scales.0,
            factors,
            out.buffer,
        ];
        let fine = product.fine > 0;
        let kernels = [Kernel::VectorInt8, Kernel::ProductInt8];
        let Variant { kernel, mut constants, tile, groups } =
            product_variant(kernels, rows, columns, members);
        constants.push(("FINE", Constant::Flag(fine)));
        if let Some((r, c)) = tile {
            // Two tiles of activations leave room for half a block.
            let quads = if fine { 4 } else { 8 };
            constants.extend([
                number("QUADS", quads),
                number("X_LOADS", (r * quads).div_ceil(TILE_SIDE)),
                number("W_LOADS", (c * quads).div_ceil(TILE_SIDE)),
            ]);
        }
        self.dispatch(kernel, constants, &params, &buffers, groups);
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
        let Variant { kernel, constants, groups, .. } =
            product_variant([Kernel::VectorF32, Kernel::ProductF32], rows, columns, members);
        self.dispatch(kernel, constants, &params, &buffers, groups);
    }
}

/// A kernel for a product, its constants and its workgroups.
struct Variant {
    kernel: Kernel,
    constants: Vec<(&'static str, Constant)>,
    /// Rows and columns of the output for each thread, of the kernel for many rows.
    tile: Option<(usize, usize)>,
    groups: [u32; 3],
}

/// The kernel for a product of this shape, of those for a few rows and for many.
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
