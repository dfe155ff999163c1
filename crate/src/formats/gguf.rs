//! Reader of GGUF, llama.cpp's file format, versions 2 and 3. Tensors have Hugging Face's names, whether
//! the file has llama.cpp's (`enc.blk.0.attn_q.weight`) or, from candle's quantiser, Hugging Face's.
//!
//! candle-core's reader allocates by the header's unchecked counts, and would add its tensor library to
//! the WebAssembly module.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::bytes::ByteReader;
use super::{Dtype, FormatError, GgufValue, TensorSource, TensorView, excerpt};

pub(super) const FORMAT: &str = "GGUF";
const MAGIC: &[u8; 4] = b"GGUF";
/// Alignment of the tensor data without `general.alignment`.
const DEFAULT_ALIGNMENT: u64 = 32;
/// Limit on tensors; Flan-T5-XXL has 560.
const MAX_TENSORS: u64 = 1 << 16;
/// Limit on metadata key-value pairs; files have some tens.
const MAX_METADATA_KV: u64 = 1 << 16;
/// Limit on the length of a tensor's name; llama.cpp's is 64.
const MAX_NAME_BYTES: u64 = 256;
/// Limit on the dimensions of a tensor, which is llama.cpp's.
const MAX_DIMENSIONS: u32 = 4;
/// Limit on the nesting of arrays in the metadata.
const MAX_NESTING: usize = 4;
/// `general.architecture` of T5 in llama.cpp's files; candle's have none.
const ARCHITECTURES: [&str; 2] = ["t5", "t5encoder"];

/// `gguf_metadata_value_type`.
pub(super) mod value_type {
    pub const UINT8: u32 = 0;
    pub const INT8: u32 = 1;
    pub const UINT32: u32 = 4;
    pub const INT32: u32 = 5;
    pub const FLOAT32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const STRING: u32 = 8;
    pub const ARRAY: u32 = 9;

    /// Bytes of a value of a fixed-size type.
    pub fn size(value_type: u32) -> Option<u64> {
        match value_type {
            0 | 1 | 7 => Some(1),
            2 | 3 => Some(2),
            4..=6 => Some(4),
            10..=12 => Some(8),
            _ => None,
        }
    }
}

/// The header of a GGUF file: the name, type, shape and position of each tensor.
#[derive(Debug)]
pub(super) struct GgufHeader {
    pub(super) tensors: BTreeMap<String, TensorInfo>,
    /// Its length in the file, without the padding before the tensors' data.
    pub(super) bytes: usize,
}

/// What a file says of its model, by key; values of types that [`GgufValue`] lacks are left out.
pub(super) type Metadata = BTreeMap<String, GgufValue>;

/// A tensor's type, shape and position (`gguf_tensor_info_t`).
#[derive(Debug)]
pub(super) struct TensorInfo {
    /// Element type number of the file.
    ggml_type: u32,
    pub(super) shape: Vec<usize>,
    /// Its bytes within the file; empty if the element type is not supported.
    pub(super) range: Range<u64>,
}

impl TensorInfo {
    /// The element type.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`] with the name of the type.
    pub(super) fn dtype(&self, name: &str) -> Result<Dtype, FormatError> {
        Dtype::from_ggml_type(self.ggml_type).ok_or_else(|| FormatError::Unsupported {
            what: format!("tensor {} of type {}", excerpt(name), ggml_type_name(self.ggml_type)),
            reason: format!(
                "GGUF weights are read from {}; quantise to Q8_0",
                Dtype::ALL.map(|dtype| format!("{dtype:?}")).join(", ")
            ),
        })
    }
}

