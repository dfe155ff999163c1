//! A model put together tensor by tensor, in any order, each packed row by row as it comes: so that
//! weights can be read from a file that is still arriving.

use std::collections::BTreeMap;

use super::blocks::Block;
use super::linear::{Embedding, Linear};
use super::model::StackWeights;
use super::{FeedForward, ModelError, Precision, T5Config, T5Model};
use crate::formats::{TensorRows, TensorSink};
use crate::model::{LinearId, LinearKind, Stack};

/// Hugging Face's names of the shared embedding; some exports keep only one of them.
const EMBEDDING: [&str; 2] = ["shared.weight", "encoder.embed_tokens.weight"];
const LM_HEAD: &str = "lm_head.weight";

/// How a tensor is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A linear layer, packed.
    Linear,
    /// The embedding of a model whose `lm_head` is not tied to it.
    Embedding,
    /// Plain values.
    Vector,
}

/// A tensor, or its first rows.
#[derive(Debug)]
enum Tensor {
    Linear(Linear),
    Embedding(Embedding),
    Vector(Vec<f32>),
}

impl Tensor {
    /// A tensor whose values are to come.
    fn zeros(kind: Kind, shape: &[usize], precision: Precision) -> Self {
        let elements = shape.iter().product();
        match (kind, shape) {
            (Kind::Linear, &[d_out, d_in]) => {
                Tensor::Linear(Linear::zeros([d_out, d_in], precision))
            }
            (Kind::Embedding, _) => Tensor::Embedding(Embedding::zeros(elements, precision)),
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

/// The tensors of a model that are there so far.
#[derive(Debug)]
pub struct ModelBuilder {
    config: T5Config,
    precision: Precision,
    /// What the configuration asks for, under the first of its names.
    expected: BTreeMap<String, (Kind, Vec<usize>)>,
    /// The tensor whose rows are coming.
    arriving: Option<Tensor>,
    embedding: Option<Embedding>,
    linears: BTreeMap<String, Linear>,
    vectors: BTreeMap<String, Vec<f32>>,
}

pub(super) fn stack_name(stack: Stack) -> &'static str {
    match stack {
        Stack::Encoder => "encoder",
        Stack::Decoder => "decoder",
    }
}

pub(super) fn norm_name(stack: Stack, block: usize, layer: usize) -> String {
    format!("{}.block.{block}.layer.{layer}.layer_norm.weight", stack_name(stack))
}

fn bias_name(stack: Stack) -> String {
    let stack = stack_name(stack);
    format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
}

fn final_norm_name(stack: Stack) -> String {
    format!("{}.final_layer_norm.weight", stack_name(stack))
}

fn linear_name(id: LinearId) -> String {
    format!("{id}.weight")
}

/// Every tensor of a model, with its shape.
fn expected(config: &T5Config) -> BTreeMap<String, (Kind, Vec<usize>)> {
    let table = vec![config.vocab_size, config.d_model];
    let kind = if config.tie_word_embeddings { Kind::Linear } else { Kind::Embedding };
    let mut all = BTreeMap::from([(EMBEDDING[0].to_owned(), (kind, table.clone()))]);
    if !config.tie_word_embeddings {
        all.insert(LM_HEAD.to_owned(), (Kind::Linear, table));
    }
    let bias = [config.relative_attention_num_buckets, config.num_heads];
    let norm = [config.d_model];
    for stack in [Stack::Encoder, Stack::Decoder] {
        all.insert(bias_name(stack), (Kind::Vector, bias.to_vec()));
        all.insert(final_norm_name(stack), (Kind::Vector, norm.to_vec()));
        let layers = if stack == Stack::Encoder { 2 } else { 3 };
        for block in 0..config.blocks(stack) {
            for layer in 0..layers {
                all.insert(norm_name(stack, block, layer), (Kind::Vector, norm.to_vec()));
            }
            for kind in LinearKind::ALL {
                let id = LinearId { stack, block, kind };
                if let Some(shape) = config.linear_shape(id) {
                    all.insert(linear_name(id), (Kind::Linear, shape.to_vec()));
                }
            }
        }
    }
    all
}

impl ModelBuilder {
    /// A model of which no tensor is there.
    pub fn new(config: T5Config, precision: Precision) -> Self {
        let expected = expected(&config);
        Self {
            config,
            precision,
            expected,
            arriving: None,
            embedding: None,
            linears: BTreeMap::new(),
            vectors: BTreeMap::new(),
        }
    }

    /// What the weights are packed for.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Every tensor's name and shape.
    pub(super) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.expected.iter().map(|(name, (_, shape))| (name.as_str(), shape.as_slice()))
    }

    /// The bytes of all tensors that are there, as they lie in memory, in an order that is the same
    /// for every model of the configuration.
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        let embedding = self.embedding.iter().map(Embedding::part);
        let linears = self.linears.values().flat_map(Linear::parts);
        let vectors = self.vectors.values().map(|vector| bytemuck::cast_slice(vector));
        embedding.chain(linears).chain(vectors).collect()
    }

