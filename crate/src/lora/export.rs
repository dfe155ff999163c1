//! A composition as one PEFT adapter, which computes the same without this crate.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{AdapterSet, LoraError, Merge};
use crate::formats::{FormatError, NamedTensor, write_safetensors};
use crate::lora::{PeftAdapter, PeftLayer};
use crate::model::{LinearId, ModelConfig};

/// The two files of a PEFT folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeftFiles {
    /// `adapter_config.json`.
    pub config: Vec<u8>,
    /// `adapter_model.safetensors`.
    pub weights: Vec<u8>,
}

/// One layer of the exported adapter; its scaling is 1.
struct Layer {
    /// `[rank, d_in]`.
    lora_a: Vec<f32>,
    /// `[d_out, rank]`.
    lora_b: Vec<f32>,
    rank: usize,
}

/// Writes modules with these weights as one adapter: under [`Merge::Lorahub`] of their own rank,
/// under [`Merge::Delta`] with their ranks one after another. The weights and scalings are in its B;
/// modules at 0 are left out. `base_model` is what PEFT should load it onto.
///
/// # Errors
/// As [`AdapterSet::new`] and [`AdapterSet::branches`]; [`LoraError::Nothing`] if every weight
/// is 0.
pub fn export(
    config: &dyn ModelConfig,
    adapters: &[&PeftAdapter],
    weights: &[f32],
    merge: Merge,
    base_model: &str,
) -> Result<PeftFiles, LoraError> {
    // Everything that a composition refuses is refused here with the same words.
    AdapterSet::new(config, adapters, merge)?.check(weights)?;
    let mut modules: BTreeMap<LinearId, Vec<(&PeftLayer, f32)>> = BTreeMap::new();
    for (adapter, &weight) in adapters.iter().zip(weights).filter(|&(_, &weight)| weight != 0.0) {
        for (&id, layer) in &adapter.layers {
            modules.entry(id).or_default().push((layer, weight));
        }
    }
    let layers: BTreeMap<LinearId, Layer> = modules
        .iter()
        .map(|(&id, modules)| {
            let layer = match merge {
                Merge::Lorahub => summed(modules),
                Merge::Delta => stacked(modules),
            };
            (id, layer)
        })
        .collect();
    if layers.is_empty() {
        return Err(LoraError::Nothing);
    }
    let tensors = layers.iter().flat_map(|(id, layer)| {
        let (d_in, d_out) = (layer.lora_a.len() / layer.rank, layer.lora_b.len() / layer.rank);
        let tensor = |half: &str, shape: [usize; 2], values: &[f32]| NamedTensor {
            name: format!("base_model.model.{id}.lora_{half}.weight"),
            shape: shape.into(),
            values: values.into(),
        };
        [
            tensor("A", [layer.rank, d_in], &layer.lora_a),
            tensor("B", [d_out, layer.rank], &layer.lora_b),
        ]
    });
    let tensors: Vec<NamedTensor> = tensors.collect();
    let description = peft_config(config, &layers, base_model);
    Ok(PeftFiles {
        config: format!("{description:#}\n").into_bytes(),
        weights: write_safetensors(&tensors, false)?,
    })
}

fn summed(modules: &[(&PeftLayer, f32)]) -> Layer {
    let first = modules[0].0;
    let mut lora_a = vec![0.0; first.lora_a.len()];
    let mut lora_b = vec![0.0; first.lora_b.len()];
    for &(layer, weight) in modules {
        for (sum, matrix) in [(&mut lora_a, &layer.lora_a), (&mut lora_b, &layer.lora_b)] {
            for (sum, value) in sum.iter_mut().zip(matrix) {
                *sum += weight * value;
            }
        }
    }
    lora_b.iter_mut().for_each(|value| *value *= first.scaling);
    Layer { lora_a, lora_b, rank: first.rank }
}

fn stacked(modules: &[(&PeftLayer, f32)]) -> Layer {
    let lora_a = modules.iter().flat_map(|(layer, _)| layer.lora_a.iter().copied()).collect();
    let d_out = modules[0].0.d_out();
    let mut lora_b = Vec::new();
    for row in 0..d_out {
        for &(layer, weight) in modules {
            let scale = weight * layer.scaling;
            let values = &layer.lora_b[row * layer.rank..][..layer.rank];
            lora_b.extend(values.iter().map(|value| scale * value));
        }
    }
    Layer { lora_a, lora_b, rank: modules.iter().map(|(layer, _)| layer.rank).sum() }
}

/// `adapter_config.json`: the largest rank, and by name the layers that have another; alpha is the
/// rank everywhere, so that the scaling is 1.
fn peft_config(
    config: &dyn ModelConfig,
    layers: &BTreeMap<LinearId, Layer>,
    base_model: &str,
) -> Value {
    let rank = layers.values().map(|layer| layer.rank).max().unwrap_or(1);
    let others: Map<String, Value> = (layers.iter())
        .filter(|(_, layer)| layer.rank != rank)
        .map(|(id, layer)| (id.to_string(), layer.rank.into()))
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
fn targets(config: &dyn ModelConfig, layers: &BTreeMap<LinearId, Layer>) -> Vec<String> {
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

impl From<FormatError> for LoraError {
    fn from(error: FormatError) -> Self {
        Self::Unwritable { reason: error.to_string() }
    }
}
