//! One function for each kernel: its operands, its parameters, and the variant for its shape. The
//! parameters of a kernel are written down beside its function in the layout of its shader.
//!
//! | part | owns |
//! |---|---|
//! | `rows` | activations, in f32 and quantised |
//! | `matrix` | weights and embeddings |
//! | `product` | products, and their kernel and tile for a shape |
//! | `attention` | attention, and its caches |
//! | `modules` | LoRA modules merged for a population |
//! | `logits` | what is kept of logits, and the next token |

mod attention;
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

use super::source::Constant;

fn word(value: usize) -> u32 {
    u32::try_from(value).expect("an index that fits the words of a buffer")
}

fn number(name: &'static str, value: usize) -> (&'static str, Constant) {
    (name, Constant::Number(word(value)))
}
