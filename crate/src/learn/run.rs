//! A learning run as a state machine: which weights to evaluate next, the record of what was
//! evaluated, and the best point seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::random::Random;
use super::{LearnError, LearnOptions, Optimizer, Search, Selection, search};
use crate::lora::{Merge, WeightedModule};

/// Loss passed to a search in place of a first loss that is not finite; later ones are replaced by the
/// worst loss so far.
const UNUSABLE_LOSS: f64 = 1e3;
/// Consecutive cached points after which a search counts as finished.
const CACHED_LIMIT: usize = 1000;

/// What an evaluation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// A module alone, to find out which modules to search over.
    Select,
    /// A point of the search.
    Search,
}

/// The weights to evaluate next.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Number of the evaluation, from 1.
    pub number: u32,
    /// What it belongs to.
    pub phase: Phase,
    /// The modules with their coefficients, those at 0 included; while searching, all modules that
    /// are searched over and always in the same order.
    pub weights: Vec<WeightedModule>,
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
    /// The objective: cross-entropy and penalty; infinite if the cross-entropy was not finite.
    pub loss: f64,
    /// The lowest objective so far, this evaluation included.
    pub best: f64,
    /// The modules with their coefficients, as in [`Step`].
    pub weights: Vec<WeightedModule>,
    /// Time this evaluation took, as the caller measured it.
    pub seconds: f64,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct LearnResult {
    /// The modules of the best point with their coefficients, those at 0 included.
    pub modules: Vec<WeightedModule>,
    /// How the modules become one LoRA branch.
    pub merge: Merge,
    /// Which search found it.
    pub optimizer: Optimizer,
    /// The objective of the base model alone; infinite if it was not evaluated.
    pub loss_start: f64,
    /// The objective at the best point.
    pub loss: f64,
    /// Evaluations in all.
    pub evaluations: u32,
    /// Evaluations of modules alone among them.
    pub select_evaluations: u32,
    /// Time of all evaluations together.
    pub seconds: f64,
    /// Whether the run went to its end; false if it was cancelled.
    pub complete: bool,
    /// Every evaluation.
    pub history: Vec<Evaluation>,
}

/// The non-zero weights of a point, by candidate and the weight's bits: equal points have equal keys.
type PointKey = Vec<(usize, u32)>;

/// A learning run over modules by id. [`LearningRun::next`] returns the weights to evaluate,
/// [`LearningRun::report`] takes their loss; a caller that stops in between has cancelled the run,
/// and [`LearningRun::result`] returns the best point at any time.
///
/// The base model alone is evaluated first and counts as the search's first evaluation. A point that
/// was evaluated before is not evaluated again.
pub struct LearningRun {
    options: LearnOptions,
    candidates: Vec<String>,
    /// The modules searched over, as indices into `candidates`; none while they are being chosen.
    chosen: Option<Vec<usize>>,
    /// Number of modules searched over, of which the penalty takes the mean.
    dimensions: usize,
    search: Option<Box<dyn Search + Send>>,
    /// Points that the search proposed, and the losses of the first of them.
    batch: Vec<Vec<f64>>,
    batch_losses: Vec<f64>,
    /// The point being evaluated, by candidate.
    pending: Option<(Phase, Vec<(usize, f64)>)>,
    cached: BTreeMap<PointKey, f64>,
    /// Objective of each candidate alone.
    alone: BTreeMap<usize, f64>,
    best: Option<(f64, Vec<WeightedModule>)>,
    loss_start: f64,
    worst_finite: Option<f64>,
    history: Vec<Evaluation>,
    finished: bool,
}

impl LearningRun {
    /// A run that chooses from the candidates as the options say.
    ///
    /// # Errors
    /// If a setting is out of range, or the candidates are none or not distinct.
    pub fn new(options: LearnOptions, candidates: Vec<String>) -> Result<Self, LearnError> {
        options.validate()?;
        if candidates.is_empty() {
            return Err(LearnError::NoModules);
        }
        let mut seen = BTreeSet::new();
        if let Some(id) = candidates.iter().find(|id| !seen.insert(id.as_str())) {
            return Err(LearnError::DuplicateModule { id: id.clone() });
        }
        let all = || (0..candidates.len()).collect::<Vec<usize>>();
        let limit = (options.modules as usize).min(candidates.len());
        let chosen = match options.selection {
            Selection::All | Selection::ByHand => Some(all()),
            Selection::Random => {
                let mut left = all();
                let mut random = Random::new(u64::from(options.seed));
                Some((0..limit).map(|_| left.remove(random.below(left.len()))).collect())
            }
            // Every candidate fits: there is nothing to choose.
            Selection::SingleLoss => (limit == candidates.len()).then(all),
        };
        let dimensions = chosen.as_ref().map_or(limit, Vec::len);
        Ok(Self {
            pending: Some((Phase::Search, Vec::new())),
            options,
            candidates,
            chosen,
            dimensions,
            search: None,
            batch: Vec::new(),
            batch_losses: Vec::new(),
            cached: BTreeMap::new(),
            alone: BTreeMap::new(),
            best: None,
            loss_start: f64::INFINITY,
            worst_finite: None,
            history: Vec::new(),
            finished: false,
        })
    }

