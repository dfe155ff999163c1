//! A composition as one PEFT adapter, which computes the same without this crate.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde_json::{Map, Value, json};

use super::merge::MergedLayer;
use super::truncate::{Truncation, truncate};
use super::{
    AdapterSet, LoraError, Merge, ModuleWeight, PeftAdapter, TunableComposition, TunedScales,
};
use crate::formats::{NamedTensor, write_safetensors};
use crate::model::{LinearId, ModelConfig};

/// The two files of a PEFT folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct PeftFiles {
    /// `adapter_config.json`.
    #[cfg_attr(feature = "typescript", ts(type = "Uint8Array<ArrayBuffer>"))]
    pub config: Vec<u8>,
    /// `adapter_model.safetensors`.
    #[cfg_attr(feature = "typescript", ts(type = "Uint8Array<ArrayBuffer>"))]
    pub weights: Vec<u8>,
}

/// How a composition is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportOptions<'a> {
    /// What PEFT should load the adapter onto.
    pub base_model: &'a str,
    /// The rank that layers of a higher one are truncated to, if any.
    pub rank: Option<NonZeroUsize>,
}

/// At the composition's own rank.
impl<'a> From<&'a str> for ExportOptions<'a> {
    fn from(base_model: &'a str) -> Self {
        Self { base_model, rank: None }
    }
}

/// A composition as one adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The adapter.
    pub files: PeftFiles,
    /// What it keeps of the composition, where a rank was given.
    pub truncation: Option<Truncation>,
}

/// Writes modules with these weights as one adapter of scaling 1: summed matrices have the modules'
/// rank, stacked ones the sum of their ranks. The scales are in its B; modules at 0 are left out. With
/// [`ExportOptions::rank`], each layer of a higher rank has the best approximation of that rank in the
/// Frobenius norm.
///
/// # Errors
/// As [`AdapterSet::new`] and [`AdapterSet::branches`], and [`LoraError::Nothing`] if every weight is
/// 0.
pub fn export<'o, W: Into<ModuleWeight> + Copy>(
    config: &dyn ModelConfig,
    adapters: &[&PeftAdapter],
    weights: &[W],
    merge: Merge,
    options: impl Into<ExportOptions<'o>>,
) -> Result<Exported, LoraError> {
    let layers = AdapterSet::new(config, adapters, merge)?.merged(weights)?;
    if layers.is_empty() {
        return Err(LoraError::Nothing);
    }
    export_layers(config, layers, options.into())
}

/// [`export`] of a composition that was tuned, with its scales.
///
/// # Errors
/// As [`export`], and [`LoraError::Scales`] if there is not one change for each rank.
pub fn export_scaled<'o, A: Borrow<PeftAdapter> + Clone, W: Into<ModuleWeight> + Copy>(
    config: &dyn ModelConfig,
    adapters: &[A],
    weights: &[W],
    merge: Merge,
    scales: &TunedScales,
    options: impl Into<ExportOptions<'o>>,
) -> Result<Exported, LoraError> {
    let set = AdapterSet::new(config, adapters, merge)?;
    TunableComposition::with_scales(&set, weights, scales)?.export(config, options)
}

/// An adapter with these layers.
///
/// # Errors
/// [`LoraError::Unwritable`].
pub(super) fn export_layers(
    config: &dyn ModelConfig,
    mut layers: BTreeMap<LinearId, MergedLayer>,
    ExportOptions { base_model, rank }: ExportOptions<'_>,
) -> Result<Exported, LoraError> {
    let truncation = rank.map(|rank| truncate(&mut layers, rank.get()));
    // The scaling of the file is 1.
    layers.values_mut().for_each(MergedLayer::fold_scales);
    let tensors = layers.iter().flat_map(|(id, layer)| {
        let rank = layer.scales.len();
        let [d_in, d_out] = [&layer.lora_a, &layer.lora_b].map(|matrix| matrix.len() / rank);
        let tensor = |half: &str, shape: [usize; 2], values: &[f32]| NamedTensor {
            name: format!("base_model.model.{id}.lora_{half}.weight"),
            shape: shape.into(),
            values: values.into(),
        };
        [tensor("A", [rank, d_in], &layer.lora_a), tensor("B", [d_out, rank], &layer.lora_b)]
    });
    let tensors: Vec<NamedTensor> = tensors.collect();
    let description = peft_config(config, &layers, base_model);
    let files = PeftFiles {
        config: format!("{description:#}\n").into_bytes(),
        weights: write_safetensors(&tensors, false)?,
    };
    Ok(Exported { files, truncation })
}

