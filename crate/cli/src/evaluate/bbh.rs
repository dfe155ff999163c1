//! LoraHub's experiment on BIG-Bench Hard: the tasks' files, their prompts, and what its seeds draw, as
//! `reproduce_bbh.py` of sail-sg/lorahub (at df73afe) has them.
//!
//! | what | in the reference code |
//! |---|---|
//! | an input | the task's description, an empty line, `Q: ` and the question, `A:` |
//! | five-shot in context | the description, the five examples in the same form with their answers, the question |
//! | the examples | the first five of `example.jsonl` after `random.seed(42)` and `random.shuffle` |
//! | the modules of a draw | `random.seed(s)`, `random.sample` of 20 from the 196 names, for s from 1 to 5 |
//! | the test | `zero_shot.jsonl` and `few_shot.jsonl`, at most 256 new tokens |
//! | a right answer | equal after `strip().lower().replace(".", "")` |
//!
//! The release of its data has files of these names for each task. BIG-Bench Hard itself has the same
//! questions without its split, whose seed is not published: the five examples are then drawn from all
//! questions of the task, and the others are tested.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use loraloom::formats::Example;
use loraloom::registry::RegistryFile;
use serde::{Deserialize, Serialize};

use super::python::PythonRandom;
use super::tasks::{Draw, Inputs, Protocol, Task};
use crate::error::{CliError, read};
use crate::library::check_contents;
use crate::location::Location;

/// Where BIG-Bench Hard is published, at the commit whose files [`FILES`] lists.
pub const ADDRESS: &str = "https://raw.githubusercontent.com/suzgunmirac/BIG-Bench-Hard/\
                           9ee07bd481feebf959a6b59d61ea57bdcf30964d";
/// Lengths and hashes of its files; `make_bbh.py` of the tests writes the list.
const FILES: &str = include_str!("bbh.json");

/// New tokens of an answer.
pub const MAX_NEW_TOKENS: usize = 256;
/// Number of examples.
pub const EXAMPLES: usize = 5;
/// Modules of a draw.
pub const DRAWN_MODULES: usize = 20;
/// Seed of the examples.
const EXAMPLES_SEED: u32 = 42;

/// The files of each task in the release of LoraHub's data.
const RELEASE: [&str; 3] = ["example.jsonl", "zero_shot.jsonl", "few_shot.jsonl"];

/// A task of BIG-Bench Hard.
#[derive(Deserialize)]
struct Listed {
    id: String,
    /// Number of questions.
    items: usize,
    /// T5's tokens of all zero-shot prompts together.
    tokens: usize,
    questions: RegistryFile,
    /// The prompt for reasoning step by step, whose first lines describe the task.
    prompt: RegistryFile,
}

/// The tasks' files, none of which has been fetched.
pub enum Data {
    /// A clone of BIG-Bench Hard, or its address.
    Questions(Location),
    /// LoraHub's release, with the tasks' names.
    Release(PathBuf, Vec<String>),
}

/// How much there is to answer.
#[derive(Debug, Clone, Serialize)]
pub struct Size {
    pub id: String,
    /// Questions that are tested.
    pub items: usize,
    /// Mean number of tokens of a zero-shot prompt.
    pub tokens: f64,
}

/// Bytes of English in one of T5's tokens, about.
const BYTES_PER_TOKEN: f64 = 3.0;

