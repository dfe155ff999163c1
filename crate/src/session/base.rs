//! A base model that is being loaded: its weights are packed while their bytes arrive, so that no file
//! of weights has to fit in memory.

use super::report::report;
use super::{Base, BaseLabel};
use crate::formats::sha256_hex;
use crate::formats::{Tokenizer, WeightsStream};
use crate::model::t5::{
    ModelBuilder, ModelError, PACKED_LAYOUT, PackedCopy, PackedReader, PackedSource, Precision,
    T5Config,
};
use crate::protocol::{BaseInfo, ErrorReport};

/// A base model of which some bytes have arrived.
pub struct BaseLoad {
    label: BaseLabel,
    tokenizer: Tokenizer,
    precision: Precision,
    builder: ModelBuilder,
    /// The file that arrives.
    stream: WeightsStream,
    /// Bytes of all files of weights so far.
    bytes: u64,
    /// The packed copy that arrives in place of them.
    copy: PackedReader,
}

/// What a packed copy of files of weights is kept under; each of them is named by its SHA-256 or, if
/// that is not known, by another name that is its own. Another layout or precision is another key.
pub fn packed_key(sources: &[String], precision: Precision) -> String {
    let made_from = format!("{precision:?} {}", sources.join(" "));
    format!("packed-{PACKED_LAYOUT}-{}", sha256_hex(made_from.as_bytes()))
}

impl BaseLoad {
    /// Reads the two small files.
    ///
    /// # Errors
    /// A report naming the file and what is wrong with it, or how the two contradict each other.
    pub fn new(
        label: BaseLabel,
        config: &[u8],
        tokenizer: &[u8],
        precision: Precision,
    ) -> Result<Self, ErrorReport> {
        let refused = |why: String| refused(&label, why);
        let config = T5Config::parse(config).map_err(|error| refused(error.to_string()))?;
        let tokenizer = Tokenizer::parse(tokenizer).map_err(|error| refused(error.to_string()))?;
        config.check_tokenizer(&tokenizer).map_err(|error| refused(error.to_string()))?;
        let builder = ModelBuilder::new(config, precision);
        let (stream, copy) = (WeightsStream::new(), PackedReader::default());
        Ok(Self { label, tokenizer, precision, builder, stream, bytes: 0, copy })
    }

    /// Takes the next bytes of a file of weights.
    ///
    /// # Errors
    /// A report naming what is wrong with the file; the load cannot go on then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ErrorReport> {
        self.bytes += bytes.len() as u64;
        let taken = self.stream.push(bytes, &mut self.builder);
        taken.map_err(|error| self.refused(&error))
    }

    /// Ends a file of weights; another one may follow.
    ///
    /// # Errors
    /// A report if the file should be longer.
    pub fn end_file(&mut self) -> Result<(), ErrorReport> {
        let ended = std::mem::take(&mut self.stream).finish(&mut self.builder);
        ended.map_err(|error| self.refused(&error))
    }

    /// At most `most` bytes, from `offset` on, of a packed copy of the model, of which all weights
    /// have arrived; none behind its end.
    ///
    /// # Errors
    /// A report naming a tensor that is missing.
    pub fn packed_piece(
        &self,
        sha256: &str,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, ErrorReport> {
        let source = PackedSource { sha256: sha256.to_owned(), bytes: self.bytes };
        let copy = PackedCopy::new(&self.builder, source).map_err(|error| self.refused(&error))?;
        Ok(copy.piece(offset, most))
    }

    /// Takes the next bytes of a packed copy, in place of all files of weights.
    ///
    /// # Errors
    /// A report naming what is wrong with the copy; the load cannot go on then.
    pub fn push_packed(&mut self, bytes: &[u8]) -> Result<(), ErrorReport> {
        self.copy
            .push(bytes, &mut self.builder)
            .map_err(|error| refused(&self.label, error.to_string()))
    }

    /// Ends a packed copy. Answers with the SHA-256 of the file that it was made from.
    ///
    /// # Errors
    /// A report if the copy should be longer.
    pub fn end_packed(&mut self) -> Result<String, ErrorReport> {
        let source = std::mem::take(&mut self.copy).finish();
        let PackedSource { sha256, bytes } = source.map_err(|error| self.refused(&error))?;
        self.bytes = bytes;
        Ok(sha256)
    }

    /// Puts the model together.
    pub(super) fn finish(self, sha256: String) -> Result<(BaseInfo, Base), ErrorReport> {
        let BaseLoad { label, tokenizer, precision, builder, bytes, .. } = self;
        let model = builder.finish().map_err(|error| refused(&label, error.to_string()))?;
        let config = model.config();
        let info = BaseInfo {
            id: label.id,
            title: label.title,
            license: label.license,
            parameters: config.parameters() as f64,
            bytes: bytes as f64,
            precision,
            vocab_size: config.vocab_size as u32,
            d_model: config.d_model as u32,
            layers: (config.num_layers + config.num_decoder_layers) as u32,
            memory_bytes: model.bytes() as f64,
            sha256,
        };
        Ok((info, Base { tokenizer, model }))
    }

    fn refused(&self, error: &ModelError) -> ErrorReport {
        refused(&self.label, error.to_string())
    }
}

fn refused(label: &BaseLabel, why: String) -> ErrorReport {
    let what = format!("The base model “{}” could not be loaded.", label.title);
    report(&what, why, "Try again; if it happens again, tell whoever hosts the model.")
}
