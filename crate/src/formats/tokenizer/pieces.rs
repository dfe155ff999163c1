//! A tokenizer of pieces: the normaliser, the split into words and the Unigram model.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use spm_precompiled::Precompiled;

use super::super::FormatError;
use super::super::budget::Budget;
use super::metaspace::{Metaspace, PrependScheme};
use super::unigram::Unigram;
use super::{FileModel, MAX_TOKEN_BYTES, MAX_TOKENS, charsmap, invalid, too_many, unsupported};

/// Limit on the bytes of all pieces; those of mT5 have 2.3 MB.
const MAX_VOCABULARY_BYTES: usize = 8 << 20;
/// Limit on a text after each step of the normaliser, twice that of a text to encode.
const MAX_NORMALIZED_BYTES: usize = 512 << 10;
/// Limits on the content of a `Replace` and on the steps of a normaliser.
const MAX_REPLACEMENT_BYTES: usize = 16;
const MAX_NORMALIZERS: usize = 4;

/// A step of the normaliser, applied to the whole text between added tokens.
#[derive(Debug, PartialEq)]
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
    /// # Errors
    /// [`FormatError::OverBudget`] for a text that becomes longer than what is left.
    fn apply(&self, text: &str, budget: &mut Budget) -> Result<String, FormatError> {
        const WHAT: &str = "the normalised text";
        if let Normalizer::Replace { pattern, content } = self {
            let more = content.len().saturating_sub(pattern.len());
            let length = text.len() + text.matches(pattern.as_str()).count() * more;
            budget.take(WHAT, length)?;
        }
        let text = match self {
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
        };
        if text.len() > MAX_NORMALIZED_BYTES {
            return Err(FormatError::OverBudget {
                format: "text",
                what: WHAT.into(),
                limit: MAX_NORMALIZED_BYTES,
                unit: "bytes of memory",
            });
        }
        Ok(text)
    }
}

/// Text to pieces and back, without added tokens.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) model: Unigram,
    normalizers: Vec<Normalizer>,
    /// Whether the text is split at whitespace before [`Metaspace`] marks the words.
    split_whitespace: bool,
    metaspace: Metaspace,
    decoder: Metaspace,
}

impl Pieces {
    /// Reads the parts of a `tokenizer.json` of these names.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] or [`FormatError::Unsupported`] naming the part.
    pub(super) fn read(
        model: FileModel,
        normalizer: &Value,
        pre_tokenizer: &Value,
        decoder: &Value,
    ) -> Result<Self, FormatError> {
        let model = read_model(model)?;
        let (split_whitespace, metaspace) = read_pre_tokenizer(pre_tokenizer)?;
        Ok(Self {
            normalizers: read_normalizer(normalizer)?,
            split_whitespace,
            metaspace,
            decoder: read_metaspace("decoder", decoder)?,
            model,
        })
    }

    /// # Errors
    /// [`FormatError::OverBudget`] for a text that becomes too long.
    pub(super) fn normalize(&self, text: &str, budget: &mut Budget) -> Result<String, FormatError> {
        self.normalizers.iter().try_fold(text.to_owned(), |text, step| step.apply(&text, budget))
    }

    /// Calls `on_token` with the id and text of each token of a normalised text; `at_start` says
    /// whether it starts the input.
    ///
    /// # Errors
    /// [`FormatError::OverBudget`] where very many pieces start at most places of a long text.
    pub(super) fn encode(
        &self,
        text: &str,
        at_start: bool,
        budget: &mut Budget,
        on_token: &mut dyn FnMut(u32, &str),
    ) -> Result<(), FormatError> {
        let mut result = Ok(());
        self.metaspace.words(text, self.split_whitespace, at_start, &mut |word| {
            if result.is_ok() {
                result = self.model.tokenize(word, budget, on_token);
            }
        });
        result
    }

    /// The text of a token, which may be the first.
    pub(super) fn decode(&self, token: &str, is_first: bool) -> String {
        self.decoder.decode(token, is_first)
    }

    /// The parts in which these are not others, by their names in `tokenizer.json`.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let Self { model, normalizers, split_whitespace, metaspace, decoder } = self;
        let is_same_split =
            (split_whitespace, metaspace) == (&other.split_whitespace, &other.metaspace);
        let parts = [
            ("model", model.is_same(&other.model)),
            ("normalizer", *normalizers == other.normalizers),
            ("pre_tokenizer", is_same_split),
            ("decoder", *decoder == other.decoder),
        ];
        parts.into_iter().filter(|(_, is_same)| !is_same).map(|(part, _)| part).collect()
    }

    /// The mark for a space.
    pub(super) fn space(&self) -> char {
        self.metaspace.replacement
    }
}

fn read_model(model: FileModel) -> Result<Unigram, FormatError> {
    let FileModel { vocab, unk_id, byte_fallback } = model;
    if vocab.len() > MAX_TOKENS {
        return Err(too_many("the length of vocab", MAX_TOKENS, vocab.len(), "tokens"));
    }
    let Some(unknown) = unk_id.filter(|&unk_id| unk_id < vocab.len()) else {
        let expected = format!("a place among the {} tokens of vocab", vocab.len());
        return Err(invalid(
            "unk_id",
            &expected,
            unk_id.map_or("null".into(), |id| id.to_string()),
        ));
    };
    for (index, token) in vocab.iter().enumerate() {
        // An empty token would match everywhere.
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
            return Err(invalid(
                &format!("token {index} of vocab"),
                &format!("1 to {MAX_TOKEN_BYTES} bytes long"),
                token.len(),
            ));
        }
    }
    if vocab.bytes() > MAX_VOCABULARY_BYTES {
        let bytes = vocab.bytes();
        return Err(too_many("the size of vocab", MAX_VOCABULARY_BYTES, bytes, "bytes"));
    }
    Ok(Unigram::new(vocab, unknown as u32, byte_fallback))
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
    let prepend_scheme =
        match (value["prepend_scheme"].as_str(), value["add_prefix_space"].as_bool()) {
            (Some("always"), _) | (None, Some(true) | None) => PrependScheme::Always,
            (Some("first"), _) => PrependScheme::First,
            (Some("never"), _) | (None, Some(false)) => PrependScheme::Never,
            _ => return Err(wrong("prepend_scheme should be always, first or never")),
        };
    Ok(Metaspace { replacement, prepend_scheme, split: value["split"].as_bool().unwrap_or(true) })
}
