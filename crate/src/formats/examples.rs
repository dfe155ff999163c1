//! Reading few-shot examples and test sets: JSON lines as Hugging Face's datasets export them, JSON
//! lists and BIG-Bench's files, and tables with commas, semicolons or tabs as spreadsheets write them.
//!
//! The table reader is part of this crate because its errors name a line and a field, and because text
//! pasted from a spreadsheet may start with a quotation mark that is not a quote.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{FormatError, excerpt};

const FORMAT: &str = "examples";
/// Limit on the text.
const MAX_TEXT_BYTES: usize = 8 << 20;
/// Limit on the number of examples.
const MAX_EXAMPLES: usize = 10_000;
/// Limit on an input or output.
const MAX_FIELD_BYTES: usize = 64 << 10;
/// Limit on the columns of a table.
const MAX_COLUMNS: usize = 64;
/// Names of the field that holds the input, as this project and Hugging Face's datasets write them.
/// The first two win where there are several.
const INPUT_NAMES: [&str; 10] = [
    "input", "inputs", "source", "text", "sentence", "question", "prompt", "context", "query",
    "document",
];
/// Names of the field that holds the output. The first two win where there are several.
const OUTPUT_NAMES: [&str; 9] = [
    "output",
    "outputs",
    "target",
    "targets",
    "label",
    "labels",
    "answer",
    "completion",
    "response",
];
/// Limit on the names of fields and on the records that are listed as not used.
const MAX_LISTED: usize = 8;
/// Name of the field that goes before the input, on a line of its own, as in Alpaca's data.
const INSTRUCTION_NAME: &str = "instruction";
/// Names of the list in which a JSON object holds the examples, the first in BIG-Bench's files.
const LIST_NAMES: [&str; 4] = ["examples", "data", "instances", "rows"];

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
    /// Detected: JSON starts with a brace or a bracket, a table with a tab in its first line has tabs,
    /// any other is as [`ExamplesFormat::Csv`].
    #[default]
    Auto,
    /// JSON objects one after another, a JSON list of objects, or an object with a list of them in
    /// `examples`, `data`, `instances` or `rows`.
    Jsonl,
    /// Values between commas or semicolons, quoted where needed; a header line is optional, and a first
    /// line `sep=;` names the delimiter.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
            return Err(invalid("their number", format!("at most {MAX_EXAMPLES}"), "more".into()));
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

/// Reads examples, skipping blank lines. Blanks around inputs and outputs are removed. The fields are
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
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let format = match format {
        ExamplesFormat::Auto => detect(text),
        chosen => chosen,
    };
    let read = match format {
        ExamplesFormat::Csv => {
            let (delimiter, rest, line) = delimiter(text);
            parse_table(rest, delimiter, line)?
        }
        ExamplesFormat::Tsv => parse_table(text, '\t', 1)?,
        ExamplesFormat::Jsonl | ExamplesFormat::Auto => parse_json(text)?,
    };
    if read.examples.is_empty() {
        let none = || invalid("their number", "at least 1".into(), "none".into());
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
    let start = text.trim_start();
    let first_line = start.lines().next().unwrap_or_default();
    if start.starts_with(['{', '[']) {
        ExamplesFormat::Jsonl
    } else if first_line.contains('\t') && !first_line.starts_with("sep=") {
        ExamplesFormat::Tsv
    } else {
        ExamplesFormat::Csv
    }
}

