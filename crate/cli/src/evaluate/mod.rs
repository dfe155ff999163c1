//! `loraloom evaluate`: the methods of composition compared on a registry's unseen tasks, or on those of
//! a published experiment.
//!
//! | file | owns |
//! |---|---|
//! | `mod` | the options, what is evaluated on what, and in which order |
//! | `tasks` | tasks with their draws, and those of a registry |
//! | `method` | the methods, and what each finds and answers |
//! | `runs` | one method on one draw, and the file that such runs are kept in |
//! | `rows`, `table` | the results over all draws |
//! | `routing` | inputs routed among stored compositions |
//! | `bbh`, `python` | LoraHub's experiment on BIG-Bench Hard, and the random numbers of its code |
//! | `plan` | bytes and time |
//!
//! `pkg-scripts/train/evaluate.py` does the first in PyTorch, with the same few-shot examples.

mod bbh;
mod method;
mod plan;
mod python;
mod routing;
mod rows;
mod runs;
mod table;
mod tasks;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use loraloom::formats::sha256_hex;
use loraloom::learn::{Choices, Effort};
use loraloom::registry::{Candidate as Retrieved, RegistryBase, RegistryFile, RegistryModule};
use loraloom::session::Session;
use serde::Serialize;

use crate::arguments::PrecisionArgument;
use crate::error::{CliError, write};
use crate::library::Library;
use crate::model::ModelFiles;
use crate::output::{Output, duration};
use crate::settings::choice;
use bbh::Data;
use method::{Candidate, Method, Runner};
use plan::{Plan, Speed, Work};
use rows::{Row, mean, name_of};
use runs::{Run, RunKey, Runs};
use table::Table;
use tasks::{Protocol, Task, registry_tasks};

/// New tokens of an answer to a registry's task.
const MAX_NEW_TOKENS: usize = 32;

/// Compare methods of composition on a registry's unseen tasks, or on those of a published experiment.
#[derive(Args)]
pub struct Evaluate {
    /// registry.json; models, modules and tasks are read from the files beside it and checked
    /// against their hashes. With --suite, the base and the modules in place of the published ones.
    #[arg(long, value_name = "FILE", required_unless_present = "suite")]
    registry: Option<PathBuf>,
    /// Published experiment: its own tasks, examples, draws, prompts and comparison of answers. Its base
    /// and modules are fetched from the hub.
    #[arg(long, value_name = "NAME", group = "other")]
    suite: Option<Suite>,
    /// Measure routing instead: one composition for each task of a set is stored, learned by the one method
    /// of --methods (default: scales-tuned), and the inputs of all of them are routed.
    #[arg(long, group = "other")]
    routing: bool,
    /// Tasks of the experiment: a clone of BIG-Bench Hard or its address, or the data_bbh folder of
    /// LoraHub's release (default: BIG-Bench Hard on GitHub).
    #[arg(long, value_name = "DIR|URL", requires = "suite")]
    data: Option<String>,
    /// Say what the experiment would fetch and about how long it would take, and stop.
    #[arg(long, requires = "suite")]
    plan: bool,
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
    /// Methods to compare (default: all, or those of the experiment).
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    methods: Vec<Method>,
    /// Budgets of the methods that search, in evaluations (default: each one's own).
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    budgets: Vec<u32>,
    /// Efforts of tuning (default: balanced).
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = choice::<Effort>())]
    efforts: Vec<Effort>,
    /// Draws of the few-shot examples: the first draw is the task's own examples, each further one
    /// takes as many from the test set, which are then not tested. With --suite, draws of the modules.
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: u32,
    /// Number of few-shot examples; all of them are then taken from the test set (default: as many as
    /// the task has, or five).
    #[arg(long, value_name = "N")]
    examples: Option<usize>,
    /// Maximum number of test items of each task, with --suite (default: all) or --routing (default: 60).
    #[arg(long, value_name = "N", requires = "other")]
    items: Option<usize>,
    /// Maximum number of tokens of an answer (default: 32, or 256 as published).
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    /// File that every run is added to as soon as it is made; runs that it has are not made again, so
    /// that a comparison which was stopped continues.
    #[arg(long, value_name = "FILE.jsonl")]
    runs: Option<PathBuf>,
    /// File to write the rows to, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A published experiment.