impl GgufHeader {
    /// Reads the header from the start of a file, which may be incomplete.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if the bytes end before the header does,
    /// [`FormatError::Invalid`] or [`FormatError::Unsupported`] naming what is wrong.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::read_into(bytes, None)
    }

    /// Reads the header with the metadata.
    ///
    /// # Errors
    /// As [`GgufHeader::read`].
    pub(super) fn read_with_metadata(bytes: &[u8]) -> Result<(Self, Metadata), FormatError> {
        let mut metadata = Metadata::new();
        Ok((Self::read_into(bytes, Some(&mut metadata))?, metadata))
    }

    fn read_into(bytes: &[u8], metadata: Option<&mut Metadata>) -> Result<Self, FormatError> {
        let mut reader = ByteReader::new(FORMAT, bytes);
        if reader.take(4, "the magic number")? != MAGIC {
            return Err(invalid("the magic number", "GGUF", excerpt_bytes(&bytes[..4])));
        }
        let version = reader.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(FormatError::Unsupported {
                what: format!("version {version} of GGUF"),
                reason: "versions 2 and 3, little-endian, are read; convert the model again".into(),
            });
        }
        let tensor_count = count(&mut reader, "the number of tensors", MAX_TENSORS)?;
        let metadata_kv_count =
            count(&mut reader, "the number of metadata entries", MAX_METADATA_KV)?;

        let alignment = read_metadata(&mut reader, metadata_kv_count, metadata)?;
        let mut infos = Vec::new();
        for _ in 0..tensor_count {
            infos.push(read_tensor_info(&mut reader)?);
        }
        let header_bytes = reader.position();
        let data_start = (header_bytes as u64).next_multiple_of(alignment);
        let names: BTreeSet<String> = infos.iter().map(|(name, ..)| name.clone()).collect();
        let mut tensors = BTreeMap::new();
        for (name, ggml_type, shape, offset) in infos {
            if offset % alignment != 0 {
                return Err(invalid(
                    &format!("the offset of {}", excerpt(&name)),
                    &format!("a multiple of {alignment}"),
                    offset.to_string(),
                ));
            }
            let range = match Dtype::from_ggml_type(ggml_type) {
                None => 0..0,
                Some(dtype) => range(&name, dtype, &shape, data_start, offset)?,
            };
            let hugging_face = hugging_face_name(&name, &names);
            if tensors
                .insert(hugging_face.clone(), TensorInfo { ggml_type, shape, range })
                .is_some()
            {
                return Err(invalid(
                    "the name of each tensor",
                    "used once",
                    format!("{} twice", excerpt(&hugging_face)),
                ));
            }
        }
        Ok(Self { tensors, bytes: header_bytes })
    }
}

/// A parsed GGUF file that owns its bytes.
#[derive(Debug)]
pub struct GgufFile {
    bytes: Vec<u8>,
    header: GgufHeader,
}

impl GgufFile {
    /// Whether the bytes start with GGUF's magic number.
    pub fn recognises(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Checks the header and that every tensor of a supported type lies within the file.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if the file is shorter than its header says,
    /// [`FormatError::Invalid`] or [`FormatError::Unsupported`] naming what is wrong.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, FormatError> {
        let header = GgufHeader::read(&bytes)?;
        for (name, TensorInfo { range, .. }) in &header.tensors {
            if range.end > bytes.len() as u64 {
                return Err(FormatError::Truncated {
                    format: FORMAT,
                    what: format!("tensor {}", excerpt(name)),
                    expected: range.end - range.start,
                    found: (bytes.len() as u64).saturating_sub(range.start),
                });
            }
        }
        Ok(Self { bytes, header })
    }
}

impl TensorSource for GgufFile {
    fn names(&self) -> Vec<String> {
        self.header.tensors.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.header.tensors.get(name)?.shape)
    }

    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>, FormatError> {
        let Some(info) = self.header.tensors.get(name) else { return Ok(None) };
        Ok(Some(TensorView {
            name: name.into(),
            dtype: info.dtype(name)?,
            shape: info.shape.clone(),
            bytes: &self.bytes[info.range.start as usize..info.range.end as usize],
        }))
    }
}

/// Name of an element type that is not supported, or its number if files rarely have it.
fn ggml_type_name(ggml_type: u32) -> String {
    let name = match ggml_type {
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        _ => return format!("number {ggml_type}"),
    };
    name.into()
}

/// Reads the metadata, into a map where one is given, and returns the alignment of the tensors.
fn read_metadata(
    reader: &mut ByteReader<'_>,
    entries: u64,
    mut metadata: Option<&mut Metadata>,
) -> Result<u64, FormatError> {
    let mut alignment = DEFAULT_ALIGNMENT;
    for _ in 0..entries {
        let key = read_string(reader, u64::MAX, "a metadata key")?;
        let value_type = reader.u32("a metadata type")?;
        match (key, value_type) {
            (b"general.alignment", value_type::UINT32) => {
                alignment = u64::from(reader.u32("general.alignment")?);
                if !alignment.is_power_of_two() || alignment > 1 << 20 {
                    return Err(invalid(
                        "general.alignment",
                        "a power of two up to a mebibyte",
                        alignment.to_string(),
                    ));
                }
            }
            (b"general.architecture", value_type::STRING) => {
                let name = read_string(reader, u64::MAX, "general.architecture")?;
                if !ARCHITECTURES.iter().any(|supported| supported.as_bytes() == name) {
                    return Err(FormatError::Unsupported {
                        what: format!("a model of architecture {}", excerpt_bytes(name)),
                        reason: "this program runs T5 and Flan-T5".into(),
                    });
                }
                if let Some(metadata) = &mut metadata {
                    insert(metadata, key, GgufValue::Text(String::from_utf8_lossy(name).into()));
                }
            }
            _ => match &mut metadata {
                None => skip_value(reader, value_type, 0)?,
                Some(metadata) => {
                    if let Some(value) = read_value(reader, value_type)? {
                        insert(metadata, key, value);
                    }
                }
            },
        }
    }
    Ok(alignment)
}

