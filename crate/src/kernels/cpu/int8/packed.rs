//! 8-bit weights in the layout that the products read: panels of 16 columns, padded with zeros.

use super::{BLOCK_GROUPS, GROUP};
use crate::kernels::cpu::PANEL;
use crate::kernels::quantize::{BLOCK, QuantizedMatrix, ZERO_POINT, quantize_weights};

/// Four consecutive weights of each of a panel's 16 columns.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(super) struct Group(pub(super) [[i8; GROUP]; PANEL]);

/// One panel of a matrix.
pub(super) struct Panel<'a> {
    /// `[groups]`.
    pub groups: &'a [Group],
    /// `[blocks]`.
    pub scales: &'a [[f32; PANEL]],
    /// `[blocks]`.
    pub starts: &'a [[i32; PANEL]],
}

/// A weight matrix `[columns, depth]` in 8 bits, packed in panels of 16 columns: `[depth / 4, 16, 4]`
/// each, padded with zeros.
#[derive(Debug, Clone, Default)]
pub struct PackedInt8 {
    columns: usize,
    depth: usize,
    /// `[panels, groups]`.
    groups: Vec<Group>,
    /// `[panels, blocks]`.
    scales: Vec<[f32; PANEL]>,
    /// `[panels, blocks]`: −64 times the sum of a column's weights in a block, from which every sum
    /// starts.
    starts: Vec<[i32; PANEL]>,
}

impl PackedInt8 {
    /// A matrix of zeros, which [`PackedInt8::set_column`] fills.
    pub fn zeros(columns: usize, depth: usize) -> Self {
        let panels = columns.div_ceil(PANEL);
        Self {
            columns,
            depth,
            groups: vec![Group([[0; GROUP]; PANEL]); panels * depth.div_ceil(GROUP)],
            scales: vec![[0.0; PANEL]; panels * depth.div_ceil(BLOCK)],
            starts: vec![[0; PANEL]; panels * depth.div_ceil(BLOCK)],
        }
    }

    /// Packs a quantised matrix.
    pub fn new(matrix: &QuantizedMatrix) -> Self {
        let mut packed = Self::zeros(matrix.d_out, matrix.d_in);
        let rows = matrix.values.chunks_exact(matrix.d_in.max(1));
        let scales = matrix.scales.chunks_exact(matrix.d_in.div_ceil(BLOCK).max(1));
        for (column, (row, scales)) in rows.zip(scales).enumerate() {
            packed.set_column(column, row, scales);
        }
        packed
    }

    /// Quantises and packs a row-major `[columns, depth]` matrix.
    ///
    /// # Panics
    /// If `weights` does not have that size.
    pub fn quantize(weights: &[f32], columns: usize, depth: usize) -> Self {
        assert_eq!(weights.len(), columns * depth);
        let mut packed = Self::zeros(columns, depth);
        packed.quantize_columns(0, weights);
        packed
    }

    /// Quantises `rows`, `[columns, depth]`, and writes them as the columns from `first` on.
    ///
    /// # Panics
    /// If a column does not exist.
    pub fn quantize_columns(&mut self, first: usize, rows: &[f32]) {
        let (mut values, mut scales) = (vec![0; self.depth], vec![0.0; self.depth.div_ceil(BLOCK)]);
        for (column, row) in (first..).zip(rows.chunks_exact(self.depth.max(1))) {
            quantize_weights(row, &mut values, &mut scales);
            self.set_column(column, &values, &scales);
        }
    }

    /// Writes one column: a weight row `[depth]` and the scales of its blocks.
    ///
    /// # Panics
    /// If the column does not exist, or `row` or `scales` has another length.
    pub fn set_column(&mut self, column: usize, row: &[i8], scales: &[f32]) {
        let (groups, blocks) = (self.depth.div_ceil(GROUP), self.depth.div_ceil(BLOCK));
        assert!(column < self.columns && row.len() == self.depth && scales.len() == blocks);
        let (panel, lane) = (column / PANEL, column % PANEL);
        for (group, values) in self.groups[panel * groups..].iter_mut().zip(row.chunks(GROUP)) {
            group.0[lane][..values.len()].copy_from_slice(values);
        }
        let places =
            self.starts[panel * blocks..].iter_mut().zip(&mut self.scales[panel * blocks..]);
        for ((start, place), (values, &scale)) in places.zip(row.chunks(BLOCK).zip(scales)) {
            let sum: i32 = values.iter().map(|&value| i32::from(value)).sum();
            start[lane] = -i32::from(ZERO_POINT) * sum;
            place[lane] = scale;
        }
    }

