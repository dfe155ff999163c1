//! Tuning: a few steps of gradient descent from a composition.

use serde::{Deserialize, Serialize};

use super::{Backend, ModuleInfo, Observer, Operation, Session, SessionError, SessionEvent, ready};
use crate::formats::Example;
use crate::learn::{Adam, Assessment, LearnError, Objective, TuneOptions, TuneStep};
use crate::lora::{
    AdapterSet, Composition, Merge, PeftFiles, TunableComposition, TunedScales, WeightedModule,
};
use crate::model::{Control, ExampleLoss, ModelError};

const OPERATION: Operation = Operation::Tune;

/// The result of tuning: a module that takes the place of the composition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct TuneResult {
    /// The module, which is loaded.
    pub module: ModuleInfo,
    /// The module alone, at weight 1.
    pub composition: Composition,
    /// The scales, where they were tuned: with the composition before, they make the module again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub scales: Option<TunedScales>,
    /// The mean of the examples' losses before tuning.
    pub loss_start: f64,
    /// The mean of the examples' losses.
    pub loss: f64,
    /// Every step.
    pub steps: Vec<TuneStep>,
    /// Time of all steps together.
    pub seconds: f64,
    /// Whether all steps were made; false if it was stopped.
    pub complete: bool,
    /// Whether the module works.
    pub assessment: Assessment,
}

impl<B: Backend> Session<B> {
    /// Tunes a composition of loaded modules on examples, and adds the result as a module of this id in
    /// place of an earlier one. Computes on the CPU, whatever the backend. If the observer stops it,
    /// the result has the steps made so far.
    ///
    /// # Errors
    /// A [`SessionError`] naming the setting, example or module that is not valid, and
    /// [`SessionError::Aborted`] if it was stopped before the first step.
    pub async fn tune<O: Observer>(
        &mut self,
        examples: &[Example],
        composition: &Composition,
        options: TuneOptions,
        id: &str,
        observer: &mut O,
    ) -> Result<TuneResult, SessionError> {
        options.validate().map_err(SessionError::Tune)?;
        let tuned = self.tune_adapter(examples, composition, options, observer).await?;
        let Tuned { files, steps, scales } = tuned;
        let module = self.add_tuned(id, files)?;
        let weighted = WeightedModule { id: id.to_owned(), weight: 1.0.into() };
        let composition = Composition { modules: vec![weighted], merge: Merge::Delta };
        let score = self.score_examples(OPERATION, examples, Some(&composition)).await?;
        let answers =
            self.example_answers(OPERATION, examples, Some(&composition), observer).await?;
        let assessment = Assessment::of_tuned(&score.examples).on_base(&ready(&self.base)?.sha256);
        Ok(TuneResult {
            module,
            composition,
            scales,
            loss_start: steps.first().map_or(f64::INFINITY, |step| step.loss),
            loss: score.loss,
            seconds: steps.iter().map(|step| step.seconds).sum(),
            complete: steps.len() == options.steps() as usize,
            steps,
            assessment: Assessment { answers, ..assessment },
        })
    }

    async fn tune_adapter<O: Observer>(
        &mut self,
        examples: &[Example],
        composition: &Composition,
        options: TuneOptions,
        observer: &mut O,
    ) -> Result<Tuned, SessionError> {
        let composed = self.compose(OPERATION, Some(composition))?;
        let base = ready(&self.base)?;
        let refused = |error| SessionError::backend(OPERATION, composed.ids.iter().copied(), error);
        let set = AdapterSet::new(base.model.config(), &composed.set.adapters, composed.set.merge);
        let set = set.map_err(|error| refused(error.into()))?;
        let tunable = TunableComposition::new(&set, &composed.weights, options.part);
        let mut tunable = tunable.map_err(|error| refused(error.into()))?;
        let tokenized = base.tokenize(OPERATION, examples)?;
        let model_error = |error: ModelError| refused(error.into());
        let started = (self.clock)();
        let batch = base.model.differentiate(&tokenized).map_err(model_error)?;
        let mut waiting = (self.clock)() - started;

        let mut parameters = tunable.parameters();
        let mut adam = Adam::new(options, parameters.len());
        let mut steps: Vec<TuneStep> = Vec::new();
        for number in 1..=options.steps() {
            if observer.next_turn().await {
                break;
            }
            let started = (self.clock)();
            let branches = tunable.branches(base.model.precision());
            let of = batch.gradients(&branches, tunable.with_respect_to(), &Control::none());
            let of = of.map_err(model_error)?;
            let gradient = tunable.gradient(&of.branches);
            let loss = mean(&of.losses);
            if !loss.is_finite() || gradient.iter().any(|value| !value.is_finite()) {
                return Err(SessionError::Tune(LearnError::Diverged { step: number }));
            }
            adam.step(&mut parameters, &gradient);
            tunable.set_parameters(&parameters);
            let seconds = (self.clock)() - started + std::mem::take(&mut waiting);
            let step = TuneStep { number, loss, seconds };
            steps.push(step);
            observer.on_event(SessionEvent::Tuned { step, steps: options.steps() });
        }
        if steps.is_empty() {
            return Err(SessionError::Aborted { operation: OPERATION });
        }
        let scales = tunable.quantize_scales();
        let files = tunable.export(base.model.config(), &base.id);
        Ok(Tuned { files: files.map_err(|error| refused(error.into()))?, steps, scales })
    }

    /// Adds a composition of loaded modules with other scales as a module of this id, as
    /// [`Session::tune`] made it.
    ///
    /// # Errors
    /// A [`SessionError`] naming what does not fit.
    pub fn add_scaled(
        &mut self,
        id: &str,
        composition: &Composition,
        scales: &TunedScales,
    ) -> Result<ModuleInfo, SessionError> {
        let composed = self.compose(OPERATION, Some(composition))?;
        let base = ready(&self.base)?;
        let (set, config) = (&composed.set, base.model.config());
        let files = AdapterSet::new(config, &set.adapters, set.merge).and_then(|set| {
            let scaled = TunableComposition::with_scales(&set, &composed.weights, scales)?;
            scaled.export(config, &base.id)
        });
        let files = files.map_err(|error| {
            SessionError::backend(OPERATION, composed.ids.iter().copied(), error.into())
        })?;
        self.add_tuned(id, files)
    }

    fn add_tuned(&mut self, id: &str, files: PeftFiles) -> Result<ModuleInfo, SessionError> {
        let module = self.add_module(id, &files.config, files.weights)?;
        self.tuned.insert(id.to_owned());
        Ok(module)
    }
}

/// A tuned composition as an adapter.
struct Tuned {
    files: PeftFiles,
    scales: Option<TunedScales>,
    steps: Vec<TuneStep>,
}

fn mean(losses: &[ExampleLoss]) -> f64 {
    Objective::Paper.cross_entropy(losses.iter().map(|example| (example.loss, example.tokens)))
}
