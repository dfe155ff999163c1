//! Runs: a method on one draw of a task. A file of them, one JSON line each, lets a comparison that was
//! stopped continue.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use loraloom::learn::{Assessment, Effort};
use loraloom::lora::WeightedModule;
use serde::{Deserialize, Serialize};

use super::method::Method;
use crate::error::CliError;

/// Which run it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunKey {
    pub task: String,
    pub method: Method,
    /// Budget of the search, for a method that searches.
    pub budget: Option<u32>,
    /// Effort of tuning, for a method that tunes.
    pub effort: Option<Effort>,
    pub seed: u32,
}

/// A run and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    #[serde(flatten)]
    pub key: RunKey,
    /// SHA-256 of everything that the result depends on.
    pub settings: String,
    /// Percentage.
    pub exact_match: f64,
    /// Time of learning and of answering the test set.
    pub seconds: f64,
    /// Time of learning.
    pub learn_seconds: f64,
    /// Mean cross-entropy of the few-shot examples.
    pub loss: f64,
    /// What the few-shot examples say about new inputs.
    pub assessment: Assessment,
    /// Assessment before tuning, for a method that tunes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_tuning: Option<Assessment>,
    /// The composition.
    pub weights: Vec<WeightedModule>,
    /// Number of evaluations of the few-shot loss.
    pub evaluations: f64,
    /// Mean number of tokens of an answered prompt, `</s>` included.
    pub prompt_tokens: f64,
}

/// The runs that were made, and the file that they are kept in.
pub struct Runs {
    made: Vec<Run>,
    file: Option<(PathBuf, File)>,
}

impl Runs {
    /// Reads the runs of a file, which is made where it does not exist. A last line that is not whole,
    /// of a program that was ended while it wrote, is removed.
    pub fn open(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else { return Ok(Self { made: Vec::new(), file: None }) };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(source) => return Err(CliError::Read { path: path.into(), source }),
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let lines = text[..whole].lines().map(serde_json::from_str);
        let made = lines.collect::<Result<_, _>>().map_err(CliError::in_file(path))?;
        let failed = |source| CliError::Write { path: path.into(), source };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        file.set_len(whole as u64).map_err(failed)?;
        Ok(Self { made, file: Some((path.into(), file)) })
    }

    /// Whether the run was made.
    pub fn has(&self, key: &RunKey) -> bool {
        self.made.iter().any(|run| run.key == *key)
    }

    /// The run, if it was made.
    ///
    /// # Errors
    /// [`CliError::OtherRuns`] if it was made with other settings, modules or items.
    pub fn find(&self, key: &RunKey, settings: &str) -> Result<Option<&Run>, CliError> {
        let found = self.made.iter().find(|run| run.key == *key);
        match (found, &self.file) {
            (Some(run), Some((path, _))) if run.settings != settings => Err(CliError::OtherRuns {
                path: path.clone(),
                task: key.task.clone(),
                seed: key.seed,
            }),
            _ => Ok(found),
        }
    }

    /// Adds a run and writes it to the file; returns it as the file gives it back.
    pub fn add(&mut self, run: &Run) -> Result<&Run, CliError> {
        let in_memory = CliError::in_file("runs".as_ref());
        let line = serde_json::to_string(run).map_err(in_memory)? + "\n";
        if let Some((path, file)) = &mut self.file {
            let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
            written.map_err(|source| CliError::Write { path: path.clone(), source })?;
        }
        // Numbers are those of the line, so that a run has the same result when it is read again.
        let in_memory = CliError::in_file("runs".as_ref());
        self.made.push(serde_json::from_str(&line).map_err(in_memory)?);
        Ok(self.made.last().expect("it was just added"))
    }
}