#[derive(Clone, Copy, ValueEnum)]
enum Suite {
    /// LoraHub's: BIG-Bench Hard on Flan-T5-large with 196 modules.
    Bbh,
}

/// A method as it is evaluated.
#[derive(Clone, Copy)]
struct Setup {
    method: Method,
    budget: Option<u32>,
    effort: Option<Effort>,
}

impl Setup {
    fn key(self, task: &str, seed: u32) -> RunKey {
        let Self { method, budget, effort } = self;
        RunKey { task: task.into(), method, budget, effort, seed }
    }

    /// How many of so many draws it is evaluated on.
    fn draws(self, suite: Option<Suite>, draws: usize) -> usize {
        match suite {
            Some(_) if !self.method.of_drawn_modules() => draws.min(1),
            _ => draws,
        }
    }
}

#[derive(Serialize)]
struct Rows {
    rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Table>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Plan>,
}

impl Evaluate {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        if self.seeds == 0 {
            let found = "0".into();
            return Err(CliError::Value { option: "--seeds", expected: "at least 1", found });
        }
        let library = match &self.registry {
            Some(path) => Library::open(path)?,
            None => Library::lorahub()?,
        };
        let base = match (&self.base, &library.registry.bases[..]) {
            (None, [first, ..]) => first,
            (id, _) => library.base(id.as_deref(), "")?,
        };
        let modules: Vec<&RegistryModule> =
            library.registry.modules.iter().filter(|module| module.base == base.id).collect();
        let ids: Vec<String> = modules.iter().map(|module| module.id.clone()).collect();
        let mut runs = Runs::open(self.runs.as_deref())?;
        let setups = self.setups();

        let plan = match self.suite {
            None => None,
            Some(Suite::Bbh) => {
                let data = Data::find(self.data.as_deref())?;
                let chosen = self.suite_tasks(&data.ids())?;
                let plan = self.plan(&library, base, &modules, &data, &chosen, &runs)?;
                if self.plan {
                    return output.result(&plan, || plan.text());
                }
                output.progress(plan.text());
                Some((plan, data, chosen))
            }
        };
        let tasks = match &plan {
            None => registry_tasks(&library, &self.tasks, self.seeds, self.examples)?,
            Some((_, data, chosen)) => {
                let drawn = bbh::drawn_modules(&ids, self.seeds);
                let examples = self.examples.unwrap_or(bbh::EXAMPLES);
                let task = |id: &String| data.task(id, examples, self.items, &drawn);
                chosen.iter().map(task).collect::<Result<_, _>>()?
            }
        };

        let candidates: Vec<Candidate> = modules.iter().map(|module| candidate(module)).collect();
        if self.routing {
            let mut session = self.load(&library, base, &tasks, output)?;
            let background = library.card_inputs(&base.id);
            return self.run_routing(&mut session, &candidates, &tasks, background, output);
        }
        let settings = self.settings(base, &modules);
        let mut session: Option<Session> = None;
        let mut progress = Progress::new(self.waiting(&tasks, &runs));
        let mut rows = Vec::new();
        for (place, task) in tasks.iter().enumerate() {
            let mut of_task: Vec<Vec<Run>> = setups.iter().map(|_| Vec::new()).collect();
            for (number, draw) in task.draws.iter().enumerate() {
                let settings = draw.settings(&settings);
                let mut pending = Vec::new();
                for (setup, made) in setups.iter().zip(&mut of_task) {
                    if number < setup.draws(self.suite, task.draws.len()) {
                        let key = setup.key(&task.id, draw.seed);
                        match runs.find(&key, &settings)? {
                            Some(run) => made.push(run.clone()),
                            None => pending.push((key, made)),
                        }
                    }
                }
                if pending.is_empty() {
                    continue;
                }
                let session = match &mut session {
                    Some(session) => session,
                    none => none.insert(self.load(&library, base, &tasks, output)?),
                };
                let mut runner = Runner::new(session, &candidates, draw, self.max_new_tokens());
                for (key, made) in pending {
                    let run = runs.add(&runner.run(key, settings.clone())?)?;
                    made.push(run.clone());
                    if self.runs.is_some() {
                        output.progress(progress.line(run));
                    }
                }
            }
            let of_task: Vec<Row> =
                of_task.iter().filter_map(|runs| Row::of(runs, task.set)).collect();
            let scores =
                of_task.iter().map(|row| format!("{} {:.1}", row.label(), mean(&row.exact_match)));
            let scores = scores.collect::<Vec<_>>().join(", ");
            output.progress(format!("{:3}/{} {}: {scores}", place + 1, tasks.len(), task.id));
            rows.extend(of_task);
        }
        let table = self.suite.map(|_| Table::new(&rows));
        let rows = Rows { rows, table, plan: plan.map(|(plan, ..)| plan) };
        if let Some(path) = &self.out {
            write(path, serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n")?;
        }
        output.result(&rows, || match &rows.table {
            Some(table) => table.markdown(),
            None => rows::text(&rows.rows),
        })
    }

