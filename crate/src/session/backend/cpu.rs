//! The backend on the CPU.

use std::sync::Arc;

use super::{Backend, BackendError, Clock, Evaluated, ModuleSet};
use crate::lora::{AdapterSet, ModuleWeight, PeftAdapter};
use crate::model::{
    Control, Decoder, Encoded, ExampleLoss, LoraBranches, Model, PreparedBatch, TokenizedExample,
};

/// Computes on the CPU.
#[derive(Debug, Clone)]
pub struct CpuBackend {
    model: Arc<dyn Model>,
}

/// Examples with the parts of an evaluation that are cached.
#[derive(Debug)]
pub struct CpuBatch {
    examples: Vec<TokenizedExample>,
    prepared: Option<Box<dyn PreparedBatch>>,
    /// The modules evaluated last: a search evaluates the same ones with other weights.
    composed: Option<(ModuleSet, AdapterSet<Arc<PeftAdapter>>)>,
}

/// A composition, and the inputs that are being decoded with it.
#[derive(Debug)]
pub struct CpuDecoder {
    branches: Option<LoraBranches>,
    max_new_tokens: usize,
    greedy: Option<Box<dyn Decoder>>,
}

fn is_base_alone(weights: &[ModuleWeight]) -> bool {
    weights.iter().all(|weight| weight.is_zero())
}

impl CpuBackend {
    #[cfg(feature = "gpu")]
    pub(super) fn model(&self) -> &dyn Model {
        &*self.model
    }

    fn compose(&self, modules: &ModuleSet) -> Result<AdapterSet<Arc<PeftAdapter>>, BackendError> {
        Ok(AdapterSet::new(self.model.config(), &modules.adapters, modules.merge)?)
    }

    fn point_losses(
        &self,
        batch: &mut CpuBatch,
        modules: &ModuleSet,
        weights: &[ModuleWeight],
    ) -> Result<Vec<ExampleLoss>, BackendError> {
        let CpuBatch { examples, prepared, composed } = batch;
        let branches = if is_base_alone(weights) {
            None
        } else {
            if composed.as_ref().is_none_or(|(cached, _)| cached != modules) {
                // The earlier branches may be as large as all their modules together.
                *composed = None;
                *composed = Some((modules.clone(), self.compose(modules)?));
            }
            let set = composed.as_mut().map(|(_, set)| set);
            set.map(|set| set.branches(weights, self.model.precision())).transpose()?
        };
        let prepared = match prepared {
            Some(prepared) => prepared,
            none => none.insert(self.model.prepare(examples)?),
        };
        Ok(prepared.losses(branches, &Control::none())?)
    }
}

impl From<Arc<dyn Model>> for CpuBackend {
    fn from(model: Arc<dyn Model>) -> Self {
        Self { model }
    }
}

impl Backend for CpuBackend {
    type Batch = CpuBatch;
    type Decoder = CpuDecoder;

    fn batch(&self, examples: Vec<TokenizedExample>) -> CpuBatch {
        CpuBatch { examples, prepared: None, composed: None }
    }

    async fn losses(
        &mut self,
        batch: &mut CpuBatch,
        modules: &ModuleSet,
        points: &[Vec<ModuleWeight>],
        clock: Clock,
    ) -> Result<Evaluated, BackendError> {
        let started = clock();
        let first = points.iter().take(1);
        let losses: Result<_, _> =
            first.map(|weights| self.point_losses(batch, modules, weights)).collect();
        Ok(Evaluated { losses: losses?, seconds: clock() - started })
    }

    async fn encode(&mut self, inputs: &[&[u32]]) -> Result<Encoded, BackendError> {
        Ok(self.model.encode(inputs, None, &Control::none())?)
    }

    async fn decoder(
        &mut self,
        modules: ModuleSet,
        weights: Vec<ModuleWeight>,
        max_new_tokens: usize,
    ) -> Result<CpuDecoder, BackendError> {
        let branches = if is_base_alone(&weights) {
            None
        } else {
            Some(self.compose(&modules)?.into_branches(&weights, self.model.precision())?)
        };
        Ok(CpuDecoder { branches, max_new_tokens, greedy: None })
    }

    async fn start(
        &mut self,
        decoder: &mut CpuDecoder,
        inputs: &[Vec<u32>],
    ) -> Result<(), BackendError> {
        let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
        let (branches, limit) = (decoder.branches.as_ref(), decoder.max_new_tokens);
        decoder.greedy = None;
        decoder.greedy = Some(self.model.greedy(&inputs, branches, limit, &Control::none())?);
        Ok(())
    }

    async fn step(
        &mut self,
        decoder: &mut CpuDecoder,
        rows: &mut [Vec<u32>],
    ) -> Result<bool, BackendError> {
        let CpuDecoder { branches, greedy: Some(greedy), .. } = decoder else { return Ok(true) };
        for (row, token) in greedy.step(branches.as_ref(), &Control::none())? {
            rows[row].push(token);
        }
        Ok(greedy.is_finished())
    }
}
