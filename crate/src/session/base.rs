//! Loading a base model: its weights are packed while their bytes arrive, so that no file of weights
//! has to fit in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SessionError;
use crate::formats::{
    AddedTokenFiles, DescribedStart, FormatError, GgufModel, GgufStart, Tokenizer, WeightsStream,
    files_sha256, sha256_hex,
};
use crate::model::{
    GenerationNote, LmHeadNote, Model, ModelBuilder, ModelConfig, ModelError, PACKED_LAYOUT,
    PackedCopy, PackedReader, PackedSource, Precision, Stack, UnusedTensors, generation_note,
    parse_config,
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

/// What of a base model's files is left out or replaced. Transformers loads such weights too, and warns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct BaseNotes {
    /// Tensors that the model does not have. Copies of the embedding are none of them.
    pub unused_tensors: UnusedTensors,
    /// How `lm_head` differs from what the configuration says; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub lm_head: Option<LmHeadNote>,
    /// Settings of decoding that are not applied; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub generation: Option<GenerationNote>,
}

impl BaseNotes {
    /// The notes, if there is anything to note.
    fn new(
        unused_tensors: UnusedTensors,
        lm_head: Option<LmHeadNote>,
        generation: Option<GenerationNote>,
    ) -> Option<Self> {
        let notes = Self { unused_tensors, lm_head, generation };
        (notes != Self::default()).then_some(notes)
    }
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
    /// SHA-256 over those of all files, the configuration and the tokenizer among them; empty where `sha256` is, or
    /// where the files were not read as such.
    pub files_sha256: String,
    /// What of the files is left out; absent where all of them are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub notes: Option<BaseNotes>,
}

/// A base model whose weights are arriving.
pub struct BaseLoad {
    label: BaseLabel,
    precision: Precision,
    /// Bytes of all files of weights so far.
    bytes: u64,
    state: State,
    /// SHA-256 of each of the small files, where there are any.
    small_files: Option<Vec<String>>,
    generation: Option<GenerationNote>,
    /// Length of a GGUF file alone, where it is known.
    file_bytes: Option<u64>,
    /// The header of a GGUF file alone, after its length: a packed copy begins with it.
    header: Vec<u8>,
}

enum State {
    /// The start of a GGUF file alone.
    Start(GgufStart),
    /// The start of a packed copy of a GGUF file alone.
    CopyStart(Vec<u8>),
    /// The configuration and the tokenizer are here.
    Weights(Box<Parts>),
}

struct Parts {
    tokenizer: Tokenizer,
    builder: ModelBuilder,
    /// The file that is arriving.
    stream: WeightsStream,
    /// The packed copy that is arriving in place of them.
    copy: PackedReader,
}

impl Parts {
    fn new(
        config: Arc<dyn ModelConfig>,
        tokenizer: Tokenizer,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        config.check_tokenizer(&tokenizer)?;
        let builder = ModelBuilder::new(config, precision);
        Ok(Self { tokenizer, builder, stream: WeightsStream::new(), copy: PackedReader::default() })
    }

    fn described_by(model: &GgufModel, precision: Precision) -> Result<Self, ModelError> {
        let tokenizer = Tokenizer::parse(&model.tokenizer)?;
        Self::new(parse_config(&model.config)?, tokenizer, precision)
    }
}

/// Bytes of the length before the header in a packed copy.
const LENGTH_BYTES: usize = size_of::<u64>();

/// The key of a packed copy of files of weights in a store. Each source is the SHA-256 of a file or
/// another unique name. Another layout or precision has another key.
pub fn packed_key(sources: &[String], precision: Precision) -> String {
    let made_from = format!("{precision:?} {}", sources.join(" "));
    format!("packed-{PACKED_LAYOUT}-{}", sha256_hex(made_from.as_bytes()))
}

