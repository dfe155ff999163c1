//! The two ways to merge, and the checks before anything is computed.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::formats::{LinearId, PeftAdapter, PeftLayer};
use crate::kernels::cpu::PackedF32;
use crate::t5::{SidePath, SidePaths, T5Config};

/// How modules with weights `wᵢ` become one update of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Merge {
    /// As published: `scaling · (Σ wᵢ·Bᵢ)(Σ wᵢ·Aᵢ)`, a product of sums. All modules need the same
    /// rank and scaling.
    #[default]
    Lorahub,
    /// `Σ wᵢ·scalingᵢ·Bᵢ·Aᵢ`, the sum of the modules' own updates (PEFT's `cat`). Ranks may differ.
    Delta,
}

/// Why modules cannot be composed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
        /// The shape that the base model's layer asks for.
        expected: [usize; 2],
        /// The shape in the module.
        found: [usize; 2],
    },
    /// Modules that the `lorahub` merge cannot add up.
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
    /// All weights are 0, so that there is no adapter to write.
    #[error("every weight is 0, so the base alone is the result and there is no adapter to write")]
    Nothing,
    /// An adapter that cannot be written as a file.
    #[error("the adapter cannot be written: {reason}")]
    Unwritable {
        /// What the file format asks for.
        reason: String,
    },
    /// A weight that is not a finite number.
    #[error("the weight of module {module} is {found}; it must be a finite number")]
    Weight {
        /// Index of the module.
        module: usize,
        /// The weight, printed.
        found: String,
    },
}

impl LoraError {
    /// Index of the module that is to blame, among those given.
    pub fn module(&self) -> Option<usize> {
        match *self {
            Self::UnknownLayer { module, .. }
            | Self::Shape { module, .. }
            | Self::Unequal { module, .. }
            | Self::Weight { module, .. } => Some(module),
            Self::WeightCount { .. } | Self::Nothing | Self::Unwritable { .. } => None,
        }
    }
}

/// Modules that were checked against a base model and against each other, to be given weights. `A`
/// is a reference or a shared pointer to an adapter.
#[derive(Debug, Clone)]
pub struct Composition<A> {
    adapters: Vec<A>,
    merge: Merge,
    side: SidePaths,
}

impl<A: Borrow<PeftAdapter> + Clone> Composition<A> {
    /// Checks that every module fits the base model and, for [`Merge::Lorahub`], the others.
    ///
    /// # Errors
    /// A [`LoraError`] naming the module, the layer, what is expected and what was found.
    pub fn new(config: &T5Config, adapters: &[A], merge: Merge) -> Result<Self, LoraError> {
        let mut layers: BTreeMap<LinearId, Vec<(usize, &PeftLayer)>> = BTreeMap::new();
        for (module, adapter) in adapters.iter().enumerate() {
            for (&layer, matrices) in &adapter.borrow().layers {
                check_shape(config, module, layer, matrices)?;
                layers.entry(layer).or_default().push((module, matrices));
            }
        }
        if merge == Merge::Lorahub {
            for (&layer, modules) in &layers {
                check_equal(layer, modules)?;
            }
        }
        let side = layers
            .into_iter()
            .map(|(layer, modules)| {
                let path = match merge {
                    Merge::Lorahub => empty_path(modules[0].1),
                    Merge::Delta => stacked_path(&modules),
                };
                (layer, path)
            })
            .collect();
        Ok(Self { adapters: adapters.to_vec(), merge, side: SidePaths { layers: side } })
    }

    /// The side paths of the modules with these weights, one per module.
    ///
    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    pub fn side_paths(&mut self, weights: &[f32]) -> Result<&SidePaths, LoraError> {
        let (expected, found) = (self.adapters.len(), weights.len());
        if found != expected {
            return Err(LoraError::WeightCount { expected, found });
        }
        if let Some(module) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(LoraError::Weight { module, found: weights[module].to_string() });
        }
        for (layer, path) in &mut self.side.layers {
            let modules = (self.adapters.iter().zip(weights)).filter_map(|(adapter, &weight)| {
                Some((adapter.borrow().layers.get(layer)?, weight))
            });
            match self.merge {
                Merge::Lorahub => sum_matrices(path, modules),
                Merge::Delta => set_scales(path, modules),
            }
        }
        Ok(&self.side)
    }
}

fn check_shape(
    config: &T5Config,
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

fn check_equal(layer: LinearId, modules: &[(usize, &PeftLayer)]) -> Result<(), LoraError> {
    let (first, reference) = modules[0];
    for &(module, matrices) in &modules[1..] {
        let unequal = |what, expected: String, found: String| {
            Err(LoraError::Unequal { module, first, layer, what, expected, found })
        };
        if matrices.rank != reference.rank {
            return unequal("rank", reference.rank.to_string(), matrices.rank.to_string());
        }
        if matrices.scaling != reference.scaling {
            return unequal("scaling", reference.scaling.to_string(), matrices.scaling.to_string());
        }
    }
    Ok(())
}

/// A path of one module's size that adds nothing yet.
fn empty_path(matrices: &PeftLayer) -> SidePath {
    SidePath {
        lora_a: PackedF32::zeros(matrices.rank, matrices.d_in()),
        lora_b: PackedF32::zeros(matrices.d_out(), matrices.rank),
        scales: vec![0.0; matrices.rank],
    }
}

/// The modules' A one below another and their B side by side, with no weight yet.
fn stacked_path(modules: &[(usize, &PeftLayer)]) -> SidePath {
    let (d_in, d_out) = (modules[0].1.d_in(), modules[0].1.d_out());
    let rank = modules.iter().map(|(_, matrices)| matrices.rank).sum();
    let lora_a: Vec<f32> =
        modules.iter().flat_map(|(_, matrices)| matrices.lora_a.iter().copied()).collect();
    let mut lora_b = PackedF32::zeros(d_out, rank);
    let mut start = 0;
    for (_, matrices) in modules {
        for (column, row) in matrices.lora_b.chunks_exact(matrices.rank).enumerate() {
            lora_b.set_column(column, start, row);
        }
        start += matrices.rank;
    }
    SidePath { lora_a: PackedF32::new(&lora_a, rank, d_in), lora_b, scales: vec![0.0; rank] }
}

fn set_scales<'a>(path: &mut SidePath, modules: impl Iterator<Item = (&'a PeftLayer, f32)>) {
    let mut scales = path.scales.iter_mut();
    for (matrices, weight) in modules {
        for scale in scales.by_ref().take(matrices.rank) {
            *scale = weight * matrices.scaling;
        }
    }
}

fn sum_matrices<'a>(path: &mut SidePath, modules: impl Iterator<Item = (&'a PeftLayer, f32)>) {
    let (rank, d_in) = (path.lora_a.columns(), path.lora_a.depth());
    let mut a = vec![0.0f32; rank * d_in];
    let mut b = vec![0.0f32; path.lora_b.columns() * rank];
    path.scales.fill(0.0);
    for (matrices, weight) in modules.filter(|&(_, weight)| weight != 0.0) {
        for (sum, matrix) in [(&mut a, &matrices.lora_a), (&mut b, &matrices.lora_b)] {
            for (sum, value) in sum.iter_mut().zip(matrix) {
                *sum += weight * value;
            }
        }
        path.scales.fill(matrices.scaling);
    }
    for (column, row) in a.chunks_exact(d_in).enumerate() {
        path.lora_a.set_column(column, 0, row);
    }
    for (column, row) in b.chunks_exact(rank).enumerate() {
        path.lora_b.set_column(column, 0, row);
    }
}
