//! `loraloom generate`: greedy answers.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use loraloom::session::Answer;
use pollster::block_on;
use serde::Serialize;

use crate::arguments::{AdapterArguments, ModelArguments, read_examples};
use crate::error::CliError;
use crate::library;
use crate::model::ModelFiles;
use crate::output::Output;

/// Decode greedily: the answer to one input, or to the input of each example.
#[derive(Args)]
#[command(group(ArgGroup::new("inputs").required(true).args(["input", "examples"])))]
pub struct Generate {
    #[command(flatten)]
    model: ModelArguments,
    /// The input.
    #[arg(long, value_name = "TEXT")]
    input: Option<String>,
    /// File of examples whose inputs to answer, as for score.
    #[arg(long, value_name = "FILE")]
    examples: Option<PathBuf>,
    #[command(flatten)]
    adapters: AdapterArguments,
    /// Maximum number of tokens of an answer.
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
}

#[derive(Serialize)]
struct Generated {
    outputs: Vec<Answer>,
}

impl Generate {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let texts: Vec<String> = match (self.input, &self.examples) {
            (Some(text), _) if text.trim().is_empty() => {
                return Err(CliError::Value {
                    option: "--input",
                    expected: "a text",
                    found: "nothing".into(),
                });
            }
            (Some(text), _) => vec![text],
            (None, Some(path)) => read_examples(path)?.into_iter().map(|e| e.input).collect(),
            (None, None) => Vec::new(),
        };
        let files = ModelFiles::find(&self.model.model)?;
        let (mut session, _) = files.open(self.model.precision.precision, output)?;
        let composition = library::add_adapters(&mut session, &self.adapters)?;
        let (composition, limit) = (composition.as_ref(), self.max_new_tokens);
        let outputs = block_on(session.answers(&texts, composition, limit, &mut ()))?;
        let generated = Generated { outputs };
        output.result(&generated, || {
            let lines: Vec<&str> = generated.outputs.iter().map(|answer| &*answer.text).collect();
            lines.join("\n")
        })
    }
}
