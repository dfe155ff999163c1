//! Results as JSON or text on stdout, and progress on stderr.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};

use serde::Serialize;

use crate::error::CliError;

/// Prints a command's result and its progress.
pub struct Output {
    json: bool,
    progress: bool,
}

impl Output {
    /// With `json` the result is one JSON object, and progress is printed only to a terminal.
    pub fn new(json: bool) -> Self {
        Self { json, progress: !json || stderr().is_terminal() }
    }

    /// Prints a line of progress on stderr.
    pub fn progress(&self, line: impl Display) {
        if self.progress {
            eprintln!("{line}");
        }
    }

    /// Prints the result on stdout, as JSON or as the text that `text` returns.
    pub fn result(
        &self,
        result: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let mut line = if self.json {
            serde_json::to_string(result).map_err(CliError::in_file("stdout".as_ref()))?
        } else {
            text()
        };
        line.push('\n');
        let written = stdout().write_all(line.as_bytes());
        written.map_err(|source| CliError::Write { path: "stdout".into(), source })
    }
}
