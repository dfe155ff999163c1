//! Reader of few-shot examples and test sets: JSON lines as Hugging Face's datasets export them, a JSON
//! list, CSV and TSV.
//!
//! The table reader is part of this crate because its errors name a line and a field, and because text
//! pasted from a spreadsheet may start with a quotation mark that is not a quote.

use serde::{Deserialize, Serialize};

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
/// Names of the column that holds the input, the first as this project writes it, the others as
/// Hugging Face's datasets do.
const INPUT_NAMES: [&str; 3] = ["input", "inputs", "source"];
/// Names of the column that holds the output.
const OUTPUT_NAMES: [&str; 5] = ["output", "outputs", "target", "targets", "label"];

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
    /// Detected: JSON starts with a brace or a bracket, TSV has a tab in its first line, all else is CSV.
    #[default]
    Auto,
    /// One JSON object per line, or one JSON list of objects.
    Jsonl,
    /// Comma-separated values, quoted where needed; the header line is optional.
    Csv,
    /// Tab-separated values; the header line is optional.
    Tsv,
}

/// Reads examples, skipping blank lines.
///
/// # Errors
/// [`FormatError::Invalid`] naming the line and the field that is missing, empty or too long, or if
/// there is no example at all.
pub fn parse_examples(text: &str, format: ExamplesFormat) -> Result<Vec<Example>, FormatError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(invalid(
            "their length",
            format!("at most {MAX_TEXT_BYTES} bytes"),
            format!("{} bytes", text.len()),
        ));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let format = match format {
        ExamplesFormat::Auto => detect(text),
        chosen => chosen,
    };
    let examples = match format {
        ExamplesFormat::Csv => parse_table(text, ',')?,
        ExamplesFormat::Tsv => parse_table(text, '\t')?,
        ExamplesFormat::Jsonl | ExamplesFormat::Auto => parse_json(text)?,
    };
    if examples.is_empty() {
        return Err(invalid("their number", "at least 1".into(), "none".into()));
    }
    Ok(examples)
}

fn detect(text: &str) -> ExamplesFormat {
    let start = text.trim_start();
    let first_line = start.lines().next().unwrap_or_default();
    if start.starts_with(['{', '[']) {
        ExamplesFormat::Jsonl
    } else if first_line.contains('\t') {
        ExamplesFormat::Tsv
    } else {
        ExamplesFormat::Csv
    }
}

/// An example as JSON holds it, under any of the names in use.
#[derive(Deserialize)]
struct JsonExample {
    #[serde(alias = "inputs", alias = "source")]
    input: String,
    #[serde(alias = "outputs", alias = "target", alias = "targets", alias = "label")]
    output: String,
}

fn parse_json(text: &str) -> Result<Vec<Example>, FormatError> {
    let mut examples = Vec::new();
    let not_example = |place: String, error: serde_json::Error| {
        let expected = r#"{"input": "…", "output": "…"}"#;
        invalid(&place, expected.into(), excerpt(&error.to_string()))
    };
    if text.trim_start().starts_with('[') {
        let list: Vec<JsonExample> =
            serde_json::from_str(text).map_err(|error| not_example("each item".into(), error))?;
        for (index, example) in list.into_iter().enumerate() {
            push(&mut examples, &format!("item {}", index + 1), example.input, example.output)?;
        }
        return Ok(examples);
    }
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("line {}", index + 1);
        let example: JsonExample =
            serde_json::from_str(line).map_err(|error| not_example(place.clone(), error))?;
        push(&mut examples, &place, example.input, example.output)?;
    }
    Ok(examples)
}

