//! The engine on the graphics card, with the methods of [`Engine`](super::Engine): those that wait
//! for the device answer with a promise. A call while one is awaited is refused, so the worker makes
//! them one after another.

use wasm_bindgen::prelude::*;

use super::{BaseLoad, answer, from_js, memory_bytes, seconds, thrown};
use crate::engine;
use crate::learn::LearnOptions;
use crate::registry::Candidate;

/// See [`engine::GpuEngine`].
#[wasm_bindgen]
pub struct GpuEngine(engine::GpuEngine);

impl Default for GpuEngine {
    fn default() -> Self {
        Self::new()
    }
}

#[wasm_bindgen]
impl GpuEngine {
    /// An engine with nothing loaded.
    #[wasm_bindgen(constructor)]
    pub fn new() -> GpuEngine {
        GpuEngine(engine::GpuEngine::new(engine::Engine::new(seconds)))
    }

    /// Takes over a base model whose weights, of that hash, have arrived.
    #[wasm_bindgen(js_name = finishBase)]
    pub fn finish_base(&mut self, load: BaseLoad, sha256: String) -> Result<JsValue, JsValue> {
        answer(self.0.finish_base(load.0, sha256))
    }

    /// Copies the base to the graphics card and checks it there; answers with the status.
    #[wasm_bindgen(js_name = openGpu)]
    pub async fn open_gpu(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.open().await)
    }

    /// Whether the graphics card is used.
    #[wasm_bindgen(js_name = gpuStatus)]
    pub fn gpu_status(&self) -> Result<JsValue, JsValue> {
        answer(Ok(self.0.status()))
    }

    /// Reads a module from the two files of its PEFT folder.
    #[wasm_bindgen(js_name = addModule)]
    pub fn add_module(
        &mut self,
        id: &str,
        config: &[u8],
        weights: Vec<u8>,
    ) -> Result<JsValue, JsValue> {
        answer(self.0.add_module(id, config, weights))
    }

    /// Holds the loaded base, of this id, against what is published of it; `null` if nothing is.
    pub fn verify(&self, id: &str) -> Result<JsValue, JsValue> {
        answer(self.0.verify(id))
    }

    /// Whether a module of that id is loaded.
    #[wasm_bindgen(js_name = hasModule)]
    pub fn has_module(&self, id: &str) -> bool {
        self.0.has_module(id)
    }

    /// Starts learning.
    #[wasm_bindgen(js_name = startLearning)]
    pub fn start_learning(
        &mut self,
        examples: JsValue,
        modules: Vec<String>,
        options: JsValue,
    ) -> Result<(), JsValue> {
        let examples: Vec<_> = from_js(examples)?;
        let options: LearnOptions = from_js(options)?;
        self.0.start_learning(&examples, &modules, options).map_err(|report| thrown(&report))
    }

    /// Makes the next evaluation.
    #[wasm_bindgen(js_name = learningStep)]
    pub async fn learning_step(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.learning_step().await)
    }

    /// Ends learning with the best point seen.
    #[wasm_bindgen(js_name = stopLearning)]
    pub fn stop_learning(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.stop_learning())
    }

    /// Starts to look for the modules that are nearest to some examples.
    #[wasm_bindgen(js_name = startRetrieval)]
    pub fn start_retrieval(
        &mut self,
        examples: JsValue,
        candidates: JsValue,
        most: usize,
    ) -> Result<(), JsValue> {
        let (examples, candidates): (Vec<_>, Vec<Candidate>) =
            (from_js(examples)?, from_js(candidates)?);
        let started = self.0.start_retrieval(&examples, candidates, most);
        started.map_err(|report| thrown(&report))
    }

    /// Encodes the next texts.
    #[wasm_bindgen(js_name = retrievalStep)]
    pub fn retrieval_step(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.retrieval_step())
    }

    /// The embeddings that the base made, to be kept.
    pub fn embeddings(&self) -> Vec<u8> {
        self.0.embeddings()
    }

    /// Takes embeddings that were kept of this base.
    #[wasm_bindgen(js_name = addEmbeddings)]
    pub fn add_embeddings(&mut self, bytes: &[u8]) {
        self.0.add_embeddings(bytes);
    }

    /// Starts to answer an input.
    #[wasm_bindgen(js_name = startGeneration)]
    pub async fn start_generation(
        &mut self,
        input: String,
        composition: JsValue,
        max_new_tokens: usize,
    ) -> Result<(), JsValue> {
        let composition: Option<_> = from_js(composition)?;
        (self.0.start_generation(&input, composition.as_ref(), max_new_tokens).await)
            .map_err(|report| thrown(&report))
    }

    /// Decodes the next tokens.
    #[wasm_bindgen(js_name = generationStep)]
    pub async fn generation_step(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.generation_step().await)
    }

    /// Starts to answer a test set.
    #[wasm_bindgen(js_name = startTest)]
    pub fn start_test(
        &mut self,
        examples: JsValue,
        composition: JsValue,
        max_new_tokens: usize,
    ) -> Result<(), JsValue> {
        let examples: Vec<_> = from_js(examples)?;
        let composition: Option<_> = from_js(composition)?;
        (self.0.start_test(&examples, composition.as_ref(), max_new_tokens))
            .map_err(|report| thrown(&report))
    }

    /// Decodes the next tokens of the items in progress.
    #[wasm_bindgen(js_name = testStep)]
    pub async fn test_step(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.test_step().await)
    }

    /// Ends the test with the items that are answered.
    #[wasm_bindgen(js_name = stopTest)]
    pub fn stop_test(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.stop_test())
    }

    /// Ends the work that goes on, if any.
    pub fn stop(&mut self) {
        self.0.stop();
    }

    /// Each example's loss, and their mean.
    pub async fn score(
        &mut self,
        examples: JsValue,
        composition: JsValue,
    ) -> Result<JsValue, JsValue> {
        let examples: Vec<_> = from_js(examples)?;
        let composition: Option<_> = from_js(composition)?;
        answer(self.0.score(&examples, composition.as_ref()).await)
    }

    /// Bytes of WebAssembly memory that were ever needed at once: it never shrinks.
    #[wasm_bindgen(js_name = memoryBytes)]
    pub fn memory_bytes(&self) -> f64 {
        memory_bytes()
    }
}
