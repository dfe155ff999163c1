//! Reader and writer of `.safetensors` files. Hugging Face's `safetensors` crate checks the header and its
//! offsets; this module adds size limits, errors with lengths, and [`TensorView`]s.

use safetensors::Dtype as FileDtype;
use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorView as FileTensor};

use super::{Dtype, FormatError, TensorSource, TensorView, excerpt};

const FORMAT: &str = "safetensors";
/// Bytes of the little-endian length that precedes the header.
const LENGTH_BYTES: usize = 8;
/// Limit on the header, which takes up to 15 times as much once it is read; Flan-T5-XXL's has less than 100 kB.
const MAX_HEADER_BYTES: u64 = 4 << 20;

/// The header of a safetensors file.
#[derive(Debug)]
pub(super) struct SafetensorsHeader {
    pub(super) metadata: Metadata,
    /// Start of the tensors' data in the file.
    pub(super) data_start: usize,
}

impl SafetensorsHeader {
    /// Reads the header from the start of a file, which may be incomplete.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if the bytes end before the header does,
    /// [`FormatError::Invalid`] if it is not one.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return Err(truncated("the header's length", LENGTH_BYTES as u64, bytes.len()));
        };
        let header_bytes = u64::from_le_bytes(*length);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(invalid(
                "the header's length",
                format!("at most {MAX_HEADER_BYTES} bytes"),
                format!("{header_bytes} (is this a safetensors file?)"),
            ));
        }
        let header_bytes_usize = header_bytes as usize;
        let Some(header) = rest.get(..header_bytes_usize) else {
            return Err(truncated("the header", header_bytes, rest.len()));
        };
        let metadata: Metadata = serde_json::from_slice(header).map_err(|error| {
            invalid("the header", "a table of tensors".into(), excerpt(&error.to_string()))
        })?;
        Ok(Self { metadata, data_start: LENGTH_BYTES + header_bytes_usize })
    }

    /// Checks how many bytes follow the header.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] if the header has another length.
    pub(super) fn check_data(&self, found: usize) -> Result<(), FormatError> {
        let expected = self.metadata.data_len();
        match found {
            _ if found < expected => Err(truncated("the tensors' data", expected as u64, found)),
            _ if found > expected => Err(invalid(
                "the tensors' data",
                format!("{expected} bytes, as the header says"),
                format!("{found} bytes"),
            )),
            _ => Ok(()),
        }
    }
}

/// The element type of a tensor.
///
/// # Errors
/// [`FormatError::Unsupported`] with the name of the type.
pub(super) fn dtype(name: &str, dtype: FileDtype) -> Result<Dtype, FormatError> {
    match dtype {
        FileDtype::F32 => Ok(Dtype::F32),
        FileDtype::F16 => Ok(Dtype::F16),
        FileDtype::BF16 => Ok(Dtype::BF16),
        FileDtype::F64 => Ok(Dtype::F64),
        other => Err(FormatError::Unsupported {
            what: format!("tensor {} of type {other}", excerpt(name)),
            reason: "weights are read from F64, F32, F16 and BF16; convert the file first".into(),
        }),
    }
}

fn truncated(what: &str, expected: u64, found: usize) -> FormatError {
    FormatError::Truncated { format: FORMAT, what: what.into(), expected, found: found as u64 }
}

fn invalid(what: &str, expected: String, found: String) -> FormatError {
    FormatError::Invalid { format: FORMAT, what: what.into(), expected, found }
}

/// A parsed `.safetensors` file that owns its bytes.
#[derive(Debug)]
pub struct SafetensorsFile {
    bytes: Vec<u8>,
    header: SafetensorsHeader,
}

impl SafetensorsFile {
    /// Whether the bytes start like a safetensors file: a plausible header length, then JSON.
    pub fn recognises(bytes: &[u8]) -> bool {
        matches!(bytes.first_chunk::<LENGTH_BYTES>(), Some(length)
            if u64::from_le_bytes(*length) <= MAX_HEADER_BYTES)
            && bytes.get(LENGTH_BYTES) == Some(&b'{')
    }

    /// Checks the header and that the tensors fill the rest of the file.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if the file is shorter than its header says,
    /// [`FormatError::Invalid`] if the header is not one.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, FormatError> {
        let header = SafetensorsHeader::read(&bytes)?;
        header.check_data(bytes.len() - header.data_start)?;
        Ok(Self { bytes, header })
    }
}

/// A tensor to write: its name, its shape in PyTorch's order, and its row-major values.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Hugging Face's name.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Row-major values, as many as `shape` has elements.
    pub values: Vec<f32>,
}

