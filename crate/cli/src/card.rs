//! What the README.md of a model or module says of it.

use std::path::Path;

use loraloom::formats::Example;

/// The first heading of a card that PEFT wrote and nobody filled in.
const UNFILLED: &str = "Model Card for Model ID";

/// The parts of a card that a registry holds.
#[derive(Debug, Default, PartialEq)]
pub struct Card {
    pub title: Option<String>,
    pub task: Option<String>,
    pub example: Option<Example>,
    pub license: Option<String>,
    pub tags: Vec<String>,
}

impl Card {
    /// Reads the card of a folder; one that is missing says nothing.
    pub fn read(folder: &Path) -> Self {
        let text = std::fs::read(folder.join("README.md")).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Self {
        let mut card = Self::default();
        let mut lines = text.lines().map(str::trim).peekable();
        if lines.next_if_eq(&"---").is_some() {
            let mut list = false;
            for line in lines.by_ref().take_while(|line| *line != "---") {
                if let Some(tags) = line.strip_prefix("tags:") {
                    list = tags.trim().is_empty();
                    let tags = tags.trim().trim_start_matches('[').trim_end_matches(']');
                    card.tags.extend(words(tags.split(',')));
                } else if let (true, Some(tag)) = (list, line.strip_prefix("- ")) {
                    card.tags.extend(words([tag].into_iter()));
                } else {
                    list = false;
                    card.license = card.license.or(after(line, "license:"));
                }
            }
        }
        for line in lines {
            card.title = card.title.or(after(line, "# ").filter(|title| title != UNFILLED));
            card.task = card.task.or(after(line, "- Task:"));
            card.example = card.example.or(after(line, "- Example:").and_then(|e| example(&e)));
            card.license = after(line, "- Licence:").or(card.license);
        }
        card
    }
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let quotes = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    words.map(move |word| word.trim_matches(quotes).to_owned()).filter(|word| !word.is_empty())
}

/// What follows a mark at the start of a line.
fn after(line: &str, mark: &str) -> Option<String> {
    let rest = line.strip_prefix(mark)?.trim();
    (!rest.is_empty()).then(|| rest.to_owned())
}

/// An example written as `` `input` → `output` ``.
fn example(text: &str) -> Option<Example> {
    let (input, output) = text.strip_prefix('`')?.strip_suffix('`')?.split_once("` → `")?;
    Some(Example { input: input.into(), output: output.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read_whole_or_in_part() {
        let card = Card::parse(
            "---\nlicense: mit\ntags: [lora, \"skill\"]\n---\n# Find the animal\n\nA module.\n\n\
             - Task: Find the animal.\n- Example: `cat, oak` → `cat`\n- Licence: MIT OR Apache-2.0\n",
        );
        let example = Example { input: "cat, oak".into(), output: "cat".into() };
        assert_eq!(card.title.as_deref(), Some("Find the animal"));
        assert_eq!(card.task.as_deref(), Some("Find the animal."));
        assert_eq!(card.example, Some(example));
        assert_eq!(card.license.as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(card.tags, ["lora", "skill"]);
        let card = Card::parse("---\ntags:\n- a\n- b\nlicense: apache-2.0\n---\n");
        assert_eq!((card.tags.len(), card.license.as_deref()), (2, Some("apache-2.0")));
        assert_eq!(Card::parse("# Model Card for Model ID\n- Example: none\n"), Card::default());
    }
}
