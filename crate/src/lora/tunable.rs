//! A composition whose parameters are tuned by gradients.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::export::files_of;
use super::merge::{MergedLayer, Parts};
use super::{AdapterSet, LoraError, ModuleWeight, PeftAdapter, PeftFiles};
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
    /// One scale for each module and layer, which starts at the module's weight.
    Scales,
}

/// One scale for each layer and module, in 8 bits, so that they fit a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct LayerScales {
    /// What a value is a multiple of.
    pub step: f32,
    /// Layer by layer in the order of [`LinearId`], in each the modules that have a weight there, in the
    /// composition's order.
    pub values: Vec<i8>,
}

impl LayerScales {
    /// The largest value.
    const LARGEST: f32 = 127.0;

    /// The scales, each rounded to a multiple of the step.
    fn quantize(scales: &[f32]) -> Self {
        let largest = scales.iter().fold(0.0f32, |largest, scale| largest.max(scale.abs()));
        let step = if largest > 0.0 { largest / Self::LARGEST } else { 1.0 };
        // A cast to an integer saturates.
        Self { step, values: scales.iter().map(|scale| (scale / step).round() as i8).collect() }
    }

    /// Whether the step is a number above 0.
    pub fn has_valid_step(&self) -> bool {
        self.step.is_finite() && self.step > 0.0
    }

    fn scales(&self) -> Vec<f32> {
        self.values.iter().map(|&value| f32::from(value) * self.step).collect()
    }
}

/// A layer's merged matrices, and the modules that its ranks belong to.
#[derive(Debug, Clone)]
struct TunableLayer {
    merged: MergedLayer,
    /// In the order of the stacked matrices.
    modules: Parts,
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
    pub fn new<A: std::borrow::Borrow<PeftAdapter> + Clone, W: Into<ModuleWeight> + Copy>(
        set: &AdapterSet<A>,
        weights: &[W],
        part: TunedPart,
    ) -> Result<Self, LoraError> {
        let layers = set.merged_with_parts(weights)?;
        if layers.is_empty() {
            return Err(LoraError::Nothing);
        }
        let layer = |(id, (mut merged, modules)): (LinearId, (MergedLayer, _))| {
            if part == TunedPart::LoraB {
                merged.fold_scales();
            }
            (id, TunableLayer { merged, modules })
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
            TunedPart::Scales => layers.flat_map(TunableLayer::module_scales).collect(),
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
                TunedPart::Scales => layer.modules.len(),
            };
            let (of_layer, others) = rest.split_at(count);
            rest = others;
            match self.part {
                TunedPart::LoraB => layer.merged.lora_b.copy_from_slice(of_layer),
                TunedPart::Scales => layer.set_module_scales(of_layer),
            }
        }
        assert!(rest.is_empty(), "one value for each parameter");
    }

    /// Rounds the scales to 8 bits, and returns them; none where B is tuned.
    pub fn quantize_scales(&mut self) -> Option<LayerScales> {
        if self.part != TunedPart::Scales {
            return None;
        }
        let scales = LayerScales::quantize(&self.parameters());
        self.set_parameters(&scales.scales());
        Some(scales)
    }

    /// The modules of a set with these weights, and other scales in their place.
    ///
    /// # Errors
    /// As [`TunableComposition::new`], and [`LoraError::Scales`] if they are not one for each layer and
    /// module.
    pub fn with_scales<
        A: std::borrow::Borrow<PeftAdapter> + Clone,
        W: Into<ModuleWeight> + Copy,
    >(
        set: &AdapterSet<A>,
        weights: &[W],
        scales: &LayerScales,
    ) -> Result<Self, LoraError> {
        let mut composition = Self::new(set, weights, TunedPart::Scales)?;
        let expected = composition.layers.values().map(|layer| layer.modules.len()).sum();
        if scales.values.len() != expected || !scales.has_valid_step() {
            let (found, step) = (scales.values.len(), scales.step.to_string());
            return Err(LoraError::Scales { expected, found, step });
        }
        composition.set_parameters(&scales.scales());
        Ok(composition)
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
                    let mut ranks = of_layer.map_or(&[][..], |of_layer| &of_layer.scales);
                    for &(rank, scaling) in &layer.modules {
                        let (of_module, others) = ranks.split_at(rank.min(ranks.len()));
                        ranks = others;
                        gradient.push(scaling * of_module.iter().sum::<f32>());
                    }
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

    /// Writes it as one PEFT adapter for a base of this name.
    ///
    /// # Errors
    /// [`LoraError::Unwritable`].
    pub fn export(
        &self,
        config: &dyn ModelConfig,
        base_model: &str,
    ) -> Result<PeftFiles, LoraError> {
        let layers = self.layers.iter().map(|(&id, layer)| (id, layer.merged.clone()));
        files_of(config, layers.collect(), base_model)
    }
}

impl TunableLayer {
    /// One scale for each module.
    fn module_scales(&self) -> Vec<f32> {
        let mut first = 0;
        let scale = |&(rank, scaling): &(usize, f32)| {
            let scale = self.merged.scales[first] / scaling;
            first += rank;
            scale
        };
        self.modules.iter().map(scale).collect()
    }

    fn set_module_scales(&mut self, scales: &[f32]) {
        let ranks = self.modules.iter().zip(scales);
        self.merged.scales = ranks
            .flat_map(|(&(rank, scaling), &scale)| std::iter::repeat_n(scale * scaling, rank))
            .collect();
    }
}
