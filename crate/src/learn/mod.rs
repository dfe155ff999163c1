//! Learning: the search for the coefficients of modules, gradient-free unless gradients are asked for.
//!
//! | part | owns |
//! |---|---|
//! | [`LearnOptions`], [`settings`] | every setting with its default, limits, label and help |
//! | [`Search`] | proposes points and takes their losses: [`Cobyla`], [`CmaEs`], [`Greedy`], [`RidgeTrustRegion`] |
//! | [`Adam`], [`TuneOptions`] | tuning from a composition, by gradients |
//! | [`RoutingIndex`], [`route_score`] | which stored composition an input belongs to |
//! | [`LearningRun`] | which modules are searched over, the record of every evaluation, the best point |
//!
//! Nothing here depends on a model: a caller evaluates the weights that [`LearningRun::next`]
//! returns, by whatever runs the model, and reports the loss. A page can therefore draw, cancel and
//! handle messages between two evaluations.
//!
//! The searches are this crate's own, though crates named `cobyla` and `cmaes` exist: those call the
//! objective back, and turning a callback into ask and tell takes a thread, which a page may not
//! have. Here a search is a state machine. It computes with nothing but the f64 operations that
//! IEEE 754 fixes to the last bit (and `libm`'s software logarithm and exponential), so the same
//! losses lead to the same weights natively and in WebAssembly; and [`Cobyla`] visits the points of
//! the reference implementation (tests/learn).

mod assessment;
mod cma_es;
mod cobyla;
mod forward;
mod greedy;
mod matrix;
mod options;
mod random;
mod ridge;
mod routing;
mod run;
mod settings;
mod strategy;
mod subset;
mod tuning;

pub use crate::choices::{Choice, Choices};
pub use assessment::{Assessment, Enough, ExampleAnswer, Expected, Verdict};
pub use cma_es::CmaEs;
pub use cobyla::Cobyla;
pub use greedy::Greedy;
pub use options::{LearnError, LearnOptions, Objective, Optimizer, Selection};
pub use ridge::RidgeTrustRegion;
pub use routing::{
    ROUTE_NEAREST, ROUTE_THRESHOLD, RoutingIndex, choose_route, nearest_routes, route_score,
};
pub use run::{Evaluation, LearnResult, LearningRun, Step};
pub use settings::{Setting, SettingKind, settings};
pub use strategy::{ExampleScore, Phase};
pub use tuning::{Adam, Effort, TuneOptions, TuneStep};

/// A gradient-free minimizer with an ask-and-tell interface: [`Search::ask`] returns points,
/// [`Search::tell`] takes their losses.
pub trait Search {
    /// Name of the method, as in [`LearnOptions`].
    fn name(&self) -> &'static str;

    /// The points to evaluate next, each one coefficient per dimension and within the bounds; the
    /// first point of a search is always 0. Empty when the search is exhausted. Calling it
    /// again before [`Search::tell`] returns the same points.
    fn ask(&mut self) -> Vec<Vec<f64>>;

    /// Takes the losses of the points of the last [`Search::ask`], all of them and in their order.
    /// Losses should be finite.
    fn tell(&mut self, losses: &[f64]);
}

/// The search that an optimizer stands for, over `dimensions` coefficients within ±`bound`.
pub fn search(
    optimizer: Optimizer,
    dimensions: usize,
    bound: f64,
    seed: u32,
) -> Box<dyn Search + Send> {
    match optimizer {
        // Forward selection is no search over a fixed number of coefficients; this is its relative.
        Optimizer::Forward | Optimizer::ForwardGradient | Optimizer::Greedy => {
            Box::new(Greedy::new(dimensions, bound))
        }
        Optimizer::Cobyla => Box::new(Cobyla::new(dimensions, bound)),
        Optimizer::CmaEs => Box::new(CmaEs::new(dimensions, bound, u64::from(seed))),
        Optimizer::RidgeTrustRegion => {
            Box::new(RidgeTrustRegion::new(dimensions, bound, u64::from(seed)))
        }
    }
}

/// A coefficient brought within ±`bound`: reflected at the bound once, then cut (nevergrad's
/// "bouncing").
fn reflect(weight: f64, bound: f64) -> f64 {
    if weight.abs() <= bound {
        return weight;
    }
    let nearest = weight.clamp(-bound, bound);
    (2.0 * nearest - weight).clamp(-bound, bound)
}
