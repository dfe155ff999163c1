//! Added tokens such as `</s>` and `<extra_id_0>`: text that is one token wherever it occurs. Follows
//! `AddedVocabulary` of Hugging Face's tokenizers, without its regular expressions, which would be four
//! times the size of the tokenizer in the WebAssembly module.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::super::budget::Budget;
use super::super::{FormatError, excerpt, without_mark};
use super::{AddedTokenFiles, FileAddedToken, MAX_ADDED_TOKENS, MAX_FILE_BYTES};

/// One added token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    /// Whether decoding skips it.
    pub(super) special: bool,
    /// Whether it includes whitespace before it.
    pub(super) lstrip: bool,
    /// Whether it includes whitespace after it.
    pub(super) rstrip: bool,
}

/// A piece of a text, split at the added tokens.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'t> {
    /// Text between added tokens, never empty.
    Text(&'t str),
    /// An added token's id.
    Token(u32),
}

/// The added tokens of a tokenizer, indexed for search.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AddedTokens {
    by_content: HashMap<String, AddedToken>,
    /// Lengths of the contents in bytes, the longest first, by the contents' first byte.
    lengths: BTreeMap<u8, Vec<usize>>,
}

impl AddedTokens {
    /// Ignores tokens with empty content, which would match everywhere.
    pub(super) fn new(tokens: impl IntoIterator<Item = AddedToken>) -> Self {
        let mut all = Self::default();
        for token in tokens {
            let Some(&first) = token.content.as_bytes().first() else { continue };
            let lengths = all.lengths.entry(first).or_default();
            let length = token.content.len();
            if let Err(place) = lengths.binary_search_by(|other| length.cmp(other)) {
                lengths.insert(place, length);
            }
            all.by_content.entry(token.content.clone()).or_insert(token);
        }
        all
    }

    /// The ids of the tokens.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.by_content.values().map(|token| token.id)
    }

    /// The longest token that starts `text`.
    fn at_start(
        &self,
        text: &str,
        budget: &mut Budget,
    ) -> Result<Option<&AddedToken>, FormatError> {
        let lengths = text.as_bytes().first().and_then(|first| self.lengths.get(first));
        for &length in lengths.into_iter().flatten() {
            budget.work("the search for added tokens", 1)?;
            let token = text.get(..length).and_then(|start| self.by_content.get(start));
            if token.is_some() {
                return Ok(token);
            }
        }
        Ok(None)
    }

    /// Splits a text at the added tokens, leftmost and longest first.
    ///
    /// # Errors
    /// [`FormatError::OverBudget`] where tokens of very many lengths could start at most places of a long text.
    pub(super) fn split<'t>(
        &self,
        text: &'t str,
        budget: &mut Budget,
    ) -> Result<Vec<Piece<'t>>, FormatError> {
        let mut pieces = Vec::new();
        // Start of the text without a piece, and of the search: a token with `rstrip` includes whitespace
        // in which another token may start.
        let (mut start, mut position) = (0, 0);
        // End of the whitespace that was searched last: tokens inside it have the same.
        let mut blank_end = 0;
        while let Some(rest) = text.get(position..).filter(|rest| !rest.is_empty()) {
            let Some(token) = self.at_start(rest, budget)? else {
                position += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let mut end = position + token.content.len();
            let next = end;
            let mut token_start = position;
            if token.lstrip {
                let between = text.get(start..position).unwrap_or_default();
                token_start = start + between.trim_end().len();
            }
            if token.rstrip {
                if end > blank_end {
                    blank_end = text.len() - text[end..].trim_start().len();
                }
                end = blank_end;
            }
            if start < token_start {
                pieces.push(Piece::Text(&text[start..token_start]));
            }
            pieces.push(Piece::Token(token.id));
            start = end;
            position = next;
        }
        if start < text.len() {
            pieces.push(Piece::Text(&text[start..]));
        }
        Ok(pieces)
    }
}

/// The fields of `tokenizer_config.json` that name one special token, in transformers' order.
const NAMED_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Its fields that name any number of them: a list, or an object from names to tokens.
const TOKEN_LISTS: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