/// Writes a `.safetensors` file of `f32` tensors, or of `f16` tensors with each value rounded to the
/// nearest.
///
/// # Errors
/// [`FormatError::Invalid`] naming a tensor whose values do not fit its shape.
pub fn write_safetensors(tensors: &[NamedTensor], half: bool) -> Result<Vec<u8>, FormatError> {
    let bytes = |tensor: &NamedTensor| -> Vec<u8> {
        let values = tensor.values.iter();
        if half {
            values.flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect()
        } else {
            values.flat_map(|value| value.to_le_bytes()).collect()
        }
    };
    let data: Vec<Vec<u8>> = tensors.iter().map(bytes).collect();
    let dtype = if half { FileDtype::F16 } else { FileDtype::F32 };
    let invalid = |what: &str, error: SafeTensorError| FormatError::Invalid {
        format: FORMAT,
        what: what.into(),
        expected: "fit to be written".into(),
        found: excerpt(&error.to_string()),
    };
    let views = (tensors.iter().zip(&data))
        .map(|(tensor, data)| {
            let view = FileTensor::new(dtype, tensor.shape.clone(), data);
            Ok((tensor.name.as_str(), view.map_err(|error| invalid(&tensor.name, error))?))
        })
        .collect::<Result<Vec<_>, _>>()?;
    // transformers and PEFT require the framework that wrote the file.
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize(views, Some(metadata)).map_err(|error| invalid("the file", error))
}

impl TensorSource for SafetensorsFile {
    fn names(&self) -> Vec<String> {
        self.header.metadata.offset_keys()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.header.metadata.info(name)?.shape)
    }

    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>, FormatError> {
        let Some(info) = self.header.metadata.info(name) else { return Ok(None) };
        let dtype = dtype(name, info.dtype)?;
        let (start, end) = info.data_offsets;
        // `Metadata` checks on reading that every range lies in order within `data_len`, and `parse`
        // that `data_len` is what follows the header.
        let data = &self.bytes[self.header.data_start..];
        let bytes = data
            .get(start..end)
            .ok_or_else(|| truncated(&excerpt(name), end as u64, data.len()))?;
        Ok(Some(TensorView { name: name.into(), dtype, shape: info.shape.clone(), bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    const TWO: &str = r#"{"__metadata__":{"format":"pt"},
        "a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]},
        "b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},
        "c":{"dtype":"I64","shape":[1],"data_offsets":[8,16]}}"#;

    fn two() -> Vec<u8> {
        let mut data = vec![0x00, 0x3c, 0x00, 0xc0, 0x80, 0x3f, 0x00, 0xc0];
        data.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        file(TWO, &data)
    }

    #[test]
    fn half_precisions_are_read_as_f32() {
        let file = SafetensorsFile::parse(two()).unwrap();
        assert_eq!(file.names(), ["a", "b", "c"]);
        let a = file.tensor("a").unwrap().unwrap();
        assert_eq!(a.shape, [1, 2]);
        assert_eq!(a.to_f32().unwrap(), [1.0, -2.0]);
        assert_eq!(file.tensor("b").unwrap().unwrap().to_f32().unwrap(), [1.0, -2.0]);
        assert!(file.tensor("d").unwrap().is_none());
    }

    #[test]
    fn a_written_file_is_read_back() {
        let tensor = |name: &str, shape: &[usize], values: &[f32]| NamedTensor {
            name: name.into(),
            shape: shape.into(),
            values: values.into(),
        };
        let tensors = [tensor("b", &[2, 1], &[0.1, -3e-9]), tensor("a", &[1], &[65504.0])];
        for half in [false, true] {
            let file = SafetensorsFile::parse(write_safetensors(&tensors, half).unwrap()).unwrap();
            for tensor in &tensors {
                let read = file.tensor(&tensor.name).unwrap().unwrap();
                assert_eq!(read.shape, tensor.shape);
                let rounded =
                    tensor.values.iter().map(|&value| half::f16::from_f32(value).to_f32());
                let expected = if half { rounded.collect() } else { tensor.values.clone() };
                assert_eq!(read.to_f32().unwrap(), expected);
            }
        }
        assert!(write_safetensors(&[tensor("c", &[3], &[1.0])], false).is_err());
    }

    #[test]
    fn an_integer_tensor_is_rejected_only_when_it_is_read() {
        let file = SafetensorsFile::parse(two()).unwrap();
        let error = file.tensor("c").unwrap_err().to_string();
        assert!(error.contains("tensor c of type I64"), "{error}");
    }

    #[test]
    fn a_file_cut_at_any_length_is_rejected_as_truncated() {
        let whole = two();
        for length in 0..whole.len() {
            let error = SafetensorsFile::parse(whole[..length].to_vec()).unwrap_err();
            assert!(matches!(error, FormatError::Truncated { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn inconsistent_headers_are_rejected() {
        let overlong = file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, &[0; 8]);
        assert!(SafetensorsFile::parse(overlong).is_err());
        for header in [
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
            r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#,
            "[]",
            "",
        ] {
            assert!(SafetensorsFile::parse(file(header, &[0; 4])).is_err(), "{header}");
        }
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        huge.push(b'{');
        assert!(matches!(
            SafetensorsFile::parse(huge).unwrap_err(),
            FormatError::Invalid { format: "safetensors", .. }
        ));
    }
}
