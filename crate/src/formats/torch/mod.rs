//! Reader of `torch.save` files (`adapter_model.bin`, `pytorch_model.bin`): a ZIP archive with a pickle that
//! describes the tensors, and an entry of raw elements for each storage. It executes no code of the file.

mod pickle;
mod zip;

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Dtype, FormatError, TensorSource, TensorView, excerpt};
use pickle::Tensor;

/// Name of the format in messages.
const FORMAT: &str = "PyTorch";
/// Start of the format before PyTorch 1.6: a pickle of this number.
const LEGACY_MAGIC: [u8; 14] =
    [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// Start of a ZIP archive.
const ZIP_MAGIC: &[u8; 4] = b"PK\x03\x04";

/// The position of a tensor's elements.
#[derive(Debug)]
enum Contents {
    /// Row-major, within the file.
    InFile(Range<usize>),
    /// A row-major copy of elements in another order.
    Copied(Vec<u8>),
}

#[derive(Debug)]
struct Entry {
    /// Name of the storage class, such as `FloatStorage`.
    class: &'static str,
    shape: Vec<usize>,
    contents: Contents,
}

/// A parsed PyTorch file that owns its bytes.
#[derive(Debug)]
pub struct TorchFile {
    bytes: Vec<u8>,
    entries: BTreeMap<String, Entry>,
}

impl TorchFile {
    /// Whether the bytes start like a PyTorch file of any version.
    pub fn recognises(bytes: &[u8]) -> bool {
        bytes.starts_with(ZIP_MAGIC) || bytes.starts_with(&LEGACY_MAGIC)
    }

    /// Checks the archive and that every tensor lies within its storage.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] if a part is missing or contradicts
    /// another; [`FormatError::Unsupported`] for a pickle that holds anything but tensors and
    /// containers, by name, and for the format of PyTorch before 1.6.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, FormatError> {
        if bytes.starts_with(&LEGACY_MAGIC) {
            return Err(FormatError::Unsupported {
                what: "the file format of PyTorch before 1.6".into(),
                reason: "load it with PyTorch and save it again, best as safetensors".into(),
            });
        }
        let archive = zip::entries(&bytes)?;
        let (folder, pickle) = archive
            .iter()
            .find_map(|(name, range)| Some((name.strip_suffix("data.pkl")?, range.clone())))
            .filter(|(folder, _)| folder.is_empty() || folder.ends_with('/'))
            .ok_or_else(|| FormatError::Invalid {
                format: FORMAT,
                what: "the archive".into(),
                expected: "one with data.pkl, as torch.save writes".into(),
                found: format!("{} other entries", archive.len()),
            })?;
        if let Some(order) = archive.get(&format!("{folder}byteorder"))
            && &bytes[order.clone()] != b"little"
        {
            return Err(FormatError::Unsupported {
                what: "a PyTorch file that is not little-endian".into(),
                reason: "save it again on a little-endian machine, or as safetensors".into(),
            });
        }
        let mut entries = BTreeMap::new();
        // A hostile file may describe the same elements many times.
        let mut copy_budget = bytes.len();
        for (name, tensor) in pickle::tensors(&bytes[pickle])? {
            let storage = archive.get(&format!("{folder}data/{}", tensor.storage.key));
            let storage = storage.ok_or_else(|| FormatError::Invalid {
                format: FORMAT,
                what: format!("the storage of {}", excerpt(&name)),
                expected: "an entry of the archive".into(),
                found: format!("no data/{}", excerpt(&tensor.storage.key)),
            })?;
            let contents = locate(&bytes, &name, &tensor, storage, &mut copy_budget)?;
            let entry = Entry { class: tensor.storage.class, shape: tensor.shape, contents };
            entries.insert(name, entry);
        }
        Ok(Self { bytes, entries })
    }
}

impl TensorSource for TorchFile {
    fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.entries.get(name)?.shape)
    }

    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>, FormatError> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        let dtype = match entry.class {
            "FloatStorage" => Dtype::F32,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::BF16,
            "DoubleStorage" => Dtype::F64,
            other => {
                return Err(FormatError::Unsupported {
                    what: format!("tensor {} in a {other}", excerpt(name)),
                    reason: "weights are read from float64, float32, float16 and bfloat16".into(),
                });
            }
        };
        let bytes = match &entry.contents {
            Contents::InFile(range) => &self.bytes[range.clone()],
            Contents::Copied(bytes) => bytes,
        };
        Ok(Some(TensorView { name: name.into(), dtype, shape: entry.shape.clone(), bytes }))
    }
}

/// Checks a tensor against its storage; copies its elements if they are not row-major.
fn locate(
    bytes: &[u8],
    name: &str,
    tensor: &Tensor,
    storage: &Range<usize>,
    copy_budget: &mut usize,
) -> Result<Contents, FormatError> {
    let outside = || FormatError::Invalid {
        format: FORMAT,
        what: format!("tensor {}", excerpt(name)),
        expected: format!("within its storage of {} elements", tensor.storage.elements),
        found: format!(
            "shape {:?}, strides {:?} from element {}",
            tensor.shape, tensor.strides, tensor.offset
        ),
    };
    let size = tensor.storage.element_bytes;
    let expected = tensor.storage.elements.checked_mul(size);
    if expected != Some(storage.len()) {
        return Err(FormatError::Truncated {
            format: FORMAT,
            what: format!("the storage of {}", excerpt(name)),
            expected: expected.map_or(u64::MAX, |expected| expected as u64),
            found: storage.len() as u64,
        });
    }
    let elements = tensor
        .shape
        .iter()
        .try_fold(1usize, |product, &length| product.checked_mul(length))
        .ok_or_else(outside)?;
    if elements == 0 {
        return Ok(Contents::InFile(storage.start..storage.start));
    }
    // Index of the last element, the largest of all.
    let last = tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .try_fold(tensor.offset, |last, (&length, &stride)| {
            last.checked_add((length - 1).checked_mul(stride)?)
        })
        .ok_or_else(outside)?;
    if last >= tensor.storage.elements || elements > tensor.storage.elements {
        return Err(outside());
    }
    let mut row_major = 1;
    let contiguous = tensor.shape.iter().zip(&tensor.strides).rev().all(|(&length, &stride)| {
        let fits = length == 1 || stride == row_major;
        row_major *= length;
        fits
    });
    if contiguous {
        let start = storage.start + tensor.offset * size;
        return Ok(Contents::InFile(start..start + elements * size));
    }
    *copy_budget =
        copy_budget.checked_sub(elements * size).ok_or_else(|| FormatError::Invalid {
            format: FORMAT,
            what: "transposed tensors".into(),
            expected: "no larger than the file".into(),
            found: format!("more, up to {}", excerpt(name)),
        })?;
    let storage = &bytes[storage.clone()];
    let mut copy = Vec::with_capacity(elements * size);
    let mut index = vec![0; tensor.shape.len()];
    for _ in 0..elements {
        let place: usize = tensor.offset
            + index.iter().zip(&tensor.strides).map(|(&i, &stride)| i * stride).sum::<usize>();
        copy.extend_from_slice(&storage[place * size..(place + 1) * size]);
        for (i, &length) in index.iter_mut().zip(&tensor.shape).rev() {
            *i += 1;
            if *i < length {
                break;
            }
            *i = 0;
        }
    }
    Ok(Contents::Copied(copy))
}
