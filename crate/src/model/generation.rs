//! Settings of decoding in `generation_config.json` or `config.json`: answers are decoded greedily, so those
//! that change transformers' answers are noted, and other token ids are rejected.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ModelConfig, ModelError};
use crate::formats::{excerpt, without_mark};

/// Limit on a file; Hugging Face's have 1 kB.
const MAX_FILE_BYTES: usize = 1 << 20;
const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";

/// Numbers that change answers, with the value that does not.
const NUMBERS: [(&str, f64); 10] = [
    ("num_beams", 1.0),
    ("num_beam_groups", 1.0),
    ("penalty_alpha", 0.0),
    ("repetition_penalty", 1.0),
    ("encoder_repetition_penalty", 1.0),
    ("no_repeat_ngram_size", 0.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("min_length", 0.0),
    ("min_new_tokens", 0.0),
    ("guidance_scale", 1.0),
];
/// Changes answers with beams alone.
const LENGTH_PENALTY: (&str, f64) = ("length_penalty", 1.0);
/// Settings that change answers unless they are null, false or empty.
const OTHERS: [&str; 13] = [
    "do_sample",
    "dola_layers",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "bad_words_ids",
    "force_words_ids",
    "constraints",
    "suppress_tokens",
    "begin_suppress_tokens",
    "sequence_bias",
    "exponential_decay_length_penalty",
    "stop_strings",
    "watermarking_config",
];

/// Settings of decoding that are not applied, as answers are decoded greedily.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GenerationNote {
    /// The file that has them, `config.json` or `generation_config.json`.
    pub file: String,
    /// Each as its name and its value, such as `num_beams 4`.
    pub settings: Vec<String>,
}

type Fields<'j> = BTreeMap<String, &'j RawValue>;

/// Returns the settings that transformers' `generate` takes from a model's files and that are not applied.
/// `config` was read from `config_json`; `generation_json` is the contents of `generation_config.json`.
///
/// # Errors
/// [`ModelError::Config`] if `generate` starts or ends outputs with other tokens than `config` has.
pub fn generation_note(
    config: &dyn ModelConfig,
    config_json: &[u8],
    generation_json: Option<&[u8]>,
) -> Result<Option<GenerationNote>, ModelError> {
    let note = |file: &str, settings: Vec<String>| {
        (!settings.is_empty()).then(|| GenerationNote { file: file.into(), settings })
    };
    // transformers reads the other file where this one is no JSON.
    let generation = generation_json.and_then(fields);
    let legacy = fields(config_json).map(|fields| settings(&fields)).unwrap_or_default();
    let Some(generation) = generation else { return Ok(note(CONFIG, legacy)) };
    // A file that was made from config.json gives way to it.
    let is_copy = generation.get("_from_model_config").is_some_and(|value| value.get() == "true");
    if is_copy && !legacy.is_empty() {
        return Ok(note(CONFIG, legacy));
    }
    let start = ["decoder_start_token_id", "bos_token_id"];
    let start = start.iter().find_map(|field| ids(&generation, field));
    for (field, found, expected) in [
        ("decoder_start_token_id", config.decoder_start_token_id(), start),
        ("eos_token_id", config.eos_token_id(), ids(&generation, "eos_token_id")),
    ] {
        if let Some(ids) = expected.filter(|ids| ids.iter().any(|id| *id != i64::from(found))) {
            let ids = excerpt(&ids.iter().map(i64::to_string).collect::<Vec<_>>().join(" or "));
            return Err(ModelError::Config {
                field: field.into(),
                expected: format!("{ids}, as {GENERATION_CONFIG} has it"),
                found: found.to_string(),
            });
        }
    }
    Ok(note(GENERATION_CONFIG, settings(&generation)))
}

/// The fields of a file, if it is a JSON object.
fn fields(json: &[u8]) -> Option<Fields<'_>> {
    let json = without_mark(json);
    serde_json::from_slice(json).ok().filter(|_| json.len() <= MAX_FILE_BYTES)
}

/// Token ids, one or a list of them.
fn ids(fields: &Fields<'_>, field: &str) -> Option<Vec<i64>> {
    let json = fields.get(field)?.get();
    let one = serde_json::from_str(json).map(|id| vec![id]);
    one.or_else(|_| serde_json::from_str(json)).ok()
}

