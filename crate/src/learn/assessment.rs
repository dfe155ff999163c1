//! Whether a composition works: what the losses of the few examples say about new inputs.
//!
//! `probability`, the mean over the examples of exp(−summed token loss), is the probability of the whole
//! right output. On the demo library's tasks it is close to the share of new inputs that are answered
//! exactly (docs/composing.md has the figure); [`CALIBRATION`] corrects what is left.

use serde::{Deserialize, Serialize};

use super::ExampleScore;

/// Probability from which a composition works.
const WORKS: f64 = 0.6;
/// Probability from which it works partly.
const PARTLY: f64 = 0.3;
/// An example contradicts the others if it is this much less probable than they are.
const CONTRADICTION: f64 = 0.1;

/// Probabilities this close count as equal.
const EQUAL: f64 = 0.02;

/// SHA-256 of the weights of the base that [`Expected`] was measured on.
const CALIBRATED_BASE: &str = "6456d4b5a853053a5832dd92a4bed2ee1be6be7bb0cecb0b5027e3b497f33043";

/// Probability; mean, 10th and 90th percentile of the share of new inputs answered exactly. Measured on
/// 246 runs of tasks that are not in the library's table.
const CALIBRATION: [[f64; 4]; 8] = [
    [0.0, 0.0, 0.0, 0.05],
    [0.1, 0.15, 0.0, 0.45],
    [0.3, 0.35, 0.05, 0.6],
    [0.5, 0.5, 0.2, 0.8],
    [0.7, 0.7, 0.42, 0.95],
    [0.85, 0.84, 0.6, 1.0],
    [0.95, 0.92, 0.75, 1.0],
    [1.0, 0.98, 0.85, 1.0],
];

/// [`CALIBRATION`] after tuning, which makes the examples more probable than new inputs are. Measured on
/// 296 runs of tasks that are not in the library's table.
const TUNED_CALIBRATION: [[f64; 4]; 10] = [
    [0.0, 0.0, 0.0, 0.05],
    [0.1, 0.12, 0.0, 0.35],
    [0.3, 0.28, 0.05, 0.45],
    [0.6, 0.44, 0.28, 0.65],
    [0.75, 0.68, 0.4, 0.95],
    [0.85, 0.77, 0.48, 0.97],
    [0.93, 0.81, 0.55, 0.99],
    [0.97, 0.84, 0.55, 1.0],
    [0.99, 0.95, 0.85, 1.0],
    [1.0, 0.98, 0.92, 1.0],
];

/// [`CALIBRATION`] after tuning where the examples were left out too, of the mean of the two shares by
/// [`LEFT_OUT_SHARE`]. Both were measured on 400 runs of tasks that are not in the library's table.
const LEFT_OUT_CALIBRATION: [[f64; 4]; 8] = [
    [0.0, 0.0, 0.0, 0.05],
    [0.2, 0.22, 0.05, 0.4],
    [0.5, 0.48, 0.35, 0.7],
    [0.66, 0.68, 0.45, 0.95],
    [0.76, 0.76, 0.55, 0.96],
    [0.85, 0.81, 0.45, 0.97],
    [0.93, 0.9, 0.6, 0.99],
    [1.0, 0.97, 0.78, 1.0],
];
/// How much the examples that are answered when they are left out count beside the probability of those that were
/// tuned on.
const LEFT_OUT_SHARE: f64 = 0.6;

/// Whether a composition works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Most new inputs are answered exactly.
    Works,
    /// Some are.
    Partly,
    /// Few or none are.
    Unlikely,
}

/// The share of new inputs that are answered exactly, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Expected {
    /// The expected share.
    pub mean: f64,
    /// In one of ten cases it is lower.
    pub low: f64,
    /// In one of ten cases it is higher.
    pub high: f64,
}

/// What does as well as any mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Enough {
    /// The base alone.
    Base,
    /// One module alone.
    Module,
    /// The modules that were held, alone.
    Held,
}

/// The answer to one of the few examples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ExampleAnswer {
    /// The answer.
    pub answer: String,
    /// Whether it is the example's output.
    pub correct: bool,
}

/// Whether a composition works, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Assessment {
    /// In one word.
    pub verdict: Verdict,
    /// Mean over the examples of the probability of the whole right output.
    pub probability: f64,
    /// That mean where each example's probability is of the weights that the other examples would
    /// have chosen among those that were tried; none where no weights were tried.
    #[cfg_attr(feature = "typescript", ts(optional))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<f64>,
    /// The share of the examples that are answered exactly by what was tuned on the others; none where that was not
    /// tried.
    #[cfg_attr(feature = "typescript", ts(optional))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out_correct: Option<f64>,
    /// The share of new inputs that are answered exactly.
    pub expected: Expected,
    /// Whether `expected` was measured on this base; otherwise it is that of another one.
    pub calibrated: bool,
    /// The probability of the whole right output of each example.
    pub probabilities: Vec<f64>,
    /// The answers to the examples, empty if learning was stopped.
    pub answers: Vec<ExampleAnswer>,
    /// Set where a mix was not needed and was left out.
    #[cfg_attr(feature = "typescript", ts(optional))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enough: Option<Enough>,
    /// Indices of the examples that contradict the others.
    pub contradicting: Vec<u32>,
}

