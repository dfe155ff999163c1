//! Results as JSON or text on stdout; errors, notes and progress on stderr.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};

use loraloom::formats::Tokenizer;
use loraloom::learn::{Assessment, Enough, Verdict};
use loraloom::lora::{TruncatedLayer, Truncation};
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

/// A time in the largest unit that suits it.
pub fn duration(seconds: f64) -> String {
    match seconds {
        long if long >= 5400.0 => format!("{:.1} h", long / 3600.0),
        medium if medium >= 90.0 => format!("{:.0} min", medium / 60.0),
        short => format!("{short:.0} s"),
    }
}

/// Notes that `holder` has no word for the spaces that a tokenizer removes.
pub fn note_clean_up(tokenizer: &Tokenizer, holder: &str) {
    if tokenizer.cleans_up() {
        note(format!(
            "{holder} does not hold clean_up_tokenization_spaces of tokenizer_config.json: without that file, answers \
             keep the spaces before punctuation marks"
        ));
    }
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

/// What an adapter of a lower rank keeps, in a line.
pub fn truncation_text(Truncation { rank, kept, worst }: &Truncation) -> String {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let whole = format!("rank {rank} keeps {} of the update's Frobenius norm", percent(*kept));
    match worst {
        None => whole,
        Some(TruncatedLayer { layer, kept }) => {
            format!("{whole}, and least at {layer}: {}", percent(*kept))
        }
    }
}

/// The assessment in a few lines.
pub fn assessment_text(assessment: &Assessment) -> String {
    let verdict = match assessment.verdict {
        Verdict::Works => "works",
        Verdict::Partly => "works partly",
        Verdict::Unlikely => "does not work",
    };
    let [mean, low, high] =
        [assessment.expected.mean, assessment.expected.low, assessment.expected.high]
            .map(|share| (100.0 * share).round());
    let correct = assessment.answers.iter().filter(|answer| answer.correct).count();
    let mut lines = vec![format!(
        "{verdict}: expect about {mean} of 100 new inputs answered exactly ({low} to {high} in 8 of \
         10 cases); {correct} of {} examples are",
        assessment.answers.len()
    )];
    lines.extend(assessment.left_out_correct.map(|share| {
        let percent = (100.0 * share).round();
        format!("{percent} % of the examples are answered exactly by what is tuned on the others")
    }));
    if !assessment.calibrated {
        lines.push("this estimate was measured on another base".into());
    }
    lines.extend(assessment.enough.map(|enough| match enough {
        Enough::Base => "the base alone is enough".into(),
        Enough::Module => "one module alone is enough".into(),
        Enough::Held => "the modules that are held are enough".into(),
    }));
    for index in &assessment.contradicting {
        lines.push(format!("example {} contradicts the others", index + 1));
    }
    lines.join("\n")
}