    /// As [`ModelBuilder::parts`], to be written.
    pub(super) fn parts_mut(&mut self) -> Vec<&mut [u8]> {
        let embedding = self.embedding.iter_mut().map(Embedding::part_mut);
        let linears = self.linears.values_mut().flat_map(Linear::parts_mut);
        let vectors = self.vectors.values_mut().map(|vector| bytemuck::cast_slice_mut(vector));
        embedding.chain(linears).chain(vectors).collect()
    }

    /// Makes every tensor one of zeros.
    pub(super) fn fill_with_zeros(&mut self) {
        for (name, (kind, shape)) in self.expected.clone() {
            self.keep(&name, Tensor::zeros(kind, &shape, self.precision));
        }
    }

    /// The model's sizes.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// Names of the tensors that are still missing.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.expected.keys().map(String::as_str).filter(|name| !self.has(name))
    }

    /// Whether the tensor of that name, the first of its names, is there.
    fn has(&self, name: &str) -> bool {
        self.linears.contains_key(name)
            || self.vectors.contains_key(name)
            || (self.embedding.is_some() && name == EMBEDDING[0])
    }

    fn keep(&mut self, name: &str, tensor: Tensor) {
        match tensor {
            Tensor::Linear(linear) => drop(self.linears.insert(name.to_owned(), linear)),
            Tensor::Embedding(embedding) => self.embedding = Some(embedding),
            Tensor::Vector(vector) => drop(self.vectors.insert(name.to_owned(), vector)),
        }
    }

    /// Puts the model together.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`] if a tensor did not come.
    pub fn finish(mut self) -> Result<T5Model, ModelError> {
        if let Some(name) = self.missing().next() {
            return Err(ModelError::MissingTensor { name: name.to_owned() });
        }
        let (embedding, lm_head) = match self.embedding.take() {
            None => (Embedding::Tied, self.linear(EMBEDDING[0])?),
            Some(embedding) => (embedding, self.linear(LM_HEAD)?),
        };
        let encoder = self.stack(Stack::Encoder)?;
        let decoder = self.stack(Stack::Decoder)?;
        Ok(T5Model::new(self.config, self.precision, embedding, encoder, decoder, lm_head))
    }

    fn stack(&mut self, stack: Stack) -> Result<StackWeights, ModelError> {
        let gated = self.config.feed_forward == FeedForward::GatedGelu;
        Ok(StackWeights {
            blocks: (0..self.config.blocks(stack))
                .map(|block| Block::take(self, gated, stack, block))
                .collect::<Result<_, _>>()?,
            relative_attention_bias: self.vector(&bias_name(stack))?,
            final_norm: self.vector(&final_norm_name(stack))?,
        })
    }

    pub(super) fn vector(&mut self, name: &str) -> Result<Vec<f32>, ModelError> {
        self.vectors.remove(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })
    }

    fn linear(&mut self, name: &str) -> Result<Linear, ModelError> {
        self.linears.remove(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })
    }

    pub(super) fn layer(&mut self, id: LinearId) -> Result<Linear, ModelError> {
        self.linear(&linear_name(id))
    }
}

/// The one name under which a tensor is expected.
fn canonical(name: &str) -> &str {
    if EMBEDDING.contains(&name) { EMBEDDING[0] } else { name }
}

impl TensorSink for ModelBuilder {
    type Error = ModelError;

    /// Tensors of other names, and those that are there already, are not wanted.
    fn wants(&self, name: &str, shape: &[usize]) -> Result<bool, ModelError> {
        let key = canonical(name);
        let Some((_, expected)) = self.expected.get(key) else { return Ok(false) };
        if shape != expected {
            return Err(ModelError::TensorShape {
                name: name.to_owned(),
                expected: expected.clone(),
                found: shape.to_vec(),
            });
        }
        Ok(!self.has(key))
    }

    fn take(&mut self, rows: TensorRows<'_>) -> Result<(), ModelError> {
        if !self.wants(rows.name, rows.shape)? {
            return Ok(());
        }
        let key = canonical(rows.name);
        let begun = self.arriving.take().filter(|_| rows.first > 0);
        let mut tensor = begun
            .unwrap_or_else(|| Tensor::zeros(self.expected[key].0, rows.shape, self.precision));
        tensor.set_rows(&rows);
        if rows.is_last() {
            self.keep(key, tensor);
        } else {
            self.arriving = Some(tensor);
        }
        Ok(())
    }
}
