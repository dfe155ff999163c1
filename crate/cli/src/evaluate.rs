//! `loraloom evaluate`: the methods of composition compared on a registry's unseen tasks.
//!
//! `pkg-scripts/train/evaluate.py` does the same in PyTorch, with the same few-shot examples.

mod routing;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use loraloom::formats::Example;
use loraloom::learn::{Assessment, Effort, LearnOptions, Optimizer, TuneOptions};
use loraloom::lora::{Composition, Merge, TunedPart, WeightedModule};
use loraloom::registry::{RegistryTask, TaskSet};
use loraloom::session::{Session, SessionError};
use pollster::block_on;
use serde::Serialize;

use crate::arguments::PrecisionArgument;
use crate::error::{CliError, write};
use crate::library::Library;
use crate::model::ModelFiles;
use crate::output::Output;
use crate::settings::choice;

/// Compare methods of composition on a registry's unseen tasks.
#[derive(Args)]
pub struct Evaluate {
    /// registry.json; models, modules and tasks are read from the files beside it and checked
    /// against their hashes.
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
    /// Folder of the base model (default: the base's files in the registry).
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Base in the registry to evaluate (default: the first).
    #[arg(long, value_name = "ID")]
    base: Option<String>,
    #[command(flatten)]
    precision: PrecisionArgument,
    /// Tasks: all, settings, table, or ids.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "all")]
    tasks: Vec<String>,
    /// Methods to compare (default: all).
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    methods: Vec<Method>,
    /// Budgets of the methods that search, in evaluations (default: each one's own).
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    budgets: Vec<u32>,
    /// Efforts of tuning (default: balanced).
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = choice::<Effort>())]
    efforts: Vec<Effort>,
    /// Draws of the few-shot examples: the first draw is the task's own examples, each further one
    /// takes as many from the test set, which are then not tested.
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: u32,
    /// Number of few-shot examples; all of them are then taken from the test set (default: as many as
    /// the task has).
    #[arg(long, value_name = "N")]
    examples: Option<usize>,
    /// Measure routing instead: one composition for each task of a set is stored, learned by the one method
    /// of --methods (default: scales-tuned), and the inputs of all of them are routed.
    #[arg(long)]
    routing: bool,
    /// Number of test items of each task that are routed.
    #[arg(long, value_name = "N", default_value_t = 60, requires = "routing")]
    items: usize,
    /// Maximum number of tokens of an answer.
    #[arg(long, value_name = "N", default_value_t = 32)]
    max_new_tokens: usize,
    /// File to write the rows to, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A way to answer a task from a few examples.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    /// The base alone.
    ZeroShot,
    /// The base alone, with the examples before every input.
    InContext,
    /// The module with the lowest loss of the examples.
    BestSingle,
    /// All modules with equal weights that add up to 1.
    Uniform,
    /// LoraHub as published.
    Lorahub,
    /// COBYLA over the 20 modules with the lowest losses alone.
    Cobyla,
    /// CMA-ES over the same.
    CmaEs,
    /// Greedy selection over the same.
    Greedy,
    /// A linear trust region over the same.
    RidgeTrustRegion,
    /// The default settings of this program.
    Default,
    /// The same, then tuned on the examples.
    ComposedTuned,
    /// The same, then one scale for each rank tuned.
    ScalesTuned,
}

impl Method {
    /// The settings of a method that searches.
    fn options(self) -> Option<LearnOptions> {
        let published = LearnOptions::as_published();
        let preselected = |optimizer| LearnOptions {
            budget: 80,
            optimizer,
            bound: published.bound,
            regularization: published.regularization,
            ..LearnOptions::default()
        };
        match self {
            Self::Lorahub => Some(published.clone()),
            Self::Cobyla => Some(preselected(Optimizer::Cobyla)),
            Self::CmaEs => Some(preselected(Optimizer::CmaEs)),
            Self::Greedy => Some(preselected(Optimizer::Greedy)),
            Self::RidgeTrustRegion => Some(preselected(Optimizer::RidgeTrustRegion)),
            Self::Default | Self::ComposedTuned | Self::ScalesTuned => {
                Some(LearnOptions::default())
            }
            Self::ZeroShot | Self::InContext | Self::BestSingle | Self::Uniform => None,
        }
    }
}