/// A table's delimiter, the text without a line that names it, and the line on which that starts.
fn delimiter(text: &str) -> (char, &str, usize) {
    let (first_line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let named = first_line.trim_end_matches('\r').strip_prefix("sep=").map(str::chars);
    if let Some((Some(named), None)) = named.map(|mut chars| (chars.next(), chars.next())) {
        return (named, rest, 2);
    }
    let first_row = |delimiter| {
        let row = Rows { rest: text.trim_start(), delimiter, line: 1 }.next_row();
        row.ok().flatten().map_or_else(Vec::new, |(_, row)| row)
    };
    let (commas, semicolons) = (first_row(','), first_row(';'));
    if header_fields(&commas) != Ok(None) {
        return (',', text, 1);
    }
    if header_fields(&semicolons) != Ok(None) || (commas.len() == 1 && semicolons.len() > 1) {
        return (';', text, 1);
    }
    let delimiter = match (pairs(text, ','), pairs(text, ';')) {
        (None, Some(_)) => ';',
        (Some(commas), Some(semicolons)) if semicolons_delimit(&commas, &semicolons) => ';',
        _ => ',',
    };
    (delimiter, text, 1)
}

/// Whether semicolons are the delimiters of a table that either could delimit. Text has a blank behind its own
/// commas and semicolons. Where it has none, as in `3,50` and `&eacute;`, it is the input that has them.
fn semicolons_delimit(commas: &[[String; 2]], semicolons: &[[String; 2]]) -> bool {
    let any =
        |rows: &[[String; 2]], is: fn(&str) -> bool| rows.iter().any(|[_, output]| is(output));
    let starts_blank = |output: &str| output.starts_with(' ');
    match (any(commas, starts_blank), any(semicolons, starts_blank)) {
        (true, false) => true,
        (false, true) => false,
        _ => !any(semicolons, |output| output.contains(',')),
    }
}

/// The rows of a table if each has two columns.
fn pairs(text: &str, delimiter: char) -> Option<Vec<[String; 2]>> {
    let mut pairs = Vec::new();
    let mut rows = Rows { rest: text, delimiter, line: 1 };
    while let Some((_, row)) = rows.next_row().ok()? {
        if !is_blank(&row) {
            pairs.push(row.try_into().ok()?);
        }
    }
    Some(pairs)
}

fn is_blank(row: &[String]) -> bool {
    row.iter().all(|field| field.trim().is_empty())
}

/// Which of a record's fields hold an example.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fields {
    instruction: Option<usize>,
    input: Option<usize>,
    output: usize,
}

impl Fields {
    /// The input and the output of a record, by a function that returns a field's text.
    fn read<E>(self, field: impl Fn(usize) -> Result<String, E>) -> Result<(String, String), E> {
        let text = |place: Option<usize>| place.map(&field).transpose();
        let parts = [text(self.instruction)?, text(self.input)?];
        let parts: Vec<String> =
            parts.into_iter().flatten().filter(|part| !part.trim().is_empty()).collect();
        Ok((parts.join("\n"), field(self.output)?))
    }
}

/// The fields of a record by their names, if they name an input and an output.
///
/// # Errors
/// The names of several fields that could each be the input, or the output.
fn fields<T: AsRef<str>>(names: &[T]) -> Result<Option<Fields>, String> {
    let names: Vec<String> = names.iter().map(|name| name.as_ref().trim().to_lowercase()).collect();
    let place = |name: &str| names.iter().position(|found| found == name);
    let pick = |candidates: &[&str]| -> Result<Option<usize>, String> {
        let found: Vec<&str> =
            candidates.iter().copied().filter(|name| place(name).is_some()).collect();
        match found[..] {
            [] => Ok(None),
            [first, _, ..] if !candidates[..2].contains(&first) => Err(found.join(" and ")),
            [first, ..] => Ok(place(first)),
        }
    };
    let instruction = place(INSTRUCTION_NAME);
    let (input, output) = (pick(&INPUT_NAMES), pick(&OUTPUT_NAMES));
    if output == Ok(None) || (input == Ok(None) && instruction.is_none()) {
        return Ok(None);
    }
    Ok(output?.zip(Some(input?)).map(|(output, input)| Fields { instruction, input, output }))
}