fn parse_table(text: &str, delimiter: char) -> Result<Vec<Example>, FormatError> {
    let mut examples = Vec::new();
    let mut columns = None;
    let mut rows = Rows { rest: text, delimiter, line: 1 };
    let mut first = true;
    while let Some((line, row)) = rows.next_row()? {
        if row.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if std::mem::replace(&mut first, false) {
            columns = header(&row);
            if columns.is_some() {
                continue;
            }
        }
        let place = format!("line {line}");
        let (input, output) = columns.unwrap_or((0, 1));
        if columns.is_none() && row.len() != 2 {
            return Err(invalid(
                &place,
                "2 columns, or a header line that names input and output".into(),
                format!("{} columns", row.len()),
            ));
        }
        let field = |index: usize| row.get(index).cloned().unwrap_or_default();
        push(&mut examples, &place, field(input), field(output))?;
    }
    Ok(examples)
}

/// The columns of input and output, if the row names both.
fn header(row: &[String]) -> Option<(usize, usize)> {
    let place = |names: &[&str]| {
        row.iter().position(|field| names.contains(&field.trim().to_lowercase().as_str()))
    };
    Some((place(&INPUT_NAMES)?, place(&OUTPUT_NAMES)?))
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
        if self.rest.starts_with('"')
            && let Some(field) = self.quoted_field()?
        {
            return Ok(field);
        }
        let end = self.rest.find([self.delimiter, '\n', '\r']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(field.into())
    }

    /// A quoted field, or `None` in TSV if the quotes do not enclose the field.
    fn quoted_field(&mut self) -> Result<Option<String>, FormatError> {
        let (mut field, mut rest) = (String::new(), &self.rest[1..]);
        let problem = loop {
            let Some(mark) = rest.find('"') else { break "no closing quotation mark" };
            field.push_str(&rest[..mark]);
            rest = &rest[mark + 1..];
            if let Some(after) = rest.strip_prefix('"') {
                field.push('"');
                rest = after;
            } else if rest.is_empty() || rest.starts_with([self.delimiter, '\n', '\r']) {
                self.line += field.matches('\n').count();
                self.rest = rest;
                return Ok(Some(field));
            } else {
                break "text after the closing quotation mark";
            }
        };
        if self.delimiter == '\t' {
            return Ok(None);
        }
        Err(invalid(
            &format!("line {}", self.line),
            "a quoted value, with quotation marks inside it doubled".into(),
            problem.into(),
        ))
    }
}

fn push(
    examples: &mut Vec<Example>,
    place: &str,
    input: String,
    output: String,
) -> Result<(), FormatError> {
    for (name, text) in [("input", &input), ("output", &output)] {
        if text.trim().is_empty() {
            return Err(invalid(&format!("{name} of {place}"), "a text".into(), "nothing".into()));
        }
        if text.len() > MAX_FIELD_BYTES {
            return Err(invalid(
                &format!("{name} of {place}"),
                format!("at most {MAX_FIELD_BYTES} bytes long"),
                format!("{} bytes", text.len()),
            ));
        }
    }
    if examples.len() == MAX_EXAMPLES {
        return Err(invalid("their number", format!("at most {MAX_EXAMPLES}"), "more".into()));
    }
    examples.push(Example { input, output });
    Ok(())
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
    fn errors_name_the_line_and_the_field() {
        for (text, part) in [
            ("{\"input\":\"a\",\"output\":\"b\"}\n{\"input\":\"a\"}", "line 2"),
            ("{\"input\":\"a\",\"output\":\" \"}", "output of line 1"),
            ("{\"input\":1,\"output\":\"b\"}", "line 1"),
            ("a,b\n\n,d", "input of line 3"),
            ("a,b\nc", "line 2 should be 2 columns"),
            ("\"a\nb\",c\nd,", "output of line 3"),
            ("\"a,b", "line 1"),
            ("a,b\n\"c\"x,d", "line 2"),
            ("input,output\n", "number"),
            ("", "number"),
            ("[1]", "each item"),
            (&",".repeat(100), "columns"),
            (&format!("a,{}", "b".repeat(70_000)), "output of line 1"),
            (&"a,b\n".repeat(10_001), "number"),
        ] {
            let error = parse_examples(text, ExamplesFormat::Auto).unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
