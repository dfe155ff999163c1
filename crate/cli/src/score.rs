//! `loraloom score`: the loss of examples.

use std::path::PathBuf;

use clap::Args;
use loraloom::learn::Objective;
use serde::Serialize;

use crate::arguments::{AdapterArguments, ModelArguments, read_examples};
use crate::error::CliError;
use crate::library;
use crate::model::{LoadedModel, ModelFiles};
use crate::output::Output;

/// Score examples: the mean cross-entropy of each output's tokens.
#[derive(Args)]
pub struct Score {
    #[command(flatten)]
    model: ModelArguments,
    /// File of examples: JSON lines {"input": …, "output": …}, or a table with commas or tabs.
    #[arg(long, value_name = "FILE")]
    examples: PathBuf,
    #[command(flatten)]
    adapters: AdapterArguments,
}

#[derive(Serialize)]
struct Scored {
    /// Mean of the examples' losses.
    loss: f64,
    examples: Vec<ScoredExample>,
}

#[derive(Serialize)]
struct ScoredExample {
    loss: f32,
    tokens: usize,
}

impl Score {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let examples = read_examples(&self.examples)?;
        let files = ModelFiles::find(&self.model.model)?;
        let loaded = LoadedModel::open(&files, self.model.precision.precision, output)?;
        let side = library::branches_of(&*loaded.model, &self.adapters)?;
        let losses = loaded.losses(&loaded.tokenize(&examples)?, side.as_ref())?;
        let scored = Scored {
            loss: Objective::Paper.cross_entropy(losses.iter().map(|l| (l.loss, l.tokens))),
            examples: (losses.iter())
                .map(|loss| ScoredExample { loss: loss.loss, tokens: loss.tokens })
                .collect(),
        };
        output.result(&scored, || {
            let lines = (scored.examples.iter().zip(&examples)).map(|(scored, example)| {
                format!("{:9.5}  {:3} tokens  {}", scored.loss, scored.tokens, example.output)
            });
            let lines: Vec<String> = lines.collect();
            format!("{}\n{:9.5}  mean of {}", lines.join("\n"), scored.loss, lines.len())
        })
    }
}