/// The settings that change answers.
fn settings(fields: &Fields<'_>) -> Vec<String> {
    let changes = |(name, neutral): &(&str, f64)| {
        let value = fields.get(*name).and_then(|value| value.get().parse::<f64>().ok());
        value.is_some_and(|value| value != *neutral)
    };
    let has_beams = changes(&NUMBERS[0]);
    let numbers = NUMBERS.iter().chain(has_beams.then_some(&LENGTH_PENALTY));
    let numbers = numbers.filter(|number| changes(number)).map(|number| number.0);
    let is_set = |name: &&&str| {
        fields.get(**name).is_some_and(|value| {
            let bare: String = value.get().split_whitespace().collect();
            !matches!(&*bare, "null" | "false" | "[]" | "{}" | "\"\"")
        })
    };
    let others = OTHERS.iter().filter(is_set).copied();
    numbers.chain(others).map(|name| format!("{name} {}", excerpt(fields[name].get()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parse_config;

    fn note(config: &str, generation: Option<&str>) -> Result<Option<GenerationNote>, ModelError> {
        let parsed = parse_config(config.as_bytes()).unwrap();
        generation_note(&*parsed, config.as_bytes(), generation.map(str::as_bytes))
    }

    fn settings(config: &str, generation: Option<&str>) -> (String, Vec<String>) {
        let note = note(config, generation).unwrap();
        note.map(|note| (note.file, note.settings)).unwrap_or_default()
    }

    const PLAIN: &str = r#"{"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}"#;

    /// Each of these changed the answers of transformers 4.57 on a small model, or nothing of them.
    #[test]
    fn settings_that_change_answers_are_noted() {
        for (config, expected) in [
            (
                r#"{"num_beams": 4, "length_penalty": 2.0}"#,
                &["num_beams 4", "length_penalty 2.0"][..],
            ),
            (r#"{"num_beams": 1, "length_penalty": 2.0}"#, &[]),
            (
                r#"{"repetition_penalty": 2.5, "do_sample": true}"#,
                &["repetition_penalty 2.5", "do_sample true"],
            ),
            (
                r#"{"no_repeat_ngram_size": 3, "min_length": 20}"#,
                &["no_repeat_ngram_size 3", "min_length 20"],
            ),
            (
                r#"{"forced_bos_token_id": 0, "forced_eos_token_id": null}"#,
                &["forced_bos_token_id 0"],
            ),
            (r#"{"bad_words_ids": [[4]], "suppress_tokens": [ ]}"#, &["bad_words_ids [[4]]"]),
            (r#"{"do_sample": false, "temperature": 0.5, "top_k": 4, "max_length": 5}"#, &[]),
            (r#"{"task_specific_params": {"summarization": {"num_beams": 4}}}"#, &[]),
        ] {
            let (file, found) = settings(config, None);
            assert_eq!(found, expected, "{config}");
            assert_eq!(file.is_empty(), expected.is_empty());
        }
    }

    #[test]
    fn generation_config_json_is_read_in_place_of_config_json() {
        let beams = r#"{"num_beams": 4}"#;
        assert_eq!(settings(beams, Some(PLAIN)), Default::default());
        let sampled = r#"{"do_sample": true}"#;
        let noted = ("generation_config.json".to_owned(), vec!["do_sample true".to_owned()]);
        assert_eq!(settings(beams, Some(sampled)), noted);
        // One that transformers made from config.json, and one that is no JSON.
        let noted = ("config.json".to_owned(), vec!["num_beams 4".to_owned()]);
        for generation in [r#"{"_from_model_config": true, "eos_token_id": 9}"#, "<html>"] {
            assert_eq!(settings(beams, Some(generation)), noted);
        }
    }

    #[test]
    fn other_tokens_that_start_or_end_outputs_are_rejected() {
        for (generation, part) in [
            (
                r#"{"decoder_start_token_id": 5}"#,
                "decoder_start_token_id should be 5, as generation_config.json has it, found 0",
            ),
            (r#"{"bos_token_id": 5}"#, "decoder_start_token_id should be 5"),
            (r#"{"eos_token_id": [1, 68]}"#, "eos_token_id should be 1 or 68"),
            (r#"{"eos_token_id": 2}"#, "eos_token_id should be 2"),
        ] {
            let error = note("{}", Some(generation)).unwrap_err().to_string();
            assert!(error.contains(part), "{generation}: {error}");
        }
        for generation in [PLAIN, r#"{"eos_token_id": [1]}"#, r#"{"eos_token_id": null}"#] {
            assert_eq!(note("{}", Some(generation)).unwrap(), None, "{generation}");
        }
    }
}
