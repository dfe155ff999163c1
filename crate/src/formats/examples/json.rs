//! Examples in JSON: objects one after another, lists, and objects that hold a list.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::names::{Fields, INPUT_NAMES, OUTPUT_NAMES, listed};
use super::table::{Columns, Header};
use super::{Example, FormatError, ReadExamples, excerpt, invalid, list_name, unclear};

/// Names of the list in which a JSON object holds the examples, the first in BIG-Bench's files.
const LIST_NAMES: [&str; 4] = ["examples", "data", "instances", "rows"];
/// The shape of an example, for a message.
const SHAPE: &str = r#"{"input": "…", "output": "…"}"#;

/// Values as they are written: a number keeps all its digits.
type Object<'t> = BTreeMap<String, &'t RawValue>;

/// Whether a text starts as examples in JSON do. `[CLS] text` and `{name} asks` do not; an object with other
/// quotation marks does, so that its error says so.
pub(super) fn starts_as_json(text: &str) -> bool {
    let start = text.trim_start();
    let (Some(first), rest) = (start.chars().next(), start.get(1..).unwrap_or_default()) else {
        return false;
    };
    let rest = rest.trim_start();
    match first {
        '{' => {
            let name = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            rest.starts_with(['"', '\'', '“', '‘', '}'])
                || (name.len() < rest.len() && name.starts_with(':'))
        }
        '[' => rest.starts_with(['{', '[', '"', ']']),
        _ => false,
    }
}

/// Reads examples in JSON.
pub(super) fn read(text: &str) -> Result<ReadExamples, FormatError> {
    let mut read = ReadExamples::default();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let (mut line, mut counted) = (1, 0);
    loop {
        let rest = &text[values.byte_offset()..];
        let start = text.len() - rest.trim_start().len();
        line += text[counted..start].matches('\n').count();
        counted = start;
        let place = format!("line {line}");
        let Some(value) = values.next() else { return Ok(read) };
        let value = value.map_err(|error| not_json(&place, &error))?;
        if is_list(value) {
            push_list(&mut read, &place, value)?;
        } else {
            push_top_level(&mut read, &place, parse(&place, value)?)?;
        }
    }
}

/// Adds an object that is an example, or holds a list of them.
fn push_top_level(
    read: &mut ReadExamples,
    place: &str,
    object: Object<'_>,
) -> Result<(), FormatError> {
    let holds_list = |name: &&&str| object.get(**name).is_some_and(|value| is_list(value));
    let list = LIST_NAMES.iter().find(holds_list);
    let names: Vec<&String> = object.keys().collect();
    match (list, Fields::by_name(&names)) {
        // A record may have a list of its own in a field of that name.
        (Some(&name), Ok(None)) => {
            // As pandas writes a table with `orient="split"`.
            let columns = object.get("columns").filter(|columns| is_list(columns));
            let used = |other: &str| other == name || (other == "columns" && columns.is_some());
            names.iter().filter(|other| !used(other)).for_each(|other| {
                list_name(&mut read.layout.unused, other);
            });
            let mut header = Header::default();
            if let Some(columns) = columns {
                push_row(read, &mut header, &format!("columns of {place}"), columns)?;
            }
            push_items(read, place, object[name], header)
        }
        (_, Ok(Some(found))) => match columns(&object, &names, found) {
            Some(columns) => push_columns(read, place, &object, &names, columns, found),
            None => push_object(read, place, &object),
        },
        _ => push_object(read, place, &object),
    }
}

/// The number of items in each field of an object that holds columns, as `Dataset.to_dict` returns them.
fn columns(object: &Object<'_>, names: &[&String], found: Fields) -> Option<usize> {
    let length = |index: usize| -> Option<usize> {
        serde_json::from_str::<Vec<&RawValue>>(object[names[index]].get())
            .ok()
            .map(|list| list.len())
    };
    let count = length(found.output)?;
    let others = [found.instruction, found.input].into_iter().flatten();
    // The numbers of two lists are token ids, not examples.
    let is_text = |index: usize| object[names[index]].get().contains('"');
    let is_table = is_text(found.output) || others.clone().any(is_text);
    (count != 1 && is_table && others.into_iter().all(|index| length(index) == Some(count)))
        .then_some(count)
}

fn push_columns(
    read: &mut ReadExamples,
    place: &str,
    object: &Object<'_>,
    names: &[&String],
    count: usize,
    found: Fields,
) -> Result<(), FormatError> {
    let mut columns: BTreeMap<usize, Vec<&RawValue>> = BTreeMap::new();
    for index in [found.instruction, found.input, Some(found.output)].into_iter().flatten() {
        columns.insert(index, parse(place, object[names[index]])?);
    }
    read.layout.note(names, found);
    (0..count).try_for_each(|row| {
        let place = format!("item {}", row + 1);
        let (input, output) =
            found.read(|index| text_in(&place, names[index], columns[&index][row]))?;
        read.push(&place, input, output)
    })
}

/// Adds a list of examples, or the one that a line of two texts is.
fn push_list(read: &mut ReadExamples, place: &str, list: &RawValue) -> Result<(), FormatError> {
    let is_row = {
        let items: Vec<&RawValue> = parse(place, list)?;
        items.len() == 2 && items.iter().all(|item| !is_list(item) && !is_object(item))
    };
    if is_row {
        return push_row(read, &mut Header::default(), place, list);
    }
    push_items(read, place, list, Header::default())
}

