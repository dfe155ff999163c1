//! Errors of composing and exporting. Modules are named by their index alone.

use crate::formats::FormatError;
use crate::model::LinearId;

/// Why modules cannot be composed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoraError {
    /// A module changes a layer that the base model does not have.
    #[error(
        "module {module} changes {layer}, which the base model does not have; \
         it was trained for another base"
    )]
    UnknownLayer {
        /// Index of the module among those given.
        module: usize,
        /// The layer.
        layer: LinearId,
    },
    /// A module's matrix does not fit the base model's layer.
    #[error(
        "module {module} has a {matrix} of shape {found:?} at {layer}, where the base model needs \
         {expected:?}; it was trained for another base"
    )]
    Shape {
        /// Index of the module among those given.
        module: usize,
        /// The layer.
        layer: LinearId,
        /// `lora_A` or `lora_B`.
        matrix: &'static str,
        /// The shape that the base model's layer needs.
        expected: [usize; 2],
        /// The shape in the module.
        found: [usize; 2],
    },
    /// Modules that the `lorahub` merge cannot sum.
    #[error(
        "module {module} has {what} {found} at {layer} and module {first} has {expected}; \
         the lorahub merge adds matrices and needs them equal, so use the delta merge"
    )]
    Unequal {
        /// Index of the module that differs.
        module: usize,
        /// Index of the first module with this layer.
        first: usize,
        /// The layer.
        layer: LinearId,
        /// `rank` or `scaling`.
        what: &'static str,
        /// The first module's value.
        expected: String,
        /// This module's value.
        found: String,
    },
    /// Not one weight per module.
    #[error("{found} weights were given for {expected} modules")]
    WeightCount {
        /// Number of modules.
        expected: usize,
        /// Number of weights.
        found: usize,
    },
    /// Scales that are not those of the composition.
    #[error(
        "{found} scales with a step of {step} were given; the composition has {expected}, one for \
         each rank, from −7 to 7 times a step above 0"
    )]
    Scales {
        /// Ranks of all layers and modules.
        expected: usize,
        /// Number of scales.
        found: usize,
        /// The step, printed.
        step: String,
    },
    /// All weights are 0, so that there is no adapter to write.
    #[error("every weight is 0, so the base alone is the result and there is no adapter to write")]
    Nothing,
    /// An adapter that cannot be written as a file.
    #[error("the adapter cannot be written: {reason}")]
    Unwritable {
        /// The requirement of the file format.
        reason: String,
    },
    /// A layer whose update overflows, or would.
    #[error(
        "module {module} adds up to {found} to the numbers of {layer}, which are below 100; its values or its \
         scaling are damaged"
    )]
    TooLarge {
        /// Index of the module.
        module: usize,
        /// The layer.
        layer: LinearId,
        /// A bound on the update, printed.
        found: String,
    },
    /// A weight that is not a number, or one that makes the model's numbers overflow.
    #[error("the weight of module {module} is {found}; it must be a number from -1000 to 1000")]
    Weight {
        /// Index of the module.
        module: usize,
        /// The weight, printed.
        found: String,
    },
}

impl LoraError {
    /// Index of the module at fault, if it is one.
    pub fn module(&self) -> Option<usize> {
        match *self {
            Self::UnknownLayer { module, .. }
            | Self::Shape { module, .. }
            | Self::Unequal { module, .. }
            | Self::TooLarge { module, .. }
            | Self::Weight { module, .. } => Some(module),
            Self::WeightCount { .. }
            | Self::Scales { .. }
            | Self::Nothing
            | Self::Unwritable { .. } => None,
        }
    }
}

impl From<FormatError> for LoraError {
    fn from(error: FormatError) -> Self {
        Self::Unwritable { reason: error.to_string() }
    }
}
