//! Readers of outside files, and writers of those that the project makes. Every reader checks
//! lengths, offsets and sizes before it uses them and answers with a [`FormatError`] that names what
//! was expected and what was found; none panics on any input.

mod blocks;
mod bytes;
mod examples;
mod folder;
mod gguf;
mod gguf_writer;
mod hash;
mod safetensors;
mod stream;
mod tensor;
mod tokenizer;
mod torch;
mod weights;

pub use examples::{Example, ExamplesFormat, parse_examples};
pub use folder::{ChosenWeights, USUAL_WEIGHTS, choose_weights, weights_identity};
#[cfg(feature = "bench")]
pub(crate) use gguf::ggml_type;
pub use gguf::{GgufFile, llama_name};
pub use gguf_writer::{GgufValue, GgufWriter};
pub use hash::{hex, sha256_hex};
pub use safetensors::{NamedTensor, SafetensorsFile, write_safetensors};
pub use stream::{TensorRows, TensorSink, WeightsStream, take_all};
pub use tensor::{Dtype, TensorSource, TensorView};
pub use tokenizer::{TextStream, Tokenizer};
pub use torch::TorchFile;
pub use weights::{ShardedWeights, parse_weights, shard_names};

/// What went wrong while a file was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The file ends before a part that its own header announces.
    #[error("the {format} file is cut short: {what} needs {expected} bytes, {found} are there")]
    Truncated {
        /// Name of the file format.
        format: &'static str,
        /// The part that was being read.
        what: String,
        /// Bytes that the part needs.
        expected: u64,
        /// Bytes that are left.
        found: u64,
    },
    /// A part of the file contradicts the format or another part.
    #[error("the {format} file is not valid: {what} should be {expected}, found {found}")]
    Invalid {
        /// Name of the file format.
        format: &'static str,
        /// The part that was being read.
        what: String,
        /// What the format asks for.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// The file is valid but uses something that is not supported.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// The feature or field, by the name its users know.
        what: String,
        /// Why, and what to do instead.
        reason: String,
    },
    /// A tensor holds a value that is not a finite number.
    #[error("tensor {name} holds {value} at element {index}; every weight must be a finite number")]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// Index of the first such element, in row-major order.
        index: usize,
        /// The value, printed.
        value: String,
    },
}

/// The most characters of outside text quoted in a message.
const EXCERPT_CHARS: usize = 120;

/// Outside text, shortened and without control characters, fit to be quoted in a message.
pub(crate) fn excerpt(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(EXCERPT_CHARS).map(clean).collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        short.push('…');
    }
    short
}
