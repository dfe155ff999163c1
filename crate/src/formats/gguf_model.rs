//! The sizes and the tokenizer of a T5 in a GGUF file's metadata, as llama.cpp's converter writes them.
//! Both become the files that Hugging Face has beside the weights.
//!
//! Keys: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, and `T5Model` in llama.cpp's
//! `convert_hf_to_gguf.py`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::gguf::{FORMAT, GgufHeader, Metadata};
use super::stream::MAX_HEADER_BYTES;
use super::tokenizer::sentencepiece::{EXTRA_IDS, metaspace, normalizer, post_processor};
use super::tokenizer::{MAX_ADDED_TOKENS, MAX_TOKENS};
use super::{FormatError, GgufValue, excerpt};

/// `relative_attention_max_distance` of every published T5.
const MAX_DISTANCE: u32 = 128;

/// The position bias of a stack's second block.
const SECOND_BIAS: &str = "block.1.layer.0.SelfAttention.relative_attention_bias";
/// How sentinel tokens begin.
const SENTINEL: &str = "<extra_id_";

/// Types of tokens in `tokenizer.ggml.token_type` (`llama_token_type`).
pub mod token_type {
    /// A piece of text.
    pub const NORMAL: i32 = 1;
    /// The token for what the vocabulary lacks.
    pub const UNKNOWN: i32 = 2;
    /// A token that is no text, such as `</s>`.
    pub const CONTROL: i32 = 3;
    /// Text that is one token wherever it occurs.
    pub const USER_DEFINED: i32 = 4;
    /// A row of the embedding without a token.
    pub const UNUSED: i32 = 5;
}

/// Number values of `config.json`, and their keys in the metadata.
const CONFIG_KEYS: [(&str, &str); 10] = [
    ("d_model", "t5.embedding_length"),
    ("d_ff", "t5.feed_forward_length"),
    ("d_kv", "t5.attention.key_length"),
    ("num_heads", "t5.attention.head_count"),
    ("num_layers", "t5.block_count"),
    ("relative_attention_num_buckets", "t5.attention.relative_buckets_count"),
    ("decoder_start_token_id", "t5.decoder_start_token_id"),
    ("eos_token_id", "tokenizer.ggml.eos_token_id"),
    ("pad_token_id", "tokenizer.ggml.padding_token_id"),
    ("layer_norm_epsilon", "t5.attention.layer_norm_rms_epsilon"),
];

/// What a GGUF file says of its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufModel {
    /// `config.json`.
    pub config: Vec<u8>,
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
}

impl GgufModel {
    /// Key of `relative_attention_max_distance`, which llama.cpp's files lack.
    pub const MAX_DISTANCE_KEY: &str = "t5.attention.relative_max_distance";

    /// Key of a whole `tokenizer.json`, for what the keys of `tokenizer.ggml` cannot describe.
    pub const TOKENIZER_KEY: &str = "tokenizer.huggingface.json";

    /// Reads the start of a file, up to the data of its tensors.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if the bytes end before the tensors' data,
    /// [`FormatError::Invalid`] or [`FormatError::Unsupported`] naming the key that is missing or wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::read_sized(bytes).map(|(model, _)| model)
    }

    /// Also returns the length of the header.
    fn read_sized(bytes: &[u8]) -> Result<(Self, usize), FormatError> {
        let (header, metadata) = GgufHeader::read_with_metadata(bytes)?;
        let metadata = Description(&metadata);
        metadata.check_kind()?;
        let tokens = metadata.tokens()?;
        let embedding = header.tensors.get("shared.weight").and_then(|info| info.shape.first());
        let vocab_size = embedding.copied().unwrap_or(tokens.len());
        let config = metadata.config(&header, vocab_size)?;
        let tokenizer = match metadata.0.get(Self::TOKENIZER_KEY) {
            Some(GgufValue::Text(json)) => json.clone().into_bytes(),
            Some(_) => return Err(wrong(Self::TOKENIZER_KEY, "text", "another type")),
            None => metadata.tokenizer(tokens, vocab_size)?,
        };
        let config = config.to_string().into_bytes();
        Ok((Self { config, tokenizer }, header.bytes))
    }
}

/// The start of a GGUF file that arrives in pieces, up to where it has described its model.
#[derive(Debug, Default)]
pub struct GgufStart {
    bytes: Vec<u8>,
    /// The length at which it is read again.
    next_try: usize,
}

impl GgufStart {
    /// Limit on the header.
    pub const MAX_BYTES: usize = MAX_HEADER_BYTES;

    /// Adds the next bytes; returns the model once they describe it.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] or [`FormatError::Unsupported`], as [`GgufModel::read`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<DescribedStart>, FormatError> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() < self.next_try {
            return Ok(None);
        }
        match GgufModel::read_sized(&self.bytes) {
            Err(FormatError::Truncated { .. }) if self.bytes.len() < Self::MAX_BYTES => {
                // Doubling keeps the total time of repeated parsing linear.
                self.next_try = self.bytes.len() * 2;
                Ok(None)
            }
            read => read.map(|(model, header_bytes)| {
                let bytes = std::mem::take(&mut self.bytes);
                Some(DescribedStart { model, header_bytes, bytes })
            }),
        }
    }

    /// The model of a file that ended.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] for a file that ends within its header, and those of
    /// [`GgufStart::push`].
    pub fn end(self) -> Result<DescribedStart, FormatError> {
        let (model, header_bytes) = GgufModel::read_sized(&self.bytes)?;
        Ok(DescribedStart { model, header_bytes, bytes: self.bytes })
    }
}

