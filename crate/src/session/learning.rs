//! Learning: evaluates the weights that a [`LearningRun`] names until it is complete.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    Backend, ModuleLoss, ModuleSet, Observer, Operation, Session, SessionError, SessionEvent,
    ready, ready_mut,
};
use crate::formats::{Example, Tokenizer};
use crate::learn::{LearnOptions, LearnResult, LearningRun, Phase, Step};
use crate::lora::AdapterSet;

const OPERATION: Operation = Operation::Learn;

/// An evaluation of one module alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SingleLoss {
    /// Cross-entropy of the examples.
    pub cross_entropy: f64,
    /// Time that it took.
    pub seconds: f64,
}

/// An example's output with text that the model cannot write, so that no weights give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct UnwritableOutput {
    /// Index of the example.
    pub example: u32,
    /// The parts of the output that the model's vocabulary lacks.
    pub parts: Vec<String>,
}

/// The examples' outputs that the model cannot write.
pub fn unwritable_outputs(tokenizer: &Tokenizer, examples: &[Example]) -> Vec<UnwritableOutput> {
    let outputs = examples.iter().zip(0..).map(|(example, index)| UnwritableOutput {
        example: index,
        // An output that cannot be encoded at all is an error of its own.
        parts: tokenizer.unwritable(&example.output).unwrap_or_default(),
    });
    outputs.filter(|output| !output.parts.is_empty()).collect()
}

/// Evaluations of modules alone, by id.
pub type CachedLosses = BTreeMap<String, SingleLoss>;

impl<B: Backend> Session<B> {
    /// Learns weights of loaded modules from examples. If the observer stops it, the result is the
    /// best point so far. Outputs that the model cannot write are reported first.
    ///
    /// # Errors
    /// A [`SessionError`] naming the setting, example or module that is not valid.
    pub async fn learn<O: Observer>(
        &mut self,
        examples: &[Example],
        modules: &[String],
        options: LearnOptions,
        observer: &mut O,
    ) -> Result<LearnResult, SessionError> {
        self.learn_cached(examples, modules, options, &CachedLosses::new(), observer).await
    }

    /// [`Session::learn`] with evaluations of modules alone that were made before, on the same
    /// examples and with the options' objective.
    ///
    /// # Errors
    /// As [`Session::learn`].
    pub async fn learn_cached<O: Observer>(
        &mut self,
        examples: &[Example],
        modules: &[String],
        options: LearnOptions,
        cached: &CachedLosses,
        observer: &mut O,
    ) -> Result<LearnResult, SessionError> {
        let base = ready(&self.base)?;
        let mut batch = base.backend.batch(base.tokenize(OPERATION, examples)?);
        let (merge, objective) = (options.merge, options.objective);
        let mut run = LearningRun::new(options, modules.to_vec())?;
        let ids = || modules.iter().map(String::as_str);
        let candidates = self.modules_of(OPERATION, ids(), merge)?;
        AdapterSet::new(base.model.config(), &candidates.adapters, merge)
            .map_err(|error| SessionError::backend(OPERATION, ids(), error.into()))?;
        let outputs = unwritable_outputs(&base.tokenizer, examples);
        if !outputs.is_empty() {
            observer.on_event(SessionEvent::Unwritable { outputs });
        }

        let mut ahead: VecDeque<(Step, f64, f64)> = VecDeque::new();
        let mut reported_selection = false;
        while let Some(step) = run.next() {
            if observer.next_turn().await {
                break;
            }
            let cached = match (step.phase, &step.weights[..]) {
                (Phase::Select, [module]) => cached.get(&module.id),
                _ => None,
            };
            let (cross_entropy, seconds) = match cached {
                Some(single) => (single.cross_entropy, single.seconds),
                None => {
                    if ahead.front().is_none_or(|(next, ..)| *next != step) {
                        let mut steps = match ready(&self.base)?.backend.batch_limit() {
                            1 => vec![step],
                            _ => run.upcoming(),
                        };
                        let points = self.points(&candidates, modules, &mut steps)?;
                        let Points { set, ids, points } = points;
                        let base = ready_mut(&mut self.base)?;
                        let evaluated =
                            base.backend.losses(&mut batch, &set, &points, self.clock).await;
                        let evaluated = evaluated.map_err(|error| {
                            let ids = ids.iter().map(String::as_str);
                            SessionError::backend(OPERATION, ids, error)
                        })?;
                        base.report_gpu(observer);
                        let seconds = evaluated.seconds;
                        let losses = evaluated.losses.iter().map(|losses| {
                            let pairs = losses.iter().map(|example| (example.loss, example.tokens));
                            objective.cross_entropy(pairs)
                        });
                        ahead =
                            steps.into_iter().zip(losses).map(|(s, l)| (s, l, seconds)).collect();
                    }
                    let Some((_, cross_entropy, seconds)) = ahead.pop_front() else { break };
                    (cross_entropy, seconds)
                }
            };
            let evaluation = run.report(cross_entropy, seconds)?.clone();
            // The next point is chosen here: the modules are, once each was evaluated alone.
            run.next();
            if !reported_selection && let Some(selected) = run.selected() {
                reported_selection = true;
                let selected = selected.into_iter();
                let modules = selected.map(|(id, loss)| ModuleLoss { id: id.into(), loss });
                observer.on_event(SessionEvent::Selected { modules: modules.collect() });
            }
            observer.on_event(SessionEvent::Evaluation { evaluation });
        }
        Ok(run.result())
    }

    /// The first of the steps as points over one set of modules, as many as the backend takes at once;
    /// the other steps are dropped.
    fn points<'c>(
        &self,
        candidates: &'c ModuleSet,
        ids: &'c [String],
        steps: &mut Vec<Step>,
    ) -> Result<Points<'c>, SessionError> {
        steps.truncate(ready(&self.base)?.backend.batch_limit());
        let searched = steps.first().filter(|step| step.phase == Phase::Search);
        let searched = searched.filter(|step| !step.weights.is_empty());
        let Some(first) = searched else {
            // Modules alone, or the base alone before the modules are chosen.
            let point = |step: &Step| {
                let mut point = vec![0.0; ids.len()];
                for module in &step.weights {
                    if let Some(index) = ids.iter().position(|id| *id == module.id) {
                        point[index] = module.weight;
                    }
                }
                point
            };
            let points = steps.iter().map(point).collect();
            return Ok(Points { set: Cow::Borrowed(candidates), ids: Cow::Borrowed(ids), points });
        };
        let ids: Vec<String> = first.weights.iter().map(|module| module.id.clone()).collect();
        let set = self.modules_of(OPERATION, ids.iter().map(String::as_str), candidates.merge)?;
        let points = steps.iter().map(|step| step.weights.iter().map(|m| m.weight).collect());
        Ok(Points { set: Cow::Owned(set), ids: Cow::Owned(ids), points: points.collect() })
    }
}

/// Points over a set of modules, and the modules' ids.
struct Points<'c> {
    set: Cow<'c, ModuleSet>,
    ids: Cow<'c, [String]>,
    points: Vec<Vec<f32>>,
}
