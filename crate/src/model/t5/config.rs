//! The model's sizes, from Hugging Face's `config.json`.

use std::sync::Arc;

use serde::Deserialize;

use super::{T5Model, tensors};
use crate::formats::without_mark;
use crate::model::{
    LinearId, LinearKind, Model, ModelConfig, ModelError, Stack, TensorSpecs, Tensors,
};

/// The feed-forward layer's kind, `feed_forward_proj` in `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum FeedForward {
    /// T5 1.0: `wo(relu(wi(x)))`.
    #[serde(rename = "relu")]
    Relu,
    /// T5 1.1 and Flan-T5: `wo(gelu_new(wi_0(x)) · wi_1(x))`.
    #[serde(rename = "gated-gelu")]
    GatedGelu,
}

/// A T5 model's sizes, checked by [`T5Config::parse`].
#[derive(Debug, Clone, PartialEq)]
pub struct T5Config {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of one attention head.
    pub d_kv: usize,
    /// Width of the feed-forward layer.
    pub d_ff: usize,
    /// Blocks of the encoder.
    pub num_layers: usize,
    /// Blocks of the decoder.
    pub num_decoder_layers: usize,
    /// Attention heads; `num_heads · d_kv` need not be `d_model`.
    pub num_heads: usize,
    /// Buckets of distances.
    pub relative_attention_num_buckets: usize,
    /// Distance from which all are in the last bucket.
    pub relative_attention_max_distance: usize,
    /// Added to the mean square in every layer norm.
    pub layer_norm_epsilon: f32,
    /// Kind of the feed-forward layer.
    pub feed_forward: FeedForward,
    /// Whether `lm_head` is the embedding. The configuration only suggests it: a model that is loaded
    /// has `true` where its weights hold no `lm_head.weight` of its own.
    pub tie_word_embeddings: bool,
    /// Whether the decoder's output is scaled by `d_model^-0.5` before `lm_head`.
    pub scale_decoder_outputs: bool,
    /// Token that decoding starts from.
    pub decoder_start_token_id: u32,
    /// Token that ends an output, `</s>`.
    pub eos_token_id: u32,
}

/// Relatives of T5 by their `model_type`, with what is not supported of them.
const RELATIVES: [(&str, &str); 5] = [
    ("mt5", "mT5 has another vocabulary, of 250,000 pieces and without sentinels"),
    ("umt5", "UMT5 has a relative attention bias in every block"),
    ("longt5", "LongT5 has local or transient-global attention"),
    ("switch_transformers", "Switch Transformers have several experts in a block"),
    ("pix2struct", "Pix2Struct reads images"),
];

/// The fields read, with the defaults of Hugging Face's `T5Config`.
#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    model_type: Option<String>,
    #[serde(default)]
    tokenizer_class: Option<String>,
    #[serde(default = "default_vocab_size")]
    vocab_size: usize,
    #[serde(default = "default_d_model")]
    d_model: usize,
    #[serde(default = "default_d_kv")]
    d_kv: usize,
    #[serde(default = "default_d_ff")]
    d_ff: usize,
    #[serde(default = "default_num_layers")]
    num_layers: usize,
    #[serde(default)]
    num_decoder_layers: Option<usize>,
    #[serde(default = "default_num_heads")]
    num_heads: usize,
    #[serde(default = "default_buckets")]
    relative_attention_num_buckets: usize,
    #[serde(default = "default_max_distance")]
    relative_attention_max_distance: usize,
    #[serde(default = "default_epsilon")]
    layer_norm_epsilon: f64,
    #[serde(default = "default_feed_forward")]
    feed_forward_proj: FeedForward,
    #[serde(default)]
    tie_word_embeddings: Option<bool>,
    /// Written by transformers 5, where `tie_word_embeddings` is `true` for every T5.
    #[serde(default)]
    scale_decoder_outputs: Option<bool>,
    #[serde(default)]
    decoder_start_token_id: Option<u32>,
    #[serde(default)]
    pad_token_id: Option<u32>,
    #[serde(default)]
    eos_token_id: Option<OneOrMore>,
}

/// A token id, alone or in a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u32),
    More(Vec<u32>),
}

fn default_vocab_size() -> usize {
    32128
}
fn default_d_model() -> usize {
    512
}
fn default_d_kv() -> usize {
    64
}
fn default_d_ff() -> usize {
    2048
}
fn default_num_layers() -> usize {
    6
}
fn default_num_heads() -> usize {
    8
}
fn default_buckets() -> usize {
    32
}
fn default_max_distance() -> usize {
    128
}
fn default_epsilon() -> f64 {
    1e-6
}
fn default_feed_forward() -> FeedForward {
    FeedForward::Relu
}

