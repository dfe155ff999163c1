//! A tensor of a file of any format, and its conversion to `f32`.

use half::{bf16, f16};

use super::budget::Budget;
use super::{FormatError, blocks};

/// Element types that the readers support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16, the upper half of IEEE single precision.
    BF16,
    /// IEEE double precision, rounded to single precision.
    F64,
    /// GGUF's blocks of 32 values in 4 bits with one `f16` scale.
    Q4_0,
    /// GGUF's blocks of 32 values in 4 bits with an `f16` scale and an `f16` minimum.
    Q4_1,
    /// GGUF's blocks of 32 values in 5 bits with one `f16` scale.
    Q5_0,
    /// GGUF's blocks of 32 values in 5 bits with an `f16` scale and an `f16` minimum.
    Q5_1,
    /// GGUF's blocks of 32 signed bytes with one `f16` scale.
    Q8_0,
    /// GGUF's blocks of 256 values in 4 bits, with 6-bit scales and minima for every 32.
    Q4_K,
    /// GGUF's blocks of 256 values in 5 bits, with 6-bit scales and minima for every 32.
    Q5_K,
    /// GGUF's blocks of 256 values in 6 bits, with 8-bit scales for every 16.
    Q6_K,
}

impl Dtype {
    /// All types.
    pub const ALL: [Dtype; 12] = {
        use Dtype::*;
        [F32, F16, BF16, F64, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K]
    };

    /// How the type is stored.
    fn storage(self) -> Storage {
        use blocks::*;
        macro_rules! float {
            ($ggml_type:literal, $type:ty) => {
                Storage {
                    ggml_type: $ggml_type,
                    block: (1, size_of::<$type>()),
                    decode: |bytes, out| {
                        let values = bytes.as_chunks().0.iter();
                        out.extend(values.map(|&value| f32::from(<$type>::from_le_bytes(value))));
                    },
                }
            };
        }
        macro_rules! blocks {
            ($ggml_type:literal, $values:expr, $bytes:expr, $decode:path) => {
                Storage {
                    ggml_type: $ggml_type,
                    block: ($values, $bytes),
                    decode: |bytes, out| {
                        bytes.chunks_exact($bytes).for_each(|block| $decode(block, out));
                    },
                }
            };
        }
        match self {
            Dtype::F32 => float!(0, f32),
            Dtype::F16 => float!(1, f16),
            Dtype::BF16 => float!(30, bf16),
            Dtype::F64 => Storage {
                ggml_type: 28,
                block: (1, size_of::<f64>()),
                decode: |bytes, out| {
                    let values = bytes.as_chunks().0.iter();
                    out.extend(values.map(|&value| f64::from_le_bytes(value) as f32));
                },
            },
            Dtype::Q4_0 => blocks!(2, BLOCK, Q4_0_BYTES, q4_0),
            Dtype::Q4_1 => blocks!(3, BLOCK, Q4_1_BYTES, q4_1),
            Dtype::Q5_0 => blocks!(6, BLOCK, Q5_0_BYTES, q5_0),
            Dtype::Q5_1 => blocks!(7, BLOCK, Q5_1_BYTES, q5_1),
            Dtype::Q8_0 => blocks!(8, BLOCK, Q8_0_BYTES, q8_0),
            Dtype::Q4_K => blocks!(12, SUPER_BLOCK, Q4_K_BYTES, q4_k),
            Dtype::Q5_K => blocks!(13, SUPER_BLOCK, Q5_K_BYTES, q5_k),
            Dtype::Q6_K => blocks!(14, SUPER_BLOCK, Q6_K_BYTES, q6_k),
        }
    }

    /// The type's number in GGUF, its `ggml_type`.
    pub(crate) fn ggml_type(self) -> u32 {
        self.storage().ggml_type
    }

    /// The type of a `ggml_type`, or `None` if it is not supported.
    pub(super) fn from_ggml_type(ggml_type: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.ggml_type() == ggml_type)
    }

    /// Values of a block, and its bytes.
    pub fn block(self) -> (usize, usize) {
        self.storage().block
    }

    /// Bytes of `elements` values, or `None` if they are no whole blocks or the size overflows.
    pub fn bytes_for(self, elements: usize) -> Option<usize> {
        let (block, bytes) = self.block();
        if elements.is_multiple_of(block) { (elements / block).checked_mul(bytes) } else { None }
    }

    /// Appends the values of whole blocks to `out`; ignores an incomplete block at the end.
    pub(super) fn decode(self, bytes: &[u8], out: &mut Vec<f32>) {
        (self.storage().decode)(bytes, out);
    }
}

/// How an element type is stored.
struct Storage {
    ggml_type: u32,
    /// Values of a block, and its bytes.
    block: (usize, usize),
    /// Appends the values of whole blocks.
    decode: fn(&[u8], &mut Vec<f32>),
}

