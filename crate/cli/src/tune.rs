//! `loraloom tune`: tunes a composition on a few examples, into one adapter.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use loraloom::formats::Example;
use loraloom::learn::{Assessment, Effort, TuneOptions, TuneStep};
use loraloom::lora::{Composition, Exported, Truncation, TunedPart, TunedScales};
use loraloom::session::{Session, SessionEvent, TuneResult};
use pollster::block_on;
use serde::Serialize;

use crate::arguments::{AdapterArguments, ModelArguments, RankArgument, read_examples};
use crate::error::{CliError, create_folder, write};
use crate::library;
use crate::model::ModelFiles;
use crate::output::{Output, assessment_text, truncation_text};
use crate::settings::choice;

/// Id of the tuned module in its session.
const ID: &str = "tuned";

/// Tune a composition on the examples by a few gradient steps, and write it as one PEFT adapter.
#[derive(Args)]
#[command(group(ArgGroup::new("composition").required(true).args(["adapters"])))]
pub struct Tune {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    adapters: AdapterArguments,
    /// File of examples to tune on, as for score.
    #[arg(long, value_name = "FILE")]
    examples: PathBuf,
    /// Steps and learning rate that go together.
    #[arg(long, value_name = "NAME", value_parser = choice::<Effort>(), default_value = "balanced")]
    effort: Effort,
    /// What is tuned: B of every layer, or one scale for each rank of each layer.
    #[arg(long, value_name = "NAME", value_parser = choice::<TunedPart>(), default_value = "lora-b")]
    part: TunedPart,
    /// Number of steps, in place of the effort's.
    #[arg(long, value_name = "N")]
    steps: Option<u32>,
    /// Learning rate, in place of the effort's.
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Judge the result by its examples alone, which takes a fifth of the time and is too hopeful.
    #[arg(long)]
    no_leave_out: bool,
    #[command(flatten)]
    rank: RankArgument,
    /// Folder to write adapter_config.json and adapter_model.safetensors into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// A tuned composition, as it is printed.
#[derive(Serialize)]
pub struct Tuned {
    loss_start: f64,
    /// Of the adapter that is written.
    loss: f64,
    seconds: f64,
    steps: Vec<TuneStep>,
    assessment: Assessment,
    /// The scales, where they were tuned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scales: Option<TunedScales>,
    /// Size of the adapter's weights, where they were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<Truncated>,
}

/// An adapter of a lower rank than tuning gave it.
#[derive(Serialize)]
struct Truncated {
    #[serde(flatten)]
    truncation: Truncation,
    /// The loss before.
    loss_before: f64,
}

impl Tune {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let examples = read_examples(&self.examples)?;
        let files = ModelFiles::find(&self.model.model)?;
        let (mut session, _) = files.open(self.model.precision.precision, output)?;
        let Some(composition) = library::add_adapters(&mut session, &self.adapters)? else {
            return Err(CliError::NoModules);
        };
        let Self { part, effort, steps, learning_rate, .. } = self;
        let leave_out = !self.no_leave_out;
        let options = TuneOptions { part, effort, steps, learning_rate, leave_out };
        let base_model = self.model.model.display().to_string();
        let rank = self.rank.rank;
        let request = Request { examples: &examples, composition: &composition, options, rank };
        let tuned = request.run(&mut session, &base_model, Some(&self.out), output)?;
        output.result(&tuned, || tuned.text(Some(&self.out)))
    }
}

/// What is tuned, on what and how.
pub struct Request<'a> {
    pub examples: &'a [Example],
    pub composition: &'a Composition,
    pub options: TuneOptions,
    /// The rank of the adapter, if it is not the composition's.
    pub rank: Option<NonZeroUsize>,
}

impl Request<'_> {
    /// Tunes, and writes the adapter for a base of this name into a folder, where one is given.
    pub fn run(
        self,
        session: &mut Session,
        base_model: &str,
        out: Option<&Path>,
        output: &Output,
    ) -> Result<Tuned, CliError> {
        // A folder that cannot be written is found before the work is done.
        if let Some(out) = out {
            create_folder(out)?;
        }
        let mut observer = |event| match event {
            SessionEvent::Tuned { step: TuneStep { number, loss, seconds }, steps } => {
                output.progress(format!("step {number}/{steps}  loss {loss:9.5}  {seconds:6.3} s"));
            }
            SessionEvent::Step { done, total } => {
                output.progress(format!("tuned on the other examples: {done}/{total}"));
            }
            _ => {}
        };
        let Self { examples, composition, options, rank } = self;
        let tuned = block_on(session.tune(examples, composition, options, ID, &mut observer))?;
        let TuneResult { composition, loss_start, seconds, steps, scales, .. } = tuned;
        let (mut loss, mut assessment) = (tuned.loss, tuned.assessment);
        let mut truncated = None;
        if let Some(rank) = rank {
            let truncation = session.truncate_module(ID, rank)?;
            truncated = Some(Truncated { truncation, loss_before: loss });
            loss = block_on(session.score(examples, Some(&composition)))?.loss;
            let left_out_correct = assessment.left_out_correct;
            assessment = block_on(session.assess(examples, Some(&composition), &mut ()))?;
            if let Some(share) = left_out_correct {
                assessment = assessment.with_left_out_correct(share);
            }
        }
        let mut bytes = None;
        if let Some(out) = out {
            let Exported { files, .. } = session.export(&composition, base_model)?;
            write(&out.join("adapter_config.json"), &files.config)?;
            write(&out.join("adapter_model.safetensors"), &files.weights)?;
            bytes = Some(files.weights.len());
        }
        Ok(Tuned { loss_start, loss, seconds, steps, assessment, scales, bytes, truncated })
    }
}

impl Tuned {
    /// The result in a few lines.
    pub fn text(&self, out: Option<&Path>) -> String {
        let Self { loss_start, loss, seconds, steps, assessment, truncated, .. } = self;
        let truncated = truncated.as_ref().map(|Truncated { truncation, loss_before }| {
            let kept = truncation_text(truncation);
            format!("{kept}; the loss was {loss_before:.5} before\n")
        });
        let mut text = format!(
            "loss {loss:.5}, {loss_start:.5} before tuning; {} steps in {seconds:.1} s\n{}{}",
            steps.len(),
            truncated.unwrap_or_default(),
            assessment_text(assessment),
        );
        if let Some((out, bytes)) = out.zip(self.bytes) {
            text += &format!("\n{}: one adapter of {bytes} bytes", out.display());
        }
        text
    }
}
