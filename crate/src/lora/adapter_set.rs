//! The two ways to merge, and the checks before anything is computed.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lora::{PeftAdapter, PeftLayer};

use crate::kernels::parallel::for_each_item;
use crate::model::{LinearId, Model, ModelConfig};
use crate::model::{LoraBranch, LoraBranches, Precision};

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
pub struct AdapterSet<A> {
    pub(super) adapters: Vec<A>,
    pub(super) merge: Merge,
    /// Layers that any of the modules changes.
    layers: Vec<LinearId>,
    /// The LoRA branches that were made last, and which modules have a part in them.
    made: Option<(Vec<bool>, LoraBranches)>,
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
        if merge == Merge::Lorahub {
            for (&layer, modules) in &layers {
                check_equal(layer, modules)?;
            }
        }
        Ok(Self {
            layers: layers.into_keys().collect(),
            adapters: adapters.to_vec(),
            merge,
            made: None,
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
        let same =
            |made: &(Vec<bool>, LoraBranches)| made.0 == used && made.1.precision() == precision;
        // What cannot be kept goes first: it may be as large as all modules together.
        let kept = self.made.take().filter(|made| self.merge == Merge::Delta && same(made));
        let mut side = match kept {
            Some((_, side)) => side,
            None => LoraBranches::new(precision, self.make_layers(weights, precision)),
        };
        if self.merge == Merge::Delta {
            let adapters = self.adapters();
            for (layer, path) in side.iter_mut() {
                path.set_scales(&scales(&weighted(&adapters, layer, weights)));
            }
        }
        Ok(&self.made.insert((used, side)).1)
    }

    /// As [`AdapterSet::branches`], where no others are asked for.
    ///
    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    pub fn into_branches(
        mut self,
        weights: &[f32],
        precision: Precision,
    ) -> Result<LoraBranches, LoraError> {
        self.branches(weights, precision)?;
        let (_, side) = self.made.expect("LoRA branches that were made just now");
        Ok(side)
    }

    /// # Errors
    /// [`LoraError::WeightCount`] or [`LoraError::Weight`].
    pub(super) fn check(&self, weights: &[f32]) -> Result<(), LoraError> {
        let (expected, found) = (self.adapters.len(), weights.len());
        if found != expected {
            return Err(LoraError::WeightCount { expected, found });
        }
        check_weights(weights)
    }

    /// The LoRA branches of all layers, without scales for [`Merge::Delta`].
    fn make_layers(&self, weights: &[f32], precision: Precision) -> BTreeMap<LinearId, LoraBranch> {
        let make = match self.merge {
            Merge::Lorahub => summed_path,
            Merge::Delta => stacked_path,
        };
        let mut paths: Vec<Option<LoraBranch>> = vec![None; self.layers.len()];
        let adapters = self.adapters();
        let parameters: usize = adapters.iter().map(|adapter| adapter.parameters()).sum();
        let items = paths.iter_mut().zip(&self.layers).collect();
        // Packing a number costs as much as adding up some.
        for_each_item(items, 4 * parameters / self.layers.len().max(1), |(path, &layer)| {
            let modules = weighted(&adapters, layer, weights);
            *path = (!modules.is_empty()).then(|| make(&modules, precision));
        });
        let layers = self.layers.iter().zip(paths);
        layers.filter_map(|(&layer, path)| Some((layer, path?))).collect()
    }

    fn adapters(&self) -> Vec<&PeftAdapter> {
        self.adapters.iter().map(Borrow::borrow).collect()
    }
}

/// The composition of the modules last asked for, kept while the same ones are: a search evaluates
/// the same modules with other weights most of the time.
#[derive(Debug, Clone)]
pub struct CompositionCache<A> {
    merge: Merge,
    last: Option<(Vec<String>, AdapterSet<A>)>,
}

impl<A: Borrow<PeftAdapter> + Clone> CompositionCache<A> {
    /// No composition yet.
    pub fn new(merge: Merge) -> Self {
        Self { merge, last: None }
    }

