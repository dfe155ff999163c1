//! Measurements, driven by `pkg-scripts/bench`.

use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::bench::{self, Workload};

fn thrown(error: impl std::fmt::Display) -> JsError {
    JsError::new(&error.to_string())
}

/// See [`bench::Bench`].
#[wasm_bindgen]
#[derive(Default)]
pub struct Bench(bench::Bench);

#[wasm_bindgen]
impl Bench {
    /// Creates one with nothing loaded.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets where the file of a load comes from: `piece(index)` returns a `Uint8Array`, or undefined
    /// after the last.
    #[wasm_bindgen(js_name = setPieces)]
    pub fn set_pieces(&mut self, piece: Function) {
        self.0.set_pieces(Box::new(move |index| {
            let piece = piece.call1(&JsValue::NULL, &JsValue::from(index as u32)).ok()?;
            piece.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec())
        }));
    }

    /// Adds a file that a workload reads.
    #[wasm_bindgen(js_name = addFile)]
    pub fn add_file(&mut self, path: String, bytes: Vec<u8>) {
        self.0.add_file(path, bytes);
    }

    /// Prepares a workload given as JSON; returns what it computes, as JSON.
    ///
    /// # Errors
    /// For a workload that does not exist or cannot be prepared.
    pub fn prepare(&mut self, workload: &str) -> Result<String, JsError> {
        let workload: Workload = serde_json::from_str(workload).map_err(thrown)?;
        let work = self.0.prepare(&workload).map_err(thrown)?;
        serde_json::to_string(&work).map_err(thrown)
    }

    /// Runs the workload once: seconds by `clock`, which returns milliseconds, and tokens.
    ///
    /// # Errors
    /// If nothing is prepared or the workload fails.
    pub fn sample(&mut self, clock: &Function) -> Result<Vec<f64>, JsError> {
        let now = || {
            let time = clock.call0(&JsValue::NULL).ok().and_then(|time| time.as_f64());
            time.unwrap_or(f64::NAN) / 1e3
        };
        let (seconds, tokens) = self.0.sample(&now).map_err(thrown)?;
        Ok(vec![seconds, tokens as f64])
    }

    /// Bytes of the loaded model's packed weights.
    #[wasm_bindgen(js_name = modelBytes)]
    pub fn model_bytes(&self) -> usize {
        self.0.model_bytes()
    }
}

/// A GGUF file of a random model.
///
/// # Errors
/// If there is no such geometry.
#[wasm_bindgen(js_name = benchModel)]
pub fn bench_model(model: &str) -> Result<Uint8Array, JsError> {
    let bytes = bench::gguf_file(model).map_err(thrown)?;
    Ok(Uint8Array::from(bytes.as_slice()))
}

/// The `config.json` of that geometry.
///
/// # Errors
/// If there is no such geometry.
#[wasm_bindgen(js_name = benchConfig)]
pub fn bench_config(model: &str) -> Result<String, JsError> {
    bench::config_json(model).map_err(thrown)
}
