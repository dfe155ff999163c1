//! Rows of activations on the device, and what is done to them between products.

use bytemuck::{Pod, Zeroable};

use super::{number, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::source::Constant;
use crate::kernels::gpu::{Buffer, Gpu, GpuError, Recorder};
use crate::kernels::quantize::BLOCK;

/// Bytes of a quantised row are filled up to a multiple of this, the depth of a product's tile.
const ROW_BYTES: usize = 32;

/// Words of a quantised row of `width` values.
pub fn packed_words(width: usize) -> usize {
    width.next_multiple_of(ROW_BYTES) / 4
}

/// Rows of activations on the device, in f32 and quantised.
#[derive(Debug, Clone)]
pub struct Rows {
    pub(super) values: Buffer,
    pub(super) quantized: Quantized,
    /// The lower 7 of 14 bits, as many bytes.
    pub(super) lower: Buffer,
}

/// Quantised rows: bytes, and scales of blocks.
#[derive(Debug, Clone)]
pub(super) struct Quantized {
    pub(super) packed: Buffer,
    pub(super) scales: Buffer,
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
        let [values, packed, lower, scales] =
            Self::words(rows, width, quantized).map(|words| gpu.zeros(what, words));
        let quantized = Quantized { packed: packed?, scales: scales? };
        Ok(Self { values: values?, quantized, lower: lower? })
    }

    /// Words of the buffers: the values, the upper and the lower bits, the scales.
    pub(crate) fn words(rows: usize, width: usize, quantized: bool) -> [usize; 4] {
        if quantized {
            let packed = rows * packed_words(width);
            [rows * width, packed, packed, rows * width.div_ceil(BLOCK)]
        } else {
            [rows * width, 0, 0, 0]
        }
    }

    /// The values, `[rows, width]`.
    pub fn values(&self) -> &Buffer {
        &self.values
    }
}

/// How rows are quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantize {
    /// Not at all.
    No,
    /// In 7 bits.
    Coarse,
    /// In 7 bits, and in 14.
    Fine,
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

impl Recorder<'_> {
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
        let Rows { values, quantized, lower } = out;
        let buffers = [x, weight, values, &quantized.packed, &quantized.scales, lower];
        self.dispatch(Kernel::Rows, constants, &params, &buffers, [groups_x, groups_y, 1]);
    }

    /// Adds `values` values of `sums` to those of `out`.
    pub fn add(&mut self, sums: &Buffer, values: usize, out: &Buffer) {
        let [x, y] = spread(values.div_ceil(128));
        self.dispatch(Kernel::Add, vec![], &word(values), &[sums, out], [x, y, 1]);
    }
}