/// As [`fields`], for the first row of a table: of two columns, one may have any name.
fn header_fields(row: &[String]) -> Result<Option<Fields>, String> {
    let found = fields(row)?;
    let [first, second] = row else { return Ok(found) };
    if found.is_some() || [first, second].iter().any(|name| name.trim().is_empty()) {
        return Ok(found);
    }
    let is_one_of = |names: &[&str], name: &str| names.contains(&&*name.trim().to_lowercase());
    let names_columns = |input: &str, output: &str| {
        is_one_of(&INPUT_NAMES, input) || is_one_of(&OUTPUT_NAMES, output)
    };
    let output = if names_columns(first, second) {
        1
    } else if names_columns(second, first) {
        0
    } else {
        return Ok(None);
    };
    Ok(Some(Fields { instruction: None, input: Some(1 - output), output }))
}

fn several(place: &str, names: String) -> FormatError {
    let expected = "one field for the input and one for the output, named input and output";
    invalid(place, expected.into(), format!("{names}, each of which could be it"))
}

fn parse_json(text: &str) -> Result<ReadExamples, FormatError> {
    let mut read = ReadExamples { examples: Vec::new(), layout: ExamplesLayout::default() };
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let (mut line, mut counted) = (1, 0);
    loop {
        let rest = &text[values.byte_offset()..];
        let start = text.len() - rest.trim_start().len();
        line += text[counted..start].matches('\n').count();
        counted = start;
        let place = format!("line {line}");
        match values.next() {
            None => return Ok(read),
            Some(Err(error)) => {
                let found = excerpt(&error.to_string());
                return Err(invalid(&place, r#"{"input": "…", "output": "…"}"#.into(), found));
            }
            Some(Ok(Value::Array(items))) => push_items(&mut read, items)?,
            Some(Ok(Value::Object(mut object))) => {
                let list =
                    LIST_NAMES.iter().find(|&&name| object.get(name).is_some_and(Value::is_array));
                match list.and_then(|&name| object.remove(name)) {
                    Some(Value::Array(items)) => {
                        object.keys().for_each(|name| list_name(&mut read.layout.unused, name));
                        push_items(&mut read, items)?;
                    }
                    _ => push_object(&mut read, &place, object)?,
                }
            }
            Some(Ok(other)) => return Err(not_example(&place, &other)),
        }
    }
}

fn push_items(read: &mut ReadExamples, items: Vec<Value>) -> Result<(), FormatError> {
    for (index, item) in items.into_iter().enumerate() {
        let place = format!("item {}", index + 1);
        match item {
            Value::Object(mut object) => match object.remove("row") {
                // As Hugging Face's dataset viewer returns rows.
                Some(Value::Object(row)) => {
                    object.keys().for_each(|name| list_name(&mut read.layout.unused, name));
                    push_object(read, &place, row)?;
                }
                _ => push_object(read, &place, object)?,
            },
            other => return Err(not_example(&place, &other)),
        }
    }
    Ok(())
}

fn not_example(place: &str, found: &Value) -> FormatError {
    invalid(place, r#"{"input": "…", "output": "…"}"#.into(), excerpt(&found.to_string()))
}

fn push_object(
    read: &mut ReadExamples,
    place: &str,
    object: Map<String, Value>,
) -> Result<(), FormatError> {
    let names: Vec<&String> = object.keys().collect();
    let found = fields(&names).map_err(|names| several(place, names))?;
    let Some(found) = found else {
        let expected = format!(
            "an object with an input ({}) and an output ({})",
            INPUT_NAMES.join(", "),
            OUTPUT_NAMES.join(", ")
        );
        let list = |names: Vec<&String>| {
            names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let found = match object.get("translation") {
            Some(Value::Object(languages)) => {
                let languages = list(languages.keys().collect());
                format!("a translation between {languages}, which does not say what the input is")
            }
            _ => format!("the fields {}", excerpt(&list(names))),
        };
        return Err(invalid(place, expected, found));
    };
    let (input, output) = found.read(|index| {
        text_of(&object[names[index]]).ok_or_else(|| {
            invalid(
                &format!("{} of {place}", names[index]),
                "a text, a number or a list of one".into(),
                excerpt(&object[names[index]].to_string()),
            )
        })
    })?;
    read.layout.note(&names, found);
    read.push(place, input, output)
}

/// A field's text: a number or boolean as JSON writes it, the only item of a list, nothing for null.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(items) => match &items[..] {
            [item] if !item.is_array() => text_of(item),
            _ => None,
        },
        Value::Object(_) => None,
    }
}

fn parse_table(text: &str, delimiter: char, line: usize) -> Result<ReadExamples, FormatError> {
    let layout = ExamplesLayout { delimiter: Some(delimiter), ..ExamplesLayout::default() };
    let mut read = ReadExamples { examples: Vec::new(), layout };
    let (mut header, mut columns) = (None, 2);
    let mut rows = Rows { rest: text, delimiter, line };
    let mut first = true;
    while let Some((line, row)) = rows.next_row()? {
        if is_blank(&row) {
            continue;
        }
        // Spreadsheets write empty cells behind the last column.
        let cells = row.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |last| last + 1);
        let place = format!("line {line}");
        if std::mem::replace(&mut first, false) {
            header = header_fields(&row[..cells]).map_err(|names| several(&place, names))?;
            if let Some(header) = header {
                read.layout.note(&row, header);
                columns = row.len();
                continue;
            }
        }
        let is_whole =
            if header.is_some() { cells <= columns } else { row.len() >= 2 && cells <= 2 };
        if !is_whole {
            return Err(FormatError::Columns { line, found: row.len(), delimiter });
        }
        let places = header.unwrap_or(Fields { instruction: None, input: Some(0), output: 1 });
        // Blanks around a cell come from laying the table out; a text in JSON is exact.
        let field = |index: usize| Ok(row.get(index).map_or("", |cell| cell.trim()).to_owned());
        let (input, output) = places.read(field)?;
        read.push(&place, input, output)?;
    }
    Ok(read)
}

