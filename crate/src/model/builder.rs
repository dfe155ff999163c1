//! A model built tensor by tensor, in any order. Each tensor is packed row by row as it arrives, so
//! that weights can be read from a file that is still being downloaded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::linear::{Embedding, Linear};
use super::{Model, ModelConfig, ModelError, Precision, Stack};
use crate::formats::{TensorRows, TensorSink, excerpt};

/// What `torch.compile`, `DataParallel`, Lightning and PEFT put before the names of a model's tensors.
const WRAPPER_PREFIXES: [&str; 4] = ["_orig_mod.", "module.", "model.", "base_model.model."];
/// What transformers' classifiers put before the names of the T5 inside them.
const CLASSIFIER_PREFIX: &str = "transformer.";
/// What stands in the names of a linear layer that PEFT has wrapped.
const PEFT_LAYER: &str = ".base_layer.";

/// End of the name of a block's position bias, which all blocks but the first have in UMT5 alone.
const RELATIVE_ATTENTION_BIAS: &str = ".SelfAttention.relative_attention_bias.weight";

/// How a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorKind {
    /// A linear layer `[d_out, d_in]`, packed for the precision.
    Linear,
    /// The embedding `[vocab_size, d_model]`. Where the configuration says that it is `lm_head` too it
    /// is packed as that; the weights decide.
    Embedding {
        /// What the configuration says.
        tied: bool,
    },
    /// `lm_head`, packed for the precision. Without it, it is the embedding.
    LmHead,
    /// Values in f32.
    Vector,
}

/// Kind and shape of every tensor of a model, by its name.
pub type TensorSpecs = BTreeMap<String, (TensorKind, Vec<usize>)>;

/// A tensor, or its first rows.
#[derive(Debug)]
enum Tensor {
    Linear(Linear),
    Embedding(Embedding),
    Vector(Vec<f32>),
}

impl Tensor {
    fn zeros(kind: TensorKind, shape: &[usize], precision: Precision) -> Self {
        let elements = shape.iter().product();
        match (kind, shape) {
            (TensorKind::Embedding { tied: false }, _) => {
                Tensor::Embedding(Embedding::zeros(elements, precision))
            }
            (
                TensorKind::Linear | TensorKind::LmHead | TensorKind::Embedding { .. },
                &[d_out, d_in],
            ) => Tensor::Linear(Linear::zeros([d_out, d_in], precision)),
            _ => Tensor::Vector(vec![0.0; elements]),
        }
    }

    fn set_rows(&mut self, rows: &TensorRows<'_>) {
        let (first, width) = (rows.first, rows.width());
        match self {
            Tensor::Linear(linear) => linear.set_rows(first, rows.values),
            Tensor::Embedding(embedding) => embedding.set_rows(first, width, rows.values),
            Tensor::Vector(vector) => {
                vector[first * width..][..rows.values.len()].copy_from_slice(rows.values);
            }
        }
    }
}

/// The tensors of a model, each to be taken once.
#[derive(Debug)]
pub struct Tensors {
    pub(super) precision: Precision,
    embedding: Option<Embedding>,
    linears: BTreeMap<String, Linear>,
    vectors: BTreeMap<String, Vec<f32>>,
}

impl Tensors {
    fn keep(&mut self, name: &str, tensor: Tensor) {
        match tensor {
            Tensor::Linear(linear) => drop(self.linears.insert(name.to_owned(), linear)),
            Tensor::Embedding(embedding) => self.embedding = Some(embedding),
            Tensor::Vector(vector) => drop(self.vectors.insert(name.to_owned(), vector)),
        }
    }

    /// The embedding, if it is not tied to `lm_head`.
    pub(super) fn embedding(&mut self) -> Option<Embedding> {
        self.embedding.take()
    }

    /// # Errors
    /// [`ModelError::MissingTensor`].
    pub(super) fn linear(&mut self, name: &str) -> Result<Linear, ModelError> {
        self.linears.remove(name).ok_or_else(|| missing(name))
    }

