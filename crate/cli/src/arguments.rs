//! Options that several commands share.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use loraloom::formats::{Example, ExamplesFormat, parse_examples};
use loraloom::learn::LearnOptions;
use loraloom::lora::Merge;
use loraloom::model::t5::Precision;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{CliError, read};

/// A parser of a type's names, which are those that it has in JSON.
pub fn by_name<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names.iter().copied())
        .try_map(|name| serde_json::from_value::<T>(name.into()))
}

/// Names of the searches.
pub const OPTIMIZERS: [&str; 4] = ["cobyla", "cma-es", "greedy", "ridge-trust-region"];

/// The name that a value has in JSON, for an option's default.
pub fn name_of(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// The base model.
#[derive(Args)]
pub struct ModelArguments {
    /// Folder of the base model as Hugging Face lays it out: config.json, tokenizer.json or
    /// spiece.model, and model.safetensors (or its shards), pytorch_model.bin or a GGUF file.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// f32 is exact; int8 keeps the base's weights in 8 bits.
    #[arg(long, value_parser = by_name::<Precision>(&["f32", "int8"]),
          default_value = name_of(Precision::default()))]
    pub precision: Precision,
}

/// How modules become one update of the base.
#[derive(Args)]
pub struct MergeArgument {
    /// delta adds the modules' updates up; lorahub adds A and B up apart, as published, and needs
    /// modules of one rank.
    #[arg(long, value_parser = by_name::<Merge>(&["lorahub", "delta"]),
          default_value = name_of(LearnOptions::default().merge))]
    pub merge: Merge,
}

/// Modules with given weights.
#[derive(Args)]
pub struct AdapterArguments {
    /// PEFT folder of a module, with its weight (1 if left out); repeat it for more modules.
    #[arg(long = "adapter", value_name = "DIR[=WEIGHT]", value_parser = parse_adapter)]
    pub adapters: Vec<(PathBuf, f32)>,
    #[command(flatten)]
    pub merge: MergeArgument,
}

fn parse_adapter(text: &str) -> Result<(PathBuf, f32), String> {
    // A folder's own name may hold an equals sign.
    match text.rsplit_once('=') {
        Some((folder, weight)) if !Path::new(text).exists() => {
            let number: f32 =
                weight.parse().map_err(|_| format!("the weight {weight:?} is not a number"))?;
            if !number.is_finite() {
                return Err(format!("the weight {weight} is not a finite number"));
            }
            Ok((folder.into(), number))
        }
        _ => Ok((text.into(), 1.0)),
    }
}

/// Reads a file of examples: JSON lines, or a table with commas or tabs.
pub fn read_examples(path: &Path) -> Result<Vec<Example>, CliError> {
    let bytes = read(path)?;
    let text = String::from_utf8(bytes).map_err(|error| CliError::File {
        path: path.into(),
        problem: format!("it should be text in UTF-8: {error}"),
    })?;
    parse_examples(&text, ExamplesFormat::Auto).map_err(CliError::in_file(path))
}