fn insert(metadata: &mut Metadata, key: &[u8], value: GgufValue) {
    metadata.insert(String::from_utf8_lossy(key).into(), value);
}

/// Reads a value; `None` for one of another type, which is skipped. No value takes more memory than some
/// times its bytes in the file.
fn read_value(
    reader: &mut ByteReader<'_>,
    value_type: u32,
) -> Result<Option<GgufValue>, FormatError> {
    const WHAT: &str = "a metadata value";
    Ok(Some(match value_type {
        value_type::UINT32 => GgufValue::U32(reader.u32(WHAT)?),
        value_type::INT32 => match u32::try_from(reader.u32(WHAT)?.cast_signed()) {
            Ok(value) => GgufValue::U32(value),
            // Nothing here is negative.
            Err(_) => return Ok(None),
        },
        value_type::FLOAT32 => GgufValue::F32(f32::from_bits(reader.u32(WHAT)?)),
        value_type::BOOL => GgufValue::Bool(reader.u8(WHAT)? != 0),
        value_type::STRING => GgufValue::Text(read_text(reader)?),
        value_type::ARRAY => {
            let element_type = reader.u32(WHAT)?;
            let length = reader.u64(WHAT)?;
            let words = |reader: &mut ByteReader<'_>| {
                let bytes = reader.take(length.saturating_mul(4), WHAT)?;
                let words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
                Ok::<_, FormatError>(words.collect::<Vec<u32>>())
            };
            match element_type {
                value_type::INT32 | value_type::UINT32 => {
                    GgufValue::I32s(words(reader)?.into_iter().map(u32::cast_signed).collect())
                }
                value_type::FLOAT32 => {
                    GgufValue::F32s(words(reader)?.into_iter().map(f32::from_bits).collect())
                }
                value_type::UINT8 | value_type::INT8 => {
                    GgufValue::Bytes(reader.take(length, WHAT)?.to_vec())
                }
                value_type::STRING => {
                    let mut texts = Vec::new();
                    for _ in 0..length {
                        texts.push(read_text(reader)?);
                    }
                    GgufValue::Texts(texts)
                }
                _ => {
                    skip_elements(reader, element_type, length, 0)?;
                    return Ok(None);
                }
            }
        }
        _ => {
            skip_value(reader, value_type, 0)?;
            return Ok(None);
        }
    }))
}

fn read_text(reader: &mut ByteReader<'_>) -> Result<String, FormatError> {
    let bytes = read_string(reader, u64::MAX, "a metadata value")?;
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| invalid("a metadata value", "UTF-8", excerpt_bytes(bytes)))?;
    Ok(text.to_owned())
}

/// Skips a metadata value, within `nesting` arrays.
fn skip_value(
    reader: &mut ByteReader<'_>,
    value_type: u32,
    nesting: usize,
) -> Result<(), FormatError> {
    const WHAT: &str = "a metadata value";
    if let Some(size) = value_type::size(value_type) {
        return reader.take(size, WHAT).map(|_| ());
    }
    match value_type {
        value_type::STRING => read_string(reader, u64::MAX, WHAT).map(|_| ()),
        value_type::ARRAY if nesting < MAX_NESTING => {
            let element_type = reader.u32(WHAT)?;
            let length = reader.u64(WHAT)?;
            skip_elements(reader, element_type, length, nesting)
        }
        _ => Err(invalid(
            "a metadata type",
            &format!("0 to 12, nested at most {MAX_NESTING} deep"),
            value_type.to_string(),
        )),
    }
}

