//! candle-transformers' quantised T5, as its own example for the browser uses it.

use candle_core::{DType, Device, Tensor};
use candle_transformers::models::quantized_t5::{
    Config, T5ForConditionalGeneration, VarBuilder,
};
use wasm_bindgen::prelude::*;

fn thrown(error: impl std::fmt::Display) -> JsError {
    JsError::new(&error.to_string())
}

/// A loaded model.
#[wasm_bindgen]
pub struct Model {
    model: T5ForConditionalGeneration,
}

#[wasm_bindgen]
impl Model {
    /// Reads a GGUF file with Hugging Face's names; `config` is `config.json`.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &str, weights: &[u8]) -> Result<Model, JsError> {
        let config: Config = serde_json::from_str(config).map_err(thrown)?;
        let variables = VarBuilder::from_gguf_buffer(weights, &Device::Cpu).map_err(thrown)?;
        let model = T5ForConditionalGeneration::load(variables, &config).map_err(thrown)?;
        Ok(Model { model })
    }

    /// Runs the encoder over `rows` inputs of equal length.
    pub fn encode(&mut self, tokens: &[u32], rows: usize) -> Result<(), JsError> {
        self.encoded(tokens, rows).map(|_| ()).map_err(thrown)
    }

    /// The encoder and `new_tokens` greedy tokens of one input.
    pub fn generate(&mut self, tokens: &[u32], new_tokens: usize) -> Result<Vec<u32>, JsError> {
        self.generated(tokens, new_tokens).map_err(thrown)
    }
}

impl Model {
    fn encoded(&mut self, tokens: &[u32], rows: usize) -> candle_core::Result<Tensor> {
        let input = Tensor::from_slice(tokens, (rows, tokens.len() / rows), &Device::Cpu)?;
        self.model.clear_kv_cache();
        self.model.encode(&input)
    }

    fn generated(&mut self, tokens: &[u32], new_tokens: usize) -> candle_core::Result<Vec<u32>> {
        let encoded = self.encoded(tokens, 1)?;
        let mut generated = Vec::with_capacity(new_tokens);
        let mut last = 0u32;
        for _ in 0..new_tokens {
            let input = Tensor::from_slice(&[last], (1, 1), &Device::Cpu)?;
            let logits = self.model.decode(&input, &encoded)?.squeeze(0)?;
            last = logits.to_dtype(DType::F32)?.argmax(0)?.to_scalar::<u32>()?;
            generated.push(last);
        }
        Ok(generated)
    }
}
