//! `loraloom score`: the loss of examples.

use std::path::PathBuf;

use clap::Args;
use pollster::block_on;

use crate::arguments::{AdapterArguments, ModelArguments, read_examples};
use crate::error::CliError;
use crate::library;
use crate::model::ModelFiles;
use crate::output::{Output, note_unwritable};

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

impl Score {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let examples = read_examples(&self.examples)?;
        let files = ModelFiles::find(&self.model.model)?;
        let (mut session, _) = files.open(self.model.precision.precision, output)?;
        note_unwritable(&session.unwritable_outputs(&examples)?);
        let composition = library::add_adapters(&mut session, &self.adapters)?;
        let scored = block_on(session.score(&examples, composition.as_ref()))?;
        output.result(&scored, || {
            let lines = (scored.examples.iter().zip(&examples)).map(|(scored, example)| {
                format!("{:9.5}  {:3} tokens  {}", scored.loss, scored.tokens, example.output)
            });
            let lines: Vec<String> = lines.collect();
            format!("{}\n{:9.5}  mean of {}", lines.join("\n"), scored.loss, lines.len())
        })
    }
}
