//! Greedy forward selection: from 0, each round tries every module that is left at full weight and
//! keeps the best; once none helps, the weights that were kept are refined one at a time.

use super::Search;

/// Weight at which a module is tried.
const STEP: f64 = 1.0;
/// First and last change of a weight while refining.
const REFINE_FIRST: f64 = 0.5;
const REFINE_LAST: f64 = 0.05;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Start,
    /// Trying modules that are not part of the composition yet.
    Forward,
    /// Trying to change the weights of those that are, by this much.
    Refine(f64),
    Finished,
}

/// The search; a round to a batch.
pub struct Greedy {
    bound: f64,
    stage: Stage,
    weights: Vec<f64>,
    loss: f64,
    /// Modules still worth a try: in the last round that tried them they lowered the loss.
    left: Vec<usize>,
    /// Module and weight of every trial of the round in progress.
    trials: Vec<(usize, f64)>,
}

impl Greedy {
    /// A search over `dimensions` coefficients within ±`bound`.
    pub fn new(dimensions: usize, bound: f64) -> Self {
        Self {
            bound,
            stage: Stage::Start,
            weights: vec![0.0; dimensions],
            loss: f64::INFINITY,
            left: (0..dimensions).collect(),
            trials: Vec::new(),
        }
    }

    fn begin_round(&mut self) {
        loop {
            self.trials = match self.stage {
                Stage::Forward => {
                    let step = STEP.min(self.bound);
                    self.left.iter().map(|&module| (module, step)).collect()
                }
                Stage::Refine(change) => self.refinements(change),
                Stage::Start | Stage::Finished => return,
            };
            if !self.trials.is_empty() {
                return;
            }
            self.narrow();
        }
    }

    fn refinements(&self, change: f64) -> Vec<(usize, f64)> {
        let kept = self.weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0);
        kept.flat_map(|(module, &weight)| [(module, weight - change), (module, weight + change)])
            .filter(|(_, weight)| weight.abs() <= self.bound)
            .collect()
    }

    /// Goes on to smaller changes, or ends.
    fn narrow(&mut self) {
        self.stage = match self.stage {
            Stage::Forward => Stage::Refine(REFINE_FIRST),
            Stage::Refine(change) if change / 2.0 >= REFINE_LAST => Stage::Refine(change / 2.0),
            _ => Stage::Finished,
        };
        if self.weights.iter().all(|weight| *weight == 0.0) {
            self.stage = Stage::Finished;
        }
    }
}

impl Search for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }

    fn ask(&mut self) -> Vec<Vec<f64>> {
        if self.stage == Stage::Start {
            return vec![self.weights.clone()];
        }
        let moved = |&(module, weight): &(usize, f64)| {
            let mut weights = self.weights.clone();
            weights[module] = weight;
            weights
        };
        self.trials.iter().map(moved).collect()
    }

    fn tell(&mut self, losses: &[f64]) {
        if self.stage == Stage::Start {
            self.loss = losses.first().copied().unwrap_or(f64::INFINITY);
            self.stage = Stage::Forward;
        } else {
            let rated: Vec<_> = self.trials.iter().copied().zip(losses.iter().copied()).collect();
            let best = rated.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
            let before = self.loss;
            match best {
                Some(((module, weight), loss)) if loss < before => {
                    self.weights[module] = weight;
                    self.loss = loss;
                    if self.stage == Stage::Forward {
                        let helped = |&((other, _), loss): &((usize, f64), f64)| {
                            (other != module && loss < before).then_some(other)
                        };
                        self.left = rated.iter().filter_map(helped).collect();
                    }
                }
                _ => self.narrow(),
            }
        }
        self.begin_round();
    }
}
