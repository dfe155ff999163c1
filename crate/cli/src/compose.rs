//! `loraloom compose`: learns one weight for each module from a few examples.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use loraloom::learn::{Assessment, Enough, Evaluation, LearnOptions, Optimizer, Phase, Verdict};
use loraloom::lora::{Composition, ModuleWeight, WeightedModule};
use loraloom::recipe::{LoadedHashes, Recipe, RecipeDraft, encode};
use loraloom::session::SessionEvent;
use pollster::block_on;
use serde::Serialize;

use crate::arguments::{ModelArguments, parse_held, read_examples};
use crate::error::{CliError, write};
use crate::library::{self, Library};
use crate::model::ModelFiles;
use crate::output::{Output, note_unwritable};
use crate::settings::{All, SettingArguments};

/// Learn one weight for each module from a few examples, without gradients.
#[derive(Args)]
#[command(group(ArgGroup::new("modules_from").required(true).args(["registry", "adapters"])))]
pub struct Compose {
    #[command(flatten)]
    model: ModelArguments,
    /// Registry of the modules: registry.json, its folder or its address; files are checked against
    /// their hashes.
    #[arg(long, value_name = "FILE|URL")]
    registry: Option<PathBuf>,
    /// PEFT folders of the modules, or folders that hold such folders, or their hub ids.
    #[arg(long, value_name = "DIR|ID", num_args = 1..)]
    adapters: Vec<PathBuf>,
    /// The base in the registry that the model is, where its files do not identify it.
    #[arg(long, value_name = "ID")]
    base: Option<String>,
    /// File of examples to learn from, as for score.
    #[arg(long, value_name = "FILE")]
    examples: PathBuf,
    /// Module with a weight that is not changed, or with four separated by commas as for generate: the
    /// search adds the rest to it. Repeat it for more; 0 leaves a module out.
    #[arg(long, value_name = "MODULE=WEIGHT", value_parser = parse_held)]
    hold: Vec<WeightedModule>,
    #[command(flatten)]
    settings: SettingArguments<All>,
    /// File to write the composition to, as a recipe.
    #[arg(long, value_name = "OUT.json")]
    recipe: Option<PathBuf>,
    /// Name of the task in the recipe (default: the examples' file name).
    #[arg(long, value_name = "TEXT", requires = "recipe")]
    title: Option<String>,
}

#[derive(Serialize)]
struct Composed {
    weights: Vec<WeightedModule>,
    optimizer: Optimizer,
    loss_start: f64,
    loss: f64,
    evaluations: f64,
    seconds: f64,
    assessment: Option<Assessment>,
    history: Vec<Evaluation>,
}

impl Compose {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let options = LearnOptions { held: self.hold, ..self.settings.options };
        // A recipe names modules that others can fetch. clap does not check `requires` here, because
        // the two sources of modules exclude each other.
        if self.registry.is_none() && (self.recipe.is_some() || self.base.is_some()) {
            return Err(CliError::Needs {
                option: "--recipe and --base",
                needed: "--registry",
                reason: "where others find the modules",
            });
        }
        let examples = read_examples(&self.examples)?;
        let files = ModelFiles::find(&self.model.model)?;
        let library = self.registry.as_deref().map(Library::open).transpose()?;
        let (mut session, info) = files.open(self.model.precision.precision, output)?;
        let (base, modules) = match &library {
            Some(library) => {
                let base = library.base(self.base.as_deref(), &info.sha256)?;
                if base.files.weights.sha256 != info.sha256 {
                    output.progress(format!(
                        "The weights of the model are not the file that the registry names for the \
                         base {}; modules and links may not fit.",
                        base.id
                    ));
                }
                output.progress("Reading the modules");
                (Some(base.id.clone()), library.add_modules(&mut session, &base.id)?)
            }
            None => (None, library::add_folders(&mut session, &self.adapters)?),
        };
        let mut observer = |event| match event {
            SessionEvent::Evaluation { evaluation } => {
                output.progress(progress_line(&evaluation));
            }
            SessionEvent::Unwritable { outputs } => note_unwritable(&outputs),
            _ => {}
        };
        let result = block_on(session.learn(&examples, &modules, options, &[], &mut observer))?;

