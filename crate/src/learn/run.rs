//! A learning run as a state machine: which weights to evaluate next on which examples, the record of
//! what was evaluated, and the best point seen.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::assessment::{is_enough, left_out};
use super::forward::forward;
use super::strategy::{
    ExampleScore, Loss, Phase, Point, PointKey, Proposal, Scores, Strategy, Weights, gradient_cost,
    point_key, point_of,
};
use super::subset::{SubsetSearch, random_candidates};
use super::{Assessment, Enough, LearnError, LearnOptions, Optimizer, Selection};
use crate::lora::{Merge, ModuleWeight, WeightedModule};
use crate::model::LayerGroup;

/// Consecutive batches without a new evaluation after which a search counts as finished.
const CACHED_LIMIT: usize = 1000;

/// The weights to evaluate next, and the examples to evaluate them on.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Number of the evaluation, from 1.
    pub number: u32,
    /// What it belongs to.
    pub phase: Phase,
    /// The modules with their coefficients; those of a search over a fixed list always in the same
    /// order, those at 0 included.
    pub weights: Vec<WeightedModule>,
    /// Indices of the examples whose losses are to be reported, ascending.
    pub examples: Vec<u32>,
    /// Modules at 0 of whose coefficients the gradient of the mean of the examples' losses is to be
    /// reported, in place of the losses; empty where losses are.
    pub gradient_of: Vec<String>,
}

/// One evaluation that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Number of the evaluation, from 1.
    pub number: u32,
    /// What it belongs to.
    pub phase: Phase,
    /// The objective over all examples of these weights that were evaluated so far; infinite if it is
    /// not a finite number.
    pub loss: f64,
    /// Whether `loss` covers every example.
    pub complete: bool,
    /// The lowest objective over every example so far, this evaluation included.
    pub best: f64,
    /// The modules with their coefficients, as in [`Step`].
    pub weights: Vec<WeightedModule>,
    /// Indices of the examples that this evaluation computed.
    pub examples: Vec<u32>,
    /// Their losses; empty where the gradient was computed.
    pub losses: Vec<ExampleScore>,
    /// The gradient of the mean of their losses with respect to the coefficients of modules that are not
    /// in use, where it was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub gradient: Option<Vec<f64>>,
    /// What this counts of the budget, in evaluations of all examples.
    #[serde(default)]
    pub cost: f64,
    /// Time this evaluation took, as the caller measured it.
    pub seconds: f64,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct LearnResult {
    /// The modules of the best point with their coefficients.
    pub modules: Vec<WeightedModule>,
    /// How the modules become one LoRA branch.
    pub merge: Merge,
    /// Which search found it.
    pub optimizer: Optimizer,
    /// The objective of the base model alone; infinite if it was not evaluated.
    pub loss_start: f64,
    /// The objective at the best point.
    pub loss: f64,
    /// Evaluations in all, those of some of the examples counted as that fraction.
    pub evaluations: f64,
    /// Those of [`Phase::Select`] among them.
    pub select_evaluations: f64,
    /// Time of all evaluations together.
    pub seconds: f64,
    /// Whether the run went to its end; false if it was cancelled.
    pub complete: bool,
    /// Whether the composition works; none before the first evaluation.
    pub assessment: Option<Assessment>,
    /// Every evaluation.
    pub history: Vec<Evaluation>,
}

