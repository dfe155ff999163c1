//! Files pushed in pieces of every size give the tensors that a reader of the whole file gives.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::formats::parse_weights;

/// Takes every tensor but those named.
#[derive(Default)]
struct Collected {
    unwanted: &'static [&'static str],
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Values of the longest stretch of rows.
    most_at_once: usize,
}

impl TensorSink for Collected {
    type Error = FormatError;

    fn wants(&mut self, name: &str, _shape: &[usize]) -> Result<bool, FormatError> {
        Ok(!self.unwanted.contains(&name))
    }

    fn take(&mut self, rows: TensorRows<'_>) -> Result<(), FormatError> {
        let begun = || (rows.shape.to_vec(), Vec::new());
        let (_, values) = self.tensors.entry(rows.name.to_owned()).or_insert_with(begun);
        assert_eq!(values.len(), rows.first * rows.width(), "{}", rows.name);
        values.extend_from_slice(rows.values);
        let elements: usize = rows.shape.iter().product();
        assert_eq!(values.len() == elements, rows.is_last(), "{}", rows.name);
        self.most_at_once = self.most_at_once.max(rows.values.len());
        Ok(())
    }
}

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/weights");
    std::fs::read(folder.join(name)).unwrap()
}

fn streamed(
    bytes: &[u8],
    piece: usize,
    unwanted: &'static [&'static str],
) -> Result<Collected, FormatError> {
    let mut collected = Collected { unwanted, ..Collected::default() };
    let mut stream = WeightsStream::new();
    for piece in bytes.chunks(piece) {
        stream.push(piece, &mut collected)?;
    }
    stream.finish(&mut collected)?;
    Ok(collected)
}

const FILES: [&str; 5] =
    ["plain.safetensors", "llama.gguf", "hugging_face.gguf", "blocks.gguf", "plain.bin"];

#[test]
fn pieces_of_any_size_give_the_tensors_of_the_whole_file() {
    for file in FILES {
        let bytes = read(file);
        let mut whole = Collected::default();
        take_all(&*parse_weights(bytes.clone()).unwrap(), &mut whole).unwrap();
        assert!(!whole.tensors.is_empty());
        for piece in [1, 7, 64, 1000, bytes.len()] {
            let collected = streamed(&bytes, piece, &[]).unwrap();
            assert!(collected.tensors == whole.tensors, "{file} in pieces of {piece}");
        }
    }
}

#[test]
fn a_tensor_is_passed_on_in_runs_of_rows() {
    let (rows, width) = (1000, 100);
    let header = format!(
        r#"{{"w":{{"dtype":"F32","shape":[{rows},{width}],"data_offsets":[0,{}]}}}}"#,
        4 * rows * width
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend((0..rows * width).flat_map(|i| (i as f32).to_le_bytes()));
    for piece in [file.len(), 999] {
        let collected = streamed(&file, piece, &[]).unwrap();
        assert!(collected.most_at_once < DECODED_VALUES + width);
        assert_eq!(collected.tensors["w"].1[rows * width - 1], (rows * width - 1) as f32);
    }
    let end = file.len();
    file[end - 1] = 0x7f;
    file[end - 2] = 0xc0;
    let error = streamed(&file, 999, &[]).err().unwrap();
    assert!(matches!(error, FormatError::NotFinite { index, .. } if index == rows * width - 1));
}

#[test]
fn unwanted_tensors_are_skipped() {
    let collected = streamed(&read("blocks.gguf"), 100, &["Q4_0", "Q5_K", "Q6_K"]).unwrap();
    let names: Vec<_> = collected.tensors.keys().collect();
    assert_eq!(names, ["Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q8_0"]);
}

#[test]
fn a_file_cut_at_any_length_is_rejected() {
    for file in FILES {
        let bytes = read(file);
        // GGUF pads its last tensor to 64 bytes; a cut in the padding loses no value.
        for length in (0..bytes.len() - 64).step_by(bytes.len() / 50) {
            let cut = streamed(&bytes[..length], 64, &[]);
            assert!(cut.is_err(), "{file} cut at {length} of {}", bytes.len());
        }
    }
    let mut longer = read("plain.safetensors");
    longer.push(0);
    assert!(streamed(&longer, 64, &[]).is_err());
}

#[test]
fn a_value_that_is_not_finite_is_rejected_with_its_tensor() {
    let mut bytes = read("plain.safetensors");
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&[0xc0, 0x7f]);
    let error = streamed(&bytes, 10, &[]).err().unwrap();
    assert!(matches!(error, FormatError::NotFinite { .. }), "{error}");
}
