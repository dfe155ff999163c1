//! The points of a search that one submission evaluates: those that it asks for whatever their losses
//! are. Their losses are handed out one by one, as the search takes them.

use std::collections::VecDeque;

use super::super::learning::Evaluated;
use super::{Failure, coefficients, lost, refuse};
use crate::learn::Step;
use crate::model::t5::{
    Control, ExampleLoss, GpuEvaluation, GpuModel, GpuModules, TokenizedExample,
};

/// Most points of a submission: a slow card is not to be taken from the screen for seconds.
pub(super) const MOST_MEMBERS: usize = 8;

/// A batch that is ready for so many points at once, and losses that are known ahead.
pub(super) struct Population {
    evaluation: GpuEvaluation,
    members: usize,
    ahead: VecDeque<(Step, Vec<ExampleLoss>)>,
    /// Of each point known ahead.
    seconds: f64,
}

impl Population {
    pub(super) fn new(
        model: &GpuModel,
        batch: &[TokenizedExample],
        modules: &GpuModules,
        members: usize,
        what: &str,
    ) -> Result<Self, Failure> {
        let evaluation = model.prepare(batch, Some(modules), members).map_err(refuse(what))?;
        Ok(Self { evaluation, members, ahead: VecDeque::new(), seconds: 0.0 })
    }

    /// Bytes that a submission computes in.
    pub(super) fn bytes(&self) -> u64 {
        self.evaluation.bytes()
    }

    /// Points that a submission evaluates.
    pub(super) fn members(&self) -> usize {
        self.members
    }

    /// The losses of a point, if they are known.
    pub(super) fn take(&mut self, step: &Step) -> Option<Evaluated> {
        let (known, losses) = self.ahead.pop_front()?;
        (known == *step).then_some(Evaluated { losses, seconds: self.seconds })
    }

    /// Evaluates points over the modules `ids`, which are on the device.
    pub(super) async fn evaluate(
        &mut self,
        model: &GpuModel,
        ids: &[String],
        steps: Vec<Step>,
        clock: fn() -> f64,
    ) -> Result<(), Failure> {
        let started = clock();
        let weights = |step: &Step| {
            coefficients(ids, step.weights.iter().map(|module| (&*module.id, module.weight)))
        };
        let vectors: Vec<Vec<f32>> = steps.iter().map(weights).collect();
        let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let losses = model.losses(&self.evaluation, &vectors, &Control::none()).await?;
        if losses.len() != steps.len() {
            return Err(lost());
        }
        self.seconds = (clock() - started) / steps.len() as f64;
        self.ahead = steps.into_iter().zip(losses).collect();
        Ok(())
    }
}
