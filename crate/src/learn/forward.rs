//! Raced forward selection: which modules, then which weights, then which weights for each group of
//! layers.
//!
//! Forward selection adds the module that lowers the loss most, given those that are in: a module's loss
//! alone says little about what it adds. Most candidates are ruled out by one or two examples, so a
//! *race* evaluates all of them on one, the best of these on another, and the best of those on all.
//! Afterwards each module is tried against those that came close when it was chosen, and the weights are
//! refined one at a time.
//!
//! With [`Optimizer::ForwardGradient`](super::Optimizer::ForwardGradient) a gradient takes the place of a race's
//! first stages for the first and second module: that of the loss with respect to every coefficient at 0,
//! from one backward pass.
//!
//! docs/composing.md has the measurements that the constants come from.

use std::collections::{BTreeMap, BTreeSet};

use super::strategy::{
    Evaluator, Loss, Phase, Point, Procedure, Proposal, Scores, Weights, gradient_candidates,
    gradient_cost, point_key,
};
use crate::model::LayerGroup;

/// Weight at which a module is tried, where the bound allows it.
const TRIAL: f64 = 1.0;
/// Largest weight of a module before it is split into groups of layers.
const LARGEST: f64 = 2.0;
/// First change of a weight; the last one is half of it.
const STEP: f64 = 0.5;
/// A parabola's vertex is tried if it is this share of the step away from weights that were tried.
const APART: f64 = 0.16;
/// By how much a third or later module has to lower the loss, as a share of it.
const WORTHWHILE: f64 = 0.25;
/// Most modules; the data of a few examples does not support more.
const MOST_MODULES: usize = 4;
/// Examples whose gradients choose what is raced, and how many candidates they choose. Beside two modules
/// they say too little about a third.
const GRADIENT_EXAMPLES: usize = 5;
const GRADIENT_KEPT: usize = 8;
/// Evaluations below which candidates are not raced.
const TINY_BUDGET: usize = 12;
/// Evaluations from which more candidates are looked at, and modules are swapped and refined as wholes.
const LARGE_BUDGET: usize = 90;

/// How many candidates a race evaluates on how many examples: all of them on the first number, as many
/// as given on the next, and so on; then the last ones on every example.
type Stages = Vec<(usize, usize)>;

/// What is spent on what.
struct Plan {
    /// Races for the first, second and later modules.
    races: [Stages; 3],
    /// Candidates that each module is tried against, and the race among them.
    swaps: usize,
    swap_race: Stages,
    /// Evaluations of all examples for the modules' weights: before a third or later module is looked
    /// for, and once all are chosen. What is left goes into the groups of layers.
    early: usize,
    refine: usize,
}

impl Plan {
    /// A plan for a budget in evaluations of all examples.
    fn new(budget: usize, examples: usize) -> Self {
        let race = |second: usize, third: usize| {
            let mut stages = vec![(1, second), (2, third)];
            if examples > 8 {
                stages.push((5, third.div_ceil(2).max(2)));
            }
            stages
        };
        let swap_race = vec![(1, 4)];
        if budget < LARGE_BUDGET {
            let races = [race(8, 3), race(8, 3), race(4, 2)];
            return Self { races, swaps: 0, swap_race, early: 0, refine: 0 };
        }
        let races = [race(16, 6), race(16, 5), race(8, 3)];
        Self { races, swaps: 12, swap_race, early: 6, refine: 12 }
    }
}

/// A strategy over candidates by their numbers, in the order in which they are looked at, and so many
/// examples. The budget is in losses of single examples.
pub(super) fn forward(
    candidates: Vec<usize>,
    examples: usize,
    budget: usize,
    bound: f64,
    loss: Loss,
    gradients: bool,
) -> Procedure {
    Procedure::new(|evaluator| async move {
        let mut forward = Forward {
            evaluator,
            gradients,
            loss,
            bound,
            budget,
            plan: Plan::new(budget / examples, examples),
            examples,
            scores: Scores::new(examples),
            spent: 0,
        };
        forward.run(&candidates).await;
    })
}

/// Candidates with their losses, the lowest first.
type Ranking = Vec<(f64, usize)>;

