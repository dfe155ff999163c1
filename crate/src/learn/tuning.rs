//! Tuning: a few steps of Adam from a composition, on the same examples.
//!
//! docs/composing.md has the measurements that the settings come from.

use serde::{Deserialize, Serialize};

use super::LearnError;
use crate::choices::Choices;
use crate::lora::TunedPart;

/// Steps and a learning rate that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// B by 5 steps at 0.002; scales by 10 at 0.1.
    Quick,
    /// B by 10 steps from 0.002 falling to 0; scales by 20 from 0.1 falling to 0.
    #[default]
    Balanced,
    /// B by 20 steps at 0.001; scales by 40 at 0.1.
    Thorough,
}

impl Choices for Effort {
    const ALL: &'static [Self] = &[Self::Quick, Self::Balanced, Self::Thorough];

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Quick => ("quick", "A few large steps."),
            Self::Balanced => {
                ("balanced (recommended)", "Twice the steps, each smaller than the one before.")
            }
            Self::Thorough => ("thorough", "Four times the steps; overconfident about new inputs."),
        }
    }
}

/// The settings of a tuning run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TuneOptions {
    /// What is tuned.
    pub part: TunedPart,
    /// How much.
    pub effort: Effort,
    /// Number of steps, each on all examples; none for the effort's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub steps: Option<u32>,
    /// Learning rate of Adam; none for the effort's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub learning_rate: Option<f64>,
    /// Whether each example is also answered by what is tuned on the others, left out in at most five
    /// parts, which takes five times as long. The tuned examples themselves say too little about new inputs.
    pub leave_out: bool,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self::of(TunedPart::LoraB, Effort::default())
    }
}

impl TuneOptions {
    /// Most steps.
    pub const MAX_STEPS: u32 = 1000;

    /// The settings of an effort.
    pub fn of(part: TunedPart, effort: Effort) -> Self {
        Self { part, effort, steps: None, learning_rate: None, leave_out: true }
    }

    /// Number of steps.
    pub fn steps(&self) -> u32 {
        self.steps.unwrap_or(match (self.part, self.effort) {
            (TunedPart::LoraB, Effort::Quick) => 5,
            (TunedPart::LoraB, Effort::Balanced) | (TunedPart::Scales, Effort::Quick) => 10,
            (TunedPart::LoraB, Effort::Thorough) | (TunedPart::Scales, Effort::Balanced) => 20,
            (TunedPart::Scales, Effort::Thorough) => 40,
        })
    }

    /// The learning rate of the first step.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate.unwrap_or(match (self.part, self.effort) {
            (TunedPart::LoraB, Effort::Quick | Effort::Balanced) => 2e-3,
            (TunedPart::LoraB, Effort::Thorough) => 1e-3,
            (TunedPart::Scales, _) => 0.1,
        })
    }

    /// Checks every setting against its limits.
    ///
    /// # Errors
    /// [`LearnError::Setting`] names the first setting that is out of range.
    pub fn validate(&self) -> Result<(), LearnError> {
        let (steps, learning_rate) = (self.steps(), self.learning_rate());
        if !(1..=Self::MAX_STEPS).contains(&steps) {
            let expected = format!("a whole number from 1 to {}", Self::MAX_STEPS);
            return Err(LearnError::Setting { name: "steps", expected, found: steps.to_string() });
        }
        if !(learning_rate > 0.0 && learning_rate <= 1.0) {
            return Err(LearnError::Setting {
                name: "learningRate",
                expected: "a number above 0 and up to 1".into(),
                found: learning_rate.to_string(),
            });
        }
        Ok(())
    }

    /// The learning rate of a step, counted from 0.
    fn rate(&self, step: u32) -> f64 {
        match self.effort {
            Effort::Balanced => {
                self.learning_rate() * (1.0 - f64::from(step) / f64::from(self.steps()))
            }
            Effort::Quick | Effort::Thorough => self.learning_rate(),
        }
    }
}