/// The start of a GGUF file, and the model that it describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedStart {
    /// The model.
    pub model: GgufModel,
    /// Length of the header, which describes the model.
    pub header_bytes: usize,
    /// The header, and what arrived after it.
    pub bytes: Vec<u8>,
}

/// `tokenizer.json`, without a tree of values, which would take a kilobyte for each added token.
#[derive(Serialize)]
struct TokenizerFile<'m> {
    added_tokens: Vec<AddedToken<'m>>,
    decoder: &'m Value,
    model: UnigramFile<'m>,
    normalizer: Value,
    post_processor: Value,
    pre_tokenizer: &'m Value,
    version: &'static str,
}

#[derive(Serialize)]
struct UnigramFile<'m> {
    #[serde(rename = "type")]
    kind: &'static str,
    unk_id: usize,
    vocab: Vec<(&'m str, f64)>,
}

#[derive(Serialize)]
struct AddedToken<'m> {
    content: &'m str,
    id: usize,
    lstrip: bool,
    normalized: bool,
    rstrip: bool,
    single_word: bool,
    special: bool,
}

/// A token of the vocabulary: its text, score and type.
type Token<'m> = (&'m str, f32, i32);

struct Description<'m>(&'m Metadata);

impl<'m> Description<'m> {
    fn value(&self, key: &str) -> Result<&'m GgufValue, FormatError> {
        self.0.get(key).ok_or_else(|| FormatError::Invalid {
            format: FORMAT,
            what: "the metadata".into(),
            expected: format!("{key}, or a config.json and a tokenizer beside the file"),
            found: "none".into(),
        })
    }

    fn number(&self, key: &str) -> Result<Value, FormatError> {
        match self.value(key)? {
            GgufValue::U32(value) => Ok(json!(value)),
            GgufValue::F32(value) => Ok(json!(value)),
            _ => Err(wrong(key, "a number", "another type")),
        }
    }

    fn check_kind(&self) -> Result<(), FormatError> {
        for (key, expected) in [("general.architecture", "t5"), ("tokenizer.ggml.model", "t5")] {
            match self.value(key)? {
                GgufValue::Text(found) if found == expected => {}
                GgufValue::Text(found) if found == "none" => {
                    return Err(FormatError::Unsupported {
                        what: format!("{key} none"),
                        reason:
                            "the file describes no tokenizer; put the model's config.json and its \
                                 tokenizer's files beside it"
                                .into(),
                    });
                }
                GgufValue::Text(found) => {
                    return Err(FormatError::Unsupported {
                        what: format!("{key} {}", excerpt(found)),
                        reason: format!("a whole T5 with its Unigram tokenizer has {expected:?}"),
                    });
                }
                _ => return Err(wrong(key, "text", "another type")),
            }
        }
        Ok(())
    }

    /// `config.json` of these tensors.
    fn config(&self, header: &GgufHeader, vocab_size: usize) -> Result<Value, FormatError> {
        let mut config = Map::new();
        for (name, key) in CONFIG_KEYS {
            config.insert(name.into(), self.number(key)?);
        }
        // Files of encoders and decoders of equal depth have one key.
        let decoder = "t5.decoder_block_count";
        let blocks = if self.0.contains_key(decoder) { decoder } else { "t5.block_count" };
        let max_distance = match self.0.get(GgufModel::MAX_DISTANCE_KEY) {
            Some(_) => self.number(GgufModel::MAX_DISTANCE_KEY)?,
            None => json!(MAX_DISTANCE),
        };
        let has = |part: &str| header.tensors.keys().any(|name| name.contains(part));
        let gated = has("DenseReluDense.wi_1");
        for (name, value) in [
            // UMT5 has a bias in every block, T5 in the first.
            ("model_type", json!(if has(SECOND_BIAS) { "umt5" } else { "t5" })),
            ("vocab_size", json!(vocab_size)),
            ("num_decoder_layers", self.number(blocks)?),
            ("relative_attention_max_distance", max_distance),
            ("feed_forward_proj", json!(if gated { "gated-gelu" } else { "relu" })),
            ("tie_word_embeddings", json!(!has("lm_head.weight"))),
        ] {
            config.insert(name.into(), value);
        }
        Ok(Value::Object(config))
    }

    /// The vocabulary without the tokens at its end that only fill it up to the embedding's rows.
    fn tokens(&self) -> Result<Vec<Token<'m>>, FormatError> {
        let (texts, scores, types) =
            ("tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type");
        let GgufValue::Texts(tokens) = self.value(texts)? else {
            return Err(wrong(texts, "texts", "another type"));
        };
        let GgufValue::F32s(scored) = self.value(scores)? else {
            return Err(wrong(scores, "numbers", "another type"));
        };
        let GgufValue::I32s(typed) = self.value(types)? else {
            return Err(wrong(types, "whole numbers", "another type"));
        };
        for (key, found) in [(scores, scored.len()), (types, typed.len())] {
            if found != tokens.len() {
                return Err(wrong(key, &format!("{} values", tokens.len()), &found.to_string()));
            }
        }
        let all = tokens.iter().zip(scored).zip(typed);
        let mut all: Vec<Token<'m>> =
            all.map(|((text, score), kind)| (text.as_str(), *score, *kind)).collect();
        if all.len() > MAX_TOKENS {
            return Err(wrong(texts, &format!("at most {MAX_TOKENS}"), &all.len().to_string()));
        }
        while all.last().is_some_and(|(_, _, kind)| *kind == token_type::UNUSED) {
            all.pop();
        }
        if let Some((text, score, _)) = all.iter().find(|(_, score, _)| !score.is_finite()) {
            let what = format!("the score of {}", excerpt(text));
            return Err(wrong(&what, "a finite number", &score.to_string()));
        }
        Ok(all)
    }

    /// `tokenizer.json`, as transformers converts a SentencePiece model (`T5Converter`).
    fn tokenizer(&self, tokens: Vec<Token<'_>>, vocab_size: usize) -> Result<Vec<u8>, FormatError> {
        // T5's sentinels are none of the SentencePiece model's pieces, so that files made from it alone
        // have fillers in their places. mT5 has no sentinels, and no rows for them.
        let sentinels: Vec<String> =
            (0..EXTRA_IDS).rev().map(|extra| format!("{SENTINEL}{extra}>")).collect();
        let mut tokens: Vec<Token<'_>> = tokens;
        let has_room = tokens.len() + EXTRA_IDS <= vocab_size;
        if has_room && !tokens.iter().any(|(text, ..)| text.starts_with(SENTINEL)) {
            let sentinel = |text| (text, 0.0, token_type::CONTROL);
            tokens.extend(sentinels.iter().map(String::as_str).map(sentinel));
        }
        let unknown = tokens.iter().position(|(_, _, kind)| *kind == token_type::UNKNOWN);
        let unknown = unknown.ok_or_else(|| wrong("the tokens", "an unknown one", "none"))?;
        let is_added = |kind: i32| {
            [token_type::UNKNOWN, token_type::CONTROL, token_type::USER_DEFINED].contains(&kind)
        };
        let count = tokens.iter().filter(|(_, _, kind)| is_added(*kind)).count();
        if count > MAX_ADDED_TOKENS {
            let expected = format!("at most {MAX_ADDED_TOKENS} that are no pieces");
            return Err(wrong("the tokens", &expected, &count.to_string()));
        }
        let added_tokens: Vec<AddedToken<'_>> = (tokens.iter().enumerate())
            .filter(|(_, (_, _, kind))| is_added(*kind))
            .map(|(id, (text, _, kind))| {
                let special = *kind != token_type::USER_DEFINED || text.starts_with(SENTINEL);
                let (lstrip, normalized, rstrip, single_word) = Default::default();
                AddedToken { content: text, id, lstrip, normalized, rstrip, single_word, special }
            })
            .collect();
        let end = match self.value("tokenizer.ggml.eos_token_id")? {
            GgufValue::U32(id) => Some(*id),
            _ => None,
        };
        let end = end.and_then(|id| Some((id, tokens.get(id as usize)?.0)));
        let (end_id, end) = end.ok_or_else(|| {
            wrong("tokenizer.ggml.eos_token_id", "the id of a token", "another value")
        })?;
        let prefix = self.0.get("tokenizer.ggml.add_space_prefix");
        let has_prefix = prefix != Some(&GgufValue::Bool(false));
        let metaspace = metaspace(if has_prefix { "always" } else { "never" });
        let key = "tokenizer.ggml.precompiled_charsmap";
        let charsmap = match self.0.get(key) {
            Some(GgufValue::Bytes(map)) => &map[..],
            Some(_) => return Err(wrong(key, "bytes", "another type")),
            None => &[],
        };
        let vocab = tokens.iter().map(|&(text, score, _)| (text, f64::from(score))).collect();
        let file = TokenizerFile {
            added_tokens,
            decoder: &metaspace,
            model: UnigramFile { kind: "Unigram", unk_id: unknown, vocab },
            normalizer: normalizer(charsmap),
            post_processor: post_processor(end, end_id),
            pre_tokenizer: &metaspace,
            version: "1.0",
        };
        serde_json::to_vec(&file).map_err(|error| {
            wrong("the tokenizer", "one that can be written as JSON", &excerpt(&error.to_string()))
        })
    }
}

fn wrong(what: &str, expected: &str, found: &str) -> FormatError {
    FormatError::Invalid {
        format: FORMAT,
        what: what.into(),
        expected: expected.into(),
        found: excerpt(found),
    }
}
