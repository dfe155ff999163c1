//! Options that several commands share.

use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use clap::Args;
use loraloom::formats::{Example, ExamplesFormat, parse_examples_file};
use loraloom::learn::Choices;
use loraloom::model::Precision;

use crate::error::{CliError, read};
use crate::settings::{MergeOnly, SettingArguments, choice};

/// The base model.
#[derive(Args)]
pub struct ModelArguments {
    /// The base model: its id on the hub, such as google/flan-t5-small, or its folder as Hugging Face
    /// lays it out: config.json, tokenizer.json or spiece.model, and model.safetensors (or its shards),
    /// pytorch_model.bin or a GGUF file.
    #[arg(long, value_name = "ID|DIR")]
    pub model: PathBuf,
    #[command(flatten)]
    pub precision: PrecisionArgument,
}

/// What the base's products are computed in.
#[derive(Args)]
pub struct PrecisionArgument {
    /// Precision of the base's weights.
    #[arg(long, value_name = "NAME", value_parser = choice::<Precision>(),
          default_value = Precision::default().name())]
    pub precision: Precision,
}

/// Modules with given weights.
#[derive(Args)]
pub struct AdapterArguments {
    /// PEFT folder of a module, or its id on the hub, with its weight (default 1); repeat it for more
    /// modules.
    #[arg(long = "adapter", value_name = "DIR|ID[=WEIGHT]", value_parser = parse_adapter)]
    pub adapters: Vec<(PathBuf, f32)>,
    #[command(flatten)]
    pub settings: SettingArguments<MergeOnly>,
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

/// Reads a file of examples, or stdin for `-`: JSON, JSON lines, or a table.
pub fn read_examples(path: &Path) -> Result<Vec<Example>, CliError> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = stdin().lock().read_to_end(&mut bytes);
        read.map_err(|source| CliError::Read { path: "stdin".into(), source })?;
        bytes
    } else {
        read(path)?
    };
    parse_examples_file(&bytes, ExamplesFormat::Auto).map_err(CliError::in_file(path))
}
