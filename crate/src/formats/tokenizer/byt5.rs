//! ByT5's tokenizer: the bytes of a text in UTF-8, after three special tokens. It has no file of its own;
//! `tokenizer_config.json` or `config.json` names it. Follows `ByT5Tokenizer` of transformers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::FormatError;
use super::added::{self, check_number};
use super::{AddedTokenFiles, FileAddedToken};

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

/// Bytes as text, without those that are not valid UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()
}

/// The added tokens. `named_by` is the file that names the tokenizer, which is read as the
/// `tokenizer_config.json` where there is no other.
///
/// # Errors
/// [`FormatError::Invalid`] for a file whose tokens are not valid.
pub(super) fn added_tokens<'b>(
    named_by: &'b [u8],
    mut beside: AddedTokenFiles<'b>,
) -> Result<Vec<FileAddedToken>, FormatError> {
    let config = *beside.tokenizer_config.get_or_insert(named_by);
    let (mut tokens, _) = added::read_files(beside)?;
    let taken: BTreeSet<u32> = tokens.iter().map(|token| token.id).collect();
    let contents: BTreeSet<String> = tokens.iter().map(|token| token.content.clone()).collect();
    let special = SPECIAL.into_iter().map(|content| (content.to_owned(), true));
    let sentinels = sentinels(&added::read_config(config)?)?;
    let defaults = special.zip(0..).chain(sentinels.into_iter().map(|s| (s, false)).zip(IDS..));
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
    // Nothing is normalised: all tokens are matched in the text as it is.
    tokens.iter_mut().for_each(|token| token.normalized = false);
    Ok(tokens)
}

/// The sentinel tokens: those of `additional_special_tokens`, or else `<extra_id_0>` to
/// `<extra_id_124>`.
fn sentinels(config: &Value) -> Result<Vec<String>, FormatError> {
    let listed = config["additional_special_tokens"].as_array().filter(|tokens| !tokens.is_empty());
    let text =
        |token: &Value| token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned);
    let count = config["extra_ids"].as_u64().unwrap_or(EXTRA_IDS);
    let count = listed.map_or(usize::try_from(count).unwrap_or(usize::MAX), Vec::len);
    check_number(added::CONFIG, count)?;
    Ok(match listed {
        Some(tokens) => tokens.iter().filter_map(text).collect(),
        None => (0..count).map(|number| format!("<extra_id_{number}>")).collect(),
    })
}