    /// The methods, each with its budgets and efforts.
    fn setups(&self) -> Vec<Setup> {
        let methods = match (&self.methods[..], self.suite) {
            ([], None) => Method::value_variants(),
            ([], Some(Suite::Bbh)) => &Method::PUBLISHED,
            (chosen, _) => chosen,
        };
        let mut setups = Vec::new();
        for &method in methods {
            for budget in self.budgets_of(method) {
                let efforts = self.efforts_of(method).into_iter();
                setups.extend(efforts.map(|effort| Setup { method, budget, effort }));
            }
        }
        setups
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
        match method.tunes() {
            false => vec![None],
            true if self.efforts.is_empty() => vec![Some(Effort::default())],
            true => self.efforts.iter().copied().map(Some).collect(),
        }
    }

    fn max_new_tokens(&self) -> usize {
        let default = self.suite.map_or(MAX_NEW_TOKENS, |Suite::Bbh| bbh::MAX_NEW_TOKENS);
        self.max_new_tokens.unwrap_or(default)
    }

    /// The tasks of `--tasks` among those of an experiment, in its order.
    fn suite_tasks(&self, known: &[String]) -> Result<Vec<String>, CliError> {
        let all = self.tasks.iter().any(|name| name == "all");
        match self.tasks.iter().find(|&name| name != "all" && !known.contains(name)) {
            Some(name) => Err(bbh::unknown(name)),
            None => Ok(known.iter().filter(|id| all || self.tasks.contains(id)).cloned().collect()),
        }
    }

    /// Number of runs to make.
    fn waiting(&self, tasks: &[Task], runs: &Runs) -> usize {
        let of_task = |task: &Task| {
            let keys = self.setups().into_iter().flat_map(|setup| {
                let draws = task.draws.iter().take(setup.draws(self.suite, task.draws.len()));
                draws.map(move |draw| setup.key(&task.id, draw.seed))
            });
            keys.filter(|key| !runs.has(key)).count()
        };
        tasks.iter().map(of_task).sum()
    }

