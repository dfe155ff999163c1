//! A base model with its modules: learning, tuning, scoring, decoding, routing, retrieval and verification.
//!
//! A [`Session`] owns the order of the work and leaves the computing to a [`Backend`]. Long methods
//! report to an [`Observer`], which may stop them between two steps.

mod backend;
mod base;
mod decoding;
mod error;
mod learning;
mod report;
mod retrieval;
mod routing;
mod scoring;
mod tuning;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::formats::{AddedTokenFiles, Example, Tokenizer, files_sha256, sha256_hex};
use crate::learn::{Evaluation, TuneStep};
use crate::lora::{
    AdapterNotes, AdapterSet, Composition, ExportOptions, Exported, Merge, ModuleWeight,
    PeftAdapter, Truncation, WeightedModule, export,
};
use crate::model::{Model, Precision, TokenizedExample, Verified, verify};

pub use backend::{
    Backend, BackendError, Clock, CpuBackend, Evaluated, GpuMemory, GpuStatus, ModuleSet,
};
#[cfg(feature = "gpu")]
pub use backend::{Device, FailoverBackend, GpuBackend};
pub use base::{BaseBytes, BaseInfo, BaseLabel, BaseLoad, BaseNotes, packed_key};
pub use decoding::{Answer, Generated, TestAnswer, TestResult};
pub use error::{Operation, SessionError, TextPart};
pub use learning::{UnwritableOutput, unwritable_outputs};
pub use report::{Detail, ErrorCode, ErrorReport};
use retrieval::Embeddings;
use routing::CachedIndex;
pub use routing::{RouteCandidate, RouteOptions, Routed, StoredComposition};
pub use scoring::{ModuleLoss, Score};
pub use tuning::TuneResult;
#[cfg(feature = "bench")]
pub(crate) use tuning::TuningRun;

/// The backend of a build: the GPU where it has one.
#[cfg(feature = "gpu")]
pub type DefaultBackend = FailoverBackend;
/// The backend of a build: the GPU where it has one.
#[cfg(not(feature = "gpu"))]
pub type DefaultBackend = CpuBackend;

/// Progress of a session's long methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum SessionEvent {
    /// Learning starts with outputs that the model cannot write.
    Unwritable {
        /// The outputs.
        outputs: Vec<UnwritableOutput>,
    },
    /// Learning from more examples than are evaluated at once has begun. Those of one batch say how long it takes.
    Estimate {
        /// Time that an evaluation of all examples takes, in seconds.
        evaluation: f64,
        /// Time that the whole budget takes, in seconds.
        total: f64,
    },
    /// The modules that learning searches over were chosen by the loss of each alone.
    Selected {
        /// The modules.
        modules: Vec<ModuleLoss>,
    },
    /// Learning made an evaluation.
    Evaluation {
        /// The evaluation.
        evaluation: Evaluation,
    },
    /// Tuning made a step.
    Tuned {
        /// The step.
        step: TuneStep,
        /// Steps in total.
        steps: u32,
    },
    /// A text was decoded further.
    Token {
        /// The text so far.
        text: String,
    },
    /// A test was decoded further.
    Tested {
        /// Items answered.
        done: u32,
        /// Items in total.
        total: u32,
        /// Exact matches so far.
        correct: u32,
    },
    /// A step of leave-one-out or retrieval was made, or a part of the tuned examples was left out.
    Step {
        /// Steps made.
        done: u32,
        /// Steps in total.
        total: u32,
    },
    /// The GPU's status changed.
    Gpu {
        /// The status.
        status: GpuStatus,
    },
}

/// Receives a long method's progress and may stop it.
#[allow(async_fn_in_trait, reason = "sessions run on the thread that created them")]
pub trait Observer {
    /// Called with each event.
    fn on_event(&mut self, event: SessionEvent);

    /// Called before each step; true stops the method.
    async fn next_turn(&mut self) -> bool {
        false
    }
}

/// Ignores every event and never stops.
impl Observer for () {
    fn on_event(&mut self, _: SessionEvent) {}
}

/// Called with each event; never stops.
impl<F: FnMut(SessionEvent)> Observer for F {
    fn on_event(&mut self, event: SessionEvent) {
        self(event);
    }
}

/// A module that is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ModuleInfo {
    /// Its id.
    pub id: String,
    /// The largest rank of its layers.
    pub rank: u32,
    /// PEFT's names of the layers that it changes.
    pub targets: Vec<String>,
    /// Bytes of memory that its matrices take.
    pub bytes: f64,
    /// SHA-256 of the file of weights.
    pub sha256: String,
    /// SHA-256 over those of both files.
    pub files_sha256: String,
    /// What does not fit the base or is left out; absent where all fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub notes: Option<AdapterNotes>,
}

struct Base<B> {
    id: String,
    /// SHA-256 of its weights.
    sha256: String,
    tokenizer: Tokenizer,
    model: Arc<dyn Model>,
    backend: B,
}

