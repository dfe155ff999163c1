//! What a learning run is driven by: a strategy proposes compositions and the examples to evaluate
//! each on, and takes the losses.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use serde::{Deserialize, Serialize};

use super::Objective;
use crate::model::{ExampleLoss, LayerGroup};

/// A candidate's coefficients, in the order of [`LayerGroup::ALL`].
pub(super) type Weights = [f64; LayerGroup::COUNT];

/// Coefficients of candidates, by their index. Others are at 0.
pub(super) type Point = Vec<(usize, Weights)>;

/// The non-zero weights of a point, by candidate and the weights' bits: equal points have equal keys.
pub(super) type PointKey = Vec<(usize, [u32; LayerGroup::COUNT])>;

/// The key of a point.
pub(super) fn point_key(point: &Point) -> PointKey {
    let mut key: PointKey = point
        .iter()
        .map(|&(candidate, weights)| (candidate, weights.map(|weight| weight as f32)))
        .filter(|(_, weights)| *weights != [0.0; LayerGroup::COUNT])
        .map(|(candidate, weights)| (candidate, weights.map(f32::to_bits)))
        .collect();
    key.sort_unstable();
    key
}

/// The point of a key.
pub(super) fn point_of(key: &PointKey) -> Point {
    let weights = |bits: [u32; LayerGroup::COUNT]| bits.map(|bits| f32::from_bits(bits).into());
    key.iter().map(|&(candidate, bits)| (candidate, weights(bits))).collect()
}

/// What an evaluation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Which modules: one alone, or one more beside those that were chosen.
    Select,
    /// Which weights.
    Search,
    /// Which weights for each group of layers.
    Groups,
}

/// The loss of one example.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ExampleScore {
    /// Mean cross-entropy of the output's tokens, in nats.
    pub loss: f32,
    /// Tokens of the output, the end marker included.
    pub tokens: u32,
}

impl From<&ExampleLoss> for ExampleScore {
    fn from(example: &ExampleLoss) -> Self {
        Self { loss: example.loss, tokens: example.tokens as u32 }
    }
}

/// The losses that were computed, by weights and example.
pub(super) struct Scores {
    examples: usize,
    by_point: BTreeMap<PointKey, Vec<Option<ExampleScore>>>,
}

impl Scores {
    /// No losses, of so many examples.
    pub(super) fn new(examples: usize) -> Self {
        Self { examples, by_point: BTreeMap::new() }
    }

    /// Those of the examples that were not evaluated.
    pub(super) fn missing(&self, point: &Point, examples: &[usize]) -> Vec<usize> {
        let known = self.by_point.get(&point_key(point));
        let missing = |example: &usize| known.is_none_or(|known| known[*example].is_none());
        examples.iter().copied().filter(missing).collect()
    }

    /// The losses of these examples, once all of them were evaluated.
    pub(super) fn of(&self, point: &Point, examples: &[usize]) -> Option<Vec<ExampleScore>> {
        let known = self.by_point.get(&point_key(point))?;
        examples.iter().map(|&example| known[example]).collect()
    }

    /// Adds the losses of examples; returns all that are known of the point, in the examples' order.
    pub(super) fn add(
        &mut self,
        point: &Point,
        examples: &[usize],
        losses: &[ExampleScore],
    ) -> Vec<ExampleScore> {
        let known = self.by_point.entry(point_key(point));
        let known = known.or_insert_with(|| vec![None; self.examples]);
        for (&example, &loss) in examples.iter().zip(losses) {
            known[example] = Some(loss);
        }
        known.iter().copied().flatten().collect()
    }

    /// The points whose examples were all evaluated.
    pub(super) fn complete(&self) -> BTreeMap<&PointKey, Vec<ExampleScore>> {
        let complete = |(key, losses): (_, &Vec<Option<ExampleScore>>)| {
            Some((key, losses.iter().copied().collect::<Option<_>>()?))
        };
        self.by_point.iter().filter_map(complete).collect()
    }
}

/// A composition to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Proposal {
    pub(super) phase: Phase,
    pub(super) point: Point,
    /// Indices of the examples, ascending.
    pub(super) examples: Vec<usize>,
    /// The candidates at 0 whose coefficients' gradients are asked for in place of the losses. Such a
    /// composition is asked for alone.
    pub(super) gradient_of: Vec<usize>,
}

/// What a gradient costs without candidates, in losses: a forward pass that keeps what it computes, and the
/// backward pass.
const GRADIENT_PASSES: usize = 3;
/// Candidates whose matrices take as many multiply-adds as a forward pass: of rank 16, `d_model` 512.
const GRADIENT_CANDIDATES: usize = 16;

/// Losses of single examples that count as much as the gradient of one example's loss with respect to the
/// coefficients of so many candidates.
pub(super) fn gradient_cost(candidates: usize) -> usize {
    GRADIENT_PASSES + candidates.div_ceil(GRADIENT_CANDIDATES)
}

