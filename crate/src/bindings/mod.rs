//! The exports of the wasm builds: the only layer that uses wasm-bindgen.
//!
//! The functions here run in a Web Worker. They only convert: values cross as plain objects of the
//! types in `www/package/src/generated/types.ts`, files as `Uint8Array`, and every failure is thrown as
//! an [`ErrorReport`].

#[cfg(feature = "bench")]
mod bench;
mod library;
mod session;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_wasm_bindgen::Serializer;
use sha2::Digest;
use wasm_bindgen::prelude::*;

use crate::formats::{
    AddedTokenFiles, ExamplesFormat, FormatError, ReadExamples, Tokenizer, read_examples_file,
};
use crate::learn::{self, LearnOptions};
use crate::model::parse_config;
use crate::recipe;
use crate::registry::{ModuleQuery, Registry, RegistryError};
use crate::session::{BaseLabel, ErrorCode, ErrorReport, SessionError};

pub use self::session::{Hooks, Session};
#[cfg(feature = "threads")]
pub use wasm_bindgen_rayon::init_thread_pool;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"/** Callbacks of a long method. */
export interface Hooks {
  onEvent(event: SessionEvent): void;
  /** Called before each step; resolves with true where the method is to stop. */
  nextTurn(): Promise<boolean>;
}

/** What was found, or the files of the registry that have to be added first. */
export type Lookup<T> = { found: T } | { missing: RegistryFile[] };
"#;

/// Shares work among the caller and the threads that `initThreadPool` has started, which are given to
/// nothing else.
#[cfg(feature = "threads")]
#[wasm_bindgen(js_name = useThreadPool)]
pub fn use_thread_pool() {
    crate::kernels::parallel::start_threads(rayon::current_num_threads() + 1, |help| {
        rayon::spawn(help);
    });
}

/// Called by a thread that has trapped, so that the engine's thread does not wait for it without end.
#[cfg(feature = "threads")]
#[wasm_bindgen(js_name = threadStopped)]
pub fn thread_stopped() {
    crate::kernels::parallel::lose_thread();
}

/// Sends panics to the console with their place in the source: the trap that follows names none.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        web_sys::console::error_1(&JsValue::from_str(&panic.to_string()));
    }));
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn milliseconds() -> f64;
}

/// Bytes of WebAssembly memory: the most that was needed at once, because it never shrinks.
#[wasm_bindgen(js_name = memoryBytes)]
pub fn memory_bytes() -> f64 {
    const PAGE: f64 = 65536.0;
    core::arch::wasm32::memory_size(0) as f64 * PAGE
}

/// A value as a plain object, with `null` where there is nothing.
fn to_js(value: &impl Serialize) -> Result<JsValue, JsValue> {
    let serializer = Serializer::json_compatible();
    value.serialize(&serializer).map_err(JsValue::from)
}

fn thrown(report: &ErrorReport) -> JsValue {
    to_js(report).unwrap_or_else(|error| error)
}

fn from_js<T: DeserializeOwned>(value: JsValue) -> Result<T, JsValue> {
    serde_wasm_bindgen::from_value(value).map_err(|error| {
        refused(
            "The request was not understood.",
            &error.to_string(),
            "Check that the page and its worker are of the same version.",
        )
    })
}

fn refused(what: &str, why: &str, next: &str) -> JsValue {
    thrown(&ErrorReport::new(ErrorCode::InvalidInput, what, why, next))
}

/// A base model whose weights are arriving.
#[wasm_bindgen]
pub struct BaseLoad(crate::session::BaseLoad);

#[wasm_bindgen]
impl BaseLoad {
    /// Reads `config.json`, and `tokenizer.json` or `spiece.model` with the files beside it that add
    /// tokens: `added_tokens.json`, `special_tokens_map.json` and `tokenizer_config.json`, and
    /// `generation_config.json`, each empty where there is none.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::too_many_arguments, reason = "a constructor for JavaScript takes no struct")]
    pub fn new(
        id: String,
        title: String,
        license: String,
        config: &[u8],
        tokenizer: &[u8],
        added_tokens: &[u8],
        special_tokens_map: &[u8],
        tokenizer_config: &[u8],
        generation_config: &[u8],
        #[wasm_bindgen(unchecked_param_type = "Precision")] precision: JsValue,
    ) -> Result<BaseLoad, JsValue> {
        let precision = from_js(precision)?;
        let label = BaseLabel { id, title, license };
        let file = |bytes| Some(bytes).filter(|bytes: &&[u8]| !bytes.is_empty());
        let beside = AddedTokenFiles {
            added_tokens: file(added_tokens),
            special_tokens_map: file(special_tokens_map),
            tokenizer_config: file(tokenizer_config),
        };
        let generation = file(generation_config);
        let load =
            crate::session::BaseLoad::new(label, config, tokenizer, beside, generation, precision);
        load.map(BaseLoad).map_err(|error| thrown(&error.report()))
    }

