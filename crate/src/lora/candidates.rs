//! Modules that may be added to a composition, and the gradients of their coefficients at 0.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::merge::stack;
use super::{AdapterSet, PeftAdapter, PeftLayer};
use crate::kernels::cpu::transposed;
use crate::kernels::parallel::for_each_item;
use crate::model::{CandidateLayer, LinearId, LoraCandidates, Precision};

impl<A: Borrow<PeftAdapter> + Clone> AdapterSet<A> {
    /// The modules, packed to compute the gradients of their coefficients. The modules' updates add up,
    /// as with [`Merge::Delta`](super::Merge::Delta).
    pub fn candidates(&self, precision: Precision) -> LoraCandidates {
        let adapters = self.adapters();
        let mut packed: Vec<Option<CandidateLayer>> = Vec::new();
        packed.resize_with(self.layers().len(), || None);
        let parameters: usize = adapters.iter().map(|adapter| adapter.parameters()).sum();
        let items = packed.iter_mut().zip(self.layers()).collect();
        for_each_item(items, 4 * parameters / self.layers().len().max(1), |(packed, id)| {
            let modules = adapters.iter().filter_map(|adapter| adapter.layers.get(id));
            let rank: usize = modules.clone().map(|layer| layer.rank).sum();
            let [lora_a, lora_b] = stack(modules);
            *packed =
                Some(CandidateLayer::new(&lora_a, &transposed(&lora_b, rank), rank, precision));
        });
        let layers = self.layers().iter().zip(packed);
        LoraCandidates::new(
            precision,
            layers.filter_map(|(&id, layer)| Some((id, layer?))).collect(),
        )
    }

    /// The gradient of each module's coefficient, the same for all groups of layers, from those of a
    /// factor of each rank of [`AdapterSet::candidates`]: their sum, each times the module's scaling.
    pub fn coefficient_gradients(&self, of_ranks: &BTreeMap<LinearId, Vec<f32>>) -> Vec<f64> {
        let adapters = self.adapters();
        let mut sums = vec![0.0; adapters.len()];
        for (id, gradients) in of_ranks {
            let mut gradients = gradients.iter();
            for (sum, adapter) in sums.iter_mut().zip(&adapters) {
                let Some(PeftLayer { rank, scaling, .. }) = adapter.layers.get(id) else {
                    continue;
                };
                let of_module: f64 = gradients.by_ref().take(*rank).map(|&g| f64::from(g)).sum();
                *sum += of_module * f64::from(*scaling);
            }
        }
        sums
    }
}
