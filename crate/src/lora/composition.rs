//! What a composition is made of: modules with one weight each, and how they are merged.

use serde::{Deserialize, Serialize};

use super::Merge;

/// A module and its coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct WeightedModule {
    /// The module.
    pub id: String,
    /// Its coefficient.
    pub weight: f32,
}

/// Modules with their coefficients, and how they become one update of the base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Composition {
    /// The modules; those at 0 may be left out.
    pub modules: Vec<WeightedModule>,
    /// How they become one update.
    pub merge: Merge,
}
