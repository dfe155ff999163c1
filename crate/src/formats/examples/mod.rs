//! Reading few-shot examples and test sets: JSON lines as Hugging Face's datasets export them, JSON
//! lists and BIG-Bench's files, and tables as spreadsheets and Markdown write them.

mod json;
mod names;
mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use self::names::Fields;
use super::{FormatError, Placeholder, excerpt};

const FORMAT: &str = "examples";
/// Limit on the text.
const MAX_TEXT_BYTES: usize = 8 << 20;
/// Limit on the number of examples.
const MAX_EXAMPLES: usize = 10_000;
/// Limit on an input or output.
const MAX_FIELD_BYTES: usize = 64 << 10;
/// Files that people have examples in, by their first bytes.
const OTHER_FORMATS: [(&[u8], &str); 5] = [
    (b"PK\x03\x04", "a ZIP archive, as Excel's files are"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file"),
];
/// Limit on the names of fields and on the records that are listed as not used.
const MAX_LISTED: usize = 8;

/// One example of a task: an input and the expected output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// The model's input text.
    pub input: String,
    /// The expected output text.
    pub output: String,
}

impl Example {
    /// Whether an answer matches the output by LoraHub's comparison: trimmed, lower-cased, and without
    /// full stops.
    pub fn is_matched_by(&self, answer: &str) -> bool {
        let normal = |text: &str| text.trim().to_lowercase().replace('.', "");
        normal(answer) == normal(&self.output)
    }
}

/// The format of a text with examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum ExamplesFormat {
    /// Detected: JSON starts with an object or a list of them, a table with a tab in its first line has
    /// tabs, any other is as [`ExamplesFormat::Csv`].
    #[default]
    Auto,
    /// JSON objects one after another, a JSON list of objects or of pairs, an object with such a list in
    /// `examples`, `data`, `instances` or `rows`, or an object with a list for each column.
    Jsonl,
    /// Values between commas or semicolons, quoted where needed, or between the bars of Markdown; a header
    /// line is optional, and a first line `sep=;` names the delimiter.
    Csv,
    /// Tab-separated values; the header line is optional.
    Tsv,
}

/// What a text of examples was read as, to be shown before the examples are used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ExamplesLayout {
    /// What stands between the columns of a table; none for JSON.
    pub delimiter: Option<char>,
    /// Names of the fields that go before the input, on a line of their own.
    pub instruction: Vec<String>,
    /// Names of the fields that the inputs were read from: several where JSON objects differ; none for a
    /// table without a header, whose first column is the input and whose second is the output.
    pub input: Vec<String>,
    /// Names of the fields that the outputs were read from.
    pub output: Vec<String>,
    /// Names of fields that were not used, at most 8.
    pub unused: Vec<String>,
    /// Number of records that are not among the examples, as their input or output is empty.
    pub left_out: u32,
    /// The first of these records, at most 8.
    pub empty: Vec<EmptyField>,
    /// Number of rows of a table that had blanks around a cell, which are removed. Texts in JSON are exact.
    pub trimmed: u32,
}

impl ExamplesLayout {
    /// Notes the names of a record's fields.
    fn note<T: AsRef<str>>(&mut self, names: &[T], found: Fields) {
        for (index, name) in names.iter().enumerate() {
            let list = if found.instruction == Some(index) {
                &mut self.instruction
            } else if found.input == Some(index) {
                &mut self.input
            } else if found.output == index {
                &mut self.output
            } else {
                &mut self.unused
            };
            list_name(list, name.as_ref());
        }
    }
}

/// Adds a name to a list that is shown, unless it is there, blank, or too many are.
fn list_name(list: &mut Vec<String>, name: &str) {
    let name = name.trim();
    if list.len() < MAX_LISTED && !name.is_empty() {
        let name = excerpt(name);
        if !list.contains(&name) {
            list.push(name);
        }
    }
}

/// A record whose input or output is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct EmptyField {
    /// The record, as `line 3` or `item 3`.
    pub place: String,
    /// The field that is empty: `input` or `output`.
    pub field: String,
}

/// Examples, and what the text was read as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ReadExamples {
    /// The examples, each with an input and an output.
    pub examples: Vec<Example>,
    /// What the text was read as.
    pub layout: ExamplesLayout,
}

impl ReadExamples {
    /// The examples, where every record is one.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] naming the first record whose input or output is empty.
    pub fn complete(self) -> Result<Vec<Example>, FormatError> {
        match self.layout.empty.first() {
            Some(empty) => Err(empty_error(empty)),
            None => Ok(self.examples),
        }
    }

    /// Adds a record.
    fn push(&mut self, place: &str, input: String, output: String) -> Result<(), FormatError> {
        for (name, text) in [("input", &input), ("output", &output)] {
            if text.len() > MAX_FIELD_BYTES {
                return Err(invalid(
                    &format!("{name} of {place}"),
                    format!("at most {MAX_FIELD_BYTES} bytes long"),
                    format!("{} bytes", text.len()),
                ));
            }
        }
        let is_empty = |text: &str| text.trim().is_empty();
        let Self { examples, layout } = self;
        if is_empty(&input) || is_empty(&output) {
            layout.left_out = layout.left_out.saturating_add(1);
            if layout.empty.len() < MAX_LISTED {
                let field = if is_empty(&input) { "input" } else { "output" };
                layout.empty.push(EmptyField { place: place.into(), field: field.into() });
            }
            return Ok(());
        }
        if examples.len() == MAX_EXAMPLES {
            return Err(invalid(
                "the number of examples",
                format!("at most {MAX_EXAMPLES}"),
                "more".into(),
            ));
        }
        examples.push(Example { input, output });
        Ok(())
    }
}

