//! Products in 8 bits, of the integers that [`crate::kernels::quantize`] defines. One file per
//! instruction set multiplies a block of the reduction; what is around it, the same for all, is here.
//! All give the same integers, so all results have the same bits.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(not(target_arch = "wasm32"))]
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
mod relaxed;
#[cfg(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")))]
mod simd128;

#[cfg(not(target_arch = "wasm32"))]
use portable::Portable as Native;
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
use relaxed::Relaxed as Native;
#[cfg(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")))]
use simd128::Simd128 as Native;

pub use activations::{QuantizedRows, norm_rows, quantize_rest, quantize_rows};

use super::{Isa, PANEL, Store};
use crate::kernels::parallel::{Grid, Tile, for_each_tile};
use crate::kernels::quantize::{BLOCK, QuantizedMatrix, ZERO_POINT, quantize_weights};

/// Elements of the reduction that one instruction adds up.
const GROUP: usize = 4;
/// Groups in a block.
const BLOCK_GROUPS: usize = BLOCK / GROUP;
/// Rows of a tile given to a thread.
const TILE_ROWS: usize = 48;
/// Columns of a tile given to a thread.
const TILE_COLUMNS: usize = 8 * PANEL;

/// Four consecutive weights of each of a panel's 16 columns.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Group([[i8; GROUP]; PANEL]);

/// A weight matrix `[columns, depth]` in 8 bits, packed in panels of 16 columns: `[depth / 4, 16, 4]`
/// each, filled up with zeros.
#[derive(Debug, Clone, Default)]
pub struct PackedInt8 {
    columns: usize,
    depth: usize,
    /// `[panels, groups]`.
    groups: Vec<Group>,
    /// One scale per column, of whole panels.
    scales: Vec<[f32; PANEL]>,
    /// `[panels, blocks]`: −64 times the sum of a column's weights in a block, which every product
    /// starts from.
    starts: Vec<[i32; PANEL]>,
}

impl PackedInt8 {
    /// A matrix of zeros, to be filled by [`PackedInt8::set_column`].
    pub fn zeros(columns: usize, depth: usize) -> Self {
        let panels = columns.div_ceil(PANEL);
        Self {
            columns,
            depth,
            groups: vec![Group([[0; GROUP]; PANEL]); panels * depth.div_ceil(GROUP)],
            scales: vec![[0.0; PANEL]; panels],
            starts: vec![[0; PANEL]; panels * depth.div_ceil(BLOCK)],
        }
    }

    /// Packs a quantised matrix.
    pub fn new(matrix: &QuantizedMatrix) -> Self {
        let mut packed = Self::zeros(matrix.d_out, matrix.d_in);
        let rows = matrix.values.chunks_exact(matrix.d_in.max(1));
        for (column, (row, &scale)) in rows.zip(&matrix.scales).enumerate() {
            packed.set_column(column, row, scale);
        }
        packed
    }

    /// Quantises and packs a row-major `[columns, depth]` matrix.
    ///
    /// # Panics
    /// If `weights` is not of that size.
    pub fn quantize(weights: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(weights.len(), columns * depth);
        let mut packed = Self::zeros(columns, depth);
        let mut values = vec![0; depth];
        for (column, row) in weights.chunks_exact(depth.max(1)).enumerate() {
            let scale = quantize_weights(row, &mut values);
            packed.set_column(column, &values, scale);
        }
        packed
    }

    /// Writes one column: an output row of the layer and its scale.
    ///
    /// # Panics
    /// If the column does not exist or the row is not `depth` long.
    pub fn set_column(&mut self, column: usize, row: &[i8], scale: f32) {
        assert!(column < self.columns && row.len() == self.depth);
        let (panel, lane) = (column / PANEL, column % PANEL);
        self.scales[panel][lane] = scale;
        let groups = self.depth.div_ceil(GROUP);
        for (group, values) in self.groups[panel * groups..].iter_mut().zip(row.chunks(GROUP)) {
            group.0[lane][..values.len()].copy_from_slice(values);
        }
        let blocks = self.depth.div_ceil(BLOCK);
        for (start, values) in self.starts[panel * blocks..].iter_mut().zip(row.chunks(BLOCK)) {
            let sum: i32 = values.iter().map(|&value| i32::from(value)).sum();
            start[lane] = -i32::from(ZERO_POINT) * sum;
        }
    }

