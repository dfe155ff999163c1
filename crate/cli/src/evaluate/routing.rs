//! Routing measured on mixtures: the inputs of all tasks of a set, with one stored composition for each
//! task, and with every other task stored for what is said to belong to none.

use std::collections::BTreeMap;

use loraloom::learn::{choose_route, nearest_routes};
use loraloom::registry::TaskSet;
use loraloom::session::{RouteOptions, Routed, Session, SessionError, StoredComposition};
use pollster::block_on;
use serde::Serialize;

use super::Evaluate;
use super::method::{Candidate, Method, Runner};
use super::rows::{mean, name_of};
use super::tasks::{Draw, Task};
use crate::error::{CliError, write};
use crate::output::Output;

/// Test items of each task that are routed.
const ITEMS: usize = 60;

/// A way to choose the composition that answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Choice {
    /// The composition of the input's own task.
    KnownTask,
    /// The composition of the nearest examples.
    Nearest,
    /// The highest score of the two nearest compositions.
    TwoNearest,
    /// The same, or the base below the threshold.
    TwoNearestOrNone,
    /// The highest score of all compositions.
    All,
    /// The same, or the base below the threshold.
    AllOrNone,
}

const CHOICES: [Choice; 6] = [
    Choice::KnownTask,
    Choice::Nearest,
    Choice::TwoNearest,
    Choice::TwoNearestOrNone,
    Choice::All,
    Choice::AllOrNone,
];

impl Choice {
    /// The composition, none for the base.
    fn of(self, routed: &Routed, task: usize, threshold: f64) -> Option<usize> {
        let Routed { candidates, .. } = routed;
        let similarities: Vec<f64> = candidates.iter().map(|one| one.similarity).collect();
        let (limit, threshold) = match self {
            Self::KnownTask => return Some(task),
            Self::Nearest => return nearest_routes(&similarities, 1).first().copied(),
            Self::TwoNearest => (2, f64::NEG_INFINITY),
            Self::TwoNearestOrNone => (2, threshold),
            Self::All => (candidates.len(), f64::NEG_INFINITY),
            Self::AllOrNone => (candidates.len(), threshold),
        };
        let near = nearest_routes(&similarities, limit);
        let score = |(index, score)| if near.contains(&index) { score } else { None };
        let scores = candidates.iter().map(|one| one.score).enumerate().map(score);
        choose_route(&scores.collect::<Vec<_>>(), threshold)
    }

    /// Answers that an input takes, without the base's.
    fn generations(self, stored: usize) -> usize {
        match self {
            Self::KnownTask | Self::Nearest => 1,
            Self::TwoNearest | Self::TwoNearestOrNone => stored.min(2),
            Self::All | Self::AllOrNone => stored,
        }
    }
}

/// A choice on a mixture, in percent of the inputs of each task; the mean over seeds.
#[derive(Serialize)]
struct Row {
    choice: Choice,
    /// Answered exactly, for each task.
    exact_match: Vec<f64>,
    /// Answered by the composition of the input's own task, for each task.
    right_task: Vec<f64>,
    /// Answers that an input takes, the base's included.
    generations: f64,
}

/// A mixture of a set's tasks.
#[derive(Serialize)]
struct Mixture {
    set: Option<TaskSet>,
    tasks: Vec<String>,
    rows: Vec<Row>,
    /// Percent of the inputs of tasks without a stored composition that go to the base.
    foreign_to_base: f64,
    /// Percent of the inputs of tasks with one that go to the base.
    false_alarms: f64,
}

#[derive(Serialize)]
struct Mixtures {
    method: Method,
    mixtures: Vec<Mixture>,
}

/// Counts of inputs, and of those of them that something is true of.
#[derive(Clone, Copy, Default)]
struct Share {
    of: f64,
    count: f64,
}

impl Share {
    fn add(&mut self, is: bool) {
        self.of += 1.0;
        self.count += f64::from(u8::from(is));
    }

    fn percent(self) -> f64 {
        100.0 * self.count / self.of.max(1.0)
    }
}

impl Evaluate {
    /// Measures routing on the mixture of each set of the chosen tasks.
    pub(super) fn run_routing(
        &self,
        session: &mut Session,
        modules: &[Candidate],
        chosen: &[Task],
        background: Vec<String>,
        output: &Output,
    ) -> Result<(), CliError> {
        let method = self.methods.first().copied().unwrap_or(Method::ScalesTuned);
        if method.options().is_none() || self.methods.len() > 1 {
            return Err(CliError::Value {
                option: "--methods",
                expected: "one method that learns, with --routing",
                found: self.methods.iter().map(name_of).collect::<Vec<_>>().join(", "),
            });
        }
        let max_new_tokens = self.max_new_tokens() as u32;
        let defaults = RouteOptions::default();
        let options = RouteOptions { background, max_new_tokens, ..defaults };
        let mut by_set: BTreeMap<String, Vec<&Task>> = BTreeMap::new();
        for task in chosen {
            by_set.entry(name_of(task.set)).or_default().push(task);
        }
        let items = self.items.unwrap_or(ITEMS);
        let mut mixtures = Vec::new();
        for tasks in by_set.values() {
            let mut counts = Counts::new(tasks.len());
            for seed in 0..self.seeds as usize {
                let draws: Vec<&Draw> = tasks.iter().map(|task| &task.draws[seed]).collect();
                let mut stored = Vec::new();
                for (task, draw) in tasks.iter().zip(&draws) {
                    let limit = self.max_new_tokens();
                    let mut run = Runner::new(session, modules, draw, limit);
                    run.tuned_id = format!("tuned-{}", task.id);
                    let budget = self.budgets.first().copied();
                    let learned = run.learn(method, budget, self.efforts.first().copied())?;
                    let examples = draw.inputs.examples.iter();
                    let inputs = examples.map(|one| one.input.clone()).collect();
                    stored.push(StoredComposition { composition: learned.composition, inputs });
                    output.progress(format!("{} is stored", task.id));
                }
                counts.add(session, &draws, &stored, &options, items)?;
            }
            let mixture = counts.mixture(tasks);
            output.progress(mixture.text());
            mixtures.push(mixture);
        }
        let mixtures = Mixtures { method, mixtures };
        if let Some(path) = &self.out {
            write(path, serde_json::to_string_pretty(&mixtures).unwrap_or_default() + "\n")?;
        }
        output.result(&mixtures, || {
            mixtures.mixtures.iter().map(Mixture::text).collect::<Vec<_>>().join("\n")
        })
    }
}

