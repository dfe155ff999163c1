//! Rows of activations on the device: norms, activation functions and quantisation.

use super::layout::{AddParams, RowsParams};
use super::{number, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::source::Constant;
use crate::kernels::gpu::{Buffer, Gpu, GpuError, Recorder};
use crate::kernels::quantize::BLOCK;

/// Quantised rows are padded to a multiple of this many bytes, the depth of a product's tile.
const ROW_BYTES: usize = 32;

/// The number of 32-bit words in a quantised row of `width` values.
pub fn packed_words(width: usize) -> usize {
    width.next_multiple_of(ROW_BYTES) / 4
}

/// Rows of activations on the device, in f32 and quantised.
#[derive(Debug, Clone)]
pub struct Rows {
    pub(super) values: Buffer,
    pub(super) quantized: Quantized,
    /// The low 7 of 14 bits, a byte each.
    pub(super) low_bits: Buffer,
}

/// Quantised rows: bytes, and scales of blocks.
#[derive(Debug, Clone)]
pub(super) struct Quantized {
    pub(super) packed: Buffer,
    pub(super) scales: Buffer,
}

impl Rows {
    /// Buffers for `rows` rows of up to `width` values, and for their quantised form if `quantized`.
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
        let [values, packed, low_bits, scales] =
            Self::words(rows, width, quantized).map(|words| gpu.zeros(what, words));
        let quantized = Quantized { packed: packed?, scales: scales? };
        Ok(Self { values: values?, quantized, low_bits: low_bits? })
    }

    /// Sizes of the buffers in words: values, high bits, low bits, scales.
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

/// To how many bits rows are quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantize {
    /// Not quantised.
    No,
    /// To 7 bits.
    Int7,
    /// To 14 bits, the high 7 of which are those of [`Quantize::Int7`].
    Int14,
}

/// The operation on a row before it is quantised.
#[derive(Debug, Clone, Copy)]
pub enum RowsMode<'a> {
    /// None.
    Plain,
    /// T5's norm: `factor · weight · x / √(mean(x²) + epsilon)`.
    Norm {
        /// `[width]`.
        weight: &'a Buffer,
        /// Added to the mean square.
        epsilon: f32,
        /// Factor of the result.
        factor: f32,
    },
    /// `gelu_new(gate) · up` of rows that hold both, the gate first.
    GatedGelu,
    /// Replaces negative values by 0.
    Relu,
}

impl Recorder<'_> {
    /// Prepares rows for products: writes `mode` of `x`, `[rows, width]`, to `out`, and its quantised form.
    /// Row `r` of `x` starts at `x_offset + r · x_stride`.
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
        let (mode, weight, epsilon, factor) = match mode {
            RowsMode::Plain => (0, x, 0.0, 1.0),
            RowsMode::Norm { weight, epsilon, factor } => (1, weight, epsilon, factor),
            RowsMode::GatedGelu => (2, x, 0.0, 1.0),
            RowsMode::Relu => (3, x, 0.0, 1.0),
        };
        let params = RowsParams {
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
            ("INT14", Constant::Flag(quantize == Quantize::Int14)),
        ];
        let [groups_x, groups_y] = spread(rows);
        let Rows { values, quantized, low_bits } = out;
        let buffers = [x, weight, values, &quantized.packed, &quantized.scales, low_bits];
        self.dispatch(Kernel::Rows, constants, &params, &buffers, [groups_x, groups_y, 1]);
    }

    /// Adds `sums`, `[values]`, to `out`.
    pub fn add(&mut self, sums: &Buffer, values: usize, out: &Buffer) {
        let [x, y] = spread(values.div_ceil(128));
        let params = AddParams { values: word(values) };
        self.dispatch(Kernel::Add, vec![], &params, &[sums, out], [x, y, 1]);
    }
}