/// A method on a task: one value for each seed, or the mean over them.
#[derive(Serialize)]
struct Row {
    task: String,
    set: TaskSet,
    method: Method,
    /// Budget of the search, for a method that searches.
    budget: Option<u32>,
    /// Effort of tuning, for a method that tunes.
    effort: Option<Effort>,
    /// Percentages.
    exact_match: Vec<f64>,
    /// Time of learning and of answering the test set.
    seconds: Vec<f64>,
    /// Time of learning.
    learn_seconds: Vec<f64>,
    /// Mean cross-entropy of the few-shot examples.
    loss: Vec<f64>,
    /// What the few-shot examples say about new inputs.
    assessments: Vec<Assessment>,
    /// Assessments before tuning, for a method that tunes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    before_tuning: Vec<Assessment>,
    /// Number of modules that have a weight.
    modules: Vec<usize>,
    /// Mean number of evaluations of the few-shot loss.
    evaluations: f64,
    /// Mean number of tokens of an answered prompt, `</s>` included.
    prompt_tokens: f64,
}

#[derive(Serialize)]
struct Rows {
    rows: Vec<Row>,
}

impl Evaluate {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let library = Library::open(&self.registry)?;
        let base = match (&self.base, &library.registry.bases[..]) {
            (None, [first, ..]) => first,
            (id, _) => library.base(id.as_deref(), "")?,
        };
        let tasks = self.chosen_tasks(&library)?;
        let mut draws = Vec::new();
        for task in &tasks {
            let items = library.read_test(task)?;
            let of_task = (0..self.seeds).map(|seed| Draw::new(task, &items, seed, self.examples));
            draws.push(of_task.collect::<Result<Vec<_>, _>>()?);
        }
        let files = match &self.model {
            Some(folder) => ModelFiles::find(folder)?,
            None => library.model_files(base)?,
        };
        let (mut session, _) = files.open(self.precision.precision, output)?;
        output.progress("Reading the modules");
        let modules = library.add_modules(&mut session, &base.id)?;
        if self.routing {
            let chosen = tasks.iter().zip(&draws).map(|(task, draws)| (*task, &draws[..]));
            let (chosen, background) = (chosen.collect::<Vec<_>>(), library.card_inputs(&base.id));
            return self.run_routing(&mut session, &modules, &chosen, background, output);
        }
        let methods = match &self.methods[..] {
            [] => Method::value_variants(),
            chosen => chosen,
        };

        let mut rows = Vec::new();
        for (index, (task, draws)) in tasks.iter().zip(&draws).enumerate() {
            let mut of_task: Vec<Row> = methods
                .iter()
                .flat_map(|&method| self.budgets_of(method).into_iter().map(move |b| (method, b)))
                .flat_map(|(method, budget)| {
                    let row = move |effort| Row::new(task, method, budget, effort);
                    self.efforts_of(method).into_iter().map(row)
                })
                .collect();
            for draw in draws {
                let mut run = Run::new(&mut session, &modules, draw, &self)?;
                for row in &mut of_task {
                    run.add_to(row)?;
                }
            }
            let scores =
                of_task.iter().map(|row| format!("{} {:.1}", row.label(), mean(&row.exact_match)));
            let scores = scores.collect::<Vec<_>>().join(", ");
            output.progress(format!("{:3}/{} {}: {scores}", index + 1, tasks.len(), task.id));
            rows.extend(of_task);
        }
        let seeds = f64::from(self.seeds);
        for row in &mut rows {
            row.evaluations /= seeds;
            row.prompt_tokens /= seeds;
        }
        let rows = Rows { rows };
        if let Some(path) = &self.out {
            write(path, serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n")?;
        }
        output.result(&rows, || text(&rows.rows))
    }

