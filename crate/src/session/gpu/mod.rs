//! The engine on the graphics card: the same pieces of work as [`Engine`]'s, awaited. The CPU's engine
//! stays beside it: it holds the weights and the state of every piece of work, checks the device
//! before it is trusted, and goes on where the device leaves off.

mod answers;
mod check;
mod population;

use std::sync::Arc;

use super::learning::{self, Evaluated, Learning};
use super::{BaseLoad, Engine, input_report, ready, score_of, sentence};
use crate::formats::Example;
use crate::kernels::gpu::{Gpu, GpuError};
use crate::learn::{LearnOptions, LearnResult, Phase, Step};
use crate::lora::Composition;
use crate::lora::{self, Merge};
use crate::model::t5::{
    Control, ExampleLoss, GpuDecoder, GpuEvaluation, GpuModel, GpuModules, ModelError, T5Model,
    TokenizedExample, Verified,
};
use crate::protocol::{
    BaseInfo, ErrorReport, GpuMemory, GpuStatus, LearningStep, ModuleInfo, RetrievalStep, Score,
};
use crate::registry::Candidate;

use super::report::lora_report;
use answers::Generation;
use population::{MOST_MEMBERS, Population};

/// Times that a lost device is opened again before the CPU takes over for good.
const MOST_REOPENINGS: u32 = 2;

/// Modules on the device, kept while they serve.
struct Loaded {
    ids: Vec<String>,
    merge: Merge,
    modules: GpuModules,
}

impl Loaded {
    /// Whether these modules, in this order, give the bits that they give alone: sums can leave out
    /// others, and matrices side by side cannot (see [`lora::AdapterSet::upload`]).
    fn serves(&self, ids: &[&str], merge: Merge) -> bool {
        let mut known = self.ids.iter();
        let in_order = ids.iter().all(|id| known.any(|known| known == id));
        self.merge == merge && in_order && (merge == Merge::Lorahub || ids.len() == self.ids.len())
    }
}

enum Work {
    Idle,
    Learning(Box<Population>),
    Generation(Box<Generation>),
    /// The batch of the test in progress: its decoder and the tokens of each item.
    Test(Box<(GpuDecoder, Vec<Vec<u32>>)>),
}

/// An engine that uses the graphics card while it can.
pub struct GpuEngine {
    engine: Engine,
    model: Option<GpuModel>,
    loaded: Option<Loaded>,
    work: Work,
    /// Candidates of the learning that goes on.
    candidates: Arc<[String]>,
    /// Composition of the test that goes on.
    test_composition: Option<Composition>,
    reopenings: u32,
    reason: String,
    /// Bytes of the largest piece of work on the device so far.
    work_bytes: u64,
}