    /// # Errors
    /// [`ModelError::MissingTensor`].
    pub(super) fn vector(&mut self, name: &str) -> Result<Vec<f32>, ModelError> {
        self.vectors.remove(name).ok_or_else(|| missing(name))
    }
}

/// Checks that so many bytes can be allocated: a failed allocation would end the program without naming its size.
///
/// # Errors
/// [`ModelError::OutOfMemory`].
fn check_memory(bytes: usize) -> Result<(), ModelError> {
    let mut memory: Vec<u8> = Vec::new();
    memory.try_reserve_exact(bytes).map_err(|_| ModelError::OutOfMemory { bytes })
}

fn missing(name: &str) -> ModelError {
    ModelError::MissingTensor { name: name.to_owned(), found: None }
}

/// Tensors of the weights that the model does not have, as in transformers' warning "Some weights of the
/// model checkpoint were not used".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct UnusedTensors {
    /// Their number.
    pub count: u32,
    /// The names of the first, at most [`UnusedTensors::MAX_NAMES`].
    pub names: Vec<String>,
}

impl UnusedTensors {
    /// Limit on the names.
    pub const MAX_NAMES: usize = 8;

    fn add(&mut self, name: &str) {
        self.count = self.count.saturating_add(1);
        if self.names.len() < Self::MAX_NAMES {
            self.names.push(excerpt(name));
        }
    }
}

/// How the `lm_head` that is used differs from what the configuration says, or from what some versions of
/// transformers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum LmHeadNote {
    /// `tie_word_embeddings` is false, but the weights contain no `lm_head`: the embedding is used, where
    /// transformers starts with random values.
    Missing,
    /// `tie_word_embeddings` is true, but the weights contain another `lm_head`: it is used, as
    /// transformers 5 does, where transformers 4 uses the embedding.
    Differs,
    /// `tie_word_embeddings` is null: it is read as true, as transformers 5 does, where transformers 4
    /// reads it as false and does not scale the decoder's output.
    Undeclared,
}

/// A model under construction.
#[derive(Debug)]
pub struct ModelBuilder {
    config: Arc<dyn ModelConfig>,
    specs: TensorSpecs,
    /// The tensor whose rows are arriving.
    arriving: Option<Tensor>,
    /// Hash of the values of the embedding, or of its copy, that is arriving.
    arriving_hash: u64,
    /// Name and hash of the embedding that arrived first.
    embedding: Option<(String, u64)>,
    tensors: Tensors,
    unused: UnusedTensors,
    /// Whether the weights contain `lm_head`, be it equal to the embedding.
    has_lm_head: bool,
}

impl ModelBuilder {
    /// A builder without any tensor.
    pub fn new(config: Arc<dyn ModelConfig>, precision: Precision) -> Self {
        let (embedding, linears, vectors) = Default::default();
        let specs = config.tensors();
        let tensors = Tensors { precision, embedding, linears, vectors };
        let (arriving_hash, embedding, unused) = Default::default();
        let (arriving, has_lm_head) = (None, false);
        Self { config, specs, arriving, arriving_hash, embedding, tensors, unused, has_lm_head }
    }

    /// What the weights are packed for.
    pub fn precision(&self) -> Precision {
        self.tensors.precision
    }

    /// The model's sizes.
    pub fn config(&self) -> &dyn ModelConfig {
        &*self.config
    }

    /// The tensors that have been passed over, as the model has none of their names. Copies of the
    /// embedding are none of them.
    pub fn unused(&self) -> &UnusedTensors {
        &self.unused
    }

    /// Whether the weights contain `lm_head`, be it equal to the embedding.
    pub fn has_lm_head(&self) -> bool {
        self.has_lm_head
    }

