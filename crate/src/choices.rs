//! Types with a closed list of named values, which forms offer: every such type says beside its declaration what
//! its values are called and what they do.

use serde::Serialize;

/// A value that a form offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Choice {
    /// The value, as it is in JSON.
    pub value: String,
    /// Name for people.
    pub label: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
}

/// A type with a closed list of named values.
pub trait Choices: Copy + Serialize + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// Label and help of a value.
    fn describe(self) -> (&'static str, &'static str);

    /// The name of a value in JSON.
    fn name(self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        json.as_str().unwrap_or_default().to_owned()
    }

    /// The list of all values.
    fn choices() -> Vec<Choice> {
        let choice = |&value: &Self| {
            let (label, help) = value.describe();
            Choice { value: value.name(), label, help }
        };
        Self::ALL.iter().map(choice).collect()
    }
}