    /// The budgets that a method is evaluated with, none for one that does not search.
    fn budgets_of(&self, method: Method) -> Vec<Option<u32>> {
        match method.options() {
            None => vec![None],
            Some(options) if self.budgets.is_empty() => vec![Some(options.budget)],
            Some(_) => self.budgets.iter().copied().map(Some).collect(),
        }
    }

    /// The efforts that a method is evaluated with, none for one that does not tune.
    fn efforts_of(&self, method: Method) -> Vec<Option<Effort>> {
        match method {
            Method::ComposedTuned | Method::ScalesTuned if self.efforts.is_empty() => {
                vec![Some(Effort::default())]
            }
            Method::ComposedTuned | Method::ScalesTuned => {
                self.efforts.iter().copied().map(Some).collect()
            }
            _ => vec![None],
        }
    }

    /// The tasks of `--tasks`, in the registry's order.
    fn chosen_tasks<'l>(&self, library: &'l Library) -> Result<Vec<&'l RegistryTask>, CliError> {
        if self.seeds == 0 {
            return Err(CliError::Value {
                option: "--seeds",
                expected: "at least 1",
                found: "0".into(),
            });
        }
        let names = |task: &RegistryTask| ["all".into(), name_of(task.set), task.id.clone()];
        let all = &library.registry.tasks;
        let known: Vec<String> = all.iter().flat_map(names).collect();
        match self.tasks.iter().find(|name| !known.contains(name)) {
            None => Ok(all
                .iter()
                .filter(|task| names(task).iter().any(|name| self.tasks.contains(name)))
                .collect()),
            Some(name) => Err(CliError::Value {
                option: "--tasks",
                expected: "all, settings, table, or ids of the registry's tasks",
                found: name.clone(),
            }),
        }
    }
}

/// A task's few-shot examples by one seed, and the items to score.
struct Draw {
    seed: u32,
    examples: Vec<Example>,
    items: Vec<Example>,
}

impl Draw {
    /// Seed 0 has the task's own examples. Seed `s` takes the `s`-th handful of the test items
    /// instead and does not score those. Handfuls of another size are all taken from the test items.
    fn new(
        task: &RegistryTask,
        items: &[Example],
        seed: u32,
        size: Option<usize>,
    ) -> Result<Self, CliError> {
        let (mut examples, mut items) = (task.examples.clone(), items.to_vec());
        let size = size.unwrap_or(examples.len());
        let handfuls = if size == examples.len() { seed.checked_sub(1) } else { Some(seed) };
        if let Some(handfuls) = handfuls {
            let start = handfuls as usize * size;
            let end = start + size;
            if size == 0 || end >= items.len() {
                return Err(CliError::FewItems {
                    task: task.id.clone(),
                    items: items.len(),
                    examples: size,
                });
            }
            examples = items.drain(start..end).collect();
        }
        Ok(Self { seed, examples, items })
    }
}

/// All methods on one draw; what several of them need is computed once and counted for each.
struct Run<'a> {
    session: &'a mut Session,
    modules: &'a [String],
    draw: &'a Draw,
    max_new_tokens: usize,
    /// The last composition found by the default settings, with its budget.
    composed: Option<(u32, Learned)>,
    /// Id of the module that tuning makes.
    tuned_id: String,
}

impl<'a> Run<'a> {
    fn new(
        session: &'a mut Session,
        modules: &'a [String],
        draw: &'a Draw,
        arguments: &Evaluate,
    ) -> Result<Self, CliError> {
        if modules.is_empty() {
            return Err(CliError::NoModules);
        }
        let max_new_tokens = arguments.max_new_tokens;
        let tuned_id = "tuned".to_owned();
        Ok(Self { session, modules, draw, max_new_tokens, composed: None, tuned_id })
    }

