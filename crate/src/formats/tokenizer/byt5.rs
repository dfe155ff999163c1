//! ByT5's tokenizer: the bytes of a text in UTF-8, after three special tokens. It has no file of its own;
//! `tokenizer_config.json` or `config.json` names it. Follows `ByT5Tokenizer` of transformers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::FormatError;
use super::FileAddedToken;
use super::added::{self, check_number};

/// The special tokens, in the order of their ids.
const SPECIAL: [&str; 3] = ["<pad>", "</s>", "<unk>"];
/// Id of the byte 0.
const FIRST_BYTE: u32 = SPECIAL.len() as u32;
/// Ids of the special tokens and of the bytes.
pub(super) const IDS: u32 = FIRST_BYTE + 256;
/// Id of `</s>`.
pub(super) const END: u32 = 1;
/// Number of sentinel tokens after the bytes, unless the file says otherwise.
const EXTRA_IDS: u64 = 125;

/// Whether a file names this tokenizer.
pub(super) fn is_named(tokenizer_class: &str) -> bool {
    tokenizer_class.starts_with("ByT5Tokenizer")
}

/// The id of a byte.
pub(super) fn id(byte: u8) -> u32 {
    FIRST_BYTE + u32::from(byte)
}

/// The byte of an id.
pub(super) fn byte(id: u32) -> Option<u8> {
    id.checked_sub(FIRST_BYTE).and_then(|byte| u8::try_from(byte).ok())
}

/// Takes the text of bytes, without those that are not valid UTF-8, and leaves the start of a character that is not
/// complete yet.
pub(super) fn take_text(bytes: &mut Vec<u8>) -> String {
    let text = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect();
    let invalid = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    let is_incomplete =
        std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
    let left = if is_incomplete { invalid.len() } else { 0 };
    bytes.drain(..bytes.len() - left);
    text
}

/// The added tokens, by the configuration and the contents of `added_tokens.json`.
///
/// # Errors
/// [`FormatError::Invalid`] for a file whose tokens are not valid.
pub(super) fn added_tokens(
    config: &Value,
    added_tokens: Option<&[u8]>,
) -> Result<Vec<FileAddedToken>, FormatError> {
    let (mut tokens, _) = added::read_files(config, added_tokens)?;
    let taken: BTreeSet<u32> = tokens.iter().map(|token| token.id).collect();
    let contents: BTreeSet<String> = tokens.iter().map(|token| token.content.clone()).collect();
    let special = SPECIAL.into_iter().map(|content| (content.to_owned(), true));
    let others = others(config)?.into_iter().map(|content| (content, false));
    let defaults = special.zip(0..).chain(others.zip(IDS..));
    let is_free = |content: &String, id: u32| !taken.contains(&id) && !contents.contains(content);
    tokens.extend(defaults.filter(|((content, _), id)| is_free(content, *id)).map(
        |((content, strip), id)| FileAddedToken {
            id,
            content,
            single_word: false,
            lstrip: strip,
            rstrip: strip,
            normalized: false,
            special: true,
        },
    ));
    Ok(tokens)
}

/// The other special tokens: those that the configuration names, and `<extra_id_0>` to `<extra_id_124>` unless
/// `additional_special_tokens` lists others.
fn others(config: &Value) -> Result<Vec<String>, FormatError> {
    let named = added::special_tokens(config)?.into_iter().map(|token| token.content);
    let mut others: Vec<String> =
        named.filter(|content| !SPECIAL.contains(&content.as_str())).collect();
    let listed = &config["additional_special_tokens"];
    if listed.as_array().is_none_or(Vec::is_empty) {
        let count = config["extra_ids"].as_u64().unwrap_or(EXTRA_IDS);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        check_number(added::CONFIG, count)?;
        others.extend((0..count).map(|number| format!("<extra_id_{number}>")));
    }
    Ok(others)
}
