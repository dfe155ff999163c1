//! `loraloom verify`: published reference outputs of published models.

use std::path::PathBuf;

use clap::Args;
use loraloom::model::{Precision, REFERENCE_OUTPUTS, ReferenceOutput, Stack, Verified};
use pollster::block_on;
use serde::Serialize;

use crate::error::CliError;
use crate::model::ModelFiles;
use crate::output::Output;

/// Check a published model against its reference outputs.
#[derive(Args)]
pub struct Verify {
    /// The model, google/flan-t5-small, google/t5-v1_1-small or google-t5/t5-small: its folder or hub id.
    #[arg(long, value_name = "DIR|ID")]
    model: PathBuf,
    /// The model's id on the hub (default: every known model of the same sizes).
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

#[derive(Serialize)]
struct Checks {
    /// Whether the model agrees with one of the known models.
    verified: bool,
    checks: Vec<Verified>,
}

impl Verify {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let files = ModelFiles::find(&self.model)?;
        let config = files.read_config()?;
        let known: Vec<&ReferenceOutput> = match &self.id {
            Some(id) => REFERENCE_OUTPUTS.iter().filter(|known| known.model == id).collect(),
            None => ReferenceOutput::of_model(&REFERENCE_OUTPUTS, "", &*config),
        };
        if known.is_empty() {
            return Err(CliError::NoReference {
                models: REFERENCE_OUTPUTS.iter().map(|known| known.model).collect(),
                d_model: config.d_model(),
                blocks: config.blocks(Stack::Encoder),
            });
        }
        let (session, _) = files.open(Precision::F32, output)?;
        let mut checks = Vec::new();
        for known in &known {
            output.progress(format!("Comparing with {}", known.model));
            checks.extend(block_on(session.verify(known.model))?);
        }
        let checks = Checks { verified: checks.iter().any(|check| check.agrees), checks };
        if !checks.verified {
            return Err(CliError::NotVerified { checks: checks.checks });
        }
        output.result(&checks, || text(&checks.checks))
    }
}

/// A line for each check.
pub fn text(checks: &[Verified]) -> String {
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(check: &Verified) -> String {
    let Verified { model, source, input, expected, found, agrees } = check;
    let verdict = if *agrees { "agrees with" } else { "is not" };
    format!("{verdict} {model} ({source}): {input:?} should give {expected}, found {found}")
}