        let mut link = None;
        if let (Some(library), Some(base)) = (&library, base) {
            let file_name = self.examples.file_stem().unwrap_or_default().to_string_lossy();
            let draft = RecipeDraft {
                registry: library.path().display().to_string(),
                base: base.clone(),
                composition: Composition { modules: result.modules.clone(), merge: result.merge },
                precision: self.model.precision.precision,
                title: self.title.unwrap_or_else(|| file_name.into()),
                instruction: None,
                examples: Vec::new(),
            };
            let mut hashes = LoadedHashes::default();
            hashes.bases.insert(base, info.sha256);
            let recipe = Recipe::new(draft, library.for_recipes(&hashes))?;
            link = Some(encode(&recipe)?);
            if let Some(path) = &self.recipe {
                let json = serde_json::to_string_pretty(&recipe).unwrap_or_default();
                write(path, json + "\n")?;
            }
        }
        let composed = Composed {
            weights: result.modules,
            optimizer: result.optimizer,
            loss_start: result.loss_start,
            loss: result.loss,
            evaluations: result.evaluations,
            seconds: result.seconds,
            assessment: result.assessment,
            history: result.history,
        };
        output.result(&composed, || text(&composed, link.as_deref()))
    }
}

/// One coefficient, or those of the encoder and of the decoder's self-attention, cross-attention and
/// feed-forward layers.
fn weight_text(weight: ModuleWeight) -> String {
    match weight {
        ModuleWeight::All(weight) => format!("{weight:+9.5}"),
        ModuleWeight::Groups(_) => weight.groups().map(|weight| format!("{weight:+9.5}")).join(" "),
    }
}

fn progress_line(evaluation: &Evaluation) -> String {
    let Evaluation { number, loss, best, seconds, .. } = evaluation;
    let what = match (evaluation.phase, &evaluation.weights[..]) {
        (Phase::Select, [module]) => format!("{} alone", module.id),
        (Phase::Select, [others @ .., module]) => format!("{} beside {}", module.id, others.len()),
        (Phase::Groups, _) => "groups of layers".to_owned(),
        _ => "weights".to_owned(),
    };
    let some = if evaluation.complete { ' ' } else { '~' };
    format!("{number:4}  loss{some}{loss:9.5}  best {best:9.5}  {seconds:6.3} s  {what}")
}

fn text(composed: &Composed, link: Option<&str>) -> String {
    let mut lines: Vec<String> = (composed.weights.iter())
        .map(|WeightedModule { id, weight }| format!("{}  {id}", weight_text(*weight)))
        .collect();
    lines.push(format!(
        "loss {:.5}, {:.5} without modules; {:.1} evaluations in {:.1} s",
        composed.loss, composed.loss_start, composed.evaluations, composed.seconds
    ));
    lines.extend(composed.assessment.as_ref().map(assessment_text));
    lines.extend(link.map(|link| format!("link #{link}")));
    lines.join("\n")
}

/// The assessment in a few lines.
fn assessment_text(assessment: &Assessment) -> String {
    let verdict = match assessment.verdict {
        Verdict::Works => "works",
        Verdict::Partly => "works partly",
        Verdict::Unlikely => "does not work",
    };
    let [mean, low, high] =
        [assessment.expected.mean, assessment.expected.low, assessment.expected.high]
            .map(|share| (100.0 * share).round());
    let correct = assessment.answers.iter().filter(|answer| answer.correct).count();
    let mut lines = vec![format!(
        "{verdict}: expect about {mean} of 100 new inputs answered exactly ({low} to {high} in 8 of \
         10 cases); {correct} of {} examples are",
        assessment.answers.len()
    )];
    if !assessment.calibrated {
        lines.push("this estimate was measured on another base".into());
    }
    lines.extend(assessment.enough.map(|enough| match enough {
        Enough::Base => "the base alone is enough".into(),
        Enough::Module => "one module alone is enough".into(),
        Enough::Held => "the modules that are held are enough".into(),
    }));
    for index in &assessment.contradicting {
        lines.push(format!("example {} contradicts the others", index + 1));
    }
    lines.join("\n")
}
