//! Rows of activations in 7 bits or 14, and what makes them.

use super::super::rows::inverse_norm;
use super::super::vectorised;
use super::{GROUP, Isa, fine_form};
use crate::kernels::quantize::{BLOCK, ZERO_POINT, quantize_activations, quantize_block_finely};
use crate::kernels::scratch::Scratch;

/// In what form kernels take 14 bits of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fine {
    /// The lower 7 as a byte, with the zero point of the upper.
    Bytes,
    /// All of them as a signed word, its lower byte first.
    Words,
}

impl Fine {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Fine::Bytes => 1,
            Fine::Words => 2,
        }
    }
}

/// Rows of quantised activations, each filled up to whole groups.
#[derive(Debug)]
pub struct QuantizedRows {
    depth: usize,
    /// `[rows, depth in whole groups]`.
    pub(super) values: Scratch<u8>,
    /// `[rows, blocks]`.
    pub(super) scales: Scratch<f32>,
    /// `[rows, depth in whole groups]` of the form's bytes, where there are 14 bits.
    pub(super) fine: Option<(Fine, Scratch<u8>)>,
}

/// A row of activations.
#[derive(Clone, Copy)]
pub(super) struct QuantizedRow<'a> {
    pub(super) values: &'a [u8],
    /// The bytes of 14 bits, or none.
    pub(super) fine: &'a [u8],
    pub(super) scales: &'a [f32],
}

impl QuantizedRows {
    /// Places for rows. What is beyond `depth` in a row may be anything: the weights there are 0.
    pub fn new(rows: usize, depth: usize) -> Self {
        Self {
            depth,
            values: Scratch::new(rows * depth.next_multiple_of(GROUP)),
            scales: Scratch::new(rows * depth.div_ceil(BLOCK)),
            fine: None,
        }
    }

    /// As [`QuantizedRows::new`], with 14 bits beside the 7 in the form that an instruction set takes.
    pub fn fine(isa: Isa, rows: usize, depth: usize) -> Self {
        let form = fine_form(isa);
        let bytes = rows * depth.next_multiple_of(GROUP) * form.bytes();
        Self { fine: Some((form, Scratch::new(bytes))), ..Self::new(rows, depth) }
    }

    /// Whether there are 14 bits beside the 7.
    pub fn is_fine(&self) -> bool {
        self.fine.is_some()
    }

    /// In what form there are 14 bits, if there are.
    pub(super) fn fine_form(&self) -> Option<Fine> {
        self.fine.as_ref().map(|(form, _)| *form)
    }

    /// Activations in a row.
    pub fn depth(&self) -> usize {
        self.depth
    }

    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> QuantizedRow<'_> {
        let (stride, blocks) = (self.depth.next_multiple_of(GROUP), self.depth.div_ceil(BLOCK));
        let fine = self.fine.as_ref().map_or(&[][..], |(form, fine)| {
            let stride = stride * form.bytes();
            &fine[row * stride..][..stride]
        });
        QuantizedRow {
            values: &self.values[row * stride..][..stride],
            fine,
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
    let Some((form, mut fine)) = out.fine.take() else {
        for (row, (values, scales)) in x.chunks_exact(out.depth.max(1)).zip(out.rows_mut()) {
            quantize_activations(row, values, scales);
        }
        return;
    };
    let stride = out.depth.next_multiple_of(GROUP) * form.bytes();
    let mut both = [0; BLOCK];
    let rows = x.chunks_exact(out.depth.max(1)).zip(out.rows_mut());
    for ((row, (values, scales)), fine) in rows.zip(fine.chunks_exact_mut(stride.max(1))) {
        let blocks = row.chunks(BLOCK).zip(values.chunks_mut(BLOCK)).zip(scales);
        for (((block, values), scale), fine) in blocks.zip(fine.chunks_mut(BLOCK * form.bytes())) {
            let both = &mut both[..block.len()];
            *scale = quantize_block_finely(block, values, both);
            match form {
                Fine::Bytes => fine.iter_mut().zip(both).for_each(|(fine, both)| {
                    // The lower 7 bits are from −64 to 63, and the zero point stands for 0.
                    *fine = ((*both + i16::from(ZERO_POINT)) & 127) as u8;
                }),
                Fine::Words => {
                    let words = fine.as_chunks_mut::<2>().0;
                    words.iter_mut().zip(both).for_each(|(fine, both)| *fine = both.to_le_bytes());
                }
            }
        }
    }
    out.fine = Some((form, fine));
}

vectorised! {
    /// Quantises the rows of `x`, `[rows, out.depth()]`.
    ///
    /// # Panics
    /// If `out` has not as many rows.
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
    /// Quantises T5's norm of the rows of `x`, `[rows, out.depth()]`, as
    /// [`rms_norm`](crate::kernels::cpu::rms_norm) gives it, in 7 bits.
    ///
    /// # Panics
    /// If `out` has not as many rows or the weight is not of their depth.
    pub fn norm_rows(
        x: &[f32],
        weight: &[f32],
        epsilon: f32,
        factor: f32,
        out: &mut QuantizedRows,
    ) = norm_body
}
