//! The session: methods that compute return promises and report to hooks.

use wasm_bindgen::prelude::*;

use js_sys::Uint8Array;

use super::{BaseLoad, from_js, milliseconds, thrown, to_js};
use crate::registry::{Candidate, suggestions};
use crate::session::{self, DefaultBackend, Observer, SessionError, SessionEvent};

#[wasm_bindgen]
extern "C" {
    /// Callbacks of a long method.
    #[wasm_bindgen(typescript_type = "Hooks")]
    pub type Hooks;

    #[wasm_bindgen(method, catch, js_name = onEvent)]
    fn on_event(this: &Hooks, event: JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = nextTurn)]
    async fn next_turn(this: &Hooks) -> Result<JsValue, JsValue>;
}

impl Observer for Hooks {
    fn on_event(&mut self, event: SessionEvent) {
        // An exception of the page's own must not end the method.
        let _ = to_js(&event).and_then(|event| Hooks::on_event(self, event));
    }

    async fn next_turn(&mut self) -> bool {
        Hooks::next_turn(self).await.map_or(true, |stop| stop.is_truthy())
    }
}

fn seconds() -> f64 {
    milliseconds() / 1000.0
}

fn returned<T: serde::Serialize>(result: Result<T, SessionError>) -> Result<JsValue, JsValue> {
    to_js(&result.map_err(|error| thrown(&error.report()))?)
}

/// A base model and its modules. It takes one call at a time.
#[wasm_bindgen]
pub struct Session(session::Session<DefaultBackend>);

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

