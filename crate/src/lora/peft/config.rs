//! `adapter_config.json`: its fields, and what is rejected. The meanings are those of PEFT 0.21
//! (`tuners/tuners_utils.py`, `tuners/lora/model.py`).

use std::collections::BTreeMap;
use std::fmt;

use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::formats::budget::Budget;
use crate::formats::{FormatError, excerpt};

use crate::model::LinearId;

pub(super) const CONFIG: &str = "adapter_config.json";
/// The longest configuration read; PEFT's own take a few kilobytes.
const MAX_CONFIG_BYTES: usize = 1 << 20;
/// Limit on the patterns of a field, enough to name every layer of the largest T5.
const MAX_PATTERNS: usize = 4096;
/// Limit on the characters of a pattern.
const MAX_PATTERN_CHARS: usize = 512;
/// Limit on the bytes of all compiled regular expressions, which bounds the time of a match too; one of a few names
/// takes 2 kB.
const MAX_EXPRESSION_BYTES: usize = 1 << 20;
/// Bytes that a regular expression is first given; twice as many after each attempt that they do not suffice for.
const FIRST_EXPRESSION_BYTES: usize = 1 << 10;
/// PEFT's `target_modules` for T5 where the configuration names none
/// (`TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`).
const DEFAULT_TARGETS: [&str; 2] = ["q", "v"];

/// PEFT's `r` and `lora_alpha` where the configuration has none.
const DEFAULT_RANK: usize = 8;
const DEFAULT_ALPHA: f64 = 8.0;
/// The last parts of the paths of T5's modules in PyTorch, which `modules_to_save` names by their ends.
const MODULES: [&str; 23] = [
    "shared",
    "lm_head",
    "encoder",
    "decoder",
    "embed_tokens",
    "block",
    "layer",
    "SelfAttention",
    "EncDecAttention",
    "DenseReluDense",
    "relative_attention_bias",
    "layer_norm",
    "final_layer_norm",
    "dropout",
    "act",
    "q",
    "k",
    "v",
    "o",
    "wi_0",
    "wi_1",
    "wi",
    "wo",
];

/// The part of `adapter_config.json` that decides what an adapter computes.
#[derive(Debug, Clone)]
pub struct AdapterConfig {
    /// `r`: rank of every layer that `rank_pattern` does not name.
    pub rank: usize,
    /// `lora_alpha`: numerator of the scaling of every layer that `alpha_pattern` does not name.
    pub alpha: f64,
    /// `use_rslora`: scaling is α/√r instead of α/r.
    pub use_rslora: bool,
    /// `fan_in_fan_out`: whether the base stores its weights as `[in, out]`. T5's layers do not, A and
    /// B look the same either way, and PEFT ignores the field for such layers, so it changes nothing.
    pub fan_in_fan_out: bool,
    /// `base_model_name_or_path`, for messages only.
    pub base_model: Option<String>,
    targets: Targets,
    exclude: Option<Targets>,
    rank_pattern: Vec<(Pattern, usize)>,
    alpha_pattern: Vec<(Pattern, f64)>,
    layers: Option<LayerSelection>,
}

/// `target_modules` or `exclude_modules`.
#[derive(Debug, Clone)]
enum Targets {
    /// `"all-linear"`.
    AllLinear,
    /// A list of names: a layer's whole path, or the end of it after a dot.
    Names(Vec<String>),
    /// A list of ends of paths, wherever they start, as PEFT's first versions took it: `o` names `wo`
    /// too. Only configurations without `rank_pattern`, which came later, are read so.
    Ends(Vec<String>),
    /// One regular expression over a layer's whole path.
    Expression(Regex),
}

/// `layers_to_transform` with `layers_pattern`.
#[derive(Debug, Clone)]
struct LayerSelection {
    indices: Vec<usize>,
    patterns: Vec<Regex>,
}

/// A key of `rank_pattern` or `alpha_pattern`: matches the whole path of a layer or the end of it
/// after a dot.
#[derive(Debug, Clone)]
enum Pattern {
    /// Letters, digits, `_` and `.` alone, compared without a regular expression.
    Plain(String),
    Expression(Regex),
}

