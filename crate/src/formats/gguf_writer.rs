//! Writer of GGUF version 3, with llama.cpp's quantisation to Q8_0.

use half::f16;

use super::gguf::value_type;
use super::{Dtype, NamedTensor};

const VERSION: u32 = 3;
/// Alignment of each tensor in bytes.
const ALIGNMENT: usize = 32;
/// Values in a block of Q8_0.
const BLOCK: usize = 32;

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum GgufValue {
    /// `BOOL`.
    Bool(bool),
    /// `UINT32`.
    U32(u32),
    /// `FLOAT32`.
    F32(f32),
    /// `STRING`.
    Text(String),
    /// `ARRAY` of `UINT8`.
    Bytes(Vec<u8>),
    /// `ARRAY` of `INT32`.
    I32s(Vec<i32>),
    /// `ARRAY` of `FLOAT32`.
    F32s(Vec<f32>),
    /// `ARRAY` of `STRING`.
    Texts(Vec<String>),
}

/// Builder of a GGUF file.
#[derive(Debug, Clone, Default)]
pub struct GgufWriter {
    metadata: Vec<(String, GgufValue)>,
    tensors: Vec<(String, Vec<usize>, Dtype, Vec<u8>)>,
}

impl GgufWriter {
    /// Adds a metadata key-value pair.
    pub fn set(&mut self, key: &str, value: GgufValue) {
        self.metadata.push((key.to_owned(), value));
    }

    /// Adds a tensor and returns its element type: Q8_0 for a matrix whose rows are whole blocks of 32
    /// values if `quantise` is true, or else F32.
    pub fn add(&mut self, tensor: &NamedTensor, quantise: bool) -> Dtype {
        let whole = tensor.shape.last().is_some_and(|row| row.is_multiple_of(BLOCK));
        let (dtype, bytes) = if quantise && tensor.shape.len() == 2 && whole {
            (Dtype::Q8_0, quantise_q8_0(&tensor.values))
        } else {
            (Dtype::F32, tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        };
        self.tensors.push((tensor.name.clone(), tensor.shape.clone(), dtype, bytes));
        dtype
    }

    /// The bytes of the file.
    pub fn finish(self) -> Vec<u8> {
        let mut file = self.header();
        for (_, _, _, bytes) in &self.tensors {
            file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
            file.extend(bytes);
        }
        file
    }

    /// The start of the file, up to the data of its tensors.
    pub fn header(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(VERSION.to_le_bytes());
        put_length(&mut file, self.tensors.len());
        put_length(&mut file, self.metadata.len());
        for (key, value) in &self.metadata {
            put_text(&mut file, key);
            put_value(&mut file, value);
        }
        let mut offset = 0;
        for (name, shape, dtype, bytes) in &self.tensors {
            put_text(&mut file, name);
            file.extend((shape.len() as u32).to_le_bytes());
            // GGUF's first dimension is the contiguous one.
            for &size in shape.iter().rev() {
                put_length(&mut file, size);
            }
            file.extend(dtype.ggml_type().to_le_bytes());
            put_length(&mut file, offset);
            offset = (offset + bytes.len()).next_multiple_of(ALIGNMENT);
        }
        file
    }
}

/// ggml's `quantize_row_q8_0_ref`: the largest absolute value of a block becomes 127.
fn quantise_q8_0(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / BLOCK * (BLOCK + 2));
    for block in values.as_chunks::<BLOCK>().0 {
        let largest = block.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let scale = largest / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        bytes.extend(f16::from_f32(scale).to_le_bytes());
        bytes.extend(block.iter().map(|value| (value * inverse).round() as i8 as u8));
    }
    bytes
}

fn put_length(file: &mut Vec<u8>, length: usize) {
    file.extend((length as u64).to_le_bytes());
}

fn put_text(file: &mut Vec<u8>, text: &str) {
    put_length(file, text.len());
    file.extend(text.bytes());
}

/// A metadata value: its type number, for an array with the number of its elements, and its contents.
fn put_value(file: &mut Vec<u8>, value: &GgufValue) {
    let mut start = |kind: u32| file.extend(kind.to_le_bytes());
    match value {
        GgufValue::U32(_) => start(value_type::UINT32),
        GgufValue::F32(_) => start(value_type::FLOAT32),
        GgufValue::Bool(_) => start(value_type::BOOL),
        GgufValue::Text(_) => start(value_type::STRING),
        GgufValue::Bytes(bytes) => put_array(file, value_type::UINT8, bytes.len()),
        GgufValue::I32s(numbers) => put_array(file, value_type::INT32, numbers.len()),
        GgufValue::F32s(numbers) => put_array(file, value_type::FLOAT32, numbers.len()),
        GgufValue::Texts(texts) => put_array(file, value_type::STRING, texts.len()),
    }
    match value {
        GgufValue::U32(number) => file.extend(number.to_le_bytes()),
        GgufValue::F32(number) => file.extend(number.to_le_bytes()),
        GgufValue::Bool(flag) => file.push(u8::from(*flag)),
        GgufValue::Text(text) => put_text(file, text),
        GgufValue::Bytes(bytes) => file.extend(bytes),
        GgufValue::I32s(numbers) => file.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        GgufValue::F32s(numbers) => file.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        GgufValue::Texts(texts) => texts.iter().for_each(|text| put_text(file, text)),
    }
}

fn put_array(file: &mut Vec<u8>, kind: u32, length: usize) {
    file.extend(value_type::ARRAY.to_le_bytes());
    file.extend(kind.to_le_bytes());
    put_length(file, length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{GgufFile, TensorSource};

    #[test]
    fn a_written_file_is_read_back_within_half_a_quantisation_step() {
        let tensor = |name: &str, shape: &[usize]| {
            let values = (0..shape.iter().product::<usize>())
                .map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013)
                .collect();
            NamedTensor { name: name.into(), shape: shape.into(), values }
        };
        let tensors = [tensor("a.weight", &[3, 64]), tensor("b", &[5]), tensor("c", &[2, 33])];
        let mut writer = GgufWriter::default();
        writer.set("general.architecture", GgufValue::Text("t5".into()));
        writer.set("a", GgufValue::Bool(true));
        writer.set("b", GgufValue::Bytes(vec![1, 2, 3]));
        writer.set("c", GgufValue::Texts(vec!["x".into(), "水".into()]));
        writer.set("d", GgufValue::F32s(vec![0.5]));
        writer.set("e", GgufValue::I32s(vec![-1, 7]));
        writer.set("f", GgufValue::F32(1e-6));
        writer.set("g", GgufValue::U32(512));
        let types = tensors.each_ref().map(|tensor| writer.add(tensor, true));
        assert_eq!(types, [Dtype::Q8_0, Dtype::F32, Dtype::F32]);
        let file = GgufFile::parse(writer.finish()).unwrap();
        for (tensor, dtype) in tensors.iter().zip(types) {
            let read = file.tensor(&tensor.name).unwrap().unwrap();
            assert_eq!((&read.shape, read.dtype), (&tensor.shape, dtype));
            let half_step = if dtype == Dtype::Q8_0 { 0.65 / 127.0 / 2.0 } else { 0.0 };
            for (read, value) in read.to_f32().unwrap().iter().zip(&tensor.values) {
                // The scale itself is rounded to half precision.
                assert!((read - value).abs() <= half_step + value.abs() * 5e-4, "{read} {value}");
            }
        }
    }
}