impl BaseLoad {
    /// Reads the small files; `beside` are those beside the tokenizer's own, and `generation` is
    /// `generation_config.json`.
    ///
    /// # Errors
    /// [`SessionError::Base`] for a file that cannot be used, or two that contradict each other.
    pub fn new(
        label: BaseLabel,
        config: &[u8],
        tokenizer: &[u8],
        beside: AddedTokenFiles<'_>,
        generation: Option<&[u8]>,
        precision: Precision,
    ) -> Result<Self, SessionError> {
        let refused = |error| refused(&label, error);
        let AddedTokenFiles { added_tokens, special_tokens_map, tokenizer_config } = beside;
        let files = [Some(config), Some(tokenizer), added_tokens, tokenizer_config];
        let files = files.into_iter().chain([special_tokens_map]).flatten();
        let hashes = files.map(sha256_hex).collect();
        let json = config;
        let config = parse_config(json).map_err(refused)?;
        let generation = generation_note(&*config, json, generation).map_err(refused)?;
        let tokenizer = Tokenizer::parse_with(tokenizer, beside);
        let tokenizer = tokenizer.map_err(|error| refused(error.into()))?;
        let load = Self::from_parts(label, config, tokenizer, precision)?;
        Ok(Self { small_files: Some(hashes), ..load }.with_generation(generation))
    }

    /// Sets what is noted of the settings of decoding.
    pub fn with_generation(self, generation: Option<GenerationNote>) -> Self {
        Self { generation, ..self }
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
        let parts = Parts::new(config, tokenizer, precision);
        let parts = parts.map_err(|error| refused(&label, error))?;
        Ok(Self::in_state(State::Weights(Box::new(parts)), label, precision))
    }

    /// Starts a load of a GGUF file alone, whose metadata has the sizes and the tokenizer. Its packed
    /// copies begin with its header, and so are others than those of a load with the two small files.
    pub fn of_gguf(label: BaseLabel, precision: Precision) -> Self {
        let load = Self::in_state(State::Start(GgufStart::default()), label, precision);
        Self { small_files: Some(Vec::new()), ..load }
    }

    fn in_state(state: State, label: BaseLabel, precision: Precision) -> Self {
        let (small_files, generation, file_bytes, header) = Default::default();
        Self { label, precision, bytes: 0, state, small_files, generation, file_bytes, header }
    }

    /// Says how long the next file of weights is, where that is known: one that claims to be longer is refused
    /// before memory is taken for it.
    pub fn expect_file(&mut self, bytes: u64) {
        match &mut self.state {
            State::Weights(parts) => parts.stream.expect(bytes),
            State::Start(_) | State::CopyStart(_) => self.file_bytes = Some(bytes),
        }
    }