impl Data {
    /// The data in a folder, or at an address. Nothing is fetched.
    pub fn find(place: Option<&str>) -> Result<Self, CliError> {
        let place = place.unwrap_or(ADDRESS).trim_end_matches('/');
        if place.contains("://") {
            return Ok(Self::Questions(Location::Url(format!("{place}/LICENSE"))));
        }
        let folder = Path::new(place);
        let entries = folder.read_dir();
        let entries = entries.map_err(|source| CliError::Read { path: folder.into(), source })?;
        let mut tasks: Vec<String> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|task| RELEASE.iter().all(|name| task.join(name).exists()))
            .filter_map(|task| Some(task.file_name()?.to_str()?.to_owned()))
            .collect();
        tasks.sort();
        if tasks.is_empty() {
            return Ok(Self::Questions(Location::Path(folder.join("LICENSE"))));
        }
        Ok(Self::Release(folder.into(), tasks))
    }

    /// The tasks' names.
    pub fn ids(&self) -> Vec<String> {
        match self {
            Self::Questions(_) => listed().into_iter().map(|task| task.id).collect(),
            Self::Release(_, tasks) => tasks.clone(),
        }
    }

    /// Bytes to fetch.
    pub fn fetched_bytes(&self, ids: &[String]) -> u64 {
        match self {
            Self::Questions(Location::Url(_)) => listed()
                .iter()
                .filter(|task| ids.contains(&task.id))
                .map(|task| task.questions.bytes + task.prompt.bytes)
                .sum(),
            _ => 0,
        }
    }

    /// How much there is to answer of each task, with so many examples and at most `limit` questions.
    pub fn sizes(
        &self,
        ids: &[String],
        examples: usize,
        limit: Option<usize>,
    ) -> Result<Vec<Size>, CliError> {
        let limited = |items: usize| items.min(limit.unwrap_or(items));
        match self {
            Self::Questions(_) => Ok(listed()
                .into_iter()
                .filter(|task| ids.contains(&task.id))
                .map(|task| Size {
                    items: limited(task.items.saturating_sub(examples)),
                    tokens: task.tokens as f64 / task.items as f64,
                    id: task.id,
                })
                .collect()),
            Self::Release(folder, _) => ids
                .iter()
                .map(|id| {
                    let questions = lines(&folder.join(id).join(RELEASE[1]))?;
                    let bytes: usize = questions.iter().map(|item| item.input.len()).sum();
                    Ok(Size {
                        id: id.clone(),
                        items: limited(questions.len()),
                        tokens: bytes as f64 / BYTES_PER_TOKEN / questions.len().max(1) as f64,
                    })
                })
                .collect(),
        }
    }

    /// Reads a task: its examples, at most `limit` questions of its test, and the draws of modules.
    pub fn task(
        &self,
        id: &str,
        examples: usize,
        limit: Option<usize>,
        drawn: &[Vec<String>],
    ) -> Result<Task, CliError> {
        let mut inputs = match self {
            Self::Questions(place) => questions(place, id, examples)?,
            Self::Release(folder, _) => release(&folder.join(id), id, examples)?,
        };
        inputs.items.truncate(limit.unwrap_or(usize::MAX));
        inputs.in_context.truncate(inputs.items.len());
        let inputs = Rc::new(inputs);
        let draws = (1..).zip(drawn).map(|(seed, drawn)| Draw {
            seed,
            inputs: Rc::clone(&inputs),
            protocol: Protocol::Published { drawn: drawn.clone() },
        });
        Ok(Task { id: id.into(), set: None, draws: draws.collect() })
    }
}

/// The modules that seeds 1 to `seeds` draw.
pub fn drawn_modules(modules: &[String], seeds: u32) -> Vec<Vec<String>> {
    let draw = |seed| {
        let places = PythonRandom::new(seed).sample(modules.len(), DRAWN_MODULES);
        places.into_iter().map(|place| modules[place].clone()).collect()
    };
    (1..=seeds).map(draw).collect()
}

fn listed() -> Vec<Listed> {
    serde_json::from_str(FILES).expect("a list that is part of this program")
}

/// A prompt without examples.
fn zero_shot(description: &str, question: &str) -> String {
    format!("{description}\n\nQ: {question}\nA:")
}

/// A prompt with examples, each a question and its answer.
fn in_context(description: &str, examples: &[&Example], question: &str) -> String {
    let example = |shot: &&Example| format!("Q: {}\nA: {}\n\n", shot.input, shot.output);
    let examples: String = examples.iter().map(example).collect();
    format!("{description}\n\n{examples}Q: {question}\nA:")
}

/// Which of so many items are the examples, in order.
fn drawn_examples(items: usize, examples: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..items).collect();
    PythonRandom::new(EXAMPLES_SEED).shuffle(&mut order);
    order.truncate(examples);
    order
}