impl T5Config {
    /// Reads `config.json`. Fields that are missing take the defaults of Hugging Face's `T5Config`;
    /// unknown fields are ignored.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field that is missing, out of range or not supported.
    pub fn parse(json: &[u8]) -> Result<Self, ModelError> {
        let json = without_mark(json);
        let raw: RawConfig = serde_json::from_slice(json).map_err(|error| ModelError::Config {
            field: "config.json".into(),
            expected: "a T5 model's configuration as Hugging Face writes it".into(),
            found: error.to_string(),
        })?;
        if let Some(kind) = raw.model_type.filter(|kind| kind != "t5") {
            let reason = RELATIVES.iter().find(|(name, _)| *name == kind);
            let reason = reason.map_or(String::new(), |(_, reason)| format!(": {reason}"));
            return Err(ModelError::Config {
                field: "model_type".into(),
                expected: "\"t5\"".into(),
                found: format!("{kind:?}{reason}"),
            });
        }
        if let Some(class) = raw.tokenizer_class.filter(|class| class.starts_with("ByT5")) {
            return Err(ModelError::Config {
                field: "tokenizer_class".into(),
                expected: "a tokenizer of pieces, such as \"T5Tokenizer\"".into(),
                found: format!("{class:?}: ByT5 reads bytes"),
            });
        }
        let eos_token_id = match raw.eos_token_id {
            None => 1,
            Some(OneOrMore::One(id)) => id,
            Some(OneOrMore::More(ids)) => match ids[..] {
                [id] => id,
                _ => {
                    return Err(ModelError::Config {
                        field: "eos_token_id".into(),
                        expected: "one token".into(),
                        found: format!("{ids:?}"),
                    });
                }
            },
        };
        let scaled = raw.scale_decoder_outputs.or(raw.tie_word_embeddings).unwrap_or(true);
        let config = Self {
            vocab_size: raw.vocab_size,
            d_model: raw.d_model,
            d_kv: raw.d_kv,
            d_ff: raw.d_ff,
            num_layers: raw.num_layers,
            num_decoder_layers: raw.num_decoder_layers.unwrap_or(raw.num_layers),
            num_heads: raw.num_heads,
            relative_attention_num_buckets: raw.relative_attention_num_buckets,
            relative_attention_max_distance: raw.relative_attention_max_distance,
            layer_norm_epsilon: raw.layer_norm_epsilon as f32,
            feed_forward: raw.feed_forward_proj,
            tie_word_embeddings: scaled,
            scale_decoder_outputs: scaled,
            decoder_start_token_id: raw.decoder_start_token_id.or(raw.pad_token_id).unwrap_or(0),
            eos_token_id,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ModelError> {
        let buckets = self.relative_attention_num_buckets;
        // A vocabulary of 0 is rejected below, by its own name.
        let last_token = self.vocab_size.saturating_sub(1);
        // T5-XXL's sizes fit with room; beyond, a hostile file would ask for absurd memory.
        for (field, value, range) in [
            ("vocab_size", self.vocab_size, 2..=1 << 20),
            ("d_model", self.d_model, 1..=1 << 14),
            ("d_kv", self.d_kv, 1..=1 << 10),
            ("d_ff", self.d_ff, 1..=1 << 16),
            ("num_layers", self.num_layers, 1..=256),
            ("num_decoder_layers", self.num_decoder_layers, 1..=256),
            ("num_heads", self.num_heads, 1..=256),
            ("relative_attention_num_buckets", buckets, 4..=1 << 12),
            // Both directions' halves must have logarithmic buckets left.
            (
                "relative_attention_max_distance",
                self.relative_attention_max_distance,
                buckets / 2 + 1..=1 << 16,
            ),
            ("decoder_start_token_id", self.decoder_start_token_id as usize, 0..=last_token),
            ("eos_token_id", self.eos_token_id as usize, 0..=last_token),
        ] {
            if !range.contains(&value) {
                return Err(ModelError::Config {
                    field: field.into(),
                    expected: format!("from {} to {}", range.start(), range.end()),
                    found: value.to_string(),
                });
            }
        }
        if !buckets.is_multiple_of(4) {
            return Err(ModelError::Config {
                field: "relative_attention_num_buckets".into(),
                expected: "a multiple of 4, halved for the two directions and again for far ones"
                    .into(),
                found: buckets.to_string(),
            });
        }
        if !(self.layer_norm_epsilon > 0.0 && self.layer_norm_epsilon < 1.0) {
            return Err(ModelError::Config {
                field: "layer_norm_epsilon".into(),
                expected: "between 0 and 1".into(),
                found: self.layer_norm_epsilon.to_string(),
            });
        }
        Ok(())
    }

    /// Width of all heads together.
    pub fn d_attention(&self) -> usize {
        self.num_heads * self.d_kv
    }
}

impl ModelConfig for T5Config {
    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn eos_token_id(&self) -> u32 {
        self.eos_token_id
    }

    fn blocks(&self, stack: Stack) -> usize {
        match stack {
            Stack::Encoder => self.num_layers,
            Stack::Decoder => self.num_decoder_layers,
        }
    }

    fn parameters(&self) -> u64 {
        let norm = self.d_model;
        let attention = 4 * self.d_model * self.d_attention() + norm;
        let matrices = if self.feed_forward == FeedForward::GatedGelu { 3 } else { 2 };
        let feed_forward = matrices * self.d_model * self.d_ff + norm;
        let bias = self.relative_attention_num_buckets * self.num_heads;
        let encoder = self.num_layers * (attention + feed_forward) + bias + norm;
        let decoder = self.num_decoder_layers * (2 * attention + feed_forward) + bias + norm;
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        (encoder + decoder + tables * self.vocab_size * self.d_model) as u64
    }

    fn linear_shape(&self, id: LinearId) -> Option<[usize; 2]> {
        use LinearKind::*;
        if !id.is_possible() || id.block >= self.blocks(id.stack) {
            return None;
        }
        match (id.kind, self.feed_forward) {
            (SelfQ | SelfK | SelfV | CrossQ | CrossK | CrossV, _) => {
                Some([self.d_attention(), self.d_model])
            }
            (SelfO | CrossO, _) => Some([self.d_model, self.d_attention()]),
            (Wi, FeedForward::Relu) | (Wi0 | Wi1, FeedForward::GatedGelu) => {
                Some([self.d_ff, self.d_model])
            }
            (Wo, _) => Some([self.d_model, self.d_ff]),
            (Wi, FeedForward::GatedGelu) | (Wi0 | Wi1, FeedForward::Relu) => None,
        }
    }

    fn tensors(&self) -> TensorSpecs {
        tensors::specs(self)
    }

    fn canonical_name<'n>(&self, name: &'n str) -> &'n str {
        if tensors::EMBEDDING.contains(&name) { tensors::EMBEDDING[0] } else { name }
    }

