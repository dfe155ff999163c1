//! Runs of the search: evaluating the weights that it asks for, until it is complete.

use std::collections::BTreeMap;
use std::time::Instant;

use loraloom::formats::PeftAdapter;
use loraloom::learn::{Evaluation, LearnOptions, LearnResult, LearningRun, Phase, WeightedModule};
use loraloom::lora::{Composition, Merge};
use loraloom::t5::{ExampleLoss, TokenizedExample};

use crate::error::CliError;
use crate::library::Module;
use crate::model::LoadedModel;

/// The losses of a few examples, as a function of the modules' weights.
pub struct FewShotLosses<'a> {
    loaded: &'a LoadedModel,
    examples: Vec<TokenizedExample>,
    modules: BTreeMap<&'a str, &'a Module>,
    merge: Merge,
    /// The modules of the last evaluation, composed; the next one is often of the same.
    composed: Option<(Vec<&'a str>, Composition<&'a PeftAdapter>)>,
}

impl<'a> FewShotLosses<'a> {
    pub fn new(
        loaded: &'a LoadedModel,
        examples: Vec<TokenizedExample>,
        modules: &'a [Module],
        merge: Merge,
    ) -> Self {
        let modules = modules.iter().map(|module| (&*module.id, module)).collect();
        Self { loaded, examples, modules, merge, composed: None }
    }

    /// The examples' losses with these weights. Modules at 0 are left out, which changes nothing.
    pub fn of(&mut self, weights: &[WeightedModule]) -> Result<Vec<ExampleLoss>, CliError> {
        let used = || weights.iter().filter(|module| module.weight != 0.0);
        let modules: Vec<&'a Module> =
            used().filter_map(|module| self.modules.get(&*module.id).copied()).collect();
        if modules.is_empty() {
            return self.loaded.losses(&self.examples, None);
        }
        let ids: Vec<&'a str> = modules.iter().map(|module| &*module.id).collect();
        let mut composition = match self.composed.take() {
            Some((composed, composition)) if composed == ids => composition,
            _ => {
                let adapters: Vec<_> = modules.iter().map(|module| &module.adapter).collect();
                Composition::new(self.loaded.model.config(), &adapters, self.merge)
                    .map_err(|error| CliError::modules(error, &ids))?
            }
        };
        let values: Vec<f32> = used().map(|module| module.weight).collect();
        let side = composition.side_paths(&values);
        let side = side.map_err(|error| CliError::modules(error, &ids))?;
        let losses = self.loaded.losses(&self.examples, Some(side))?;
        self.composed = Some((ids, composition));
        Ok(losses)
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
