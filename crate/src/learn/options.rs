//! The settings of a learning run and their defaults; [`super::settings`] describes each of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::settings;
use crate::choices::Choices;
use crate::lora::{Merge, WeightedModule};

/// Which search finds the coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Raced forward selection: adds the module that lowers the loss most, then refines the weights.
    Forward,
    /// The same, where the gradients of the coefficients choose the modules that are raced.
    ForwardGradient,
    /// Powell's linear trust-region search, to which the reference implementation resolves.
    Cobyla,
    /// The covariance matrix adaptation evolution strategy.
    CmaEs,
    /// Greedy forward selection with refinement.
    Greedy,
    /// A linear trust region from probes of each module, eight points at a time.
    RidgeTrustRegion,
}

impl Choices for Optimizer {
    const ALL: &'static [Self] = &[
        Self::Forward,
        Self::ForwardGradient,
        Self::Cobyla,
        Self::CmaEs,
        Self::Greedy,
        Self::RidgeTrustRegion,
    ];

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Forward => (
                "forward selection (recommended)",
                "Adds the module that helps most, then refines the weights.",
            ),
            Self::ForwardGradient => (
                "forward selection by gradients",
                "Forward selection where gradients say which of many modules to try.",
            ),
            Self::Cobyla => ("COBYLA", "Linear trust region, as in the published method."),
            Self::CmaEs => ("CMA-ES", "Samples around the best weights so far."),
            Self::Greedy => ("greedy", "Adds one module after another, then refines."),
            Self::RidgeTrustRegion => (
                "ridge, eight at a time",
                "Linear trust region from batches of eight, which a GPU evaluates at once.",
            ),
        }
    }
}

impl Optimizer {
    /// Whether it selects modules one after another and has a weight for each group of layers.
    pub(super) fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardGradient)
    }
}

/// How the modules that are searched over are chosen from the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Every candidate.
    All,
    /// [`LearnOptions::modules`] candidates at random by the seed, as published.
    Random,
    /// Forward selection takes every candidate into account; the other searches take the
    /// [`LearnOptions::modules`] candidates with the lowest losses of each alone.
    #[serde(alias = "single-loss")]
    Automatic,
    /// Every candidate: a person has chosen them.
    ByHand,
}

impl Choices for Selection {
    const ALL: &'static [Self] = &[Self::All, Self::Random, Self::Automatic, Self::ByHand];

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::All => ("all of them", "Every module."),
            Self::Random => {
                ("a random choice (as published)", "Modules drawn with the seed, as published.")
            }
            Self::Automatic => ("automatic (recommended)", "The modules that lower the loss most."),
            Self::ByHand => {
                ("only the ones I select", "Every module: the list was chosen by hand.")
            }
        }
    }
}

/// How the losses of the examples become one number; the penalty on the coefficients,
/// [`LearnOptions::regularization`] · mean|w|, is added to either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// As the paper writes it: the mean cross-entropy, here the mean over the examples of each one's
    /// mean over its tokens.
    Paper,
    /// As the reference code computes it (`default_get_loss` with all examples in one batch): the
    /// mean over the tokens of all examples, divided by the number of examples.
    Reference,
}

impl Choices for Objective {
    const ALL: &'static [Self] = &[Self::Paper, Self::Reference];

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Paper => ("paper", "Mean over the examples of each one's cross-entropy."),
            Self::Reference => (
                "reference",
                "Mean over all tokens divided by the examples, as the published code.",
            ),
        }
    }
}

impl Objective {
    /// The cross-entropy term for examples given as (mean token cross-entropy, tokens); not a number
    /// if there are none.
    pub fn cross_entropy(self, examples: impl IntoIterator<Item = (f32, usize)>) -> f64 {
        let (mut sum, mut token_sum, mut tokens, mut count) = (0.0, 0.0, 0.0, 0.0);
        for (loss, length) in examples {
            let (loss, length) = (f64::from(loss), length as f64);
            sum += loss;
            token_sum += loss * length;
            tokens += length;
            count += 1.0;
        }
        match self {
            Self::Paper => sum / count,
            Self::Reference => token_sum / tokens / count,
        }
    }
}

/// The settings of a learning run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LearnOptions {
    /// Evaluations of all examples, those of modules alone and of the base included. An evaluation of
    /// some of the examples counts as that fraction.
    pub budget: u32,
    /// Seconds of evaluations after which the search ends; 0 for no limit.
    pub seconds: f64,
    /// Which search finds the coefficients.
    pub optimizer: Optimizer,
    /// How the modules that are searched over are chosen.
    pub selection: Selection,
    /// Most modules to search over, where the selection chooses.
    pub modules: u32,
    /// How the modules become one LoRA branch.
    pub merge: Merge,
    /// What is minimised.
    pub objective: Objective,
    /// Seed of everything that is random.
    pub seed: u32,
    /// Largest size of a coefficient.
    pub bound: f64,
    /// Factor of the penalty mean|w|.
    pub regularization: f64,
    /// Modules with coefficients that the run does not change: they are part of every composition that
    /// it tries but the base alone, and are no candidates. One at 0 stays out.
    pub held: Vec<WeightedModule>,
}

impl Default for LearnOptions {
    fn default() -> Self {
        Self {
            budget: 65,
            seconds: 0.0,
            optimizer: Optimizer::Forward,
            selection: Selection::Automatic,
            modules: 20,
            merge: Merge::Delta,
            objective: Objective::Paper,
            seed: 42,
            bound: 2.5,
            regularization: 0.0,
            held: Vec::new(),
        }
    }
}