/// Skips the elements of an array within `nesting` others.
fn skip_elements(
    reader: &mut ByteReader<'_>,
    element_type: u32,
    length: u64,
    nesting: usize,
) -> Result<(), FormatError> {
    if let Some(size) = value_type::size(element_type) {
        return reader.take(size.saturating_mul(length), "a metadata value").map(|_| ());
    }
    // Every element has at least the 8 bytes of its length, so the loop ends with the file.
    for _ in 0..length {
        skip_value(reader, element_type, nesting + 1)?;
    }
    Ok(())
}

/// A tensor's name, element type, shape and offset within the tensor data.
type RawTensorInfo = (String, u32, Vec<usize>, u64);

fn read_tensor_info(reader: &mut ByteReader<'_>) -> Result<RawTensorInfo, FormatError> {
    let name = read_string(reader, MAX_NAME_BYTES, "a tensor's name")?;
    let name = std::str::from_utf8(name)
        .map_err(|_| invalid("a tensor's name", "text in UTF-8", excerpt_bytes(name)))?
        .to_owned();
    let dimensions = reader.u32("a tensor's dimensions")?;
    if dimensions > MAX_DIMENSIONS {
        return Err(invalid(
            &format!("the dimensions of {}", excerpt(&name)),
            &format!("at most {MAX_DIMENSIONS}"),
            dimensions.to_string(),
        ));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let size = reader.u64("a tensor's dimensions")?;
        shape.push(usize::try_from(size).map_err(|_| too_large(&name))?);
    }
    // GGUF's first dimension is the contiguous one, PyTorch's the last.
    shape.reverse();
    let ggml_type = reader.u32("a tensor's type")?;
    Ok((name, ggml_type, shape, reader.u64("a tensor's offset")?))
}

/// Position of a tensor's bytes, which may be beyond the end of the file.
fn range(
    name: &str,
    dtype: Dtype,
    shape: &[usize],
    data_start: u64,
    offset: u64,
) -> Result<Range<u64>, FormatError> {
    let elements = shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .ok_or_else(|| too_large(name))?;
    let row = shape.last().copied().unwrap_or(1);
    // A row must be whole blocks; whole blocks in the tensor are not enough.
    let bytes = dtype.bytes_for(row).and(dtype.bytes_for(elements)).ok_or_else(|| {
        invalid(
            &format!("the shape of {}", excerpt(name)),
            &format!("rows of whole {dtype:?} blocks of {}", dtype.block().0),
            format!("{shape:?}"),
        )
    })?;
    let start = data_start.checked_add(offset).ok_or_else(|| too_large(name))?;
    let end = start.checked_add(bytes as u64).ok_or_else(|| too_large(name))?;
    Ok(start..end)
}

/// llama.cpp's and Hugging Face's names of the tensors outside the blocks.
const NAMES: [(&str, &str); 4] = [
    ("token_embd.weight", "shared.weight"),
    ("output.weight", "lm_head.weight"),
    ("enc.output_norm.weight", "encoder.final_layer_norm.weight"),
    ("dec.output_norm.weight", "decoder.final_layer_norm.weight"),
];
/// llama.cpp's names of a block's tensors, and Hugging Face's names within the layer.
const LAYER_NAMES: [(&str, &str); 17] = [
    ("attn_norm", "layer_norm"),
    ("attn_q", "SelfAttention.q"),
    ("attn_k", "SelfAttention.k"),
    ("attn_v", "SelfAttention.v"),
    ("attn_o", "SelfAttention.o"),
    ("attn_rel_b", "SelfAttention.relative_attention_bias"),
    ("cross_attn_norm", "layer_norm"),
    ("cross_attn_q", "EncDecAttention.q"),
    ("cross_attn_k", "EncDecAttention.k"),
    ("cross_attn_v", "EncDecAttention.v"),
    ("cross_attn_o", "EncDecAttention.o"),
    ("cross_attn_rel_b", "EncDecAttention.relative_attention_bias"),
    ("ffn_norm", "layer_norm"),
    ("ffn_gate", "DenseReluDense.wi_0"),
    ("ffn_up", "DenseReluDense.wi_1"),
    ("ffn_up", "DenseReluDense.wi"),
    ("ffn_down", "DenseReluDense.wo"),
];