/// A learning run over modules by id. [`LearningRun::next`] returns the weights to evaluate,
/// [`LearningRun::report`] takes the examples' losses; a caller that stops in between has cancelled
/// the run, and [`LearningRun::result`] returns the best point at any time.
///
/// The base model alone is evaluated first and counts; where modules are held, it is evaluated after
/// these alone, and is no result. No example is evaluated twice with the same weights. The same losses
/// lead to the same steps, so that a run which was cancelled continues once its history is reported
/// again ([`LearningRun::replay`]).
pub struct LearningRun {
    options: LearnOptions,
    /// The candidates, then the modules that are held.
    modules: Vec<String>,
    candidates: usize,
    /// The weights that are held, those at 0 left out.
    held: Point,
    examples: usize,
    loss: Loss,
    strategy: Box<dyn Strategy + Send>,
    /// Compositions that the strategy proposed, with what is held; before it was asked, what is held and
    /// the base, alone.
    batch: Vec<Proposal>,
    /// Those of the batch before this one have been evaluated.
    at: usize,
    asked: bool,
    /// The gradient that the batch asks for, once it was reported.
    gradient: Option<Vec<f64>>,
    scores: Scores,
    /// Losses of single examples that were computed, and the seconds that this took.
    spent: usize,
    seconds: f64,
    best: Option<(f64, Point)>,
    loss_start: f64,
    history: Vec<Evaluation>,
    finished: bool,
}

impl LearningRun {
    /// A run that chooses from the candidates, by a number of examples, as the options say. Where there
    /// are more candidates than the budget has room for, the first ones are looked at. Those that are
    /// held are left out.
    ///
    /// # Errors
    /// If a setting is out of range, there is no example, or the candidates are none or not distinct.
    pub fn new(
        options: LearnOptions,
        mut candidates: Vec<String>,
        examples: usize,
    ) -> Result<Self, LearnError> {
        options.validate()?;
        candidates.retain(|id| options.held.iter().all(|held| held.id != *id));
        if candidates.is_empty() {
            return Err(LearnError::NoModules);
        }
        if examples == 0 {
            return Err(LearnError::NoExamples);
        }
        let mut seen = BTreeSet::new();
        if let Some(id) = candidates.iter().find(|id| !seen.insert(id.as_str())) {
            return Err(LearnError::DuplicateModule { id: id.clone() });
        }
        let held: Point = (candidates.len()..)
            .zip(&options.held)
            .map(|(index, module)| (index, module.weight.groups().map(f64::from)))
            .filter(|(_, weights)| *weights != [0.0; LayerGroup::COUNT])
            .collect();
        let all: Vec<usize> = (0..examples).collect();
        let alone = |point| Proposal {
            phase: Phase::Search,
            point,
            examples: all.clone(),
            gradient_of: Vec::new(),
        };
        let mut batch = vec![alone(held.clone())];
        if !held.is_empty() {
            batch.push(alone(Point::new()));
        }
        let (strategy, loss): (Box<dyn Strategy + Send>, Loss) = match options.optimizer {
            Optimizer::Forward | Optimizer::ForwardGradient => {
                let loss = Loss {
                    objective: options.objective,
                    regularization: options.regularization,
                    dimensions: candidates.len().min(options.modules as usize),
                };
                // It counts one evaluation of nothing but what is held.
                let budget = (options.budget as usize + 1 - batch.len()) * examples;
                let pool = match options.selection {
                    Selection::Random => random_candidates(&options, candidates.len()),
                    _ => (0..candidates.len()).collect(),
                };
                let gradients = options.optimizer == Optimizer::ForwardGradient;
                (Box::new(forward(pool, examples, budget, options.bound, loss, gradients)), loss)
            }
            _ => {
                let search = SubsetSearch::new(&options, candidates.len(), examples);
                let loss = search.loss();
                (Box::new(search), loss)
            }
        };
        let count = candidates.len();
        let mut modules = candidates;
        modules.extend(options.held.iter().map(|held| held.id.clone()));
        Ok(Self {
            options,
            modules,
            candidates: count,
            held,
            examples,
            loss,
            strategy,
            batch,
            at: 0,
            asked: false,
            gradient: None,
            scores: Scores::new(examples),
            spent: 0,
            seconds: 0.0,
            best: None,
            loss_start: f64::INFINITY,
            history: Vec::new(),
            finished: false,
        })
    }

    /// The settings of the run.
    pub fn options(&self) -> &LearnOptions {
        &self.options
    }

    /// The modules searched over, in the order of the search's coefficients, where one list is chosen
    /// before the search; none while they are being chosen.
    pub fn chosen(&self) -> Option<Vec<&str>> {
        let chosen = self.strategy.chosen()?;
        Some(chosen.iter().map(|&candidate| self.modules[candidate].as_str()).collect())
    }

