//! Every type that crosses between a page, its worker and the engine, or the list of those that other
//! layers own. TypeScript's declarations are made from here (feature `typescript`), so that nothing
//! is written twice.

use serde::{Deserialize, Serialize};

use crate::formats::{Example, ExamplesFormat};
use crate::learn::{Evaluation, LearnOptions, LearnResult};
use crate::lora::Composition;
use crate::model::t5::Precision;
#[cfg(feature = "typescript")]
use crate::model::t5::Verified;
use crate::recipe::Recipe;
#[cfg(feature = "typescript")]
use crate::registry::{Candidate, FoundModules};
use crate::registry::{ModuleQuery, Registry, RegistryModule};

/// A failure as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[error("{what} {why} {next}")]
pub struct ErrorReport {
    /// What happened.
    pub what: String,
    /// Why: what was expected and what was found.
    pub why: String,
    /// What to do next.
    pub next: String,
}

/// A WebAssembly build of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Build {
    /// Several threads and relaxed SIMD.
    Threads,
    /// One thread and relaxed SIMD.
    Relaxed,
    /// One thread and the SIMD that every current browser has.
    Simd128,
    /// The graphics card, and beside it the CPU as in `threads`; one thread where memory cannot be
    /// shared.
    Gpu,
}

/// What the model is asked to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// The CPU.
    Wasm,
    /// The graphics card, and the CPU where that cannot be.
    Webgpu,
}

/// The vector instructions of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum Simd {
    /// With the 8-bit dot product.
    Relaxed,
    /// Without it.
    Simd128,
}

/// What the engine runs on, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// The build that was picked.
    pub build: Build,
    /// Threads that it runs on.
    pub threads: u32,
    /// Its vector instructions.
    pub simd: Simd,
    /// Whether the page's headers allow shared memory.
    pub isolated: bool,
    /// Why it is this build, in words.
    pub reason: String,
    /// Bytes of WebAssembly memory that it starts with.
    pub memory_bytes: f64,
    /// Whether the graphics card is used; null where it was not asked for.
    pub gpu: Option<GpuStatus>,
}

/// Bytes of the graphics card's memory, each planned before anything is made there and compared with
/// the card's limits: what does not fit is left to the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GpuMemory {
    /// The model's weights but the embedding.
    pub weights_bytes: f64,
    /// The embedding, which is looked up in f32.
    pub embedding_bytes: f64,
    /// The modules that are on it.
    pub modules_bytes: f64,
    /// What the largest evaluation or answer so far computes in; the check against the CPU is the
    /// first.
    pub work_bytes: f64,
}

/// Whether the graphics card is used, and why not. Without a base it is not used yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct GpuStatus {
    /// Whether it is used.
    pub active: bool,
    /// Its name, where the browser tells it.
    pub name: String,
    /// What it takes of the card's memory; all 0 where it is not used.
    pub memory: GpuMemory,
    /// Why the CPU took over, or how often a lost device was opened again; empty if neither.
    pub reason: String,
}

/// A base model that is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct BaseInfo {
    /// Its id in the registry.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// License of the weights.
    pub license: String,
    /// Number of parameters, embeddings included.
    pub parameters: f64,
    /// Bytes of the file of weights.
    pub bytes: f64,
    /// What the products are computed in.
    pub precision: Precision,
    /// Tokens that the model knows.
    pub vocab_size: u32,
    /// Width of the hidden states.
    pub d_model: u32,
    /// Blocks of the encoder and the decoder together.
    pub layers: u32,
    /// Bytes of memory that the packed weights take.
    pub memory_bytes: f64,
    /// SHA-256 of the file of weights; of the first one where there are several, and empty for files
    /// of this computer.
    pub sha256: String,
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
}

/// The loss of a module alone, or of a composition without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ModuleLoss {
    /// The module.
    pub id: String,
    /// The loss.
    pub loss: f64,
}

/// The loss of one example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ExampleScore {
    /// Mean cross-entropy of the output's tokens, in nats.
    pub loss: f32,
    /// Tokens of the output, the end marker included.
    pub tokens: u32,
}

/// The loss over examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Score {
    /// Mean of the examples' losses.
    pub loss: f64,
    /// Each example's loss.
    pub examples: Vec<ExampleScore>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Generated {
    /// The text.
    pub text: String,
    /// Its tokens, the end marker included.
    pub tokens: u32,
    /// Time it took.
    pub seconds: f64,
    /// False if it was stopped.
    pub complete: bool,
}

/// The answer to one item of a test set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct TestAnswer {
    /// What the model was given.
    pub input: String,
    /// The answer that counts.
    pub expected: String,
    /// The model's answer.
    pub answer: String,
    /// Whether they match.
    pub correct: bool,
}

/// The result of a test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// Exact matches in percent of the items answered.
    pub exact_match: f64,
    /// Exact matches.
    pub correct: u32,
    /// Items answered.
    pub total: u32,
    /// Time it took.
    pub seconds: f64,
    /// False if it was stopped.
    pub complete: bool,
    /// The answers, in the order of the items.
    pub answers: Vec<TestAnswer>,
}