/// A reader of a table's rows.
struct Rows<'t> {
    rest: &'t str,
    delimiter: char,
    /// Line number of the start of `rest`.
    line: usize,
}

impl Rows<'_> {
    /// The next row, and the number of its first line.
    fn next_row(&mut self) -> Result<Option<(usize, Vec<String>)>, FormatError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let mut row = Vec::new();
        loop {
            if row.len() == MAX_COLUMNS {
                return Err(invalid(
                    &format!("line {line}"),
                    format!("at most {MAX_COLUMNS} columns"),
                    "more".into(),
                ));
            }
            row.push(self.next_field()?);
            if let Some(rest) = self.rest.strip_prefix(self.delimiter) {
                self.rest = rest;
                continue;
            }
            let end =
                self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix(['\n', '\r']));
            if let Some(rest) = end {
                self.rest = rest;
                self.line += 1;
            }
            return Ok(Some((line, row)));
        }
    }

    fn next_field(&mut self) -> Result<String, FormatError> {
        if self.rest.trim_start_matches(' ').starts_with('"')
            && let Some(field) = self.quoted_field()?
        {
            return Ok(field);
        }
        let end = self.rest.find([self.delimiter, '\n', '\r']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(field.into())
    }

    /// A field in quotation marks, blanks around them left out; `None` in a table with tabs or behind a
    /// blank if the marks do not enclose it.
    fn quoted_field(&mut self) -> Result<Option<String>, FormatError> {
        let quoted = self.rest.trim_start_matches(' ');
        let (mut field, mut rest) = (String::new(), &quoted[1..]);
        let problem = loop {
            let Some(mark) = rest.find('"') else { break "no closing quotation mark" };
            field.push_str(&rest[..mark]);
            rest = &rest[mark + 1..];
            if let Some(after) = rest.strip_prefix('"') {
                field.push('"');
                rest = after;
                continue;
            }
            let behind = rest.trim_start_matches(' ');
            if behind.is_empty() || behind.starts_with([self.delimiter, '\n', '\r']) {
                self.line += field.matches('\n').count();
                self.rest = behind;
                return Ok(Some(field));
            }
            break "text after the closing quotation mark";
        };
        if self.delimiter == '\t' || self.rest.starts_with(' ') {
            return Ok(None);
        }
        Err(invalid(
            &format!("line {}", self.line),
            "a quoted value, with quotation marks inside it doubled".into(),
            problem.into(),
        ))
    }
}

