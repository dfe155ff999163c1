//! `loraloom route`: an answer by the recipe that an input belongs to, or by the base.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use loraloom::learn::Choices;
use loraloom::lora::{Composition, Merge, WeightedModule};
use loraloom::recipe::{LoadedHashes, Recipe};
use loraloom::session::{RouteCandidate, RouteOptions, Routed, Session, StoredComposition};
use pollster::block_on;
use serde::Serialize;

use crate::arguments::{read_examples, read_recipe};
use crate::error::CliError;
use crate::library::Library;
use crate::output::Output;

/// Answer an input with the recipe that it belongs to, or with the base alone where it belongs to none.
#[derive(Args)]
pub struct Route {
    /// The input.
    #[arg(value_name = "TEXT")]
    input: String,
    /// A recipe: the file that compose writes, or a link. Repeat it for more recipes.
    #[arg(long = "recipe", value_name = "FILE|LINK", required = true)]
    recipes: Vec<String>,
    /// Files of the recipes' examples, one for each recipe in their order (default: those in the recipes).
    #[arg(long, value_name = "FILE")]
    examples: Vec<PathBuf>,
    /// Registry of the recipes' base and modules: registry.json, its folder, or its address.
    #[arg(long, value_name = "FILE|URL")]
    registry: PathBuf,
    /// Number of recipes that answer, those whose examples are nearest; the best of their answers is printed.
    #[arg(long, value_name = "N", default_value_t = RouteOptions::default().nearest)]
    nearest: u32,
    /// Maximum number of tokens of an answer.
    #[arg(long, value_name = "N", default_value_t = RouteOptions::default().max_new_tokens)]
    max_new_tokens: u32,
}

#[derive(Serialize)]
struct Answered {
    /// Title of the recipe that answers; none for the base.
    recipe: Option<String>,
    text: String,
    chosen: Option<u32>,
    candidates: Vec<Candidate>,
}

#[derive(Serialize)]
struct Candidate {
    title: String,
    #[serde(flatten)]
    found: RouteCandidate,
}

impl Route {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        if self.input.trim().is_empty() {
            let found = "nothing".into();
            return Err(CliError::Value { option: "TEXT", expected: "a text", found });
        }
        let library = Library::open(&self.registry)?;
        let recipes = self.read_recipes(&library)?;
        let (first, precision) = (&recipes[0].base.id, recipes[0].precision);
        let base = library.base(Some(first), "")?;
        let (mut session, _) = library.model_files(base)?.open(precision, output)?;
        let mut loaded = BTreeSet::new();
        let mut stored = Vec::new();
        for (index, recipe) in recipes.iter().enumerate() {
            for module in recipe.modules.iter().filter(|module| !module.weight.is_zero()) {
                if loaded.insert(&module.id)
                    && let Some(entry) = library.registry.module(&module.id)
                {
                    library.read_module(entry)?.add_to(&mut session)?;
                }
            }
            stored.push(StoredComposition {
                composition: restored(&mut session, recipe, index)?,
                inputs: self.inputs_of(recipe, index)?,
            });
        }
        let options = RouteOptions {
            nearest: self.nearest,
            max_new_tokens: self.max_new_tokens,
            background: library.card_inputs(&base.id),
            ..RouteOptions::default()
        };
        let routed = block_on(session.route(&self.input, &stored, &options, &mut ()))?;
        let answered = Answered::new(routed, &recipes);
        output.result(&answered, || answered.lines(options.threshold))
    }

    fn read_recipes(&self, library: &Library) -> Result<Vec<Recipe>, CliError> {
        if !self.examples.is_empty() && self.examples.len() != self.recipes.len() {
            return Err(CliError::Value {
                option: "--examples",
                expected: "given once for each recipe",
                found: format!("{} for {} recipes", self.examples.len(), self.recipes.len()),
            });
        }
        let recipes: Vec<Recipe> =
            self.recipes.iter().map(|recipe| read_recipe(recipe)).collect::<Result<_, _>>()?;
        for recipe in &recipes {
            recipe.check(library.for_recipes(&LoadedHashes::default()))?;
            let of = |recipe: &Recipe| format!("{} in {}", recipe.base.id, recipe.precision.name());
            if of(recipe) != of(&recipes[0]) {
                return Err(CliError::OtherBase {
                    recipe: recipe.title.clone(),
                    expected: of(&recipes[0]),
                    found: of(recipe),
                });
            }
        }
        Ok(recipes)
    }

    fn inputs_of(&self, recipe: &Recipe, index: usize) -> Result<Vec<String>, CliError> {
        let examples = match self.examples.get(index) {
            Some(path) => read_examples(path)?,
            None => recipe.examples.clone(),
        };
        if examples.is_empty() {
            return Err(CliError::NoRecipeExamples { recipe: recipe.title.clone() });
        }
        Ok(examples.into_iter().map(|example| example.input).collect())
    }
}

/// A recipe's composition; of a tuned one, the module that its scales make.
fn restored(session: &mut Session, recipe: &Recipe, index: usize) -> Result<Composition, CliError> {
    let weighted = recipe
        .modules
        .iter()
        .map(|module| WeightedModule { id: module.id.clone(), weight: module.weight });
    let composition = Composition { modules: weighted.collect(), merge: recipe.merge };
    let Some(scales) = &recipe.scales else { return Ok(composition) };
    // No id of a registry begins so.
    let id = format!(":tuned-{index}");
    session.add_scaled(&id, &composition, scales)?;
    let module = WeightedModule { id, weight: 1.0.into() };
    Ok(Composition { modules: vec![module], merge: Merge::Delta })
}

impl Answered {
    fn new(routed: Routed, recipes: &[Recipe]) -> Self {
        let Routed { chosen, text, candidates } = routed;
        let candidate = |(found, recipe): (RouteCandidate, &Recipe)| Candidate {
            title: recipe.title.clone(),
            found,
        };
        Self {
            recipe: chosen.map(|index| recipes[index as usize].title.clone()),
            text,
            chosen,
            candidates: candidates.into_iter().zip(recipes).map(candidate).collect(),
        }
    }

    fn lines(&self, threshold: f64) -> String {
        let number = |value: Option<f64>| {
            value.map_or_else(|| format!("{:>7}", "-"), |value| format!("{value:7.3}"))
        };
        let mut lines = vec![format!("{:>7} {:>10} {:>7}", "score", "similarity", "loss")];
        for (index, Candidate { title, found }) in self.candidates.iter().enumerate() {
            let mark = if self.chosen == Some(index as u32) { "*" } else { " " };
            let answer = found.answer.as_deref().unwrap_or("-");
            lines.push(format!(
                "{} {:10.3} {} {mark} {title}: {answer}",
                number(found.score),
                found.similarity,
                number(found.loss)
            ));
        }
        lines.push(match &self.recipe {
            Some(title) => format!("chosen: {title}"),
            None => format!("chosen: none, as no score reaches {threshold}; the base answers"),
        });
        lines.push(self.text.clone());
        lines.join("\n")
    }
}
