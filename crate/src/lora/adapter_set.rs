//! Modules that were checked against a base model, and their LoRA branches for any weights.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::merge::{MergedLayer, Weighted};
use super::{LoraError, Merge, ModuleWeight, PeftAdapter, PeftLayer};
#[cfg(feature = "gpu")]
use crate::kernels::gpu::GpuError;
use crate::kernels::parallel::for_each_item;
#[cfg(feature = "gpu")]
use crate::model::{GpuModel, GpuModules};
use crate::model::{LayerGroup, LinearId, LoraBranch, LoraBranches, ModelConfig, Precision};

/// Whether a module has a weight in each group of layers.
pub(crate) type Used = [bool; LayerGroup::COUNT];

/// Modules that were checked against a base model and against each other. `A` is a reference or a
/// shared pointer to an adapter.
#[derive(Debug, Clone)]
pub struct AdapterSet<A> {
    adapters: Vec<A>,
    merge: Merge,
    /// Layers that any of the modules changes.
    layers: Vec<LinearId>,
    /// The LoRA branches returned last, and which groups of layers of each module have a weight in
    /// them.
    cached: Option<(Vec<Used>, LoraBranches)>,
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
                check_size(module, layer, matrices)?;
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

    /// The layers that any of the modules changes.
    pub(super) fn layers(&self) -> &[LinearId] {
        &self.layers
    }

    /// The LoRA branches of the modules with these weights, one per module, for models of a precision.
    ///
    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    pub fn branches<W: Into<ModuleWeight> + Copy>(
        &mut self,
        weights: &[W],
        precision: Precision,
    ) -> Result<&LoraBranches, LoraError> {
        let weights = &self.check(weights)?;
        let used: Vec<Used> = weights.iter().map(|weight| weight.used()).collect();
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
    pub fn into_branches<W: Into<ModuleWeight> + Copy>(
        mut self,
        weights: &[W],
        precision: Precision,
    ) -> Result<LoraBranches, LoraError> {
        self.branches(weights, precision)?;
        let (_, branches) = self.cached.expect("LoRA branches that were cached just now");
        Ok(branches)
    }

    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    fn check<W: Into<ModuleWeight> + Copy>(
        &self,
        weights: &[W],
    ) -> Result<Vec<ModuleWeight>, LoraError> {
        let (expected, found) = (self.adapters.len(), weights.len());
        if found != expected {
            return Err(LoraError::WeightCount { expected, found });
        }
        let weights: Vec<ModuleWeight> = weights.iter().map(|&weight| weight.into()).collect();
        check_weights(&weights)?;
        Ok(weights)
    }

    /// The LoRA branches of all layers.
    fn merge_layers(
        &self,
        weights: &[ModuleWeight],
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
    pub(super) fn merged<W: Into<ModuleWeight> + Copy>(
        &self,
        weights: &[W],
    ) -> Result<BTreeMap<LinearId, MergedLayer>, LoraError> {
        let layers = self.merged_with_scalings(weights)?;
        Ok(layers.into_iter().map(|(layer, (merged, _))| (layer, merged)).collect())
    }

    /// [`AdapterSet::merged`] with [`Merge::scalings`].
    ///
    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    pub(super) fn merged_with_scalings<W: Into<ModuleWeight> + Copy>(
        &self,
        weights: &[W],
    ) -> Result<BTreeMap<LinearId, (MergedLayer, Vec<f32>)>, LoraError> {
        let weights = &self.check(weights)?;
        let adapters = self.adapters();
        let layers = self.layers.iter().map(|&layer| (layer, weighted(&adapters, layer, weights)));
        let changed = layers.filter(|(_, modules)| !modules.is_empty());
        let merged = changed.map(|(layer, modules)| {
            (layer, (self.merge.merge(&modules), self.merge.scalings(&modules)))
        });
        Ok(merged.collect())
    }

    /// Copies the modules to the device of `model`, which has to be of the configuration that they
    /// were checked against. The device takes [`LayerGroup::COUNT`] coefficients of each module.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    #[cfg(feature = "gpu")]
    pub fn upload(&self, model: &dyn GpuModel) -> Result<GpuModules, GpuError> {
        self.upload_used(model, &vec![[true; LayerGroup::COUNT]; self.adapters.len()])
    }

    /// [`AdapterSet::upload`] of the groups of layers that modules have a weight in. Stacked matrices
    /// are quantised together, so that others left in would change the bits.
    #[cfg(feature = "gpu")]
    pub(crate) fn upload_used(
        &self,
        model: &dyn GpuModel,
        used: &[Used],
    ) -> Result<GpuModules, GpuError> {
        let adapters = self.adapters();
        let layer = |id: LinearId| {
            let modules = adapters.iter().zip(used).enumerate();
            let modules = modules.filter(|(_, (_, used))| used[id.group() as usize]);
            let modules: Vec<(usize, &PeftLayer)> = modules
                .filter_map(|(index, (adapter, _))| Some((index, adapter.layers.get(&id)?)))
                .collect();
            self.merge.gpu_layer(id.group(), &modules, adapters.len())
        };
        model.load_modules(&layer, adapters.len(), self.merge.is_summed())
    }

    pub(super) fn adapters(&self) -> Vec<&PeftAdapter> {
        self.adapters.iter().map(Borrow::borrow).collect()
    }
}

/// Limit on a weight. Useful ones are below 3; numbers that overflow would give a plausible loss in 8 bits.
const MAX_WEIGHT: f32 = 1000.0;
/// Limit on what a module of weight 1 adds to a number of the base's weights, which are below 100.
const MAX_UPDATE: f32 = 1e6;

/// # Errors
/// [`LoraError::Weight`] with the first weight that is not a number from -1000 to 1000.
pub(crate) fn check_weights(weights: &[ModuleWeight]) -> Result<(), LoraError> {
    let is_usable = |weight: f32| weight.abs() <= MAX_WEIGHT;
    for (module, weight) in weights.iter().enumerate() {
        if let Some(found) = weight.groups().into_iter().find(|&weight| !is_usable(weight)) {
            let found = if found.is_finite() { format!("{found:e}") } else { found.to_string() };
            return Err(LoraError::Weight { module, found });
        }
    }
    Ok(())
}

/// Checks a bound on `scaling · B · A`, by the largest value of each.
fn check_size(module: usize, layer: LinearId, matrices: &PeftLayer) -> Result<(), LoraError> {
    let largest =
        |values: &[f32]| values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let PeftLayer { lora_a, lora_b, rank, scaling } = matrices;
    let update = scaling.abs() * *rank as f32 * largest(lora_a) * largest(lora_b);
    if update <= MAX_UPDATE {
        return Ok(());
    }
    Err(LoraError::TooLarge { module, layer, found: format!("{update:.0e}") })
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
    weights: &[ModuleWeight],
) -> Vec<Weighted<'a>> {
    let weights = weights.iter().map(|weight| weight.of(layer.group()));
    let weighted = adapters.iter().zip(weights).filter(|&(_, weight)| weight != 0.0);
    weighted.filter_map(|(adapter, weight)| Some((adapter.layers.get(&layer)?, weight))).collect()
}