impl Pattern {
    fn parse(
        field: &'static str,
        pattern: &str,
        expressions: &mut Expressions,
    ) -> Result<Self, FormatError> {
        if pattern.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            Ok(Pattern::Plain(pattern.into()))
        } else {
            let whole = format!(r"^(.*\.)?({pattern})$");
            expressions.compile(field, pattern, &whole).map(Pattern::Expression)
        }
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Pattern::Plain(pattern) => {
                let Some(start) = path.len().checked_sub(pattern.len()) else { return false };
                let end = &path.as_bytes()[start..];
                // A dot in a regular expression matches any character.
                (start == 0 || path.as_bytes()[start - 1] == b'.')
                    && end.iter().zip(pattern.bytes()).all(|(&c, p)| c == p || p == b'.')
            }
            Pattern::Expression(expression) => expression.is_match(path),
        }
    }
}

impl Targets {
    fn parse(
        field: &'static str,
        value: &Value,
        expressions: &mut Expressions,
    ) -> Result<Option<Self>, FormatError> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if text.eq_ignore_ascii_case("all-linear") => {
                Ok(Some(Targets::AllLinear))
            }
            Value::String(text) => {
                let whole = format!("^(?:{text})$");
                expressions.compile(field, text, &whole).map(Targets::Expression).map(Some)
            }
            Value::Array(_) => Ok(Some(Targets::Names(strings(field, value)?))),
            other => Err(invalid(field, "a list of names or a string", other)),
        }
    }

    fn contain(&self, path: &str) -> bool {
        match self {
            Targets::AllLinear => true,
            Targets::Names(names) => names.iter().any(|name| ends_with_name(path, name)),
            Targets::Ends(ends) => ends.iter().any(|end| path.ends_with(end.as_str())),
            Targets::Expression(expression) => expression.is_match(path),
        }
    }
}

impl AdapterConfig {
    /// Reads `adapter_config.json`.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] naming the field that is missing or has the wrong type,
    /// [`FormatError::Unsupported`] naming the field that needs something other than plain LoRA.
    /// Unknown fields are ignored, as in PEFT.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > MAX_CONFIG_BYTES {
            return Err(FormatError::Invalid {
                format: CONFIG,
                what: "its length".into(),
                expected: format!("at most {MAX_CONFIG_BYTES} bytes"),
                found: format!("{} bytes", bytes.len()),
            });
        }
        let not_json = |error: serde_json::Error| FormatError::Invalid {
            format: CONFIG,
            what: "its text".into(),
            expected: "a JSON object".into(),
            found: excerpt(&error.to_string()),
        };
        Budget::new(CONFIG, bytes.len()).take_json("its values", bytes)?;
        let fields: BTreeMap<String, Value> = serde_json::from_slice(bytes).map_err(not_json)?;
        let field = |name: &str| fields.get(name).unwrap_or(&Value::Null);
        refuse_what_changes_the_result(&field)?;

        // PEFT takes the first pattern that matches, so the order of the file counts.
        let expressions = &mut Expressions { bytes_left: MAX_EXPRESSION_BYTES };
        let patterns: Patterns = serde_json::from_slice(bytes).map_err(not_json)?;
        let rank_pattern = patterns.rank_pattern.parse("rank_pattern", expressions, positive)?;
        let alpha_pattern = patterns.alpha_pattern.parse("alpha_pattern", expressions, number)?;

        let targets = Targets::parse("target_modules", field("target_modules"), expressions)?
            .unwrap_or_else(|| Targets::Names(DEFAULT_TARGETS.map(String::from).to_vec()));
        let layers = LayerSelection::parse(
            field("layers_to_transform"),
            field("layers_pattern"),
            expressions,
        )?;
        if layers.is_some() && !matches!(targets, Targets::Names(_)) {
            return Err(invalid(
                "target_modules",
                "a list of names, because layers_to_transform is set",
                field("target_modules"),
            ));
        }
        let targets = match targets {
            Targets::Names(names) if !fields.contains_key("rank_pattern") => Targets::Ends(names),
            targets => targets,
        };
        Ok(Self {
            rank: fields.get("r").map_or(Ok(DEFAULT_RANK), |r| positive("r", r))?,
            alpha: fields
                .get("lora_alpha")
                .map_or(Ok(DEFAULT_ALPHA), |alpha| number("lora_alpha", alpha))?,
            use_rslora: boolean("use_rslora", field("use_rslora"))?,
            fan_in_fan_out: boolean("fan_in_fan_out", field("fan_in_fan_out"))?,
            base_model: field("base_model_name_or_path").as_str().map(String::from),
            targets,
            exclude: Targets::parse("exclude_modules", field("exclude_modules"), expressions)?,
            rank_pattern,
            alpha_pattern,
            layers,
        })
    }

    /// Whether PEFT would attach the adapter to this layer.
    pub fn targets(&self, layer: LinearId) -> bool {
        let path = layer.to_string();
        if self.exclude.as_ref().is_some_and(|exclude| exclude.contain(&path)) {
            return false;
        }
        // A layer named by its whole path is taken whatever `layers_to_transform` says.
        if matches!(&self.targets, Targets::Names(names) if names.contains(&path)) {
            return true;
        }
        self.targets.contain(&path)
            && self.layers.as_ref().is_none_or(|layers| layers.contain(&path))
    }

    /// Rank of one layer.
    pub fn rank_of(&self, layer: LinearId) -> usize {
        first_match(&self.rank_pattern, layer).unwrap_or(self.rank)
    }

    /// Scaling of one layer: α/r, or α/√r with `use_rslora`.
    pub fn scaling_of(&self, layer: LinearId) -> f32 {
        let alpha = first_match(&self.alpha_pattern, layer).unwrap_or(self.alpha);
        let rank = self.rank_of(layer) as f64;
        (alpha / if self.use_rslora { rank.sqrt() } else { rank }) as f32
    }
}

