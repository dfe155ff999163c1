//! Products in f32. Every output element is one sum over the depth from first to last; the loops are
//! vectorised over the output's columns.

use super::{PANEL, vectorised};
use crate::kernels::parallel::{Grid, Tile, for_each_tile};

/// Rows of the output that one pass over a panel computes, limited by the registers.
const ROWS: usize = if cfg!(target_arch = "wasm32") { 2 } else { 6 };
/// Rows of a tile given to a thread.
const TILE_ROWS: usize = 48;
/// Columns of a tile given to a thread.
const TILE_COLUMNS: usize = 8 * PANEL;

/// A weight matrix `[columns, depth]` packed in panels `[depth, 16]` of 16 columns each, the last one
/// padded with zeros.
#[derive(Debug, Clone, Default)]
pub struct PackedF32 {
    columns: usize,
    depth: usize,
    panels: Vec<f32>,
}

impl PackedF32 {
    /// Packs a row-major `[columns, depth]` matrix, PyTorch's layout of a linear layer.
    ///
    /// # Panics
    /// If `weights` does not have that size.
    pub fn new(weights: &[f32], columns: usize, depth: usize) -> Self {
        let mut packed = Self::zeros(columns, depth);
        assert_eq!(weights.len(), columns * depth);
        for (column, row) in weights.chunks_exact(depth.max(1)).enumerate() {
            packed.set_column(column, 0, row);
        }
        packed
    }

    /// A matrix of zeros.
    pub fn zeros(columns: usize, depth: usize) -> Self {
        Self { columns, depth, panels: vec![0.0; columns.div_ceil(PANEL) * depth * PANEL] }
    }

    /// Writes values of one column (one output of the layer), from depth `start` on.
    ///
    /// # Panics
    /// If the values do not lie within the matrix.
    pub fn set_column(&mut self, column: usize, start: usize, values: &[f32]) {
        assert!(column < self.columns && start + values.len() <= self.depth);
        let first = (column / PANEL * self.depth + start) * PANEL + column % PANEL;
        for (index, &value) in values.iter().enumerate() {
            self.panels[first + index * PANEL] = value;
        }
    }

    /// Writes the values of one row (one input of the layer), `[columns]`.
    ///
    /// # Panics
    /// If the row does not exist or there are more values than columns.
    pub fn set_row(&mut self, row: usize, values: &[f32]) {
        assert!(row < self.depth && values.len() <= self.columns);
        for (panel, values) in values.chunks(PANEL).enumerate() {
            let first = (panel * self.depth + row) * PANEL;
            self.panels[first..first + values.len()].copy_from_slice(values);
        }
    }

    /// Copies a column to `out`, `[depth]`.
    ///
    /// # Panics
    /// If the column does not exist or `out` has another length.
    pub fn read_column(&self, column: usize, out: &mut [f32]) {
        assert!(column < self.columns && out.len() == self.depth);
        let panel = self.panel(column / PANEL).as_chunks::<PANEL>().0;
        out.iter_mut().zip(panel).for_each(|(out, values)| *out = values[column % PANEL]);
    }

    /// Outputs of the layer, its `d_out`.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Inputs of the layer, its `d_in`.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.panels.len() * size_of::<f32>()
    }

    /// The packed data as bytes.
    pub fn parts(&self) -> [&[u8]; 1] {
        [bytemuck::cast_slice(&self.panels)]
    }

    /// The packed data as writable bytes.
    pub fn parts_mut(&mut self) -> [&mut [u8]; 1] {
        [bytemuck::cast_slice_mut(&mut self.panels)]
    }

    #[inline(always)]
    pub(super) fn panel(&self, index: usize) -> &[f32] {
        &self.panels[index * self.depth * PANEL..(index + 1) * self.depth * PANEL]
    }
}

/// How a product's result is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Replaces the output's values.
    Replace,
    /// Adds to the output's values.
    Add,
}

/// A row-major matrix of activations within a buffer: row `r` starts at `offset + r · stride`.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    /// The buffer.
    pub values: &'a [f32],
    /// Distance between the starts of two rows.
    pub stride: usize,
    /// Start of the first row.
    pub offset: usize,
}

impl<'a> Operand<'a> {
    /// Adjacent rows of `width` values.
    pub fn dense(values: &'a [f32], width: usize) -> Self {
        Self { values, stride: width, offset: 0 }
    }

    #[inline(always)]
    pub(super) fn row(&self, row: usize, depth: usize) -> &'a [f32] {
        let start = self.offset + row * self.stride;
        &self.values[start..start + depth]
    }
}