/// A token that `tokenizer_config.json` names as special. Without flags it is its text alone, which changes
/// no token that the tokenizer has.
pub(super) struct SpecialToken {
    pub(super) content: String,
    pub(super) flags: Option<Flags>,
}

/// How an added token is matched.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
}

impl Flags {
    fn read(token: &Value) -> Self {
        let is = |field: &str| token[field].as_bool().unwrap_or_default();
        let (single_word, normalized) = (is("single_word"), is("normalized"));
        Self { single_word, lstrip: is("lstrip"), rstrip: is("rstrip"), normalized }
    }

    /// The added token with these flags.
    pub(super) fn token(self, id: u32, content: String, special: bool) -> FileAddedToken {
        let Self { single_word, lstrip, rstrip, normalized } = self;
        FileAddedToken { id, content, single_word, lstrip, rstrip, normalized, special }
    }
}

/// The special tokens that a configuration names, each once. Those of its `added_tokens_decoder` have the flags
/// that they have there.
///
/// # Errors
/// [`FormatError::Invalid`] for a list that is too long or holds something else.
pub(super) fn special_tokens(config: &Value) -> Result<Vec<SpecialToken>, FormatError> {
    let mut named: Vec<&Value> = NAMED_TOKENS.iter().map(|field| &config[field]).collect();
    for field in TOKEN_LISTS {
        match &config[field] {
            Value::Null => {}
            Value::Array(tokens) => named.extend(tokens),
            Value::Object(tokens) => named.extend(tokens.values()),
            other => return Err(not_tokens(CONFIG, &other.to_string())),
        }
    }
    check_number(CONFIG, named.len())?;
    let decoded = config["added_tokens_decoder"].as_object().into_iter().flat_map(Map::values);
    let decoded: BTreeSet<&str> = decoded.filter_map(|token| token["content"].as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut tokens = Vec::new();
    for token in named.into_iter().filter(|token| !token.is_null()) {
        let content = token.as_str().or_else(|| token["content"].as_str());
        let content = content.ok_or_else(|| not_tokens(CONFIG, &token.to_string()))?.to_owned();
        let flags = token.is_object() && !decoded.contains(content.as_str());
        let flags = flags.then(|| Flags::read(token));
        if !content.is_empty() && seen.insert(content.clone()) {
            tokens.push(SpecialToken { content, flags });
        }
    }
    Ok(tokens)
}

/// The file with a tokenizer's settings.
pub(super) const CONFIG: &str = "tokenizer_config.json";

/// Reads `tokenizer_config.json`, with the special tokens of `special_tokens_map.json`, which transformers reads
/// where there is no `added_tokens_decoder`. `null` where there is neither file.
///
/// # Errors
/// [`FormatError::Invalid`] if one is no JSON object or exceeds a limit.
pub(super) fn read_config(files: AddedTokenFiles<'_>) -> Result<Value, FormatError> {
    const MAP: &str = "special_tokens_map.json";
    const ADDITIONAL: &str = TOKEN_LISTS[0];
    let mut config = Value::Null;
    if let Some(bytes) = files.tokenizer_config {
        config = read_json(CONFIG, bytes)?;
        object_of(CONFIG, &config)?;
    }
    let map = files.special_tokens_map.filter(|_| config["added_tokens_decoder"].is_null());
    let Some(map) = map.map(|bytes| read_json(MAP, bytes)).transpose()? else { return Ok(config) };
    for (name, value) in object(MAP, &map)? {
        match (config[ADDITIONAL].as_array_mut(), value.as_array()) {
            (Some(tokens), Some(more)) if name == ADDITIONAL => tokens.extend_from_slice(more),
            _ => config[name] = value.clone(),
        }
    }
    Ok(config)
}

/// The entries of an object.
fn object_of<'v>(
    format: &'static str,
    value: &'v Value,
) -> Result<&'v Map<String, Value>, FormatError> {
    value.as_object().ok_or_else(|| not_tokens(format, &value.to_string()))
}

/// Whether a configuration sets a flag.
pub(super) fn is_set(config: &Value, flag: &str) -> bool {
    config[flag] == true
}