fn first_match<V: Copy>(patterns: &[(Pattern, V)], layer: LinearId) -> Option<V> {
    let path = layer.to_string();
    patterns.iter().find(|(pattern, _)| pattern.matches(&path)).map(|&(_, value)| value)
}

impl LayerSelection {
    fn parse(
        indices: &Value,
        patterns: &Value,
        expressions: &mut Expressions,
    ) -> Result<Option<Self>, FormatError> {
        let indices = match indices {
            Value::Null => vec![],
            Value::Array(values) => values
                .iter()
                .map(|value| whole("layers_to_transform", value))
                .collect::<Result<_, _>>()?,
            value => vec![whole("layers_to_transform", value)?],
        };
        if indices.is_empty() {
            return Ok(None);
        }
        let names = match patterns {
            Value::Null => vec![],
            Value::String(pattern) if pattern.is_empty() => vec![],
            Value::String(pattern) => vec![pattern.clone()],
            value => strings("layers_pattern", value)?,
        };
        let patterns = if names.is_empty() {
            // PEFT's default: the innermost numbered part, which in T5 is `layer`, not `block`.
            vec![expressions.compile("layers_pattern", "", r"^.*\.[^.]*\.(\d+)\.")?]
        } else {
            names
                .iter()
                .map(|name| {
                    let whole = format!(r"^.*\.{name}\.(\d+)\.");
                    expressions.compile("layers_pattern", name, &whole)
                })
                .collect::<Result<_, _>>()?
        };
        Ok(Some(Self { indices, patterns }))
    }

    fn contain(&self, path: &str) -> bool {
        self.patterns
            .iter()
            .find_map(|pattern| pattern.captures(path))
            .and_then(|captures| captures.get(1)?.as_str().parse().ok())
            .is_some_and(|index: usize| self.indices.contains(&index))
    }
}

/// Refuses every field that makes an adapter more than A and B on T5's linear layers.
fn refuse_what_changes_the_result<'a>(
    field: &impl Fn(&str) -> &'a Value,
) -> Result<(), FormatError> {
    let unsupported = |name: &str, reason: &str| {
        Err(FormatError::Unsupported {
            what: format!("{name} = {} in {CONFIG}", excerpt(&field(name).to_string())),
            reason: reason.into(),
        })
    };
    match field("peft_type") {
        Value::String(kind) if kind == "LORA" => {}
        Value::Null => return Err(invalid("peft_type", "\"LORA\"", &Value::Null)),
        _ => return unsupported("peft_type", "only LoRA adapters are composed"),
    }
    match field("bias") {
        Value::Null => {}
        // T5's linear layers have no bias. What "all" trains, `relative_attention_bias`, is among the weights
        // and refused there.
        Value::String(bias) if ["none", "all", "lora_only"].contains(&&**bias) => {}
        _ => return unsupported("bias", "train the adapter with bias=\"none\""),
    }
    let saves_none = match field("modules_to_save") {
        Value::Array(names) => names.iter().all(|name| name.as_str().is_some_and(names_no_module)),
        _ => false,
    };
    let set = |name: &str| match field(name) {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    };
    for (name, reason) in [
        ("use_dora", "DoRA rescales the base's own weights; train the adapter with plain LoRA"),
        ("use_qalora", "QALoRA pools the inputs; train the adapter with plain LoRA"),
        ("lora_bias", "a bias on lora_B is not part of the composition; train it without"),
        ("modules_to_save", "fully trained modules cannot be composed; train it without them"),
        ("trainable_token_indices", "trained embeddings cannot be composed; train it without them"),
        ("target_parameters", "only whole linear layers are adapted; use target_modules"),
        ("layer_replication", "it changes the base's layers; train it without"),
        ("megatron_config", "Megatron's parallel layers are not T5's; train it without"),
        ("alora_invocation_tokens", "activated LoRA switches on in mid-sequence; train plain LoRA"),
        ("arrow_config", "it routes each token to another adapter; use the adapters themselves"),
        ("kasa_config", "KaSA changes the base's own weights; train the adapter with plain LoRA"),
        ("monteclora_config", "MonteCLoRA samples around A and B; train plain LoRA"),
        ("use_bdlora", "BD-LoRA's matrices are blocks of A and B; train plain LoRA"),
    ] {
        if set(name) && !(name == "modules_to_save" && saves_none) {
            return unsupported(name, reason);
        }
    }
    // These start from a base whose weights were changed to make up for the adapter's start.
    match field("init_lora_weights") {
        Value::String(kind)
            if ["pissa", "olora", "corda", "loftq", "lora_ga"]
                .iter()
                .any(|changed| kind.to_ascii_lowercase().starts_with(changed)) =>
        {
            unsupported(
                "init_lora_weights",
                "the adapter was trained against changed base weights; convert it with PEFT's \
                 path_initial_model_for_weight_conversion",
            )
        }
        _ => Ok(()),
    }
}

