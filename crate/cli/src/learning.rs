//! Runs of the search: evaluating the weights that it asks for, until it is complete.

use std::collections::BTreeMap;
use std::time::Instant;

use loraloom::learn::{Evaluation, LearnOptions, LearnResult, LearningRun, Phase};
use loraloom::lora::PeftAdapter;
use loraloom::lora::WeightedModule;
use loraloom::lora::{CompositionCache, Merge};
use loraloom::model::{ExampleLoss, TokenizedExample};

use crate::error::CliError;
use crate::library::Module;
use crate::model::LoadedModel;

/// The losses of a few examples, as a function of the modules' weights.
pub struct FewShotLosses<'a> {
    loaded: &'a LoadedModel,
    examples: Vec<TokenizedExample>,
    modules: BTreeMap<&'a str, &'a Module>,
    composition: CompositionCache<&'a PeftAdapter>,
}

impl<'a> FewShotLosses<'a> {
    pub fn new(
        loaded: &'a LoadedModel,
        examples: Vec<TokenizedExample>,
        modules: &'a [Module],
        merge: Merge,
    ) -> Self {
        let modules = modules.iter().map(|module| (&*module.id, module)).collect();
        Self { loaded, examples, modules, composition: CompositionCache::new(merge) }
    }

    /// The examples' losses with these weights.
    pub fn of(&mut self, weights: &[WeightedModule]) -> Result<Vec<ExampleLoss>, CliError> {
        let modules: Vec<(&str, &'a PeftAdapter, f32)> = (weights.iter())
            .filter_map(|WeightedModule { id, weight }| {
                Some((&**id, &self.modules.get(&**id)?.adapter, *weight))
            })
            .collect();
        let side = self.composition.branches(&*self.loaded.model, &modules);
        let ids: Vec<&str> = modules.iter().map(|&(id, ..)| id).collect();
        let side = side.map_err(|error| CliError::modules(error, &ids))?;
        self.loaded.losses(&self.examples, side)
    }
}

/// An evaluation of one module alone, from before the run.
pub type Known<'k> = BTreeMap<&'k str, (f64, f64)>;

/// Runs a search to its end. `known` holds cross-entropies of modules alone, with the seconds that
/// each took, so that a caller which has them does not pay twice.
pub fn learn(
    losses: &mut FewShotLosses<'_>,
    options: LearnOptions,
    candidates: Vec<String>,
    known: &Known<'_>,
    on_evaluation: &mut dyn FnMut(&Evaluation),
) -> Result<LearnResult, CliError> {
    let objective = options.objective;
    let mut run = LearningRun::new(options, candidates)?;
    while let Some(step) = run.next() {
        let alone = match (step.phase, &step.weights[..]) {
            (Phase::Select, [module]) => known.get(&*module.id).copied(),
            _ => None,
        };
        let (cross_entropy, seconds) = match alone {
            Some(alone) => alone,
            None => {
                let started = Instant::now();
                let losses = losses.of(&step.weights)?;
                let examples = losses.iter().map(|loss| (loss.loss, loss.tokens));
                (objective.cross_entropy(examples), started.elapsed().as_secs_f64())
            }
        };
        on_evaluation(run.report(cross_entropy, seconds)?);
    }
    Ok(run.result())
}
