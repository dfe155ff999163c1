//! Reader of `spiece.model`, T5's original tokenizer file. The result equals that of Hugging Face's
//! conversion to `tokenizer.json` (`T5Converter` of transformers).
//!
//! Format: <https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto>, of
//! which only the pieces, the kind of model and the character map are read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::bytes::ByteReader;
use super::super::{FormatError, excerpt};
use super::unigram::Vocabulary;
use super::{END, File, FileAddedToken, FileModel, MAX_TOKENS, added};

const FORMAT: &str = "spiece.model";
/// Number of sentinel tokens that T5's tokenizer adds after the pieces, the one with the highest number
/// first, unless `extra_ids` of `tokenizer_config.json` says otherwise: mT5's has 0 and UMT5's 300.
pub(in crate::formats) const EXTRA_IDS: usize = 100;
/// End of a piece that is a sentinel, as mT5's vocabulary has them.
const SENTINEL: &str = "<extra_id_0>";
/// The mark for a space.
const SPACE: &str = "▁";

/// Field numbers of the messages read.
mod field {
    pub const PIECES: u64 = 1;
    pub const TRAINER: u64 = 2;
    pub const NORMALIZER: u64 = 3;

    pub const PIECE_TEXT: u64 = 1;
    pub const PIECE_SCORE: u64 = 2;
    pub const PIECE_KIND: u64 = 3;

    pub const TRAINER_MODEL: u64 = 3;
    pub const NORMALIZER_CHARSMAP: u64 = 2;
}

/// `SentencePiece.Type` of the unknown piece, of control tokens and of symbols that the user defined.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
/// `TrainerSpec.ModelType` of a Unigram model, also where none is given.
const UNIGRAM: u64 = 1;
/// T5's special tokens, in the order of their ids.
const SPECIAL: [&str; 3] = ["<pad>", END, "<unk>"];

/// One field of a message.
enum Field<'b> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'b [u8]),
}

/// Reads a message's next field, or `None` at its end.
fn next<'b>(
    reader: &mut ByteReader<'b>,
    end: usize,
) -> Result<Option<(u64, Field<'b>)>, FormatError> {
    const WHAT: &str = "a field";
    if reader.position() >= end {
        return Ok(None);
    }
    let key = varint(reader)?;
    let value = match key & 7 {
        0 => Field::Varint(varint(reader)?),
        1 => {
            reader.u64(WHAT)?;
            Field::Fixed64
        }
        2 => {
            let length = varint(reader)?;
            Field::Bytes(reader.take(length, WHAT)?)
        }
        5 => Field::Fixed32(reader.u32(WHAT)?),
        kind => return Err(wrong("the wire type of a field", "0, 1, 2 or 5", kind)),
    };
    Ok(Some((key >> 3, value)))
}

fn varint(reader: &mut ByteReader<'_>) -> Result<u64, FormatError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8("a number")?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(wrong("a number", "at most 10 bytes", "a longer one"))
}

fn wrong(what: &str, expected: &str, found: impl ToString) -> FormatError {
    FormatError::Invalid {
        format: FORMAT,
        what: what.into(),
        expected: expected.into(),
        found: excerpt(&found.to_string()),
    }
}

/// Reads the file into the parts of a `tokenizer.json`; `config` is the `tokenizer_config.json` beside it,
/// or `null`.
///
/// # Errors
/// [`FormatError::Truncated`] or [`FormatError::Invalid`] if it is no SentencePiece model,
/// [`FormatError::Unsupported`] if it is no Unigram model.
pub(super) fn read(bytes: &[u8], config: &Value) -> Result<File, FormatError> {
    let mut vocab = Vocabulary::default();
    let mut unk_id = None;
    let mut added_tokens = Vec::new();
    let mut has_sentinels = false;
    let mut charsmap = Vec::new();
    let mut reader = ByteReader::new(FORMAT, bytes);
    while let Some((number, value)) = next(&mut reader, bytes.len())? {
        match (number, value) {
            (field::PIECES, Field::Bytes(piece)) => {
                let (text, score, kind) = read_piece(piece)?;
                let is_special = SPECIAL.contains(&text) || kind == CONTROL;
                if is_special || kind == USER_DEFINED {
                    added_tokens.push(added_token(vocab.len(), text, is_special));
                }
                if kind == UNKNOWN {
                    unk_id = Some(vocab.len());
                }
                has_sentinels |= text.ends_with(SENTINEL);
                vocab.push(text, score);
                check_pieces(vocab.len())?;
            }
            (field::TRAINER, Field::Bytes(trainer)) => check_trainer(trainer)?,
            (field::NORMALIZER, Field::Bytes(normalizer)) => charsmap = read_charsmap(normalizer)?,
            _ => {}
        }
    }
    let id_of = |name: &str| added_tokens.iter().find(|token| token.content == name);
    let missing = |name| wrong("its pieces", &format!("{name} among them"), "none");
    for name in SPECIAL {
        id_of(name).ok_or_else(|| missing(name))?;
    }
    let end = id_of(END).ok_or_else(|| missing(END))?.id;
    let extra_ids = config["extra_ids"].as_u64();
    let extra_ids = extra_ids.unwrap_or(if has_sentinels { 0 } else { EXTRA_IDS as u64 });
    let extra_ids = usize::try_from(extra_ids).unwrap_or(usize::MAX);
    added::check_number(added::CONFIG, extra_ids)?;
    for extra in (0..extra_ids).rev() {
        let name = format!("<extra_id_{extra}>");
        added_tokens.push(added_token(vocab.len(), &name, true));
        vocab.push(&name, 0.0);
    }
    check_pieces(vocab.len())?;
    // As `_get_prepend_scheme` of transformers' converter.
    let metaspace = metaspace(if config["add_prefix_space"] == false {
        "never"
    } else if config["legacy"] == false {
        "first"
    } else {
        "always"
    });
    Ok(File {
        model: FileModel { vocab, unk_id, byte_fallback: false },
        added_tokens,
        normalizer: normalizer(&charsmap),
        pre_tokenizer: metaspace.clone(),
        post_processor: post_processor(END, end),
        decoder: metaspace,
    })
}

