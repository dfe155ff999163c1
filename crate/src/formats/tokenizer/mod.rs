//! Tokenizers of the T5 family, read from `tokenizer.json`, from SentencePiece's `spiece.model`, or, where
//! the model reads bytes, from the configuration that says so.
//!
//! The SentencePiece normaliser is that of Hugging Face's `tokenizers`, and the metaspace rules and the Unigram
//! model give its results. This module reads the file in place of its `Tokenizer::from_bytes`, which does not
//! check the character map, token lengths and scores, and would add other models and regular expressions to
//! the WebAssembly module.

mod added;
mod byt5;
mod charsmap;
mod metaspace;
mod pieces;
pub(super) mod sentencepiece;
mod text_stream;
mod unigram;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::added::{AddedToken, AddedTokens, Piece, Source, SpecialToken};
use self::pieces::Pieces;
pub use self::text_stream::TextStream;
use self::unigram::Vocabulary;
use super::budget::Budget;
use super::{Example, FormatError, excerpt, without_mark};

const FORMAT: &str = "tokenizer.json";
/// Limit on the file; T5's has 2.4 MB, the largest multilingual T5's 16 MB.
const MAX_FILE_BYTES: usize = 32 << 20;
/// Limit on the tokens; multilingual T5 has 256,300.
pub(super) const MAX_TOKENS: usize = 1 << 20;
/// Limit on a token in bytes; SentencePiece's have at most 16 characters, added ones a few more.
const MAX_TOKEN_BYTES: usize = 256;
/// Limit on the added tokens; T5 has 103, and models of semantic ids have tens of thousands.
pub(super) const MAX_ADDED_TOKENS: usize = 1 << 16;
/// Limit on the id of an added token.
const MAX_ID: u32 = 1 << 24;
/// Limit on the memory of the normaliser and of each other part of the file that is read as JSON values; T5's
/// character map takes 0.3 MB.
const MAX_PART_BYTES: usize = 8 << 20;
/// Limit on a text to encode.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// The token that ends every encoded text.
const END: &str = "</s>";

/// What the text between added tokens is made of.
#[derive(Debug)]
enum Units {
    Pieces(Box<Pieces>),
    /// ByT5's bytes.
    Bytes,
}

/// A tokenizer of the T5 family: text to ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    units: Units,
    added: AddedTokens,
    /// Added tokens that are matched in normalised text.
    added_normalized: AddedTokens,
    added_by_id: BTreeMap<u32, AddedToken>,
    end: u32,
    /// `clean_up_tokenization_spaces`: whether decoding removes the spaces before punctuation marks.
    cleans_up: bool,
    /// `split_special_tokens`: whether special tokens are read as the text that they are.
    splits_special: bool,
}

/// What `clean_up_tokenization_spaces` replaces, in order, as `clean_up_tokenization` of transformers.
const CLEANED_UP: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// The files beside a tokenizer's own that add tokens to it, where there are any.
#[derive(Debug, Clone, Copy, Default)]
pub struct AddedTokenFiles<'b> {
    /// `added_tokens.json`, an object from tokens to ids.
    pub added_tokens: Option<&'b [u8]>,
    /// `special_tokens_map.json`, which names special tokens too.
    pub special_tokens_map: Option<&'b [u8]>,
    /// `tokenizer_config.json`, whose `added_tokens_decoder` is read in place of the other files, and which
    /// names special tokens, as in `additional_special_tokens`.
    pub tokenizer_config: Option<&'b [u8]>,
}

impl Tokenizer {
    /// Whether a configuration, `tokenizer_config.json` or `config.json`, names a tokenizer that has no
    /// file of its own, that of ByT5: it is read by [`Tokenizer::parse`] then.
    pub fn is_named_by(config: &[u8]) -> bool {
        let config = read_kind(without_mark(config));
        config.is_ok_and(|config| config.is_byt5())
    }