    /// The cost of an experiment. Nothing is fetched.
    fn plan(
        &self,
        library: &Library,
        base: &RegistryBase,
        modules: &[&RegistryModule],
        data: &Data,
        tasks: &[String],
        runs: &Runs,
    ) -> Result<Plan, CliError> {
        let examples = self.examples.unwrap_or(bbh::EXAMPLES);
        let sizes = data.sizes(tasks, examples, self.items)?;
        let (mut work, mut waiting, mut made) = (Work::default(), 0, 0);
        for size in &sizes {
            for setup in self.setups() {
                for seed in (1..=self.seeds).take(setup.draws(self.suite, self.seeds as usize)) {
                    let key = setup.key(&size.id, seed);
                    if runs.has(&key) {
                        made += 1;
                    } else {
                        work.add(Work::of(&key, size, examples, modules.len()));
                        waiting += 1;
                    }
                }
            }
        }
        let composes = self.setups().iter().any(|setup| setup.method.composes());
        let files = |file: &RegistryFile| {
            let bytes = if file.bytes > 0 { file.bytes } else { file.about_bytes.unwrap_or(0) };
            let fetched = if library.is_here(file)? { 0 } else { bytes };
            Ok::<_, CliError>((bytes, fetched))
        };
        let (base_bytes, mut fetched_bytes) = match self.model {
            Some(_) => (0, 0),
            None => files(&base.files.weights)?,
        };
        let mut module_bytes = 0;
        for module in modules.iter().filter(|_| composes) {
            let (bytes, fetched) = files(&module.files.weights)?;
            module_bytes += bytes;
            fetched_bytes += fetched;
        }
        let data_bytes = data.fetched_bytes(tasks);
        let speed = Speed::measure(self.precision.precision)?;
        Ok(Plan {
            tasks: sizes.len(),
            items: sizes.iter().map(|size| size.items).sum(),
            runs: waiting,
            made,
            base_bytes,
            modules: if composes { modules.len() } else { 0 },
            module_bytes,
            data_bytes,
            fetched_bytes: fetched_bytes + data_bytes,
            encoded_tokens: work.encoded,
            decoded_tokens: work.decoded,
            seconds: speed.seconds(work, base.parameters),
        })
    }

    /// Loads the base and the modules that the methods have.
    fn load(
        &self,
        library: &Library,
        base: &RegistryBase,
        tasks: &[Task],
        output: &Output,
    ) -> Result<Session, CliError> {
        let files = match &self.model {
            Some(folder) => ModelFiles::find(folder)?,
            None => library.model_files(base)?,
        };
        let (mut session, _) = files.open(self.precision.precision, output)?;
        let methods: Vec<Method> = self.setups().iter().map(|setup| setup.method).collect();
        if methods.iter().any(|method| method.composes()) {
            output.progress("Reading the modules");
            let whole = self.suite.is_none()
                || methods.iter().any(|method| method.composes() && !method.of_drawn_modules());
            let drawn: BTreeSet<&String> = tasks
                .iter()
                .flat_map(|task| &task.draws)
                .flat_map(|draw| match &draw.protocol {
                    Protocol::Registry => &[][..],
                    Protocol::Published { drawn } => drawn,
                })
                .collect();
            library.add_chosen(&mut session, &base.id, |id| whole || drawn.contains(id))?;
        }
        Ok(session)
    }

    /// What every result depends on beside the draw.
    fn settings(&self, base: &RegistryBase, modules: &[&RegistryModule]) -> String {
        let modules: Vec<_> = modules.iter().map(|module| (&module.id, &module.files)).collect();
        let precision = self.precision.precision.name();
        let settings = (&base.id, &base.files, modules, precision, self.max_new_tokens());
        sha256_hex(&serde_json::to_vec(&settings).unwrap_or_default())
    }
}

/// A module with the text that retrieval compares.
fn candidate(module: &RegistryModule) -> Candidate {
    let text = Retrieved { module: module.clone(), words: Vec::new() }.text();
    Candidate { id: module.id.clone(), text }
}

/// How far a comparison is.
struct Progress {
    started: Instant,
    made: usize,
    waiting: usize,
}

impl Progress {
    fn new(waiting: usize) -> Self {
        Self { started: Instant::now(), made: 0, waiting }
    }

    /// A line on a run that was made.
    fn line(&mut self, run: &Run) -> String {
        self.made += 1;
        let Self { started, made, waiting } = *self;
        let each = started.elapsed().as_secs_f64() / made as f64;
        let left = duration(each * waiting.saturating_sub(made) as f64);
        let (RunKey { task, method, seed, .. }, method_name) = (&run.key, name_of(run.key.method));
        let draw = if method.of_drawn_modules() { format!(" {seed}") } else { String::new() };
        let (exact, seconds) = (run.exact_match, duration(run.seconds));
        format!(
            "{made:4}/{waiting} {task} {method_name}{draw}: {exact:.1} in {seconds}; about {left} left"
        )
    }
}
