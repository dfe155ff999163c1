//! One tensor of an outside file, whatever the file's format, and its conversion to `f32`.

use half::{bf16, f16};

use super::FormatError;

/// Values in one block of GGUF's Q8_0: an `f16` scale followed by this many `i8`.
const Q8_0_BLOCK: usize = 32;
/// Bytes of one block of GGUF's Q8_0.
const Q8_0_BLOCK_BYTES: usize = 2 + Q8_0_BLOCK;

/// Element types that the readers understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    BF16,
    /// GGUF's blocks of 32 signed bytes with one `f16` scale.
    Q8_0,
}

impl Dtype {
    /// Bytes that `elements` values take, or `None` if the count does not fill whole blocks or the
    /// size overflows.
    pub fn bytes_for(self, elements: usize) -> Option<usize> {
        match self {
            Dtype::F32 => elements.checked_mul(4),
            Dtype::F16 | Dtype::BF16 => elements.checked_mul(2),
            Dtype::Q8_0 if elements.is_multiple_of(Q8_0_BLOCK) => {
                (elements / Q8_0_BLOCK).checked_mul(Q8_0_BLOCK_BYTES)
            }
            Dtype::Q8_0 => None,
        }
    }
}

/// A tensor as it lies in its file.
#[derive(Debug, Clone)]
pub struct TensorView<'a> {
    /// Hugging Face's name of the tensor.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions in PyTorch's order, `[out, in]` for a linear layer.
    pub shape: Vec<usize>,
    /// Row-major contents; a reader has checked that they are as long as `dtype` and `shape` ask.
    pub bytes: &'a [u8],
}

impl TensorView<'_> {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The contents as `f32`, row-major.
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
        let values: Vec<f32> = match self.dtype {
            Dtype::F32 => chunks(self.bytes).map(f32::from_le_bytes).collect(),
            Dtype::F16 => chunks(self.bytes).map(|b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => chunks(self.bytes).map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
            Dtype::Q8_0 => self
                .bytes
                .chunks_exact(Q8_0_BLOCK_BYTES)
                .flat_map(|block| {
                    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                    block[2..].iter().map(move |&q| scale * f32::from(q as i8))
                })
                .collect(),
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(FormatError::NotFinite {
                name: self.name.clone(),
                index,
                value: values[index].to_string(),
            }),
        }
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// A file, or several, from which tensors are read by Hugging Face's names.
pub trait TensorSource {
    /// Names of all tensors.
    fn names(&self) -> Vec<String>;

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
    fn a_nan_is_refused_with_its_place() {
        let bytes: Vec<u8> = [1.0f32, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
        let error = view(Dtype::F32, &[2], &bytes).unwrap_err();
        assert!(matches!(error, FormatError::NotFinite { index: 1, .. }), "{error}");
    }

    #[test]
    fn bytes_that_do_not_fill_the_shape_are_refused() {
        assert!(matches!(
            view(Dtype::F16, &[3], &[0; 4]).unwrap_err(),
            FormatError::Truncated { expected: 6, found: 4, .. }
        ));
        assert!(view(Dtype::Q8_0, &[31], &[0; 34]).is_err());
    }
}
