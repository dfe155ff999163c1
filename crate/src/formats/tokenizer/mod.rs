//! T5's tokenizer, read from `tokenizer.json` or from SentencePiece's `spiece.model`.
//!
//! The Unigram model, the SentencePiece normaliser and the metaspace rules are those of Hugging
//! Face's `tokenizers`. This module reads the file in place of `Tokenizer::from_bytes`, which does not
//! check the character map, token lengths and scores, and would add other models and regular
//! expressions to the WebAssembly module.

mod added;
mod charsmap;
mod sentencepiece;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::precompiled::Precompiled;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{Decoder, Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use self::added::{AddedToken, AddedTokens, Piece};
use super::{Example, FormatError, excerpt, without_mark};

const FORMAT: &str = "tokenizer.json";
/// Limit on the file; T5's has 2.4 MB, the largest multilingual T5's 16 MB.
const MAX_FILE_BYTES: usize = 32 << 20;
/// Limit on the tokens; multilingual T5 has 256,300.
const MAX_TOKENS: usize = 1 << 20;
/// Limit on a token in bytes; SentencePiece's have at most 16 characters, added ones a few more.
const MAX_TOKEN_BYTES: usize = 256;
/// Limit on the bytes of all tokens, which bounds the trie built from them.
const MAX_VOCABULARY_BYTES: usize = 8 << 20;
/// Limit on the added tokens; T5 has 103, and models of semantic ids have tens of thousands.
const MAX_ADDED_TOKENS: usize = 1 << 16;
/// Limit on the id of an added token.
const MAX_ID: u32 = 1 << 24;
/// Limit on a text to encode.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// Limits on the content of a `Replace` and on the steps of a normaliser, which bound the length of a
/// normalised text.
const MAX_REPLACEMENT_BYTES: usize = 16;
const MAX_NORMALIZERS: usize = 4;
/// The token that ends every encoded text.
const END: &str = "</s>";

/// A step of the normaliser, applied to the whole text between added tokens.
#[derive(Debug)]
enum Normalizer {
    Precompiled(Precompiled),
    Strip {
        left: bool,
        right: bool,
    },
    Replace {
        pattern: String,
        content: String,
    },
    /// `Replace` with the regular expression ` {2,}`.
    ReplaceSpaceRuns {
        content: String,
    },
}

impl Normalizer {
    fn apply(&self, text: &str) -> String {
        match self {
            Normalizer::Precompiled(map) => map.normalize_string(text),
            Normalizer::Strip { left, right } => {
                let text = if *left { text.trim_start() } else { text };
                if *right { text.trim_end().into() } else { text.into() }
            }
            Normalizer::Replace { pattern, content } => text.replace(pattern, content),
            Normalizer::ReplaceSpaceRuns { content } => {
                let mut replaced = String::with_capacity(text.len());
                let mut rest = text;
                while let Some(start) = rest.find("  ") {
                    replaced.push_str(&rest[..start]);
                    replaced.push_str(content);
                    rest = rest[start..].trim_start_matches(' ');
                }
                replaced + rest
            }
        }
    }
}

/// A T5 tokenizer: text to ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    model: Unigram,
    normalizers: Vec<Normalizer>,
    /// Whether the text is split at whitespace before [`Metaspace`] marks the words.
    split_whitespace: bool,
    /// For text at the very start of the input.
    metaspace_at_start: Metaspace,
    /// For text after an added token.
    metaspace: Metaspace,
    decoder: Metaspace,
    added: AddedTokens,
    /// Added tokens that are matched in normalised text.
    added_normalized: AddedTokens,
    added_by_id: BTreeMap<u32, AddedToken>,
    end: u32,
    /// Id of what is not in the vocabulary, `<unk>`.
    unknown: u32,
}