/// A tensor within the bytes of its file.
#[derive(Debug, Clone)]
pub struct TensorView<'a> {
    /// Hugging Face's name of the tensor.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions in PyTorch's order, `[out, in]` for a linear layer.
    pub shape: Vec<usize>,
    /// Row-major contents, of the length that follows from `dtype` and `shape`.
    pub bytes: &'a [u8],
}

impl TensorView<'_> {
    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values as `f32`, row-major.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if the bytes do not fit the shape, [`FormatError::NotFinite`] for a
    /// NaN or an infinity.
    pub fn to_f32(&self) -> Result<Vec<f32>, FormatError> {
        let elements = self.elements();
        let expected = self.dtype.bytes_for(elements);
        if expected != Some(self.bytes.len()) {
            return Err(FormatError::Truncated {
                format: "tensor",
                what: format!("{} of shape {:?}", self.name, self.shape),
                expected: expected.unwrap_or(usize::MAX) as u64,
                found: self.bytes.len() as u64,
            });
        }
        let mut values = Vec::with_capacity(elements);
        self.dtype.decode(self.bytes, &mut values);
        check_finite(&self.name, &values, 0)?;
        Ok(values)
    }
}

/// Checks that values of a tensor, from index `first` on, are finite.
///
/// # Errors
/// [`FormatError::NotFinite`].
pub(super) fn check_finite(name: &str, values: &[f32], first: usize) -> Result<(), FormatError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(FormatError::NotFinite {
            name: name.into(),
            index: first + index,
            value: values[index].to_string(),
        }),
    }
}

/// Checks that the tensors of a source, as `f32`, are in proportion to the bytes that hold them. PyTorch's files of
/// tied models hold the embedding under four names; in a hostile file, thousands of tensors share their elements.
///
/// # Errors
/// [`FormatError::OverBudget`].
pub(crate) fn check_shared(
    format: &'static str,
    source: &dyn TensorSource,
) -> Result<(), FormatError> {
    let names = source.names();
    // Unsupported tensors are refused where they are read.
    let views: Vec<TensorView<'_>> =
        names.iter().filter_map(|name| source.tensor(name).ok().flatten()).collect();
    let mut ranges: Vec<_> = views.iter().map(|view| view.bytes.as_ptr_range()).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let (mut held, mut end) = (0, std::ptr::null());
    for range in ranges {
        held += (range.end as usize).saturating_sub(range.start.max(end) as usize);
        end = end.max(range.end);
    }
    let mut budget = Budget::new(format, held);
    views.iter().try_for_each(|view| {
        let bytes = view.elements().saturating_mul(size_of::<f32>());
        budget.take("its tensors, which share their elements,", bytes)
    })
}

/// One or more files with tensors by Hugging Face's names.
pub trait TensorSource: Send + Sync {
    /// Names of all tensors.
    fn names(&self) -> Vec<String>;

    /// The shape of the tensor of that name, which may have an element type that is not supported.
    fn shape(&self, name: &str) -> Option<&[usize]>;

    /// The tensor of that name, or `None` if the source has none.
    ///
    /// # Errors
    /// A [`FormatError`] if the tensor's entry in the file is not valid.
    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>, FormatError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Vec<f32>, FormatError> {
        TensorView { name: "w".into(), dtype, shape: shape.to_vec(), bytes }.to_f32()
    }

    #[test]
    fn a_q8_0_block_is_its_scale_times_its_signed_bytes() {
        let mut bytes = f16::from_f32(0.5).to_le_bytes().to_vec();
        bytes.extend((0..32).map(|i| (i - 16) as i8 as u8));
        let values = view(Dtype::Q8_0, &[1, 32], &bytes).unwrap();
        assert_eq!(values[0], -8.0);
        assert_eq!(values[31], 7.5);
    }

    #[test]
    fn doubles_are_rounded_and_those_beyond_single_precision_are_rejected() {
        let values = [1.0 / 3.0, -2.5].map(f64::to_le_bytes).concat();
        assert_eq!(view(Dtype::F64, &[2], &values).unwrap(), [1.0 / 3.0, -2.5]);
        let error = view(Dtype::F64, &[1], &1e300f64.to_le_bytes()).unwrap_err();
        assert!(matches!(error, FormatError::NotFinite { index: 0, .. }), "{error}");
    }

    #[test]
    fn a_nan_is_rejected_with_its_index() {
        let bytes: Vec<u8> = [1.0f32, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        let error = view(Dtype::F32, &[2], &bytes).unwrap_err();
        assert!(matches!(error, FormatError::NotFinite { index: 1, .. }), "{error}");
    }

    #[test]
    fn bytes_that_do_not_fill_the_shape_are_rejected() {
        assert!(matches!(
            view(Dtype::F16, &[3], &[0; 4]).unwrap_err(),
            FormatError::Truncated { expected: 6, found: 4, .. }
        ));
        assert!(view(Dtype::Q8_0, &[31], &[0; 34]).is_err());
    }
}
