//! The model's sizes, from Hugging Face's `config.json`.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::{T5Model, tensors};
use crate::formats::{excerpt, without_mark};
use crate::model::{
    LinearId, LinearKind, LmHeadNote, Model, ModelConfig, ModelError, Stack, TensorSpecs, Tensors,
};

/// Limit on the file; Hugging Face's have 1 kB.
const MAX_CONFIG_BYTES: usize = 1 << 20;

/// The feed-forward layer's kind, `feed_forward_proj` in `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum FeedForward {
    /// T5 1.0: `wo(relu(wi(x)))`.
    #[serde(rename = "relu")]
    Relu,
    /// T5 1.1, Flan-T5, mT5, UMT5 and ByT5: `wo(gelu_new(wi_0(x)) · wi_1(x))`.
    #[serde(rename = "gated-gelu")]
    GatedGelu,
}

impl FeedForward {
    /// `dense_act_fn` in `config.json`.
    fn activation(self) -> &'static str {
        match self {
            FeedForward::Relu => "relu",
            FeedForward::GatedGelu => "gelu_new",
        }
    }
}

/// Sizes of a model of the T5 family, checked by [`T5Config::parse`].
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
    /// Whether every block has a relative attention bias, as in UMT5, or the first one of each stack,
    /// for all of its blocks.
    pub relative_attention_bias_per_block: bool,
    /// Added to the mean square in every layer norm.
    pub layer_norm_epsilon: f32,
    /// Kind of the feed-forward layer.
    pub feed_forward: FeedForward,
    /// Whether `lm_head` is the embedding. The configuration only suggests it: a model that is loaded
    /// has `true` where its weights hold no `lm_head.weight` of its own.
    pub tie_word_embeddings: bool,
    /// What the configuration says of `lm_head`.
    pub declared_head: DeclaredHead,
    /// `_name_or_path`, the model that this one was saved from.
    pub name_or_path: Option<String>,
    /// Whether the decoder's output is scaled by `d_model^-0.5` before `lm_head`.
    pub scale_decoder_outputs: bool,
    /// Token that decoding starts from.
    pub decoder_start_token_id: u32,
    /// Token that ends an output, `</s>`.
    pub eos_token_id: u32,
}

/// What `config.json` says of `lm_head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredHead {
    /// It is the embedding.
    Tied,
    /// It is a matrix of its own.
    Own,
    /// Nothing, as transformers 5 writes `tie_word_embeddings: true` for every T5.
    Either,
    /// `tie_word_embeddings` is `null`, which transformers 4 reads as false and transformers 5 as true.
    Null,
}

/// Models that are not supported, by their `model_type`, with what they have.
const RELATIVES: [(&str, &str); 3] = [
    ("longt5", "LongT5 has local or transient-global attention"),
    ("switch_transformers", "Switch Transformers have several experts in a block"),
    ("pix2struct", "Pix2Struct reads images"),
];

/// The architectures of the family.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Architecture {
    /// T5, Flan-T5 and ByT5.
    T5,
    /// mT5 and mT0.
    Mt5,
    Umt5,
}

impl Architecture {
    const ALL: [Self; 3] = [Self::T5, Self::Mt5, Self::Umt5];

    /// `model_type`.
    fn model_type(self) -> &'static str {
        match self {
            Self::T5 => "t5",
            Self::Mt5 => "mt5",
            Self::Umt5 => "umt5",
        }
    }

    /// By `model_type`; without it by the class in `architectures`, such as
    /// `UMT5ForConditionalGeneration`.
    fn of(raw: &RawConfig) -> Result<Self, ModelError> {
        let Some(kind) = &raw.model_type else {
            let class = raw.architectures.iter().flatten().next();
            let class = class.map_or(String::new(), |class| class.to_lowercase());
            let named = Self::ALL.into_iter().rev();
            return Ok(named
                .into_iter()
                .find(|a| class.starts_with(a.model_type()))
                .unwrap_or(Self::T5));
        };
        Self::ALL.into_iter().find(|architecture| architecture.model_type() == kind).ok_or_else(
            || {
                let reason = RELATIVES.iter().find(|(name, _)| name == kind);
                let reason = reason.map_or(String::new(), |(_, reason)| format!(": {reason}"));
                ModelError::Config {
                    field: "model_type".into(),
                    expected: "\"t5\", \"mt5\" or \"umt5\"".into(),
                    found: format!("{kind:?}{reason}"),
                }
            },
        )
    }

    /// Hugging Face's default of a field: that of `T5Config`, or that of `MT5Config` and `UMT5Config`.
    fn default<T>(self, t5: T, mt5: T) -> T {
        if self == Self::T5 { t5 } else { mt5 }
    }
}

