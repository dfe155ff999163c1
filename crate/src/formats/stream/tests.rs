//! Files pushed in pieces of every size must give the tensors that a reader of the whole file gives.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::formats::parse_weights;

/// Takes every tensor but those named.
#[derive(Default)]
struct Collected {
    unwanted: &'static [&'static str],
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl TensorSink for Collected {
    type Error = FormatError;

    fn wants(&self, name: &str, _shape: &[usize]) -> Result<bool, FormatError> {
        Ok(!self.unwanted.contains(&name))
    }

    fn take(&mut self, tensor: StreamedTensor) -> Result<(), FormatError> {
        let elements: usize = tensor.shape.iter().product();
        assert_eq!(tensor.values.len(), elements, "{}", tensor.name);
        self.tensors.insert(tensor.name, (tensor.shape, tensor.values));
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
fn what_is_not_wanted_is_skipped() {
    let collected = streamed(&read("blocks.gguf"), 100, &["Q4_0", "Q5_K", "Q6_K"]).unwrap();
    let names: Vec<_> = collected.tensors.keys().collect();
    assert_eq!(names, ["Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q8_0"]);
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    for file in FILES {
        let bytes = read(file);
        // GGUF pads its last tensor to 64 bytes; a cut in the padding loses nothing.
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
fn a_number_that_is_not_finite_is_refused_by_its_tensor() {
    let mut bytes = read("plain.safetensors");
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&[0xc0, 0x7f]);
    let error = streamed(&bytes, 10, &[]).err().unwrap();
    assert!(matches!(error, FormatError::NotFinite { .. }), "{error}");
}
