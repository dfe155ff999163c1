//! Tuning: a few steps of gradient descent from a composition.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Answer, Backend, Composed, ModuleInfo, ModuleSet, Observer, Operation, Session, SessionError,
    SessionEvent, ready, ready_mut,
};
use crate::formats::Example;
use crate::learn::{Adam, Assessment, LearnError, Objective, TuneOptions, TuneStep};
use crate::lora::{
    AdapterSet, Composition, Merge, PeftAdapter, PeftFiles, TunableComposition, TunedScales,
    WeightedModule, export_scaled,
};
use crate::model::{
    Control, ExampleLoss, GradientBatch, Model, ModelError, Precision, TokenizedExample,
};

const OPERATION: Operation = Operation::Tune;
/// Parts of the examples that are left out in turn.
const PARTS: usize = 5;

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
        let complete = tuned.is_complete(options);
        // Before the result takes the place of a module that it was made from.
        let left_out_correct = match options.leave_out && complete {
            true => self.left_out_correct(examples, composition, options, id, observer).await?,
            false => None,
        };
        let Tuned { files, steps, scales } = tuned;
        let module = self.add_tuned(id, files)?;
        let weighted = WeightedModule { id: id.to_owned(), weight: 1.0.into() };
        let composition = Composition { modules: vec![weighted], merge: Merge::Delta };
        let assessed = self.assess_for(OPERATION, examples, Some(&composition), observer);
        let (loss, assessment) = assessed.await?;
        let assessment = match left_out_correct {
            Some(share) => assessment.with_left_out_correct(share),
            None => assessment,
        };
        Ok(TuneResult {
            module,
            composition,
            scales,
            loss_start: steps.first().map_or(f64::INFINITY, |step| step.loss),
            loss,
            seconds: steps.iter().map(|step| step.seconds).sum(),
            complete,
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

    /// The share of the examples that are answered exactly by what is tuned on the others. None for a single
    /// example, and where the observer stopped it.
    async fn left_out_correct<O: Observer>(
        &mut self,
        examples: &[Example],
        composition: &Composition,
        options: TuneOptions,
        id: &str,
        observer: &mut O,
    ) -> Result<Option<f64>, SessionError> {
        let parts = PARTS.min(examples.len());
        if parts < 2 {
            return Ok(None);
        }
        let limit = self.answer_limit(OPERATION, examples)?;
        let mut correct = 0;
        for part in 0..parts {
            let of_part = |index: usize| index % parts == part;
            let of = |left_out: bool| {
                let chosen = examples.iter().enumerate();
                let chosen = chosen.filter(move |&(index, _)| of_part(index) == left_out);
                chosen.map(|(_, example)| example.clone()).collect::<Vec<Example>>()
            };
            let mut turns = TurnsOnly(&mut *observer);
            let tuned = self.tune_adapter(&of(false), composition, options, &mut turns).await;
            let tuned = match tuned {
                Err(SessionError::Aborted { .. }) => return Ok(None),
                tuned => tuned?,
            };
            if !tuned.is_complete(options) {
                return Ok(None);
            }
            let left_out = of(true);
            let answers = self.answers_of(id, tuned.files, &left_out, limit, observer).await?;
            if answers.len() < left_out.len() {
                return Ok(None);
            }
            let tokenizer = &ready(&self.base)?.tokenizer;
            let pairs = answers.iter().zip(&left_out);
            correct +=
                pairs.filter(|(answer, example)| tokenizer.is_match(example, &answer.text)).count();
            observer.on_event(SessionEvent::Step { done: part as u32 + 1, total: parts as u32 });
        }
        Ok(Some(correct as f64 / examples.len() as f64))
    }

    /// The answers to the examples of an adapter alone; fewer if the observer stopped it.
    async fn answers_of<O: Observer>(
        &mut self,
        id: &str,
        files: PeftFiles,
        examples: &[Example],
        limit: usize,
        observer: &mut O,
    ) -> Result<Vec<Answer>, SessionError> {
        let adapter = PeftAdapter::parse(&files.config, files.weights)
            .map_err(|source| SessionError::Module { id: id.to_owned(), source })?;
        let set = ModuleSet { adapters: vec![Arc::new(adapter)], merge: Merge::Delta };
        let backend = &mut ready_mut(&mut self.base)?.backend;
        let decoder = backend.decoder(set, vec![1.0.into()], limit).await;
        let mut decoder = decoder.map_err(|error| SessionError::backend(OPERATION, [], error))?;
        let inputs: Vec<&str> = examples.iter().map(|example| &*example.input).collect();
        self.decode_all(OPERATION, &mut decoder, &inputs, observer, |_, _, _| ()).await
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

impl Tuned {
    /// Whether all steps were made.
    fn is_complete(&self, options: TuneOptions) -> bool {
        self.steps.len() == options.steps() as usize
    }
}

/// Passes on the turns of an observer, and no events.
struct TurnsOnly<'o, O>(&'o mut O);

impl<O: Observer> Observer for TurnsOnly<'_, O> {
    fn on_event(&mut self, _: SessionEvent) {}

    async fn next_turn(&mut self) -> bool {
        self.0.next_turn().await
    }
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
