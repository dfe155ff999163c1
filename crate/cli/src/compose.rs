//! `loraloom compose`: learns one weight for each module from a few examples.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use loraloom::learn::{
    Evaluation, LearnOptions, LearnResult, Objective, Optimizer, Phase, Selection,
};
use loraloom::lora::WeightedModule;
use loraloom::recipe::{Recipe, RecipeBase, RecipeModule, encode};
use serde::Serialize;

use crate::arguments::{
    MergeArgument, ModelArguments, OPTIMIZERS, by_name, name_of, read_examples,
};
use crate::error::{CliError, write};
use crate::learning::{FewShotLosses, Known, learn};
use crate::library::{self, Library, Module};
use crate::model::{LoadedModel, ModelFiles};
use crate::output::Output;

/// Digits of a hash that a recipe holds.
const HASH_DIGITS: usize = 12;

/// Learn one weight for each module from a few examples, without gradients.
#[derive(Args)]
#[command(group(ArgGroup::new("modules_from").required(true).args(["registry", "adapters"])))]
pub struct Compose {
    #[command(flatten)]
    model: ModelArguments,
    /// registry.json; its modules are read from the files beside it and checked against their
    /// hashes.
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// PEFT folders of the modules, or folders that hold such folders.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    adapters: Vec<PathBuf>,
    /// The registry's base that the model is, if it cannot be told from the files.
    #[arg(long, value_name = "ID")]
    base: Option<String>,
    /// Examples to learn from, {"input": …, "output": …} a line.
    #[arg(long, value_name = "FILE")]
    examples: PathBuf,
    #[command(flatten)]
    search: SearchArguments,
    #[command(flatten)]
    merge: MergeArgument,
    /// Writes the composition as a recipe.
    #[arg(long, value_name = "OUT.json")]
    recipe: Option<PathBuf>,
    /// Name of the task in the recipe; the examples' file name if left out.
    #[arg(long, value_name = "TEXT", requires = "recipe")]
    title: Option<String>,
}

/// Settings of the search.
#[derive(Args)]
struct SearchArguments {
    /// Evaluations of the loss, beside those that choose the modules.
    #[arg(long, value_name = "N", default_value_t = LearnOptions::default().budget)]
    budget: u32,
    /// Which search finds the weights.
    #[arg(long, value_parser = by_name::<Optimizer>(&OPTIMIZERS),
          default_value = name_of(LearnOptions::default().optimizer))]
    optimizer: Optimizer,
    /// Which modules are searched over: all, some at random, or those with the lowest loss alone.
    #[arg(long, value_parser = by_name::<Selection>(&["all", "random", "single-loss"]),
          default_value = name_of(LearnOptions::default().selection))]
    select: Selection,
    /// Most modules to search over.
    #[arg(long, value_name = "N", default_value_t = LearnOptions::default().modules)]
    modules: u32,
    /// What is minimised: the paper's mean over the examples, or the reference code's variant.
    #[arg(long, value_parser = by_name::<Objective>(&["paper", "reference"]),
          default_value = name_of(LearnOptions::default().objective))]
    objective: Objective,
    /// Seed of everything that is random.
    #[arg(long, value_name = "N", default_value_t = LearnOptions::default().seed)]
    seed: u32,
}

#[derive(Serialize)]
struct Composed {
    weights: Vec<WeightedModule>,
    optimizer: Optimizer,
    loss_start: f64,
    loss: f64,
    evaluations: u32,
    seconds: f64,
    history: Vec<Evaluation>,
}

impl Compose {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let SearchArguments { budget, optimizer, select, modules, objective, seed } = self.search;
        let options = LearnOptions {
            budget,
            optimizer,
            selection: select,
            modules,
            merge: self.merge.merge,
            objective,
            seed,
            ..LearnOptions::default()
        };
        options.validate()?;
        // A recipe names modules that others can fetch. clap does not check `requires` here, because
        // the two sources of modules exclude each other.
        if self.registry.is_none() && (self.recipe.is_some() || self.base.is_some()) {
            let problem = "--recipe and --base need --registry, where others find the modules";
            return Err(CliError::Argument(problem.into()));
        }
        let examples = read_examples(&self.examples)?;
        let files = ModelFiles::find(&self.model.model)?;
        let library = self.registry.as_deref().map(Library::open).transpose()?;
        let loaded = LoadedModel::open(&files, self.model.precision, output)?;
        let (base, modules) = match &library {
            Some(library) => {
                let base = library.base(self.base.as_deref(), &loaded.weights_sha256)?;
                if base.files.weights.sha256 != loaded.weights_sha256 {
                    output.progress(format!(
                        "The weights of the model are not the file that the registry names for the \
                         base {}; modules and links may not fit.",
                        base.id
                    ));
                }
                output.progress("Reading the modules");
                (Some(base.id.clone()), library.read_modules(&base.id)?)
            }
            None => (None, library::read_folders(&self.adapters)?),
        };
        library::check(loaded.model.config(), &modules, options.merge)?;

        let examples = loaded.tokenize(&examples)?;
        let mut losses = FewShotLosses::new(&loaded, examples, &modules, options.merge);
        let candidates = modules.iter().map(|module| module.id.clone()).collect();
        let result = learn(&mut losses, options, candidates, &Known::new(), &mut |evaluation| {
            output.progress(progress_line(evaluation));
        })?;

        let mut link = None;
        if let (Some(registry), Some(base)) = (&self.registry, base) {
            let file_name = self.examples.file_stem().unwrap_or_default().to_string_lossy();
            let recipe = Recipe {
                registry: registry.display().to_string(),
                base: RecipeBase { id: base, hash: short(&loaded.weights_sha256) },
                modules: recipe_modules(&result, &modules),
                merge: result.merge,
                precision: self.model.precision,
                title: self.title.unwrap_or_else(|| file_name.into()),
                instruction: None,
                examples: Vec::new(),
            };
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
            history: result.history,
        };
        output.answer(&composed, || text(&composed, link.as_deref()))
    }
}

fn short(sha256: &str) -> String {
    sha256[..HASH_DIGITS].to_owned()
}

/// The modules that take part, in the order of the search.
fn recipe_modules(result: &LearnResult, modules: &[Module]) -> Vec<RecipeModule> {
    let of = |id: &str| modules.iter().find(|module| module.id == id);
    (result.modules.iter())
        .filter(|weighted| weighted.weight != 0.0)
        .filter_map(|WeightedModule { id, weight }| {
            Some(RecipeModule { id: id.clone(), hash: short(&of(id)?.sha256), weight: *weight })
        })
        .collect()
}

fn progress_line(evaluation: &Evaluation) -> String {
    let Evaluation { number, loss, best, seconds, .. } = evaluation;
    let what = match (evaluation.phase, &evaluation.weights[..]) {
        (Phase::Select, [module]) => format!("{} alone", module.id),
        _ => "search".to_owned(),
    };
    format!("{number:4}  loss {loss:9.5}  best {best:9.5}  {seconds:6.3} s  {what}")
}

fn text(composed: &Composed, link: Option<&str>) -> String {
    let mut lines: Vec<String> = (composed.weights.iter())
        .map(|WeightedModule { id, weight }| format!("{weight:+9.5}  {id}"))
        .collect();
    lines.push(format!(
        "loss {:.5}, {:.5} without modules; {} evaluations in {:.1} s",
        composed.loss, composed.loss_start, composed.evaluations, composed.seconds
    ));
    lines.extend(link.map(|link| format!("link #{link}")));
    lines.join("\n")
}