    /// The settings of the run.
    pub fn options(&self) -> &LearnOptions {
        &self.options
    }

    /// The modules searched over, in the order of the search's coefficients; none while they are
    /// being chosen.
    pub fn chosen(&self) -> Option<Vec<&str>> {
        let ids =
            |chosen: &Vec<usize>| chosen.iter().map(|&c| self.candidates[c].as_str()).collect();
        self.chosen.as_ref().map(ids)
    }

    /// The modules searched over with the objective of each alone, once they have been chosen by
    /// it.
    pub fn selected(&self) -> Option<Vec<(&str, f64)>> {
        let chosen = self.chosen.as_ref()?;
        chosen.iter().map(|c| Some((self.candidates[*c].as_str(), *self.alone.get(c)?))).collect()
    }

    /// The weights to evaluate next, the same until their loss is reported; none when the run is
    /// complete.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Step> {
        if self.pending.is_none() && !self.finished {
            self.pending = self.next_point();
            self.finished = self.pending.is_none();
        }
        let (phase, point) = self.pending.as_ref()?;
        Some(self.step(0, *phase, point))
    }

    fn step(&self, ahead: usize, phase: Phase, point: &[(usize, f64)]) -> Step {
        let number = (self.history.len() + ahead) as u32 + 1;
        Step { number, phase, weights: self.named(point) }
    }

    /// The step of [`LearningRun::next`] and those that follow it whatever its loss is, which can be
    /// evaluated together. Their losses are reported one by one.
    pub fn upcoming(&self) -> Vec<Step> {
        let Some((phase, point)) = &self.pending else { return Vec::new() };
        let mut points = vec![point.clone()];
        match phase {
            Phase::Select => {
                let first = point.first().map_or(0, |(candidate, _)| candidate + 1);
                points.extend((first..self.candidates.len()).map(|c| self.alone_point(c)));
            }
            Phase::Search => {
                let chosen = self.chosen.iter().flatten();
                let mut seen = BTreeSet::from([point_key(point)]);
                for weights in self.batch.iter().skip(self.batch_losses.len() + 1) {
                    let point: Vec<(usize, f64)> =
                        chosen.clone().copied().zip(weights.iter().copied()).collect();
                    let key = point_key(&point);
                    if !self.cached.contains_key(&key) && seen.insert(key) {
                        points.push(point);
                    }
                }
                points.truncate(self.options.budget as usize - self.search_evaluations());
            }
        }
        points.iter().enumerate().map(|(ahead, point)| self.step(ahead, *phase, point)).collect()
    }

    /// Takes the cross-entropy ([`super::Objective::cross_entropy`]) of the weights that
    /// [`LearningRun::next`] returned, and the time it took to evaluate them. A cross-entropy that is
    /// not finite counts as the worst.
    ///
    /// # Errors
    /// If no evaluation is in progress.
    pub fn report(&mut self, cross_entropy: f64, seconds: f64) -> Result<&Evaluation, LearnError> {
        let (phase, point) = self.pending.take().ok_or(LearnError::NothingToReport)?;
        let loss = if cross_entropy.is_finite() {
            cross_entropy + self.penalty(&point)
        } else {
            f64::INFINITY
        };
        let weights = self.named(&point);
        if loss.is_finite() {
            self.worst_finite = Some(self.worst_finite.map_or(loss, |worst| worst.max(loss)));
            if self.best.as_ref().is_none_or(|(best, _)| loss < *best) {
                self.best = Some((loss, weights.clone()));
            }
        }
        let key = point_key(&point);
        if key.is_empty() {
            self.loss_start = loss;
        }
        self.cached.insert(key, loss);
        match phase {
            Phase::Select => {
                self.alone.extend(point.first().map(|(candidate, _)| (*candidate, loss)));
            }
            // The base alone is evaluated before the search has been made.
            Phase::Search if self.search.is_some() => self.batch_losses.push(loss),
            Phase::Search => {}
        }
        self.history.push(Evaluation {
            number: self.history.len() as u32 + 1,
            phase,
            loss,
            best: self.best.as_ref().map_or(f64::INFINITY, |(best, _)| *best),
            weights,
            seconds,
        });
        self.history.last().ok_or(LearnError::NothingToReport)
    }

    /// The best point seen so far; `complete` once [`LearningRun::next`] has returned `None`.
    pub fn result(&self) -> LearnResult {
        let (loss, modules) = self.best.clone().unwrap_or_else(|| (f64::INFINITY, self.named(&[])));
        LearnResult {
            modules: self.over_chosen(modules),
            merge: self.options.merge,
            optimizer: self.options.optimizer,
            loss_start: self.loss_start,
            loss,
            evaluations: self.history.len() as u32,
            select_evaluations: (self.history.len() - self.search_evaluations()) as u32,
            seconds: self.history.iter().map(|evaluation| evaluation.seconds).sum(),
            complete: self.finished,
            history: self.history.clone(),
        }
    }

    fn search_evaluations(&self) -> usize {
        self.history.iter().filter(|evaluation| evaluation.phase == Phase::Search).count()
    }

    fn penalty(&self, point: &[(usize, f64)]) -> f64 {
        let size: f64 = point.iter().map(|(_, weight)| weight.abs()).sum();
        self.options.regularization * (size / self.dimensions as f64)
    }

    /// A point with its modules' names; without weights, all modules searched over at 0.
    fn named(&self, point: &[(usize, f64)]) -> Vec<WeightedModule> {
        if point.is_empty() {
            let chosen = self.chosen.iter().flatten();
            return chosen
                .map(|&c| WeightedModule { id: self.candidates[c].clone(), weight: 0.0 })
                .collect();
        }
        point
            .iter()
            .map(|&(c, weight)| WeightedModule {
                id: self.candidates[c].clone(),
                weight: weight as f32,
            })
            .collect()
    }

    /// A point over all modules that are searched over, once these are chosen.
    fn over_chosen(&self, point: Vec<WeightedModule>) -> Vec<WeightedModule> {
        let Some(chosen) = &self.chosen else { return point };
        let weight = |id: &str| point.iter().find(|m| m.id == id).map_or(0.0, |m| m.weight);
        chosen
            .iter()
            .map(|&c| &self.candidates[c])
            .map(|id| WeightedModule { id: id.clone(), weight: weight(id) })
            .collect()
    }

    fn next_point(&mut self) -> Option<(Phase, Vec<(usize, f64)>)> {
        if self.chosen.is_none() {
            if let Some(candidate) =
                (0..self.candidates.len()).find(|c| !self.alone.contains_key(c))
            {
                return Some((Phase::Select, self.alone_point(candidate)));
            }
            self.choose();
        }
        self.next_search_point().map(|point| (Phase::Search, point))
    }

    /// The point of a candidate alone.
    fn alone_point(&self, candidate: usize) -> Vec<(usize, f64)> {
        vec![(candidate, self.options.bound.min(1.0))]
    }

    /// Chooses the modules with the lowest losses alone.
    fn choose(&mut self) {
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.sort_by(|a, b| self.alone[a].total_cmp(&self.alone[b]));
        order.truncate(self.dimensions);
        self.chosen = Some(order);
    }

    fn next_search_point(&mut self) -> Option<Vec<(usize, f64)>> {
        let chosen = self.chosen.clone()?;
        if self.search_evaluations() >= self.options.budget as usize {
            return None;
        }
        let LearnOptions { optimizer, bound, seed, .. } = self.options;
        let search =
            self.search.get_or_insert_with(|| search(optimizer, self.dimensions, bound, seed));
        for _ in 0..CACHED_LIMIT {
            if self.batch_losses.len() == self.batch.len() {
                if !self.batch.is_empty() {
                    let worst = self.worst_finite.unwrap_or(UNUSABLE_LOSS);
                    let usable = |loss: &f64| if loss.is_finite() { *loss } else { worst };
                    search.tell(&self.batch_losses.iter().map(usable).collect::<Vec<_>>());
                }
                self.batch = search.ask();
                self.batch_losses.clear();
            }
            let weights = self.batch.get(self.batch_losses.len())?;
            let point: Vec<(usize, f64)> =
                chosen.iter().copied().zip(weights.iter().copied()).collect();
            match self.cached.get(&point_key(&point)) {
                Some(loss) => self.batch_losses.push(*loss),
                None => return Some(point),
            }
        }
        None
    }
}

fn point_key(point: &[(usize, f64)]) -> PointKey {
    let mut key: PointKey = point
        .iter()
        .map(|&(candidate, weight)| (candidate, weight as f32))
        .filter(|(_, weight)| *weight != 0.0)
        .map(|(candidate, weight)| (candidate, weight.to_bits()))
        .collect();
    key.sort_unstable();
    key
}
