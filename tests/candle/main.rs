//! The library against candle: the same files, losses, answers and gradients without Python.
//!
//! | file | holds |
//! |---|---|
//! | `files` | tensors of GGUF and PyTorch files |
//! | `t5` | a plain T5 with LoRA branches in candle's operations, in f64, and its losses |
//! | `models` | golden and random models with adapters |
//! | `losses` | losses and greedy outputs of `t5` and of candle-transformers' T5 |
//! | `gradients` | gradients of LoRA branches against candle's autograd |
//! | `composition` | the example of a composition in candle-transformers' T5 |

#[allow(dead_code, reason = "its main")]
mod composition;
mod files;
mod gradients;
mod losses;
mod models;
#[path = "../random.rs"]
mod random;
mod t5;

use std::path::{Path, PathBuf};

/// A path in the repository.
fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(relative)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The norm of the difference as a share of the second vector's norm.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = found.iter().zip(expected).map(|(&a, b)| f64::from(a) - b);
    norm(&mut { difference }) / norm(&mut expected.iter().copied())
}