impl LearnOptions {
    /// The settings of the published method: 20 modules at random, A and B added up apart, the
    /// objective as the reference code computes it.
    pub fn as_published() -> Self {
        Self {
            budget: 40,
            optimizer: Optimizer::Cobyla,
            selection: Selection::Random,
            merge: Merge::Lorahub,
            objective: Objective::Reference,
            bound: 1.5,
            regularization: 0.05,
            ..Self::default()
        }
    }

    /// Checks every setting against its limits, and the modules that are held.
    ///
    /// # Errors
    /// [`LearnError::Setting`] names the first setting that is out of range.
    pub fn validate(&self) -> Result<(), LearnError> {
        let &Self { budget, seconds, modules, seed, bound, regularization, .. } = self;
        let integers = [("budget", budget), ("modules", modules), ("seed", seed)];
        let mut numbers =
            vec![("seconds", seconds), ("bound", bound), ("regularization", regularization)];
        numbers.extend(integers.map(|(name, value)| (name, f64::from(value))));
        settings().iter().try_for_each(|setting| {
            let value = numbers.iter().find(|(name, _)| *name == setting.name);
            value.map_or(Ok(()), |(_, value)| setting.check(*value))
        })?;
        if self.optimizer == Optimizer::ForwardGradient && self.merge != Merge::Delta {
            // Where matrices are summed before they are multiplied, a module alone has no gradient at 0.
            let (expected, found) = ("delta, for this optimizer".into(), self.merge.name());
            return Err(LearnError::Setting { name: "merge", expected, found });
        }
        let mut seen = BTreeSet::new();
        self.held.iter().try_for_each(|WeightedModule { id, weight }| {
            if !weight.groups().iter().all(|weight| weight.is_finite()) {
                return Err(LearnError::HeldWeight { id: id.clone() });
            }
            seen.insert(id).then_some(()).ok_or(LearnError::DuplicateModule { id: id.clone() })
        })
    }
}

/// Why a learning run cannot begin or continue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A setting is out of range.
    #[error("the setting {name} should be {expected}, found {found}")]
    Setting {
        /// The setting, by its name in [`LearnOptions`].
        name: &'static str,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },
    /// There is nothing to search over: there are no candidates, or all of them are held.
    #[error("learning needs at least one module that is not held, found none")]
    NoModules,
    /// The coefficient of a module that is held is not a finite number.
    #[error("the weight at which the module {id} is held should be a finite number")]
    HeldWeight {
        /// The module.
        id: String,
    },
    /// Two candidates have the same id.
    #[error("the module {id} is listed twice; every module needs an id of its own")]
    DuplicateModule {
        /// The id.
        id: String,
    },
    /// There is nothing to learn from.
    #[error("learning needs at least one example, found none")]
    NoExamples,
    /// Not one loss for each example of the evaluation.
    #[error("the evaluation has {expected} examples, found losses of {found}")]
    LossCount {
        /// Examples of the evaluation.
        expected: usize,
        /// Losses that were reported.
        found: usize,
    },
    /// Not one number for each module of a gradient.
    #[error("the gradient is of {expected} coefficients, found {found} numbers")]
    GradientCount {
        /// Coefficients that it is of.
        expected: usize,
        /// Numbers that were reported.
        found: usize,
    },
    /// The history of an earlier run is not one of this run.
    #[error(
        "evaluation {number} of the history is not one that these settings, modules and examples lead to"
    )]
    OtherHistory {
        /// Number of the evaluation.
        number: u32,
    },
    /// The losses or gradients of tuning are no longer finite.
    #[error("the loss or its gradient is not a finite number at step {step}")]
    Diverged {
        /// Number of the step.
        step: u32,
    },
    /// A loss was reported while no evaluation was in progress.
    #[error("a loss was reported while no evaluation was in progress")]
    NothingToReport,
}

#[cfg(test)]
mod tests {
    use super::{LearnError, LearnOptions, Objective};

    fn named(options: &LearnOptions) -> Option<&'static str> {
        match options.validate() {
            Err(LearnError::Setting { name, .. }) => Some(name),
            _ => None,
        }
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let with = |change: fn(&mut LearnOptions)| {
            let mut options = LearnOptions::default();
            change(&mut options);
            named(&options)
        };
        assert_eq!(with(|_| ()), None);
        assert_eq!(with(|o| o.budget = 1), Some("budget"));
        assert_eq!(with(|o| o.budget = 10_001), Some("budget"));
        assert_eq!(with(|o| o.modules = 0), Some("modules"));
        assert_eq!(with(|o| o.bound = 0.0), Some("bound"));
        assert_eq!(with(|o| o.bound = f64::NAN), Some("bound"));
        assert_eq!(with(|o| o.regularization = -0.1), Some("regularization"));
        assert_eq!(with(|o| o.regularization = f64::INFINITY), Some("regularization"));
    }

    #[test]
    fn missing_settings_take_their_defaults_and_unknown_ones_are_refused() {
        let parsed: LearnOptions = serde_json::from_str(
            r#"{"budget": 12, "optimizer": "cma-es", "selection": "by-hand"}"#,
        )
        .expect("valid");
        assert_eq!(parsed.budget, 12);
        assert_eq!(parsed.bound, LearnOptions::default().bound);
        assert!(serde_json::from_str::<LearnOptions>(r#"{"bugdet": 12}"#).is_err());
    }

    #[test]
    fn the_paper_weighs_examples_alike_and_the_reference_weighs_tokens_and_divides() {
        let losses = [(2.0, 1), (1.0, 3)];
        assert_eq!(Objective::Paper.cross_entropy(losses), 1.5);
        assert_eq!(Objective::Reference.cross_entropy(losses), 5.0 / 4.0 / 2.0);
    }
}
