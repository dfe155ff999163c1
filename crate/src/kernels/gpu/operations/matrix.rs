//! Weights and embeddings on the device, in as many parts as bindings ask for.

use bytemuck::{Pod, Zeroable};

use super::{packed_words, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::{Buffer, Gpu, GpuError, Recorder};
use crate::kernels::quantize::{BLOCK, QuantizedMatrix};

/// Rows of a weight matrix that one binding holds.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) values: Buffer,
    /// `[count, blocks]`; of a matrix in f32, anything.
    pub(super) scales: Buffer,
}

/// Words of what stands in place of scales.
const UNUSED_WORDS: usize = 1;

/// Rows of so many words that one binding holds.
fn rows_of_a_part(gpu: &Gpu, words: usize) -> usize {
    gpu.largest_binding() as usize / (words * 4)
}

/// A weight matrix `[d_out, d_in]` on the device, in as many parts as bindings ask for.
#[derive(Debug, Clone)]
pub struct Matrix {
    d_out: usize,
    pub(super) d_in: usize,
    pub(super) quantized: bool,
    pub(super) parts: Vec<Part>,
}

impl Matrix {
    /// Words of the buffers that a matrix `[d_out, d_in]` takes.
    pub fn words(gpu: &Gpu, [d_out, d_in]: [usize; 2], quantized: bool) -> Vec<usize> {
        let width = if quantized { packed_words(d_in) } else { d_in };
        // A matrix of which not even a row fits is counted with one to a part.
        let most = rows_of_a_part(gpu, width).max(1);
        let parts = (0..d_out).step_by(most).map(|first| most.min(d_out - first));
        if quantized {
            parts.flat_map(|rows| [rows * width, rows * d_in.div_ceil(BLOCK)]).collect()
        } else {
            // What stands in place of scales is shared by all parts.
            parts.map(|rows| rows * width).chain([UNUSED_WORDS]).collect()
        }
    }

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
        let most = rows_of_a_part(gpu, stride / 4);
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
        Ok(Self { d_out: rows.len(), d_in, quantized: true, parts })
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
        let most = rows_of_a_part(gpu, d_in);
        gpu.check_size(what, d_in as u64 * 4)?;
        let unused = gpu.zeros(what, UNUSED_WORDS)?;
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
}