#[wasm_bindgen]
impl Session {
    /// A session with nothing loaded.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Session {
        Session(session::Session::new(seconds))
    }

    /// Takes over a base whose weights, of that hash, have all been pushed. Modules of an earlier base
    /// are dropped.
    #[wasm_bindgen(js_name = finishBase, unchecked_return_type = "BaseInfo")]
    pub fn finish_base(&mut self, load: BaseLoad, sha256: String) -> Result<JsValue, JsValue> {
        returned(self.0.finish_base(load.0, sha256))
    }

    /// Copies the base to the GPU and checks it against the CPU; `null` in builds without the GPU.
    #[wasm_bindgen(js_name = openGpu, unchecked_return_type = "GpuStatus | null")]
    pub async fn open_gpu(&mut self) -> Result<JsValue, JsValue> {
        returned(self.0.open_gpu().await)
    }

    /// Reads a module from the two files of its PEFT folder.
    #[wasm_bindgen(js_name = addModule, unchecked_return_type = "ModuleInfo")]
    pub fn add_module(
        &mut self,
        id: &str,
        config: &[u8],
        weights: Vec<u8>,
    ) -> Result<JsValue, JsValue> {
        returned(self.0.add_module(id, config, weights))
    }

    /// Checks the base, of this id, against published reference outputs; `null` if there are none.
    #[wasm_bindgen(unchecked_return_type = "Verified | null")]
    pub async fn verify(&self, id: String) -> Result<JsValue, JsValue> {
        returned(self.0.verify(&id).await)
    }

    /// Each example's loss, and the mean of them.
    #[wasm_bindgen(unchecked_return_type = "Score")]
    pub async fn score(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Example[]")] examples: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Composition | null")] composition: JsValue,
    ) -> Result<JsValue, JsValue> {
        let (examples, composition): (Vec<_>, Option<_>) =
            (from_js(examples)?, from_js(composition)?);
        returned(self.0.score(&examples, composition.as_ref()).await)
    }

    /// The loss without each module; rejects with code `aborted` if it is stopped.
    #[wasm_bindgen(js_name = leaveOneOut, unchecked_return_type = "ModuleLoss[]")]
    pub async fn leave_one_out(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Example[]")] examples: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Composition")] composition: JsValue,
        mut hooks: Hooks,
    ) -> Result<JsValue, JsValue> {
        let examples: Vec<_> = from_js(examples)?;
        let composition = from_js(composition)?;
        returned(self.0.leave_one_out(&examples, &composition, &mut hooks).await)
    }

    /// Whether a composition works for examples.
    #[wasm_bindgen(unchecked_return_type = "Assessment")]
    pub async fn assess(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Example[]")] examples: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Composition | null")] composition: JsValue,
        mut hooks: Hooks,
    ) -> Result<JsValue, JsValue> {
        let (examples, composition): (Vec<_>, Option<_>) =
            (from_js(examples)?, from_js(composition)?);
        returned(self.0.assess(&examples, composition.as_ref(), &mut hooks).await)
    }

    /// Writes a composition as the two files of a PEFT folder, for a base of this name.
    #[wasm_bindgen(js_name = exportAdapter, unchecked_return_type = "PeftFiles")]
    pub fn export_adapter(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Composition")] composition: JsValue,
        #[wasm_bindgen(js_name = baseModel)] base_model: &str,
    ) -> Result<JsValue, JsValue> {
        let composition = from_js(composition)?;
        let files = self.0.export(&composition, base_model);
        let files = files.map_err(|error| thrown(&error.report()))?.files;
        let object = js_sys::Object::new();
        for (name, bytes) in [("config", &files.config), ("weights", &files.weights)] {
            js_sys::Reflect::set(&object, &name.into(), &Uint8Array::from(&bytes[..]))?;
        }
        Ok(object.into())
    }

    /// Learns weights of loaded modules; with the history of a run that was stopped it goes on.
    #[wasm_bindgen(unchecked_return_type = "LearnResult")]
    pub async fn learn(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Example[]")] examples: JsValue,
        modules: Vec<String>,
        #[wasm_bindgen(unchecked_param_type = "LearnOptions")] options: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Evaluation[]")] history: JsValue,
        mut hooks: Hooks,
    ) -> Result<JsValue, JsValue> {
        let (examples, history): (Vec<_>, Vec<_>) = (from_js(examples)?, from_js(history)?);
        let options = from_js(options)?;
        returned(self.0.learn(&examples, &modules, options, &history, &mut hooks).await)
    }

    /// Tunes a composition on examples, and adds the result as a module of this id.
    #[wasm_bindgen(unchecked_return_type = "TuneResult")]
    pub async fn tune(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Example[]")] examples: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Composition")] composition: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Partial<TuneOptions>")] options: JsValue,
        id: String,
        mut hooks: Hooks,
    ) -> Result<JsValue, JsValue> {
        let examples: Vec<_> = from_js(examples)?;
        let (composition, options) = (from_js(composition)?, from_js(options)?);
        returned(self.0.tune(&examples, &composition, options, &id, &mut hooks).await)
    }

    /// Adds a composition with other scales as a module of this id, as `tune` made it.
    #[wasm_bindgen(js_name = addScaled, unchecked_return_type = "ModuleInfo")]
    pub fn add_scaled(
        &mut self,
        id: &str,
        #[wasm_bindgen(unchecked_param_type = "Composition")] composition: JsValue,
        #[wasm_bindgen(unchecked_param_type = "TunedScales")] scales: JsValue,
    ) -> Result<JsValue, JsValue> {
        let (composition, scales) = (from_js(composition)?, from_js(scales)?);
        returned(self.0.add_scaled(id, &composition, &scales))
    }

    /// The candidates that are most similar to the examples, at most `limit`; rejects with code
    /// `aborted` if it is stopped.
    #[wasm_bindgen(unchecked_return_type = "Suggestion[]")]
    pub async fn suggest(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Example[]")] examples: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Candidate[]")] candidates: JsValue,
        limit: usize,
        mut hooks: Hooks,
    ) -> Result<JsValue, JsValue> {
        let examples: Vec<_> = from_js(examples)?;
        let candidates: Vec<Candidate> = from_js(candidates)?;
        let texts: Vec<String> = candidates.iter().map(Candidate::text).collect();
        let similarities = self.0.retrieve(&examples, &texts, &mut hooks).await;
        returned(similarities.map(|similarities| suggestions(candidates, &similarities, limit)))
    }

    /// Decodes the answer to an input.
    #[wasm_bindgen(unchecked_return_type = "Generated")]
    pub async fn generate(
        &mut self,
        input: String,
        #[wasm_bindgen(unchecked_param_type = "Composition | null")] composition: JsValue,
        #[wasm_bindgen(js_name = maxNewTokens)] max_new_tokens: usize,
        mut hooks: Hooks,
    ) -> Result<JsValue, JsValue> {
        let composition: Option<_> = from_js(composition)?;
        returned(self.0.generate(&input, composition.as_ref(), max_new_tokens, &mut hooks).await)
    }

    /// Answers an input with the stored composition that it belongs to, or with the base; rejects with code
    /// `aborted` if it is stopped.
    #[wasm_bindgen(unchecked_return_type = "Routed")]
    pub async fn route(
        &mut self,
        input: String,
        #[wasm_bindgen(unchecked_param_type = "StoredComposition[]")] compositions: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Partial<RouteOptions>")] options: JsValue,
        mut hooks: Hooks,
    ) -> Result<JsValue, JsValue> {
        let compositions: Vec<_> = from_js(compositions)?;
        let options = from_js(options)?;
        returned(self.0.route(&input, &compositions, &options, &mut hooks).await)
    }

    /// Decodes the answers to a test set and compares them with the outputs.
    #[wasm_bindgen(unchecked_return_type = "TestResult")]
    pub async fn test(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Example[]")] examples: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Composition | null")] composition: JsValue,
        #[wasm_bindgen(js_name = maxNewTokens)] max_new_tokens: usize,
        mut hooks: Hooks,
    ) -> Result<JsValue, JsValue> {
        let (examples, composition): (Vec<_>, Option<_>) =
            (from_js(examples)?, from_js(composition)?);
        returned(self.0.test(&examples, composition.as_ref(), max_new_tokens, &mut hooks).await)
    }

    /// The embeddings that the base made, to be stored.
    pub fn embeddings(&self) -> Vec<u8> {
        self.0.embeddings()
    }

    /// Adds stored embeddings of this base.
    #[wasm_bindgen(js_name = addEmbeddings)]
    pub fn add_embeddings(&mut self, bytes: &[u8]) {
        self.0.add_embeddings(bytes);
    }
}