/// The most candidates of which a gradient costs no more than so many losses.
pub(super) fn gradient_candidates(losses: usize) -> usize {
    losses.saturating_sub(GRADIENT_PASSES) * GRADIENT_CANDIDATES
}

/// Proposes compositions and takes their losses.
pub(super) trait Strategy {
    /// The compositions to evaluate next, empty when the strategy is finished. Calling it again
    /// before [`Strategy::tell`] returns the same.
    fn ask(&mut self) -> Vec<Proposal>;

    /// Takes the losses of the examples of every composition of the last [`Strategy::ask`].
    fn tell(&mut self, losses: &[Vec<ExampleScore>]);

    /// Takes the gradient that the composition of the last [`Strategy::ask`] asked for.
    fn tell_gradient(&mut self, _gradient: &[f64]) {}

    /// The candidates that weights are searched over, where one list is chosen before the search.
    fn chosen(&self) -> Option<&[usize]> {
        None
    }
}

/// The number that a run minimises.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    pub(super) objective: Objective,
    pub(super) regularization: f64,
    /// Number of modules of which the penalty takes the mean.
    pub(super) dimensions: usize,
}

impl Loss {
    /// The objective of a point from the losses of examples; infinite if that is not a number.
    pub(super) fn of(self, point: &Point, examples: &[ExampleScore]) -> f64 {
        let pairs = examples.iter().map(|example| (example.loss, example.tokens as usize));
        let loss = self.objective.cross_entropy(pairs) + self.penalty(point);
        if loss.is_finite() { loss } else { f64::INFINITY }
    }

    fn penalty(self, point: &Point) -> f64 {
        let size = |&(_, weights): &(usize, Weights)| {
            let [a, b, c, d] = weights.map(f64::abs);
            // In pairs, so that the mean of four equal numbers is that number.
            ((a + b) + (c + d)) / 4.0
        };
        self.regularization * (point.iter().map(size).sum::<f64>() / self.dimensions as f64)
    }
}

/// What a [`Procedure`] and its [`Evaluator`] pass to each other.
#[derive(Default)]
struct Exchange {
    asked: Vec<Proposal>,
    told: Option<Vec<Vec<ExampleScore>>>,
    gradient: Option<Vec<f64>>,
}

/// The side of a [`Procedure`] that an asynchronous function calls to get losses.
#[derive(Clone, Default)]
pub(super) struct Evaluator(Arc<Mutex<Exchange>>);

impl Evaluator {
    fn with<T>(&self, use_exchange: impl FnOnce(&mut Exchange) -> T) -> T {
        use_exchange(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The losses of compositions, each of its examples.
    pub(super) async fn losses(&self, proposals: Vec<Proposal>) -> Vec<Vec<ExampleScore>> {
        if proposals.is_empty() {
            return Vec::new();
        }
        self.with(|exchange| exchange.asked = proposals);
        self.told(|exchange| exchange.told.take()).await
    }

    /// The gradient of the coefficients that a composition asks for.
    pub(super) async fn gradient(&self, proposal: Proposal) -> Vec<f64> {
        self.with(|exchange| exchange.asked = vec![proposal]);
        self.told(|exchange| exchange.gradient.take()).await
    }

    async fn told<T>(&self, take: impl Fn(&mut Exchange) -> Option<T>) -> T {
        std::future::poll_fn(|_| self.with(&take).map_or(Poll::Pending, Poll::Ready)).await
    }
}

/// A strategy that is written as an asynchronous function, which waits where it needs losses.
pub(super) struct Procedure {
    evaluator: Evaluator,
    running: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Procedure {
    pub(super) fn new<F: Future<Output = ()> + Send + 'static>(
        function: impl FnOnce(Evaluator) -> F,
    ) -> Self {
        let evaluator = Evaluator::default();
        let running =
            Some(Box::pin(function(evaluator.clone())) as Pin<Box<dyn Future<Output = ()> + Send>>);
        Self { evaluator, running }
    }
}

impl Strategy for Procedure {
    fn ask(&mut self) -> Vec<Proposal> {
        let waiting = self.evaluator.with(|exchange| exchange.asked.clone());
        if !waiting.is_empty() {
            return waiting;
        }
        if let Some(running) = &mut self.running
            && running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        {
            self.running = None;
        }
        self.evaluator.with(|exchange| exchange.asked.clone())
    }

    fn tell(&mut self, losses: &[Vec<ExampleScore>]) {
        self.evaluator.with(|exchange| {
            exchange.asked.clear();
            exchange.told = Some(losses.to_vec());
        });
    }

    fn tell_gradient(&mut self, gradient: &[f64]) {
        self.evaluator.with(|exchange| {
            exchange.asked.clear();
            exchange.gradient = Some(gradient.to_vec());
        });
    }
}
