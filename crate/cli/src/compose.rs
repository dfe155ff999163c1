//! `loraloom compose`: learns one weight for each module from a few examples.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use loraloom::learn::{
    Assessment, Effort, Evaluation, LearnOptions, Optimizer, Phase, TuneOptions,
};
use loraloom::lora::{Composition, ModuleWeight, TunedPart, WeightedModule};
use loraloom::recipe::{LoadedHashes, Recipe, RecipeDraft, encode};
use loraloom::session::SessionEvent;
use pollster::block_on;
use serde::Serialize;

use crate::arguments::{ModelArguments, RankArgument, parse_held, read_examples};
use crate::error::{CliError, write};
use crate::library::{self, Library};
use crate::model::ModelFiles;
use crate::output::{Output, assessment_text, duration, note, note_unwritable};
use crate::settings::{All, SettingArguments, choice};
use crate::tune::{Request, Tuned};

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
    /// Tune the result on the examples by a few gradient steps.
    #[arg(long, value_name = "EFFORT", value_parser = choice::<Effort>(), num_args = 0..=1,
          default_missing_value = "balanced")]
    tune: Option<Effort>,
    /// What is tuned: one scale for each rank of each layer, which the link and the recipe hold, or B of
    /// every layer, which needs --adapter-out (default: lora-b with --adapter-out, scales without).
    #[arg(long, value_name = "NAME", value_parser = choice::<TunedPart>(), requires = "tune")]
    tune_part: Option<TunedPart>,
    /// Folder to write the tuned adapter into, as PEFT reads it.
    #[arg(long, value_name = "DIR", requires = "tune")]
    adapter_out: Option<PathBuf>,
    #[command(flatten)]
    rank: RankArgument,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    tuned: Option<Tuned>,
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
        let adapter_out = self.adapter_out.is_some();
        let tuning = self.tune.map(|effort| {
            let default = if adapter_out { TunedPart::LoraB } else { TunedPart::Scales };
            TuneOptions::of(self.tune_part.unwrap_or(default), effort)
        });
        match tuning.map(|options| options.part) {
            Some(TunedPart::LoraB) if !adapter_out => {
                return Err(CliError::Needs {
                    option: "--tune-part lora-b",
                    needed: "--adapter-out",
                    reason: "where the tuned adapter is written",
                });
            }
            Some(TunedPart::Scales) if !adapter_out && self.registry.is_none() => {
                return Err(CliError::Needs {
                    option: "--tune",
                    needed: "--adapter-out or --registry",
                    reason: "an adapter or a link that holds what was tuned",
                });
            }
            _ => {}
        }
        if self.rank.rank.is_some() && self.adapter_out.is_none() {
            return Err(CliError::Needs {
                option: "--rank",
                needed: "--adapter-out",
                reason: "the adapter that it is the rank of",
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
        let budget = options.budget;
        let mut observer = |event| match event {
            SessionEvent::Evaluation { evaluation } => {
                output.progress(progress_line(&evaluation));
            }
            SessionEvent::Unwritable { outputs } => note_unwritable(&outputs),
            SessionEvent::Estimate { evaluation, total } => {
                let (evaluation, total) = (duration(evaluation), duration(total));
                output.progress(format!(
                    "An evaluation of all examples takes about {evaluation}, and {budget} of them \
                     {total}. Fewer or shorter examples take less."
                ));
            }
            _ => {}
        };
        let result = block_on(session.learn(&examples, &modules, options, &[], &mut observer))?;

        let composition = Composition { modules: result.modules.clone(), merge: result.merge };
        let tuned = match tuning {
            Some(_) if composition.modules.iter().all(|module| module.weight.is_zero()) => {
                note("the base alone does as well as any mix, so that nothing was tuned");
                None
            }
            Some(options) => {
                let request = Request {
                    examples: &examples,
                    composition: &composition,
                    options,
                    rank: self.rank.rank,
                };
                let base_model = self.model.model.display().to_string();
                let out = self.adapter_out.as_deref();
                Some(request.run(&mut session, &base_model, out, output)?)
            }
            None => None,
        };
        let mut link = None;
        if let (Some(library), Some(base)) = (&library, base) {
            let file_name = self.examples.file_stem().unwrap_or_default().to_string_lossy();
            let draft = RecipeDraft {
                registry: library.path().display().to_string(),
                base: base.clone(),
                composition,
                scales: tuned.as_ref().and_then(|tuned| tuned.scales.clone()),
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
            tuned,
            weights: result.modules,
            optimizer: result.optimizer,
            loss_start: result.loss_start,
            loss: result.loss,
            evaluations: result.evaluations,
            seconds: result.seconds,
            assessment: result.assessment,
            history: result.history,
        };
        output.result(&composed, || text(&composed, self.adapter_out.as_deref(), link.as_deref()))
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

fn text(composed: &Composed, adapter_out: Option<&Path>, link: Option<&str>) -> String {
    let mut lines: Vec<String> = (composed.weights.iter())
        .map(|WeightedModule { id, weight }| format!("{}  {id}", weight_text(*weight)))
        .collect();
    lines.push(format!(
        "loss {:.5}, {:.5} without modules; {:.1} evaluations in {:.1} s",
        composed.loss, composed.loss_start, composed.evaluations, composed.seconds
    ));
    lines.extend(composed.assessment.as_ref().map(assessment_text));
    lines.extend(composed.tuned.as_ref().map(|tuned| tuned.text(adapter_out)));
    lines.extend(link.map(|link| {
        // B that was tuned is a file of its own.
        let before = composed.tuned.as_ref().is_some_and(|tuned| tuned.scales.is_none());
        format!("link{} #{link}", if before { " before tuning" } else { "" })
    }));
    lines.join("\n")
}
