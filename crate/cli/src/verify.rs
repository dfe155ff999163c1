//! `loraloom verify`: published answers of published models.

use std::path::PathBuf;

use clap::Args;
use loraloom::model::t5::{KNOWN_ANSWERS, KnownAnswer, Precision, Verified};
use serde::Serialize;

use crate::error::CliError;
use crate::model::{LoadedModel, ModelFiles};
use crate::output::Output;

/// Check a published model against answers that are known of it.
#[derive(Args)]
pub struct Verify {
    /// Folder of the model: google/flan-t5-small, google/t5-v1_1-small or google-t5/t5-small.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The model's id on the hub; every known model of the same sizes is tried if left out.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

#[derive(Serialize)]
struct Checks {
    /// Whether one of the known models answers as this one does.
    verified: bool,
    checks: Vec<Verified>,
}

impl Verify {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let files = ModelFiles::find(&self.model)?;
        let config = files.read_config()?;
        let known: Vec<&KnownAnswer> = match &self.id {
            Some(id) => KNOWN_ANSWERS.iter().filter(|known| known.model == id).collect(),
            None => KnownAnswer::of_model(&KNOWN_ANSWERS, "", &config),
        };
        if known.is_empty() {
            let models: Vec<&str> = KNOWN_ANSWERS.iter().map(|known| known.model).collect();
            return Err(CliError::Argument(format!(
                "the model should be one of {}; nothing is known of one with d_model {}, {} layers \
                 and {} heads",
                models.join(", "),
                config.d_model,
                config.num_layers,
                config.num_heads
            )));
        }
        let loaded = LoadedModel::open(&files, Precision::F32, output)?;
        let mut checks = Vec::new();
        for known in &known {
            output.progress(format!("Asking what is known of {}", known.model));
            checks.push(known.verify(&loaded.model, &loaded.tokenizer)?);
        }
        let checks = Checks { verified: checks.iter().any(|check| check.agrees), checks };
        if !checks.verified {
            let lines = checks.checks.iter().map(line).collect::<Vec<_>>().join("\n");
            return Err(CliError::Argument(format!(
                "the weights are not those of a known model\n{lines}"
            )));
        }
        output.answer(&checks, || checks.checks.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

fn line(check: &Verified) -> String {
    let Verified { model, source, input, expected, found, agrees } = check;
    let verdict = if *agrees { "agrees with" } else { "is not" };
    format!("{verdict} {model} ({source}): {input:?} should give {expected}, found {found}")
}
