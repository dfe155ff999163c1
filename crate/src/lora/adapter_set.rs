//! Modules that were checked against a base model, and their LoRA branches for any weights.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::merge::{MergedLayer, Weighted};
use super::{LoraError, Merge, PeftAdapter, PeftLayer};
#[cfg(feature = "gpu")]
use crate::kernels::gpu::GpuError;
use crate::kernels::parallel::for_each_item;
#[cfg(feature = "gpu")]
use crate::model::{GpuModel, GpuModules};
use crate::model::{LinearId, LoraBranch, LoraBranches, ModelConfig, Precision};

/// Modules that were checked against a base model and against each other. `A` is a reference or a
/// shared pointer to an adapter.
#[derive(Debug, Clone)]
pub struct AdapterSet<A> {
    adapters: Vec<A>,
    merge: Merge,
    /// Layers that any of the modules changes.
    layers: Vec<LinearId>,
    /// The LoRA branches returned last, and which modules have a weight in them.
    cached: Option<(Vec<bool>, LoraBranches)>,
}

impl<A: Borrow<PeftAdapter> + Clone> AdapterSet<A> {
    /// Checks that every module fits the base model and, for [`Merge::Lorahub`], the others.
    ///
    /// # Errors
    /// A [`LoraError`] naming the module, the layer, what is expected and what was found.
    pub fn new(config: &dyn ModelConfig, adapters: &[A], merge: Merge) -> Result<Self, LoraError> {
        let mut layers: BTreeMap<LinearId, Vec<(usize, &PeftLayer)>> = BTreeMap::new();
        for (module, adapter) in adapters.iter().enumerate() {
            for (&layer, matrices) in &adapter.borrow().layers {
                check_shape(config, module, layer, matrices)?;
                layers.entry(layer).or_default().push((module, matrices));
            }
        }
        layers.iter().try_for_each(|(&layer, modules)| merge.check(layer, modules))?;
        Ok(Self {
            layers: layers.into_keys().collect(),
            adapters: adapters.to_vec(),
            merge,
            cached: None,
        })
    }

    /// The LoRA branches of the modules with these weights, one per module, for models of a precision.
    ///
    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    pub fn branches(
        &mut self,
        weights: &[f32],
        precision: Precision,
    ) -> Result<&LoraBranches, LoraError> {
        self.check(weights)?;
        let used: Vec<bool> = weights.iter().map(|&weight| weight != 0.0).collect();
        // Stacked matrices do not depend on the weights, so they stay packed. All others are dropped
        // first: they may be as large as all modules together.
        let cached = self.cached.take().filter(|(modules, branches)| {
            !self.merge.is_summed() && *modules == used && branches.precision() == precision
        });
        let branches = match cached {
            Some((_, mut branches)) => {
                let adapters = self.adapters();
                for (layer, branch) in branches.iter_mut() {
                    branch.set_scales(&self.merge.scales(&weighted(&adapters, layer, weights)));
                }
                branches
            }
            None => LoraBranches::new(precision, self.merge_layers(weights, precision)),
        };
        Ok(&self.cached.insert((used, branches)).1)
    }

    /// [`AdapterSet::branches`] for a single vector of weights.
    ///
    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    pub fn into_branches(
        mut self,
        weights: &[f32],
        precision: Precision,
    ) -> Result<LoraBranches, LoraError> {
        self.branches(weights, precision)?;
        let (_, branches) = self.cached.expect("LoRA branches that were cached just now");
        Ok(branches)
    }

    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    fn check(&self, weights: &[f32]) -> Result<(), LoraError> {
        let (expected, found) = (self.adapters.len(), weights.len());
        if found != expected {
            return Err(LoraError::WeightCount { expected, found });
        }
        check_weights(weights)
    }