/// The result of a race.
struct Raced {
    /// All candidates by their losses of the first examples, or by the gradients of their coefficients.
    first: Ranking,
    /// The last ones by their losses of all examples.
    last: Ranking,
    /// The same as of the first without any of the candidates.
    without: f64,
}

/// A composition under construction.
struct State {
    loss: f64,
    point: Point,
    /// For each module, the candidates in the order of the race that chose it.
    rivals: BTreeMap<usize, Vec<usize>>,
}

struct Forward {
    evaluator: Evaluator,
    /// Whether gradients choose what is raced.
    gradients: bool,
    loss: Loss,
    bound: f64,
    budget: usize,
    plan: Plan,
    examples: usize,
    scores: Scores,
    spent: usize,
}

impl Forward {
    async fn run(&mut self, candidates: &[usize]) {
        // The run has evaluated it, so that this computes nothing.
        self.loss_of(Phase::Search, &Point::new()).await;
        // A first look takes up to half of the budget, and the look for a second module a quarter. Where
        // there is too little for a race, the first candidates are evaluated on every example.
        let (limit, stages) = if self.budget < TINY_BUDGET * self.examples {
            ((self.budget / self.examples).saturating_sub(1), vec![(self.examples, 1)])
        } else {
            (self.budget / 2, self.plan.races[0].clone())
        };
        let limit = self.looks(limit);
        let pool = &candidates[..limit.min(candidates.len())];
        let raced = self.look_for(&Point::new(), pool, &stages).await;
        let Some(&(loss, first)) = raced.last.first() else { return };
        let order = order_of(&raced.first);
        let mut pool = order.clone();
        pool.truncate(self.looks(self.budget / 4) + 1);
        let rivals = BTreeMap::from([(first, order)]);
        let weights = [self.trial(); LayerGroup::COUNT];
        let state = State { loss, point: vec![(first, weights)], rivals };
        let mut state = self.grow(state, pool).await;
        self.swap(&mut state).await;
        let steps = [STEP, STEP / 2.0];
        self.refine_modules(&mut state, &steps, self.plan.refine).await;
        let groups: Vec<&[LayerGroup]> = LayerGroup::ALL.iter().map(std::slice::from_ref).collect();
        let left = self.budget.div_ceil(self.examples);
        self.refine(Phase::Groups, &mut state, &groups, &steps, left, self.bound).await;
    }

    /// Adds modules of a pool while one lowers the loss enough.
    async fn grow(&mut self, mut state: State, mut pool: Vec<usize>) -> State {
        while state.point.len() < MOST_MODULES {
            let later = state.point.len() > 1;
            if later {
                self.refine_modules(&mut state, &[STEP], self.plan.early).await;
            }
            pool.retain(|candidate| state.point.iter().all(|(used, _)| used != candidate));
            let stages = self.plan.races[usize::from(later) + 1].clone();
            let raced = self.look_for(&state.point, &pool, &stages).await;
            let limit = state.loss * if later { 1.0 - WORTHWHILE } else { 1.0 };
            let Some(&(loss, candidate)) = raced.last.first().filter(|(loss, _)| *loss < limit)
            else {
                break;
            };
            state.rivals.insert(candidate, order_of(&raced.first));
            state.loss = loss;
            state.point.push((candidate, [self.trial(); LayerGroup::COUNT]));
            // What did not help beside these modules is not looked at again.
            pool = order_of(
                &raced.first[..raced.first.partition_point(|(loss, _)| *loss < raced.without)],
            );
        }
        state
    }

    /// Tries each module against those that came close when it was chosen.
    async fn swap(&mut self, state: &mut State) {
        for (module, weights) in state.point.clone() {
            let rest = with(&state.point, module, [0.0; LayerGroup::COUNT]);
            let rivals = state.rivals.get(&module).cloned().unwrap_or_default();
            let unused =
                rivals.iter().copied().filter(|c| state.point.iter().all(|(used, _)| used != c));
            let unused: Vec<usize> = unused.take(self.plan.swaps).collect();
            if rest.is_empty() || unused.is_empty() {
                continue;
            }
            let stages = self.plan.swap_race.clone();
            let raced = self.race(&rest, &unused, weights[0], &stages).await;
            if let Some(&(loss, better)) = raced.last.first().filter(|(loss, _)| *loss < state.loss)
            {
                state.loss = loss;
                state.point = with(&rest, better, weights);
                state.rivals.insert(better, rivals);
            }
        }
    }