fn invalid(what: &str, expected: String, found: String) -> FormatError {
    FormatError::Invalid { format: FORMAT, what: what.into(), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse_examples(text, ExamplesFormat::Auto)
            .unwrap()
            .into_iter()
            .map(|example| (example.input, example.output))
            .collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(input, output)| (input.into(), output.into())).collect()
    }

    #[test]
    fn an_answer_matches_regardless_of_case_and_full_stops() {
        let example = Example { input: "a".into(), output: "The U.S.".into() };
        assert!(example.is_matched_by("  the US\n") && example.is_matched_by("The U.S.."));
        // LoraHub trims before it removes full stops.
        assert!(!example.is_matched_by("the us .") && !example.is_matched_by("the u s"));
    }

    #[test]
    fn json_lines_are_read_with_all_field_names() {
        let text = "\u{feff}{\"input\":\"a\",\"output\":\"b\"}\r\n\n{\"targets\":\"d\",\"inputs\":\"c\\n\",\"idx\":1}\n";
        assert_eq!(read(text), pairs(&[("a", "b"), ("c\n", "d")]));
        assert_eq!(read(r#" [{"input":"a","output":"b"}]"#), pairs(&[("a", "b")]));
    }

    #[test]
    fn tables_are_read_with_and_without_a_header() {
        assert_eq!(read("a,b\nc,d"), pairs(&[("a", "b"), ("c", "d")]));
        assert_eq!(read("Output,id,Input\r\nb,1,a\r\n"), pairs(&[("a", "b")]));
        assert_eq!(read("a, x\tb\nc\td\n"), pairs(&[("a, x", "b"), ("c", "d")]));
        assert_eq!(
            read("\"a, \"\"x\"\"\ny\",b\n\n\"c\",\"\"\"d\"\"\"\n"),
            pairs(&[("a, \"x\"\ny", "b"), ("c", "\"d\"")])
        );
        // A cell that merely begins with a quotation mark.
        assert_eq!(read("\"Go,\" he said\tgo\n"), pairs(&[("\"Go,\" he said", "go")]));
    }

    #[test]
    fn semicolons_delimit_where_they_are_no_text() {
        assert_eq!(read("input;output\na;b"), pairs(&[("a", "b")]));
        assert_eq!(read("Hello, you;Bonjour"), pairs(&[("Hello, you", "Bonjour")]));
        assert_eq!(read("sep=;\r\na, b;c\r\n"), pairs(&[("a, b", "c")]));
        assert_eq!(read("sep=,\na;b,c"), pairs(&[("a;b", "c")]));
        assert_eq!(read("sep=\t\na\tb"), pairs(&[("a", "b")]));
        assert_eq!(read("a; b\nc; d"), pairs(&[("a", "b"), ("c", "d")]));
        assert_eq!(read("id;output;input\n1;3,5;x, y"), pairs(&[("x, y", "3,5")]));
        // A semicolon of the text has a blank behind it, or is not in every line.
        assert_eq!(read("red; blue,colors"), pairs(&[("red; blue", "colors")]));
        assert_eq!(read("a;b,c\nd,e"), pairs(&[("a;b", "c"), ("d", "e")]));
        // Where either could delimit, the input has the other.
        let smileys = pairs(&[("nice ;)", "positive"), ("bad ;(", "negative")]);
        assert_eq!(read("nice ;),positive\nbad ;(,negative"), smileys);
        assert_eq!(read("caf&eacute;,coffee"), pairs(&[("caf&eacute;", "coffee")]));
        assert_eq!(read("Wein 3,50;cheap\nWein 30,00;dear").len(), 2);
        assert_eq!(read("Wein 3,50;cheap")[0], ("Wein 3,50".into(), "cheap".into()));
    }

    #[test]
    fn a_row_with_more_cells_than_columns_is_refused() {
        for text in [
            "input,output\nHello, you,Bonjour",
            "text\tlabel\nGood\treally good\tpos",
            "a,b\nc,d,e",
        ] {
            let error = parse_examples(text, ExamplesFormat::Auto).unwrap_err();
            assert!(matches!(error, FormatError::Columns { line: 2, found: 3, .. }), "{error}");
        }
        // As spreadsheets write them.
        assert_eq!(read("input,output,,\na,b,,"), pairs(&[("a", "b")]));
        assert_eq!(read("a,b,\nc,d,"), pairs(&[("a", "b"), ("c", "d")]));
    }

    #[test]
    fn the_names_of_datasets_are_a_header_and_no_example() {
        for header in [
            "text,label",
            "question,answer",
            "prompt,completion",
            "sentence,label",
            "instruction,response",
            "context,completion",
            "Text , Label",
            "inputs,targets",
            "source,target",
            "instruction,output",
            "query,response",
            "document,target",
        ] {
            assert_eq!(read(&format!("{header}\na,b")), pairs(&[("a", "b")]), "{header}");
            let json = header.to_lowercase();
            let (input, output) = json.split_once(',').unwrap();
            let json = serde_json::json!({input.trim(): "a", output.trim(): "b"});
            assert_eq!(read(&json.to_string()), pairs(&[("a", "b")]), "{json}");
        }
        // Of two columns, one name is enough.
        for header in ["tweet,label", "text,category", "prompt,chosen", "text,class,"] {
            assert_eq!(read(&format!("{header}\na,b")), pairs(&[("a", "b")]), "{header}");
        }
        assert_eq!(read("a tweet,sentiment\na,b").len(), 2);
        assert_eq!(read("label,tweet\na,b"), pairs(&[("b", "a")]));
        assert_eq!(read("Category;Text\na;b"), pairs(&[("b", "a")]));
        for text in
            ["question,context,answer\na,b,c", r#"{"question":"a","context":"b","answer":"c"}"#]
        {
            let error = parse_examples(text, ExamplesFormat::Auto).unwrap_err().to_string();
            assert!(error.contains("question and context, each of which could be it"), "{error}");
        }
        // This project's own names win over the others.
        assert_eq!(read("text,input,label,output\na,b,c,d"), pairs(&[("b", "d")]));
    }

    #[test]
    fn an_instruction_goes_before_the_input_on_a_line_of_its_own() {
        let text = r#"{"instruction": "Translate to French", "input": "cat", "output": "chat"}"#;
        assert_eq!(read(text), pairs(&[("Translate to French\ncat", "chat")]));
        let without = text.replace("cat\"", " \"").replace("chat", "c");
        assert_eq!(read(&without), pairs(&[("Translate to French", "c")]));
        assert_eq!(read("instruction,input,output\nAdd,1 2,3"), pairs(&[("Add\n1 2", "3")]));
    }

    #[test]
    fn json_is_read_in_the_shapes_in_use() {
        let bench = r#"{"canary": "text", "examples": [{"input": "a", "target": "b"}, {"input": "c", "target": "d"}]}"#;
        let expected = pairs(&[("a", "b"), ("c", "d")]);
        let value: Value = serde_json::from_str(bench).unwrap();
        assert_eq!(read(bench), expected);
        assert_eq!(read(&serde_json::to_string_pretty(&value).unwrap()), expected);
        let pretty = serde_json::to_string_pretty(&value["examples"][0]).unwrap();
        assert_eq!(read(&format!("{pretty}\n{pretty}")), pairs(&[("a", "b"), ("a", "b")]));
        assert_eq!(
            read(r#"{"rows": [{"row_idx": 0, "row": {"sentence": "a", "label": 1}}]}"#),
            pairs(&[("a", "1")])
        );
        assert_eq!(
            read(r#"[{"input": 1.5, "output": true}, {"input": ["a"], "output": [-2]}]"#),
            pairs(&[("1.5", "true"), ("a", "-2")])
        );
        let translation = r#"{"translation": {"en": "cat", "fr": "chat"}}"#;
        let error = parse_examples(translation, ExamplesFormat::Auto).unwrap_err().to_string();
        assert!(error.contains("a translation between en, fr, which does not say"), "{error}");
        let error = parse_examples(r#"{"a": "b", "c": "d"}"#, ExamplesFormat::Auto).unwrap_err();
        assert!(error.to_string().contains("found the fields a, c"), "{error}");
    }

    #[test]
    fn what_a_text_was_read_as_is_returned() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let layout = |text: &str| read_examples(text, ExamplesFormat::Auto).unwrap().layout;
        let plain = |delimiter| ExamplesLayout { delimiter, ..ExamplesLayout::default() };
        assert_eq!(layout("a\tb"), plain(Some('\t')));
        assert_eq!(layout("sep=;\na;b"), plain(Some(';')));
        assert_eq!(
            layout("id,Question,,Answer,id\n1,a,,b,2"),
            ExamplesLayout {
                input: names(&["Question"]),
                output: names(&["Answer"]),
                unused: names(&["id"]),
                ..plain(Some(','))
            }
        );
        let bench = r#"{"canary": "text", "examples": [{"input": "a", "target": "b"}]}
            {"instruction": "i", "question": "a", "target": "b", "id": 1}"#;
        assert_eq!(
            layout(bench),
            ExamplesLayout {
                instruction: names(&["instruction"]),
                input: names(&["input", "question"]),
                output: names(&["target"]),
                unused: names(&["canary", "id"]),
                ..plain(None)
            }
        );
        let wide: String = (0..60).map(|column| format!("c{column},")).collect();
        assert_eq!(layout(&format!("{wide}input,output\n{}a,b", ",".repeat(60))).unused.len(), 8);
    }

    #[test]
    fn records_without_an_input_or_an_output_are_left_out_and_named() {
        let read = |text: &str| read_examples(text, ExamplesFormat::Auto).unwrap();
        let of = |place: &str, field: &str| EmptyField { place: place.into(), field: field.into() };
        let table = read("a,b\n,d\n\nc,d\ne, ");
        assert_eq!(table.examples.len(), 2);
        assert_eq!(table.layout.left_out, 2);
        assert_eq!(table.layout.empty, [of("line 2", "input"), of("line 5", "output")]);
        let error = table.complete().unwrap_err().to_string();
        assert!(error.contains("input of line 2 should be a text, found nothing"), "{error}");
        let list = read(r#"[{"input": "a", "output": null}, {"input": "c", "output": "d"}]"#);
        assert_eq!(list.layout.empty, [of("item 1", "output")]);
        // The names are bounded, the count is not.
        let many = read(&format!("{}a,b", "a,\n".repeat(100_000)));
        assert_eq!((many.layout.left_out, many.layout.empty.len()), (100_000, 8));
        // Where none is left, the first is the error.
        let error = read_examples("a,\n,b", ExamplesFormat::Auto).unwrap_err().to_string();
        assert!(error.contains("output of line 1"), "{error}");
    }

    #[test]
    fn blanks_around_cells_and_quotation_marks_are_removed() {
        assert_eq!(read("\"bed, moon\", \"nose\""), pairs(&[("bed, moon", "nose")]));
        assert_eq!(read("\"bed, moon\" ,nose"), pairs(&[("bed, moon", "nose")]));
        assert_eq!(read(" a , b "), pairs(&[("a", "b")]));
        // A text in JSON is exact.
        assert_eq!(read(r#"{"input": " a\n", "output": "\tb "}"#), pairs(&[(" a\n", "\tb ")]));
        // Text that merely has quotation marks behind a blank.
        assert_eq!(read("he said, \"go\" now"), pairs(&[("he said", "\"go\" now")]));
    }

    #[test]
    fn a_file_in_another_encoding_is_read_or_refused_by_name() {
        let read = |bytes: &[u8]| {
            read_examples_file(bytes, ExamplesFormat::Auto).map(|read| read.examples)
        };
        let expected = vec![Example { input: "é".into(), output: "e".into() }];
        assert_eq!(read("é,e".as_bytes()).unwrap(), expected);
        let utf16: Vec<u16> = "é\te\r\n".encode_utf16().collect();
        let little: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        assert_eq!(read(&[b"\xff\xfe", &little[..]].concat()).unwrap(), expected);
        assert_eq!(read(&[b"\xfe\xff", &big[..]].concat()).unwrap(), expected);
        for bytes in [&little[..], &big, b"\xff\xfe\0\0a\0\0\0,\0\0\0b\0\0\0"] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains("UTF-8"), "{error}");
        }
        let error = read(b"a,b\n\xe9,e").unwrap_err().to_string();
        assert!(error.contains("line 2 should be text in UTF-8"), "{error}");
        assert!(error.contains("0xe9, as Windows-1252 has"), "{error}");
    }

    #[test]
    fn ten_thousand_rows_are_read_quickly() {
        let started = std::time::Instant::now();
        for row in ["a, b;c\n", "\"a, b\",c\n", "\"a\tb\n", "{\"text\":\"a\",\"label\":0}\n"] {
            assert_eq!(read(&row.repeat(10_000)).len(), 10_000, "{row}");
        }
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }

    #[test]
    fn every_task_of_big_bench_hard_is_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/bbh");
        let Ok(entries) = std::fs::read_dir(folder) else {
            println!("skipped: BIG-Bench Hard is not at {folder}");
            return;
        };
        let files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        assert_eq!(files.len(), 27);
        for path in files {
            let bytes = std::fs::read(&path).unwrap();
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            let expected = value["examples"].as_array().unwrap().len();
            let pretty = serde_json::to_vec_pretty(&value).unwrap();
            for bytes in [bytes, pretty] {
                let read = read_examples_file(&bytes, ExamplesFormat::Auto)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert_eq!(read.complete().unwrap().len(), expected, "{}", path.display());
            }
        }
    }

    #[test]
    fn errors_name_the_line_and_the_field() {
        for (text, part) in [
            ("{\"input\":\"a\",\"output\":\"b\"}\n{\"input\":\"a\"}", "line 2"),
            ("{\"input\":\"a\",\"output\":\" \"}", "output of line 1"),
            ("{\"input\":{},\"output\":\"b\"}", "input of line 1"),
            ("{\"input\":\"a\",\"output\":[1,2]}", "output of line 1 should be a text"),
            ("a,b\n\n,d", "input of line 3"),
            (
                "a,b\nc",
                "line 2 has 1 column; it needs 2: an input and an output, with a comma between",
            ),
            (
                "Well, yes, no,x",
                "line 1 has 4 columns; it needs 2: if the input has commas, put it in quotes",
            ),
            ("a;b\nc;d;e", "line 2 has 3 columns; it needs 2: if the input has semicolons"),
            ("\"a\nb\",c\nd,", "output of line 3"),
            ("\"a,b", "line 1"),
            ("a,b\n\"c\"x,d", "line 2"),
            ("input,output\n", "number"),
            ("", "number"),
            ("[1]", "item 1"),
            ("a\u{fffd},b", "line 1 should be text in UTF-8"),
            (&",".repeat(100), "columns"),
            (&format!("a,{}", "b".repeat(70_000)), "output of line 1"),
            (&"a,b\n".repeat(10_001), "number"),
        ] {
            let error = parse_examples(text, ExamplesFormat::Auto).unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