/// A base model and its modules. Every method computes on the session's [`Backend`].
pub struct Session<B = CpuBackend> {
    clock: Clock,
    base: Option<Base<B>>,
    modules: BTreeMap<String, Arc<PeftAdapter>>,
    /// Ids of the modules that were tuned on examples.
    tuned: BTreeSet<String>,
    /// Of texts that the base has encoded.
    embeddings: Embeddings,
    /// Of the compositions that inputs were routed to last.
    routing: Option<CachedIndex>,
}

impl<B: Backend + From<Arc<dyn Model>>> Session<B> {
    /// A session with nothing loaded.
    pub fn new(clock: Clock) -> Self {
        let (modules, tuned) = (BTreeMap::new(), BTreeSet::new());
        let embeddings = Embeddings::new();
        Self { clock, base: None, modules, tuned, embeddings, routing: None }
    }

    /// Reads a base model and packs its weights. Modules of an earlier base are dropped.
    ///
    /// # Errors
    /// [`SessionError::Base`]; what was loaded before is kept.
    pub fn load_base(
        &mut self,
        label: BaseLabel,
        files: BaseBytes<'_>,
        precision: Precision,
    ) -> Result<BaseInfo, SessionError> {
        let beside = AddedTokenFiles::default();
        let mut load =
            BaseLoad::new(label, files.config, files.tokenizer, beside, None, precision)?;
        load.expect_file(files.weights.len() as u64);
        load.push(files.weights)?;
        load.end_file()?;
        self.finish_base(load, sha256_hex(files.weights))
    }

    /// Takes over a base whose weights, of that hash, have all been pushed. Modules of an earlier base
    /// are dropped.
    ///
    /// # Errors
    /// [`SessionError::Base`] naming a tensor that is missing; what was loaded before is kept.
    pub fn finish_base(
        &mut self,
        load: BaseLoad,
        sha256: String,
    ) -> Result<BaseInfo, SessionError> {
        let (info, tokenizer, model) = load.finish(sha256)?;
        self.modules.clear();
        self.tuned.clear();
        self.embeddings.clear();
        self.routing = None;
        self.base = None;
        let (id, sha256) = (info.id.clone(), info.sha256.clone());
        let backend = B::from(Arc::clone(&model));
        self.base = Some(Base { id, sha256, tokenizer, backend, model });
        Ok(info)
    }
}

impl<B: Backend> Session<B> {
    /// Reads a PEFT folder's two files and checks that they fit the base. A module of that id is
    /// replaced.
    ///
    /// # Errors
    /// [`SessionError::Module`] for files that cannot be read, [`SessionError::Mismatch`] for a module
    /// of another base.
    pub fn add_module(
        &mut self,
        id: &str,
        config: &[u8],
        weights: Vec<u8>,
    ) -> Result<ModuleInfo, SessionError> {
        let base = ready(&self.base)?;
        let sha256 = sha256_hex(&weights);
        let adapter = PeftAdapter::parse(config, weights)
            .map_err(|source| SessionError::Module { id: id.to_owned(), source })?;
        AdapterSet::new(base.model.config(), &[&adapter], Merge::Delta)
            .map_err(|source| SessionError::Mismatch { id: id.to_owned(), source })?;
        let mut targets: Vec<String> = adapter.targets().into_iter().map(String::from).collect();
        targets.sort_unstable();
        let info = ModuleInfo {
            id: id.to_owned(),
            rank: adapter.rank() as u32,
            targets,
            bytes: adapter.bytes() as f64,
            files_sha256: files_sha256(&[&sha256_hex(config), &sha256]),
            sha256,
            notes: AdapterNotes::new(&adapter, &base.id, base.model.config()),
        };
        self.tuned.remove(id);
        self.modules.insert(id.to_owned(), Arc::new(adapter));
        Ok(info)
    }

    /// The examples' outputs that the base cannot write, which no weights change.
    ///
    /// # Errors
    /// [`SessionError::NotLoaded`] without a base.
    pub fn unwritable_outputs(
        &self,
        examples: &[Example],
    ) -> Result<Vec<UnwritableOutput>, SessionError> {
        Ok(unwritable_outputs(&ready(&self.base)?.tokenizer, examples))
    }

    /// The module of that id, if it is loaded.
    pub fn module(&self, id: &str) -> Option<&Arc<PeftAdapter>> {
        self.modules.get(id)
    }

    /// The model, once it is loaded.
    pub fn model(&self) -> Option<&Arc<dyn Model>> {
        self.base.as_ref().map(|base| &base.model)
    }