fn empty_error(EmptyField { place, field }: &EmptyField) -> FormatError {
    invalid(&format!("{field} of {place}"), "a text".into(), "nothing".into())
}

/// Reads examples, as [`read_examples`] does; every record must be one.
///
/// # Errors
/// As [`read_examples`], and [`FormatError::Invalid`] naming the first record whose input or output is
/// empty.
pub fn parse_examples(text: &str, format: ExamplesFormat) -> Result<Vec<Example>, FormatError> {
    read_examples(text, format)?.complete()
}

/// Reads examples, skipping blank lines. Blanks around the cells of a table are removed. The fields are
/// found by the names that datasets use, such as `question` and `answer`; an `instruction` goes before
/// the input, on a line of its own. Records whose input or output is empty are left out, and counted.
///
/// # Errors
/// [`FormatError::Columns`] for a line without two columns; [`FormatError::Invalid`] naming the line
/// and the field that is missing or too long, or if there is no example at all.
pub fn read_examples(text: &str, format: ExamplesFormat) -> Result<ReadExamples, FormatError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(invalid(
            "their length",
            format!("at most {MAX_TEXT_BYTES} bytes"),
            format!("{} bytes", text.len()),
        ));
    }
    for (lost, found) in [
        (char::REPLACEMENT_CHARACTER, "a character that was lost (U+FFFD)"),
        ('\0', "a zero byte, as UTF-16 and UTF-32 have"),
    ] {
        if let Some(at) = text.find(lost) {
            let line = format!("line {}", 1 + text[..at].matches('\n').count());
            let expected = "text in UTF-8; save the file with that encoding".into();
            return Err(invalid(&line, expected, found.into()));
        }
    }
    let text = text.trim_start_matches(table::MARK);
    if let Some(placeholder) = Placeholder::detect(text.as_bytes()) {
        return Err(invalid("the text", "examples".into(), placeholder.to_string()));
    }
    let format = match format {
        ExamplesFormat::Auto => detect(text),
        chosen => chosen,
    };
    let read = match format {
        ExamplesFormat::Csv => table::read(text)?,
        ExamplesFormat::Tsv => table::read_tabs(text)?,
        ExamplesFormat::Jsonl | ExamplesFormat::Auto => json::read(text)?,
    };
    if read.examples.is_empty() {
        let none = || invalid("the text", "one example or more".into(), "none".into());
        return Err(read.layout.empty.first().map_or_else(none, empty_error));
    }
    Ok(read)
}

/// Reads a file of examples: text in UTF-8, or in UTF-16 with a byte order mark, as spreadsheets
/// export it.
///
/// # Errors
/// As [`read_examples`], and [`FormatError::Invalid`] naming the line of a byte that is not UTF-8.
pub fn read_examples_file(
    bytes: &[u8],
    format: ExamplesFormat,
) -> Result<ReadExamples, FormatError> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, _) = bytes.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|&bytes| unit(bytes)).collect();
        String::from_utf16_lossy(&units)
    };
    let starts = |magic: &&(&[u8], &str)| bytes.starts_with(magic.0);
    if let Some((_, name)) = OTHER_FORMATS.iter().find(starts) {
        let expected = "examples as text; export them as CSV or JSON lines";
        return Err(invalid("the file", expected.into(), (*name).into()));
    }
    match bytes {
        [0xff, 0xfe, rest @ ..] => read_examples(&utf16(rest, u16::from_le_bytes), format),
        [0xfe, 0xff, rest @ ..] => read_examples(&utf16(rest, u16::from_be_bytes), format),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => read_examples(text, format),
            Err(error) => {
                let at = error.valid_up_to();
                let line = 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
                let expected = "text in UTF-8; save the file with that encoding";
                let found = format!("the byte {:#04x}, as Windows-1252 has", bytes[at]);
                Err(invalid(&format!("line {line}"), expected.into(), found))
            }
        },
    }
}

fn detect(text: &str) -> ExamplesFormat {
    let first_line = text.trim_start().lines().next().unwrap_or_default();
    if json::starts_as_json(text) {
        ExamplesFormat::Jsonl
    } else if table::has_tab_between(first_line) && table::named_delimiter(first_line).is_none() {
        ExamplesFormat::Tsv
    } else {
        ExamplesFormat::Csv
    }
}

/// The error for names that do not say which field is what.
fn unclear(place: &str, found: String) -> FormatError {
    let expected = "one field for the input and one for the output, named input and output";
    invalid(place, expected.into(), found)
}

fn invalid(what: &str, expected: String, found: String) -> FormatError {
    FormatError::Invalid { format: FORMAT, what: what.into(), expected, found }
}