    /// The LoRA branches beside a model of modules, each with its id, adapter and weight; none where all
    /// weigh 0.
    ///
    /// # Errors
    /// A [`LoraError`], whose module is an index into `modules`.
    pub fn branches(
        &mut self,
        model: &dyn Model,
        modules: &[(&str, A, f32)],
    ) -> Result<Option<&LoraBranches>, LoraError> {
        if modules.iter().all(|&(.., weight)| weight == 0.0) {
            return Ok(None);
        }
        let same = |known: &[String]| known.iter().eq(modules.iter().map(|(id, ..)| id));
        let (ids, composition) = match self.last.take().filter(|(known, _)| same(known)) {
            Some(last) => last,
            None => {
                let adapters: Vec<A> = modules.iter().map(|(_, a, _)| a.clone()).collect();
                let ids = modules.iter().map(|&(id, ..)| id.to_owned()).collect();
                (ids, AdapterSet::new(model.config(), &adapters, self.merge)?)
            }
        };
        let weights: Vec<f32> = modules.iter().map(|&(.., weight)| weight).collect();
        let (_, composition) = self.last.insert((ids, composition));
        composition.branches(&weights, model.precision()).map(Some)
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

/// A module's matrices of one layer, and its weight.
type Weighted<'a> = (&'a PeftLayer, f32);

/// The modules that change a layer; those of weight 0 have no part in it, so that they cost nothing.
fn weighted<'a>(
    adapters: &[&'a PeftAdapter],
    layer: LinearId,
    weights: &[f32],
) -> Vec<Weighted<'a>> {
    let weighted = adapters.iter().zip(weights).filter(|&(_, &weight)| weight != 0.0);
    weighted.filter_map(|(adapter, &weight)| Some((adapter.layers.get(&layer)?, weight))).collect()
}

/// The modules' A one below another and their B side by side; without scales, which follow.
fn stacked_path(modules: &[Weighted<'_>], precision: Precision) -> LoraBranch {
    let rank = modules.iter().map(|(matrices, _)| matrices.rank).sum();
    let d_out = modules.first().map_or(0, |(matrices, _)| matrices.d_out());
    let mut lora_b = Vec::with_capacity(rank * d_out);
    for output in 0..d_out {
        for (matrices, _) in modules {
            lora_b.extend_from_slice(&matrices.lora_b[output * matrices.rank..][..matrices.rank]);
        }
    }
    let lora_a: Vec<f32> =
        modules.iter().flat_map(|(matrices, _)| matrices.lora_a.iter().copied()).collect();
    LoraBranch::new(&lora_a, &lora_b, vec![0.0; rank], precision)
}

fn scales(modules: &[Weighted<'_>]) -> Vec<f32> {
    let scale = |&(matrices, weight): &Weighted<'_>| {
        std::iter::repeat_n(weight * matrices.scaling, matrices.rank)
    };
    modules.iter().flat_map(scale).collect()
}

/// Σ w·A and Σ w·B of at least one module.
fn summed_path(modules: &[Weighted<'_>], precision: Precision) -> LoraBranch {
    let (first, _) = modules[0];
    let sum = |matrix: fn(&PeftLayer) -> &[f32]| {
        let mut sum = vec![0.0f32; matrix(first).len()];
        let (fours, rest) = modules.as_chunks::<4>();
        for four in fours {
            add_weighted(&mut sum, four.map(|(matrices, weight)| (matrix(matrices), weight)));
        }
        for &(matrices, weight) in rest {
            add_weighted(&mut sum, [(matrix(matrices), weight)]);
        }
        sum
    };
    let (a, b) = (sum(|matrices| &matrices.lora_a), sum(|matrices| &matrices.lora_b));
    LoraBranch::new(&a, &b, vec![first.scaling; first.rank], precision)
}

/// Adds weighted matrices, one after another, in one pass over the sum: with many modules that pass
/// would cost as much as reading them.
fn add_weighted<const N: usize>(sum: &mut [f32], matrices: [(&[f32], f32); N]) {
    let count = sum.len();
    let matrices = matrices.map(|(values, weight)| (&values[..count], weight));
    for (index, sum) in sum.iter_mut().enumerate() {
        for (values, weight) in matrices {
            *sum += weight * values[index];
        }
    }
}
