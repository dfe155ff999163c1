//! Readers against real files with thousands of mutations: each returns an error or a usable result, and
//! none panics. The mutations are the same on every run; the fuzz targets in this folder try others.

#[path = "../random.rs"]
mod random;
mod readers;

use std::panic::catch_unwind;
use std::path::Path;

use random::Random;
use readers::structured::STRUCTURED;
use readers::{READERS, Reader};

/// Mutated files for each reader.
const FILES: usize = 8000;

/// Inputs of each structured maker.
const STRUCTURED_INPUTS: usize = 1000;

/// A position in a file; half of them in the first kilobyte, where headers are.
fn position(random: &mut Random, length: usize) -> usize {
    let end = if random.next() & 1 == 0 { length.min(1024) } else { length };
    random.below(end)
}

/// Byte strings with a meaning in a format, or at the limit of a number.
const WORDS: &[&[u8]] = &[
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"0",
    b"[]",
    b"{}",
    b"\"\"",
    b"[[[[[[[[",
    b"\\u0000",
    b"18446744073709551616",
    b"4294967296",
    b"../",
    b"\xff\xfe",
    b"\xf0\x9f\x98\x80",
    b"GGUF",
    b"PK\x03\x04",
    &[0; 8],
    &[0xff; 4],
    &[0xff; 8],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0xff, 0xff, 0xff, 0x7f],
];

/// Applies one mutation.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.push(random.next() as u8);
        return;
    }
    let at = position(random, bytes.len());
    let span = at..bytes.len().min(at + 1 + random.below(24));
    match random.below(9) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(span)),
        4 => {
            let copy = bytes[span].to_vec();
            let to = position(random, bytes.len());
            bytes.splice(to..to, copy);
        }
        5 => {
            let word = WORDS[random.below(WORDS.len())];
            let end = bytes.len().min(at + word.len());
            bytes.splice(at..end, word.iter().copied());
        }
        6 => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(at..at, word.iter().copied());
        }
        // Replaces a digit by another, so that numbers in text stay numbers.
        7 => {
            let digits = |byte: &u8| byte.is_ascii_digit();
            if let Some(found) = bytes[at..].iter().position(digits) {
                bytes[at + found] = b'0' + random.below(10) as u8;
            }
        }
        _ => bytes[span].fill(random.next() as u8),
    }
}

fn survives(reader: &Reader) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let read = |path: &&str| std::fs::read(tests.join(path)).expect(path);
    let seeds: Vec<Vec<u8>> = reader.seeds.iter().map(read).collect();
    for (seed, path) in seeds.iter().zip(reader.seeds) {
        assert!((reader.read)(seed), "{}: the unchanged {path} is rejected", reader.name);
    }
    let mut random = Random(1);
    let mut rejected = 0;
    for number in 0..FILES {
        let mut bytes = seeds[number % seeds.len()].clone();
        for _ in 0..=random.below(3) {
            mutate(&mut random, &mut bytes);
        }
        match catch_unwind(|| (reader.read)(&bytes)) {
            Ok(accepted) => rejected += usize::from(!accepted),
            Err(_) => {
                let path = std::env::temp_dir().join(format!("{}-{number}", reader.name));
                std::fs::write(&path, &bytes).expect("the temporary folder takes a file");
                panic!("{}: file {number} panics; it is kept at {}", reader.name, path.display());
            }
        }
    }
    // Mutations that a reader accepts test nothing.
    assert!(
        rejected * 10 > FILES,
        "{}: only {rejected} of {FILES} files are rejected",
        reader.name
    );
}

macro_rules! survives {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            survives(READERS.iter().find(|reader| reader.name == stringify!($name)).expect("it"));
        })*

        #[test]
        fn every_reader_is_tested() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(READERS.iter().map(|reader| reader.name).collect::<Vec<_>>(), tested);
        }
    };
}

survives! {
    safetensors gguf pickle tokenizer adapter_config adapter_weights model_config registry few_shot spiece
    weights_stream gguf_alone shard_index recipe
}

/// Inputs of a format's shape, made from random bytes of random lengths.
#[test]
fn structured_inputs_do_not_panic() {
    let mut random = Random(2);
    for structured in STRUCTURED {
        for number in 0..STRUCTURED_INPUTS {
            let length = random.below(400);
            let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            let panicked = catch_unwind(|| (structured.read)(&bytes)).is_err();
            assert!(!panicked, "{}: input {number} panics: {bytes:?}", structured.name);
        }
    }
}
