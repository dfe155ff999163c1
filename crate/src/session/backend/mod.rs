//! Backends: what computes losses, encodes and decodes for a [`Session`](super::Session).
//!
//! | backend | computes |
//! |---|---|
//! | [`CpuBackend`] | on the CPU |
//! | `GpuBackend` | on the GPU, and fails with it |
//! | `FailoverBackend` | on the GPU while it works and agrees with the CPU, otherwise on the CPU |

#[cfg(feature = "gpu")]
mod check;
mod cpu;
#[cfg(feature = "gpu")]
mod failover;
#[cfg(feature = "gpu")]
mod gpu;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::lora::{LoraError, Merge, ModuleWeight, PeftAdapter};
use crate::model::{Encoded, ExampleLoss, ModelError, TokenizedExample};

pub use cpu::CpuBackend;
#[cfg(feature = "gpu")]
pub use failover::{Device, FailoverBackend};
#[cfg(feature = "gpu")]
pub use gpu::GpuBackend;

/// Returns seconds from any fixed point: browsers and operating systems have different clocks.
pub type Clock = fn() -> f64;

/// Modules in the order of their weights, and how they are merged. Without modules it is the base
/// alone.
#[derive(Debug, Clone, Default)]
pub struct ModuleSet {
    /// The modules.
    pub adapters: Vec<Arc<PeftAdapter>>,
    /// How they become one LoRA branch.
    pub merge: Merge,
}

/// Equal where the modules are the same objects: a module that was added again is another one.
impl PartialEq for ModuleSet {
    fn eq(&self, other: &Self) -> bool {
        self.merge == other.merge
            && self.adapters.len() == other.adapters.len()
            && self.adapters.iter().zip(&other.adapters).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

/// Losses of one or several points.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// Each example's loss, for each point.
    pub losses: Vec<Vec<ExampleLoss>>,
    /// Time that each point took.
    pub seconds: f64,
}

/// Why a backend did not compute.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The model refuses an input, or the GPU failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The modules cannot be composed; indices are those of the [`ModuleSet`].
    #[error(transparent)]
    Lora(#[from] LoraError),
}

/// Computes with one model. A [`Session`](super::Session) makes one of the model that it loaded, by
/// `From`.
#[allow(async_fn_in_trait, reason = "sessions run on the thread that created them")]
pub trait Backend {
    /// Examples whose losses are evaluated, with what evaluations of them have in common.
    type Batch;
    /// Greedy decoding with one composition.
    type Decoder;

    /// Number of points that [`Backend::losses`] takes at once.
    fn batch_limit(&self) -> usize {
        1
    }

    /// A batch of examples.
    fn batch(&self, examples: Vec<TokenizedExample>) -> Self::Batch;

    /// The losses of at least the first of the points, each one weight per module of the set. Modules
    /// of weight 0 cost nothing.
    ///
    /// # Errors
    /// [`BackendError::Lora`] for modules that cannot be composed, [`BackendError::Model`] for an
    /// example that the model refuses.
    async fn losses(
        &mut self,
        batch: &mut Self::Batch,
        modules: &ModuleSet,
        points: &[Vec<ModuleWeight>],
        clock: Clock,
    ) -> Result<Evaluated, BackendError>;

    /// The encoder's states of inputs, with the base alone.
    ///
    /// # Errors
    /// [`BackendError::Model`] for an input that the model refuses.
    async fn encode(&mut self, inputs: &[&[u32]]) -> Result<Encoded, BackendError>;

    /// A decoder with modules of these weights, of at most so many tokens for each input.
    ///
    /// # Errors
    /// [`BackendError::Lora`] for modules that cannot be composed.
    async fn decoder(
        &mut self,
        modules: ModuleSet,
        weights: Vec<ModuleWeight>,
        max_new_tokens: usize,
    ) -> Result<Self::Decoder, BackendError>;

    /// Starts to decode a batch of inputs, in place of an earlier one.
    ///
    /// # Errors
    /// [`BackendError::Model`] for an input that the model refuses.
    async fn start(
        &mut self,
        decoder: &mut Self::Decoder,
        inputs: &[Vec<u32>],
    ) -> Result<(), BackendError>;

    /// Appends the next tokens to the rows of the inputs that are not finished; returns whether all
    /// are. The rows are those of the step before, empty at first.
    ///
    /// # Errors
    /// [`BackendError::Model`].
    async fn step(
        &mut self,
        decoder: &mut Self::Decoder,
        rows: &mut [Vec<u32>],
    ) -> Result<bool, BackendError>;

    /// Starts to use the GPU; the status says whether that succeeded. None for a backend without one.
    async fn open_gpu(&mut self) -> Option<GpuStatus> {
        None
    }

    /// The GPU's status, if it changed since it was last returned.
    fn changed_gpu_status(&mut self) -> Option<GpuStatus> {
        None
    }
}

/// Bytes of GPU memory. Each allocation is planned and compared with the device's limits before it is
/// made: what does not fit stays on the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GpuMemory {
    /// The model's weights but the embedding.
    pub weights_bytes: f64,
    /// The embedding, in f32.
    pub embedding_bytes: f64,
    /// The modules on the GPU.
    pub modules_bytes: f64,
    /// Working memory of the largest evaluation or decoding so far, the check against the CPU
    /// included.
    pub work_bytes: f64,
}

/// Whether the GPU is used, and why not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GpuStatus {
    /// Whether it is used; false until a base is loaded.
    pub active: bool,
    /// Its name, where the browser reports one.
    pub name: String,
    /// Memory that is in use; all 0 where the GPU is not used.
    pub memory: GpuMemory,
    /// Why the CPU took over, or how often a lost device was reopened; empty if neither.
    pub reason: String,
}
