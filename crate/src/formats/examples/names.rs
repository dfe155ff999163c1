//! Which fields of a record hold an example, by the names that datasets use.

/// Names of the field that holds the input, as this project and Hugging Face's datasets write them, in the
/// order in which they are looked for.
pub(super) const INPUT_NAMES: [&[&str]; 3] = [
    &["input", "inputs"],
    &["source", "text", "sentence", "question", "prompt", "context", "query", "document"],
    &[
        "input_text",
        "source_text",
        "question_text",
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
    ],
];
/// Names of the field that holds the output, in the order in which they are looked for.
pub(super) const OUTPUT_NAMES: [&[&str]; 3] = [
    &["output", "outputs"],
    &["target", "targets", "label", "labels", "answer", "completion", "response"],
    &[
        "output_text",
        "target_text",
        "label_text",
        "answer_text",
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
        "translation",
        "paraphrase",
        "correction",
        "expected",
        "expected_output",
        "reference",
        "gold",
        "ground_truth",
        "solution",
        "result",
        "reply",
        "assistant",
    ],
];
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
    /// The names of several fields that could each be the input, or the output.
    pub(super) fn by_name<T: AsRef<str>>(names: &[T]) -> Result<Option<Self>, String> {
        let names: Vec<String> = names.iter().map(normal).collect();
        let place = |name: &str| names.iter().position(|found| found == name);
        let instruction = place(INSTRUCTION_NAME);
        let (input, output) = (pick(&INPUT_NAMES, place), pick(&OUTPUT_NAMES, place));
        if output == Ok(None) || (input == Ok(None) && instruction.is_none()) {
            return Ok(None);
        }
        Ok(output?.zip(Some(input?)).map(|(output, input)| Self { instruction, input, output }))
    }

    /// The fields of a table whose first row this is, if it is a header: of two columns, one may have any
    /// name.
    ///
    /// # Errors
    /// As [`Fields::by_name`].
    pub(super) fn of_header(row: &[String]) -> Result<Option<Self>, String> {
        let found = Self::by_name(row)?;
        let [first, second] = row else { return Ok(found) };
        if found.is_some() || [first, second].iter().any(|name| name.trim().is_empty()) {
            return Ok(found);
        }
        // Names that are looked for last are words of an example too.
        let is_common = |name: &String| {
            let name = normal(name);
            [&INPUT_NAMES, &OUTPUT_NAMES]
                .iter()
                .any(|names| names[..2].iter().any(|names| names.contains(&name.as_str())))
        };
        let is_input = |name: &String| is_among(&INPUT_NAMES, name);
        let is_output = |name: &String| is_among(&OUTPUT_NAMES, name);
        let output = if is_common(first) {
            usize::from(!is_output(first))
        } else if is_common(second) {
            usize::from(!is_input(second))
        } else {
            return Ok(None);
        };
        Ok(Some(Self { instruction: None, input: Some(1 - output), output }))
    }

    /// Whether a row has nothing but this project's own names, and so is no example.
    pub(super) fn are_named_by(row: &[String]) -> bool {
        let named = |names: &[&str], cell: &String| names.contains(&normal(cell).as_str());
        let is_input = |cell: &String| named(INPUT_NAMES[0], cell);
        let is_output =
            |cell: &String| named(OUTPUT_NAMES[0], cell) || named(&["target", "targets"], cell);
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

/// The names in one list, for a message.
pub(super) fn listed(names: &[&[&str]; 3]) -> String {
    names[..2].concat().join(", ")
}

fn normal<T: AsRef<str>>(name: T) -> String {
    name.as_ref().trim().to_lowercase()
}

fn is_among(lists: &[&[&str]; 3], name: &String) -> bool {
    let name = normal(name);
    lists.iter().any(|names| names.contains(&name.as_str()))
}

/// The field with the first name of a list, by a function that returns the field of a name.
fn pick(
    lists: &[&[&str]; 3],
    place: impl Fn(&str) -> Option<usize>,
) -> Result<Option<usize>, String> {
    for (index, names) in lists.iter().enumerate() {
        let found: Vec<&str> = names.iter().copied().filter(|name| place(name).is_some()).collect();
        match found[..] {
            [] => {}
            [_, _, ..] if index > 0 => return Err(found.join(" and ")),
            [first, ..] => return Ok(place(first)),
        }
    }
    Ok(None)
}
