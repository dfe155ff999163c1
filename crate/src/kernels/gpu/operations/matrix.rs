//! Weights and embeddings on the device, in parts that fit the limit of a binding.

use super::layout::EmbedParams;
use super::{packed_words, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::{Buffer, Gpu, GpuError, Recorder};
use crate::kernels::quantize::{BLOCK, QuantizedMatrix};

/// Rows of a weight matrix in one binding.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) values: Buffer,
    /// `[count, blocks]`; unused in an f32 matrix.
    pub(super) scales: Buffer,
}

/// Words of the buffer in place of the scales of an f32 matrix.
const UNUSED_WORDS: usize = 1;

/// How many rows of `words` words one binding holds.
fn rows_per_part(gpu: &Gpu, words: usize) -> usize {
    gpu.largest_binding() as usize / (words * 4)
}

/// A weight matrix `[d_out, d_in]` on the device, in parts that fit the limit of a binding.
#[derive(Debug, Clone)]
pub struct Matrix {
    d_out: usize,
    pub(super) d_in: usize,
    pub(super) quantized: bool,
    pub(super) parts: Vec<Part>,
}

impl Matrix {
    /// Sizes in words of the buffers of a matrix `[d_out, d_in]`.
    pub fn words(gpu: &Gpu, [d_out, d_in]: [usize; 2], quantized: bool) -> Vec<usize> {
        let width = if quantized { packed_words(d_in) } else { d_in };
        // If not even a row fits, a part counts as one row.
        let limit = rows_per_part(gpu, width).max(1);
        let parts = (0..d_out).step_by(limit).map(|first| limit.min(d_out - first));
        if quantized {
            parts.flat_map(|rows| [rows * width, rows * d_in.div_ceil(BLOCK)]).collect()
        } else {
            // All parts share the buffer in place of scales.
            parts.map(|rows| rows * width).chain([UNUSED_WORDS]).collect()
        }
    }

    /// Uploads quantised matrices of the same `d_in`, concatenated along `d_out`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] if not even one row fits a binding.
    ///
    /// # Panics
    /// If there is no matrix, or their `d_in` differ.
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
        let limit = rows_per_part(gpu, stride / 4);
        gpu.check_size(what, stride as u64)?;
        let mut parts = Vec::new();
        for (index, rows) in rows.chunks(limit).enumerate() {
            let mut bytes = vec![0i8; rows.len() * stride];
            for (padded, (row, _)) in bytes.chunks_exact_mut(stride).zip(rows) {
                padded[..d_in].copy_from_slice(row);
            }
            let scales: Vec<f32> = rows.iter().flat_map(|&(_, scales)| scales).copied().collect();
            parts.push(Part {
                first: index * limit,
                count: rows.len(),
                values: gpu.upload(what, &bytes)?,
                scales: gpu.upload(what, &scales)?,
            });
        }
        Ok(Self { d_out: rows.len(), d_in, quantized: true, parts })
    }

    /// Uploads a row-major f32 matrix.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] if not even one row fits a binding.
    ///
    /// # Panics
    /// If the number of values is not a multiple of `d_in`.
    pub fn f32(gpu: &Gpu, what: &str, values: &[f32], d_in: usize) -> Result<Self, GpuError> {
        assert!(values.len().is_multiple_of(d_in));
        let limit = rows_per_part(gpu, d_in);
        gpu.check_size(what, d_in as u64 * 4)?;
        let unused = gpu.zeros(what, UNUSED_WORDS)?;
        let parts = values.chunks(limit * d_in).enumerate().map(|(index, values)| {
            Ok(Part {
                first: index * limit,
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
        })
    }

    /// Inputs of the layer, its `d_in`.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// Outputs of the layer, its `d_out`.
    pub fn d_out(&self) -> usize {
        self.d_out
    }
}

/// An embedding `[vocab_size, width]` on the device.
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
}

impl Recorder<'_> {
    /// Writes the embeddings of tokens to `out`, `[rows, width]`. `tokens`, `[period]`, repeat every `period`
    /// rows.
    pub fn embed(
        &mut self,
        embedding: &Embedding,
        tokens: &Buffer,
        period: usize,
        rows: usize,
        out: &Buffer,
    ) {
        let [x, y] = spread(rows);
        for part in &embedding.0.parts {
            let params = EmbedParams {
                rows: word(rows),
                period: word(period),
                width: word(embedding.0.d_in),
                first: word(part.first),
                count: word(part.count),
            };
            self.dispatch(Kernel::Embed, vec![], &params, &[tokens, &part.values, out], [x, y, 1]);
        }
    }
}
