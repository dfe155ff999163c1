//! Quantised rows of activations, in 7 bits and in 14, and the kernels that quantise.

use super::super::rows::inverse_norm;
use super::super::vectorised;
use super::{GROUP, Isa, int14_layout};
use crate::kernels::quantize::{BLOCK, ZERO_POINT, quantize_activations, quantize_block_int14};
use crate::kernels::scratch::Scratch;

/// How 14-bit activations lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Int14Layout {
    /// The low 7 bits as a byte with the same zero point as the high bits, which lie apart.
    LowBits,
    /// All 14 bits as a signed little-endian 16-bit word.
    Words,
}

impl Int14Layout {
    /// Bytes of each activation.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Int14Layout::LowBits => 1,
            Int14Layout::Words => 2,
        }
    }
}

/// Quantised activations `[rows, depth]`, each row padded to whole groups.
#[derive(Debug)]
pub struct QuantizedRows {
    depth: usize,
    /// 7 bits each, `[rows, padded depth]`.
    pub(super) values: Scratch<u8>,
    /// `[rows, blocks]`.
    pub(super) scales: Scratch<f32>,
    /// 14 bits each, `[rows, padded depth]` of [`Int14Layout::bytes`], if there are any.
    pub(super) int14: Option<(Int14Layout, Scratch<u8>)>,
}

/// A row of activations.
#[derive(Clone, Copy)]
pub(super) struct QuantizedRow<'a> {
    pub(super) values: &'a [u8],
    /// The 14-bit activations; empty if there are none.
    pub(super) int14: &'a [u8],
    pub(super) scales: &'a [f32],
}

impl QuantizedRows {
    /// Uninitialised rows of 7 bits. The padding of a row may be anything, as the weights there are 0.
    pub fn new(rows: usize, depth: usize) -> Self {
        Self {
            depth,
            values: Scratch::new(rows * depth.next_multiple_of(GROUP)),
            scales: Scratch::new(rows * depth.div_ceil(BLOCK)),
            int14: None,
        }
    }

    /// Uninitialised rows of 7 bits and of 14, in the layout that an instruction set reads.
    pub fn with_int14(isa: Isa, rows: usize, depth: usize) -> Self {
        let layout = int14_layout(isa);
        let bytes = rows * depth.next_multiple_of(GROUP) * layout.bytes();
        Self { int14: Some((layout, Scratch::new(bytes))), ..Self::new(rows, depth) }
    }

    /// Whether there are 14-bit activations beside those of 7 bits.
    pub fn has_int14(&self) -> bool {
        self.int14.is_some()
    }

    /// The layout of the 14-bit activations, if there are any.
    pub(super) fn int14_layout(&self) -> Option<Int14Layout> {
        self.int14.as_ref().map(|(layout, _)| *layout)
    }

    /// Number of activations in a row.
    pub fn depth(&self) -> usize {
        self.depth
    }

    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> QuantizedRow<'_> {
        let (stride, blocks) = (self.depth.next_multiple_of(GROUP), self.depth.div_ceil(BLOCK));
        let int14 = self.int14.as_ref().map_or(&[][..], |(layout, int14)| {
            let stride = stride * layout.bytes();
            &int14[row * stride..][..stride]
        });
        QuantizedRow {
            values: &self.values[row * stride..][..stride],
            int14,
            scales: &self.scales[row * blocks..][..blocks],
        }
    }

    /// Each row's values and scales.
    #[inline(always)]
    fn rows_mut(&mut self) -> impl Iterator<Item = (&mut [u8], &mut [f32])> {
        let (depth, stride) = (self.depth, self.depth.next_multiple_of(GROUP));
        let values = self.values.chunks_exact_mut(stride.max(1));
        let values = values.map(move |values| &mut values[..depth]);
        values.zip(self.scales.chunks_exact_mut(depth.div_ceil(BLOCK).max(1)))
    }

    fn check(&self, x: &[f32]) {
        let rows = x.len() / self.depth.max(1);
        assert_eq!(rows * self.depth, x.len());
        assert_eq!(rows * self.depth.next_multiple_of(GROUP), self.values.len());
    }
}

#[inline(always)]
fn quantize_body(x: &[f32], out: &mut QuantizedRows) {
    out.check(x);
    let Some((layout, mut int14)) = out.int14.take() else {
        for (row, (values, scales)) in x.chunks_exact(out.depth.max(1)).zip(out.rows_mut()) {
            quantize_activations(row, values, scales);
        }
        return;
    };
    let stride = out.depth.next_multiple_of(GROUP) * layout.bytes();
    let mut both = [0; BLOCK];
    let rows = x.chunks_exact(out.depth.max(1)).zip(out.rows_mut());
    for ((row, (values, scales)), int14) in rows.zip(int14.chunks_exact_mut(stride.max(1))) {
        let blocks = row.chunks(BLOCK).zip(values.chunks_mut(BLOCK)).zip(scales);
        for (((block, values), scale), int14) in
            blocks.zip(int14.chunks_mut(BLOCK * layout.bytes()))
        {
            let both = &mut both[..block.len()];
            *scale = quantize_block_int14(block, values, both);
            match layout {
                Int14Layout::LowBits => int14.iter_mut().zip(both).for_each(|(int14, both)| {
                    // The low part is from −64 to 63, and the zero point represents 0.
                    *int14 = ((*both + i16::from(ZERO_POINT)) & 127) as u8;
                }),
                Int14Layout::Words => {
                    let words = int14.as_chunks_mut::<2>().0;
                    words
                        .iter_mut()
                        .zip(both)
                        .for_each(|(int14, both)| *int14 = both.to_le_bytes());
                }
            }
        }
    }
    out.int14 = Some((layout, int14));
}

vectorised! {
    /// Quantises the rows of `x`, `[rows, out.depth()]`.
    ///
    /// # Panics
    /// If the numbers of rows differ.
    pub fn quantize_rows(x: &[f32], out: &mut QuantizedRows) = quantize_body
}

#[inline(always)]
fn norm_body(x: &[f32], weight: &[f32], epsilon: f32, factor: f32, out: &mut QuantizedRows) {
    out.check(x);
    assert_eq!(weight.len(), out.depth);
    let mut normed = [0.0; BLOCK];
    for (row, (values, scales)) in x.chunks_exact(weight.len().max(1)).zip(out.rows_mut()) {
        let inverse = inverse_norm(row, epsilon, factor);
        let blocks = row.chunks(BLOCK).zip(weight.chunks(BLOCK));
        let places = values.chunks_mut(BLOCK).zip(scales.chunks_mut(1));
        for ((x, weight), (values, scale)) in blocks.zip(places) {
            let normed = &mut normed[..x.len()];
            for ((normed, &x), &weight) in normed.iter_mut().zip(x).zip(weight) {
                *normed = x * inverse * weight;
            }
            quantize_activations(normed, values, scale);
        }
    }
}

vectorised! {
    /// Quantises [`rms_norm`](crate::kernels::cpu::rms_norm) of the rows of `x`, `[rows, out.depth()]`, to
    /// 7 bits.
    ///
    /// # Panics
    /// If the numbers of rows differ, or `weight` does not have `out.depth()` values.
    pub fn norm_rows(
        x: &[f32],
        weight: &[f32],
        epsilon: f32,
        factor: f32,
        out: &mut QuantizedRows,
    ) = norm_body
}
