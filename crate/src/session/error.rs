//! What can go wrong in a session: the errors of the layers below, with what was being done.

use std::fmt;

use super::BackendError;
use crate::formats::FormatError;
use crate::learn::LearnError;
use crate::lora::LoraError;
use crate::model::ModelError;

/// What a session was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// [`Session::verify`](super::Session::verify).
    Verify,
    /// [`Session::score`](super::Session::score).
    Score,
    /// [`Session::assess`](super::Session::assess).
    Assess,
    /// [`Session::export`](super::Session::export).
    Export,
    /// [`Session::leave_one_out`](super::Session::leave_one_out).
    LeaveOneOut,
    /// [`Session::learn`](super::Session::learn).
    Learn,
    /// [`Session::tune`](super::Session::tune).
    Tune,
    /// [`Session::retrieve`](super::Session::retrieve).
    Retrieve,
    /// [`Session::route`](super::Session::route).
    Route,
    /// [`Session::generate`](super::Session::generate).
    Generate,
    /// [`Session::test`](super::Session::test).
    Test,
}

/// A text that was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextPart {
    /// What the model reads.
    Input,
    /// What the model should write.
    Output,
}

impl fmt::Display for TextPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TextPart::Input => "input",
            TextPart::Output => "output",
        })
    }
}

/// Why a session's method failed. Its text says what was expected and what was found;
/// [`SessionError::report`] adds what happened and what to do next.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No base is loaded.
    #[error("this needs the base model")]
    NotLoaded,
    /// The observer stopped a method that has no partial result.
    #[error("it was stopped")]
    Aborted {
        /// The method.
        operation: Operation,
    },
    /// A base's files cannot be used.
    #[error("{source}")]
    Base {
        /// Title of the base.
        title: String,
        /// Why.
        source: ModelError,
    },
    /// The two files of a module cannot be read.
    #[error("{source}")]
    Module {
        /// The module.
        id: String,
        /// Why.
        source: FormatError,
    },
    /// A module does not fit the base.
    #[error("{}", named(source, std::slice::from_ref(id)))]
    Mismatch {
        /// The module.
        id: String,
        /// Why.
        source: LoraError,
    },
    /// A module is not loaded.
    #[error("the module “{id}” is not loaded")]
    UnknownModule {
        /// The method.
        operation: Operation,
        /// The module.
        id: String,
    },
    /// Modules cannot be composed.
    #[error("{}", named(source, ids))]
    Composition {
        /// The method.
        operation: Operation,
        /// The modules, in the order of the indices in `source`.
        ids: Vec<String>,
        /// Why.
        source: LoraError,
    },
    /// There is no example.
    #[error("there is no example")]
    NoExamples {
        /// The method.
        operation: Operation,
    },
    /// A text cannot be encoded.
    #[error("{}{source}", example(*part, *index))]
    Text {
        /// The method.
        operation: Operation,
        /// Which text of the example.
        part: TextPart,
        /// Index of the example, if there are several.
        index: Option<usize>,
        /// Why.
        source: FormatError,
    },
    /// The model refuses an input, or the GPU failed.
    #[error("{source}")]
    Model {
        /// The method.
        operation: Operation,
        /// Why.
        source: ModelError,
    },
    /// A setting or the list of candidates is not valid.
    #[error("{0}")]
    Learn(#[from] LearnError),
    /// A setting of tuning is not valid, or its steps do not converge.
    #[error(transparent)]
    Tune(LearnError),
}

impl SessionError {
    /// The error of a backend that was given the modules of these ids.
    pub(super) fn backend<'m>(
        operation: Operation,
        ids: impl IntoIterator<Item = &'m str>,
        error: BackendError,
    ) -> Self {
        match error {
            BackendError::Model(source) => Self::Model { operation, source },
            BackendError::Lora(source) => {
                let ids = ids.into_iter().map(str::to_owned).collect();
                Self::Composition { operation, ids, source }
            }
        }
    }
}

fn example(part: TextPart, index: Option<usize>) -> String {
    index.map_or(String::new(), |index| format!("the {part} of example {}: ", index + 1))
}

/// The message of a composition error, with ids in place of indices.
fn named(error: &LoraError, ids: &[String]) -> String {
    let id = |module: usize| format!("“{}”", ids.get(module).map_or("?", String::as_str));
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
            format!(
                "the weight of {} is {found}; it must be a number from -1000 to 1000",
                id(*module)
            )
        }
        LoraError::TooLarge { module, layer, found } => format!(
            "{} adds up to {found} to the numbers of {layer}, which are below 100; its values or its scaling \
             are damaged",
            id(*module)
        ),
        other => other.to_string(),
    }
}
