//! A composition whose parameters are tuned by gradients.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::export::{ExportOptions, Exported, export_layers};
use super::merge::MergedLayer;
use super::{AdapterSet, LoraError, ModuleWeight, PeftAdapter};
use crate::choices::Choices;
use crate::model::{
    BranchGradient, LinearId, LoraBranch, LoraBranches, ModelConfig, Precision, WithRespectTo,
};

/// What of a composition is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum TunedPart {
    /// B of every layer, in which the weights and the scaling are.
    LoraB,
    /// One scale for each rank of each module and layer, which starts at the module's weight.
    Scales,
}

impl Choices for TunedPart {
    const ALL: &'static [Self] = &[Self::LoraB, Self::Scales];

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::LoraB => ("B", "B of every layer."),
            Self::Scales => ("scales", "One scale for each rank, which a link holds."),
        }
    }
}

/// Changes of the ranks' scales, in 4 bits each, so that they fit a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct TunedScales {
    /// What a change of a module's weight is a multiple of.
    pub step: f32,
    /// −7 to 7, layer by layer in the order of [`LinearId`]; in each the ranks of the modules that have a
    /// weight there, in the composition's order.
    pub values: Vec<i8>,
}

impl TunedScales {
    /// The largest value.
    pub const LARGEST: i8 = 7;

    /// The changes, each rounded to a multiple of the step.
    fn quantize(changes: &[f32]) -> Self {
        let largest = changes.iter().fold(0.0f32, |largest, change| largest.max(change.abs()));
        let step = if largest > 0.0 { largest / f32::from(Self::LARGEST) } else { 1.0 };
        let value = |change: &f32| (change / step).round() as i8;
        Self { step, values: changes.iter().map(value).collect() }
    }

    /// Whether the step is above 0 and every value in its range.
    pub fn is_valid(&self) -> bool {
        let range = -Self::LARGEST..=Self::LARGEST;
        self.step.is_finite()
            && self.step > 0.0
            && self.values.iter().all(|value| range.contains(value))
    }

    fn changes(&self) -> impl Iterator<Item = f32> {
        self.values.iter().map(|&value| f32::from(value) * self.step)
    }
}

/// A layer's merged matrices, and each rank's weight and scaling.
#[derive(Debug, Clone)]
struct TunableLayer {
    merged: MergedLayer,
    /// The weight that the rank starts at.
    weights: Vec<f32>,
    scalings: Vec<f32>,
}

/// A composition under tuning.
#[derive(Debug, Clone)]
pub struct TunableComposition {
    part: TunedPart,
    layers: BTreeMap<LinearId, TunableLayer>,
}

impl TunableComposition {
    /// The modules of a set with these weights.
    ///
    /// # Errors
    /// As [`AdapterSet::branches`], and [`LoraError::Nothing`] if every weight is 0.
    pub fn new<A: Borrow<PeftAdapter> + Clone, W: Into<ModuleWeight> + Copy>(
        set: &AdapterSet<A>,
        weights: &[W],
        part: TunedPart,
    ) -> Result<Self, LoraError> {
        let layers = set.merged_with_scalings(weights)?;
        if layers.is_empty() {
            return Err(LoraError::Nothing);
        }
        let layer = |(id, (mut merged, scalings)): (LinearId, (MergedLayer, Vec<f32>))| {
            let scales = merged.scales.iter().zip(&scalings);
            let weights = scales.map(|(scale, scaling)| scale / scaling).collect();
            if part == TunedPart::LoraB {
                merged.fold_scales();
            }
            (id, TunableLayer { merged, weights, scalings })
        };
        Ok(Self { part, layers: layers.into_iter().map(layer).collect() })
    }

    /// Which gradients [`TunableComposition::gradient`] takes.
    pub fn with_respect_to(&self) -> WithRespectTo {
        WithRespectTo { lora_a: false, lora_b: self.part == TunedPart::LoraB }
    }

    /// The parameters, layer by layer.
    pub fn parameters(&self) -> Vec<f32> {
        let layers = self.layers.values();
        match self.part {
            TunedPart::LoraB => layers.flat_map(|layer| &layer.merged.lora_b).copied().collect(),
            TunedPart::Scales => layers
                .flat_map(|layer| layer.merged.scales.iter().zip(&layer.scalings))
                .map(|(scale, scaling)| scale / scaling)
                .collect(),
        }
    }

