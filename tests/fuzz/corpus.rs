//! The seeds and the corpus that `pkg-scripts/fuzz --save-corpus` saves, through every reader and maker of inputs: none
//! panics, and each input is read within its limits of memory and time.
//!
//! A program of its own, because it counts every allocation.

#[path = "../limits.rs"]
mod limits;
mod readers;

use std::fs;
use std::io::Read;
use std::panic::catch_unwind;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use limits::within_limits;
use readers::structured::{STRUCTURED, Structured};
use readers::{READERS, Reader};

/// Reads the seeds and the corpus of a reader; returns what it returned for each.
fn replay<T>(name: &str, seeds: &[&str], read: fn(&[u8]) -> T) -> Vec<T> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file =
        |path: &str| fs::read(tests.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let seeds = seeds.iter().map(|path| (path.to_string(), file(path)));
    // An input a line, in base64.
    let path = format!("fuzz/corpus/{name}.gz");
    let mut corpus = String::new();
    GzDecoder::new(&*file(&path)).read_to_string(&mut corpus).expect("base64 is text");
    assert!(!corpus.is_empty(), "{path} has no inputs");
    let corpus = corpus.lines().enumerate().map(|(index, line)| {
        (format!("line {} of {path}", index + 1), BASE64_STANDARD.decode(line).expect("base64"))
    });
    let read = |(place, bytes): (String, Vec<u8>)| {
        catch_unwind(|| within_limits(bytes.len(), || read(&bytes), |_, _| ()))
            .unwrap_or_else(|_| panic!("{name}: {place} breaks it"))
    };
    seeds.chain(corpus).map(read).collect()
}

#[test]
fn every_reader_takes_its_corpus_within_its_limits() {
    for Reader { name, read, seeds } in READERS {
        let accepted = replay(name, seeds, *read);
        // A corpus that is all refused, or all accepted, reaches a part of its reader.
        for outcome in [true, false] {
            assert!(accepted.contains(&outcome), "{name}: none of it gives {outcome}");
        }
    }
    for Structured { name, read } in STRUCTURED {
        replay(name, &[], *read);
    }
}
