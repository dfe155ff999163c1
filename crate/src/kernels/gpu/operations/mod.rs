//! One function for each kernel: its operands, its parameters, and its variant for a shape.
//!
//! | part | owns |
//! |---|---|
//! | `rows` | activations, in f32 and quantised |
//! | `matrix` | weights and embeddings |
//! | `product` | products, and their kernel and tile for a shape |
//! | `attention` | attention, and its caches |
//! | `modules` | LoRA modules merged for a population |
//! | `logits` | the reduction of logits, and the next token |
//! | `layout` | the kernels' parameters, in the layout of their shaders |

mod attention;
pub(super) mod layout;
mod logits;
mod matrix;
mod modules;
mod product;
mod rows;

pub use attention::{Attention, AttentionTask, attention_queries};
pub use matrix::{Embedding, Matrix};
pub use modules::{RankFactor, WeightRow};
pub use product::{FloatProduct, Int8Product, Output, Store};
pub use rows::{Quantize, Rows, RowsMode, packed_words};

#[cfg(test)]
use super::pipelines::Kernel;
use super::source::Constant;

fn word(value: usize) -> u32 {
    u32::try_from(value).expect("an index fits 32 bits, as buffers do")
}

fn number(name: &'static str, value: usize) -> (&'static str, Constant) {
    (name, Constant::Number(word(value)))
}