/// The files beside a tokenizer's own that add tokens to it, where there are any.
#[derive(Debug, Clone, Copy, Default)]
pub struct AddedTokenFiles<'b> {
    /// `added_tokens.json`, an object from tokens to ids.
    pub added_tokens: Option<&'b [u8]>,
    /// `tokenizer_config.json`, whose `added_tokens_decoder` is read in place of the other file.
    pub tokenizer_config: Option<&'b [u8]>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` or a `spiece.model`, by its content.
    ///
    /// # Errors
    /// Those of [`Tokenizer::from_json`] and [`Tokenizer::from_sentencepiece`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::parse_with(bytes, AddedTokenFiles::default())
    }

    /// Reads a `tokenizer.json` or a `spiece.model` with the files beside it, as transformers does.
    ///
    /// # Errors
    /// As [`Tokenizer::parse`], and [`FormatError::Invalid`] for a file beside it that is not valid
    /// or gives an id that another token has.
    pub fn parse_with(bytes: &[u8], beside: AddedTokenFiles<'_>) -> Result<Self, FormatError> {
        let bytes = without_mark(bytes);
        let mut file = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => read_json(bytes)?,
            _ => read_sentencepiece(bytes)?,
        };
        let ids: BTreeMap<u32, usize> =
            file.added_tokens.iter().enumerate().map(|(index, token)| (token.id, index)).collect();
        for token in added::read_files(beside)? {
            let known = ids.get(&token.id).map(|&index| &file.added_tokens[index]);
            if known.is_none_or(|known| known.content != token.content) {
                file.added_tokens.push(token);
            }
        }
        Self::from_parts(file)
    }

    /// Reads a `spiece.model` of the T5 family, with the 100 sentinel tokens that T5 adds to it.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] if the file contradicts itself or
    /// exceeds a limit, [`FormatError::Unsupported`] if it holds another kind of model.
    pub fn from_sentencepiece(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::from_parts(read_sentencepiece(bytes)?)
    }

    /// Reads a `tokenizer.json` of the T5 family.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] if the file contradicts itself or exceeds a limit,
    /// [`FormatError::Unsupported`] if it uses a part that T5's tokenizers do not.
    pub fn from_json(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::from_parts(read_json(without_mark(bytes))?)
    }

    fn from_parts(file: File) -> Result<Self, FormatError> {
        let unknown = file.model.unk_id.unwrap_or_default() as u32;
        let model = read_model(file.model)?;
        let (split_whitespace, mark) = read_pre_tokenizer(&file.pre_tokenizer)?;
        let mut tokenizer = Self {
            normalizers: read_normalizer(&file.normalizer)?,
            split_whitespace,
            metaspace: match mark.get_prepend_scheme() {
                PrependScheme::First => {
                    Metaspace::new(mark.get_replacement(), PrependScheme::Never, mark.get_split())
                }
                _ => mark.clone(),
            },
            metaspace_at_start: mark,
            decoder: read_metaspace("decoder", &file.decoder)?,
            added: AddedTokens::default(),
            added_normalized: AddedTokens::default(),
            added_by_id: BTreeMap::new(),
            end: 0,
            unknown,
            model,
        };
        tokenizer.add(file.added_tokens)?;
        tokenizer.end = tokenizer.read_end(&file.post_processor)?;
        Ok(tokenizer)
    }

    /// The ids of a text, with `</s>` at the end.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] for a text longer than 256 KiB.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        let mut ids = Vec::new();
        self.encode_with(text, &mut |id, _| ids.push(id))?;
        ids.push(self.end);
        Ok(ids)
    }

    /// What a text holds that the vocabulary lacks, each once: the model reads `<unk>` in place of it,
    /// and cannot write it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn unwritable(&self, text: &str) -> Result<Vec<String>, FormatError> {
        let mut found: Vec<String> = Vec::new();
        let space = self.metaspace.get_replacement();
        self.encode_with(text, &mut |id, piece| {
            let piece = piece.trim_matches(space);
            if id == self.unknown && !piece.is_empty() && found.iter().all(|other| other != piece) {
                found.push(piece.to_owned());
            }
        })?;
        Ok(found)
    }

    /// Whether an answer, as [`Tokenizer::decode`] gives it, is an example's output. Both are compared
    /// as [`Example::is_matched_by`] does, the output also as it would be decoded: normalised and
    /// without special tokens. An output that cannot be written is compared as it is.
    pub fn is_match(&self, example: &Example, answer: &str) -> bool {
        if example.is_matched_by(answer) {
            return true;
        }
        let output = &example.output;
        match (self.unwritable(output), self.encode(output)) {
            (Ok(unwritable), Ok(ids)) if unwritable.is_empty() => {
                let output = self.decode(&ids);
                !output.is_empty() && Example { input: String::new(), output }.is_matched_by(answer)
            }
            _ => false,
        }
    }

    /// Calls `on_token` with each token's id and text, without `</s>`; the text of an added token is
    /// empty.
    fn encode_with(
        &self,
        text: &str,
        on_token: &mut dyn FnMut(u32, &str),
    ) -> Result<(), FormatError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(FormatError::Invalid {
                format: "text",
                what: "its length".into(),
                expected: format!("at most {MAX_TEXT_BYTES} bytes"),
                found: format!("{} bytes", text.len()),
            });
        }
        for (index, piece) in self.added.split(text).into_iter().enumerate() {
            match piece {
                Piece::Token(id) => on_token(id, ""),
                Piece::Text(text) => self.encode_text(text, index == 0, on_token)?,
            }
        }
        Ok(())
    }

    /// Encodes text without (unnormalised) added tokens.
    fn encode_text(
        &self,
        text: &str,
        at_start: bool,
        on_token: &mut dyn FnMut(u32, &str),
    ) -> Result<(), FormatError> {
        let text = self.normalizers.iter().fold(text.to_owned(), |text, step| step.apply(&text));
        for (index, piece) in self.added_normalized.split(&text).into_iter().enumerate() {
            let text = match piece {
                Piece::Token(id) => {
                    on_token(id, "");
                    continue;
                }
                Piece::Text(text) => text,
            };
            let metaspace =
                if at_start && index == 0 { &self.metaspace_at_start } else { &self.metaspace };
            let mut words = PreTokenizedString::from(text);
            if self.split_whitespace {
                WhitespaceSplit.pre_tokenize(&mut words).map_err(cannot_encode)?;
            }
            metaspace.pre_tokenize(&mut words).map_err(cannot_encode)?;
            for (word, _, _) in words.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
                let tokens = self.model.tokenize(word).map_err(cannot_encode)?;
                tokens.iter().for_each(|token| on_token(token.id, &token.value));
            }
        }
        Ok(())
    }

    /// The text of ids, without special tokens. Skips ids outside the vocabulary, as Hugging Face does,
    /// because a model's output layer is often wider than its vocabulary.
    pub fn decode(&self, ids: &[u32]) -> String {
        let tokens = ids
            .iter()
            .filter_map(|&id| match self.added_by_id.get(&id) {
                Some(token) => (!token.special).then(|| token.content.clone()),
                None => self.model.id_to_token(id),
            })
            .collect();
        // The metaspace decoder cannot fail.
        self.decoder.decode(tokens).unwrap_or_default()
    }

    /// A decoder for ids that arrive one at a time.
    pub fn text_stream(&self) -> TextStream<'_> {
        TextStream { tokenizer: self, ids: Vec::new(), emitted: 0 }
    }

    /// Id of `</s>`.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// One more than the highest id.
    pub fn vocabulary_size(&self) -> usize {
        let added = self.added_by_id.last_key_value().map_or(0, |(&id, _)| id as usize + 1);
        self.model.get_vocab_size().max(added)
    }

    /// Adds the file's added tokens to the vocabulary.
    fn add(&mut self, tokens: Vec<FileAddedToken>) -> Result<(), FormatError> {
        if tokens.len() > MAX_ADDED_TOKENS {
            return Err(too_many("the length of added_tokens", MAX_ADDED_TOKENS, tokens.len(), ""));
        }
        let (mut raw, mut normalized) = (Vec::new(), Vec::new());
        for token in tokens {
            let what = || format!("the added token {}", excerpt(&token.content));
            if token.content.len() > MAX_TOKEN_BYTES {
                return Err(too_many(&what(), MAX_TOKEN_BYTES, token.content.len(), "bytes"));
            }
            if token.single_word {
                return Err(FormatError::Unsupported {
                    what: format!("single_word of {}", what()),
                    reason: "no T5 tokenizer uses it".into(),
                });
            }
            let expected = match self.model.token_to_id(&token.content) {
                Some(id) => (id != token.id).then(|| format!("{id}, its place in the vocabulary")),
                None => (token.id > MAX_ID).then(|| format!("at most {MAX_ID}")),
            };
            if let Some(expected) = expected {
                return Err(invalid(&format!("the id of {}", what()), &expected, token.id));
            }
            let added = AddedToken {
                id: token.id,
                content: token.content.clone(),
                special: token.special,
                lstrip: token.lstrip,
                rstrip: token.rstrip,
            };
            if let Some(other) = self.added_by_id.insert(token.id, added.clone()) {
                return Err(invalid(
                    &format!("the id of {}", what()),
                    "used once",
                    format!("{} for {} too", token.id, excerpt(&other.content)),
                ));
            }
            if token.normalized {
                let content = self
                    .normalizers
                    .iter()
                    .fold(token.content, |content, normalizer| normalizer.apply(&content));
                normalized.push(AddedToken { content, ..added });
            } else {
                raw.push(added);
            }
        }
        self.added = AddedTokens::new(raw);
        self.added_normalized = AddedTokens::new(normalized);
        Ok(())
    }

    /// The id that `post_processor` appends to a sequence, which must be that of `</s>`.
    fn read_end(&self, post_processor: &Value) -> Result<u32, FormatError> {
        let wrong = || {
            unsupported("post_processor", post_processor, "T5's appends </s> to the text, no more")
        };
        let [sequence, end] =
            post_processor["single"].as_array().map(Vec::as_slice).ok_or_else(wrong)?
        else {
            return Err(wrong());
        };
        let name = end["SpecialToken"]["id"].as_str().ok_or_else(wrong)?;
        let ids = post_processor["special_tokens"][name]["ids"].as_array().ok_or_else(wrong)?;
        let known = self
            .model
            .token_to_id(END)
            .or_else(|| self.added_by_id.values().find(|t| t.content == END).map(|t| t.id));
        match (ids.as_slice(), known) {
            ([id], Some(known))
                if sequence["Sequence"]["id"] == "A" && id.as_u64() == Some(u64::from(known)) =>
            {
                Ok(known)
            }
            _ => Err(wrong()),
        }
    }
}

