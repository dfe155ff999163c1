//! Tuning: a few steps of gradient descent from a composition.

use serde::{Deserialize, Serialize};

use super::{
    Backend, Composed, ModuleInfo, Observer, Operation, Session, SessionError, SessionEvent, ready,
};
use crate::formats::Example;
use crate::learn::{Adam, Assessment, LearnError, Objective, TuneOptions, TuneStep};
use crate::lora::{
    AdapterSet, Composition, Merge, PeftFiles, TunableComposition, TunedScales, WeightedModule,
    export_scaled,
};
use crate::model::{
    Control, ExampleLoss, GradientBatch, Model, ModelError, Precision, TokenizedExample,
};

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
        let assessed = self.assess_for(OPERATION, examples, Some(&composition), observer);
        let (loss, assessment) = assessed.await?;
        Ok(TuneResult {
            module,
            composition,
            scales,
            loss_start: steps.first().map_or(f64::INFINITY, |step| step.loss),
            loss,
            seconds: steps.iter().map(|step| step.seconds).sum(),
            complete: steps.len() == options.steps() as usize,
            steps,
            assessment,
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
        let tunable = tunable.map_err(|error| refused(error.into()))?;
        let tokenized = base.tokenize(OPERATION, examples)?;
        let failed = |error: ModelError| refused(error.into());
        let started = (self.clock)();
        let run = TuningRun::new(&*base.model, tunable, &tokenized, options);
        let mut run = run.map_err(failed)?;
        let mut waiting = (self.clock)() - started;

        let mut steps: Vec<TuneStep> = Vec::new();
        for number in 1..=options.steps() {
            if observer.next_turn().await {
                break;
            }
            let started = (self.clock)();
            let Some(losses) = run.step().map_err(failed)? else {
                return Err(SessionError::Tune(LearnError::Diverged { step: number }));
            };
            let seconds = (self.clock)() - started + std::mem::take(&mut waiting);
            let step = TuneStep { number, loss: mean(&losses), seconds };
            steps.push(step);
            observer.on_event(SessionEvent::Tuned { step, steps: options.steps() });
        }
        if steps.is_empty() {
            return Err(SessionError::Aborted { operation: OPERATION });
        }
        let mut tunable = run.composition;
        let scales = tunable.quantize_scales();
        let files = tunable.export(base.model.config(), &*base.id);
        let files = files.map_err(|error| refused(error.into()))?.files;
        Ok(Tuned { files, steps, scales })
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
        let Composed { set, weights, .. } = &composed;
        let config = base.model.config();
        let files = export_scaled(config, &set.adapters, weights, set.merge, scales, &*base.id);
        let files = files.map_err(|error| {
            SessionError::backend(OPERATION, composed.ids.iter().copied(), error.into())
        })?;
        self.add_tuned(id, files.files)
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

/// A composition under tuning, with the batch that its gradients are computed from.
pub(crate) struct TuningRun {
    batch: Box<dyn GradientBatch>,
    precision: Precision,
    composition: TunableComposition,
    parameters: Vec<f32>,
    adam: Adam,
}

impl TuningRun {
    /// # Errors
    /// As [`Model::differentiate`].
    pub(crate) fn new(
        model: &dyn Model,
        composition: TunableComposition,
        examples: &[TokenizedExample],
        options: TuneOptions,
    ) -> Result<Self, ModelError> {
        let parameters = composition.parameters();
        let adam = Adam::new(options, parameters.len());
        let (batch, precision) = (model.differentiate(examples)?, model.precision());
        Ok(Self { batch, precision, composition, parameters, adam })
    }

    /// Makes a step; returns the examples' losses before it, or none, and makes no step, where these or
    /// the gradient are not finite.
    ///
    /// # Errors
    /// As [`GradientBatch::gradients`].
    pub(crate) fn step(&mut self) -> Result<Option<Vec<ExampleLoss>>, ModelError> {
        let Self { batch, precision, composition, parameters, adam } = self;
        let branches = composition.branches(*precision);
        let of = batch.gradients(&branches, composition.with_respect_to(), &Control::none())?;
        let gradient = composition.gradient(&of.branches);
        let finite = of.losses.iter().all(|example| example.loss.is_finite())
            && gradient.iter().all(|value| value.is_finite());
        if !finite {
            return Ok(None);
        }
        adam.step(parameters, &gradient);
        composition.set_parameters(parameters);
        Ok(Some(of.losses))
    }
}

fn mean(losses: &[ExampleLoss]) -> f64 {
    Objective::Paper.cross_entropy(losses.iter().map(|example| (example.loss, example.tokens)))
}