fn push_items(
    read: &mut ReadExamples,
    place: &str,
    list: &RawValue,
    mut header: Header,
) -> Result<(), FormatError> {
    for (index, item) in parse::<Vec<&RawValue>>(place, list)?.into_iter().enumerate() {
        let place = format!("item {}", index + 1);
        if is_list(item) {
            push_row(read, &mut header, &place, item)?;
            continue;
        }
        let mut object: Object<'_> = parse(&place, item)?;
        match object.get("row").copied() {
            // As Hugging Face's dataset viewer returns rows.
            Some(row) if is_object(row) => {
                object.remove("row");
                object.keys().for_each(|name| list_name(&mut read.layout.unused, name));
                push_object(read, &place, &parse(&place, row)?)?;
            }
            _ => push_object(read, &place, &object)?,
        }
    }
    Ok(())
}

/// Adds a row that is a list; the first one may be a header.
fn push_row(
    read: &mut ReadExamples,
    header: &mut Header,
    place: &str,
    row: &RawValue,
) -> Result<(), FormatError> {
    let cells = parse::<Vec<&RawValue>>(place, row)?.into_iter();
    let cells = cells.map(|cell| text_in(place, "a cell", cell));
    let cells = cells.collect::<Result<Vec<String>, FormatError>>()?;
    let columns = header.columns(&mut read.layout, place, &cells, cells.len())?;
    let Some(Columns { fields, most, .. }) = columns else { return Ok(()) };
    if cells.len() != most {
        return Err(not_example(place, row));
    }
    let (input, output) = fields.read(|index| Ok::<_, FormatError>(cells[index].clone()))?;
    read.push(place, input, output)
}

/// The turns of a conversation, as chat models are trained on.
#[derive(Deserialize)]
struct Turn {
    #[serde(alias = "from")]
    role: String,
    #[serde(alias = "value")]
    content: String,
}

/// The question and the answer of a conversation, if an object holds one: what the system says stands before
/// the question, on a line of its own.
fn conversation(place: &str, object: &Object<'_>) -> Result<Option<Example>, FormatError> {
    let held = ["messages", "conversations", "conversation"];
    let Some(turns) = held
        .iter()
        .find_map(|&name| serde_json::from_str::<Vec<Turn>>(object.get(name)?.get()).ok())
    else {
        return Ok(None);
    };
    let said = |roles: &[&str]| {
        turns.iter().filter(|turn| roles.contains(&turn.role.as_str())).collect::<Vec<_>>()
    };
    let system = said(&["system"]);
    match (&said(&["user", "human"])[..], &said(&["assistant", "gpt", "model"])[..]) {
        ([user], [assistant]) if system.len() + 2 == turns.len() => {
            let input = system.iter().chain([user]).map(|turn| turn.content.as_str());
            let input = input.collect::<Vec<_>>().join("\n");
            Ok(Some(Example { input, output: assistant.content.clone() }))
        }
        _ => {
            let expected = "a conversation of one question and one answer".into();
            Err(invalid(place, expected, format!("{} turns", turns.len())))
        }
    }
}

fn push_object(
    read: &mut ReadExamples,
    place: &str,
    object: &Object<'_>,
) -> Result<(), FormatError> {
    let names: Vec<&String> = object.keys().collect();
    let found = Fields::by_name(&names).map_err(|found| unclear(place, found))?;
    let Some(found) = found else {
        if let Some(Example { input, output }) = conversation(place, object)? {
            list_name(&mut read.layout.input, "user");
            list_name(&mut read.layout.output, "assistant");
            return read.push(place, input, output);
        }
        let expected = format!(
            "an object with an input ({}, …) and an output ({}, …)",
            listed(&INPUT_NAMES),
            listed(&OUTPUT_NAMES)
        );
        return Err(invalid(place, expected, found_fields(object, &names)));
    };
    let (input, output) = found.read(|index| text_in(place, names[index], object[names[index]]))?;
    read.layout.note(&names, found);
    read.push(place, input, output)
}

/// What an object has that is no example.
fn found_fields(object: &Object<'_>, names: &[&String]) -> String {
    let list =
        |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let languages = object
        .get("translation")
        .and_then(|languages| serde_json::from_str::<Object<'_>>(languages.get()).ok());
    match languages {
        Some(languages) => format!(
            "a translation between {}, which does not say what the input is",
            list(&languages.keys().collect::<Vec<_>>())
        ),
        None => format!("the fields {}", excerpt(&list(names))),
    }
}

/// The text of a field.
fn text_in(place: &str, name: &str, value: &RawValue) -> Result<String, FormatError> {
    text_of(value).ok_or_else(|| {
        invalid(
            &format!("{name} of {place}"),
            "a text, a number or a list of one".into(),
            excerpt(value.get()),
        )
    })
}

/// A field's text: a number or boolean as it is written, the only item of a list, nothing for null.
fn text_of(value: &RawValue) -> Option<String> {
    match value.get().as_bytes().first()? {
        b'"' => serde_json::from_str(value.get()).ok(),
        b'{' => None,
        b'[' => match serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?[..] {
            [item] if !is_list(item) => text_of(item),
            _ => None,
        },
        b'n' => Some(String::new()),
        _ => Some(value.get().into()),
    }
}

fn is_list(value: &RawValue) -> bool {
    value.get().starts_with('[')
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

/// A value that is an object or a list, one level of it.
fn parse<'t, T: Deserialize<'t>>(place: &str, value: &'t RawValue) -> Result<T, FormatError> {
    if !is_list(value) && !is_object(value) {
        return Err(not_example(place, value));
    }
    serde_json::from_str(value.get()).map_err(|error| not_json(place, &error))
}

fn not_json(place: &str, error: &serde_json::Error) -> FormatError {
    invalid(place, SHAPE.into(), excerpt(&error.to_string()))
}

fn not_example(place: &str, found: &RawValue) -> FormatError {
    invalid(place, SHAPE.into(), excerpt(found.get()))
}
