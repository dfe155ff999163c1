//! Reports in three parts, and the names of modules in place of their numbers.

use super::sentence;
use crate::lora::LoraError;
use crate::protocol::ErrorReport;

pub(super) fn report(what: &str, why: String, next: &str) -> ErrorReport {
    ErrorReport { what: what.to_owned(), why: sentence(&why), next: next.to_owned() }
}

/// The message of a composition that was refused, by the ids of its modules.
fn named(error: &LoraError, ids: &[&str]) -> String {
    let id = |module: usize| format!("“{}”", ids.get(module).copied().unwrap_or("?"));
    match error {
        LoraError::UnknownLayer { module, layer } => {
            format!("{} changes {layer}, which the base model does not have", id(*module))
        }
        LoraError::Shape { module, layer, matrix, expected, found } => format!(
            "{} has a {matrix} of shape {found:?} at {layer}, where the base model needs \
             {expected:?}",
            id(*module)
        ),
        LoraError::Unequal { module, first, layer, what, expected, found } => format!(
            "at {layer}, {} has {what} {found} and {} has {expected}; the lorahub merge adds \
             matrices and needs them equal",
            id(*module),
            id(*first)
        ),
        LoraError::Weight { module, found } => {
            format!("the weight of {} is {found}; it must be a finite number", id(*module))
        }
        LoraError::WeightCount { .. } | LoraError::Nothing | LoraError::Unwritable { .. } => {
            error.to_string()
        }
    }
}

/// The report of a single module that does not fit the base.
pub(super) fn module_report(what: &str, error: &LoraError, ids: &[&str]) -> ErrorReport {
    let next = "It was trained for another base model. Choose a module of the loaded base.";
    report(what, named(error, ids), next)
}

/// The report of modules that cannot be composed.
pub(super) fn lora_report(what: &str, error: &LoraError, ids: &[&str]) -> ErrorReport {
    let next = match error {
        LoraError::Unequal { .. } => "Use the delta merge, or leave one of the two out.",
        LoraError::UnknownLayer { .. } | LoraError::Shape { .. } => {
            "Leave that module out: it was trained for another base model."
        }
        LoraError::Weight { .. }
        | LoraError::WeightCount { .. }
        | LoraError::Nothing
        | LoraError::Unwritable { .. } => "Correct the weights.",
    };
    report(what, named(error, ids), next)
}