/// What one step of learning brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct LearningStep {
    /// The evaluation that was made, if any was left.
    pub evaluation: Option<Evaluation>,
    /// The modules that were chosen by this step, with the loss of each alone.
    pub selected: Option<Vec<ModuleLoss>>,
    /// The result, after the last evaluation.
    pub result: Option<LearnResult>,
}

/// What one step of an answer brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct GenerationStep {
    /// The text so far.
    pub text: String,
    /// Its tokens.
    pub tokens: u32,
    /// The answer, once it is whole.
    pub result: Option<Generated>,
}

/// What one step of a test brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct TestStep {
    /// Items answered.
    pub done: u32,
    /// Items in all.
    pub total: u32,
    /// Exact matches so far.
    pub correct: u32,
    /// The result, once every item is answered.
    pub result: Option<TestResult>,
}

/// A module that may suit some examples, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Suggestion {
    /// The module.
    pub module: RegistryModule,
    /// Mean cosine of its description with the examples, in the eyes of the model's encoder and less
    /// what all candidates share: 1 at most.
    pub similarity: f32,
    /// Words that it shares with the examples, rarest first.
    pub words: Vec<String>,
}

/// What one step of a retrieval brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RetrievalStep {
    /// Texts read.
    pub done: u32,
    /// Texts in all.
    pub total: u32,
    /// The nearest modules, once every text is read.
    pub result: Option<Vec<Suggestion>>,
}

/// A file of the person's computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct LocalFile {
    /// Its path within what was chosen, with `/` between its parts.
    pub path: String,
    /// Its contents.
    #[cfg_attr(feature = "typescript", ts(type = "Blob"))]
    pub contents: Vec<u8>,
}

/// Where the files of a base model or of a module are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Source {
    /// In the registry that is open.
    Registry {
        /// The id there; the first base where null.
        id: Option<String>,
    },
    /// In a repository of a hub that serves `<host>/<repo>/resolve/<revision>/<file>`.
    Hub {
        /// Address of the hub, without a `/` at its end.
        host: String,
        /// Owner and name, with a `/` between them.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
        /// The file of weights; the best one that the repository has where null.
        file: Option<String>,
    },
    /// In a folder of any static host.
    Folder {
        /// Address of the folder, with a `/` at its end.
        url: String,
        /// The file of weights; the first of the usual names where null.
        file: Option<String>,
    },
    /// On the person's computer: the files of one folder, or one ZIP archive of it.
    Files {
        /// The files.
        files: Vec<LocalFile>,
    },
}

/// Where fetched files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// In the origin's private file system.
    FileSystem,
    /// In the Cache API, where there is no private file system.
    Cache,
    /// Nowhere: the browser offers no place, so everything is fetched again next time.
    Memory,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct StoredFile {
    /// What it is kept under: its SHA-256, `url-` and that of its address, or `packed-` and what names
    /// a packed copy.
    pub key: String,
    /// Where it came from.
    pub url: String,
    /// Bytes kept.
    pub bytes: f64,
    /// Whether it is whole; the rest of an interrupted download is fetched when it is next needed.
    pub complete: bool,
    /// SHA-256 of the contents, once it is whole.
    pub sha256: Option<String>,
    /// Whether that hash was given beforehand, or is that of the first download.
    pub pinned: bool,
    /// Whether it is the file's weights as the engine packs them, which load faster than the file.
    pub packed: bool,
}

/// What the browser keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Where.
    pub kind: StoreKind,
    /// Whether the browser promised not to evict it.
    pub persisted: bool,
    /// Bytes that the site uses, where the browser tells.
    pub usage: Option<f64>,
    /// Bytes that the site may use, where the browser tells.
    pub quota: Option<f64>,
    /// The files, largest first.
    pub files: Vec<StoredFile>,
}

/// What is known before a model is fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Inspected {
    /// The module library.
    pub registry: Registry,
    /// What the engine runs on.
    pub device: Device,
    /// The settings of learning where none are given.
    pub defaults: LearnOptions,
    /// The settings of the published method.
    pub published: LearnOptions,
}