    /// Every tensor's name and shape; that of `lm_head` only where it is not the embedding.
    pub(super) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let is_there = |name: &str, kind: TensorKind| kind != TensorKind::LmHead || self.has(name);
        let tensors = self.specs.iter().filter(move |(name, spec)| is_there(name, spec.0));
        tensors.map(|(name, (_, shape))| (name.as_str(), shape.as_slice()))
    }

    /// The bytes of the tensors in memory, in an order that is the same for every model of the
    /// configuration.
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        let Tensors { embedding, linears, vectors, .. } = &self.tensors;
        let embedding = embedding.iter().map(Embedding::part);
        let linears = linears.values().flat_map(Linear::parts);
        let vectors = vectors.values().map(|vector| bytemuck::cast_slice(vector));
        embedding.chain(linears).chain(vectors).collect()
    }

    /// [`ModelBuilder::parts`], to be written.
    pub(super) fn parts_mut(&mut self) -> Vec<&mut [u8]> {
        let Tensors { embedding, linears, vectors, .. } = &mut self.tensors;
        let embedding = embedding.iter_mut().map(Embedding::part_mut);
        let linears = linears.values_mut().flat_map(Linear::parts_mut);
        let vectors = vectors.values_mut().map(|vector| bytemuck::cast_slice_mut(vector));
        embedding.chain(linears).chain(vectors).collect()
    }

    /// Sets every tensor to zeros, as in a model of these tensors, and what is known of its weights.
    pub(super) fn fill_with_zeros(
        &mut self,
        found: &BTreeMap<String, Vec<usize>>,
        unused: UnusedTensors,
        has_lm_head: bool,
    ) {
        (self.unused, self.has_lm_head) = (unused, has_lm_head);
        let is_head =
            |name: &String| self.specs.get(name).is_some_and(|s| s.0 == TensorKind::LmHead);
        let tied = !found.keys().any(is_head);
        for (name, (kind, shape)) in &self.specs {
            let kind = match kind {
                TensorKind::LmHead if tied => continue,
                TensorKind::Embedding { .. } => TensorKind::Embedding { tied },
                kind => *kind,
            };
            self.tensors.keep(name, Tensor::zeros(kind, shape, self.tensors.precision));
        }
    }

    /// A tensor of zeros, for a canonical name.
    ///
    /// # Errors
    /// [`ModelError::OutOfMemory`].
    fn zeros(&self, key: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let kind = self.specs[key].0;
        let value_bytes = match kind {
            TensorKind::Vector => size_of::<f32>(),
            TensorKind::Embedding { tied: false } => self.precision().embedding_bytes(),
            _ => self.precision().weight_bytes(),
        };
        let bytes = shape.iter().try_fold(value_bytes, |bytes, &size| bytes.checked_mul(size));
        check_memory(bytes.unwrap_or(usize::MAX))?;
        Ok(Tensor::zeros(kind, shape, self.precision()))
    }

    /// Whether the canonical name is that of the embedding.
    fn is_embedding(&self, name: &str) -> bool {
        matches!(self.specs[name].0, TensorKind::Embedding { .. })
    }

    /// Compares a copy of the embedding with the one that arrived first.
    ///
    /// # Errors
    /// [`ModelError::DifferentEmbeddings`] once the last rows have arrived.
    fn compare_embedding(&self, rows: &TensorRows<'_>) -> Result<(), ModelError> {
        match &self.embedding {
            Some((first, hash)) if rows.is_last() && *hash != self.arriving_hash => {
                Err(ModelError::DifferentEmbeddings {
                    first: excerpt(first),
                    name: excerpt(rows.name),
                })
            }
            _ => Ok(()),
        }
    }

    /// Names of the tensors that have not arrived.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        let needed = self.specs.iter().filter(|(_, spec)| spec.0 != TensorKind::LmHead);
        needed.map(|(name, _)| name.as_str()).filter(|name| !self.has(name))
    }

    /// Whether the tensor of this canonical name has arrived.
    fn has(&self, name: &str) -> bool {
        let Tensors { embedding, linears, vectors, .. } = &self.tensors;
        linears.contains_key(name)
            || vectors.contains_key(name)
            || (embedding.is_some() && self.is_embedding(name))
    }

    /// Checks that every tensor has arrived, and decides what `lm_head` is: the tensor of that name, or
    /// the embedding where the weights have none, or where the two are equal, as PyTorch's files of
    /// tied models contain both.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`], or [`ModelError::Config`] where whole blocks are missing.
    pub(crate) fn complete(&mut self) -> Result<(), ModelError> {
        if let Some(name) = self.missing().next() {
            return Err(self.missing_tensor(name));
        }
        let named =
            |is_it: fn(TensorKind) -> bool| self.specs.iter().find(|(_, spec)| is_it(spec.0));
        let embedding = named(|kind| matches!(kind, TensorKind::Embedding { .. }));
        let lm_head = named(|kind| kind == TensorKind::LmHead);
        let (Some((embedding, (_, shape))), Some((lm_head, _))) = (embedding, lm_head) else {
            return Ok(());
        };
        let (embedding, lm_head) = (embedding.clone(), lm_head.clone());
        let [vocab_size, d_model] = [shape[0], shape[1]];
        let Tensors { precision, embedding: table, linears, .. } = &mut self.tensors;
        self.has_lm_head |= linears.contains_key(&lm_head);
        let mut row = vec![0.0; d_model];
        match (linears.get(&lm_head), linears.get(&embedding)) {
            (Some(head), Some(packed)) if head.parts() == packed.parts() => {
                linears.remove(&lm_head);
            }
            (Some(_), Some(packed)) => {
                let mut rows = Embedding::zeros(vocab_size * d_model, *precision);
                for token in 0..vocab_size {
                    packed.read_row(token, &mut row);
                    rows.set_rows(token, d_model, &row);
                }
                *table = Some(rows);
                linears.remove(&embedding);
            }
            (None, None) => {
                let Some(rows) = table.take() else { return Ok(()) };
                let mut head = Linear::zeros([vocab_size, d_model], *precision);
                for token in 0..vocab_size {
                    rows.read_row(&head, token, &mut row);
                    head.set_rows(token, &row);
                }
                linears.insert(embedding, head);
            }
            _ => {}
        }
        Ok(())
    }

    /// Rejects a tensor that a wrapper of the model has renamed, or of a block that the configuration
    /// does not have, and a position bias that it does not have: the losses would be others.
    fn check_unexpected(&self, name: &str) -> Result<(), ModelError> {
        let is_ours = |inner: &str| self.specs.contains_key(self.config.canonical_name(inner));
        let (mut inner, mut outermost) = (name, None);
        while let Some((prefix, rest)) =
            WRAPPER_PREFIXES.iter().find_map(|prefix| Some((*prefix, inner.strip_prefix(prefix)?)))
        {
            (inner, outermost) = (rest, outermost.or(Some(prefix)));
            if is_ours(inner)
                && let Some(prefix) = outermost
            {
                return Err(ModelError::WrappedTensor { name: excerpt(name), prefix });
            }
        }
        if inner.contains(PEFT_LAYER) && is_ours(&inner.replace(PEFT_LAYER, ".")) {
            return Err(ModelError::UnmergedAdapter { name: excerpt(name) });
        }
        if name.strip_prefix(CLASSIFIER_PREFIX).is_some_and(is_ours) {
            return Err(ModelError::Classifier { name: excerpt(name) });
        }
        let Some((stack, block)) = block_of(name) else { return Ok(()) };
        let found = self.config.blocks(stack);
        if block < found && name.ends_with(RELATIVE_ATTENTION_BIAS) {
            return Err(ModelError::Config {
                field: "model_type".into(),
                expected: format!("\"umt5\", as the weights contain {}", excerpt(name)),
                found: "one whose blocks share the bias of the first".into(),
            });
        }
        if block < found {
            return Ok(());
        }
        let expected = format!("at least {}, as the weights contain {}", block + 1, excerpt(name));
        Err(blocks_error(stack, expected, found))
    }

    /// The error for a missing tensor: by the number of blocks where its whole block is missing.
    fn missing_tensor(&self, name: &str) -> ModelError {
        let missing = |name: &str| {
            let found = self.unused.names.first().cloned();
            ModelError::MissingTensor { name: name.to_owned(), found }
        };
        let Some((stack, block)) = block_of(name) else { return missing(name) };
        let blocks = self.tensors.linears.keys().filter_map(|name| block_of(name));
        let present: BTreeSet<usize> =
            blocks.filter(|of| of.0 == stack).map(|(_, block)| block).collect();
        if present.is_empty() || present.contains(&block) {
            return missing(name);
        }
        let expected = format!("{}, the number of blocks in the weights", present.len());
        blocks_error(stack, expected, self.config.blocks(stack))
    }

    /// Builds the model.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`] if a tensor did not arrive, [`ModelError::Config`] if whole blocks
    /// did not.
    pub fn finish(self) -> Result<Arc<dyn Model>, ModelError> {
        self.config.clone().build(self.finish_tensors()?)
    }

    /// # Errors
    /// As [`ModelBuilder::finish`].
    pub(super) fn finish_tensors(mut self) -> Result<Tensors, ModelError> {
        self.complete()?;
        Ok(self.tensors)
    }
}

