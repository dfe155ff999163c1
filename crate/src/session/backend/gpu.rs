//! The backend on the GPU. It fails with the device.

use std::sync::Arc;

use super::check;
use super::{Backend, BackendError, Clock, CpuBackend, Device, Evaluated, GpuMemory, ModuleSet};
use crate::kernels::gpu::Gpu;
use crate::lora::{AdapterSet, check_weights};
use crate::model::{
    Control, Encoded, GpuDecoder, GpuEvaluation, GpuModel, GpuModules, ModelError, TokenizedExample,
};

/// Points of one submission: more would keep a slow GPU from drawing the screen for seconds.
const BATCH_LIMIT: usize = 8;

/// Modules on the device.
struct Loaded {
    /// Number of this upload: evaluations are recorded for one.
    upload: u64,
    set: ModuleSet,
    modules: GpuModules,
}

impl Loaded {
    /// Whether these modules have the bits that they have alone: sums can leave out other modules,
    /// stacked matrices cannot (see [`AdapterSet::upload`]).
    fn serves(&self, set: &ModuleSet) -> bool {
        let mut loaded = self.set.adapters.iter();
        let in_order =
            set.adapters.iter().all(|adapter| loaded.any(|other| Arc::ptr_eq(other, adapter)));
        self.set.merge == set.merge
            && in_order
            && (set.merge.is_summed() || set.adapters.len() == self.set.adapters.len())
    }

    /// One coefficient for each module on the device, 0 for those that are not in the set.
    fn coefficients(&self, set: &ModuleSet, weights: &[f32]) -> Vec<f32> {
        let weight = |loaded: &Arc<_>| {
            let index = set.adapters.iter().position(|adapter| Arc::ptr_eq(adapter, loaded));
            index.map_or(0.0, |index| weights[index])
        };
        self.set.adapters.iter().map(weight).collect()
    }
}

/// Computes on the GPU.
pub struct GpuBackend {
    cpu: CpuBackend,
    gpu: Arc<Gpu>,
    model: Box<dyn GpuModel>,
    loaded: Option<Loaded>,
    uploads: u64,
    /// Working memory of the largest evaluation or decoding so far.
    work_bytes: u64,
}

/// Examples, and the evaluation that is recorded for them.
pub struct GpuBatch {
    examples: Vec<TokenizedExample>,
    recorded: Option<Recorded>,
}

struct Recorded {
    /// Upload of the modules; none for the base alone.
    upload: Option<u64>,
    /// Points of a submission.
    points: usize,
    evaluation: GpuEvaluation,
}

/// A composition, and the inputs that are being decoded with it.
pub struct GpuDecoding {
    modules: ModuleSet,
    weights: Vec<f32>,
    max_new_tokens: usize,
    decoder: Option<GpuDecoder>,
}

/// The modules that have to be on the device for a point: the CPU leaves modules of weight 0 out of
/// stacked matrices, which are quantized together.
fn needed(set: &ModuleSet, weights: &[f32]) -> ModuleSet {
    if set.merge.is_summed() || weights.iter().all(|&weight| weight == 0.0) {
        return set.clone();
    }
    let used = set.adapters.iter().zip(weights).filter(|&(_, &weight)| weight != 0.0);
    ModuleSet { adapters: used.map(|(adapter, _)| Arc::clone(adapter)).collect(), ..*set }
}

impl GpuBackend {
    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    fn serves(&self, set: &ModuleSet) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.serves(set))
    }

    /// Makes sure that the modules are on the device; none of the base alone.
    fn load(&mut self, set: &ModuleSet) -> Result<Option<&Loaded>, BackendError> {
        if set.adapters.is_empty() {
            return Ok(None);
        }
        if !self.serves(set) {
            let checked = AdapterSet::new(self.cpu.model().config(), &set.adapters, set.merge)?;
            self.loaded = None;
            let modules = checked.upload(&*self.model).map_err(ModelError::Gpu)?;
            self.uploads += 1;
            self.loaded = Some(Loaded { upload: self.uploads, set: set.clone(), modules });
        }
        Ok(self.loaded.as_ref())
    }
}

impl Device for GpuBackend {
    async fn open(cpu: &CpuBackend) -> Result<Self, ModelError> {
        #[allow(clippy::arc_with_non_send_sync, reason = "natively it may go to another thread")]
        let gpu = Arc::new(Gpu::open().await?);
        let (model, cpu) = (cpu.model(), cpu.clone());
        let opened = async {
            check::check_room(model, &gpu)?;
            let on_device = model.load_gpu(Arc::clone(&gpu)).await?;
            let work_bytes = check::check(model, &*on_device).await?;
            Ok((on_device, work_bytes))
        };
        match opened.await {
            Ok((model, work_bytes)) => {
                Ok(Self { cpu, gpu, model, loaded: None, uploads: 0, work_bytes })
            }
            Err(error) => {
                gpu.destroy();
                Err(error)
            }
        }
    }