    /// Adds the next bytes of a file of weights.
    ///
    /// # Errors
    /// [`SessionError::Base`]; the load cannot be continued then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.bytes += bytes.len() as u64;
        let pushed = self.push_to_state(bytes);
        pushed.map_err(|error| self.refused(error))
    }

    fn push_to_state(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        match &mut self.state {
            State::Weights(parts) => parts.stream.push(bytes, &mut parts.builder),
            State::Start(start) => match start.push(bytes)? {
                None => Ok(()),
                Some(described) => self.describe(&described),
            },
            State::CopyStart(_) => self.parts().map(drop),
        }
    }

    /// Takes over the model that a GGUF file's start describes.
    fn describe(&mut self, start: &DescribedStart) -> Result<(), ModelError> {
        let mut parts = Parts::described_by(&start.model, self.precision)?;
        if let Some(bytes) = self.file_bytes {
            parts.stream.expect(bytes);
        }
        parts.stream.push(&start.bytes, &mut parts.builder)?;
        let header = &start.bytes[..start.header_bytes];
        self.header = [&(header.len() as u64).to_le_bytes()[..], header].concat();
        self.state = State::Weights(Box::new(parts));
        Ok(())
    }

    /// Ends a file of weights; another one may follow.
    ///
    /// # Errors
    /// [`SessionError::Base`] for a file that ends too early.
    pub fn end_file(&mut self) -> Result<(), SessionError> {
        let ended = self.end_stream();
        ended.map_err(|error| self.refused(error))
    }

    fn end_stream(&mut self) -> Result<(), ModelError> {
        if let State::Start(start) = &mut self.state {
            let start = std::mem::take(start).end()?;
            self.describe(&start)?;
        }
        let parts = self.parts()?;
        std::mem::take(&mut parts.stream).finish(&mut parts.builder)
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
        let header_bytes = self.header.len() as u64;
        if offset < header_bytes {
            let rest = &self.header[offset as usize..];
            return Ok(rest[..limit.min(rest.len())].to_vec());
        }
        let source = PackedSource { sha256: sha256.to_owned(), bytes: self.bytes };
        let piece = self.parts().and_then(|parts| {
            Ok(PackedCopy::new(&mut parts.builder, source)?.piece(offset - header_bytes, limit))
        });
        piece.map_err(|error| self.refused(error))
    }

    /// Adds the next bytes of a packed copy, in place of all files of weights.
    ///
    /// # Errors
    /// [`SessionError::Base`]; the load cannot be continued then.
    pub fn push_packed(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let pushed = self.push_copy(bytes);
        pushed.map_err(|error| self.refused(error))
    }

    fn push_copy(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        let mut held = match &mut self.state {
            State::Weights(parts) => return parts.copy.push(bytes, &mut parts.builder),
            State::Start(_) => Vec::new(),
            State::CopyStart(held) => std::mem::take(held),
        };
        held.extend_from_slice(bytes);
        let header = held.split_first_chunk::<LENGTH_BYTES>().map(|(length, rest)| {
            let length = u64::from_le_bytes(*length);
            (length, usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)))
        });
        match header {
            Some((length, _)) if length > GgufStart::MAX_BYTES as u64 => {
                Err(FormatError::Invalid {
                    format: "packed copy",
                    what: "the length of its GGUF header".into(),
                    expected: format!("at most {}", GgufStart::MAX_BYTES),
                    found: length.to_string(),
                }
                .into())
            }
            Some((_, Some((header, rest)))) => {
                let model = GgufModel::read(header)?;
                let mut parts = Parts::described_by(&model, self.precision)?;
                parts.copy.push(rest, &mut parts.builder)?;
                self.header = held[..LENGTH_BYTES + header.len()].to_vec();
                self.state = State::Weights(Box::new(parts));
                Ok(())
            }
            _ => {
                self.state = State::CopyStart(held);
                Ok(())
            }
        }
    }

    /// Ends a packed copy; returns the SHA-256 of the file that it was made from.
    ///
    /// # Errors
    /// [`SessionError::Base`] for a copy that ends too early.
    pub fn end_packed(&mut self) -> Result<String, SessionError> {
        let source = self.parts().and_then(|parts| std::mem::take(&mut parts.copy).finish());
        let PackedSource { sha256, bytes } = source.map_err(|error| self.refused(error))?;
        self.bytes = bytes;
        Ok(sha256)
    }

    /// What is being built.
    fn parts(&mut self) -> Result<&mut Parts, ModelError> {
        match &mut self.state {
            State::Weights(parts) => Ok(parts),
            _ => Err(without_header(self.bytes).into()),
        }
    }

    /// Builds the model.
    pub(super) fn finish(
        self,
        sha256: String,
    ) -> Result<(BaseInfo, Tokenizer, Arc<dyn Model>), SessionError> {
        let BaseLoad { label, precision, bytes, state, small_files, generation, .. } = self;
        let State::Weights(parts) = state else {
            return Err(refused(&label, without_header(bytes).into()));
        };
        let Parts { tokenizer, mut builder, .. } = *parts;
        let unused = builder.unused().clone();
        let completed = builder.complete().map(|()| builder.has_lm_head());
        let has_lm_head = completed.map_err(|error| refused(&label, error))?;
        let model = builder.finish().map_err(|error| refused(&label, error))?;
        let config = model.config();
        let notes = BaseNotes::new(unused, config.lm_head_note(has_lm_head), generation);
        let hashes = small_files.map(|hashes| [hashes, vec![sha256.clone()]].concat());
        let info = BaseInfo {
            files_sha256: hashes.map(|hashes| files_sha256(&hashes)).unwrap_or_default(),
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
            notes,
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

/// A GGUF file alone, or its packed copy, of which the header has not arrived.
fn without_header(found: u64) -> FormatError {
    let what = "the header".into();
    FormatError::Truncated { format: "GGUF", what, expected: found + 1, found }
}