/// The fields read.
#[derive(Deserialize)]
struct RawConfig {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    vocab_size: Option<usize>,
    d_model: Option<usize>,
    d_kv: Option<usize>,
    d_ff: Option<usize>,
    num_layers: Option<usize>,
    num_decoder_layers: Option<usize>,
    num_heads: Option<usize>,
    relative_attention_num_buckets: Option<usize>,
    relative_attention_max_distance: Option<usize>,
    layer_norm_epsilon: Option<f64>,
    feed_forward_proj: Option<FeedForward>,
    dense_act_fn: Option<String>,
    is_gated_act: Option<bool>,
    /// `Some(None)` for `null`.
    #[serde(default, deserialize_with = "present")]
    tie_word_embeddings: Option<Option<bool>>,
    #[serde(rename = "_name_or_path")]
    name_or_path: Option<String>,
    /// Written by transformers 5, where `tie_word_embeddings` is `true` for every T5.
    scale_decoder_outputs: Option<bool>,
    transformers_version: Option<String>,
    decoder_start_token_id: Option<u32>,
    pad_token_id: Option<u32>,
    eos_token_id: Option<OneOrMore>,
}

impl RawConfig {
    /// Whether transformers 5 or later wrote it.
    fn is_of_transformers_5(&self) -> bool {
        let version = self.transformers_version.as_deref().unwrap_or_default();
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        major.is_some_and(|major| major >= 5)
    }
}

/// A field that may be `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<bool>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A token id, alone or in a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u32),
    More(Vec<u32>),
}

