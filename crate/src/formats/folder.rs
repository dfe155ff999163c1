//! The files of a model's folder: which weights to read where there are several, one hash for all of
//! them, and what may be in place of a file.

use std::fmt;

use serde::Serialize;

use super::{sha256_hex, without_mark};

/// The weights of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "kind", content = "name", rename_all = "camelCase")]
pub enum ChosenWeights {
    /// One file of that name.
    File(String),
    /// All files that the index of that name lists ([`super::shard_names`]).
    Index(String),
}

const SAFETENSORS: &str = "model.safetensors";
const SAFETENSORS_INDEX: &str = "model.safetensors.index.json";
const PYTORCH: &str = "pytorch_model.bin";
/// Parts of the names of GGUF files, from the most exact down; any other file comes after them.
const GGUF_TYPES: [&str; 6] = ["q8_0", "f16", "q6_k", "q5_k", "q4_k", "q4_0"];

/// File names to probe on a host that lists none, best first.
pub const USUAL_WEIGHTS: [&str; 3] = [SAFETENSORS, SAFETENSORS_INDEX, PYTORCH];

/// The weights to read of a folder with files of these names: `model.safetensors`, else the shards of
/// its index, else the most exact GGUF file, else `pytorch_model.bin`. `None` where there is none.
pub fn choose_weights<S: AsRef<str>>(names: &[S]) -> Option<ChosenWeights> {
    let has = |wanted: &str| names.iter().any(|name| name.as_ref() == wanted);
    if has(SAFETENSORS) {
        return Some(ChosenWeights::File(SAFETENSORS.into()));
    }
    if has(SAFETENSORS_INDEX) {
        return Some(ChosenWeights::Index(SAFETENSORS_INDEX.into()));
    }
    let gguf = names.iter().map(AsRef::as_ref).filter_map(|name| Some((gguf_rank(name)?, name)));
    let pytorch = has(PYTORCH).then_some(PYTORCH);
    gguf.min().map(|(_, name)| name).or(pytorch).map(|name| ChosenWeights::File(name.into()))
}

/// The place of a GGUF file in [`GGUF_TYPES`]; `None` for other files.
fn gguf_rank(name: &str) -> Option<usize> {
    let name = name.to_ascii_lowercase();
    let known = GGUF_TYPES.iter().position(|kind| name.contains(kind));
    name.ends_with(".gguf").then(|| known.unwrap_or(GGUF_TYPES.len()))
}

/// The identity of weights, by the SHA-256 of each file: that of the only file; of several files, the
/// SHA-256 over their hashes in hexadecimal. Empty where a hash is not known (empty) or there is none.
pub fn weights_identity<S: AsRef<str>>(sha256s: &[S]) -> String {
    let hashes: Vec<&str> = sha256s.iter().map(AsRef::as_ref).collect();
    match hashes[..] {
        [only] => only.to_owned(),
        _ if hashes.iter().any(|hash| hash.is_empty()) || hashes.is_empty() => String::new(),
        _ => sha256_hex(hashes.concat().as_bytes()),
    }
}

/// What a server or a clone has in place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Placeholder {
    /// A page of HTML, with which static hosts and sign-in pages answer for any address.
    WebPage,
    /// The pointer of Git LFS, in clones that were made without it.
    LfsPointer,
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebPage => "a web page",
            Self::LfsPointer => "a Git LFS pointer",
        })
    }
}

impl Placeholder {
    /// Bytes at the start of a file that [`Placeholder::detect`] needs.
    pub const BYTES: usize = 256;

    /// The placeholder that a file is, by its first bytes.
    pub fn detect(start: &[u8]) -> Option<Self> {
        if start.starts_with(b"version https://git-lfs.github.com/spec/") {
            return Some(Self::LfsPointer);
        }
        let text = without_mark(start).trim_ascii_start();
        let starts_with = |tag: &str| {
            text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
        };
        let page = ["<!doctype html", "<html", "<head"].into_iter().any(starts_with);
        page.then_some(Self::WebPage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_and_lfs_pointers_are_detected_by_their_first_bytes() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        assert_eq!(Placeholder::detect(pointer), Some(Placeholder::LfsPointer));
        for page in [
            &b"<!DOCTYPE html><html lang=en>"[..],
            b"<!doctype HTML>",
            b"\xef\xbb\xbf \r\n<html>",
            b"<HTML>\n<head>",
            b"<head><title>Sign in</title>",
        ] {
            assert_eq!(Placeholder::detect(page), Some(Placeholder::WebPage), "{page:?}");
        }
        for file in
            [&b"{\"a\": 1}"[..], b"GGUF", b"PK\x03\x04", b"<pad>\n", b"<s>", b"", b"version 1"]
        {
            assert_eq!(Placeholder::detect(file), None, "{file:?}");
        }
    }

    #[test]
    fn safetensors_come_first_then_shards_then_the_most_exact_gguf_then_pytorch() {
        let mut names = vec![
            "config.json",
            "pytorch_model.bin",
            "t5-other.gguf",
            "t5-Q4_K.gguf",
            "t5-Q8_0.gguf",
            SAFETENSORS_INDEX,
            SAFETENSORS,
        ];
        let file = |name: &str| Some(ChosenWeights::File(name.into()));
        let mut chosen = Vec::new();
        while let Some(choice) = choose_weights(&names) {
            let (ChosenWeights::File(name) | ChosenWeights::Index(name)) = &choice;
            names.retain(|other| other != name);
            chosen.push(Some(choice));
        }
        let index = Some(ChosenWeights::Index(SAFETENSORS_INDEX.into()));
        assert_eq!(chosen[..3], [file(SAFETENSORS), index, file("t5-Q8_0.gguf")]);
        assert_eq!(chosen[3..], ["t5-Q4_K.gguf", "t5-other.gguf", PYTORCH].map(file));
    }

    #[test]
    fn several_files_have_one_identity_that_depends_on_each_and_on_their_order() {
        assert_eq!(weights_identity(&["ab"]), "ab");
        assert_eq!(weights_identity(&["ab", "cd"]), sha256_hex(b"abcd"));
        assert_ne!(weights_identity(&["ab", "cd"]), weights_identity(&["cd", "ab"]));
        assert_eq!(weights_identity(&["ab", ""]), "");
        assert_eq!(weights_identity::<&str>(&[]), "");
    }
}