/// The probability of each example's whole output.
fn probabilities(losses: &[ExampleScore]) -> Vec<f64> {
    let probability = |one: &ExampleScore| {
        let probability = (-f64::from(one.loss) * f64::from(one.tokens)).exp();
        if probability.is_finite() { probability } else { 0.0 }
    };
    losses.iter().map(probability).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

impl Assessment {
    /// The assessment of a composition by its losses of examples, on a base that is not known.
    pub fn new(losses: &[ExampleScore]) -> Self {
        let probabilities = probabilities(losses);
        let probability = mean(&probabilities);
        Self {
            verdict: Verdict::of(probability),
            probability,
            left_out: None,
            left_out_correct: None,
            expected: Expected::at(&CALIBRATION, probability),
            calibrated: false,
            contradicting: contradicting(&probabilities),
            probabilities,
            answers: Vec::new(),
            enough: None,
        }
    }

    /// The assessment of a composition that was tuned on the examples. Its verdict is of the expected
    /// share, as the probability of the examples themselves says less.
    pub fn of_tuned(losses: &[ExampleScore]) -> Self {
        let assessment = Self::new(losses);
        let expected = Expected::at(&TUNED_CALIBRATION, assessment.probability);
        Self { verdict: Verdict::of(expected.mean), expected, ..assessment }
    }

    /// The assessment of a tuned composition, by the share of the examples that are answered exactly by what was
    /// tuned on the others too.
    pub fn with_left_out_correct(self, share: f64) -> Self {
        let both = LEFT_OUT_SHARE * share + (1.0 - LEFT_OUT_SHARE) * self.probability;
        let expected = Expected::at(&LEFT_OUT_CALIBRATION, both);
        let verdict = Verdict::of(expected.mean);
        Self { verdict, left_out_correct: Some(share), expected, ..self }
    }

    /// The assessment on a base whose weights have this SHA-256 in hexadecimal.
    pub fn on_base(self, sha256: &str) -> Self {
        Self { calibrated: sha256 == CALIBRATED_BASE, ..self }
    }
}

/// The mean probability of the examples, each by the losses that are lowest on the others.
pub(super) fn left_out(tried: &[&[ExampleScore]]) -> Option<f64> {
    let examples = tried.first()?.len();
    let of = |left_out: usize| {
        let others = |losses: &[ExampleScore]| {
            let others = losses.iter().enumerate().filter(|(index, _)| *index != left_out);
            others.map(|(_, one)| f64::from(one.loss)).sum::<f64>()
        };
        let best = tried.iter().min_by(|a, b| others(a).total_cmp(&others(b)));
        best.map_or(0.0, |losses| probabilities(&losses[left_out..=left_out])[0])
    };
    (examples > 1).then(|| mean(&(0..examples).map(of).collect::<Vec<_>>()))
}

/// Whether a simpler composition does as well as one of this probability.
pub(super) fn is_enough(simple: &[ExampleScore], probability: f64) -> bool {
    let simple = mean(&probabilities(simple));
    simple >= WORKS && simple >= probability - EQUAL
}

impl Verdict {
    /// Of a probability or an expected share.
    fn of(share: f64) -> Self {
        match share {
            share if share >= WORKS => Self::Works,
            share if share >= PARTLY => Self::Partly,
            _ => Self::Unlikely,
        }
    }
}

impl Expected {
    /// The share for a probability, between the rows of a calibration in a straight line.
    fn at(calibration: &[[f64; 4]], probability: f64) -> Self {
        let after = calibration.iter().position(|row| row[0] >= probability);
        let after = after.unwrap_or(calibration.len() - 1).max(1);
        let (from, to) = (calibration[after - 1], calibration[after]);
        let part = ((probability - from[0]) / (to[0] - from[0])).clamp(0.0, 1.0);
        let [mean, low, high] =
            [1, 2, 3].map(|index| from[index] + part * (to[index] - from[index]));
        Self { mean, low, high }
    }
}

/// Examples that are far less probable than the mean of the others, which works; at most a third.
fn contradicting(probabilities: &[f64]) -> Vec<u32> {
    let others = |index: usize| {
        let sum: f64 = probabilities.iter().sum::<f64>() - probabilities[index];
        sum / (probabilities.len() - 1) as f64
    };
    let contradicts = |&index: &usize| {
        probabilities.len() > 2
            && others(index) >= WORKS
            && probabilities[index] < CONTRADICTION * others(index)
    };
    let found: Vec<u32> =
        (0..probabilities.len()).filter(contradicts).map(|index| index as u32).collect();
    if 3 * found.len() <= probabilities.len() { found } else { Vec::new() }
}