    /// [`LearningRun::chosen`] with the objective of each, alone or beside what is held, once they have
    /// been chosen by it.
    pub fn selected(&self) -> Option<Vec<(&str, f64)>> {
        let weights = [self.options.bound.min(1.0); LayerGroup::COUNT];
        let selected = self.strategy.chosen()?.iter().map(|&candidate| {
            let point = self.with_held(vec![(candidate, weights)]);
            let all: Vec<usize> = (0..self.examples).collect();
            let losses = self.scores.of(&point, &all)?;
            Some((self.modules[candidate].as_str(), self.loss_of(&point, &losses)))
        });
        selected.collect()
    }

    /// The weights to evaluate next, the same until their losses or gradient are reported; none when the
    /// run is complete.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Step> {
        let limit = self.options.budget as usize * self.examples;
        for _ in 0..CACHED_LIMIT {
            if self.finished {
                return None;
            }
            let unknown = self.unknown().next();
            if let Some((index, missing)) = unknown {
                self.at = index;
                let late = self.options.seconds > 0.0 && self.seconds >= self.options.seconds;
                if late || self.spent + cost(&self.batch[index], &missing) > limit {
                    self.finished = true;
                    return None;
                }
                return Some(self.step(0, &self.batch[index], &missing));
            }
            if let Some(gradient) = self.gradient.take() {
                self.strategy.tell_gradient(&gradient);
            } else if self.asked {
                let losses = |Proposal { point, examples, .. }: &Proposal| {
                    self.scores.of(point, examples).unwrap_or_default()
                };
                let losses: Vec<Vec<ExampleScore>> = self.batch.iter().map(losses).collect();
                self.strategy.tell(&losses);
            }
            let proposals = self.strategy.ask().into_iter();
            self.batch = proposals
                .map(|proposal| Proposal { point: self.with_held(proposal.point), ..proposal })
                .collect();
            self.at = 0;
            self.asked = true;
            self.finished = self.batch.is_empty();
        }
        self.finished = true;
        None
    }

    /// A point of the strategy with what is held.
    fn with_held(&self, mut point: Point) -> Point {
        point.splice(..0, self.held.iter().copied());
        point
    }

    /// The objective of a point, whose penalty is on the weights that are searched.
    fn loss_of(&self, point: &Point, losses: &[ExampleScore]) -> f64 {
        let searched = point.iter().copied().filter(|(module, _)| *module < self.candidates);
        self.loss.of(&searched.collect(), losses)
    }

    /// The proposals of the batch, by index, with examples that were not evaluated, and these.
    fn unknown(&self) -> impl Iterator<Item = (usize, Vec<usize>)> {
        self.batch.iter().enumerate().skip(self.at).filter_map(|(index, proposal)| {
            if !proposal.gradient_of.is_empty() {
                return self.gradient.is_none().then(|| (index, proposal.examples.clone()));
            }
            let missing = self.scores.missing(&proposal.point, &proposal.examples);
            (!missing.is_empty()).then_some((index, missing))
        })
    }

    fn step(&self, ahead: usize, proposal: &Proposal, examples: &[usize]) -> Step {
        Step {
            number: (self.history.len() + ahead) as u32 + 1,
            phase: proposal.phase,
            weights: self.named(&proposal.point),
            examples: examples.iter().map(|&example| example as u32).collect(),
            gradient_of: (proposal.gradient_of.iter())
                .map(|&candidate| self.modules[candidate].clone())
                .collect(),
        }
    }

    /// The step of [`LearningRun::next`] and those that follow it whatever its losses are and with the
    /// same examples, which can be evaluated together. Their losses are reported one by one.
    pub fn upcoming(&self) -> Vec<Step> {
        if self.finished {
            return Vec::new();
        }
        let limit = self.options.budget as usize * self.examples;
        let mut seen = BTreeSet::new();
        let mut steps: Vec<Step> = Vec::new();
        let mut spent = self.spent;
        for (index, missing) in self.unknown() {
            let proposal = &self.batch[index];
            spent += cost(proposal, &missing);
            let step = self.step(steps.len(), proposal, &missing);
            let same = steps.first().is_none_or(|first| first.examples == step.examples);
            if spent > limit || !same || !seen.insert(point_key(&proposal.point)) {
                break;
            }
            steps.push(step);
        }
        steps
    }

    /// Takes the losses of the examples of [`LearningRun::next`], and the time it took to evaluate
    /// them. A loss that is not finite counts as the worst.
    ///
    /// # Errors
    /// If no evaluation of losses is in progress, or there is not one loss for each of its examples.
    pub fn report(
        &mut self,
        losses: &[ExampleScore],
        seconds: f64,
    ) -> Result<&Evaluation, LearnError> {
        let (proposal, examples) = self.in_progress()?;
        if !proposal.gradient_of.is_empty() {
            return Err(LearnError::NothingToReport);
        }
        if losses.len() != examples.len() {
            let (expected, found) = (examples.len(), losses.len());
            return Err(LearnError::LossCount { expected, found });
        }
        Ok(self.record(&proposal, &examples, losses, None, seconds))
    }

    /// Takes the gradient that [`LearningRun::next`] asks for, and the time it took to compute it. A
    /// number that is not finite counts as the worst.
    ///
    /// # Errors
    /// If no gradient is asked for, or it has not one number for each module.
    pub fn report_gradient(
        &mut self,
        gradient: &[f64],
        seconds: f64,
    ) -> Result<&Evaluation, LearnError> {
        let (proposal, examples) = self.in_progress()?;
        let (expected, found) = (proposal.gradient_of.len(), gradient.len());
        if expected == 0 {
            return Err(LearnError::NothingToReport);
        }
        if found != expected {
            return Err(LearnError::GradientCount { expected, found });
        }
        let finite = |&value: &f64| if value.is_finite() { value } else { f64::MAX };
        let gradient: Vec<f64> = gradient.iter().map(finite).collect();
        self.gradient = Some(gradient.clone());
        Ok(self.record(&proposal, &examples, &[], Some(gradient), seconds))
    }

    /// What was asked for and is not reported, with its examples.
    fn in_progress(&self) -> Result<(Proposal, Vec<usize>), LearnError> {
        let unknown = if self.finished { None } else { self.unknown().next() };
        let (index, examples) = unknown.ok_or(LearnError::NothingToReport)?;
        Ok((self.batch[index].clone(), examples))
    }

    fn record(
        &mut self,
        proposal: &Proposal,
        examples: &[usize],
        losses: &[ExampleScore],
        gradient: Option<Vec<f64>>,
        seconds: f64,
    ) -> &Evaluation {
        let cost = cost(proposal, examples);
        let Proposal { phase, point, .. } = proposal.clone();
        let new = &examples[..losses.len()];
        let known = self.scores.add(&point, new, losses);
        self.spent += cost;
        self.seconds += seconds;
        let complete = known.len() == self.examples;
        let loss = self.loss_of(&point, &known);
        let weights = self.named(&point);
        let base = point_key(&point).is_empty();
        if complete && base {
            self.loss_start = loss;
        }
        let result = self.held.is_empty() || !base;
        if complete
            && result
            && loss.is_finite()
            && self.best.as_ref().is_none_or(|(best, _)| loss < *best)
        {
            self.best = Some((loss, point));
        }
        self.history.push(Evaluation {
            number: self.history.len() as u32 + 1,
            phase,
            loss,
            complete,
            best: self.best.as_ref().map_or(f64::INFINITY, |(best, _)| *best),
            weights,
            examples: examples.iter().map(|&example| example as u32).collect(),
            losses: losses.to_vec(),
            gradient,
            cost: cost as f64 / self.examples as f64,
            seconds,
        });
        &self.history[self.history.len() - 1]
    }

    /// Reports the evaluations of an earlier run with the same settings, candidates and examples, after
    /// which this run continues where that one ended.
    ///
    /// # Errors
    /// [`LearnError::OtherHistory`] for an evaluation that this run does not make.
    pub fn replay(&mut self, history: &[Evaluation]) -> Result<(), LearnError> {
        for evaluation in history {
            let step = self.next();
            let same = step.is_some_and(|step| {
                (step.weights, step.examples, step.gradient_of.len())
                    == (
                        evaluation.weights.clone(),
                        evaluation.examples.clone(),
                        evaluation.gradient.as_ref().map_or(0, Vec::len),
                    )
            });
            if !same {
                return Err(LearnError::OtherHistory { number: evaluation.number });
            }
            match &evaluation.gradient {
                Some(gradient) => self.report_gradient(gradient, evaluation.seconds)?,
                None => self.report(&evaluation.losses, evaluation.seconds)?,
            };
        }
        Ok(())
    }

    /// The best point seen so far; `complete` once [`LearningRun::next`] has returned `None`. Forward
    /// selection returns the base or a module alone where that is as probable.
    pub fn result(&self) -> LearnResult {
        let (loss, point, assessment) = self.choose();
        let count = |phase: Option<Phase>| {
            let counted =
                self.history.iter().filter(|one| phase.is_none_or(|phase| one.phase == phase));
            // In losses of single examples, whose sum is exact.
            let examples = self.examples as f64;
            counted.map(|one| (one.cost * examples).round()).sum::<f64>() / examples
        };
        LearnResult {
            modules: self.named(&point),
            merge: self.options.merge,
            optimizer: self.options.optimizer,
            loss_start: self.loss_start,
            loss,
            evaluations: count(None),
            select_evaluations: count(Some(Phase::Select)),
            seconds: self.seconds,
            complete: self.finished,
            assessment,
            history: self.history.clone(),
        }
    }

    /// The loss, weights and assessment of the result.
    fn choose(&self) -> (f64, Point, Option<Assessment>) {
        let Some((mut loss, mut point)) = self.best.clone() else {
            return (f64::INFINITY, Point::new(), None);
        };
        let mut tried = self.scores.complete();
        if !self.held.is_empty() {
            // The base alone, which is no result.
            tried.remove(&PointKey::new());
        }
        let Some(losses) = tried.get(&point_key(&point)) else { return (loss, point, None) };
        let mut assessment = Assessment::new(losses);
        if self.options.optimizer.is_forward() {
            // A module beside those that are held is no simpler than another mix with them.
            let simple = if self.held.is_empty() { 1 } else { self.held.len() };
            let simple = tried.iter().filter(|(key, losses)| {
                key.len() <= simple && is_enough(losses, assessment.probability)
            });
            let simple = simple.map(|(key, losses)| {
                let point = point_of(key);
                (key.len(), self.loss_of(&point, losses), point, losses)
            });
            let simplest = simple.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            if let Some((modules, simple_loss, simple_point, losses)) = simplest {
                (loss, point) = (simple_loss, simple_point);
                let enough = match modules {
                    _ if !self.held.is_empty() => Enough::Held,
                    0 => Enough::Base,
                    _ => Enough::Module,
                };
                assessment = Assessment { enough: Some(enough), ..Assessment::new(losses) };
            }
        }
        let tried: Vec<&[ExampleScore]> = tried.values().map(Vec::as_slice).collect();
        assessment.left_out = left_out(&tried);
        (loss, point, Some(assessment))
    }

    /// A point with its modules' names.
    fn named(&self, point: &Point) -> Vec<WeightedModule> {
        let module = |&(module, weights): &(usize, Weights)| WeightedModule {
            id: self.modules[module].clone(),
            weight: ModuleWeight::from(weights.map(|weight| weight as f32)),
        };
        point.iter().map(module).collect()
    }
}

/// What an evaluation of these examples counts, in losses of single examples.
fn cost(proposal: &Proposal, examples: &[usize]) -> usize {
    match proposal.gradient_of.len() {
        0 => examples.len(),
        candidates => gradient_cost(candidates) * examples.len(),
    }
}
