//! The two ways to answer, and progress.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};

use serde::Serialize;

use crate::error::CliError;

/// Where a command's answer and its progress go.
pub struct Output {
    json: bool,
    progress: bool,
}

impl Output {
    /// With `json` the answer is one JSON object, and progress is shown only to a person.
    pub fn new(json: bool) -> Self {
        Self { json, progress: !json || stderr().is_terminal() }
    }

    /// Says on stderr what is being done.
    pub fn progress(&self, line: impl Display) {
        if self.progress {
            eprintln!("{line}");
        }
    }

    /// Prints the answer on stdout, as JSON or as the text that `text` makes.
    pub fn answer(
        &self,
        answer: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let mut line = if self.json {
            serde_json::to_string(answer)
                .map_err(|error| CliError::Argument(format!("the answer is no JSON: {error}")))?
        } else {
            text()
        };
        line.push('\n');
        let written = stdout().write_all(line.as_bytes());
        written.map_err(|source| CliError::Write { path: "stdout".into(), source })
    }
}
