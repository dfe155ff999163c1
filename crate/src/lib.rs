//! LoraLoom composes LoRA modules for an unseen task from a few examples, with a quantized Flan-T5
//! that runs natively and in the browser. The method is LoraHub (Huang et al., 2023,
//! [arXiv:2307.13269](https://arxiv.org/abs/2307.13269)): a gradient-free search finds one weight per
//! module; base and modules stay as they are.
//!
//! # From files to an answer
//!
//! 1. Make a [`Session`](session::Session) and load a base with
//!    [`load_base`](session::Session::load_base): `config.json`, a tokenizer, and weights as safetensors,
//!    GGUF or a PyTorch file.
//! 2. Add LoRA modules with [`add_module`](session::Session::add_module), each from the two files of its PEFT
//!    folder.
//! 3. [`learn`](session::Session::learn) one weight per module from a few [`Example`](formats::Example)s, with
//!    [`LearnOptions`](learn::LearnOptions) for the budget, the search and the merge.
//! 4. Give the learned [`Composition`](lora::Composition) to [`generate`](session::Session::generate) for an
//!    answer, to [`test`](session::Session::test) for a test set, or to [`score`](session::Session::score) for
//!    losses.
//! 5. Share it: as a link ([`recipe::encode`]), or as one PEFT adapter ([`lora::export`](fn@lora::export)).
//!
//! Long methods are asynchronous, report to an [`Observer`](session::Observer), and stop between two steps
//! where it says so. Natively any executor runs them.
//!
//! The [README](https://github.com/loraloom/loraloom#readme) has an example that compiles. The command line
//! is the crate [`loraloom-cli`](https://docs.rs/loraloom-cli).
//!
//! # Precision, threads and features
//!
//! [`Precision::Int8`](model::Precision) stores the base's weights in 8 bits, and
//! [`Precision::F32`](model::Precision) computes as Hugging Face transformers does. Either gives the same bits
//! natively and in WebAssembly, with any number of threads.
//!
//! | feature | adds |
//! |---|---|
//! | `threads` (default) | several threads: rayon natively, wasm-bindgen-rayon in the browser |
//! | `gpu` | Vulkan natively, WebGPU in the browser |
//! | `candle` | a composition as weights for candle's models, `lora::MergedWeights` |
//!
//! # Layers
//!
//! A layer uses only those above it in this table.
//!
//! | layer | owns |
//! |---|---|
//! | [`formats`] | readers and writers of files: safetensors, GGUF, PyTorch, tokenizers, examples |
//! | `kernels` | products, attention, norms and activations; internal, without a stable interface |
//! | [`model`] | the trait between a session and an architecture, and T5: encoder, teacher-forced decoder with loss, greedy decoding |
//! | [`lora`] | PEFT folders, and composing adapters into the LoRA branches that the model applies |
//! | [`learn`] | the gradient-free search for one weight per module |
//! | [`session`] | a loaded base with its modules, and every long operation on it, over a CPU or GPU backend |
//! | [`registry`], [`recipe`] | what is fetched from a static host, and what is shared as a link |
//!
//! Not supported: decoder-only models, training with gradients, sampling.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "bench")]
pub mod bench;
/// The README's example, which `cargo test` compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod bindings;
mod choices;
pub mod formats;
#[doc(hidden)]
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