/// An incremental decoder of ids, for displaying a text while it is generated.
#[derive(Debug, Clone)]
pub struct TextStream<'t> {
    tokenizer: &'t Tokenizer,
    ids: Vec<u32>,
    /// Number of bytes of the text returned so far.
    emitted: usize,
}

impl TextStream<'_> {
    /// Returns the text that the next id adds, which is empty for a special token. All returned texts joined
    /// equal [`Tokenizer::decode`] of all ids.
    pub fn push(&mut self, id: u32) -> String {
        self.ids.push(id);
        // A token of T5 is whole characters and does not change the text before it.
        let text = self.tokenizer.decode(&self.ids);
        let new = text.get(self.emitted..).unwrap_or_default().to_owned();
        self.emitted = text.len();
        new
    }
}

/// The part of the file with the type of the model.
#[derive(Deserialize)]
struct Kind {
    model: ModelKind,
}

#[derive(Deserialize)]
struct ModelKind {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct File {
    model: FileModel,
    #[serde(default)]
    added_tokens: Vec<FileAddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
struct FileModel {
    vocab: Vec<(String, f64)>,
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
}

#[derive(Deserialize)]
struct FileAddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

fn read_sentencepiece(bytes: &[u8]) -> Result<File, FormatError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_many("its length", MAX_FILE_BYTES, bytes.len(), "bytes"));
    }
    sentencepiece::read(bytes)
}