    fn close(self) {
        self.gpu.destroy();
    }

    fn name(&self) -> &str {
        self.gpu.name()
    }

    fn memory(&self) -> GpuMemory {
        let modules = self.loaded.as_ref().map_or(0, |loaded| loaded.modules.bytes());
        GpuMemory {
            weights_bytes: (self.model.bytes() - self.model.embedding_bytes()) as f64,
            embedding_bytes: self.model.embedding_bytes() as f64,
            modules_bytes: modules as f64,
            work_bytes: self.work_bytes as f64,
        }
    }
}

impl Backend for GpuBackend {
    type Batch = GpuBatch;
    type Decoder = GpuDecoding;

    fn batch_limit(&self) -> usize {
        BATCH_LIMIT
    }

    fn batch(&self, examples: Vec<TokenizedExample>) -> GpuBatch {
        GpuBatch { examples, recorded: None }
    }

    async fn losses(
        &mut self,
        batch: &mut GpuBatch,
        modules: &ModuleSet,
        points: &[Vec<f32>],
        clock: Clock,
    ) -> Result<Evaluated, BackendError> {
        points.iter().try_for_each(|weights| check_weights(weights))?;
        let [first, ..] = points else {
            return Ok(Evaluated { losses: Vec::new(), seconds: 0.0 });
        };
        let set = needed(modules, first);
        let together = points.iter().take_while(|weights| needed(modules, weights) == set).count();
        let points = &points[..together];
        if !set.adapters.is_empty() && !self.serves(&set) {
            batch.recorded = None;
        }
        let loaded = self.load(&set)?.map(|loaded| loaded.upload);
        let loaded_modules = self.loaded.as_ref().filter(|_| loaded.is_some());
        let recorded = match batch.recorded.take() {
            Some(recorded) if (recorded.upload, recorded.points) == (loaded, together) => recorded,
            _ => {
                let on_device = loaded_modules.map(|loaded| &loaded.modules);
                let evaluation = self.model.prepare(&batch.examples, on_device, together)?;
                self.work_bytes = self.work_bytes.max(evaluation.bytes());
                Recorded { upload: loaded, points: together, evaluation }
            }
        };
        let recorded = batch.recorded.insert(recorded);
        let started = clock();
        let coefficients = |weights: &Vec<f32>| match loaded_modules {
            Some(loaded) => loaded.coefficients(modules, weights),
            None => Vec::new(),
        };
        let vectors: Vec<Vec<f32>> = points.iter().map(coefficients).collect();
        let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let losses = recorded.evaluation.losses(&vectors, &Control::none()).await?;
        Ok(Evaluated { losses, seconds: (clock() - started) / together as f64 })
    }

    /// On the CPU: the GPU's encoder states are not read back.
    async fn encode(&mut self, inputs: &[&[u32]]) -> Result<Encoded, BackendError> {
        self.cpu.encode(inputs).await
    }

    async fn decoder(
        &mut self,
        modules: ModuleSet,
        weights: Vec<f32>,
        max_new_tokens: usize,
    ) -> Result<GpuDecoding, BackendError> {
        check_weights(&weights)?;
        Ok(GpuDecoding { modules, weights, max_new_tokens, decoder: None })
    }

    async fn start(
        &mut self,
        decoding: &mut GpuDecoding,
        inputs: &[Vec<u32>],
    ) -> Result<(), BackendError> {
        let inputs: Vec<&[u32]> = inputs.iter().map(Vec::as_slice).collect();
        let GpuDecoding { modules, weights, max_new_tokens, decoder } = decoding;
        *decoder = None;
        self.load(&needed(modules, weights))?;
        let loaded = self.loaded.as_ref().filter(|_| !modules.adapters.is_empty());
        let coefficients = loaded.map(|loaded| loaded.coefficients(modules, weights));
        let composition =
            loaded.zip(coefficients.as_deref()).map(|(loaded, weights)| (&loaded.modules, weights));
        let started = self.model.greedy(&inputs, composition, *max_new_tokens)?;
        self.work_bytes = self.work_bytes.max(started.bytes());
        *decoder = Some(started);
        Ok(())
    }

    async fn step(
        &mut self,
        decoding: &mut GpuDecoding,
        rows: &mut [Vec<u32>],
    ) -> Result<bool, BackendError> {
        let Some(decoder) = &mut decoding.decoder else { return Ok(true) };
        for (row, token) in decoder.step(&Control::none()).await? {
            rows[row].push(token);
        }
        Ok(decoder.is_finished())
    }
}