/// One step of tuning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct TuneStep {
    /// Number of the step, from 1.
    pub number: u32,
    /// The mean of the examples' losses before the step.
    pub loss: f64,
    /// Time that the step took.
    pub seconds: f64,
}

/// Adam (Kingma and Ba 2015) without weight decay, with β₁ 0.9, β₂ 0.99 and the gradient's norm clipped
/// to 1. It computes with operations that IEEE 754 fixes to the last bit, in one order.
#[derive(Debug, Clone)]
pub struct Adam {
    options: TuneOptions,
    steps: u32,
    mean: Vec<f32>,
    square: Vec<f32>,
    /// β₁ and β₂ to the power of the number of steps.
    powers: [f64; 2],
}

impl Adam {
    const BETAS: [f64; 2] = [0.9, 0.99];
    const EPSILON: f64 = 1e-8;
    const LARGEST_NORM: f64 = 1.0;

    /// For so many parameters.
    pub fn new(options: TuneOptions, parameters: usize) -> Self {
        let (mean, square) = (vec![0.0; parameters], vec![0.0; parameters]);
        Self { options, steps: 0, mean, square, powers: [1.0; 2] }
    }

    /// Makes a step along a gradient, with the learning rate that is due.
    ///
    /// # Panics
    /// If there are more values than parameters.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32]) {
        let norm = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
        // As `clip_grad_norm_` of PyTorch.
        let clip = (Self::LARGEST_NORM / (norm + 1e-6)).min(1.0);
        let rate = self.options.rate(self.steps);
        self.steps += 1;
        let [beta_1, beta_2] = Self::BETAS;
        self.powers = [self.powers[0] * beta_1, self.powers[1] * beta_2];
        let [by_1, by_2] = self.powers.map(|power| 1.0 - power);
        for (index, (parameter, &gradient)) in parameters.iter_mut().zip(gradient).enumerate() {
            let gradient = f64::from(gradient) * clip;
            let (mean, square) = (&mut self.mean[index], &mut self.square[index]);
            let m = beta_1 * f64::from(*mean) + (1.0 - beta_1) * gradient;
            let v = beta_2 * f64::from(*square) + (1.0 - beta_2) * (gradient * gradient);
            (*mean, *square) = (m as f32, v as f32);
            let change = rate * (m / by_1) / ((v / by_2).sqrt() + Self::EPSILON);
            *parameter = (f64::from(*parameter) - change) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.optim.Adam([p], lr=0.05, betas=(0.9, 0.99))` after `clip_grad_norm_(p, 1.0)`.
    #[test]
    fn adam_makes_the_steps_of_pytorch() {
        let of_pytorch = TuneOptions::of(TunedPart::Scales, Effort::Thorough);
        let options = TuneOptions { learning_rate: Some(0.05), ..of_pytorch };
        let mut adam = Adam::new(options, 3);
        let mut parameters = [1.0, -2.0, 0.5];
        for gradient in [[0.3, -0.1, 0.0], [3.0, 4.0, 0.0], [-0.2, 0.1, 1e-4]] {
            adam.step(&mut parameters, &gradient);
        }
        let expected = [0.875177, -2.011765, 0.4682085];
        for (found, expected) in parameters.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{parameters:?}");
        }
    }

    #[test]
    fn a_falling_rate_ends_at_0_after_the_last_step() {
        let options = TuneOptions::default();
        assert_eq!(options.rate(0), 2e-3);
        assert!((options.rate(5) - 1e-3).abs() < 1e-12 && options.rate(10) == 0.0);
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let named = |options: TuneOptions| match options.validate() {
            Err(LearnError::Setting { name, .. }) => Some(name),
            _ => None,
        };
        let options = TuneOptions::default();
        assert_eq!(named(options), None);
        for steps in [0, 1001] {
            assert_eq!(named(TuneOptions { steps: Some(steps), ..options }), Some("steps"));
        }
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let options = TuneOptions { learning_rate: Some(rate), ..options };
            assert_eq!(named(options), Some("learningRate"));
        }
    }
}
