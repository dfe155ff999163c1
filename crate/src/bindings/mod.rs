//! What the browser sees of the library: the only layer that knows wasm-bindgen.
//!
//! The functions here run in a Web Worker. Which build was loaded is told by [`features`], so that
//! the page can say what it runs on.

use wasm_bindgen::prelude::*;

#[cfg(feature = "threads")]
pub use wasm_bindgen_rayon::init_thread_pool;

/// Sends panics to the console with their place in the source: the trap that follows names none.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        web_sys::console::error_1(&JsValue::from_str(&panic.to_string()));
    }));
}

/// The instruction sets that this build was compiled for, as an array of names.
#[wasm_bindgen]
pub fn features() -> Vec<String> {
    let compiled = [
        ("threads", cfg!(feature = "threads")),
        ("simd128", cfg!(target_feature = "simd128")),
        ("relaxed-simd", cfg!(target_feature = "relaxed-simd")),
    ];
    compiled.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect()
}