impl T5Config {
    /// Reads `config.json`. Fields that are missing take the defaults of Hugging Face's `T5Config`,
    /// `MT5Config` or `UMT5Config`; unknown fields are ignored.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field that is missing, out of range or not supported.
    pub fn parse(json: &[u8]) -> Result<Self, ModelError> {
        let json = without_mark(json);
        if json.len() > MAX_CONFIG_BYTES {
            return Err(ModelError::Config {
                field: "its length".into(),
                expected: format!("at most {MAX_CONFIG_BYTES} bytes"),
                found: format!("{} bytes", json.len()),
            });
        }
        let raw: RawConfig = serde_json::from_slice(json).map_err(|error| ModelError::Config {
            field: "config.json".into(),
            expected: "a T5 model's configuration as Hugging Face writes it".into(),
            found: error.to_string(),
        })?;
        let architecture = Architecture::of(&raw)?;
        let feed_forward = raw
            .feed_forward_proj
            .unwrap_or(architecture.default(FeedForward::Relu, FeedForward::GatedGelu));
        check_feed_forward(feed_forward, &raw)?;
        let eos_token_id = match &raw.eos_token_id {
            None => 1,
            Some(OneOrMore::One(id)) => *id,
            Some(OneOrMore::More(ids)) => match ids[..] {
                [id] => id,
                _ => {
                    return Err(ModelError::Config {
                        field: "eos_token_id".into(),
                        expected: "one token".into(),
                        found: excerpt(&format!("{ids:?}")),
                    });
                }
            },
        };
        let num_layers = raw.num_layers.unwrap_or(architecture.default(6, 8));
        let is_mt5 = architecture == Architecture::Mt5;
        let tied = raw.tie_word_embeddings.flatten().unwrap_or(!is_mt5);
        // transformers 5 writes `true` for every mT5 too, without the other flag, and scales none.
        let unscaled = is_mt5 && raw.is_of_transformers_5();
        let scaled = raw.scale_decoder_outputs.unwrap_or(tied && !unscaled);
        let declared_head = match raw.tie_word_embeddings {
            Some(None) if !is_mt5 && raw.scale_decoder_outputs.is_none() => DeclaredHead::Null,
            _ if !tied => DeclaredHead::Own,
            _ if raw.scale_decoder_outputs.is_some() || raw.is_of_transformers_5() => {
                DeclaredHead::Either
            }
            _ => DeclaredHead::Tied,
        };
        let config = Self {
            vocab_size: raw.vocab_size.unwrap_or(architecture.default(32_128, 250_112)),
            d_model: raw.d_model.unwrap_or(512),
            d_kv: raw.d_kv.unwrap_or(64),
            d_ff: raw.d_ff.unwrap_or(architecture.default(2048, 1024)),
            num_layers,
            num_decoder_layers: raw.num_decoder_layers.unwrap_or(num_layers),
            num_heads: raw.num_heads.unwrap_or(architecture.default(8, 6)),
            relative_attention_num_buckets: raw.relative_attention_num_buckets.unwrap_or(32),
            relative_attention_max_distance: raw.relative_attention_max_distance.unwrap_or(128),
            relative_attention_bias_per_block: architecture == Architecture::Umt5,
            layer_norm_epsilon: raw.layer_norm_epsilon.unwrap_or(1e-6) as f32,
            feed_forward,
            tie_word_embeddings: scaled,
            declared_head,
            name_or_path: raw.name_or_path,
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

    /// The blocks of a stack that have a relative attention bias of their own.
    pub(super) fn biased_blocks(&self, stack: Stack) -> Range<usize> {
        0..if self.relative_attention_bias_per_block { self.blocks(stack) } else { 1 }
    }

    /// Width of all heads together.
    pub fn d_attention(&self) -> usize {
        self.num_heads * self.d_kv
    }
}

/// Rejects an activation of its own beside `feed_forward_proj`: transformers, which derives
/// `dense_act_fn` and `is_gated_act` from it, reads them back in its place.
fn check_feed_forward(kind: FeedForward, raw: &RawConfig) -> Result<(), ModelError> {
    let is_other = |found: &&String| *found != kind.activation();
    if let (None, Some(found)) = (raw.feed_forward_proj, raw.dense_act_fn.as_ref().filter(is_other))
    {
        return Err(ModelError::Config {
            field: "feed_forward_proj".into(),
            expected: format!(
                "given beside dense_act_fn {found:?}, which transformers makes from it"
            ),
            found: format!("none, which is {:?}", kind.activation()),
        });
    }
    let gated = kind == FeedForward::GatedGelu;
    let (field, expected, found) = if let Some(found) = raw.dense_act_fn.as_ref().filter(is_other) {
        ("dense_act_fn", format!("{:?}", kind.activation()), format!("{found:?}"))
    } else if let Some(found) = raw.is_gated_act.filter(|found| *found != gated) {
        ("is_gated_act", gated.to_string(), found.to_string())
    } else {
        return Ok(());
    };
    let expected = format!("{expected}, as feed_forward_proj has it");
    Err(ModelError::Config { field: field.into(), expected, found })
}

impl ModelConfig for T5Config {
    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn decoder_start_token_id(&self) -> u32 {
        self.decoder_start_token_id
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
        let biases = |stack| self.biased_blocks(stack).len() * bias;
        let encoder = self.num_layers * (attention + feed_forward) + biases(Stack::Encoder) + norm;
        let decoder = self.num_decoder_layers * (2 * attention + feed_forward)
            + biases(Stack::Decoder)
            + norm;
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

    fn lm_head_note(&self, is_in_weights: bool) -> Option<LmHeadNote> {
        match (self.declared_head, self.tie_word_embeddings) {
            (DeclaredHead::Own, true) if !is_in_weights => Some(LmHeadNote::Missing),
            (DeclaredHead::Tied, false) => Some(LmHeadNote::Differs),
            (DeclaredHead::Null, _) => Some(LmHeadNote::Undeclared),
            _ => None,
        }
    }

    fn name_or_path(&self) -> Option<&str> {
        self.name_or_path.as_deref()
    }

    fn canonical_name<'n>(&self, name: &'n str) -> &'n str {
        if tensors::EMBEDDING.contains(&name) { tensors::EMBEDDING[0] } else { name }
    }

    /// `_keys_to_ignore_on_load_unexpected` of T5's and mT5's classes in transformers; UMT5's have none.
    fn is_ignored(&self, name: &str) -> bool {
        !self.relative_attention_bias_per_block && name == tensors::CROSS_ATTENTION_BIAS
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
    fn each_architecture_has_its_own_defaults() {
        let config = |json: &str| T5Config::parse(json.as_bytes()).unwrap();
        let mt5 = config(r#"{"model_type": "mt5"}"#);
        assert_eq!(
            (mt5.vocab_size, mt5.d_ff, mt5.num_layers, mt5.num_heads),
            (250_112, 1024, 8, 6)
        );
        assert_eq!(mt5.feed_forward, FeedForward::GatedGelu);
        assert!(!mt5.scale_decoder_outputs && !mt5.relative_attention_bias_per_block);
        let umt5 = config(r#"{"model_type": "umt5", "num_layers": 3}"#);
        assert!(umt5.scale_decoder_outputs);
        assert_eq!(umt5.biased_blocks(Stack::Decoder), 0..3);
        assert_eq!(mt5.biased_blocks(Stack::Decoder), 0..1);
        // As google/umt5-small was first published.
        let unnamed = config(r#"{"architectures": ["UMT5ForConditionalGeneration"]}"#);
        assert!(unnamed.relative_attention_bias_per_block);
        assert_eq!(config(r#"{"architectures": ["T5ForConditionalGeneration"]}"#), config("{}"));
    }

    /// LaMini-Flan-T5's configuration, with fields that say nothing of the model.
    #[test]
    fn fields_of_a_training_run_are_ignored() {
        let config = T5Config::parse(
            br#"{"_name_or_path": "google/flan-t5-small", "architectures":
                ["T5ForConditionalGeneration"], "classifier_dropout": 0.0, "d_ff": 1024, "d_kv": 64,
                "d_model": 512, "decoder_start_token_id": 0, "dense_act_fn": "gelu_new",
                "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu",
                "initializer_factor": 1.0, "is_encoder_decoder": true, "is_gated_act": true,
                "layer_norm_epsilon": 1e-06, "model_type": "t5", "n_positions": 512, "num_heads": 6,
                "num_decoder_layers": 8, "num_layers": 8, "output_past": true, "pad_token_id": 0,
                "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32,
                "task_specific_params": {"summarization": {"num_beams": 4}},
                "tie_word_embeddings": false, "torch_dtype": "float32", "dtype": null,
                "transformers_version": "4.27.0", "use_cache": false, "vocab_size": 32128}"#,
        )
        .unwrap();
        assert_eq!(config.d_attention(), 384);
        assert!(!config.scale_decoder_outputs);
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
            (r#"{"tie_word_embeddings": true, "transformers_version": "5.0.0rc1"}"#, true),
            (r#"{"model_type": "mt5", "tie_word_embeddings": true}"#, true),
            (
                r#"{"model_type": "mt5", "tie_word_embeddings": true, "transformers_version": "4.57.6"}"#,
                true,
            ),
            (
                r#"{"model_type": "mt5", "tie_word_embeddings": true, "transformers_version": "5.24.0"}"#,
                false,
            ),
            (
                r#"{"model_type": "mt5", "scale_decoder_outputs": true, "transformers_version": "6.0.0.dev0"}"#,
                true,
            ),
            (
                r#"{"model_type": "umt5", "tie_word_embeddings": true, "transformers_version": "5.24.0"}"#,
                true,
            ),
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
            (r#"{"model_type": "longt5"}"#, "LongT5 has local or transient-global attention"),
            (r#"{"feed_forward_proj": "gated-relu"}"#, "gated-relu"),
            (r#"{"feed_forward_proj": "gated-gelu", "dense_act_fn": "silu"}"#, "dense_act_fn"),
            (r#"{"feed_forward_proj": "relu", "is_gated_act": true}"#, "is_gated_act"),
            ("[1]", "config.json"),
        ] {
            assert!(error(json).contains(field), "{json}: {}", error(json));
        }
    }
}