impl GpuEngine {
    /// An engine that runs on the CPU until [`GpuEngine::open`].
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            model: None,
            loaded: None,
            work: Work::Idle,
            candidates: Arc::default(),
            test_composition: None,
            reopenings: 0,
            reason: String::new(),
            work_bytes: 0,
        }
    }

    /// Takes over a base model; see [`Engine::finish_base`]. It runs on the CPU until
    /// [`GpuEngine::open`].
    ///
    /// # Errors
    /// As there.
    pub fn finish_base(&mut self, load: BaseLoad, sha256: String) -> Result<BaseInfo, ErrorReport> {
        let info = self.engine.finish_base(load, sha256)?;
        self.close();
        Ok(info)
    }

    /// Gives the device up with all that is on it. A browser would free the memory of what is dropped
    /// when it likes.
    fn close(&mut self) {
        self.lose();
        self.model = None;
        self.loaded = None;
        self.work = Work::Idle;
    }

    /// Copies the base that is loaded to the graphics card, and compares losses and tokens there with
    /// the CPU's. Where that fails the CPU is used, and the status says why.
    ///
    /// # Errors
    /// A report if no base is loaded.
    pub async fn open(&mut self) -> Result<GpuStatus, ErrorReport> {
        self.close();
        self.reopenings = 0;
        self.reason.clear();
        ready(&self.engine.base)?;
        if let Err(error) = self.load().await {
            self.reason = sentence(&error.to_string());
        }
        Ok(self.status())
    }

    async fn load(&mut self) -> Result<(), ModelError> {
        let Some(base) = &self.engine.base else { return Ok(()) };
        #[allow(clippy::arc_with_non_send_sync, reason = "natively it may go to another thread")]
        let gpu = Arc::new(Gpu::open().await?);
        match checked(Arc::clone(&gpu), &base.model).await {
            Ok((model, work_bytes)) => {
                self.model = Some(model);
                self.work_bytes = work_bytes;
            }
            Err(error) => {
                gpu.destroy();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether the graphics card is used.
    pub fn status(&self) -> GpuStatus {
        GpuStatus {
            active: self.model.is_some(),
            name: self.model.as_ref().map_or(String::new(), |model| model.gpu().name().to_owned()),
            memory: self.memory(),
            reason: self.reason.clone(),
        }
    }

    fn memory(&self) -> GpuMemory {
        let Some(model) = &self.model else { return GpuMemory::default() };
        let modules = self.loaded.as_ref().map_or(0, |loaded| loaded.modules.bytes());
        GpuMemory {
            weights_bytes: (model.bytes() - model.embedding_bytes()) as f64,
            embedding_bytes: model.embedding_bytes() as f64,
            modules_bytes: modules as f64,
            work_bytes: self.work_bytes as f64,
        }
    }

    /// Gives the graphics card up, as a system does that takes it away.
    pub fn lose(&self) {
        if let Some(model) = &self.model {
            model.gpu().destroy();
        }
    }

    /// After a fault: opens a lost device again or leaves the work to the CPU.
    async fn recover(&mut self, fault: &ModelError) {
        self.close();
        self.reason = sentence(&fault.to_string());
        if !matches!(fault, ModelError::Gpu(GpuError::Lost { .. }))
            || self.reopenings >= MOST_REOPENINGS
        {
            return;
        }
        self.reopenings += 1;
        match self.load().await {
            Ok(()) => {
                let times = self.reopenings;
                self.reason = format!("The graphics card was lost and opened again ({times}).");
            }
            Err(error) => self.reason = sentence(&error.to_string()),
        }
    }

    /// Drops the modules on the device, and what waits for other coefficients of them.
    fn forget_modules(&mut self) {
        self.loaded = None;
        if matches!(self.work, Work::Learning(_)) {
            self.work = Work::Idle;
        }
    }

    /// Makes sure that modules of these ids are on the device.
    fn load_modules(&mut self, what: &str, ids: &[&str], merge: Merge) -> Result<(), Failure> {
        if self.loaded.as_ref().is_some_and(|loaded| loaded.serves(ids, merge)) {
            return Ok(());
        }
        let base = ready(&self.engine.base)?;
        let adapters = self.engine.adapters(what, ids.iter().copied())?;
        let composition = lora::AdapterSet::new(base.model.config(), &adapters, merge)
            .map_err(|error| lora_report(what, &error, ids))?;
        self.forget_modules();
        let Some(model) = &self.model else { return Ok(()) };
        let modules = composition.upload(model).map_err(ModelError::Gpu)?;
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        self.loaded = Some(Loaded { ids, merge, modules });
        Ok(())
    }

    /// The coefficients of a composition for the modules on the device, loading them if needed; none
    /// for the base alone.
    fn compose(
        &mut self,
        what: &str,
        composition: Option<&Composition>,
    ) -> Result<Option<Vec<f32>>, Failure> {
        let Some(Composition { modules, merge }) = composition else { return Ok(None) };
        let used: Vec<_> = modules.iter().filter(|module| module.weight != 0.0).collect();
        if used.is_empty() {
            return Ok(None);
        }
        let ids: Vec<&str> = used.iter().map(|module| &*module.id).collect();
        let weights: Vec<f32> = used.iter().map(|module| module.weight).collect();
        lora::check_weights(&weights).map_err(|error| lora_report(what, &error, &ids))?;
        self.load_modules(what, &ids, *merge)?;
        Ok(self.loaded.as_ref().map(|loaded| {
            coefficients(&loaded.ids, used.iter().map(|module| (&*module.id, module.weight)))
        }))
    }

    /// Reads a module; see [`Engine::add_module`].
    ///
    /// # Errors
    /// As there.
    pub fn add_module(
        &mut self,
        id: &str,
        config: &[u8],
        weights: Vec<u8>,
    ) -> Result<ModuleInfo, ErrorReport> {
        // The id may have meant another module.
        self.forget_modules();
        self.engine.add_module(id, config, weights)
    }

    /// Whether a module of that id is loaded.
    pub fn has_module(&self, id: &str) -> bool {
        self.engine.has_module(id)
    }

    /// Bytes that the base and the modules take beside those on the device.
    pub fn bytes(&self) -> usize {
        self.engine.bytes()
    }

    /// Asks the base, on the CPU, what is published of it; see [`Engine::verify`].
    ///
    /// # Errors
    /// As there.
    pub fn verify(&self, id: &str) -> Result<Option<Verified>, ErrorReport> {
        self.engine.verify(id)
    }

    /// Starts to look for modules, on the CPU; see [`Engine::start_retrieval`].
    ///
    /// # Errors
    /// As there.
    pub fn start_retrieval(
        &mut self,
        examples: &[Example],
        candidates: Vec<Candidate>,
        most: usize,
    ) -> Result<(), ErrorReport> {
        self.work = Work::Idle;
        self.engine.start_retrieval(examples, candidates, most)
    }

    /// Encodes the next texts; see [`Engine::retrieval_step`].
    ///
    /// # Errors
    /// As there.
    pub fn retrieval_step(&mut self) -> Result<RetrievalStep, ErrorReport> {
        self.engine.retrieval_step()
    }

    /// The embeddings that the base made; see [`Engine::embeddings`].
    pub fn embeddings(&self) -> Vec<u8> {
        self.engine.embeddings()
    }

    /// Takes embeddings that were kept; see [`Engine::add_embeddings`].
    pub fn add_embeddings(&mut self, bytes: &[u8]) {
        self.engine.add_embeddings(bytes);
    }

    /// Starts learning; see [`Engine::start_learning`].
    ///
    /// # Errors
    /// As there.
    pub fn start_learning(
        &mut self,
        examples: &[Example],
        modules: &[String],
        options: LearnOptions,
    ) -> Result<(), ErrorReport> {
        self.work = Work::Idle;
        self.candidates = modules.into();
        self.engine.start_learning(examples, modules, options)
    }

    /// Makes the next evaluation; see [`Engine::learning_step`]. If the device fails, the evaluation
    /// is made again.
    ///
    /// # Errors
    /// As there.
    pub async fn learning_step(&mut self) -> Result<LearningStep, ErrorReport> {
        let mut learning = self.engine.take_learning()?;
        let Some(step) = learning.run.next() else { return self.engine.conclude(learning, None) };
        let evaluated = loop {
            if self.model.is_none() {
                break self.engine.evaluate(&mut learning, &step)?;
            }
            match self.evaluate(&learning, &step).await {
                Ok(evaluated) => break evaluated,
                Err(Failure::Device(fault)) => self.recover(&fault).await,
                Err(Failure::Report(report)) => return Err(report),
            }
        };
        self.engine.conclude(learning, Some(evaluated))
    }

    async fn evaluate(&mut self, learning: &Learning, step: &Step) -> Result<Evaluated, Failure> {
        if let Work::Learning(population) = &mut self.work
            && let Some(evaluated) = population.take(step)
        {
            return Ok(evaluated);
        }
        let merge = learning.run.options().merge;
        let candidates = Arc::clone(&self.candidates);
        let ids = served(&candidates, step, merge);
        let mut steps = learning.run.upcoming();
        let together = steps.iter().take(MOST_MEMBERS);
        let together =
            together.take_while(|other| served(&candidates, other, merge) == ids).count();
        steps.truncate(together);
        self.load_modules(learning::WHAT, &ids, merge)?;
        let (Some(model), Some(loaded)) = (&self.model, &self.loaded) else {
            return Err(lost());
        };
        let ready = matches!(&self.work, Work::Learning(known) if known.members() == together);
        if !ready {
            let (batch, modules) = (&learning.batch, &loaded.modules);
            let population = Population::new(model, batch, modules, together, learning::WHAT)?;
            self.work_bytes = self.work_bytes.max(population.bytes());
            self.work = Work::Learning(Box::new(population));
        }
        let Work::Learning(population) = &mut self.work else { return Err(lost()) };
        population.evaluate(model, &loaded.ids, steps, self.engine.clock).await?;
        population.take(step).ok_or_else(lost)
    }

    /// Ends learning with the best point seen.
    ///
    /// # Errors
    /// A report if no learning was started.
    pub fn stop_learning(&mut self) -> Result<LearnResult, ErrorReport> {
        self.work = Work::Idle;
        self.engine.stop_learning()
    }

    /// Each example's loss, and their mean; see [`Engine::score`].
    ///
    /// # Errors
    /// As there.
    pub async fn score(
        &mut self,
        examples: &[Example],
        composition: Option<&Composition>,
    ) -> Result<Score, ErrorReport> {
        const WHAT: &str = "The examples could not be scored.";
        let batch = ready(&self.engine.base)?.tokenize(WHAT, examples)?;
        loop {
            if self.model.is_none() {
                return self.engine.score(examples, composition);
            }
            match self.batch_losses(WHAT, &batch, composition).await {
                Ok(losses) => return Ok(score_of(&losses)),
                Err(Failure::Device(fault)) => self.recover(&fault).await,
                Err(Failure::Report(report)) => return Err(report),
            }
        }
    }

    async fn batch_losses(
        &mut self,
        what: &str,
        batch: &[TokenizedExample],
        composition: Option<&Composition>,
    ) -> Result<Vec<ExampleLoss>, Failure> {
        let vector = self.compose(what, composition)?;
        let Some(model) = &self.model else { return Err(lost()) };
        let modules = vector.as_ref().and(self.loaded.as_ref()).map(|loaded| &loaded.modules);
        let evaluation = model.prepare(batch, modules, 1).map_err(refuse(what))?;
        self.work_bytes = self.work_bytes.max(evaluation.bytes());
        first_member(model, &evaluation, &vector.unwrap_or_default()).await
    }

    /// Ends the work that goes on, if any, and forgets what it found.
    pub fn stop(&mut self) {
        self.work = Work::Idle;
        self.engine.stop();
    }
}

impl Drop for GpuEngine {
    fn drop(&mut self) {
        self.close();
    }
}

/// The model on the device, compared with the CPU's, and the bytes that the comparison computed in. A
/// device with no room for either is refused before anything is copied there.
async fn checked(gpu: Arc<Gpu>, cpu: &T5Model) -> Result<(GpuModel, u64), ModelError> {
    check::check_room(cpu, &gpu)?;
    let model = GpuModel::load(gpu, cpu).await?;
    let work_bytes = check::check(cpu, &model).await?;
    Ok((model, work_bytes))
}

/// Why a piece of work did not go on.
enum Failure {
    /// The device: the CPU can take over.
    Device(ModelError),
    /// What was asked for.
    Report(ErrorReport),
}

impl From<ErrorReport> for Failure {
    fn from(report: ErrorReport) -> Self {
        Failure::Report(report)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Failure::Device(error)
    }
}

fn lost() -> Failure {
    Failure::Device(ModelError::Gpu(GpuError::Lost { reason: "it was given up".into() }))
}

/// Tells the device's faults from inputs that no model takes.
fn refuse(what: &str) -> impl FnOnce(ModelError) -> Failure {
    move |error| match error {
        ModelError::Gpu(_) => Failure::Device(error),
        other => Failure::Report(input_report(what, &other)),
    }
}

/// The modules that have to be on the device for a step, in the order in which the CPU adds them up.
fn served<'m>(candidates: &'m [String], step: &'m Step, merge: Merge) -> Vec<&'m str> {
    let named = || step.weights.iter().map(|module| (&*module.id, module.weight));
    let ids: Vec<&str> = match (merge, step.phase) {
        (Merge::Delta, _) => {
            named().filter(|(_, weight)| *weight != 0.0).map(|(id, _)| id).collect()
        }
        (Merge::Lorahub, Phase::Search) => named().map(|(id, _)| id).collect(),
        (Merge::Lorahub, Phase::Select) => Vec::new(),
    };
    if ids.is_empty() { candidates.iter().map(String::as_str).collect() } else { ids }
}

/// The losses of a batch for one vector of coefficients.
async fn first_member(
    model: &GpuModel,
    evaluation: &GpuEvaluation,
    vector: &[f32],
) -> Result<Vec<ExampleLoss>, Failure> {
    let mut losses = model.losses(evaluation, &[vector], &Control::none()).await?;
    losses.pop().ok_or_else(lost)
}

/// One coefficient for each module on the device, 0 for those that are not named.
fn coefficients<'m>(ids: &[String], weights: impl Iterator<Item = (&'m str, f32)>) -> Vec<f32> {
    let mut vector = vec![0.0; ids.len()];
    for (id, weight) in weights {
        if let Some(index) = ids.iter().position(|known| known == id) {
            vector[index] = weight;
        }
    }
    vector
}