    /// Runs a row's method and adds the result.
    fn add_to(&mut self, row: &mut Row) -> Result<(), CliError> {
        let learned = self.learn(row.method, row.budget, row.effort)?;
        let started = Instant::now();
        let prompts: Vec<String> = (self.draw.items.iter())
            .map(|item| match row.method {
                Method::InContext => in_context(&self.draw.examples, &item.input),
                _ => item.input.clone(),
            })
            .collect();
        let composition = Some(&learned.composition);
        let limit = self.max_new_tokens;
        let answers = block_on(self.session.answers(&prompts, composition, limit, &mut ()))?;
        let seconds = learned.seconds + started.elapsed().as_secs_f64();
        let tokenizer = self.session.tokenizer().ok_or(SessionError::NotLoaded)?;
        let matched = answers.iter().zip(&self.draw.items);
        let matched =
            matched.filter(|(answer, item)| tokenizer.is_match(item, &answer.text)).count();
        let mut tokens = 0;
        for prompt in &prompts {
            tokens += tokenizer.encode(prompt)?.len();
        }
        let items = self.draw.items.len() as f64;
        let score = block_on(self.session.score(&self.draw.examples, composition))?;
        let assessment = learned.assessment.unwrap_or_else(|| Assessment::new(&score.examples));
        row.exact_match.push(100.0 * matched as f64 / items);
        row.seconds.push(seconds);
        row.learn_seconds.push(learned.seconds);
        row.loss.push(score.loss);
        row.assessments.push(assessment);
        row.before_tuning.extend(learned.before_tuning);
        row.modules.push(
            learned.composition.modules.iter().filter(|module| !module.weight.is_zero()).count(),
        );
        row.evaluations += learned.evaluations;
        row.prompt_tokens += tokens as f64 / items;
        Ok(())
    }

    /// The composition of a method.
    fn learn(
        &mut self,
        method: Method,
        budget: Option<u32>,
        effort: Option<Effort>,
    ) -> Result<Learned, CliError> {
        let Some(options) = method.options() else {
            return match method {
                Method::BestSingle => self.best_single(),
                Method::Uniform => {
                    let weight = (1.0 / self.modules.len() as f32).into();
                    let weighted = |id: &String| WeightedModule { id: id.clone(), weight };
                    Ok(Learned::of(self.modules.iter().map(weighted).collect()))
                }
                _ => Ok(Learned::of(Vec::new())),
            };
        };
        let budget = budget.unwrap_or(options.budget);
        let options = LearnOptions { seed: self.draw.seed, budget, ..options };
        let part = match method {
            Method::ComposedTuned => TunedPart::LoraB,
            Method::ScalesTuned => TunedPart::Scales,
            _ => return self.compose(options),
        };
        let composed = match self.composed.take().filter(|(of, _)| *of == budget) {
            Some((_, composed)) => composed,
            None => self.compose(options)?,
        };
        self.composed = Some((budget, composed.clone()));
        self.tune(composed, TuneOptions::of(part, effort.unwrap_or_default()))
    }

    fn compose(&mut self, options: LearnOptions) -> Result<Learned, CliError> {
        let (examples, modules) = (&self.draw.examples, self.modules);
        let result = block_on(self.session.learn(examples, modules, options, &[], &mut ()))?;
        Ok(Learned {
            composition: Composition { modules: result.modules, merge: result.merge },
            seconds: result.seconds,
            evaluations: result.evaluations,
            assessment: result.assessment,
            before_tuning: None,
        })
    }