    /// Outputs of the layer, its `d_out`.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Inputs of the layer, its `d_in`.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The panel of 16 columns with that index.
    ///
    /// # Panics
    /// If there is no such panel.
    #[inline(always)]
    pub(super) fn panel(&self, index: usize) -> Panel<'_> {
        let (groups, blocks) = (self.depth.div_ceil(GROUP), self.depth.div_ceil(BLOCK));
        Panel {
            groups: &self.groups[index * groups..(index + 1) * groups],
            scales: &self.scales[index * blocks..(index + 1) * blocks],
            starts: &self.starts[index * blocks..(index + 1) * blocks],
        }
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.groups) + size_of_val(&*self.scales) + size_of_val(&*self.starts)
    }

    /// The packed data as bytes. A change of their layout needs a new
    /// [`PACKED_LAYOUT`](crate::model::PACKED_LAYOUT).
    pub fn parts(&self) -> [&[u8]; 3] {
        use bytemuck::cast_slice;
        [cast_slice(&self.groups), cast_slice(&self.scales), cast_slice(&self.starts)]
    }

    /// The packed data as writable bytes; the [`PackedInt8::parts`] of a matrix of the same size can be
    /// copied here.
    pub fn parts_mut(&mut self) -> [&mut [u8]; 3] {
        use bytemuck::cast_slice_mut;
        [
            cast_slice_mut(&mut self.groups),
            cast_slice_mut(&mut self.scales),
            cast_slice_mut(&mut self.starts),
        ]
    }

    /// Writes a dequantised column to `out`, `[depth]`.
    ///
    /// # Panics
    /// If the column does not exist or `out` has another length.
    pub fn read_column(&self, column: usize, out: &mut [f32]) {
        assert!(column < self.columns && out.len() == self.depth);
        let (panel, lane) = (column / PANEL, column % PANEL);
        let groups = &self.groups[panel * self.depth.div_ceil(GROUP)..];
        let scales = &self.scales[panel * self.depth.div_ceil(BLOCK)..];
        let blocks = out.chunks_mut(BLOCK).zip(groups.chunks(BLOCK_GROUPS)).zip(scales);
        for ((out, groups), scales) in blocks {
            let values = groups.iter().flat_map(|group| group.0[lane]);
            out.iter_mut().zip(values).for_each(|(out, q)| *out = scales[lane] * f32::from(q));
        }
    }

    /// The matrix before packing.
    #[cfg(feature = "gpu")]
    pub fn unpacked(&self) -> QuantizedMatrix {
        let (d_out, d_in) = (self.columns, self.depth);
        let (groups, blocks) = (d_in.div_ceil(GROUP), d_in.div_ceil(BLOCK));
        let mut values = Vec::with_capacity(d_out * d_in);
        let mut scales = Vec::with_capacity(d_out * blocks);
        for column in 0..d_out {
            let (panel, lane) = (column / PANEL, column % PANEL);
            let row = self.groups[panel * groups..].iter().flat_map(|group| group.0[lane]);
            values.extend(row.take(d_in));
            scales.extend(self.scales[panel * blocks..][..blocks].iter().map(|s| s[lane]));
        }
        QuantizedMatrix { d_out, d_in, values, scales }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_back_dequantised() {
        let weights: Vec<f32> = (0..18 * 7).map(|i| (i as f32 * 0.7).sin()).collect();
        let (packed, matrix) =
            (PackedInt8::quantize(&weights, 18, 7), QuantizedMatrix::new(&weights, 18, 7));
        let mut column = [0.0; 7];
        packed.read_column(17, &mut column);
        let expected = matrix.values[17 * 7..].iter().map(|&q| f32::from(q) * matrix.scales[17]);
        assert!(column.iter().copied().eq(expected));
    }
}