fn read_json(bytes: &[u8]) -> Result<File, FormatError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_many("its length", MAX_FILE_BYTES, bytes.len(), "bytes"));
    }
    // Read first, so that another model's vocabulary is refused by the model's name.
    let kind: Kind = serde_json::from_slice(bytes).map_err(not_json)?;
    if kind.model.kind.as_deref().is_some_and(|kind| kind != "Unigram") {
        return Err(unsupported("model", &kind.model.kind.into(), "T5's is a Unigram"));
    }
    serde_json::from_slice(bytes).map_err(not_json)
}

fn read_model(model: FileModel) -> Result<Unigram, FormatError> {
    let FileModel { vocab, unk_id, byte_fallback } = model;
    if byte_fallback {
        return Err(unsupported("byte_fallback", &Value::Bool(true), "no T5 tokenizer uses it"));
    }
    if vocab.len() > MAX_TOKENS {
        return Err(too_many("the length of vocab", MAX_TOKENS, vocab.len(), "tokens"));
    }
    if unk_id.is_none_or(|unk_id| unk_id >= vocab.len()) {
        let expected = format!("a place among the {} tokens of vocab", vocab.len());
        return Err(invalid(
            "unk_id",
            &expected,
            unk_id.map_or("null".into(), |id| id.to_string()),
        ));
    }
    let mut bytes = 0;
    for (index, (token, _)) in vocab.iter().enumerate() {
        // An empty token would match everywhere.
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
            return Err(invalid(
                &format!("token {index} of vocab"),
                &format!("1 to {MAX_TOKEN_BYTES} bytes long"),
                token.len(),
            ));
        }
        bytes += token.len();
    }
    if bytes > MAX_VOCABULARY_BYTES {
        return Err(too_many("the size of vocab", MAX_VOCABULARY_BYTES, bytes, "bytes"));
    }
    Unigram::from(vocab, unk_id, false)
        .map_err(|error| invalid("model", "a Unigram model", error.to_string()))
}

