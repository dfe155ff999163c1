//! The demo library, from files that were added by their paths within it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::BenchError;
use crate::formats::{ExamplesFormat, GgufFile, Tokenizer, parse_examples};
use crate::lora::PeftAdapter;
use crate::model::{Model, Precision, TokenizedExample};

/// Examples learned from.
pub(super) const SHOTS: usize = 5;
/// Most tokens of an answer.
pub(super) const MAX_NEW_TOKENS: usize = 32;

type Files = BTreeMap<String, Vec<u8>>;

fn file<'a>(files: &'a Files, path: &str) -> Result<&'a [u8], BenchError> {
    files
        .get(path)
        .map(Vec::as_slice)
        .ok_or_else(|| BenchError::request(format!("the file {path} was not added")))
}

/// The base model and a task's examples as tokens.
pub(super) fn load(
    files: &Files,
    task: &str,
    precision: Precision,
) -> Result<(Arc<dyn Model>, Vec<TokenizedExample>), BenchError> {
    let config = crate::model::parse_config(file(files, "base/config.json")?)?;
    let weights = GgufFile::parse(file(files, "base/model.gguf")?.to_vec())?;
    let model = crate::model::load(config, &weights, precision)?;
    let tokenizer = Tokenizer::parse(file(files, "base/tokenizer.json")?)?;
    let text = String::from_utf8_lossy(file(files, &format!("tasks/{task}.jsonl"))?);
    let examples = parse_examples(&text, ExamplesFormat::Jsonl)?
        .iter()
        .map(|example| {
            Ok(TokenizedExample {
                input: tokenizer.encode(&example.input)?,
                labels: tokenizer.encode(&example.output)?,
            })
        })
        .collect::<Result<_, BenchError>>()?;
    Ok((model, examples))
}

/// The named modules.
pub(super) fn adapters(files: &Files, names: &[String]) -> Result<Vec<PeftAdapter>, BenchError> {
    names
        .iter()
        .map(|name| {
            let config = file(files, &format!("modules/{name}/adapter_config.json"))?;
            let weights = file(files, &format!("modules/{name}/adapter_model.safetensors"))?;
            Ok(PeftAdapter::parse(config, weights.to_vec())?)
        })
        .collect()
}