/// What a page asks of its worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// Start the engine and read a registry.
    Inspect {
        /// Address of `registry.json`.
        registry_url: String,
        /// What to run on.
        device: DeviceKind,
        /// Threads to use; one per core where null.
        threads: Option<u32>,
        /// Folder of the wasm builds; the package's own where null.
        wasm_url: Option<String>,
        /// Address of the hub that the registry's `hub:` paths belong to.
        hub: String,
        /// Seconds without a byte after which a server counts as stalled.
        stall_seconds: f64,
    },
    /// Fetch and pack a base model.
    Open {
        /// Where its files are.
        source: Source,
        /// What to compute in.
        precision: Precision,
    },
    /// Hold the loaded base against what is published of it.
    Verify,
    /// Find modules of the registry.
    Search {
        /// What to look for.
        query: ModuleQuery,
    },
    /// Entries of modules of the registry.
    Entries {
        /// Their ids; those that the registry has not are left out of the answer.
        ids: Vec<String>,
    },
    /// Find the modules nearest to some examples, with the loaded base's encoder.
    Suggest {
        /// The examples.
        examples: Vec<Example>,
        /// At most so many modules.
        most: u32,
    },
    /// Fetch and read modules of the registry.
    LoadModules {
        /// Their ids.
        ids: Vec<String>,
    },
    /// Read a module from a PEFT folder.
    AddModule {
        /// The id that it gets.
        id: String,
        /// Where its files are.
        source: Source,
    },
    /// What the browser keeps.
    Storage,
    /// Delete files that are kept.
    DeleteStored {
        /// Their keys.
        keys: Vec<String>,
    },
    /// Learn coefficients.
    Learn {
        /// What to learn from.
        examples: Vec<Example>,
        /// The candidates.
        modules: Vec<String>,
        /// The settings.
        options: LearnOptions,
    },
    /// The loss with each module left out.
    LeaveOneOut {
        /// The examples of the loss.
        examples: Vec<Example>,
        /// The composition.
        composition: Composition,
    },
    /// Answer an input.
    Generate {
        /// The input.
        input: String,
        /// The composition; the base alone where null.
        composition: Option<Composition>,
        /// At most so many tokens.
        max_new_tokens: u32,
    },
    /// Answer a test set.
    Test {
        /// Inputs with the answers that count.
        examples: Vec<Example>,
        /// The composition; the base alone where null.
        composition: Option<Composition>,
        /// At most so many tokens for each.
        max_new_tokens: u32,
    },
    /// The loss over examples.
    Score {
        /// The examples.
        examples: Vec<Example>,
        /// The composition; the base alone where null.
        composition: Option<Composition>,
    },
    /// Fetch a task's test set.
    FetchTest {
        /// The task.
        task_id: String,
    },
    /// Read examples from text.
    ParseExamples {
        /// The text.
        text: String,
        /// How it is written.
        format: ExamplesFormat,
    },
    /// Make a link's fragment.
    EncodeRecipe {
        /// What it holds.
        recipe: Recipe,
    },
    /// Read a link's fragment.
    DecodeRecipe {
        /// The fragment, without `#`.
        fragment: String,
    },
    /// The bytes that the engine holds.
    Memory,
}

/// What a worker tells while it works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// Bytes that arrived.
    Progress {
        /// The file.
        file: String,
        /// Its bytes so far.
        loaded: f64,
        /// Its bytes in all.
        total: f64,
        /// Bytes of all files of this request so far.
        overall_loaded: f64,
        /// Bytes of all files of this request.
        overall_total: f64,
        /// Whether they came from the browser's cache.
        cached: bool,
    },
    /// What is being done, in words.
    Stage {
        /// The words.
        text: String,
    },
    /// The graphics card is used, or is not any more.
    Gpu {
        /// Whether, and why not.
        status: GpuStatus,
    },
    /// The modules that are searched over.
    Selected {
        /// They, with the loss of each alone.
        modules: Vec<ModuleLoss>,
    },
    /// One evaluation of the loss.
    Evaluation {
        /// The evaluation.
        evaluation: Evaluation,
    },
    /// The answer so far.
    Token {
        /// The text so far.
        text: String,
    },
    /// Items of a test that were answered.
    Tested {
        /// Items answered.
        done: u32,
        /// Items in all.
        total: u32,
        /// Exact matches so far.
        correct: u32,
    },
}

/// Every type of this module and those that it refers to, as TypeScript, by name: the order in which
/// they refer to each other changes from one compilation to the next.
#[cfg(feature = "typescript")]
pub fn typescript() -> String {
    use std::collections::BTreeMap;

    use ts_rs::{Config, TS, TypeVisitor};

    #[derive(Default)]
    struct Declarations {
        config: Config,
        by_name: BTreeMap<String, String>,
    }

    impl TypeVisitor for Declarations {
        fn visit<T: TS + 'static + ?Sized>(&mut self) {
            let name = T::ident(&self.config);
            // Types without a file of their own are TypeScript's or stand in other declarations.
            if T::output_path().is_none() || self.by_name.contains_key(&name) {
                return;
            }
            let docs = T::docs().unwrap_or_default();
            let declaration = format!("\n{docs}export {}\n", T::decl(&self.config));
            self.by_name.insert(name, declaration);
            T::visit_dependencies(self);
        }
    }

    let mut all = Declarations::default();
    all.visit::<Request>();
    all.visit::<Event>();
    all.visit::<Inspected>();
    all.visit::<Storage>();
    all.visit::<ErrorReport>();
    all.visit::<BaseInfo>();
    all.visit::<Verified>();
    all.visit::<FoundModules>();
    all.visit::<Candidate>();
    all.visit::<RetrievalStep>();
    all.visit::<ModuleInfo>();
    all.visit::<Score>();
    all.visit::<LearningStep>();
    all.visit::<GenerationStep>();
    all.visit::<TestStep>();
    let mut text = "// The types that cross between the page, the worker and the wasm engine.\n\
         // Generated from the crate by pkg-scripts/generate-types: change them there.\n"
        .to_owned();
    text.extend(all.by_name.into_values());
    text
}