    /// Tunes a composition; the base alone stays as it is. Steps count as the evaluations that take
    /// their time.
    fn tune(&mut self, composed: Learned, options: TuneOptions) -> Result<Learned, CliError> {
        if composed.composition.modules.iter().all(|module| module.weight.is_zero()) {
            return Ok(Learned { before_tuning: composed.assessment.clone(), ..composed });
        }
        let examples = &self.draw.examples;
        let composition = &composed.composition;
        let tuned =
            block_on(self.session.tune(examples, composition, options, &self.tuned_id, &mut ()))?;
        Ok(Learned {
            composition: tuned.composition,
            evaluations: composed.evaluations * (1.0 + tuned.seconds / composed.seconds),
            seconds: composed.seconds + tuned.seconds,
            assessment: Some(tuned.assessment),
            before_tuning: composed.assessment,
        })
    }

    /// The module whose loss alone is the lowest.
    fn best_single(&mut self) -> Result<Learned, CliError> {
        let started = Instant::now();
        let mut best: Option<(f64, Vec<WeightedModule>)> = None;
        for id in self.modules {
            let modules = vec![WeightedModule { id: id.clone(), weight: 1.0.into() }];
            let composition = Composition { modules: modules.clone(), merge: Merge::Delta };
            let score = self.session.score(&self.draw.examples, Some(&composition));
            let loss = block_on(score)?.loss;
            if best.as_ref().is_none_or(|(lowest, _)| loss < *lowest) {
                best = Some((loss, modules));
            }
        }
        Ok(Learned {
            seconds: started.elapsed().as_secs_f64(),
            evaluations: self.modules.len() as f64,
            ..Learned::of(best.map(|(_, modules)| modules).unwrap_or_default())
        })
    }
}

/// A method's composition, and what finding it took.
#[derive(Clone)]
struct Learned {
    composition: Composition,
    seconds: f64,
    evaluations: f64,
    assessment: Option<Assessment>,
    before_tuning: Option<Assessment>,
}

impl Learned {
    /// Modules with weights that took no evaluation.
    fn of(modules: Vec<WeightedModule>) -> Self {
        let composition = Composition { modules, merge: Merge::Delta };
        Self { composition, seconds: 0.0, evaluations: 0.0, assessment: None, before_tuning: None }
    }
}

impl Row {
    fn new(
        task: &RegistryTask,
        method: Method,
        budget: Option<u32>,
        effort: Option<Effort>,
    ) -> Self {
        Self {
            task: task.id.clone(),
            set: task.set,
            method,
            budget,
            effort,
            exact_match: Vec::new(),
            seconds: Vec::new(),
            learn_seconds: Vec::new(),
            loss: Vec::new(),
            assessments: Vec::new(),
            before_tuning: Vec::new(),
            modules: Vec::new(),
            evaluations: 0.0,
            prompt_tokens: 0.0,
        }
    }

    /// The method, with its budget if it has one.
    fn label(&self) -> String {
        let budget = self.budget.map_or(String::new(), |budget| format!("@{budget}"));
        let effort = self.effort.map_or(String::new(), |effort| format!(" {}", name_of(effort)));
        name_of(self.method) + &budget + &effort
    }
}

/// The name that a value has in JSON.
fn name_of(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// The in-context prompt, which the demo's base was taught: `Q: input A: output` for each example,
/// then the question.
fn in_context(examples: &[Example], input: &str) -> String {
    let shots = examples.iter().map(|e| format!("Q: {} A: {} ", e.input, e.output));
    shots.collect::<String>() + &format!("Q: {input} A:")
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean over tasks of each method, for each set.
fn text(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    for set in [TaskSet::Settings, TaskSet::Table] {
        let mut labels: Vec<String> = Vec::new();
        for row in rows.iter().filter(|row| row.set == set) {
            if !labels.contains(&row.label()) {
                labels.push(row.label());
            }
        }
        for label in labels {
            let of = rows.iter().filter(|row| row.set == set && row.label() == label);
            let means: Vec<f64> = of.map(|row| mean(&row.exact_match)).collect();
            let (set, tasks) = (name_of(set), means.len());
            lines.push(format!("{set:9} {label:28} {:5.1} mean of {tasks} tasks", mean(&means)));
        }
    }
    lines.join("\n")
}
