//! Readers and writers of file formats: safetensors, GGUF, PyTorch, tokenizers, examples. Every reader
//! checks lengths, offsets and sizes before it uses them, and returns a [`FormatError`] with what was
//! expected and what was found. No reader panics on any input.

mod blocks;
pub(crate) mod budget;
mod bytes;
mod examples;
mod folder;
mod gguf;
mod gguf_model;
mod gguf_writer;
mod hash;
mod safetensors;
mod stream;
mod tensor;
mod tokenizer;
mod torch;
mod weights;

pub use examples::{
    EmptyField, Example, ExamplesFormat, ExamplesLayout, ReadExamples, parse_examples,
    read_examples, read_examples_file,
};
pub use folder::{ChosenWeights, Placeholder, USUAL_WEIGHTS, choose_weights, weights_identity};
pub use gguf::{GgufFile, llama_name};
pub use gguf_model::{DescribedStart, GgufModel, GgufStart, token_type};
pub use gguf_writer::{GgufValue, GgufWriter};
pub use hash::{files_sha256, hex, sha256_hex};
pub use safetensors::{NamedTensor, SafetensorsFile, write_safetensors};
pub use stream::{TensorRows, TensorSink, WeightsStream, take_all};
pub(crate) use tensor::check_shared;
pub use tensor::{Dtype, TensorSource, TensorView};
pub use tokenizer::{AddedTokenFiles, TextStream, Tokenizer};
pub use torch::TorchFile;
pub use weights::{ShardedWeights, parse_weights, shard_names};

/// Why a file could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file ends within a part.
    #[error("the {format} file is cut short: {what} needs {expected} bytes, {found} are there")]
    Truncated {
        /// Name of the file format.
        format: &'static str,
        /// The part of the file.
        what: String,
        /// Length of the part in bytes.
        expected: u64,
        /// Bytes left in the file.
        found: u64,
    },
    /// A part of the file violates the format or contradicts another part.
    #[error("the {format} file is not valid: {what} should be {expected}, found {found}")]
    Invalid {
        /// Name of the file format.
        format: &'static str,
        /// The part of the file.
        what: String,
        /// What the format requires.
        expected: String,
        /// What the file contains.
        found: String,
    },
    /// A line of a table of examples has not the columns of the first line that it needs.
    #[error("{}", columns_message(*line, *found, *expected, *delimiter))]
    Columns {
        /// The line, from 1.
        line: usize,
        /// Its columns.
        found: usize,
        /// The columns of the header; 2 where there is none.
        expected: usize,
        /// What stands between columns.
        delimiter: char,
    },
    /// The file is valid but uses an unsupported feature.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// Name of the feature or field.
        what: String,
        /// The reason, and what to do instead.
        reason: String,
    },
    /// A file or text asks for more memory or work than one of its length may take.
    #[error("the {format} asks for too much: {what} would take more than {limit} {unit}")]
    OverBudget {
        /// Name of the file format, or `text`.
        format: &'static str,
        /// The part that exceeds what is left.
        what: String,
        /// What the whole input may take.
        limit: usize,
        /// `bytes of memory` or `steps of work`.
        unit: &'static str,
    },
    /// A tensor contains a value that is not finite.
    #[error(
        "tensor {name} contains {value} at element {index}; every weight must be a finite number"
    )]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// Index of the first such element, in row-major order.
        index: usize,
        /// The value as text.
        value: String,
    },
}

/// Limit on the characters of a quotation in a message.
const MAX_EXCERPT_CHARS: usize = 120;

/// The message of [`FormatError::Columns`].
fn columns_message(line: usize, found: usize, expected: usize, delimiter: char) -> String {
    let (name, plural, protected) = match delimiter {
        '\t' => ("a tab", "tabs", "put it in quotes"),
        ';' => ("a semicolon", "semicolons", "put it in quotes"),
        '|' => ("a bar", "bars", "write them \\|"),
        _ => ("a comma", "commas", "put it in quotes"),
    };
    if found < 2 {
        return format!(
            "line {line} has {found} column; it needs 2: an input and an output, with {name} between"
        );
    }
    let needed =
        if expected == 2 { "it needs 2".into() } else { format!("the header has {expected}") };
    let mut text = format!(
        "line {line} has {found} columns; {needed}: if the input has {plural}, {protected}"
    );
    if line == 1 {
        text += "; if this is a header, call two of its columns input and output";
    }
    text
}

/// A file's bytes without a byte order mark.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Whether a character changes how a terminal or a page shows what stands around it: control characters, escape
/// sequences among them, and those that turn the direction of text.
pub(crate) fn is_control(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// Text from a file as a quotation for a message: shortened, without control characters.
pub(crate) fn excerpt(text: &str) -> String {
    let clean = |c: char| if is_control(c) { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(MAX_EXCERPT_CHARS).map(clean).collect();
    if text.chars().nth(MAX_EXCERPT_CHARS).is_some() {
        short.push('…');
    }
    short
}
