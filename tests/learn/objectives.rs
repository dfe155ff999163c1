//! The analytic objectives of make_reference.py, operation for operation, and a driver.

use loraloom::learn::Search;
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Recorded {
    pub weights: Vec<f64>,
    pub loss: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Parameters {
    Bilinear { a: Vec<Vec<f64>>, b: Vec<Vec<f64>>, y: Vec<f64> },
    Quadratic { target: Vec<f64>, scale: Vec<f64>, frequency: Option<Vec<f64>> },
}

#[derive(Deserialize)]
pub struct Case {
    pub objective: String,
    pub dimensions: usize,
    pub budget: usize,
    pub parameters: Parameters,
    pub evaluations: Vec<Recorded>,
}

#[derive(Deserialize)]
pub struct Searches {
    pub bound: f64,
    pub cases: Vec<Case>,
}

pub fn searches() -> Searches {
    serde_json::from_str(include_str!("searches.json")).expect("the fixture is valid")
}

fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |total, value| total + value)
}

impl Parameters {
    pub fn loss(&self, w: &[f64]) -> f64 {
        match self {
            Self::Bilinear { a, b, y } => {
                let project = |row: &Vec<f64>| sum(w.iter().zip(row).map(|(x, p)| x * p));
                let residuals =
                    a.iter().zip(b).zip(y).map(|((a, b), y)| y - project(a) * project(b));
                let size = sum(w.iter().map(|x| x.abs()));
                sum(residuals.map(|r| r * r)) / y.len() as f64 + 0.05 * (size / w.len() as f64)
            }
            Self::Quadratic { target, scale, frequency } => {
                let terms = w.iter().zip(target).zip(scale);
                let smooth = 1.0 + sum(terms.map(|((x, t), s)| s * (x - t) * (x - t)));
                match frequency {
                    Some(frequency) => {
                        let phase = sum(w.iter().zip(frequency).map(|(x, f)| x * f));
                        smooth + 0.2 * (phase - phase.floor() - 0.5)
                    }
                    None => smooth,
                }
            }
        }
    }
}

/// Every point that a search evaluates within a budget, and its loss.
pub fn minimize(
    search: &mut dyn Search,
    budget: usize,
    loss: impl Fn(&[f64]) -> f64,
) -> Vec<Recorded> {
    let mut evaluations = Vec::new();
    while evaluations.len() < budget {
        let batch = search.ask();
        if batch.is_empty() {
            break;
        }
        let losses: Vec<f64> = batch.iter().map(|weights| loss(weights)).collect();
        search.tell(&losses);
        let recorded = batch.into_iter().zip(losses);
        evaluations.extend(recorded.map(|(weights, loss)| Recorded { weights, loss }));
    }
    evaluations.truncate(budget);
    evaluations
}

pub fn lowest(evaluations: &[Recorded]) -> f64 {
    evaluations.iter().map(|e| e.loss).fold(f64::INFINITY, f64::min)
}