    fn build(&self, tensors: Tensors) -> Result<Arc<dyn Model>, ModelError> {
        Ok(Arc::new(T5Model::new(self.clone(), tensors)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        T5Config::parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn missing_fields_take_hugging_faces_defaults() {
        let config = T5Config::parse(br#"{"num_layers": 3, "feed_forward_proj": "gated-gelu"}"#);
        let config = config.unwrap();
        assert_eq!(config.num_decoder_layers, 3);
        assert_eq!(config.d_attention(), 512);
        assert!(config.scale_decoder_outputs);
        assert_eq!(config.eos_token_id, 1);
    }

    #[test]
    fn the_scale_follows_its_own_flag_and_else_the_flag_of_tied_embeddings() {
        for (json, scaled) in [
            (r#"{"tie_word_embeddings": true, "scale_decoder_outputs": false}"#, false),
            (r#"{"tie_word_embeddings": false, "scale_decoder_outputs": true}"#, true),
            (r#"{"tie_word_embeddings": false}"#, false),
            (r#"{"tie_word_embeddings": false, "scale_decoder_outputs": null}"#, false),
            (r#"{"tie_word_embeddings": null}"#, true),
            ("{}", true),
        ] {
            let config = T5Config::parse(json.as_bytes()).unwrap();
            assert_eq!(config.scale_decoder_outputs, scaled, "{json}");
        }
    }

    #[test]
    fn a_byte_order_mark_and_an_end_token_in_a_list_are_read_as_hugging_face_reads_them() {
        let config = T5Config::parse("\u{feff}{\"eos_token_id\": [7]}".as_bytes()).unwrap();
        assert_eq!(config.eos_token_id, 7);
        assert!(error(r#"{"eos_token_id": [1, 2]}"#).contains("eos_token_id should be one token"));
    }

    #[test]
    fn values_that_make_no_model_are_refused_by_name() {
        for (json, field) in [
            (r#"{"d_model": 0}"#, "d_model"),
            (r#"{"d_ff": 99999999999}"#, "d_ff"),
            (r#"{"vocab_size": 0}"#, "vocab_size"),
            (r#"{"relative_attention_num_buckets": 6}"#, "relative_attention_num_buckets"),
            (r#"{"relative_attention_max_distance": 16}"#, "relative_attention_max_distance"),
            (r#"{"layer_norm_epsilon": 0}"#, "layer_norm_epsilon"),
            (r#"{"decoder_start_token_id": 32128}"#, "decoder_start_token_id"),
            (r#"{"feed_forward_proj": "gated-silu"}"#, "gated-silu"),
            (r#"{"model_type": "bart"}"#, "model_type"),
            (r#"{"model_type": "mt5"}"#, "mT5 has another vocabulary"),
            (r#"{"model_type": "umt5"}"#, "UMT5 has a relative attention bias in every block"),
            (r#"{"model_type": "t5", "tokenizer_class": "ByT5Tokenizer"}"#, "ByT5 reads bytes"),
            ("[1]", "config.json"),
        ] {
            assert!(error(json).contains(field), "{json}: {}", error(json));
        }
    }
}