/// llama.cpp's name for Hugging Face's name of a tensor, such as `enc.blk.0.attn_q.weight`; `None` if T5
/// has no such tensor.
pub fn llama_name(hugging_face: &str) -> Option<String> {
    if let Some((llama, _)) = NAMES.iter().find(|(_, name)| *name == hugging_face) {
        return Some((*llama).into());
    }
    let rest = hugging_face.strip_suffix(".weight")?;
    let (stack, rest) = rest.split_once("oder.block.")?;
    let (block, rest) = rest.split_once(".layer.")?;
    let (index, module) = rest.split_once('.')?;
    let part = match (stack, index) {
        ("enc" | "dec", "0") => "attn",
        ("dec", "1") => "cross",
        ("enc", "1") | ("dec", "2") => "ffn",
        _ => return None,
    };
    let known = |(llama, name): &&(&str, &str)| *name == module && llama.starts_with(part);
    let (llama, _) = LAYER_NAMES.iter().find(known)?;
    Some(format!("{stack}.blk.{block}.{llama}.weight"))
}

/// Hugging Face's name for llama.cpp's name of a tensor, or else the name itself. `names` are all names
/// of the file: `ffn_up` is `wi_1` if its block has a gate, or else `wi`.
fn hugging_face_name(name: &str, names: &BTreeSet<String>) -> String {
    if let Some((_, hugging_face)) = NAMES.iter().find(|(llama, _)| *llama == name) {
        return (*hugging_face).into();
    }
    let parts: Vec<&str> = name.split('.').collect();
    let [stack @ ("enc" | "dec"), "blk", block, layer, "weight"] = parts[..] else {
        return name.into();
    };
    let feed_forward = if stack == "enc" { 1 } else { 2 };
    let gated = || names.contains(&format!("{stack}.blk.{block}.ffn_gate.weight"));
    let known = LAYER_NAMES
        .iter()
        .find(|(llama, module)| *llama == layer && (*module != "DenseReluDense.wi_1" || gated()));
    let Some((llama, module)) = known else { return name.into() };
    let index = if llama.starts_with("ffn") {
        feed_forward
    } else {
        usize::from(llama.starts_with("cross"))
    };
    format!("{stack}oder.block.{block}.layer.{index}.{module}.weight")
}

fn read_string<'b>(
    reader: &mut ByteReader<'b>,
    limit: u64,
    what: &str,
) -> Result<&'b [u8], FormatError> {
    let length = count(reader, &format!("the length of {what}"), limit)?;
    reader.take(length, what)
}

fn count(reader: &mut ByteReader<'_>, what: &str, limit: u64) -> Result<u64, FormatError> {
    let count = reader.u64(what)?;
    if count > limit {
        return Err(invalid(what, &format!("at most {limit}"), count.to_string()));
    }
    Ok(count)
}

fn too_large(name: &str) -> FormatError {
    invalid(&format!("the shape of {}", excerpt(name)), "addressable", "too many elements".into())
}

fn excerpt_bytes(bytes: &[u8]) -> String {
    excerpt(&String::from_utf8_lossy(&bytes[..bytes.len().min(64)]))
}

fn invalid(what: &str, expected: &str, found: String) -> FormatError {
    FormatError::Invalid { format: FORMAT, what: what.into(), expected: expected.into(), found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama_names_and_hugging_face_names_are_inverse() {
        let names = [
            "shared.weight",
            "lm_head.weight",
            "encoder.final_layer_norm.weight",
            "encoder.block.3.layer.0.SelfAttention.q.weight",
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            "encoder.block.3.layer.0.layer_norm.weight",
            "encoder.block.3.layer.1.layer_norm.weight",
            "encoder.block.3.layer.1.DenseReluDense.wi_0.weight",
            "encoder.block.3.layer.1.DenseReluDense.wi_1.weight",
            "decoder.block.12.layer.1.EncDecAttention.o.weight",
            "decoder.block.12.layer.1.layer_norm.weight",
            "decoder.block.12.layer.2.layer_norm.weight",
            "decoder.block.12.layer.2.DenseReluDense.wo.weight",
        ];
        let llama: BTreeSet<String> = names.iter().map(|name| llama_name(name).unwrap()).collect();
        // `ffn_gate` decides the name of `ffn_up`.
        assert!(llama.contains("enc.blk.3.ffn_gate.weight"));
        assert_eq!(llama.len(), names.len());
        for name in names {
            assert_eq!(hugging_face_name(&llama_name(name).unwrap(), &llama), name);
        }
        let ungated = "decoder.block.0.layer.2.DenseReluDense.wi.weight";
        let llama = llama_name(ungated).unwrap();
        assert_eq!(hugging_face_name(&llama, &BTreeSet::from([llama.clone()])), ungated);
        for other in ["shared.bias", "encoder.block.0.layer.1.EncDecAttention.q.weight", "a"] {
            assert_eq!(llama_name(other), None);
        }
    }
}