/// Whether no module of T5 has a path that ends with `name`, as far as the last part of it tells.
fn names_no_module(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    !is_number && !MODULES.iter().any(|module| module.ends_with(last))
}

/// `rank_pattern` and `alpha_pattern` in the file's order.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Patterns {
    rank_pattern: Ordered,
    alpha_pattern: Ordered,
}

/// A JSON object, or `null`, as pairs in the file's order. Another value is kept to be refused.
#[derive(Default)]
struct Ordered(Vec<(String, Value)>);

impl Ordered {
    fn parse<V>(
        self,
        field: &'static str,
        expressions: &mut Expressions,
        value_of: impl Fn(&str, &Value) -> Result<V, FormatError>,
    ) -> Result<Vec<(Pattern, V)>, FormatError> {
        if self.0.len() > MAX_PATTERNS {
            return Err(too_many(field, self.0.len()));
        }
        self.0
            .iter()
            .map(|(pattern, value)| {
                Ok((Pattern::parse(field, pattern, expressions)?, value_of(field, value)?))
            })
            .collect()
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Ordered;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from patterns to numbers")
            }
            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered::default())
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Ordered, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Ordered(pairs))
            }
        }
        deserializer.deserialize_any(Pairs)
    }
}

fn invalid(field: &str, expected: &str, found: &Value) -> FormatError {
    FormatError::Invalid {
        format: CONFIG,
        what: field.into(),
        expected: expected.into(),
        found: if found.is_null() { "nothing".into() } else { excerpt(&found.to_string()) },
    }
}

fn too_many(field: &str, found: usize) -> FormatError {
    FormatError::Invalid {
        format: CONFIG,
        what: format!("the length of {field}"),
        expected: format!("at most {MAX_PATTERNS}"),
        found: found.to_string(),
    }
}

fn whole(field: &str, value: &Value) -> Result<usize, FormatError> {
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| invalid(field, "a whole number that is not negative", value))
}

fn positive(field: &str, value: &Value) -> Result<usize, FormatError> {
    match whole(field, value) {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(invalid(field, "a positive whole number", value)),
    }
}

fn number(field: &str, value: &Value) -> Result<f64, FormatError> {
    match value.as_f64() {
        Some(n) if (n as f32).is_finite() => Ok(n),
        _ => Err(invalid(field, "a number", value)),
    }
}

fn boolean(field: &str, value: &Value) -> Result<bool, FormatError> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(b) => Ok(*b),
        other => Err(invalid(field, "true or false", other)),
    }
}

fn strings(field: &str, value: &Value) -> Result<Vec<String>, FormatError> {
    let Value::Array(items) = value else { return Err(invalid(field, "a list of names", value)) };
    if items.len() > MAX_PATTERNS {
        return Err(too_many(field, items.len()));
    }
    items
        .iter()
        .map(|item| item.as_str().map(String::from))
        .collect::<Option<_>>()
        .ok_or_else(|| invalid(field, "a list of names", value))
}

