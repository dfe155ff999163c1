//! The backend on the GPU. It fails with the device.

use std::sync::Arc;

use super::check;
use super::{Backend, BackendError, Clock, CpuBackend, Device, Evaluated, GpuMemory, ModuleSet};
use crate::kernels::gpu::Gpu;
use crate::lora::{AdapterSet, ModuleWeight, Used, check_weights};
use crate::model::{
    Control, Encoded, GpuDecoder, GpuEvaluation, GpuModel, GpuModules, GroupCoefficients,
    LayerGroup, ModelError, TokenizedExample,
};

/// Points of one submission: more would keep a slow GPU from drawing the screen for seconds.
const BATCH_LIMIT: usize = 8;

/// The modules that have to be on the device, and the groups of layers in which they have a weight:
/// the CPU leaves the others out of stacked matrices, which are quantised together.
#[derive(Clone, PartialEq)]
struct Needed {
    set: ModuleSet,
    used: Vec<Used>,
}

impl Needed {
    fn new(set: &ModuleSet, weights: &[ModuleWeight]) -> Self {
        if set.merge.is_summed() || weights.iter().all(|weight| weight.is_zero()) {
            let used = vec![[true; LayerGroup::COUNT]; set.adapters.len()];
            return Self { set: set.clone(), used };
        }
        let used = set.adapters.iter().zip(weights).filter(|(_, weight)| !weight.is_zero());
        let (adapters, used) =
            used.map(|(adapter, weight)| (Arc::clone(adapter), weight.used())).unzip();
        Self { set: ModuleSet { adapters, ..*set }, used }
    }
}

/// Modules on the device.
struct Loaded {
    /// Number of this upload: evaluations are recorded for one.
    upload: u64,
    needed: Needed,
    modules: GpuModules,
}

impl Loaded {
    /// Whether these modules have the bits that the needed ones have alone: sums can leave out other
    /// modules, stacked matrices cannot.
    fn serves(&self, needed: &Needed) -> bool {
        if !needed.set.merge.is_summed() {
            return self.needed == *needed;
        }
        let mut loaded = self.needed.set.adapters.iter();
        self.needed.set.merge == needed.set.merge
            && (needed.set.adapters.iter())
                .all(|adapter| loaded.any(|other| Arc::ptr_eq(other, adapter)))
    }

    /// The coefficients of each module on the device, 0 for those that are not in the set.
    fn coefficients(&self, set: &ModuleSet, weights: &[ModuleWeight]) -> Vec<GroupCoefficients> {
        let weight = |loaded: &Arc<_>| {
            let index = set.adapters.iter().position(|adapter| Arc::ptr_eq(adapter, loaded));
            index.map_or([0.0; LayerGroup::COUNT], |index| weights[index].groups())
        };
        self.needed.set.adapters.iter().map(weight).collect()
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
    weights: Vec<ModuleWeight>,
    max_new_tokens: usize,
    decoder: Option<GpuDecoder>,
}

impl GpuBackend {
    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    fn serves(&self, needed: &Needed) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.serves(needed))
    }

    /// Makes sure that the modules are on the device; none of the base alone.
    fn load(&mut self, needed: &Needed) -> Result<Option<&Loaded>, BackendError> {
        let Needed { set, used } = needed;
        if set.adapters.is_empty() {
            return Ok(None);
        }
        if !self.serves(needed) {
            let checked = AdapterSet::new(self.cpu.model().config(), &set.adapters, set.merge)?;
            self.loaded = None;
            let modules = checked.upload_used(&*self.model, used).map_err(ModelError::Gpu)?;
            self.uploads += 1;
            self.loaded = Some(Loaded { upload: self.uploads, needed: needed.clone(), modules });
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
        points: &[Vec<ModuleWeight>],
        clock: Clock,
    ) -> Result<Evaluated, BackendError> {
        points.iter().try_for_each(|weights| check_weights(weights))?;
        let [first, ..] = points else {
            return Ok(Evaluated { losses: Vec::new(), seconds: 0.0 });
        };
        let needed = Needed::new(modules, first);
        let same = |weights: &&Vec<ModuleWeight>| Needed::new(modules, weights) == needed;
        let together = points.iter().take_while(same).count();
        let points = &points[..together];
        if !needed.set.adapters.is_empty() && !self.serves(&needed) {
            batch.recorded = None;
        }
        let loaded = self.load(&needed)?.map(|loaded| loaded.upload);
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
        let coefficients = |weights: &Vec<ModuleWeight>| match loaded_modules {
            Some(loaded) => loaded.coefficients(modules, weights),
            None => Vec::new(),
        };
        let vectors: Vec<Vec<_>> = points.iter().map(coefficients).collect();
        let vectors: Vec<&[_]> = vectors.iter().map(Vec::as_slice).collect();
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
        weights: Vec<ModuleWeight>,
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
        self.load(&Needed::new(modules, weights))?;
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
