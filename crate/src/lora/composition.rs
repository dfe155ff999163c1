//! Compositions: modules with one weight each, and their merge.

use serde::{Deserialize, Serialize};

use super::Merge;

/// A module and its coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct WeightedModule {
    /// The module's id.
    pub id: String,
    /// Its coefficient.
    pub weight: f32,
}

/// Modules with their coefficients, and how they become one update of the base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Composition {
    /// The modules; those of weight 0 may be left out.
    pub modules: Vec<WeightedModule>,
    /// The merge.
    pub merge: Merge,
}
