//! What is evaluated: tasks with their draws, and those of a registry.

use std::rc::Rc;

use loraloom::formats::{Example, sha256_hex};
use loraloom::registry::{RegistryTask, TaskSet};
use serde::Serialize;

use super::rows::name_of;
use crate::error::CliError;
use crate::library::Library;

/// What a task's methods learn from and answer.
#[derive(Serialize)]
pub struct Inputs {
    pub examples: Vec<Example>,
    pub items: Vec<Example>,
    /// Each item's prompt with the examples before it.
    pub in_context: Vec<String>,
}

/// A task's inputs by one seed.
pub struct Draw {
    pub seed: u32,
    pub inputs: Rc<Inputs>,
    pub protocol: Protocol,
}

/// Which modules a method has, and which answers are right.
pub enum Protocol {
    /// Every module, in the registry's order; an answer as the model can write it.
    Registry,
    /// The modules that the seed drew, or for a method that takes all of them into account every module,
    /// those most similar to the examples first; an answer as it is compared in LoraHub.
    Published { drawn: Vec<String> },
}

/// A task with its draws.
pub struct Task {
    pub id: String,
    pub set: Option<TaskSet>,
    pub draws: Vec<Draw>,
}

/// The tasks of a registry that are chosen by their ids or sets, in its order, with so many draws each and
/// as many examples as `examples` says, or else as the task has.
pub fn registry_tasks(
    library: &Library,
    chosen: &[String],
    seeds: u32,
    examples: Option<usize>,
) -> Result<Vec<Task>, CliError> {
    let names = |task: &RegistryTask| ["all".into(), name_of(task.set), task.id.clone()];
    let all = &library.registry.tasks;
    let known: Vec<String> = all.iter().flat_map(names).collect();
    if let Some(name) = chosen.iter().find(|name| !known.contains(name)) {
        return Err(CliError::Value {
            option: "--tasks",
            expected: "all, settings, table, or ids of the registry's tasks",
            found: name.clone(),
        });
    }
    let tasks = all.iter().filter(|task| names(task).iter().any(|name| chosen.contains(name)));
    tasks
        .map(|task| {
            let items = library.read_test(task)?;
            let draws = (0..seeds).map(|seed| Draw::of_registry(task, &items, seed, examples));
            let draws = draws.collect::<Result<_, _>>()?;
            Ok(Task { id: task.id.clone(), set: Some(task.set), draws })
        })
        .collect()
}

impl Draw {
    /// Seed 0 has the task's own examples. Seed `s` takes the `s`-th handful of the test items
    /// instead and does not score those. Handfuls of another size are all taken from the test items.
    fn of_registry(
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
        let in_context = items.iter().map(|item| in_context(&examples, &item.input)).collect();
        let inputs = Rc::new(Inputs { examples, items, in_context });
        Ok(Self { seed, inputs, protocol: Protocol::Registry })
    }

    /// SHA-256 of settings with what the results on this draw depend on.
    pub fn settings(&self, settings: &str) -> String {
        let drawn = match &self.protocol {
            Protocol::Registry => None,
            Protocol::Published { drawn } => Some(drawn),
        };
        sha256_hex(&serde_json::to_vec(&(settings, &*self.inputs, drawn)).unwrap_or_default())
    }
}

/// The in-context prompt, which the demo's base was taught: `Q: input A: output` for each example,
/// then the question.
fn in_context(examples: &[Example], input: &str) -> String {
    let shots = examples.iter().map(|e| format!("Q: {} A: {} ", e.input, e.output));
    shots.collect::<String>() + &format!("Q: {input} A:")
}
