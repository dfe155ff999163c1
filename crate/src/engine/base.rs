//! A base model that is being loaded: its weights are packed while their bytes arrive, so that no file
//! of weights has to fit in memory.

use super::report::report;
use super::{Base, BaseLabel};
use crate::formats::{Tokenizer, WeightsStream};
use crate::protocol::{BaseInfo, ErrorReport};
use crate::t5::{ModelBuilder, ModelError, Precision, T5Config};

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
        let stream = WeightsStream::new();
        Ok(Self { label, tokenizer, precision, builder, stream, bytes: 0 })
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

    /// Puts the model together.
    pub(super) fn finish(self, sha256: String) -> Result<(BaseInfo, Base), ErrorReport> {
        let BaseLoad { label, tokenizer, precision, builder, bytes, .. } = self;
        let model = builder.finish().map_err(|error| refused(&label, error.to_string()))?;
        let config = model.config();
        let info = BaseInfo {
            id: label.id,
            title: label.title,
            licence: label.licence,
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
