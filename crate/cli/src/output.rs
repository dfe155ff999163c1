//! Results as JSON or text on stdout; errors, notes and progress on stderr.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};

use loraloom::session::{ErrorCode, UnwritableOutput};
use serde::Serialize;

use crate::error::CliError;

/// Prints a command's result and its progress.
pub struct Output {
    json: bool,
    progress: bool,
}

/// Prints an error on stderr, as JSON or as text.
pub fn error(json: bool, code: ErrorCode, message: &str) {
    if json {
        eprintln!("{}", serde_json::json!({ "error": { "code": code, "message": message } }));
    } else {
        eprintln!("error: {message}");
    }
}

/// Prints a note on stderr: what a result leaves out, or does not mean.
pub fn note(text: impl Display) {
    eprintln!("note: {text}");
}

/// Notes the outputs of examples that the model cannot write.
pub fn note_unwritable(outputs: &[UnwritableOutput]) {
    for UnwritableOutput { example, parts } in outputs {
        let (number, parts) = (example + 1, parts.join(" "));
        note(format!("the model cannot write {parts} in the output of example {number}"));
    }
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