struct Counts {
    /// For each choice, for each task: exact, and the right task.
    tasks: Vec<Vec<[Share; 2]>>,
    to_base: Vec<Share>,
    foreign: Share,
    own: Share,
}

impl Counts {
    fn new(tasks: usize) -> Self {
        Self {
            tasks: vec![vec![[Share::default(); 2]; tasks]; CHOICES.len()],
            to_base: vec![Share::default(); CHOICES.len()],
            foreign: Share::default(),
            own: Share::default(),
        }
    }

    /// Routes the first `items` inputs of every draw.
    fn add(
        &mut self,
        session: &mut Session,
        draws: &[&Draw],
        stored: &[StoredComposition],
        options: &RouteOptions,
        items: usize,
    ) -> Result<(), CliError> {
        let all = draws.iter().enumerate().flat_map(|(task, draw)| {
            draw.inputs.items.iter().take(items).map(move |item| (task, item))
        });
        let all: Vec<_> = all.collect();
        let inputs: Vec<String> = all.iter().map(|(_, item)| item.input.clone()).collect();
        // Every composition answers, so that the choices are compared on the same answers.
        let every = RouteOptions { nearest: stored.len() as u32, ..options.clone() };
        let routed = block_on(session.route_all(&inputs, stored, &every, &mut ()))?;
        let of_base =
            block_on(session.answers(&inputs, None, options.max_new_tokens as usize, &mut ()))?;
        let tokenizer = session.tokenizer().ok_or(SessionError::NotLoaded)?;
        for (((task, item), routed), of_base) in all.iter().zip(&routed).zip(&of_base) {
            for (index, choice) in CHOICES.into_iter().enumerate() {
                let chosen = choice.of(routed, *task, options.threshold);
                let own = chosen.and_then(|index| routed.candidates[index].answer.as_deref());
                let answer = own.unwrap_or(&of_base.text);
                let [exact, right] = &mut self.tasks[index][*task];
                exact.add(tokenizer.is_match(item, answer));
                right.add(chosen == Some(*task));
                self.to_base[index].add(chosen.is_none());
            }
        }
        // Each half of the tasks is stored once, the other half is foreign.
        for half in 0..2 {
            let every_other = stored.iter().skip(half).step_by(2).cloned().collect::<Vec<_>>();
            if every_other.is_empty() {
                continue;
            }
            let routed = block_on(session.route_all(&inputs, &every_other, options, &mut ()))?;
            for ((task, _), routed) in all.iter().zip(routed) {
                let share = if task % 2 == half { &mut self.own } else { &mut self.foreign };
                share.add(routed.chosen.is_none());
            }
        }
        Ok(())
    }

    fn mixture(&self, tasks: &[&Task]) -> Mixture {
        let row = |(index, choice): (usize, Choice)| Row {
            choice,
            exact_match: self.tasks[index].iter().map(|[exact, _]| exact.percent()).collect(),
            right_task: self.tasks[index].iter().map(|[_, right]| right.percent()).collect(),
            generations: choice.generations(tasks.len()) as f64
                + self.to_base[index].percent() / 100.0,
        };
        Mixture {
            set: tasks[0].set,
            tasks: tasks.iter().map(|task| task.id.clone()).collect(),
            rows: CHOICES.into_iter().enumerate().map(row).collect(),
            foreign_to_base: self.foreign.percent(),
            false_alarms: self.own.percent(),
        }
    }
}

/// The standard error of a mean.
fn standard_error(values: &[f64]) -> f64 {
    let (center, count) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - center).powi(2)).sum();
    (squares / (count - 1.0).max(1.0) / count).sqrt()
}

impl Mixture {
    fn text(&self) -> String {
        let set = name_of(self.set);
        let mut lines: Vec<String> = (self.rows.iter())
            .map(|row| {
                format!(
                    "{set:9} {:20} {:5.1} ± {:4.1} exact, {:5.1} right task, {:5.2} answers",
                    name_of(row.choice),
                    mean(&row.exact_match),
                    standard_error(&row.exact_match),
                    mean(&row.right_task),
                    row.generations,
                )
            })
            .collect();
        lines.push(format!(
            "{set:9} half of the tasks stored: {:.1} % of the others' inputs go to the base, and {:.1} % \
             of their own",
            self.foreign_to_base, self.false_alarms
        ));
        lines.join("\n")
    }
}