    /// Reads a `tokenizer.json`, a `spiece.model` or the configuration of a ByT5, by its content.
    ///
    /// # Errors
    /// Those of [`Tokenizer::parse_with`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::parse_with(bytes, AddedTokenFiles::default())
    }

    /// Reads a `tokenizer.json`, a `spiece.model` or the configuration of a ByT5 with the files beside
    /// it, as transformers does. A `spiece.model` gets the sentinel tokens that T5 adds to it.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] or [`FormatError::Invalid`] if the file contradicts itself or exceeds
    /// a limit, or if a file beside it is not valid or gives an id that another token has,
    /// [`FormatError::Unsupported`] if it uses a part that T5's tokenizers do not.
    pub fn parse_with<'b>(
        bytes: &'b [u8],
        mut beside: AddedTokenFiles<'b>,
    ) -> Result<Self, FormatError> {
        let bytes = without_mark(bytes);
        if bytes.len() > MAX_FILE_BYTES {
            return Err(too_many("its length", MAX_FILE_BYTES, bytes.len(), "bytes"));
        }
        let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if is_json {
            let kind = read_kind(bytes)?;
            if kind.is_byt5() {
                beside.tokenizer_config.get_or_insert(bytes);
                return Self::of_bytes(&added::read_config(beside)?, beside.added_tokens);
            }
            // Checked first, so that another model's vocabulary is refused by the model's name.
            kind.check()?;
        }
        let config = added::read_config(beside)?;
        let mut file = if is_json {
            serde_json::from_slice(bytes).map_err(not_json)?
        } else {
            sentencepiece::read(bytes, &config)?
        };
        let ids: BTreeMap<u32, usize> =
            file.added_tokens.iter().enumerate().map(|(index, token)| (token.id, index)).collect();
        let (tokens, source) = added::read_files(&config, beside.added_tokens)?;
        let special = added::special_tokens(&config)?;
        let names: BTreeSet<&str> = special.iter().map(|token| &*token.content).collect();
        for mut token in tokens {
            let known = ids
                .get(&token.id)
                .filter(|&&index| file.added_tokens[index].content == token.content);
            match known {
                Some(&index) if file.added_tokens[index] == token => {}
                Some(_) if source == Source::AddedTokens => {}
                known => {
                    if names.contains(&*token.content) {
                        token.special = true;
                        token.normalized &= source == Source::Config;
                    }
                    match known {
                        Some(&index) => {
                            // transformers takes the other flags alone, and no token stops being special.
                            token.normalized = file.added_tokens[index].normalized;
                            token.special |= file.added_tokens[index].special;
                            file.added_tokens[index] = token;
                        }
                        None => file.added_tokens.push(token),
                    }
                }
            }
        }
        Self::of_pieces(file, special, &config)
    }

    /// `special` are the tokens that the configuration names.
    fn of_pieces(
        file: File,
        special: Vec<SpecialToken>,
        config: &Value,
    ) -> Result<Self, FormatError> {
        let File { model, added_tokens, normalizer, pre_tokenizer, post_processor, decoder } = file;
        let pieces = Pieces::read(model, &normalizer, &pre_tokenizer, &decoder)?;
        let mut tokenizer = Self::without_added(Units::Pieces(Box::new(pieces)), config);
        let tokens = tokenizer.with_special(added_tokens, special);
        tokenizer.add(tokens)?;
        tokenizer.end = tokenizer.read_end(&post_processor)?;
        Ok(tokenizer)
    }

    /// The added tokens with the special ones. A token that is neither added nor in the vocabulary gets
    /// the next id, as in transformers.
    fn with_special(
        &self,
        mut added: Vec<FileAddedToken>,
        special: Vec<SpecialToken>,
    ) -> Vec<FileAddedToken> {
        let places: HashMap<String, usize> =
            added.iter().enumerate().map(|(place, token)| (token.content.clone(), place)).collect();
        let highest = added.iter().map(|token| token.id.saturating_add(1)).max().unwrap_or(0);
        let mut next = highest.max(self.vocabulary_size() as u32);
        for SpecialToken { content, flags } in special {
            match (places.get(&content), flags) {
                (Some(&place), Some(flags)) => {
                    added[place] = flags.token(added[place].id, content, true);
                }
                (Some(_), None) => {}
                (None, flags) => {
                    let id = self.piece_id(&content).unwrap_or_else(|| {
                        next = next.saturating_add(1);
                        next - 1
                    });
                    added.push(flags.unwrap_or_default().token(id, content, true));
                }
            }
        }
        added
    }

    fn of_bytes(config: &Value, added_tokens: Option<&[u8]>) -> Result<Self, FormatError> {
        let mut tokenizer = Self::without_added(Units::Bytes, config);
        let tokens = byt5::added_tokens(config, added_tokens)?;
        let mut tokens = tokenizer.with_special(tokens, added::special_tokens(config)?);
        // Nothing is normalised: all tokens are matched in the text as it is.
        tokens.iter_mut().for_each(|token| token.normalized = false);
        tokenizer.add(tokens)?;
        Ok(tokenizer)
    }

    fn without_added(units: Units, config: &Value) -> Self {
        let (added, added_normalized, added_by_id) = Default::default();
        let cleans_up = added::is_set(config, "clean_up_tokenization_spaces");
        let splits_special = added::is_set(config, "split_special_tokens");
        let end = byt5::END;
        Self { units, added, added_normalized, added_by_id, end, cleans_up, splits_special }
    }

    /// The ids of a text, with `</s>` at the end.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] for a text longer than 256 KiB, [`FormatError::OverBudget`] for one that the
    /// tokenizer's rules make too long or too slow to read.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        let mut ids = Vec::new();
        self.encode_with(text, &mut |id, _| ids.push(id))?;
        // ByT5's adds no second one.
        if !(matches!(self.units, Units::Bytes) && ids.last() == Some(&self.end)) {
            ids.push(self.end);
        }
        Ok(ids)
    }

    /// What a text holds that the vocabulary lacks, each once: the model reads `<unk>` in place of it,
    /// and cannot write it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn unwritable(&self, text: &str) -> Result<Vec<String>, FormatError> {
        let mut found: Vec<String> = Vec::new();
        let Units::Pieces(pieces) = &self.units else { return Ok(found) };
        let (unknown, space) = (pieces.model.unknown(), pieces.space());
        self.encode_with(text, &mut |id, piece| {
            let piece = piece.trim_matches(space);
            if id == unknown && !piece.is_empty() && found.iter().all(|other| other != piece) {
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
        let budget = &mut Budget::new("text", text.len());
        for (index, piece) in self.added.split(text, budget)?.into_iter().enumerate() {
            match piece {
                Piece::Token(id) => on_token(id, ""),
                Piece::Text(text) => self.encode_text(text, index == 0, budget, on_token)?,
            }
        }
        Ok(())
    }

    /// Encodes text without (unnormalised) added tokens.
    fn encode_text(
        &self,
        text: &str,
        at_start: bool,
        budget: &mut Budget,
        on_token: &mut dyn FnMut(u32, &str),
    ) -> Result<(), FormatError> {
        let Units::Pieces(pieces) = &self.units else {
            text.bytes().for_each(|byte| on_token(byt5::id(byte), ""));
            return Ok(());
        };
        let text = pieces.normalize(text, budget)?;
        for (index, piece) in self.added_normalized.split(&text, budget)?.into_iter().enumerate() {
            match piece {
                Piece::Token(id) => on_token(id, ""),
                Piece::Text(text) => {
                    pieces.encode(text, at_start && index == 0, budget, on_token)?
                }
            }
        }
        Ok(())
    }

    /// The text of ids, without special tokens. Skips ids outside the vocabulary, as Hugging Face does,
    /// because a model's output layer is often wider than its vocabulary, and bytes that are not valid
    /// UTF-8.
    pub fn decode(&self, ids: &[u32]) -> String {
        let text = self.decode_as_is(ids);
        if !self.cleans_up {
            return text;
        }
        CLEANED_UP.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }

    /// Whether [`Tokenizer::decode`] removes the spaces before punctuation marks, as
    /// `clean_up_tokenization_spaces` of `tokenizer_config.json` says.
    pub fn cleans_up(&self) -> bool {
        self.cleans_up
    }

    /// [`Tokenizer::decode`] with all spaces.
    fn decode_as_is(&self, ids: &[u32]) -> String {
        let mut stream = self.text_stream();
        ids.iter().map(|&id| stream.push(id)).collect()
    }

    /// The parts in which this tokenizer is not another one, by their names in `tokenizer.json`; empty where
    /// both give the same ids and texts for every input, spaces that [`Tokenizer::decode`] removes aside.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let mut parts = match (&self.units, &other.units) {
            (Units::Pieces(own), Units::Pieces(other)) => own.differences(other),
            (Units::Bytes, Units::Bytes) => Vec::new(),
            _ => return vec!["model"],
        };
        let is_same = self.added == other.added
            && self.added_normalized == other.added_normalized
            && self.added_by_id == other.added_by_id;
        if !is_same {
            parts.push("added_tokens");
        }
        if self.end != other.end {
            parts.push("post_processor");
        }
        if self.splits_special != other.splits_special {
            parts.push("split_special_tokens");
        }
        parts
    }

    /// All added tokens as `added_tokens` of `tokenizer.json` has them, also those that were read from the
    /// files beside it.
    pub fn added_tokens(&self) -> Value {
        let normalized: BTreeSet<u32> = self.added_normalized.ids().collect();
        let token = |token: &AddedToken| {
            let AddedToken { id, content, special, lstrip, rstrip } = token;
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": lstrip,
                "rstrip": rstrip, "normalized": normalized.contains(id), "special": special,
            })
        };
        self.added_by_id.values().map(token).collect()
    }

    /// A decoder for ids that arrive one at a time.
    pub fn text_stream(&self) -> TextStream<'_> {
        TextStream::new(self)
    }

    /// Id of `</s>`.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// One more than the highest id.
    pub fn vocabulary_size(&self) -> usize {
        let added = self.added_by_id.last_key_value().map_or(0, |(&id, _)| id as usize + 1);
        let units = match &self.units {
            Units::Pieces(pieces) => pieces.model.len(),
            Units::Bytes => byt5::IDS as usize,
        };
        units.max(added)
    }

    /// Adds the file's added tokens to the vocabulary.
    fn add(&mut self, tokens: Vec<FileAddedToken>) -> Result<(), FormatError> {
        if tokens.len() > MAX_ADDED_TOKENS {
            return Err(too_many("the length of added_tokens", MAX_ADDED_TOKENS, tokens.len(), ""));
        }
        let (mut raw, mut normalized) = (Vec::new(), Vec::new());
        let bytes = tokens.iter().map(|token| token.content.len()).sum();
        let mut budget = Budget::new(FORMAT, bytes);
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
            let expected = match self.piece_id(&token.content) {
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
            let is_text =
                self.splits_special && (token.special || matches!(self.units, Units::Bytes));
            if is_text {
                continue;
            }
            if token.normalized {
                let content = match &self.units {
                    Units::Pieces(pieces) => {
                        let content = pieces.normalize(&token.content, &mut budget)?;
                        budget.take("its added tokens", content.len())?;
                        content
                    }
                    Units::Bytes => token.content,
                };
                normalized.push(AddedToken { content, ..added });
            } else {
                raw.push(added);
            }
        }
        self.added = AddedTokens::new(raw);
        self.added_normalized = AddedTokens::new(normalized);
        Ok(())
    }

    /// The id of a token in the vocabulary without the added tokens.
    fn piece_id(&self, content: &str) -> Option<u32> {
        match &self.units {
            Units::Pieces(pieces) => pieces.model.id(content),
            Units::Bytes => None,
        }
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
            .piece_id(END)
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

/// What a JSON file is: the type of the model in a `tokenizer.json`, and the tokenizer's class in a
/// configuration.
#[derive(Deserialize)]
struct Kind {
    model: Option<ModelKind>,
    tokenizer_class: Option<String>,
}

#[derive(Deserialize)]
struct ModelKind {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Kind {
    fn is_byt5(&self) -> bool {
        self.model.is_none() && self.tokenizer_class.as_deref().is_some_and(byt5::is_named)
    }

    /// # Errors
    /// [`FormatError::Unsupported`] for another model than T5's.
    fn check(&self) -> Result<(), FormatError> {
        let kind = self.model.as_ref().and_then(|model| model.kind.as_deref());
        match kind.filter(|kind| *kind != "Unigram") {
            None => Ok(()),
            Some(kind) => Err(unsupported("model", &kind.into(), "T5's is a Unigram")),
        }
    }
}

fn read_kind(json: &[u8]) -> Result<Kind, FormatError> {
    serde_json::from_slice(json).map_err(not_json)
}

#[derive(Deserialize)]
struct File {
    model: FileModel,
    #[serde(default)]
    added_tokens: Vec<FileAddedToken>,
    #[serde(default, deserialize_with = "part")]
    normalizer: Value,
    #[serde(default, deserialize_with = "part")]
    pre_tokenizer: Value,
    #[serde(default, deserialize_with = "part")]
    post_processor: Value,
    #[serde(default, deserialize_with = "part")]
    decoder: Value,
}

/// Reads a part of the file as values, of which there are not too many.
fn part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let json = <&RawValue>::deserialize(deserializer)?.get();
    let mut budget = Budget::of(FORMAT, MAX_PART_BYTES);
    budget.take_json("a part of it", json.as_bytes()).map_err(D::Error::custom)?;
    serde_json::from_str(json).map_err(D::Error::custom)
}

#[derive(Deserialize)]
struct FileModel {
    vocab: Vocabulary,
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
}

#[derive(Deserialize, PartialEq)]
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

#[cfg(test)]
mod tests;