fn read_normalizer(value: &Value) -> Result<Vec<Normalizer>, FormatError> {
    let wrong = |reason: &str| unsupported("normalizer", value, reason);
    let text = |field: &str| {
        value[field].as_str().ok_or_else(|| wrong(&format!("{field} should be a text")))
    };
    let flag = |field: &str| {
        value[field].as_bool().ok_or_else(|| wrong(&format!("{field} should be true or false")))
    };
    let one =
        match value["type"].as_str() {
            None if value.is_null() => return Ok(vec![]),
            Some("Sequence") => {
                let steps = value["normalizers"]
                    .as_array()
                    .ok_or_else(|| wrong("normalizers should be a list"))?;
                let steps: Result<Vec<_>, _> = steps.iter().map(read_normalizer).collect();
                let steps: Vec<_> = steps?.into_iter().flatten().collect();
                return if steps.len() <= MAX_NORMALIZERS {
                    Ok(steps)
                } else {
                    Err(too_many("the length of normalizer", MAX_NORMALIZERS, steps.len(), "steps"))
                };
            }
            Some("Precompiled") if value["precompiled_charsmap"].is_null() => return Ok(vec![]),
            Some("Precompiled") => {
                let map = STANDARD.decode(text("precompiled_charsmap")?).map_err(|error| {
                    invalid("precompiled_charsmap", "base64", error.to_string())
                })?;
                Normalizer::Precompiled(charsmap::parse(&map).map_err(|(expected, found)| {
                    invalid("precompiled_charsmap", &expected, found)
                })?)
            }
            Some("Strip") => {
                Normalizer::Strip { left: flag("strip_left")?, right: flag("strip_right")? }
            }
            Some("Replace") => {
                let content = text("content")?.to_owned();
                if content.len() > MAX_REPLACEMENT_BYTES {
                    return Err(wrong("the content of Replace is too long"));
                }
                match (&value["pattern"]["String"], &value["pattern"]["Regex"]) {
                    (Value::String(pattern), _) if !pattern.is_empty() => {
                        Normalizer::Replace { pattern: pattern.clone(), content }
                    }
                    (_, Value::String(pattern)) if pattern == " {2,}" => {
                        Normalizer::ReplaceSpaceRuns { content }
                    }
                    _ => return Err(wrong("T5's only regular expression is \" {2,}\"")),
                }
            }
            _ => return Err(wrong("T5's tokenizers use Precompiled, Strip and Replace")),
        };
    Ok(vec![one])
}