    /// Outputs of the layer.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Inputs of the layer.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.groups) + size_of_val(&*self.scales) + size_of_val(&*self.starts)
    }

    /// Writes a column, scaled back to f32, to `out`.
    ///
    /// # Panics
    /// If the column does not exist or `out` is not `depth` long.
    pub fn read_column(&self, column: usize, out: &mut [f32]) {
        let (values, scale) = self.column(column);
        assert_eq!(out.len(), self.depth);
        out.iter_mut().zip(values).for_each(|(out, value)| *out = scale * f32::from(value));
    }

    /// The integers of one column and their scale.
    ///
    /// # Panics
    /// If the column does not exist.
    pub fn column(&self, column: usize) -> (impl Iterator<Item = i8> + '_, f32) {
        assert!(column < self.columns);
        let (panel, lane) = (column / PANEL, column % PANEL);
        let groups = &self.groups[panel * self.depth.div_ceil(GROUP)..];
        let values = groups.iter().flat_map(move |group| group.0[lane]).take(self.depth);
        (values, self.scales[panel][lane])
    }
}

/// One summand of a product: activations times a weight matrix of their depth.
#[derive(Clone, Copy)]
pub struct Term<'a> {
    /// `[rows, depth]`.
    pub x: &'a QuantizedRows,
    /// `[columns, depth]`.
    pub weights: &'a PackedInt8,
}

/// The sums of products of one instruction set.
trait Dot {
    /// `starts[c] + Σ_k rows[r][k] · groups[k / 4][c][k % 4]` of `R` rows and a panel's columns.
    ///
    /// # Safety
    /// The machine has the instruction set, and each row is four times as long as `groups`.
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
    ) -> [[i32; PANEL]; R];
}

/// `R` rows of a term times one panel, scaled.
///
/// # Safety
/// As [`Dot::block`].
#[inline(always)]
unsafe fn panel_product<D: Dot, const R: usize>(
    term: &Term<'_>,
    row: usize,
    panel: usize,
) -> [[f32; PANEL]; R] {
    let rows: [(&[u8], &[f32]); R] = std::array::from_fn(|r| term.x.row(row + r));
    let weights = term.weights;
    let (groups, blocks) = (weights.depth.div_ceil(GROUP), weights.depth.div_ceil(BLOCK));
    let mut sums = [[0.0f32; PANEL]; R];
    let parts = weights.groups[panel * groups..(panel + 1) * groups].chunks(BLOCK_GROUPS);
    let starts = &weights.starts[panel * blocks..(panel + 1) * blocks];
    for (block, (part, start)) in parts.zip(starts).enumerate() {
        let first = block * BLOCK;
        let bytes = rows.map(|(values, _)| values[first..first + part.len() * GROUP].as_ptr());
        // SAFETY: the rows were just cut to the length of the groups; the rest is the caller's.
        let integers = unsafe { D::block(bytes, part, start) };
        for r in 0..R {
            let scale = rows[r].1[block];
            for c in 0..PANEL {
                sums[r][c] += integers[r][c] as f32 * scale;
            }
        }
    }
    let scales = &weights.scales[panel];
    for sums in &mut sums {
        for c in 0..PANEL {
            sums[c] *= scales[c];
        }
    }
    sums
}