/// Compiles the regular expressions of a configuration, within a total of memory.
struct Expressions {
    bytes_left: usize,
}

impl Expressions {
    /// # Errors
    /// [`FormatError::Invalid`] for a pattern that is too long, [`FormatError::Unsupported`] for one that is no
    /// regular expression, or that takes more memory than those before it have left.
    fn compile(&mut self, field: &str, written: &str, whole: &str) -> Result<Regex, FormatError> {
        if written.len() > MAX_PATTERN_CHARS {
            return Err(FormatError::Invalid {
                format: CONFIG,
                what: format!("a pattern of {field}"),
                expected: format!("at most {MAX_PATTERN_CHARS} characters"),
                found: format!("{} characters", written.len()),
            });
        }
        // What an expression takes is not known, only whether it fits.
        let mut bytes = FIRST_EXPRESSION_BYTES.min(self.bytes_left);
        loop {
            match RegexBuilder::new(whole).size_limit(bytes).build() {
                Ok(expression) => {
                    self.bytes_left -= bytes;
                    return Ok(expression);
                }
                Err(_) if bytes < self.bytes_left => bytes = (2 * bytes).min(self.bytes_left),
                Err(error) => {
                    return Err(FormatError::Unsupported {
                        what: format!("the pattern {:?} of {field} in {CONFIG}", excerpt(written)),
                        reason: format!("{error}; write the layers as a list of names"),
                    });
                }
            }
        }
    }
}