/// The pre-tokenizer as whether it splits at whitespace first, and its metaspace rule.
fn read_pre_tokenizer(value: &Value) -> Result<(bool, Metaspace), FormatError> {
    if value["type"] != "Sequence" {
        return Ok((false, read_metaspace("pre_tokenizer", value)?));
    }
    match value["pretokenizers"].as_array().map(Vec::as_slice) {
        Some([mark]) => Ok((false, read_metaspace("pre_tokenizer", mark)?)),
        Some([split, mark]) if split["type"] == "WhitespaceSplit" => {
            Ok((true, read_metaspace("pre_tokenizer", mark)?))
        }
        _ => Err(unsupported("pre_tokenizer", value, "T5's are WhitespaceSplit and Metaspace")),
    }
}

fn read_metaspace(field: &str, value: &Value) -> Result<Metaspace, FormatError> {
    let wrong = |reason: &str| unsupported(field, value, reason);
    if value["type"] != "Metaspace" {
        return Err(wrong("T5's is a Metaspace"));
    }
    let mut replacement = value["replacement"].as_str().unwrap_or_default().chars();
    let (Some(replacement), None) = (replacement.next(), replacement.next()) else {
        return Err(wrong("replacement should be one character"));
    };
    // Older files have `add_prefix_space` in place of `prepend_scheme`.
    let prepend = match (value["prepend_scheme"].as_str(), value["add_prefix_space"].as_bool()) {
        (Some("always"), _) | (None, Some(true) | None) => PrependScheme::Always,
        (Some("first"), _) => PrependScheme::First,
        (Some("never"), _) | (None, Some(false)) => PrependScheme::Never,
        _ => return Err(wrong("prepend_scheme should be always, first or never")),
    };
    Ok(Metaspace::new(replacement, prepend, value["split"].as_bool().unwrap_or(true)))
}

fn invalid(what: &str, expected: &str, found: impl ToString) -> FormatError {
    FormatError::Invalid {
        format: FORMAT,
        what: what.into(),
        expected: expected.into(),
        found: excerpt(&found.to_string()),
    }
}

fn too_many(what: &str, limit: usize, found: usize, unit: &str) -> FormatError {
    invalid(what, &format!("at most {limit} {unit}"), format!("{found} {unit}"))
}

fn unsupported(field: &str, value: &Value, reason: &str) -> FormatError {
    FormatError::Unsupported {
        what: format!("{field} {} of {FORMAT}", excerpt(&value.to_string())),
        reason: reason.into(),
    }
}

fn not_json(error: serde_json::Error) -> FormatError {
    invalid("its text", "a tokenizer in JSON", error)
}

fn cannot_encode(error: tokenizers::Error) -> FormatError {
    invalid("the model", "able to encode every text", error)
}

#[cfg(test)]
mod tests;
