//! LoraLoom composes LoRA modules for an unseen task from a few examples, with a quantised Flan-T5
//! that runs natively and in the browser.
//!
//! Data flows one way through the crate:
//!
//! | layer | owns |
//! |---|---|
//! | [`formats`] | reading outside files: safetensors, GGUF, PyTorch, PEFT folders, tokenizers, examples |
//! | [`kernels`] | the arithmetic under the model: products, norms, softmax, one file per instruction set |
//! | [`model`] | the Flan-T5 model: encoder, teacher-forced decoder with loss, greedy decoding |
//! | [`lora`] | composing adapters into the LoRA branches that the model applies |
//! | [`learn`] | the gradient-free search for one coefficient per module |
//! | [`recipe`], [`registry`] | what is shared as a link, and what is fetched from a static host |
//! | [`session`] | a base with its modules at work, on the CPU or the GPU |

#[cfg(feature = "bench")]
pub mod bench;
/// The README's example, which `cargo test` compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod bindings;
pub mod formats;
pub mod kernels;
pub mod learn;
pub mod lora;
pub mod model;
#[cfg(test)]
#[path = "../../tests/random.rs"]
mod random;
pub mod recipe;
pub mod registry;
pub mod session;
#[cfg(feature = "typescript")]
pub mod typescript;