/// Whether `name` is the whole path, or its end after a dot.
fn ends_with_name(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(fields: &str) -> Result<AdapterConfig, FormatError> {
        AdapterConfig::parse(
            format!(r#"{{"peft_type":"LORA","r":4,"lora_alpha":8{fields}}}"#).as_bytes(),
        )
    }

    fn layer(path: &str) -> LinearId {
        path.parse().unwrap()
    }

    const ENCODER_Q: &str = "encoder.block.0.layer.0.SelfAttention.q";
    const DECODER_CROSS_V: &str = "decoder.block.3.layer.1.EncDecAttention.v";
    const DECODER_WI_0: &str = "decoder.block.1.layer.2.DenseReluDense.wi_0";

    #[test]
    fn scaling_is_alpha_over_rank_or_its_root() {
        let q = layer(ENCODER_Q);
        assert_eq!(config("").unwrap().scaling_of(q), 2.0);
        assert_eq!(config(r#","use_rslora":true"#).unwrap().scaling_of(q), 4.0);
    }

    #[test]
    fn the_first_matching_pattern_gives_rank_and_alpha() {
        // As in PEFT: whole names after a dot, regular expressions, and the file's order.
        let config = config(
            r#","rank_pattern":{"v":16,"decoder\\..*\\.v":2},
               "alpha_pattern":{"block.3.*v":32,"EncDecAttention.v":1}"#,
        )
        .unwrap();
        assert_eq!(config.rank_of(layer(DECODER_CROSS_V)), 16);
        assert_eq!(config.scaling_of(layer(DECODER_CROSS_V)), 2.0);
        assert_eq!(config.rank_of(layer(ENCODER_Q)), 4);
        let swapped = AdapterConfig::parse(
            br#"{"peft_type":"LORA","r":4,"lora_alpha":8,"rank_pattern":{"decoder\\..*\\.v":2,"v":16}}"#,
        )
        .unwrap();
        assert_eq!(swapped.rank_of(layer(DECODER_CROSS_V)), 2);
    }

    #[test]
    fn target_modules_are_matched_as_peft_matches_them() {
        let [q, v, wi] = [ENCODER_Q, DECODER_CROSS_V, DECODER_WI_0].map(layer);
        let of = |fields: &str| {
            let config = config(fields).unwrap();
            [q, v, wi].map(|layer| config.targets(layer))
        };
        assert_eq!(of(""), [true, true, false], "PEFT's default for T5 is q and v");
        assert_eq!(of(r#","target_modules":["wi_0"]"#), [false, false, true]);
        assert_eq!(of(r#","target_modules":["EncDecAttention.v"]"#), [false, true, false]);
        let of_now = |fields: &str| of(&format!(r#","rank_pattern":{{}}{fields}"#));
        assert_eq!(of_now(r#","target_modules":["wi_0"]"#), [false, false, true]);
        assert_eq!(of_now(r#","target_modules":["i_0"]"#), [false; 3], "it starts after a dot");
        assert_eq!(of(r#","target_modules":["i_0"]"#), [false, false, true], "in old versions");
        assert_eq!(of(r#","target_modules":"all-linear""#), [true; 3]);
        assert_eq!(of(r#","target_modules":"decoder.*(v|wi_0)""#), [false, true, true]);
        assert_eq!(of(r#","target_modules":"decoder""#), [false; 3], "the whole path must match");
        assert_eq!(
            of(r#","target_modules":"all-linear","exclude_modules":["q"]"#),
            [false, true, true]
        );
    }

    #[test]
    fn layers_to_transform_counts_what_layers_pattern_names() {
        let of = |fields: &str| {
            let config =
                config(&format!(r#","target_modules":["q","v","wi_0"],{fields}"#)).unwrap();
            [ENCODER_Q, DECODER_CROSS_V, DECODER_WI_0].map(|path| config.targets(layer(path)))
        };
        assert_eq!(
            of(r#""layers_to_transform":[0,1],"layers_pattern":"block""#),
            [true, false, true]
        );
        assert_eq!(
            of(r#""layers_to_transform":3,"layers_pattern":["block"]"#),
            [false, true, false]
        );
        // Without a pattern PEFT takes the innermost number: the sub-layer.
        assert_eq!(of(r#""layers_to_transform":[1]"#), [false, true, false]);
    }

    #[test]
    fn fields_that_are_not_honoured_are_refused_by_name() {
        for (fields, name) in [
            (r#","use_dora":true"#, "use_dora"),
            (r#","bias":"some""#, "bias"),
            (r#","modules_to_save":["classifier","layer_norm"]"#, "modules_to_save"),
            (r#","modules_to_save":["encoder.block.0"]"#, "modules_to_save"),
            (r#","modules_to_save":[""]"#, "modules_to_save"),
            (r#","modules_to_save":["lm_head"]"#, "modules_to_save"),
            (r#","lora_bias":true"#, "lora_bias"),
            (r#","arrow_config":{"top_k":2}"#, "arrow_config"),
            (r#","kasa_config":{"beta":1e-4}"#, "kasa_config"),
            (r#","monteclora_config":{"num_samples":8}"#, "monteclora_config"),
            (r#","use_bdlora":{"nblocks":2}"#, "use_bdlora"),
            (r#","trainable_token_indices":[1]"#, "trainable_token_indices"),
            (r#","init_lora_weights":"pissa_niter_4""#, "init_lora_weights"),
            (r#","target_modules":"(?=q)""#, "target_modules"),
            (r#","target_modules":7"#, "target_modules"),
            (r#","rank_pattern":{"q":0}"#, "rank_pattern"),
            (r#","alpha_pattern":{"q":"8"}"#, "alpha_pattern"),
            (r#","alpha_pattern":{"q":1e300}"#, "alpha_pattern"),
            (r#","use_rslora":1"#, "use_rslora"),
            (r#","layers_to_transform":[-1]"#, "layers_to_transform"),
        ] {
            let error = config(fields).unwrap_err().to_string();
            assert!(error.contains(name), "{fields}: {error}");
        }
        let error = AdapterConfig::parse(br#"{"peft_type":"IA3"}"#).unwrap_err().to_string();
        assert!(error.contains("peft_type"), "{error}");
        for field in ["r", "lora_alpha"] {
            let config = format!(r#"{{"peft_type":"LORA","{field}":null}}"#);
            let error = AdapterConfig::parse(config.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }

    #[test]
    fn a_configuration_as_peft_writes_it_is_accepted() {
        let config = config(
            r#","alpha_pattern":{},"auto_mapping":null,"base_model_name_or_path":"google/flan-t5-large",
            "bias":"none","corda_config":null,"eva_config":null,"exclude_modules":null,
            "fan_in_fan_out":false,"inference_mode":true,"init_lora_weights":true,
            "layer_replication":null,"layers_pattern":null,"layers_to_transform":null,
            "loftq_config":{},"lora_bias":false,"lora_dropout":0.1,"megatron_config":null,
            "megatron_core":"megatron.core","modules_to_save":null,"qalora_group_size":16,
            "rank_pattern":{},"revision":null,"target_modules":["q","v"],"target_parameters":null,
            "task_type":"SEQ_2_SEQ_LM","trainable_token_indices":null,"use_dora":false,
            "use_qalora":false,"use_rslora":false,"a_field_of_the_future":{"x":[1]}"#,
        )
        .unwrap();
        assert_eq!(config.base_model.as_deref(), Some("google/flan-t5-large"));
    }
}
