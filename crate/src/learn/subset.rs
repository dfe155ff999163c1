//! A search for one coefficient per module over a subset of the candidates that is chosen first.

use super::random::Random;
use super::strategy::{ExampleScore, Loss, Phase, Point, Proposal, Strategy};
use super::{LearnOptions, Search, Selection, search};
use crate::model::LayerGroup;

/// Loss passed to a search in place of a first loss that is not finite; later ones are replaced by the
/// worst loss so far.
const UNUSABLE_LOSS: f64 = 1e3;

/// As many of the candidates as the options say, at random.
pub(super) fn random_candidates(options: &LearnOptions, candidates: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..candidates).collect();
    let mut random = Random::new(u64::from(options.seed));
    let count = (options.modules as usize).min(candidates);
    (0..count).map(|_| left.remove(random.below(left.len()))).collect()
}

/// The selection, then the search over the modules that it chose.
pub(super) struct SubsetSearch {
    options: LearnOptions,
    loss: Loss,
    examples: usize,
    /// Candidates that are evaluated alone, while there is something to choose.
    rated: Vec<usize>,
    chosen: Option<Vec<usize>>,
    search: Option<Box<dyn Search + Send>>,
    worst_finite: Option<f64>,
}

impl SubsetSearch {
    /// A search over `candidates` modules by `examples` examples.
    pub(super) fn new(options: &LearnOptions, candidates: usize, examples: usize) -> Self {
        let all = || (0..candidates).collect::<Vec<usize>>();
        let limit = (options.modules as usize).min(candidates);
        // Three fifths of the budget at most go into the selection.
        let rated = candidates.min((options.budget as usize * 3 / 5).max(limit));
        let chosen = match options.selection {
            Selection::All | Selection::ByHand => Some(all()),
            Selection::Random => Some(random_candidates(options, candidates)),
            // Every candidate fits: there is nothing to choose.
            Selection::Automatic if limit == candidates => Some(all()),
            Selection::Automatic => None,
        };
        let dimensions = chosen.as_ref().map_or(limit, Vec::len);
        let loss = Loss {
            objective: options.objective,
            regularization: options.regularization,
            dimensions,
        };
        let (options, rated) = (options.clone(), (0..rated).collect());
        Self { options, loss, examples, rated, chosen, search: None, worst_finite: None }
    }

    pub(super) fn loss(&self) -> Loss {
        self.loss
    }

    fn proposal(&self, phase: Phase, point: Point) -> Proposal {
        let (examples, gradient_of) = ((0..self.examples).collect(), Vec::new());
        Proposal { phase, point, examples, gradient_of }
    }
}

impl Strategy for SubsetSearch {
    fn ask(&mut self) -> Vec<Proposal> {
        let LearnOptions { optimizer, bound, seed, .. } = self.options;
        let Some(chosen) = &self.chosen else {
            let weights = [bound.min(1.0); LayerGroup::COUNT];
            let alone = |&candidate| self.proposal(Phase::Select, vec![(candidate, weights)]);
            return self.rated.iter().map(alone).collect();
        };
        let search =
            self.search.get_or_insert_with(|| search(optimizer, chosen.len(), bound, seed));
        let points = search.ask();
        let chosen = self.chosen.iter().flatten().copied();
        let point = |weights: Vec<f64>| {
            let weights = weights.into_iter().map(|weight| [weight; LayerGroup::COUNT]);
            self.proposal(Phase::Search, chosen.clone().zip(weights).collect())
        };
        points.into_iter().map(point).collect()
    }

    fn tell(&mut self, losses: &[Vec<ExampleScore>]) {
        let proposals = self.ask();
        let losses = proposals.iter().zip(losses);
        let losses: Vec<f64> =
            losses.map(|(proposal, losses)| self.loss.of(&proposal.point, losses)).collect();
        let finite = losses.iter().copied().filter(|loss| loss.is_finite());
        self.worst_finite = finite.chain(self.worst_finite).max_by(f64::total_cmp);
        if let Some(search) = &mut self.search {
            let worst = self.worst_finite.unwrap_or(UNUSABLE_LOSS);
            let usable = |&loss: &f64| if loss.is_finite() { loss } else { worst };
            search.tell(&losses.iter().map(usable).collect::<Vec<_>>());
            return;
        }
        let mut order: Vec<usize> = (0..self.rated.len()).collect();
        order.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]));
        order.truncate(self.loss.dimensions);
        self.chosen = Some(order);
    }

    fn chosen(&self) -> Option<&[usize]> {
        self.chosen.as_deref()
    }
}