    /// How many candidates can be looked at for so many losses of single examples.
    fn looks(&self, losses: usize) -> usize {
        match self.gradients {
            true => gradient_candidates(losses / GRADIENT_EXAMPLES.min(self.examples)),
            false => losses,
        }
    }

    /// A race of candidates beside a composition, or of those whose coefficients have the lowest gradients.
    async fn look_for(&mut self, beside: &Point, candidates: &[usize], stages: &Stages) -> Raced {
        let examples = GRADIENT_EXAMPLES.min(self.examples);
        let cost = gradient_cost(candidates.len()) * examples;
        let by_gradients = self.gradients
            && beside.len() <= 1
            && candidates.len() > GRADIENT_KEPT
            && self.spent + cost <= self.budget;
        if !by_gradients {
            return self.race(beside, candidates, self.trial(), stages).await;
        }
        self.spent += cost;
        let proposal = Proposal {
            phase: Phase::Select,
            point: beside.clone(),
            examples: (0..examples).collect(),
            gradient_of: candidates.to_vec(),
        };
        let gradient = self.evaluator.gradient(proposal).await;
        let mut first: Ranking = gradient.into_iter().zip(candidates.iter().copied()).collect();
        first.sort_by(|a, b| a.0.total_cmp(&b.0));
        let chosen = order_of(&first[..GRADIENT_KEPT]);
        let Raced { last, .. } = self.race(beside, &chosen, self.trial(), stages).await;
        // What has a gradient of 0 changes nothing.
        Raced { first, last, without: 0.0 }
    }

    /// Races candidates, each at one weight beside a composition.
    async fn race(
        &mut self,
        beside: &Point,
        candidates: &[usize],
        weight: f64,
        stages: &Stages,
    ) -> Raced {
        let weights = [weight; LayerGroup::COUNT];
        let mut left = candidates.to_vec();
        let mut first = Ranking::new();
        for (index, &(examples, kept)) in stages.iter().enumerate() {
            let ranking = self.rank(beside, &left, weights, examples).await;
            left = order_of(&ranking[..kept.min(ranking.len())]);
            if index == 0 {
                first = ranking;
            }
        }
        let without =
            self.losses(Phase::Select, std::slice::from_ref(beside), stages[0].0).await[0];
        let last = self.rank(beside, &left, weights, self.examples).await;
        Raced { first, last, without }
    }

    async fn rank(
        &mut self,
        beside: &Point,
        candidates: &[usize],
        weights: Weights,
        examples: usize,
    ) -> Ranking {
        let points: Vec<Point> =
            candidates.iter().map(|&candidate| with(beside, candidate, weights)).collect();
        let losses = self.losses(Phase::Select, &points, examples).await;
        let mut ranking: Ranking = losses.into_iter().zip(candidates.iter().copied()).collect();
        ranking.sort_by(|a, b| a.0.total_cmp(&b.0));
        ranking
    }

    /// [`Forward::refine`] of one weight for each module.
    async fn refine_modules(&mut self, state: &mut State, steps: &[f64], evaluations: usize) {
        let largest = LARGEST.min(self.bound);
        self.refine(Phase::Search, state, &[&LayerGroup::ALL], steps, evaluations, largest).await;
    }