/// The product of `R` rows and one panel, `[R, PANEL]`.
#[inline(always)]
pub(super) fn panel_product<const R: usize>(rows: [&[f32]; R], panel: &[f32]) -> [[f32; PANEL]; R] {
    let mut sums = [[0.0f32; PANEL]; R];
    let panel = panel.as_chunks::<PANEL>().0;
    let rows = rows.map(|row| &row[..panel.len()]);
    for (k, weights) in panel.iter().enumerate() {
        for r in 0..R {
            let x = rows[r][k];
            for c in 0..PANEL {
                sums[r][c] += x * weights[c];
            }
        }
    }
    sums
}

/// Stores the first `out.len()` sums of a panel.
#[inline(always)]
pub(super) fn store(out: &mut [f32], sums: &[f32; PANEL], how: Store) {
    // Whole panels have a branch of their own: a length known only at run time becomes a loop or a call.
    match (out.as_mut_array::<PANEL>(), how) {
        (Some(out), Store::Replace) => *out = *sums,
        (Some(out), Store::Add) => {
            for c in 0..PANEL {
                out[c] += sums[c];
            }
        }
        (None, Store::Replace) => out.copy_from_slice(&sums[..out.len()]),
        (None, Store::Add) => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
    }
}

#[inline(always)]
fn tile_body(x: Operand<'_>, weights: &PackedF32, how: Store, tile: &mut Tile<'_>) {
    let columns = tile.columns.clone();
    for panel_start in columns.clone().step_by(PANEL) {
        let panel = weights.panel(panel_start / PANEL);
        let from = panel_start - columns.start;
        let to = (from + PANEL).min(columns.len());
        let mut row = tile.rows.start;
        while row + ROWS <= tile.rows.end {
            let rows: [&[f32]; ROWS] = std::array::from_fn(|r| x.row(row + r, weights.depth));
            for (r, sums) in panel_product(rows, panel).iter().enumerate() {
                store(&mut tile.row(row + r)[from..to], sums, how);
            }
            row += ROWS;
        }
        for row in row..tile.rows.end {
            let [sums] = panel_product([x.row(row, weights.depth)], panel);
            store(&mut tile.row(row)[from..to], &sums, how);
        }
    }
}

vectorised! {
    fn tile_product(x: Operand<'_>, weights: &PackedF32, how: Store, tile: &mut Tile<'_>)
        = tile_body
}

/// Writes `x · weightsᵀ` to `out`, `[rows, columns]`.
///
/// # Panics
/// If `x` or `out` has fewer rows.
pub fn product_f32(
    isa: super::Isa,
    x: Operand<'_>,
    rows: usize,
    weights: &PackedF32,
    how: Store,
    out: &mut [f32],
) {
    let grid = Grid::even(rows, weights.columns, TILE_ROWS, TILE_COLUMNS);
    let cost = TILE_ROWS.min(rows) * TILE_COLUMNS * weights.depth;
    for_each_tile(out, &grid, cost, |mut tile| tile_product(isa, x, weights, how, &mut tile));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Isa;
    use crate::kernels::noise;

    #[test]
    fn every_instruction_set_matches_the_plain_sum_bit_for_bit() {
        for rows in [1, 2, 5, 6, 7, 13, 49, 70] {
            for (columns, depth) in [(1, 1), (15, 3), (16, 33), (37, 24), (200, 65)] {
                let (x, weights) = (noise(rows * depth, 3), noise(columns * depth, 5));
                let packed = PackedF32::new(&weights, columns, depth);
                let plain: Vec<u32> = (0..rows * columns)
                    .map(|i| {
                        let (x, w) = (&x[i / columns * depth..], &weights[i % columns * depth..]);
                        (0..depth).fold(0.0f32, |sum, k| sum + x[k] * w[k]).to_bits()
                    })
                    .collect();
                for isa in Isa::available() {
                    let mut out = vec![f32::NAN; rows * columns];
                    let x = Operand::dense(&x, depth);
                    product_f32(isa, x, rows, &packed, Store::Replace, &mut out);
                    let bits: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
                    assert_eq!(bits, plain, "{isa:?} {rows} x {columns} x {depth}");
                    product_f32(isa, x, rows, &packed, Store::Add, &mut out);
                    assert!(out.iter().zip(&bits).all(|(o, &b)| *o == 2.0 * f32::from_bits(b)));
                }
            }
        }
    }
}
