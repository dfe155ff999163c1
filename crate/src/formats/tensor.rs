//! One tensor of an outside file, whatever the file's format, and its conversion to `f32`.

use half::{bf16, f16};

use super::{FormatError, blocks};

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
    /// GGUF's blocks of 32 values in 4 bits with one `f16` scale.
    Q4_0,
    /// As [`Dtype::Q4_0`], with an `f16` minimum.
    Q4_1,
    /// GGUF's blocks of 32 values in 5 bits with one `f16` scale.
    Q5_0,
    /// As [`Dtype::Q5_0`], with an `f16` minimum.
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
    /// All of them.
    pub const ALL: [Dtype; 11] = {
        use Dtype::*;
        [F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K]
    };

    /// Values that are stored together, and the bytes that they take.
    pub fn block(self) -> (usize, usize) {
        match self {
            Dtype::F32 => (1, 4),
            Dtype::F16 | Dtype::BF16 => (1, 2),
            Dtype::Q4_0 => (blocks::BLOCK, blocks::Q4_0_BYTES),
            Dtype::Q4_1 => (blocks::BLOCK, blocks::Q4_1_BYTES),
            Dtype::Q5_0 => (blocks::BLOCK, blocks::Q5_0_BYTES),
            Dtype::Q5_1 => (blocks::BLOCK, blocks::Q5_1_BYTES),
            Dtype::Q8_0 => (blocks::BLOCK, blocks::Q8_0_BYTES),
            Dtype::Q4_K => (blocks::SUPER_BLOCK, blocks::Q4_K_BYTES),
            Dtype::Q5_K => (blocks::SUPER_BLOCK, blocks::Q5_K_BYTES),
            Dtype::Q6_K => (blocks::SUPER_BLOCK, blocks::Q6_K_BYTES),
        }
    }

    /// Bytes that `elements` values take, or `None` if the count does not fill whole blocks or the
    /// size overflows.
    pub fn bytes_for(self, elements: usize) -> Option<usize> {
        let (block, bytes) = self.block();
        if elements.is_multiple_of(block) { (elements / block).checked_mul(bytes) } else { None }
    }

    /// Appends the values of whole blocks to `out`; bytes of a block begun are left out.
    pub(super) fn decode(self, bytes: &[u8], out: &mut Vec<f32>) {
        let decode_block = match self {
            Dtype::F32 => return out.extend(chunks(bytes).map(f32::from_le_bytes)),
            Dtype::F16 => {
                return out.extend(chunks(bytes).map(|b| f16::from_le_bytes(b).to_f32()));
            }
            Dtype::BF16 => {
                return out.extend(chunks(bytes).map(|b| bf16::from_le_bytes(b).to_f32()));
            }
            Dtype::Q4_0 => blocks::q4_0,
            Dtype::Q4_1 => blocks::q4_1,
            Dtype::Q5_0 => blocks::q5_0,
            Dtype::Q5_1 => blocks::q5_1,
            Dtype::Q8_0 => blocks::q8_0,
            Dtype::Q4_K => blocks::q4_k,
            Dtype::Q5_K => blocks::q5_k,
            Dtype::Q6_K => blocks::q6_k,
        };
        for block in bytes.chunks_exact(self.block().1) {
            decode_block(block, out);
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
        let mut values = Vec::with_capacity(elements);
        self.dtype.decode(self.bytes, &mut values);
        check_finite(&self.name, &values, 0)?;
        Ok(values)
    }
}

/// Refuses values of a tensor, of which the first has the index `first`, if one is not finite.
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