    /// Starts a load of a GGUF file alone, which has the configuration and the tokenizer in its metadata.
    #[wasm_bindgen(js_name = ofGguf)]
    pub fn of_gguf(
        id: String,
        title: String,
        license: String,
        #[wasm_bindgen(unchecked_param_type = "Precision")] precision: JsValue,
    ) -> Result<BaseLoad, JsValue> {
        let label = BaseLabel { id, title, license };
        Ok(BaseLoad(crate::session::BaseLoad::of_gguf(label, from_js(precision)?)))
    }

    /// Says how many bytes the next file of weights has.
    #[wasm_bindgen(js_name = expectFile)]
    pub fn expect_file(&mut self, bytes: f64) {
        self.0.expect_file(bytes as u64);
    }

    /// Adds the next bytes of a file of weights.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        self.0.push(bytes).map_err(|error| thrown(&error.report()))
    }

    /// Ends a file of weights; another one may follow.
    #[wasm_bindgen(js_name = endFile)]
    pub fn end_file(&mut self) -> Result<(), JsValue> {
        self.0.end_file().map_err(|error| thrown(&error.report()))
    }

    /// A piece of a packed copy of the model, whose first file of weights has that hash.
    #[wasm_bindgen(js_name = packedPiece)]
    pub fn packed_piece(
        &mut self,
        sha256: &str,
        offset: f64,
        limit: usize,
    ) -> Result<Vec<u8>, JsValue> {
        self.0.packed_piece(sha256, offset as u64, limit).map_err(|error| thrown(&error.report()))
    }

    /// Adds the next bytes of a packed copy, in place of all files of weights.
    #[wasm_bindgen(js_name = pushPacked)]
    pub fn push_packed(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        self.0.push_packed(bytes).map_err(|error| thrown(&error.report()))
    }

    /// Ends a packed copy; returns the hash of the file that it was made from.
    #[wasm_bindgen(js_name = endPacked)]
    pub fn end_packed(&mut self) -> Result<String, JsValue> {
        self.0.end_packed().map_err(|error| thrown(&error.report()))
    }
}

/// Checks a model's `config.json`.
#[wasm_bindgen(js_name = checkConfig)]
pub fn check_config(title: String, config: &[u8]) -> Result<(), JsValue> {
    let refused = |source| thrown(&SessionError::Base { title, source }.report());
    parse_config(config).map(drop).map_err(refused)
}

/// Whether a model's `tokenizer_config.json` or `config.json` names a tokenizer that has no file of its
/// own, and is read in place of one.
#[wasm_bindgen(js_name = namesTokenizer)]
pub fn names_tokenizer(config: &[u8]) -> bool {
    Tokenizer::is_named_by(config)
}

/// The key of a packed copy of files of weights in a store.
#[wasm_bindgen(js_name = packedKey)]
pub fn packed_key(
    sources: Vec<String>,
    #[wasm_bindgen(unchecked_param_type = "Precision")] precision: JsValue,
) -> Result<String, JsValue> {
    Ok(crate::session::packed_key(&sources, from_js(precision)?))
}

/// The names of the files in `model.safetensors.index.json`.
#[wasm_bindgen(js_name = shardNames)]
pub fn shard_names(index: &[u8]) -> Result<Vec<String>, JsValue> {
    crate::formats::shard_names(index).map_err(|error| {
        refused(
            "The model's list of files cannot be read.",
            &error.to_string(),
            "Check the model's address, or report it to its host.",
        )
    })
}

/// A running SHA-256.
#[wasm_bindgen]
pub struct Sha256(sha2::Sha256);

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

#[wasm_bindgen]
impl Sha256 {
    /// The hash of nothing.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Sha256 {
        Sha256(sha2::Sha256::new())
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash so far, as 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        crate::formats::hex(self.0.clone().finalize())
    }
}

/// Reads and checks `registry.json`.
#[wasm_bindgen(js_name = parseRegistry, unchecked_return_type = "Registry")]
pub fn parse_registry(bytes: &[u8]) -> Result<JsValue, JsValue> {
    let registry = Registry::parse(bytes).map_err(|error| unreadable(&error))?;
    to_js(&registry)
}

fn unreadable(error: &RegistryError) -> JsValue {
    let code = match error {
        RegistryError::Length { .. } | RegistryError::Hash { .. } => ErrorCode::Integrity,
        _ => ErrorCode::InvalidInput,
    };
    thrown(&ErrorReport::new(
        code,
        "The module library cannot be read.",
        &error.to_string(),
        "Check that the address is that of a registry.json, or report it to its host.",
    ))
}

/// Finds modules of a registry. Every result is `{ found }`, or `{ missing }` with the registry's files
/// to pass to [`ModuleSearch::take`] first.
#[wasm_bindgen]
pub struct ModuleSearch(crate::registry::ModuleSearch);

