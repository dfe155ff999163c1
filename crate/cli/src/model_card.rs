//! Model cards: the README.md of a model or module, with its front matter in YAML.

use loraloom::formats::Example;
use loraloom::registry::ModuleResult;
use serde_json::Value;

use crate::error::{CliError, read};
use crate::folder::Folder;

/// The title of a card that PEFT wrote and nobody filled in.
const UNFILLED: &str = "Model Card for Model ID";

/// The parts of a model card that a registry holds.
#[derive(Debug, Default, PartialEq)]
pub struct ModelCard {
    pub title: Option<String>,
    pub task: Option<String>,
    pub example: Option<Example>,
    pub license: Option<String>,
    pub tags: Vec<String>,
    pub result: Option<ModuleResult>,
}

impl ModelCard {
    /// Reads the model card of a folder; without one, every part is empty.
    pub fn read(folder: &Folder) -> Result<Self, CliError> {
        let path = folder.first(&["README.md"])?;
        let text = path.map(|path| read(&path)).transpose()?.unwrap_or_default();
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// Reads a model card. Front matter that is not valid YAML is ignored.
    fn parse(text: &str) -> Self {
        let (front_matter, body) = split(text);
        let front_matter: Value = serde_saphyr::from_str(&front_matter).unwrap_or_default();
        let mut card = Self {
            license: texts(&front_matter["license"]).into_iter().next(),
            tags: texts(&front_matter["tags"]),
            ..Self::default()
        };
        for line in body {
            card.title = card.title.or(after(line, "# ").filter(|title| title != UNFILLED));
            card.task = card.task.or(after(line, "- Task:"));
            card.example = card.example.or(after(line, "- Example:").and_then(|e| example(&e)));
            let license = after(line, "- License:").or(after(line, "- Licence:"));
            card.license = license.or(card.license);
            card.result = card.result.or(after(line, "- Result").and_then(|r| result(&r)));
        }
        card
    }
}

/// The front matter between two lines of `---`, empty where there is none, and the trimmed lines after
/// it.
fn split(text: &str) -> (String, impl Iterator<Item = &str>) {
    let mut lines = text.lines().peekable();
    let mut front_matter = String::new();
    if lines.next_if(|line| line.trim() == "---").is_some() {
        for line in lines.by_ref().take_while(|line| line.trim() != "---") {
            front_matter += line;
            front_matter.push('\n');
        }
    }
    (front_matter, lines.map(str::trim))
}

/// The texts of a YAML value: one, or a list of them.
fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let all = match value {
        Value::Array(values) => values.iter().filter_map(text).collect(),
        one => Vec::from_iter(text(one)),
    };
    all.into_iter().filter(|text| !text.is_empty()).collect()
}

/// The text after a prefix of the line, if there is any.
fn after(line: &str, prefix: &str) -> Option<String> {
    let rest = line.strip_prefix(prefix)?.trim();
    (!rest.is_empty()).then(|| rest.to_owned())
}

/// An example written as `` `input` → `output` ``.
fn example(text: &str) -> Option<Example> {
    let (input, output) = text.strip_prefix('`')?.strip_suffix('`')?.split_once("` → `")?;
    Some(Example { input: input.into(), output: output.into() })
}

/// A result written as `exact match: 81.0 % (base: 0.0 %)` at the end of a line.
fn result(text: &str) -> Option<ModuleResult> {
    let (_, scores) = text.split_once("exact match: ")?;
    let (exact_match, base) = scores.trim_end_matches('.').split_once(" % (base: ")?;
    let percent = |text: &str| text.trim().parse().ok().filter(|p| (0.0..=100.0).contains(p));
    Some(ModuleResult {
        exact_match: percent(exact_match)?,
        base_exact_match: percent(base.strip_suffix(" %)")?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_card_is_read_whole_or_in_part() {
        let card = ModelCard::parse(
            "---\nlicense: mit\ntags: [lora, \"skill\"]\n---\n# Find the animal\n\nA module.\n\n\
             - Task: Find the animal.\n- Example: `cat, oak` → `cat`\n- Licence: MIT OR Apache-2.0\n",
        );
        let example = Example { input: "cat, oak".into(), output: "cat".into() };
        assert_eq!(card.title.as_deref(), Some("Find the animal"));
        assert_eq!(card.task.as_deref(), Some("Find the animal."));
        assert_eq!(card.example, Some(example));
        assert_eq!(card.license.as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(card.tags, ["lora", "skill"]);
        let card = ModelCard::parse("---\ntags:\n- a\n- b\nlicense: apache-2.0\n---\n");
        assert_eq!((card.tags.len(), card.license.as_deref()), (2, Some("apache-2.0")));
        let unfilled = ModelCard::parse("# Model Card for Model ID\n- Example: none\n");
        assert_eq!(unfilled, ModelCard::default());
    }

    #[test]
    fn front_matter_may_hold_whatever_yaml_does() {
        let card = ModelCard::parse(
            "---\n# A comment\nlicense: \"cc-by-4.0\" # another\nmodel-index:\n  - name: a\n    \
             results: []\ntags:\n  - &base lora\n  - 2024\n  - 'two: words'\ndescription: >\n  \
             license: not this\n---\n- License: MIT\n",
        );
        assert_eq!(card.tags, ["lora", "2024", "two: words"]);
        assert_eq!(card.license.as_deref(), Some("MIT"));
        for broken in ["---\ntags: [a\n---\n# Title", "---\n\t- :\n---\n# Title"] {
            let title = Some("Title".into());
            assert_eq!(ModelCard::parse(broken), ModelCard { title, ..ModelCard::default() });
        }
        assert_eq!(ModelCard::parse("---\nlicense: mit").license.as_deref(), Some("mit"));
    }
}
