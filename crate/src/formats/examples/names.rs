//! Which fields of a record hold an example, by the names that datasets use.

/// Names of the field that holds the input, as this project and Hugging Face's datasets write them, in the
/// order in which they are looked for.
pub(super) const INPUT_NAMES: [&[&str]; 3] = [
    &["inputs_pretokenized", "input", "inputs", "input_text", "source_text", "question_text"],
    &["source", "text", "sentence", "question", "prompt", "context", "query", "document"],
    &[
        "src",
        "article",
        "passage",
        "content",
        "review",
        "tweet",
        "comment",
        "message",
        "email",
        "dialogue",
        "dialog",
        "utterance",
        "user",
        "human",
        "original",
        "q",
    ],
];
/// Names of the field that holds the output, in the order in which they are looked for.
pub(super) const OUTPUT_NAMES: [&[&str]; 3] = [
    &[
        "targets_pretokenized",
        "output",
        "outputs",
        "output_text",
        "target_text",
        "label_text",
        "answer_text",
    ],
    &["target", "targets", "label", "labels", "answer", "answers", "completion", "response"],
    &[
        "tgt",
        "summary",
        "highlights",
        "headline",
        "sentiment",
        "category",
        "class",
        "emotion",
        "intent",
        "topic",
        "rating",
        "translation",
        "paraphrase",
        "correction",
        "corrected",
        "expected",
        "expected_output",
        "reference",
        "gold",
        "ground_truth",
        "solution",
        "result",
        "reply",
        "assistant",
        "ai",
        "a",
    ],
];
/// Names of columns that number or locate a record, and are no output.
const ID_NAMES: [&str; 10] =
    ["id", "idx", "index", "key", "no", "nr", "row", "url", "guid", "unnamed:_0"];
/// Name of the field that goes before the input, on a line of its own, as in Alpaca's data.
const INSTRUCTION_NAME: &str = "instruction";

/// Which of a record's fields hold an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fields {
    pub(super) instruction: Option<usize>,
    pub(super) input: Option<usize>,
    pub(super) output: usize,
}

impl Fields {
    /// The fields of a table of two columns without a header.
    pub(super) const TWO_COLUMNS: Self = Self { instruction: None, input: Some(0), output: 1 };

    /// The fields of a record by their names, if they name an input and an output.
    ///
    /// # Errors
    /// What was found, where several fields could each be the input, or the output.
    pub(super) fn by_name<T: AsRef<str>>(names: &[T]) -> Result<Option<Self>, String> {
        let normal: Vec<String> = names.iter().map(normal).collect();
        // Of two names that differ in case, the exact one.
        let place = |name: &str| {
            let exact = names.iter().position(|found| found.as_ref() == name);
            exact.or_else(|| normal.iter().position(|found| found == name))
        };
        let instruction = place(INSTRUCTION_NAME);
        let input = pick(&INPUT_NAMES, &normal, place);
        let output = pick(&OUTPUT_NAMES, &normal, place);
        if output == Ok(None) || (input == Ok(None) && instruction.is_none()) {
            return Ok(None);
        }
        Ok(output?.zip(Some(input?)).map(|(output, input)| Self { instruction, input, output }))
    }

    /// The fields of a table whose first row this is, if it is a header: of two columns, one may have any
    /// name.
    ///
    /// # Errors
    /// As [`Fields::by_name`], and where the other of two columns is no output.
    pub(super) fn of_header(row: &[String]) -> Result<Option<Self>, String> {
        let found = Self::by_name(row)?;
        let [first, second] = row else { return Ok(found) };
        let names = [first, second].map(normal);
        if found.is_some() || names.iter().any(String::is_empty) {
            return Ok(found);
        }
        // Names that are looked for last are words of an example too.
        let is_common =
            |name: &String| is_among(&INPUT_NAMES[..2], name) || is_among(&OUTPUT_NAMES[..2], name);
        if !names.iter().any(is_common) {
            return Ok(None);
        }
        if names.iter().any(|name| ID_NAMES.contains(&name.as_str())) {
            return Err(format!("{first} and {second}, of which neither is an output"));
        }
        let output = if is_common(&names[0]) {
            usize::from(!is_among(&OUTPUT_NAMES, &names[0]))
        } else {
            usize::from(!is_among(&INPUT_NAMES, &names[1]))
        };
        Ok(Some(Self { instruction: None, input: Some(1 - output), output }))
    }

    /// Whether a row has nothing but this project's own names, and so is no example.
    pub(super) fn are_named_by(row: &[String]) -> bool {
        const OWN: [[&str; 2]; 2] = [["input", "inputs"], ["output", "outputs"]];
        let named = |names: &[&str], cell: &String| names.contains(&normal(cell).as_str());
        let is_input = |cell: &String| named(&OWN[0], cell);
        let is_output = |cell: &String| named(&OWN[1], cell) || named(&["target", "targets"], cell);
        row.iter().any(is_input)
            && row.iter().any(is_output)
            && row.iter().all(|cell| is_input(cell) || is_output(cell))
    }

    /// The input and the output of a record, by a function that returns a field's text.
    pub(super) fn read<E>(
        self,
        field: impl Fn(usize) -> Result<String, E>,
    ) -> Result<(String, String), E> {
        let text = |place: Option<usize>| place.map(&field).transpose();
        let parts = [text(self.instruction)?, text(self.input)?];
        let input = match parts.map(|part| part.filter(|text| !text.trim().is_empty())) {
            [Some(instruction), Some(input)] => format!("{instruction}\n{input}"),
            [instruction, input] => instruction.or(input).unwrap_or_default(),
        };
        Ok((input, field(self.output)?))
    }
}

fn is_among(lists: &[&[&str]], name: &str) -> bool {
    lists.iter().any(|list| list.contains(&name))
}

/// The names in one list, for a message.
pub(super) fn listed(names: &[&[&str]; 3]) -> String {
    names[..2].concat().join(", ")
}

/// A name without its case, and without the marks that people write around names.
pub(super) fn normal<T: AsRef<str>>(name: T) -> String {
    let name = name.as_ref().trim().trim_matches(['*', '`']);
    let name = name.split_once('(').map_or(name, |(name, _)| name).trim().trim_end_matches(':');
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

/// The field with the first name of a list, by a function that returns the field of a name; else the only one
/// whose name starts with one of the list, as `input_sentence` does.
fn pick(
    lists: &[&[&str]; 3],
    names: &[String],
    place: impl Fn(&str) -> Option<usize>,
) -> Result<Option<usize>, String> {
    for (index, list) in lists.iter().enumerate() {
        let found: Vec<&str> = list.iter().copied().filter(|name| place(name).is_some()).collect();
        match found[..] {
            [] => {}
            [_, _, ..] if index > 0 => {
                return Err(format!("{}, each of which could be it", found.join(" and ")));
            }
            [first, ..] => return Ok(place(first)),
        }
    }
    let starts = |name: &str| {
        lists[..2].iter().any(|list| {
            list.iter()
                .any(|start| name.strip_prefix(start).is_some_and(|rest| rest.starts_with('_')))
        })
    };
    let mut found = (0..names.len()).filter(|&index| starts(&names[index]));
    Ok(found.next().filter(|_| found.next().is_none()))
}
