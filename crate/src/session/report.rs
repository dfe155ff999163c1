//! Errors as people read them: the one place where an error becomes a code, three sentences and their
//! data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Operation, SessionError};
use crate::learn::LearnError;
use crate::lora::LoraError;
use crate::model::ModelError;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// A server did not respond, or the connection broke.
    Network,
    /// A server, registry or folder does not have what was requested.
    NotFound,
    /// A file's hash or size is not the expected one.
    Integrity,
    /// The browser's storage is full.
    Quota,
    /// The browser or this build lacks a feature.
    Unsupported,
    /// Memory ran out.
    OutOfMemory,
    /// A file, an argument or a setting is not valid.
    InvalidInput,
    /// The base or a module has to be loaded first.
    NotLoaded,
    /// Another call is running.
    Busy,
    /// The caller stopped the call.
    Aborted,
    /// The GPU failed.
    Gpu,
    /// A defect of the program.
    Internal,
}

/// A value that a report's sentences are made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// A name or a text.
    Text(String),
    /// A number.
    Number(f64),
}

/// A failure as people read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[error("{what} {why} {next}")]
pub struct ErrorReport {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// What happened.
    pub what: String,
    /// Why: what was expected and what was found.
    pub why: String,
    /// What to do next.
    pub next: String,
    /// What the sentences are about: `module`, `example` (from 1), `setting`.
    #[cfg_attr(feature = "typescript", ts(type = "Record<string, string | number>"))]
    pub details: BTreeMap<String, Detail>,
}

impl ErrorReport {
    /// A report without details; `why` becomes a sentence.
    pub fn new(code: ErrorCode, what: &str, why: &str, next: &str) -> Self {
        let (what, why, next) = (what.to_owned(), sentence(why), next.to_owned());
        Self { code, what, why, next, details: BTreeMap::new() }
    }
}

/// A message of the lower layers as a sentence; an identifier or a file's name at its start stays as it is.
pub(super) fn sentence(message: &str) -> String {
    let word = message.split_whitespace().next().unwrap_or_default();
    let is_identifier = word.trim_end_matches(['.', ':', ',']).contains(['_', '.']);
    let mut characters = message.chars();
    let first = match characters.next() {
        Some(first) if !is_identifier => first.to_uppercase().to_string(),
        first => first.map(String::from).unwrap_or_default(),
    };
    let end = if message.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

impl SessionError {
    /// What kind of failure it is.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotLoaded | Self::UnknownModule { .. } => ErrorCode::NotLoaded,
            Self::Aborted { .. } => ErrorCode::Aborted,
            Self::Base { source, .. } | Self::Model { source, .. } => match source {
                #[cfg(feature = "gpu")]
                ModelError::Gpu(_) => ErrorCode::Gpu,
                ModelError::Cancelled => ErrorCode::Aborted,
                ModelError::OutOfMemory { .. } => ErrorCode::OutOfMemory,
                ModelError::BranchPrecision { .. } => ErrorCode::Internal,
                _ => ErrorCode::InvalidInput,
            },
            Self::Module { .. }
            | Self::Mismatch { .. }
            | Self::Composition { .. }
            | Self::NoExamples { .. }
            | Self::Text { .. }
            | Self::Learn(_)
            | Self::Tune(_) => ErrorCode::InvalidInput,
        }
    }

    /// The error in sentences.
    pub fn report(&self) -> ErrorReport {
        let mut report =
            ErrorReport::new(self.code(), &self.what(), &self.to_string(), self.next());
        let mut detail = |name: &str, value| report.details.insert(name.to_owned(), value);
        match self {
            Self::Module { id, .. }
            | Self::Mismatch { id, .. }
            | Self::UnknownModule { id, .. }
            | Self::Learn(LearnError::HeldWeight { id }) => {
                detail("module", Detail::Text(id.clone()));
            }
            Self::Composition { ids, source, .. } => {
                if let Some(id) = source.module().and_then(|module| ids.get(module)) {
                    detail("module", Detail::Text(id.clone()));
                }
            }
            Self::Text { index: Some(index), .. } => {
                detail("example", Detail::Number(*index as f64 + 1.0));
            }
            Self::Learn(LearnError::Setting { name, .. })
            | Self::Tune(LearnError::Setting { name, .. }) => {
                detail("setting", Detail::Text((*name).to_owned()));
            }
            _ => {}
        }
        report
    }

    fn what(&self) -> String {
        let operation = match self {
            Self::NotLoaded => return "The model is not loaded yet.".to_owned(),
            Self::Base { title, .. } => {
                return format!("The base model “{title}” could not be loaded.");
            }
            Self::Module { id, .. } | Self::Mismatch { id, .. } => {
                return format!("The module “{id}” could not be loaded.");
            }
            Self::Tune(_) => Operation::Tune,
            Self::Learn(_) => Operation::Learn,
            Self::Aborted { operation }
            | Self::UnknownModule { operation, .. }
            | Self::Composition { operation, .. }
            | Self::NoExamples { operation }
            | Self::Text { operation, .. }
            | Self::Model { operation, .. } => *operation,
        };
        match operation {
            Operation::Verify => "The model could not be verified.",
            Operation::Score => "The examples could not be scored.",
            Operation::Assess => "The composition could not be assessed.",
            Operation::Export => "The composition was not exported.",
            Operation::LeaveOneOut => "The modules could not be compared.",
            Operation::Learn => "Learning did not start.",
            Operation::Tune => "The composition was not tuned.",
            Operation::Retrieve => "No modules were suggested.",
            Operation::Route | Operation::Generate => "The input was not answered.",
            Operation::Test => "The test did not run.",
        }
        .to_owned()
    }

    fn next(&self) -> &'static str {
        match self {
            Self::NotLoaded => "Load the model first.",
            Self::Aborted { .. } => "Start it again.",
            Self::Base { .. } => "Try again; if it happens again, report it to the model's host.",
            Self::Module { .. } => "Choose another module, or repair its PEFT folder.",
            Self::Mismatch { .. } => {
                "It was trained for another base model. Choose a module of the loaded base."
            }
            Self::UnknownModule { .. } => "Load the module first.",
            Self::Composition { source, .. } => match source {
                LoraError::Unequal { .. } => "Use the delta merge, or leave one of the two out.",
                LoraError::UnknownLayer { .. } | LoraError::Shape { .. } => {
                    "Leave that module out: it was trained for another base model."
                }
                _ => "Correct the weights.",
            },
            Self::NoExamples { operation: Operation::Test } => "Choose another test set.",
            Self::NoExamples { operation: Operation::Route } => {
                "Give every composition at least one input of its task."
            }
            Self::NoExamples { .. } => "Give at least one input with its output.",
            Self::Text { .. } => "Shorten or correct that text.",
            Self::Model { .. } => "Shorten or correct it, and try again.",
            Self::Tune(LearnError::Diverged { .. }) => "Use a lower learning rate or fewer steps.",
            Self::Learn(_) | Self::Tune(_) => "Correct that, and start again.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn a_sentence_begins_with_a_capital_unless_an_identifier_does() {
        for (message, expected) in [
            ("expected 8, found 7", "Expected 8, found 7."),
            ("nothing.", "Nothing."),
            ("line 3: too long", "Line 3: too long."),
            ("ünknown", "Ünknown."),
            ("use_dora = true", "use_dora = true."),
            ("tokenizer.ggml.model none", "tokenizer.ggml.model none."),
            ("config.json: not JSON", "config.json: not JSON."),
            ("do they belong together?", "Do they belong together?"),
            ("", "."),
        ] {
            assert_eq!(sentence(message), expected);
        }
    }
}
