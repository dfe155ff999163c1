//! The engine on the graphics card, with the methods of [`Engine`](super::Engine): those that wait
//! for the device answer with a promise. A call while one is awaited is refused, so the worker makes
//! them one after another.

use wasm_bindgen::prelude::*;

use super::engine::methods_of_an_engine;
use super::{BaseLoad, answer, from_js, seconds, thrown};
use crate::session;

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

    /// Makes the next evaluation.
    #[wasm_bindgen(js_name = learningStep)]
    pub async fn learning_step(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.learning_step().await)
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

    /// Decodes the next tokens of the items in progress.
    #[wasm_bindgen(js_name = testStep)]
    pub async fn test_step(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.test_step().await)
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
}

methods_of_an_engine!(GpuEngine);