    /// The LoRA branches of all layers.
    fn merge_layers(
        &self,
        weights: &[f32],
        precision: Precision,
    ) -> BTreeMap<LinearId, LoraBranch> {
        let mut branches: Vec<Option<LoraBranch>> = vec![None; self.layers.len()];
        let adapters = self.adapters();
        let parameters: usize = adapters.iter().map(|adapter| adapter.parameters()).sum();
        let (merge, items) = (self.merge, branches.iter_mut().zip(&self.layers).collect());
        // Packing a number costs as much as adding up some.
        for_each_item(items, 4 * parameters / self.layers.len().max(1), |(branch, &layer)| {
            let modules = weighted(&adapters, layer, weights);
            *branch = (!modules.is_empty()).then(|| {
                let merged = merge.merge(&modules);
                LoraBranch::new(&merged.lora_a, &merged.lora_b, merged.scales, precision)
            });
        });
        let layers = self.layers.iter().zip(branches);
        layers.filter_map(|(&layer, branch)| Some((layer, branch?))).collect()
    }

    /// The merged update of every layer that modules of a weight change.
    ///
    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    pub(super) fn merged(
        &self,
        weights: &[f32],
    ) -> Result<BTreeMap<LinearId, MergedLayer>, LoraError> {
        self.check(weights)?;
        let adapters = self.adapters();
        let layers = self.layers.iter().map(|&layer| (layer, weighted(&adapters, layer, weights)));
        let changed = layers.filter(|(_, modules)| !modules.is_empty());
        Ok(changed.map(|(layer, modules)| (layer, self.merge.merge(&modules))).collect())
    }

    /// Copies the modules to the device of `model`, which has to be of the configuration that they
    /// were checked against.
    ///
    /// Stacked matrices are quantised together, those of modules of weight 0 included, which the CPU
    /// leaves out: for its bits, leave them out of the set.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    #[cfg(feature = "gpu")]
    pub fn upload(&self, model: &dyn GpuModel) -> Result<GpuModules, GpuError> {
        let adapters = self.adapters();
        let layer = |id| {
            let modules = adapters.iter().enumerate();
            let modules: Vec<(usize, &PeftLayer)> = modules
                .filter_map(|(index, adapter)| Some((index, adapter.layers.get(&id)?)))
                .collect();
            self.merge.gpu_layer(&modules, adapters.len())
        };
        model.load_modules(&layer, adapters.len(), self.merge.is_summed())
    }

    fn adapters(&self) -> Vec<&PeftAdapter> {
        self.adapters.iter().map(Borrow::borrow).collect()
    }
}

/// # Errors
/// [`LoraError::Weight`] with the first weight that is not a finite number.
pub(crate) fn check_weights(weights: &[f32]) -> Result<(), LoraError> {
    match weights.iter().position(|weight| !weight.is_finite()) {
        None => Ok(()),
        Some(module) => Err(LoraError::Weight { module, found: weights[module].to_string() }),
    }
}

fn check_shape(
    config: &dyn ModelConfig,
    module: usize,
    layer: LinearId,
    matrices: &PeftLayer,
) -> Result<(), LoraError> {
    let [d_out, d_in] =
        config.linear_shape(layer).ok_or(LoraError::UnknownLayer { module, layer })?;
    let rank = matrices.rank;
    for (matrix, expected, found) in [
        ("lora_A", [rank, d_in], [rank, matrices.d_in()]),
        ("lora_B", [d_out, rank], [matrices.d_out(), rank]),
    ] {
        if expected != found {
            return Err(LoraError::Shape { module, layer, matrix, expected, found });
        }
    }
    Ok(())
}

/// The modules that change a layer; those of weight 0 have no part in it, so that they cost nothing.
fn weighted<'a>(
    adapters: &[&'a PeftAdapter],
    layer: LinearId,
    weights: &[f32],
) -> Vec<Weighted<'a>> {
    let weighted = adapters.iter().zip(weights).filter(|&(_, &weight)| weight != 0.0);
    weighted.filter_map(|(adapter, &weight)| Some((adapter.layers.get(&layer)?, weight))).collect()
}