    /// Changes weights one at a time, by a step up and down and to the vertex of the parabola through
    /// the three, while evaluations are left. `parts` says which groups of layers change together.
    async fn refine(
        &mut self,
        phase: Phase,
        state: &mut State,
        parts: &[&[LayerGroup]],
        steps: &[f64],
        evaluations: usize,
        largest: f64,
    ) {
        let end = self.budget.min(self.spent + evaluations * self.examples);
        for &step in steps {
            let mut order: Vec<(usize, &[LayerGroup], f64)> = Vec::new();
            for &(module, weights) in &state.point {
                order.extend(
                    parts.iter().map(|&part| (module, part, weights[part[0] as usize].abs())),
                );
            }
            order.sort_by(|a, b| b.2.total_cmp(&a.2));
            for (module, part, _) in order {
                let Some(&(_, weights)) = state.point.iter().find(|(used, _)| *used == module)
                else {
                    continue;
                };
                let start = weights[part[0] as usize];
                let at = |state: &State, weight: f64| {
                    let mut weights = weights;
                    part.iter().for_each(|&group| weights[group as usize] = weight);
                    with(&state.point, module, weights)
                };
                let mut tried = vec![(start, state.loss)];
                for weight in [start + step, start - step] {
                    if (0.0..=largest).contains(&weight) && self.spent < end {
                        tried.push((weight, self.loss_of(phase, &at(state, weight)).await));
                    }
                }
                if let Some(vertex) = vertex(&mut tried, step, largest)
                    && self.spent < end
                {
                    tried.push((vertex, self.loss_of(phase, &at(state, vertex)).await));
                }
                for (weight, loss) in tried {
                    if loss < state.loss {
                        state.point = at(state, weight);
                        state.loss = loss;
                    }
                }
            }
        }
    }

    async fn loss_of(&mut self, phase: Phase, point: &Point) -> f64 {
        self.losses(phase, std::slice::from_ref(point), self.examples).await[0]
    }

    /// The losses of points over the first examples, infinite for those beyond the budget.
    async fn losses(&mut self, phase: Phase, points: &[Point], examples: usize) -> Vec<f64> {
        let examples: Vec<usize> = (0..examples.min(self.examples)).collect();
        let mut proposals = Vec::new();
        let mut seen = BTreeSet::new();
        for point in points {
            let missing = self.scores.missing(point, &examples);
            if !missing.is_empty()
                && self.spent + missing.len() <= self.budget
                && seen.insert(point_key(point))
            {
                self.spent += missing.len();
                let gradient_of = Vec::new();
                let point = point.clone();
                proposals.push(Proposal { phase, point, examples: missing, gradient_of });
            }
        }
        let losses = self.evaluator.losses(proposals.clone()).await;
        for (proposal, losses) in proposals.iter().zip(losses) {
            self.scores.add(&proposal.point, &proposal.examples, &losses);
        }
        let loss = |point: &Point| Some(self.loss.of(point, &self.scores.of(point, &examples)?));
        points.iter().map(|point| loss(point).unwrap_or(f64::INFINITY)).collect()
    }

    /// Weight at which a module is tried.
    fn trial(&self) -> f64 {
        TRIAL.min(self.bound)
    }
}

fn order_of(ranking: &[(f64, usize)]) -> Vec<usize> {
    ranking.iter().map(|(_, candidate)| *candidate).collect()
}

/// A point with other weights of a module, which leaves at 0.
fn with(point: &Point, module: usize, weights: Weights) -> Point {
    let mut point: Point = point.iter().copied().filter(|(used, _)| *used != module).collect();
    if weights != [0.0; LayerGroup::COUNT] {
        point.push((module, weights));
    }
    point
}

/// The vertex of the parabola through three points a step apart, if it is a minimum and not close to
/// one of them.
fn vertex(tried: &mut [(f64, f64)], step: f64, largest: f64) -> Option<f64> {
    tried.sort_by(|a, b| a.0.total_cmp(&b.0));
    let [(_, below), (middle, loss), (_, above)] = *tried else { return None };
    let curvature = below - 2.0 * loss + above;
    let vertex = middle + 0.5 * step * (below - above) / curvature;
    let vertex = vertex.clamp(middle - 2.0 * step, middle + 2.0 * step).clamp(0.0, largest);
    // Three decimals keep weights short.
    let vertex = (vertex * 1000.0).round() / 1000.0;
    let apart = tried.iter().all(|(weight, _)| (weight - vertex).abs() > APART * step);
    (curvature > 1e-9 && vertex.is_finite() && apart).then_some(vertex)
}