#[wasm_bindgen]
impl ModuleSearch {
    /// Over a registry as [`parse_registry`] made it.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "Registry")] registry: JsValue,
    ) -> Result<ModuleSearch, JsValue> {
        let registry: Registry = from_js(registry)?;
        Ok(ModuleSearch(crate::registry::ModuleSearch::new(&registry)))
    }

    /// Whether every module is here.
    #[wasm_bindgen(js_name = isWhole)]
    pub fn is_whole(&self) -> bool {
        self.0.is_whole()
    }

    /// Adds a file that was missing.
    pub fn take(&mut self, path: &str, bytes: &[u8]) -> Result<(), JsValue> {
        self.0.take(path, bytes).map_err(|error| unreadable(&error))
    }

    /// The modules that match a query.
    #[wasm_bindgen(unchecked_return_type = "Lookup<FoundModules>")]
    pub fn search(
        &self,
        #[wasm_bindgen(unchecked_param_type = "ModuleQuery")] query: JsValue,
    ) -> Result<JsValue, JsValue> {
        let query: ModuleQuery = from_js(query)?;
        to_js(&self.0.search(&query))
    }

    /// The entries of modules.
    #[wasm_bindgen(js_name = ofIds, unchecked_return_type = "Lookup<RegistryModule[]>")]
    pub fn of_ids(&self, ids: Vec<String>) -> Result<JsValue, JsValue> {
        to_js(&self.0.of_ids(&ids))
    }

    /// The modules of a base that share most with some examples.
    #[wasm_bindgen(unchecked_return_type = "Lookup<Candidate[]>")]
    pub fn candidates(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Example[]")] examples: JsValue,
        base: &str,
        limit: usize,
    ) -> Result<JsValue, JsValue> {
        let examples: Vec<_> = from_js(examples)?;
        to_js(&self.0.candidates(&examples, base, limit))
    }
}

/// Reads a file of examples; every record must be one.
#[wasm_bindgen(js_name = parseExamples, unchecked_return_type = "Example[]")]
pub fn parse_examples(
    bytes: &[u8],
    #[wasm_bindgen(unchecked_param_type = "ExamplesFormat")] format: JsValue,
) -> Result<JsValue, JsValue> {
    let format: ExamplesFormat = from_js(format)?;
    let read = read_examples_file(bytes, format).and_then(ReadExamples::complete);
    to_js(&read.map_err(refused_examples)?)
}

/// Reads a file of examples, with what it was read as.
#[wasm_bindgen(js_name = readExamples, unchecked_return_type = "ReadExamples")]
pub fn read_examples(
    bytes: &[u8],
    #[wasm_bindgen(unchecked_param_type = "ExamplesFormat")] format: JsValue,
) -> Result<JsValue, JsValue> {
    let format: ExamplesFormat = from_js(format)?;
    to_js(&read_examples_file(bytes, format).map_err(refused_examples)?)
}

fn refused_examples(error: FormatError) -> JsValue {
    refused(
        "The examples were not read.",
        &error.to_string(),
        "Correct that place; nothing that was there before has changed.",
    )
}

/// Makes a link's fragment.
#[wasm_bindgen(js_name = encodeRecipe)]
pub fn encode_recipe(
    #[wasm_bindgen(unchecked_param_type = "Recipe")] recipe: JsValue,
) -> Result<String, JsValue> {
    let recipe = from_js(recipe)?;
    recipe::encode(&recipe).map_err(|error| {
        refused("The link could not be made.", &error.to_string(), "Change that, and copy again.")
    })
}

/// Reads a link's fragment, without its `#`.
#[wasm_bindgen(js_name = decodeRecipe, unchecked_return_type = "Recipe")]
pub fn decode_recipe(fragment: &str) -> Result<JsValue, JsValue> {
    let recipe = recipe::decode(fragment).map_err(|error| {
        refused(
            "The link could not be read.",
            &error.to_string(),
            "Request the link again, or continue without it.",
        )
    })?;
    to_js(&recipe)
}

/// The settings of learning where none are given.
#[wasm_bindgen(js_name = defaultLearnOptions, unchecked_return_type = "LearnOptions")]
pub fn default_learn_options() -> Result<JsValue, JsValue> {
    to_js(&LearnOptions::default())
}

/// The settings of the published method.
#[wasm_bindgen(js_name = publishedLearnOptions, unchecked_return_type = "LearnOptions")]
pub fn published_learn_options() -> Result<JsValue, JsValue> {
    to_js(&LearnOptions::as_published())
}

/// Every setting of learning, with its label, help, limits and choices.
#[wasm_bindgen(js_name = learnSettings, unchecked_return_type = "Setting[]")]
pub fn learn_settings() -> Result<JsValue, JsValue> {
    to_js(&learn::settings())
}