/// A task of BIG-Bench Hard.
fn questions(place: &Location, id: &str, examples: usize) -> Result<Inputs, CliError> {
    #[derive(Deserialize)]
    struct Questions {
        examples: Vec<Question>,
    }
    #[derive(Deserialize)]
    struct Question {
        input: String,
        target: String,
    }
    let task = listed().into_iter().find(|task| task.id == id).ok_or_else(|| unknown(id))?;
    let fetch = |file: &RegistryFile| {
        let mut location = place.of_file(file, "");
        // The tasks' own folder, without the repository around it.
        if let (Location::Path(path), Some(name)) = (&location, file.path.strip_prefix("bbh/"))
            && !path.exists()
        {
            let beside = RegistryFile { path: name.into(), ..file.clone() };
            location = place.of_file(&beside, "");
        }
        let bytes = location.read()?;
        check_contents(file, &bytes).map_err(location.in_file())?;
        Ok::<_, CliError>((location, bytes))
    };
    let (location, bytes) = fetch(&task.questions)?;
    let read: Questions = serde_json::from_slice(&bytes).map_err(location.in_file())?;
    let items: Vec<Example> = (read.examples.into_iter())
        .map(|question| Example { input: question.input, output: question.target })
        .collect();
    let prompt = String::from_utf8_lossy(&fetch(&task.prompt)?.1).into_owned();
    let description = description(&prompt);
    let drawn = drawn_examples(items.len(), examples);
    if drawn.len() < examples || drawn.len() == items.len() {
        return Err(few_items(id, items.len(), examples));
    }
    let shots: Vec<&Example> = drawn.iter().map(|&place| &items[place]).collect();
    let prompted = |item: &Example| Example {
        input: zero_shot(description, &item.input),
        output: item.output.clone(),
    };
    let tested = || (0..).zip(&items).filter(|(place, _)| !drawn.contains(place));
    let contexts = tested().map(|(_, item)| in_context(description, &shots, &item.input));
    Ok(Inputs {
        examples: shots.iter().map(|shot| prompted(shot)).collect(),
        items: tested().map(|(_, item)| prompted(item)).collect(),
        in_context: contexts.collect(),
    })
}

/// The description in a prompt for reasoning step by step: the line after the canary and dashes.
fn description(prompt: &str) -> &str {
    let (_, after) = prompt.split_once("-----\n").unwrap_or(("", prompt));
    after.lines().next().unwrap_or_default().trim()
}

/// A task of LoraHub's release.
fn release(folder: &Path, id: &str, examples: usize) -> Result<Inputs, CliError> {
    let [pool, items, in_context] = RELEASE.map(|name| lines(&folder.join(name)));
    let (pool, items, in_context) = (pool?, items?, in_context?);
    let drawn = drawn_examples(pool.len(), examples);
    if drawn.len() < examples || items.is_empty() {
        return Err(few_items(id, pool.len(), examples));
    }
    let same = in_context.len() == items.len();
    if !same || in_context.iter().zip(&items).any(|(a, b)| a.output != b.output) {
        let path = folder.join(RELEASE[2]);
        return Err(CliError::OtherItems { path, items: items.len(), found: in_context.len() });
    }
    Ok(Inputs {
        examples: drawn.into_iter().map(|place| pool[place].clone()).collect(),
        items,
        in_context: in_context.into_iter().map(|item| item.input).collect(),
    })
}

/// Reads JSON lines with a context and a completion each.
fn lines(path: &Path) -> Result<Vec<Example>, CliError> {
    #[derive(Deserialize)]
    struct Line {
        context: String,
        completion: String,
    }
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let Line { context, completion } =
                serde_json::from_str(line).map_err(CliError::in_file(path))?;
            Ok(Example { input: context, output: completion })
        })
        .collect()
}

/// The error of a task that the experiment does not have.
pub fn unknown(id: &str) -> CliError {
    CliError::Value {
        option: "--tasks",
        expected: "all, or names of the suite's tasks",
        found: id.into(),
    }
}

fn few_items(id: &str, items: usize, examples: usize) -> CliError {
    CliError::FewItems { task: id.into(), items, examples }
}

#[cfg(test)]
mod tests;