fn added_token(id: usize, content: &str, special: bool) -> FileAddedToken {
    FileAddedToken {
        id: id as u32,
        content: content.to_owned(),
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special,
    }
}

fn check_pieces(pieces: usize) -> Result<(), FormatError> {
    if pieces <= MAX_TOKENS {
        return Ok(());
    }
    Err(wrong("the number of its pieces", &format!("at most {MAX_TOKENS}"), "more"))
}

/// The metaspace rule; `scheme` is its `prepend_scheme`.
pub(in crate::formats) fn metaspace(scheme: &str) -> Value {
    json!({ "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme })
}

/// The post-processor that ends a text with the token `end` of this id.
pub(in crate::formats) fn post_processor(end: &str, id: u32) -> Value {
    json!({
        "type": "TemplateProcessing",
        "single": [
            { "Sequence": { "id": "A", "type_id": 0 } },
            { "SpecialToken": { "id": end, "type_id": 0 } },
        ],
        "pair": [],
        "special_tokens": { end: { "id": end, "ids": [id], "tokens": [end] } },
    })
}

/// The normaliser that transformers builds from a character map.
pub(in crate::formats) fn normalizer(charsmap: &[u8]) -> Value {
    let mut steps = Vec::new();
    if !charsmap.is_empty() {
        let map = STANDARD.encode(charsmap);
        steps.push(json!({ "type": "Precompiled", "precompiled_charsmap": map }));
    }
    steps.push(json!({ "type": "Strip", "strip_left": false, "strip_right": true }));
    steps.push(json!({ "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": SPACE }));
    json!({ "type": "Sequence", "normalizers": steps })
}

/// A piece's text, score and kind.
fn read_piece(bytes: &[u8]) -> Result<(&str, f64, u64), FormatError> {
    let (mut text, mut score, mut kind) = ("", 0.0, 1);
    let mut reader = ByteReader::new(FORMAT, bytes);
    while let Some((number, value)) = next(&mut reader, bytes.len())? {
        match (number, value) {
            (field::PIECE_TEXT, Field::Bytes(bytes)) => {
                text = std::str::from_utf8(bytes)
                    .map_err(|error| wrong("a piece", "text in UTF-8", error))?;
            }
            (field::PIECE_SCORE, Field::Fixed32(bits)) => score = json_round_trip(bits),
            (field::PIECE_KIND, Field::Varint(found)) => kind = found,
            _ => {}
        }
    }
    if !score.is_finite() {
        return Err(wrong("the score of a piece", "a finite number", score));
    }
    Ok((text, score, kind))
}

/// A score after a round trip through `tokenizer.json`, which can change its last bit. The bit decides
/// between segmentations of equal score, such as 999·99 and 99·999, and both kinds of file must give the
/// same one.
fn json_round_trip(bits: u32) -> f64 {
    let score = f64::from(f32::from_bits(bits));
    serde_json::from_str(&score.to_string()).unwrap_or(score)
}

fn check_trainer(bytes: &[u8]) -> Result<(), FormatError> {
    let mut reader = ByteReader::new(FORMAT, bytes);
    while let Some((number, value)) = next(&mut reader, bytes.len())? {
        if let (field::TRAINER_MODEL, Field::Varint(kind)) = (number, value)
            && kind != UNIGRAM
        {
            return Err(FormatError::Unsupported {
                what: format!("model type {kind} of {FORMAT}"),
                reason: "T5's is a Unigram (1)".into(),
            });
        }
    }
    Ok(())
}

fn read_charsmap(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut reader = ByteReader::new(FORMAT, bytes);
    let mut map = Vec::new();
    while let Some((number, value)) = next(&mut reader, bytes.len())? {
        if let (field::NORMALIZER_CHARSMAP, Field::Bytes(bytes)) = (number, value) {
            map = bytes.to_vec();
        }
    }
    Ok(map)
}