/// Start of [`hash`].
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over the bits of values, after those of an earlier part.
fn hash(before: u64, values: &[f32]) -> u64 {
    let step =
        |hash: u64, value: &f32| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
    values.iter().fold(before, step)
}

/// The stack and block in a tensor's name.
fn block_of(name: &str) -> Option<(Stack, usize)> {
    [Stack::Encoder, Stack::Decoder].into_iter().find_map(|stack| {
        let rest = name.strip_prefix(&format!("{stack}.block."))?;
        Some((stack, rest.split_once('.')?.0.parse().ok()?))
    })
}

fn blocks_error(stack: Stack, expected: String, found: usize) -> ModelError {
    let field = match stack {
        Stack::Encoder => "num_layers",
        Stack::Decoder => "num_decoder_layers",
    };
    ModelError::Config { field: field.into(), expected, found: found.to_string() }
}

impl TensorSink for ModelBuilder {
    type Error = ModelError;

    /// Skips tensors of other names, which it counts, and those that have already arrived, but for copies of
    /// the embedding, which are compared.
    fn wants(&mut self, name: &str, shape: &[usize]) -> Result<bool, ModelError> {
        let key = self.config.canonical_name(name);
        let Some((_, expected)) = self.specs.get(key) else {
            self.check_unexpected(name)?;
            if !self.config.is_ignored(name) {
                self.unused.add(name);
            }
            return Ok(false);
        };
        if shape != expected {
            return Err(ModelError::TensorShape {
                name: name.to_owned(),
                expected: expected.clone(),
                found: shape.to_vec(),
            });
        }
        Ok(!self.has(key) || self.is_embedding(key))
    }

    fn take(&mut self, rows: TensorRows<'_>) -> Result<(), ModelError> {
        if !self.wants(rows.name, rows.shape)? {
            return Ok(());
        }
        let key = self.config.canonical_name(rows.name);
        if self.is_embedding(key) {
            let before = if rows.first == 0 { HASH_START } else { self.arriving_hash };
            self.arriving_hash = hash(before, rows.values);
        }
        if self.has(key) {
            return self.compare_embedding(&rows);
        }
        let begun = self.arriving.take().filter(|_| rows.first > 0);
        let mut tensor = match begun {
            Some(begun) => begun,
            None => self.zeros(key, rows.shape)?,
        };
        tensor.set_rows(&rows);
        if rows.is_last() {
            if self.is_embedding(key) {
                self.embedding = Some((rows.name.to_owned(), self.arriving_hash));
            }
            self.tensors.keep(key, tensor);
        } else {
            self.arriving = Some(tensor);
        }
        Ok(())
    }
}
