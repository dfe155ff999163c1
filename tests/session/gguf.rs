//! A GGUF file alone, as a page loads it: in pieces, and from its packed copy. `tests/formats/make_gguf_alone.py` made
//! it.

use loraloom::formats::sha256_hex;
use loraloom::session::{BaseInfo, BaseLoad, SessionError};

use super::*;

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/gguf_alone");
    std::fs::read(folder.join(name)).unwrap()
}

fn label() -> BaseLabel {
    BaseLabel { id: "alone".into(), ..BaseLabel::default() }
}

/// The examples, and the losses that transformers computes.
fn expected() -> (Vec<Example>, Vec<f64>) {
    let expected: serde_json::Value = serde_json::from_slice(&file("expected.json")).unwrap();
    let examples = expected["examples"].as_array().unwrap().clone();
    let losses = examples.iter().map(|example| example["loss"].as_f64().unwrap()).collect();
    let text = |example: &serde_json::Value, field: &str| example[field].as_str().unwrap().into();
    let example = |one| Example { input: text(one, "input"), output: text(one, "output") };
    (examples.iter().map(example).collect(), losses)
}

/// A load of a file in pieces, or why it is refused.
fn pushed(pieces: &[&[u8]], precision: Precision) -> Result<BaseLoad, String> {
    let mut load = BaseLoad::of_gguf(label(), precision);
    let why = |error: SessionError| error.report().why;
    for piece in pieces {
        load.push(piece).map_err(why)?;
    }
    load.end_file().map_err(why)?;
    Ok(load)
}

/// Before memory is taken for the tensors that the header claims.
#[test]
fn a_file_that_is_shorter_than_its_header_says_is_refused_at_its_header() {
    let bytes = file("model.gguf");
    let cut = &bytes[..bytes.len() - 1];
    let mut load = BaseLoad::of_gguf(label(), Precision::Int8);
    load.expect_file(cut.len() as u64);
    let error = load.push(&cut[..cut.len() / 2]).unwrap_err().report();
    assert!(error.why.contains("cut short"), "{}", error.why);
    let mut load = BaseLoad::of_gguf(label(), Precision::Int8);
    load.expect_file(bytes.len() as u64);
    load.push(&bytes).unwrap();
    load.end_file().unwrap();
}

fn losses(load: BaseLoad) -> (BaseInfo, Vec<f64>) {
    let mut session: Session<CpuBackend> = Session::new(|| 0.0);
    let info = session.finish_base(load, sha256_hex(&file("model.gguf"))).unwrap();
    let scores = block_on(session.score(&expected().0, None)).unwrap().examples;
    (info, scores.iter().map(|score| f64::from(score.loss)).collect())
}

#[test]
fn a_gguf_file_alone_loads_in_pieces_with_the_losses_of_transformers() {
    let (bytes, expected) = (file("model.gguf"), expected().1);
    let mut infos = Vec::new();
    for length in [1 << 20, 65_536, 4099, 7] {
        let pieces: Vec<&[u8]> = bytes.chunks(length).collect();
        let (info, losses) = losses(pushed(&pieces, Precision::F32).unwrap());
        for (loss, expected) in losses.iter().zip(&expected) {
            assert!((loss / expected - 1.0).abs() < 1e-4, "{loss} for {expected}");
        }
        assert_eq!((info.bytes, info.vocab_size), (bytes.len() as f64, 224));
        infos.push(info);
    }
    assert!(infos.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn the_packed_copy_of_a_gguf_file_alone_needs_no_other_file() {
    let bytes = file("model.gguf");
    let mut load = pushed(&[&bytes], Precision::Int8).unwrap();
    let mut copy = Vec::new();
    loop {
        let piece = load.packed_piece("5eed", copy.len() as u64, 1009).unwrap();
        if piece.is_empty() {
            break;
        }
        copy.extend(piece);
    }
    let packed = load.packed_piece("5eed", 0, copy.len() + 1).unwrap();
    assert!(copy.starts_with(&packed));
    let whole = losses(load);
    for length in [copy.len(), 4099, 5] {
        let mut load = BaseLoad::of_gguf(label(), Precision::Int8);
        copy.chunks(length).for_each(|piece| load.push_packed(piece).unwrap());
        assert_eq!(load.end_packed().unwrap(), "5eed");
        assert_eq!(losses(load), whole, "in pieces of {length} bytes");
    }

    // A copy that is cut short, or of something else, is an error.
    for end in [0, 5, 8, 100, 9000, copy.len() - 1] {
        let mut load = BaseLoad::of_gguf(label(), Precision::Int8);
        load.push_packed(&copy[..end]).unwrap();
        assert!(load.end_packed().is_err(), "{end}");
    }
    let other = [&u64::MAX.to_le_bytes()[..], &copy[8..]].concat();
    let mut load = BaseLoad::of_gguf(label(), Precision::Int8);
    let error = load.push_packed(&other).err().unwrap().report().why;
    assert!(error.contains("the length of its GGUF header"), "{error}");
}

#[test]
fn what_is_no_whole_gguf_file_is_refused_by_what_is_wrong() {
    let bytes = file("model.gguf");
    let refused = |pieces: &[&[u8]]| pushed(pieces, Precision::F32).err().unwrap();
    let html = refused(&[b"<!doctype html><html></html>"]);
    assert!(html.contains("the magic number should be GGUF"), "{html}");
    for end in [0, 3, 5000, bytes.len() - 1] {
        let cut = refused(&bytes[..end].chunks(1000).collect::<Vec<_>>());
        assert!(cut.contains("cut short"), "{end}: {cut}");
    }
    let read = |path: &str| {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats").join(path))
    };
    let weights = refused(&[&read("gguf/q8_0.gguf").unwrap()]);
    assert!(weights.contains("tokenizer.ggml.model, or a config.json"), "{weights}");
    // A load without the file has no model.
    let mut session: Session<CpuBackend> = Session::new(|| 0.0);
    let none = BaseLoad::of_gguf(label(), Precision::F32);
    assert!(session.finish_base(none, String::new()).is_err());
}
