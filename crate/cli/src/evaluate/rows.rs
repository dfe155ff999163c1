//! The rows of a comparison: each method on each task, over the draws.

use loraloom::learn::{Assessment, Effort};
use loraloom::registry::TaskSet;
use serde::Serialize;

use super::method::Method;
use super::runs::Run;

/// A method on a task: one value for each seed, or the mean over them.
#[derive(Serialize)]
pub struct Row {
    pub task: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<TaskSet>,
    pub method: Method,
    /// Budget of the search, for a method that searches.
    pub budget: Option<u32>,
    /// Effort of tuning, for a method that tunes.
    pub effort: Option<Effort>,
    /// Percentages.
    pub exact_match: Vec<f64>,
    /// Time of learning and of answering the test set.
    pub seconds: Vec<f64>,
    /// Time of learning.
    pub learn_seconds: Vec<f64>,
    /// Mean cross-entropy of the few-shot examples.
    pub loss: Vec<f64>,
    /// What the few-shot examples say about new inputs.
    pub assessments: Vec<Assessment>,
    /// Assessments before tuning, for a method that tunes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before_tuning: Vec<Assessment>,
    /// Number of modules that have a weight.
    pub modules: Vec<usize>,
    /// Mean number of evaluations of the few-shot loss.
    pub evaluations: f64,
    /// Mean number of tokens of an answered prompt, `</s>` included.
    pub prompt_tokens: f64,
}

impl Row {
    /// The row of runs that differ only by their seeds; none without any.
    pub fn of(runs: &[Run], set: Option<TaskSet>) -> Option<Self> {
        let key = &runs.first()?.key;
        let each = |value: fn(&Run) -> f64| runs.iter().map(value).collect::<Vec<f64>>();
        let weighted =
            |run: &Run| run.weights.iter().filter(|module| !module.weight.is_zero()).count();
        Some(Self {
            task: key.task.clone(),
            set,
            method: key.method,
            budget: key.budget,
            effort: key.effort,
            exact_match: each(|run| run.exact_match),
            seconds: each(|run| run.seconds),
            learn_seconds: each(|run| run.learn_seconds),
            loss: each(|run| run.loss),
            assessments: runs.iter().map(|run| run.assessment.clone()).collect(),
            before_tuning: runs.iter().filter_map(|run| run.before_tuning.clone()).collect(),
            modules: runs.iter().map(weighted).collect(),
            evaluations: mean(&each(|run| run.evaluations)),
            prompt_tokens: mean(&each(|run| run.prompt_tokens)),
        })
    }

    /// The method, with its budget if it has one.
    pub fn label(&self) -> String {
        let budget = self.budget.map_or(String::new(), |budget| format!("@{budget}"));
        let effort = self.effort.map_or(String::new(), |effort| format!(" {}", name_of(effort)));
        name_of(self.method) + &budget + &effort
    }
}

/// The name that a value has in JSON.
pub fn name_of(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean over tasks of each method, for each set.
pub fn text(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    for set in [TaskSet::Settings, TaskSet::Table] {
        let of_set = |row: &&Row| row.set == Some(set);
        let mut labels: Vec<String> = Vec::new();
        for row in rows.iter().filter(of_set) {
            if !labels.contains(&row.label()) {
                labels.push(row.label());
            }
        }
        for label in labels {
            let of = rows.iter().filter(of_set).filter(|row| row.label() == label);
            let means: Vec<f64> = of.map(|row| mean(&row.exact_match)).collect();
            let (set, tasks) = (name_of(set), means.len());
            lines.push(format!("{set:9} {label:28} {:5.1} mean of {tasks} tasks", mean(&means)));
        }
    }
    lines.join("\n")
}