/// `R` rows of the sum of all terms.
///
/// # Safety
/// As [`Dot::block`].
#[inline(always)]
unsafe fn write_rows<D: Dot, const R: usize>(
    terms: &[Term<'_>],
    row: usize,
    panel: usize,
    how: Store,
    tile: &mut Tile<'_>,
) {
    let from = panel * PANEL - tile.columns.start;
    let to = (from + PANEL).min(tile.columns.len());
    let Some((first, rest)) = terms.split_first() else { return };
    // SAFETY: the caller's.
    let mut sums: [[f32; PANEL]; R] = unsafe { panel_product::<D, R>(first, row, panel) };
    for term in rest {
        // SAFETY: the caller's.
        let more: [[f32; PANEL]; R] = unsafe { panel_product::<D, R>(term, row, panel) };
        for r in 0..R {
            for c in 0..PANEL {
                sums[r][c] += more[r][c];
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let out = &mut tile.row(row + r)[from..to];
        match how {
            Store::Replace => out.copy_from_slice(&sums[..out.len()]),
            Store::Add => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
        }
    }
}

/// # Safety
/// As [`Dot::block`].
#[inline(always)]
unsafe fn tile_body<D: Dot, const MANY: usize, const SOME: usize>(
    terms: &[Term<'_>],
    how: Store,
    tile: &mut Tile<'_>,
) {
    for panel in tile.columns.start / PANEL..tile.columns.end.div_ceil(PANEL) {
        let mut row = tile.rows.start;
        while row + MANY <= tile.rows.end {
            // SAFETY: the caller's.
            unsafe { write_rows::<D, MANY>(terms, row, panel, how, tile) };
            row += MANY;
        }
        while row + SOME <= tile.rows.end {
            // SAFETY: the caller's.
            unsafe { write_rows::<D, SOME>(terms, row, panel, how, tile) };
            row += SOME;
        }
        for row in row..tile.rows.end {
            // SAFETY: the caller's.
            unsafe { write_rows::<D, 1>(terms, row, panel, how, tile) };
        }
    }
}

/// Computes one tile, whose columns start at a panel.
fn tile_product(isa: Isa, terms: &[Term<'_>], how: Store, tile: &mut Tile<'_>) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2(terms: &[Term<'_>], how: Store, tile: &mut Tile<'_>) {
            // SAFETY: this function has the instruction set.
            unsafe { tile_body::<avx2::Avx2, 4, 2>(terms, how, tile) }
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn with_avx512(terms: &[Term<'_>], how: Store, tile: &mut Tile<'_>) {
            // SAFETY: as above.
            unsafe { tile_body::<avx512::Avx512, 12, 4>(terms, how, tile) }
        }
        match isa.0 {
            // SAFETY: an `Isa` of this kind exists only where the features were detected.
            super::Kind::Avx2 => return unsafe { with_avx2(terms, how, tile) },
            // SAFETY: as above.
            super::Kind::Avx512Vnni => return unsafe { with_avx512(terms, how, tile) },
            super::Kind::Portable => {}
        }
    }
    let _ = isa;
    // SAFETY: what every machine of this target has.
    unsafe { tile_body::<Native, 2, 2>(terms, how, tile) }
}

/// The sum of all terms into `out`, `[rows, columns]`.
///
/// # Panics
/// If a term's operands differ in depth, the terms in columns, or `out` is not of that size.
pub fn product_int8(isa: Isa, terms: &[Term<'_>], rows: usize, how: Store, out: &mut [f32]) {
    let columns = terms.first().map_or(0, |term| term.weights.columns);
    for term in terms {
        assert!(term.x.depth() == term.weights.depth && term.weights.columns == columns);
    }
    let depth: usize = terms.iter().map(|term| term.x.depth()).sum();
    let grid = Grid::even(rows, columns, TILE_ROWS, TILE_COLUMNS);
    // One multiply-add takes about a quarter of the time of one in f32, unless there are so few rows
    // that reading the weights is what takes time.
    let cost = (TILE_ROWS.min(rows) / 4).max(1) * TILE_COLUMNS * depth;
    for_each_tile(out, &grid, cost, |mut tile| tile_product(isa, terms, how, &mut tile));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look random, `seed` apart.
    fn bytes(count: usize, seed: u32) -> Vec<u8> {
        let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    /// Random operands with the extreme values among them.
    fn operands(rows: usize, columns: usize, depth: usize) -> (QuantizedRows, QuantizedMatrix) {
        let mut x = QuantizedRows::new(rows, depth);
        let stride = depth.next_multiple_of(GROUP);
        for (row, values) in bytes(rows * depth, 3).chunks(depth).enumerate() {
            for (x, &value) in x.values[row * stride..].iter_mut().zip(values) {
                *x = if row % 5 == 4 { 127 } else { value & 127 };
            }
        }
        let scales = x.scales.len();
        x.scales
            .iter_mut()
            .zip(bytes(scales, 4))
            .for_each(|(scale, b)| *scale = 0.01 * f32::from(b));
        let values = bytes(columns * depth, 5).into_iter().enumerate().map(|(index, value)| {
            if index / depth % 3 == 2 {
                if index % 2 == 0 { 127 } else { -127 }
            } else {
                value as i8
            }
        });
        let scales = bytes(columns, 6).into_iter().map(|b| 0.003 * f32::from(b)).collect();
        let matrix =
            QuantizedMatrix { d_out: columns, d_in: depth, values: values.collect(), scales };
        (x, matrix)
    }

    /// The product by its definition.
    fn plain(x: &QuantizedRows, matrix: &QuantizedMatrix, row: usize, column: usize) -> f32 {
        let (values, scales) = x.row(row);
        let weights = &matrix.values[column * matrix.d_in..][..matrix.d_in];
        let blocks = values[..matrix.d_in].chunks(BLOCK).zip(weights.chunks(BLOCK));
        let sum = blocks.zip(scales).fold(0.0, |sum: f32, ((x, w), scale)| {
            let signed = |&x: &u8| i32::from(x) - i32::from(ZERO_POINT);
            let integer: i32 = x.iter().map(signed).zip(w).map(|(x, &w)| x * i32::from(w)).sum();
            sum + integer as f32 * scale
        });
        sum * matrix.scales[column]
    }

    #[test]
    fn every_instruction_set_gives_the_bits_of_the_definition() {
        for rows in [1, 2, 3, 5, 13, 49, 70] {
            for (columns, depth) in [(1, 1), (15, 3), (16, 130), (37, 24), (200, 257)] {
                let (x, matrix) = operands(rows, columns, depth);
                let weights = PackedInt8::new(&matrix);
                let expected: Vec<u32> = (0..rows * columns)
                    .map(|i| plain(&x, &matrix, i / columns, i % columns).to_bits())
                    .collect();
                for isa in Isa::available() {
                    let term = Term { x: &x, weights: &weights };
                    let mut out = vec![f32::NAN; rows * columns];
                    product_int8(isa, &[term], rows, Store::Replace, &mut out);
                    let bits: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
                    assert_eq!(bits, expected, "{isa:?} {rows} x {columns} x {depth}");
                    product_int8(isa, &[term, term], rows, Store::Add, &mut out);
                    assert!(out.iter().zip(&bits).all(|(&out, &bits)| {
                        let once = f32::from_bits(bits);
                        out == once + (once + once)
                    }));
                }
            }
        }
    }

    #[test]
    fn rows_and_their_rest_have_fourteen_bits() {
        let x: Vec<f32> = (0..2 * 200).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        for isa in Isa::available() {
            let [mut rows, mut rest] = [0; 2].map(|_| QuantizedRows::new(2, 200));
            quantize_rows(isa, &x, &mut rows);
            quantize_rest(isa, &x, &rows, &mut rest);
            let value = |rows: &QuantizedRows, index: usize| {
                let (values, scales) = rows.row(index / 200);
                let column = index % 200;
                scales[column / BLOCK] * (f32::from(values[column]) - f32::from(ZERO_POINT))
            };
            for (index, x) in x.iter().enumerate() {
                let (coarse, fine) = (value(&rows, index), value(&rest, index));
                assert!((x - coarse).abs() <= 3.0 / 63.0 * 0.501);
                assert!((x - coarse - fine).abs() <= 3.0 / 63.0 / 126.0 * 0.51);
            }
        }
    }

    #[test]
    fn a_column_is_read_back_as_it_was_quantised() {
        let weights: Vec<f32> = (0..18 * 7).map(|i| (i as f32 * 0.7).sin()).collect();
        let (packed, matrix) =
            (PackedInt8::quantize(&weights, 18, 7), QuantizedMatrix::new(&weights, 18, 7));
        let mut column = [0.0; 7];
        packed.read_column(17, &mut column);
        let expected = matrix.values[17 * 7..].iter().map(|&q| f32::from(q) * matrix.scales[17]);
        assert!(column.iter().copied().eq(expected));
    }
}
