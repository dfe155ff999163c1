//! Settings of learning as options, made from their description in [`loraloom::learn`].

use std::marker::PhantomData;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use loraloom::learn::{Choice, Choices, LearnError, LearnOptions, Setting, SettingKind, settings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Which settings a command has.
pub trait SettingNames: Clone + Send + Sync + 'static {
    /// Whether the setting of that name is among them.
    fn contains(name: &str) -> bool;
}

/// Every setting.
#[derive(Clone)]
pub struct All;

/// The merge alone.
#[derive(Clone)]
pub struct MergeOnly;

impl SettingNames for All {
    fn contains(_: &str) -> bool {
        true
    }
}

impl SettingNames for MergeOnly {
    fn contains(name: &str) -> bool {
        name == "merge"
    }
}

/// Settings as options; those that the command does not have are at their defaults.
#[derive(Clone)]
pub struct SettingArguments<N> {
    pub options: LearnOptions,
    names: PhantomData<N>,
}

impl<N: SettingNames> Args for SettingArguments<N> {
    fn augment_args(command: Command) -> Command {
        let chosen = settings().into_iter().filter(|setting| N::contains(setting.name));
        command.args(chosen.map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<N: SettingNames> FromArgMatches for SettingArguments<N> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let value = |setting: Setting| {
            let value = matches.try_get_one::<Value>(setting.name).ok().flatten()?;
            Some((setting.name.to_owned(), value.clone()))
        };
        let chosen = settings().into_iter().filter(|setting| N::contains(setting.name));
        let values: Map<String, Value> = chosen.filter_map(value).collect();
        let options = serde_json::from_value(values.into());
        let options = options.map_err(|error| Error::raw(ErrorKind::InvalidValue, error))?;
        Ok(Self { options, names: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A setting as an option, whose value is that of the setting's field in JSON.
fn argument(setting: Setting) -> Arg {
    let argument = Arg::new(setting.name).long(setting.name).help(setting.help);
    let argument = match setting.name {
        // The option's former name.
        "selection" => argument.alias("select"),
        _ => argument,
    };
    match &setting.kind {
        SettingKind::Choice { choices, default } => argument
            .value_name("NAME")
            .default_value(default.clone())
            .value_parser(choice_names(choices).map(Value::from)),
        SettingKind::Integer { default, .. } => {
            number(argument, default.to_string(), setting.clone())
        }
        SettingKind::Number { default, .. } => {
            number(argument, default.to_string(), setting.clone())
        }
    }
}

fn number(argument: Arg, default: String, setting: Setting) -> Arg {
    let help = format!("{} ({})", setting.help, setting.values());
    let parse = move |text: &str| parse_number(&setting, text);
    let argument = argument.value_name("N").help(help).default_value(default);
    argument.value_parser(ValueParser::new(parse))
}

fn parse_number(setting: &Setting, text: &str) -> Result<Value, LearnError> {
    let number: f64 = text.parse().map_err(|_| setting.invalid(text.to_owned()))?;
    setting.check(number)?;
    Ok(match setting.kind {
        SettingKind::Integer { .. } => (number as u32).into(),
        _ => number.into(),
    })
}

fn choice_names(choices: &[Choice]) -> PossibleValuesParser {
    let value = |choice: &Choice| PossibleValue::new(choice.value.clone()).help(choice.help);
    // The former name of a value.
    let value = |choice: &Choice| match &*choice.value {
        "automatic" => value(choice).alias("single-loss"),
        _ => value(choice),
    };
    PossibleValuesParser::new(choices.iter().map(value))
}

/// Parses the name of one of a type's values.
pub fn choice<T>() -> impl TypedValueParser<Value = T>
where
    T: Choices + DeserializeOwned + Send + Sync,
{
    let parse = |name: String| serde_json::from_value::<T>(name.into());
    choice_names(&T::choices()).try_map(parse)
}