/// `adapter_config.json`: the largest rank, and by name the layers that have another; alpha is the
/// rank everywhere, so that the scaling is 1.
fn peft_config(
    config: &dyn ModelConfig,
    layers: &BTreeMap<LinearId, MergedLayer>,
    base_model: &str,
) -> Value {
    let rank = layers.values().map(|layer| layer.scales.len()).max().unwrap_or(1);
    let others: Map<String, Value> = (layers.iter())
        .filter(|(_, layer)| layer.scales.len() != rank)
        .map(|(id, layer)| (id.to_string(), layer.scales.len().into()))
        .collect();
    json!({
        "peft_type": "LORA",
        "task_type": "SEQ_2_SEQ_LM",
        "base_model_name_or_path": base_model,
        "inference_mode": true,
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": others.clone(),
        "alpha_pattern": others,
        "target_modules": targets(config, layers),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": false,
        "modules_to_save": null,
        "layers_to_transform": null,
        "layers_pattern": null,
    })
}

/// The short names of the layers, such as `q`, if they name exactly these layers; whole paths
/// otherwise.
fn targets(config: &dyn ModelConfig, layers: &BTreeMap<LinearId, MergedLayer>) -> Vec<String> {
    let mut short: Vec<&str> = layers.keys().map(|id| id.kind.target()).collect();
    short.sort_unstable();
    short.dedup();
    let all = config.linear_layers();
    let named = all.iter().filter(|(id, _)| short.contains(&id.kind.target())).count();
    if named == layers.len() {
        short.into_iter().map(String::from).collect()
    } else {
        layers.keys().map(LinearId::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::formats::{SafetensorsFile, TensorSource};
    use crate::model::parse_config;

    fn read(path: &str) -> Vec<u8> {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models");
        std::fs::read(models.join("narrow-tied").join(path)).unwrap()
    }

    /// Every exported value, bit for bit, computed one by one in the modules' order.
    #[test]
    fn exported_matrices_are_the_sums_and_stacks_of_the_modules() {
        let config = parse_config(&read("config.json")).unwrap();
        let file = |file: &str| read(&format!("adapters/first/{file}"));
        let weights = file("adapter_model.safetensors");
        let adapter = PeftAdapter::parse(&file("adapter_config.json"), weights).unwrap();
        let modules = [&adapter; 6];
        let coefficients = [0.3, -0.7, 0.0, 1.1, 0.45, -0.2];
        let used: Vec<f32> = coefficients.into_iter().filter(|&weight| weight != 0.0).collect();
        for merge in [Merge::Lorahub, Merge::Delta] {
            let files = export(&*config, &modules, &coefficients, merge, "base").unwrap().files;
            let written = SafetensorsFile::parse(files.weights).unwrap();
            for (id, layer) in &adapter.layers {
                let [a, b] = ["A", "B"].map(|half| {
                    let name = format!("base_model.model.{id}.lora_{half}.weight");
                    written.tensor(&name).unwrap().unwrap().to_f32().unwrap()
                });
                let sum = |value: &f32| used.iter().fold(0.0, |sum, weight| sum + weight * value);
                let (expected_a, expected_b): (Vec<f32>, Vec<f32>) = match merge {
                    Merge::Lorahub => (
                        layer.lora_a.iter().map(sum).collect(),
                        layer.lora_b.iter().map(|value| sum(value) * layer.scaling).collect(),
                    ),
                    Merge::Delta => {
                        let rows = layer.lora_b.chunks_exact(layer.rank);
                        let row = |row: &[f32]| {
                            let scales = used.iter().map(|weight| weight * layer.scaling);
                            let scaled = scales.map(|scale| row.iter().map(move |v| scale * v));
                            scaled.flatten().collect::<Vec<f32>>()
                        };
                        (layer.lora_a.repeat(used.len()), rows.flat_map(row).collect())
                    }
                };
                assert_eq!((a, b), (expected_a, expected_b), "{merge:?} {id}");
            }
        }
    }
}
