//! A copy gives the model that it was made from, or is refused.

use std::path::Path;

use super::*;
use crate::formats::sha256_hex;
use crate::formats::{TensorSource, parse_weights, take_all};
use crate::kernels::cpu::PackedInt8;
use crate::model::parse_config;

fn read(path: &str) -> Vec<u8> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models");
    std::fs::read(models.join(path)).unwrap()
}

/// A model of the golden ones, without its weights.
fn empty(model: &str, precision: Precision) -> ModelBuilder {
    let config = parse_config(&read(&format!("{model}/config.json"))).unwrap();
    ModelBuilder::new(config, precision)
}

fn loaded(model: &str, precision: Precision) -> ModelBuilder {
    let mut builder = empty(model, precision);
    let weights = parse_weights(read(&format!("{model}/model.safetensors"))).unwrap();
    take_all(&*weights as &dyn TensorSource, &mut builder).unwrap();
    builder
}

fn copy(builder: &mut ModelBuilder) -> Vec<u8> {
    let source = PackedSource { sha256: "5eed".into(), bytes: 77 };
    let copy = PackedCopy::new(builder, source).unwrap();
    let mut bytes = Vec::new();
    loop {
        let piece = copy.piece(bytes.len() as u64, 1001);
        if piece.is_empty() {
            assert_eq!(copy.bytes(), bytes.len() as u64);
            return bytes;
        }
        bytes.extend(piece);
    }
}

fn read_back(
    bytes: &[u8],
    piece: usize,
    builder: &mut ModelBuilder,
) -> Result<PackedSource, ModelError> {
    let mut reader = PackedReader::default();
    for piece in bytes.chunks(piece) {
        reader.push(piece, builder)?;
    }
    reader.finish()
}

const MODELS: [&str; 2] = ["deep-untied", "narrow-tied"];

#[test]
fn a_copy_read_in_pieces_of_any_size_is_the_model_it_was_made_from() {
    for model in MODELS {
        for precision in [Precision::F32, Precision::Int8] {
            let bytes = copy(&mut loaded(model, precision));
            for piece in [1, 13, 4096, bytes.len()] {
                let mut builder = empty(model, precision);
                let source = read_back(&bytes, piece, &mut builder).unwrap();
                assert_eq!((source.sha256.as_str(), source.bytes), ("5eed", 77));
                assert!(copy(&mut builder) == bytes, "{model} {precision:?} in pieces of {piece}");
                builder.finish().unwrap();
            }
        }
    }
}

#[test]
fn a_copy_that_is_cut_or_longer_is_refused() {
    let mut bytes = copy(&mut loaded(MODELS[0], Precision::Int8));
    for length in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
        let error = read_back(&bytes[..length], 512, &mut empty(MODELS[0], Precision::Int8));
        let error = error.unwrap_err();
        assert!(matches!(error, ModelError::Format(FormatError::Truncated { .. })), "{error}");
    }
    bytes.push(0);
    assert!(read_back(&bytes, 512, &mut empty(MODELS[0], Precision::Int8)).is_err());
}

#[test]
fn a_copy_of_another_layout_model_or_precision_is_refused() {
    let bytes = copy(&mut loaded(MODELS[0], Precision::Int8));
    for (model, precision) in [(MODELS[1], Precision::Int8), (MODELS[0], Precision::F32)] {
        let error = read_back(&bytes, 512, &mut empty(model, precision)).unwrap_err().to_string();
        assert!(error.contains("the tensors should be those of this model"), "{error}");
    }
    let mut other = bytes.clone();
    let layout = br#""layout":"#;
    let at = bytes.windows(layout.len()).position(|window| window == layout).unwrap();
    other[at + layout.len()] = b'9';
    for wrong in [other, b"LORALOOM\xff\xff\xff\xff".to_vec(), b"LORALOOM\x02\0\0\0{}".to_vec()] {
        assert!(read_back(&wrong, 512, &mut empty(MODELS[0], Precision::Int8)).is_err());
    }
    let mut unfinished = empty(MODELS[0], Precision::Int8);
    let source = PackedSource { sha256: String::new(), bytes: 0 };
    assert!(PackedCopy::new(&mut unfinished, source).is_err());
}

#[test]
fn a_change_of_the_layout_comes_with_a_new_version() {
    let mut bytes = copy(&mut loaded(MODELS[0], Precision::Int8));
    // The golden models are narrower than a block of the reduction.
    let wide: Vec<f32> = (0..37 * 300).map(|i| (i * 7919 % 1009) as f32 - 504.0).collect();
    bytes.extend(PackedInt8::quantize(&wide, 37, 300).parts().concat());
    assert_eq!(
        (PACKED_LAYOUT, &sha256_hex(&bytes)[..16]),
        (3, "d1b4c2945cc42aed"),
        "packed copies are laid out otherwise than before: give PACKED_LAYOUT a new number"
    );
}