/// The file that tokens are read from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// `added_tokens.json`: the tokenizer's own token comes before it.
    AddedTokens,
    /// `tokenizer_config.json`: it comes before the tokenizer's own token.
    Config,
}

/// The added tokens of the files beside a tokenizer's own, and the file that they are from. As in transformers, those of
/// `tokenizer_config.json` replace those of `added_tokens.json`, which are not special.
///
/// Read as values: types of their own would add 15 kB to the WebAssembly module.
pub(super) fn read_files(
    config: &Value,
    added_tokens: Option<&[u8]>,
) -> Result<(Vec<FileAddedToken>, Source), FormatError> {
    let mut tokens = Vec::new();
    let decoder = &config["added_tokens_decoder"];
    if !decoder.is_null() {
        for (id, token) in object(CONFIG, decoder)? {
            let content = token["content"].as_str();
            let content = content.ok_or_else(|| not_tokens(CONFIG, id))?.to_owned();
            let id = id.parse().map_err(|_| not_tokens(CONFIG, id))?;
            let special = token["special"].as_bool().unwrap_or_default();
            tokens.push(Flags::read(token).token(id, content, special));
        }
        // Keys are in the order of their digits.
        tokens.sort_unstable_by_key(|token| token.id);
        return Ok((tokens, Source::Config));
    }
    let Some(bytes) = added_tokens else { return Ok((tokens, Source::AddedTokens)) };
    const FILE: &str = "added_tokens.json";
    for (content, id) in object(FILE, &read_json(FILE, bytes)?)? {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        tokens.push(FileAddedToken {
            id: id.ok_or_else(|| not_tokens(FILE, content))?,
            content: content.clone(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: true,
            special: false,
        });
    }
    Ok((tokens, Source::AddedTokens))
}

fn read_json(format: &'static str, bytes: &[u8]) -> Result<Value, FormatError> {
    if bytes.len() > MAX_FILE_BYTES {
        let (expected, found) =
            (format!("at most {MAX_FILE_BYTES} bytes"), format!("{} bytes", bytes.len()));
        return Err(FormatError::Invalid { format, what: "its length".into(), expected, found });
    }
    Budget::new(format, bytes.len()).take_json("its values", bytes)?;
    let value = serde_json::from_slice(without_mark(bytes));
    value.map_err(|error| not_tokens(format, &error.to_string()))
}

/// The entries of an object, of which there are not too many.
fn object<'v>(
    format: &'static str,
    value: &'v Value,
) -> Result<&'v Map<String, Value>, FormatError> {
    let entries = object_of(format, value)?;
    check_number(format, entries.len())?;
    Ok(entries)
}

fn not_tokens(format: &'static str, found: &str) -> FormatError {
    FormatError::Invalid {
        format,
        what: "its text".into(),
        expected: "a tokenizer's tokens and ids in JSON".into(),
        found: excerpt(found),
    }
}

pub(super) fn check_number(format: &'static str, found: usize) -> Result<(), FormatError> {
    if found <= MAX_ADDED_TOKENS {
        return Ok(());
    }
    let (expected, found) = (format!("at most {MAX_ADDED_TOKENS}"), found.to_string());
    Err(FormatError::Invalid { format, what: "the number of its tokens".into(), expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, content: &str, strip: bool) -> AddedToken {
        AddedToken { id, content: content.into(), special: true, lstrip: strip, rstrip: strip }
    }

    #[test]
    fn the_longest_token_matches_and_may_include_whitespace() {
        let tokens = AddedTokens::new([
            token(1, "</s>", false),
            token(2, "<x>", true),
            token(3, "<x>y", false),
            token(4, "", false),
        ]);
        let split = |text| tokens.split(text, &mut Budget::new("text", 0)).unwrap();
        assert_eq!(
            split("é </s> a \u{a0}<x> b<x>y"),
            [
                Piece::Text("é "),
                Piece::Token(1),
                Piece::Text(" a"),
                Piece::Token(2),
                Piece::Text("b"),
                Piece::Token(3),
            ]
        );
        assert_eq!(split("<x>  <x>"), [Piece::Token(2), Piece::Token(2)]);
        assert_eq!(split(""), []);
    }
}
