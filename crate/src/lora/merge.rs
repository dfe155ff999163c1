//! Merging: for each [`Merge`], which matrices are summed, which are stacked, and the scale of every
//! rank. Composing, exporting and the GPU's parameters all use it.

#[cfg(feature = "gpu")]
use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{LoraError, PeftLayer};
use crate::choices::Choices;
#[cfg(feature = "gpu")]
use crate::kernels::gpu::RankFactor;
use crate::model::LinearId;
#[cfg(feature = "gpu")]
use crate::model::{LayerGroup, ModuleLayer};

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

impl Choices for Merge {
    const ALL: &'static [Self] = &[Self::Delta, Self::Lorahub];

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Delta => ("delta", "Adds the modules' updates; ranks may differ."),
            Self::Lorahub => {
                ("lorahub", "Adds A and B separately, as published; needs equal ranks.")
            }
        }
    }
}

/// A module's matrices of one layer, and its weight.
pub(super) type Weighted<'a> = (&'a PeftLayer, f32);

/// The merged update of one layer, `B · (scales ⊙ A)`.
#[derive(Debug, Clone)]
pub(super) struct MergedLayer {
    /// A, `[rank, d_in]`.
    pub(super) lora_a: Vec<f32>,
    /// B, `[d_out, rank]`.
    pub(super) lora_b: Vec<f32>,
    /// `[rank]`.
    pub(super) scales: Vec<f32>,
}

impl MergedLayer {
    /// Puts the scales into B, so that they become 1.
    pub(super) fn fold_scales(&mut self) {
        for row in self.lora_b.chunks_exact_mut(self.scales.len()) {
            row.iter_mut().zip(&self.scales).for_each(|(value, scale)| *value *= scale);
        }
        self.scales.fill(1.0);
    }
}

impl Merge {
    /// Whether the modules' matrices are summed, each times its weight. Otherwise they are stacked,
    /// and the weights are in the scales alone.
    pub fn is_summed(self) -> bool {
        match self {
            Merge::Lorahub => true,
            Merge::Delta => false,
        }
    }

    /// Checks that the modules of one layer, each with its index, can be merged.
    ///
    /// # Errors
    /// [`LoraError::Unequal`].
    pub(super) fn check(
        self,
        layer: LinearId,
        modules: &[(usize, &PeftLayer)],
    ) -> Result<(), LoraError> {
        let [(first, reference), others @ ..] = modules else { return Ok(()) };
        for &(module, matrices) in others.iter().filter(|_| self.is_summed()) {
            let (what, expected, found) = if matrices.rank != reference.rank {
                ("rank", reference.rank.to_string(), matrices.rank.to_string())
            } else if matrices.scaling != reference.scaling {
                ("scaling", reference.scaling.to_string(), matrices.scaling.to_string())
            } else {
                continue;
            };
            return Err(LoraError::Unequal { module, first: *first, layer, what, expected, found });
        }
        Ok(())
    }

    /// The merged update of at least one module.
    pub(super) fn merge(self, modules: &[Weighted<'_>]) -> MergedLayer {
        let [lora_a, lora_b] = if self.is_summed() {
            [sum(modules, |layer| &layer.lora_a), sum(modules, |layer| &layer.lora_b)]
        } else {
            stack(modules.iter().map(|&(layer, _)| layer))
        };
        MergedLayer { lora_a, lora_b, scales: self.scales(modules) }
    }

    /// The scaling of each rank of [`Merge::merge`].
    pub(super) fn scalings(self, modules: &[Weighted<'_>]) -> Vec<f32> {
        let parts = if self.is_summed() { &modules[..1] } else { modules };
        let of = |&(layer, _): &Weighted<'_>| std::iter::repeat_n(layer.scaling, layer.rank);
        parts.iter().flat_map(of).collect()
    }

    /// The scale of each rank of [`Merge::merge`].
    pub(super) fn scales(self, modules: &[Weighted<'_>]) -> Vec<f32> {
        let of = |layer: &PeftLayer, weight: f32| {
            std::iter::repeat_n(weight * layer.scaling, layer.rank)
        };
        if self.is_summed() {
            return of(modules[0].0, 1.0).collect();
        }
        modules.iter().flat_map(|&(layer, weight)| of(layer, weight)).collect()
    }

    /// The matrices of one layer's modules, each with its index among `count`, as the GPU merges them
    /// for any weights of this group of layers.
    #[cfg(feature = "gpu")]
    pub(super) fn gpu_layer<'a>(
        self,
        group: LayerGroup,
        modules: &[(usize, &'a PeftLayer)],
        count: usize,
    ) -> Option<ModuleLayer<'a>> {
        let &(_, first) = modules.first()?;
        let factors = |coefficient: u32, layer: &PeftLayer| {
            std::iter::repeat_n(RankFactor { coefficient, scaling: layer.scaling }, layer.rank)
        };
        if self.is_summed() {
            let mut copies = vec![None; count];
            for &(module, layer) in modules {
                let matrices = [&layer.lora_a, &layer.lora_b];
                copies[module] = Some(matrices.map(|matrix| Cow::Borrowed(matrix.as_slice())));
            }
            let factors = factors(RankFactor::ALL_MODULES, first).collect();
            return Some(ModuleLayer { group, d_in: first.d_in(), copies, factors });
        }
        let stacked = stack(modules.iter().map(|&(_, layer)| layer)).map(Cow::Owned);
        let index = |module| {
            let coefficient = module * LayerGroup::COUNT + group as usize;
            u32::try_from(coefficient).expect("fewer coefficients than values")
        };
        let factors = modules.iter().flat_map(|&(module, layer)| factors(index(module), layer));
        let factors = factors.collect();
        Some(ModuleLayer { group, d_in: first.d_in(), copies: vec![Some(stacked)], factors })
    }
}

/// The modules' A one below another, `[Σ rank, d_in]`, and their B side by side, `[d_out, Σ rank]`.
pub(super) fn stack<'a>(modules: impl Iterator<Item = &'a PeftLayer> + Clone) -> [Vec<f32>; 2] {
    let d_out = modules.clone().next().map_or(0, PeftLayer::d_out);
    let lora_a = modules.clone().flat_map(|layer| layer.lora_a.iter().copied()).collect();
    let mut lora_b = Vec::with_capacity(modules.clone().map(|layer| layer.lora_b.len()).sum());
    for output in 0..d_out {
        for layer in modules.clone() {
            lora_b.extend_from_slice(&layer.lora_b[output * layer.rank..][..layer.rank]);
        }
    }
    [lora_a, lora_b]
}

/// `Σ weight · matrix`, added up in the modules' order.
fn sum(modules: &[Weighted<'_>], matrix: fn(&PeftLayer) -> &[f32]) -> Vec<f32> {
    let mut sum = vec![0.0f32; matrix(modules[0].0).len()];
    let (fours, rest) = modules.as_chunks::<4>();
    for four in fours {
        add_weighted(&mut sum, four.map(|(layer, weight)| (matrix(layer), weight)));
    }
    for &(layer, weight) in rest {
        add_weighted(&mut sum, [(matrix(layer), weight)]);
    }
    sum
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
