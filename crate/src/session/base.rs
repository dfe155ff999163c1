//! Loading a base model: its weights are packed while their bytes arrive, so that no file of weights
//! has to fit in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SessionError;
use crate::formats::{AddedTokenFiles, Tokenizer, WeightsStream, sha256_hex};
use crate::model::{
    Model, ModelBuilder, ModelConfig, ModelError, PACKED_LAYOUT, PackedCopy, PackedReader,
    PackedSource, Precision, Stack, parse_config,
};

/// The name and license of a base, from its registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseLabel {
    /// Id in the registry.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// License of the weights.
    pub license: String,
}

/// The files of a base model.
#[derive(Debug, Clone)]
pub struct BaseBytes<'a> {
    /// `config.json`.
    pub config: &'a [u8],
    /// `tokenizer.json`, `spiece.model`, or the configuration that names ByT5's.
    pub tokenizer: &'a [u8],
    /// Safetensors, GGUF, or a PyTorch file: the content decides.
    pub weights: &'a [u8],
}

/// A base model that is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct BaseInfo {
    /// Its id in the registry.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// License of the weights.
    pub license: String,
    /// Number of parameters, embeddings included.
    pub parameters: f64,
    /// Bytes of the file of weights.
    pub bytes: f64,
    /// Precision of the products.
    pub precision: Precision,
    /// Size of the vocabulary.
    pub vocab_size: u32,
    /// Width of the hidden states.
    pub d_model: u32,
    /// Blocks of the encoder and the decoder together.
    pub layers: u32,
    /// Bytes of memory that the packed weights take.
    pub memory_bytes: f64,
    /// SHA-256 of the file of weights; of the first one where there are several, and empty for local
    /// files.
    pub sha256: String,
}

/// A base model whose weights are arriving.
pub struct BaseLoad {
    label: BaseLabel,
    tokenizer: Tokenizer,
    precision: Precision,
    builder: ModelBuilder,
    /// The file that is arriving.
    stream: WeightsStream,
    /// Bytes of all files of weights so far.
    bytes: u64,
    /// The packed copy that is arriving in place of them.
    copy: PackedReader,
}

/// The key of a packed copy of files of weights in a store. Each source is the SHA-256 of a file or
/// another unique name. Another layout or precision has another key.
pub fn packed_key(sources: &[String], precision: Precision) -> String {
    let made_from = format!("{precision:?} {}", sources.join(" "));
    format!("packed-{PACKED_LAYOUT}-{}", sha256_hex(made_from.as_bytes()))
}

impl BaseLoad {
    /// Reads the small files; `beside` are those beside the tokenizer's own.
    ///
    /// # Errors
    /// [`SessionError::Base`] for a file that cannot be used, or two that contradict each other.
    pub fn new(
        label: BaseLabel,
        config: &[u8],
        tokenizer: &[u8],
        beside: AddedTokenFiles<'_>,
        precision: Precision,
    ) -> Result<Self, SessionError> {
        let refused = |error| refused(&label, error);
        let config = parse_config(config).map_err(refused)?;
        let tokenizer = Tokenizer::parse_with(tokenizer, beside);
        let tokenizer = tokenizer.map_err(|error| refused(error.into()))?;
        Self::from_parts(label, config, tokenizer, precision)
    }

    /// Starts a load with the two small files read.
    ///
    /// # Errors
    /// [`SessionError::Base`] if they contradict each other.
    pub fn from_parts(
        label: BaseLabel,
        config: Arc<dyn ModelConfig>,
        tokenizer: Tokenizer,
        precision: Precision,
    ) -> Result<Self, SessionError> {
        config.check_tokenizer(&tokenizer).map_err(|error| refused(&label, error))?;
        let builder = ModelBuilder::new(config, precision);
        let (stream, copy) = (WeightsStream::new(), PackedReader::default());
        Ok(Self { label, tokenizer, precision, builder, stream, bytes: 0, copy })
    }

    /// Adds the next bytes of a file of weights.
    ///
    /// # Errors
    /// [`SessionError::Base`]; the load cannot be continued then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.bytes += bytes.len() as u64;
        let taken = self.stream.push(bytes, &mut self.builder);
        taken.map_err(|error| self.refused(error))
    }

    /// Ends a file of weights; another one may follow.
    ///
    /// # Errors
    /// [`SessionError::Base`] for a file that ends too early.
    pub fn end_file(&mut self) -> Result<(), SessionError> {
        let ended = std::mem::take(&mut self.stream).finish(&mut self.builder);
        ended.map_err(|error| self.refused(error))
    }

    /// At most `limit` bytes, from `offset`, of a packed copy of the model, whose weights have all been
    /// pushed; empty at its end.
    ///
    /// # Errors
    /// [`SessionError::Base`] naming a tensor that is missing.
    pub fn packed_piece(
        &mut self,
        sha256: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<u8>, SessionError> {
        let source = PackedSource { sha256: sha256.to_owned(), bytes: self.bytes };
        let copy = PackedCopy::new(&mut self.builder, source);
        let copy = copy.map_err(|error| refused(&self.label, error))?;
        Ok(copy.piece(offset, limit))
    }

    /// Adds the next bytes of a packed copy, in place of all files of weights.
    ///
    /// # Errors
    /// [`SessionError::Base`]; the load cannot be continued then.
    pub fn push_packed(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let pushed = self.copy.push(bytes, &mut self.builder);
        pushed.map_err(|error| self.refused(error))
    }

    /// Ends a packed copy; returns the SHA-256 of the file that it was made from.
    ///
    /// # Errors
    /// [`SessionError::Base`] for a copy that ends too early.
    pub fn end_packed(&mut self) -> Result<String, SessionError> {
        let source = std::mem::take(&mut self.copy).finish();
        let PackedSource { sha256, bytes } = source.map_err(|error| self.refused(error))?;
        self.bytes = bytes;
        Ok(sha256)
    }

    /// Builds the model.
    pub(super) fn finish(
        self,
        sha256: String,
    ) -> Result<(BaseInfo, Tokenizer, Arc<dyn Model>), SessionError> {
        let BaseLoad { label, tokenizer, precision, builder, bytes, .. } = self;
        let model = builder.finish().map_err(|error| refused(&label, error))?;
        let config = model.config();
        let info = BaseInfo {
            id: label.id,
            title: label.title,
            license: label.license,
            parameters: config.parameters() as f64,
            bytes: bytes as f64,
            precision,
            vocab_size: config.vocab_size() as u32,
            d_model: config.d_model() as u32,
            layers: (config.blocks(Stack::Encoder) + config.blocks(Stack::Decoder)) as u32,
            memory_bytes: model.bytes() as f64,
            sha256,
        };
        Ok((info, tokenizer, model))
    }

    fn refused(&self, error: impl Into<ModelError>) -> SessionError {
        refused(&self.label, error.into())
    }
}

fn refused(label: &BaseLabel, source: ModelError) -> SessionError {
    SessionError::Base { title: label.title.clone(), source }
}
