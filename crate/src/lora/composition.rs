//! Compositions: modules with their coefficients, and their merge.

use serde::{Deserialize, Serialize};

use super::Merge;
use crate::model::LayerGroup;

/// A module's coefficient for each group of layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupWeights {
    /// All layers of the encoder.
    pub encoder: f32,
    /// The decoder's attention over the output.
    pub decoder_self_attention: f32,
    /// The decoder's attention over the encoder.
    pub decoder_cross_attention: f32,
    /// The decoder's feed-forward layers.
    pub decoder_feed_forward: f32,
}

/// A module's coefficient: one for all layers, or one for each group of layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(untagged)]
pub enum ModuleWeight {
    /// For all layers.
    All(f32),
    /// For each group of layers.
    Groups(GroupWeights),
}

impl ModuleWeight {
    /// The coefficient of a group of layers.
    pub fn of(self, group: LayerGroup) -> f32 {
        match (self, group) {
            (Self::All(weight), _) => weight,
            (Self::Groups(weights), LayerGroup::Encoder) => weights.encoder,
            (Self::Groups(weights), LayerGroup::DecoderSelfAttention) => {
                weights.decoder_self_attention
            }
            (Self::Groups(weights), LayerGroup::DecoderCrossAttention) => {
                weights.decoder_cross_attention
            }
            (Self::Groups(weights), LayerGroup::DecoderFeedForward) => weights.decoder_feed_forward,
        }
    }

    /// The coefficients in the order of [`LayerGroup::ALL`].
    pub fn groups(self) -> [f32; LayerGroup::COUNT] {
        LayerGroup::ALL.map(|group| self.of(group))
    }

    /// Whether the module changes nothing.
    pub fn is_zero(self) -> bool {
        self.groups() == [0.0; LayerGroup::COUNT]
    }

    /// Which groups of layers the module changes.
    pub fn used(self) -> [bool; LayerGroup::COUNT] {
        self.groups().map(|weight| weight != 0.0)
    }

    /// The mean of the coefficients' sizes.
    pub fn size(self) -> f32 {
        let [a, b, c, d] = self.groups().map(f32::abs);
        // In pairs, so that the mean of four equal numbers is that number.
        ((a + b) + (c + d)) / 4.0
    }
}

impl Default for ModuleWeight {
    fn default() -> Self {
        Self::All(0.0)
    }
}

impl From<f32> for ModuleWeight {
    fn from(weight: f32) -> Self {
        Self::All(weight)
    }
}

/// Coefficients in the order of [`LayerGroup::ALL`]; equal ones become a single one.
impl From<[f32; LayerGroup::COUNT]> for ModuleWeight {
    fn from(weights: [f32; LayerGroup::COUNT]) -> Self {
        let [encoder, decoder_self_attention, decoder_cross_attention, decoder_feed_forward] =
            weights;
        if weights.iter().all(|weight| weight.to_bits() == encoder.to_bits()) {
            return Self::All(encoder);
        }
        Self::Groups(GroupWeights {
            encoder,
            decoder_self_attention,
            decoder_cross_attention,
            decoder_feed_forward,
        })
    }
}

/// A module and its coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct WeightedModule {
    /// The module's id.
    pub id: String,
    /// Its coefficient.
    pub weight: ModuleWeight,
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