    /// The tokenizer, once the base is loaded.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.base.as_ref().map(|base| &base.tokenizer)
    }

    /// The backend, once the base is loaded.
    pub fn backend(&self) -> Option<&B> {
        self.base.as_ref().map(|base| &base.backend)
    }

    /// Copies the base to the GPU and compares losses and tokens there with the CPU's. Where that
    /// fails the CPU is used, and the status says why. None for a backend without a GPU.
    ///
    /// # Errors
    /// [`SessionError::NotLoaded`].
    pub async fn open_gpu(&mut self) -> Result<Option<GpuStatus>, SessionError> {
        Ok(ready_mut(&mut self.base)?.backend.open_gpu().await)
    }

    /// Checks the base, of this id, against published reference outputs: those of the model of that
    /// id or else of models of its sizes, where only one that agrees is returned.
    ///
    /// # Errors
    /// [`SessionError::NotLoaded`].
    pub async fn verify(&self, id: &str) -> Result<Option<Verified>, SessionError> {
        let Base { tokenizer, model, .. } = ready(&self.base)?;
        Ok(verify(&**model, tokenizer, id))
    }

    /// Writes a composition of loaded modules as one PEFT adapter of a base of this name, or as
    /// [`ExportOptions`] say.
    ///
    /// # Errors
    /// [`SessionError::UnknownModule`], and [`SessionError::Composition`] for modules that cannot be
    /// composed or that change nothing.
    pub fn export<'o>(
        &self,
        composition: &Composition,
        options: impl Into<ExportOptions<'o>>,
    ) -> Result<Exported, SessionError> {
        const OPERATION: Operation = Operation::Export;
        let base = ready(&self.base)?;
        let Composed { ids, set, weights } = self.compose(OPERATION, Some(composition))?;
        let adapters: Vec<&PeftAdapter> = set.adapters.iter().map(|adapter| &**adapter).collect();
        let exported = export(base.model.config(), &adapters, &weights, set.merge, options);
        exported.map_err(|error| SessionError::backend(OPERATION, ids, error.into()))
    }

    /// Replaces a loaded module by its best approximation of this rank; layers of no higher one are kept.
    ///
    /// # Errors
    /// [`SessionError::NotLoaded`] and [`SessionError::UnknownModule`].
    pub fn truncate_module(
        &mut self,
        id: &str,
        rank: NonZeroUsize,
    ) -> Result<Truncation, SessionError> {
        let module = WeightedModule { id: id.to_owned(), weight: 1.0.into() };
        let composition = Composition { modules: vec![module], merge: Merge::Delta };
        let base_model = ready(&self.base)?.id.clone();
        let options = ExportOptions { base_model: &base_model, rank: Some(rank) };
        let Exported { files, truncation } = self.export(&composition, options)?;
        let tuned = self.tuned.contains(id);
        self.add_module(id, &files.config, files.weights)?;
        if tuned {
            self.tuned.insert(id.to_owned());
        }
        Ok(truncation.expect("of the rank that was given"))
    }

    /// The loaded modules of these ids.
    fn modules_of<'m>(
        &self,
        operation: Operation,
        ids: impl Iterator<Item = &'m str>,
        merge: Merge,
    ) -> Result<ModuleSet, SessionError> {
        let adapters = ids.map(|id| {
            let found = self.modules.get(id).cloned();
            found.ok_or_else(|| SessionError::UnknownModule { operation, id: id.to_owned() })
        });
        Ok(ModuleSet { adapters: adapters.collect::<Result<_, _>>()?, merge })
    }

    /// The modules of a composition that have a weight; none for the base alone.
    fn compose<'c>(
        &self,
        operation: Operation,
        composition: Option<&'c Composition>,
    ) -> Result<Composed<'c>, SessionError> {
        let Some(Composition { modules, merge }) = composition else {
            return Ok(Composed::default());
        };
        let used: Vec<_> = modules.iter().filter(|module| !module.weight.is_zero()).collect();
        let ids: Vec<&str> = used.iter().map(|module| &*module.id).collect();
        let set = self.modules_of(operation, ids.iter().copied(), *merge)?;
        Ok(Composed { ids, set, weights: used.iter().map(|module| module.weight).collect() })
    }
}

/// A composition whose modules are loaded.
#[derive(Default)]
struct Composed<'c> {
    ids: Vec<&'c str>,
    set: ModuleSet,
    weights: Vec<ModuleWeight>,
}

impl<B: Backend> Base<B> {
    fn tokenize(
        &self,
        operation: Operation,
        examples: &[Example],
    ) -> Result<Vec<TokenizedExample>, SessionError> {
        if examples.is_empty() {
            return Err(SessionError::NoExamples { operation });
        }
        let example = |(index, example): (usize, &Example)| {
            let index = Some(index);
            Ok(TokenizedExample {
                input: self.encode(operation, TextPart::Input, index, &example.input)?,
                labels: self.encode(operation, TextPart::Output, index, &example.output)?,
            })
        };
        examples.iter().enumerate().map(example).collect()
    }

    fn encode(
        &self,
        operation: Operation,
        part: TextPart,
        index: Option<usize>,
        text: &str,
    ) -> Result<Vec<u32>, SessionError> {
        let tokens = self.tokenizer.encode(text);
        tokens.map_err(|source| SessionError::Text { operation, part, index, source })
    }

    /// Reports a changed status of the GPU.
    fn report_gpu<O: Observer>(&mut self, observer: &mut O) {
        if let Some(status) = self.backend.changed_gpu_status() {
            observer.on_event(SessionEvent::Gpu { status });
        }
    }
}

fn ready<B>(base: &Option<Base<B>>) -> Result<&Base<B>, SessionError> {
    base.as_ref().ok_or(SessionError::NotLoaded)
}

fn ready_mut<B>(base: &mut Option<Base<B>>) -> Result<&mut Base<B>, SessionError> {
    base.as_mut().ok_or(SessionError::NotLoaded)
}
