//! The description of every setting of [`LearnOptions`]: label, help, limits, default and choices, for
//! a command line, a page, and [`LearnOptions::validate`].

use serde::Serialize;

use super::{LearnError, LearnOptions};
use crate::choices::{Choice, Choices};

/// One setting of a learning run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Setting {
    /// The field of [`LearnOptions`], in camel case.
    #[cfg_attr(feature = "typescript", ts(type = "Exclude<keyof LearnOptions, \"held\">"))]
    pub name: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// What it does, in a sentence or two.
    pub help: &'static str,
    /// Its values.
    pub kind: SettingKind,
}

/// The values of a setting; limits are inclusive.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum SettingKind {
    /// A whole number.
    Integer {
        /// Smallest value.
        min: u32,
        /// Largest value.
        max: u32,
        /// Value where none is given.
        default: u32,
    },
    /// A finite number.
    Number {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Value where none is given.
        default: f64,
        /// Increment of an input field.
        step: f64,
    },
    /// One of a list.
    Choice {
        /// The list.
        choices: Vec<Choice>,
        /// Value where none is given.
        default: String,
    },
}

/// Every setting, in the order in which to show them.
pub fn settings() -> Vec<Setting> {
    let LearnOptions {
        budget,
        seconds,
        optimizer,
        selection,
        modules,
        merge,
        objective,
        seed,
        bound,
        regularization,
        // Modules and weights, of which a form has nothing to say.
        held: _,
    } = LearnOptions::default();
    let integer = |min, max, default| SettingKind::Integer { min, max, default };
    let number = |min, max, default| SettingKind::Number { min, max, default, step: 0.01 };
    fn choice<T: Choices>(default: T) -> SettingKind {
        SettingKind::Choice { choices: T::choices(), default: default.name() }
    }
    let setting = |name, label, help, kind| Setting { name, label, help, kind };
    vec![
        setting(
            "budget",
            "Budget",
            "Most evaluations of the examples. More find better weights: 105 help tasks that need three modules; 35 take half the time of 65.",
            integer(2, 10_000, budget),
        ),
        setting(
            "seconds",
            "Time limit",
            "Seconds of evaluations after which the search ends; 0 for none.",
            number(0.0, 1_000_000.0, seconds),
        ),
        setting("optimizer", "Optimizer", "How the search proposes weights.", choice(optimizer)),
        setting(
            "selection",
            "Modules to use",
            "Which modules the search mixes.",
            choice(selection),
        ),
        setting(
            "modules",
            "Modules at most",
            "Most modules that the selection keeps.",
            integer(1, 1_000, modules),
        ),
        setting("merge", "Merge", "How modules become one update.", choice(merge)),
        setting("objective", "Objective", "Loss that the search minimizes.", choice(objective)),
        setting("seed", "Seed", "Seed of the random numbers.", integer(0, u32::MAX, seed)),
        setting("bound", "Bound", "Largest size of a weight.", number(0.01, 100.0, bound)),
        setting(
            "regularization",
            "Regularization",
            "Factor of the penalty on the mean size of the weights.",
            number(0.0, 1_000_000.0, regularization),
        ),
    ]
}

impl Setting {
    /// Checks a number against the limits.
    ///
    /// # Errors
    /// [`LearnError::Setting`] if it is out of range or not a number of this kind.
    pub fn check(&self, value: f64) -> Result<(), LearnError> {
        let valid = match self.kind {
            SettingKind::Integer { min, max, .. } => {
                (f64::from(min)..=f64::from(max)).contains(&value) && value.fract() == 0.0
            }
            SettingKind::Number { min, max, .. } => (min..=max).contains(&value),
            SettingKind::Choice { .. } => false,
        };
        if valid { Ok(()) } else { Err(self.invalid(value.to_string())) }
    }

    /// The error of a value that the setting does not take.
    pub fn invalid(&self, found: String) -> LearnError {
        LearnError::Setting { name: self.name, expected: self.values(), found }
    }

    /// The values in words, such as `a whole number from 1 to 1000`.
    pub fn values(&self) -> String {
        match &self.kind {
            SettingKind::Integer { min, max, .. } => format!("a whole number from {min} to {max}"),
            SettingKind::Number { min, max, .. } => format!("a number from {min} to {max}"),
            SettingKind::Choice { choices, .. } => {
                let values: Vec<&str> = choices.iter().map(|choice| &*choice.value).collect();
                format!("one of {}", values.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_field_is_described_once_and_takes_its_default_and_its_choices() {
        let options = serde_json::to_value(LearnOptions::default()).unwrap();
        let fields = options.as_object().unwrap();
        let settings = settings();
        // What is held belongs to one composition, and is no setting.
        assert_eq!(settings.len(), fields.keys().filter(|name| *name != "held").count());
        for Setting { name, kind, .. } in settings {
            let (default, values): (Value, Vec<Value>) = match kind {
                SettingKind::Integer { min, max, default } => {
                    (default.into(), vec![min.into(), max.into()])
                }
                SettingKind::Number { min, max, default, .. } => {
                    (default.into(), vec![min.into(), max.into()])
                }
                SettingKind::Choice { choices, default } => {
                    let values = choices.into_iter().map(|choice| choice.value.into());
                    (default.into(), values.collect())
                }
            };
            assert_eq!(fields[name], default, "{name}");
            for value in values {
                let mut changed = options.clone();
                changed[name] = value;
                let parsed: LearnOptions = serde_json::from_value(changed.clone()).unwrap();
                assert_eq!(parsed.validate(), Ok(()), "{changed}");
            }
        }
    }
}
