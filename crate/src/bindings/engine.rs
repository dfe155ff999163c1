//! The engine on the processor, and the methods that it has in common with the one on the graphics
//! card: wasm-bindgen knows no traits, so each class gets them from a macro.

use wasm_bindgen::prelude::*;

use super::{BaseLoad, answer, from_js, seconds, thrown};

/// The methods of an engine that wait for nothing.
macro_rules! methods_of_an_engine {
    ($Engine:ident) => {
        #[wasm_bindgen]
        impl $Engine {
            /// Takes over a base model whose weights, of that hash, have arrived.
            #[wasm_bindgen(js_name = finishBase)]
            pub fn finish_base(
                &mut self,
                load: BaseLoad,
                sha256: String,
            ) -> Result<JsValue, JsValue> {
                answer(self.0.finish_base(load.0, sha256))
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
                let options: $crate::learn::LearnOptions = from_js(options)?;
                self.0
                    .start_learning(&examples, &modules, options)
                    .map_err(|report| thrown(&report))
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
                let (examples, candidates): (Vec<_>, Vec<$crate::registry::Candidate>) =
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

            /// Ends the test with the items that are answered.
            #[wasm_bindgen(js_name = stopTest)]
            pub fn stop_test(&mut self) -> Result<JsValue, JsValue> {
                answer(self.0.stop_test())
            }

            /// Ends the work that goes on, if any.
            pub fn stop(&mut self) {
                self.0.stop();
            }

            /// Bytes of WebAssembly memory that were ever needed at once: it never shrinks.
            #[wasm_bindgen(js_name = memoryBytes)]
            pub fn memory_bytes(&self) -> f64 {
                $crate::bindings::memory_bytes()
            }
        }
    };
}
#[cfg(feature = "gpu")]
pub(super) use methods_of_an_engine;

/// A base model, its modules, and at most one running piece of work.
#[wasm_bindgen]
pub struct Engine(crate::session::Engine);

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

#[wasm_bindgen]
impl Engine {
    /// An engine with nothing loaded.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Engine {
        Engine(crate::session::Engine::new(seconds))
    }

    /// Makes the next evaluation.
    #[wasm_bindgen(js_name = learningStep)]
    pub fn learning_step(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.learning_step())
    }

    /// Starts to answer an input.
    #[wasm_bindgen(js_name = startGeneration)]
    pub fn start_generation(
        &mut self,
        input: &str,
        composition: JsValue,
        max_new_tokens: usize,
    ) -> Result<(), JsValue> {
        let composition: Option<_> = from_js(composition)?;
        (self.0.start_generation(input, composition.as_ref(), max_new_tokens))
            .map_err(|report| thrown(&report))
    }

    /// Decodes the next token.
    #[wasm_bindgen(js_name = generationStep)]
    pub fn generation_step(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.generation_step())
    }

    /// Decodes the next token of the items in progress.
    #[wasm_bindgen(js_name = testStep)]
    pub fn test_step(&mut self) -> Result<JsValue, JsValue> {
        answer(self.0.test_step())
    }

    /// Each example's loss, and their mean.
    pub fn score(&self, examples: JsValue, composition: JsValue) -> Result<JsValue, JsValue> {
        let examples: Vec<_> = from_js(examples)?;
        let composition: Option<_> = from_js(composition)?;
        answer(self.0.score(&examples, composition.as_ref()))
    }
}

methods_of_an_engine!(Engine);