    /// Sets the parameters.
    ///
    /// # Panics
    /// If there are not as many as in [`TunableComposition::parameters`].
    pub fn set_parameters(&mut self, parameters: &[f32]) {
        let mut rest = parameters;
        for layer in self.layers.values_mut() {
            let count = match self.part {
                TunedPart::LoraB => layer.merged.lora_b.len(),
                TunedPart::Scales => layer.scalings.len(),
            };
            let (of_layer, others) = rest.split_at(count);
            rest = others;
            match self.part {
                TunedPart::LoraB => layer.merged.lora_b.copy_from_slice(of_layer),
                TunedPart::Scales => layer.set_weights(of_layer.iter().copied()),
            }
        }
        assert!(rest.is_empty(), "one value for each parameter");
    }

    /// Rounds the scales' changes to 4 bits, and returns them; none where B is tuned.
    pub fn quantize_scales(&mut self) -> Option<TunedScales> {
        if self.part != TunedPart::Scales {
            return None;
        }
        let start = self.layers.values().flat_map(|layer| &layer.weights);
        let changes: Vec<f32> =
            self.parameters().iter().zip(start).map(|(scale, start)| scale - start).collect();
        let scales = TunedScales::quantize(&changes);
        self.change_scales(&scales);
        Some(scales)
    }

    /// The modules of a set with these weights, and the scales changed by tuning.
    ///
    /// # Errors
    /// As [`TunableComposition::new`], and [`LoraError::Scales`] if there is not one change for each rank.
    pub(super) fn with_scales<A: Borrow<PeftAdapter> + Clone, W: Into<ModuleWeight> + Copy>(
        set: &AdapterSet<A>,
        weights: &[W],
        scales: &TunedScales,
    ) -> Result<Self, LoraError> {
        let mut composition = Self::new(set, weights, TunedPart::Scales)?;
        let expected = composition.layers.values().map(|layer| layer.weights.len()).sum();
        if scales.values.len() != expected || !scales.is_valid() {
            let (found, step) = (scales.values.len(), scales.step.to_string());
            return Err(LoraError::Scales { expected, found, step });
        }
        composition.change_scales(scales);
        Ok(composition)
    }

    /// Sets the scales to those at the start with these changes, one for each rank.
    fn change_scales(&mut self, scales: &TunedScales) {
        let mut changes = scales.changes();
        for layer in self.layers.values_mut() {
            let weights = layer.weights.clone();
            layer.set_weights(
                weights.iter().zip(&mut changes).map(|(start, change)| start + change),
            );
        }
    }

    /// The gradient of the parameters; 0 for layers that have none.
    pub fn gradient(&self, branches: &BTreeMap<LinearId, BranchGradient>) -> Vec<f32> {
        let mut gradient = Vec::new();
        for (id, layer) in &self.layers {
            let of_layer = branches.get(id);
            match self.part {
                TunedPart::LoraB => match of_layer {
                    Some(of_layer) => gradient.extend_from_slice(&of_layer.lora_b),
                    None => gradient.resize(gradient.len() + layer.merged.lora_b.len(), 0.0),
                },
                TunedPart::Scales => {
                    let scales = of_layer.map_or(&[][..], |of_layer| &of_layer.scales);
                    let scales = scales.iter().copied().chain(std::iter::repeat(0.0));
                    gradient.extend(layer.scalings.iter().zip(scales).map(|(s, g)| s * g));
                }
            }
        }
        gradient
    }

    /// The LoRA branches of these parameters.
    pub fn branches(&self, precision: Precision) -> LoraBranches {
        let layers = self.layers.iter().map(|(&id, layer)| {
            let MergedLayer { lora_a, lora_b, scales } = &layer.merged;
            (id, LoraBranch::new(lora_a, lora_b, scales.clone(), precision))
        });
        LoraBranches::new(precision, layers.collect())
    }

    /// Writes it as one PEFT adapter, as [`export`](super::export()) does.
    ///
    /// # Errors
    /// [`LoraError::Unwritable`].
    pub fn export<'o>(
        &self,
        config: &dyn ModelConfig,
        options: impl Into<ExportOptions<'o>>,
    ) -> Result<Exported, LoraError> {
        let layers = self.layers.iter().map(|(&id, layer)| (id, layer.merged.clone()));
        export_layers(config, layers.collect(), options.into())
    }
}

impl TunableLayer {
    fn set_weights(&mut self, weights: impl Iterator<Item = f32>) {
        self.merged.scales =
            weights.zip(&self.scalings).map(|(weight, scaling)| weight * scaling).collect();
    }
}
