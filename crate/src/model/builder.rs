//! A model built tensor by tensor, in any order. Each tensor is packed row by row as it arrives, so
//! that weights can be read from a file that is still being downloaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::linear::{Embedding, Linear};
use super::{Model, ModelConfig, ModelError, Precision};
use crate::formats::{TensorRows, TensorSink};

/// How a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorKind {
    /// A linear layer `[d_out, d_in]`, packed for the precision.
    Linear,
    /// The embedding `[vocab_size, d_model]` of a model whose `lm_head` is not tied to it.
    Embedding,
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
            (TensorKind::Linear, &[d_out, d_in]) => {
                Tensor::Linear(Linear::zeros([d_out, d_in], precision))
            }
            (TensorKind::Embedding, _) => Tensor::Embedding(Embedding::zeros(elements, precision)),
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

fn missing(name: &str) -> ModelError {
    ModelError::MissingTensor { name: name.to_owned() }
}

/// A model under construction.
#[derive(Debug)]
pub struct ModelBuilder {
    config: Arc<dyn ModelConfig>,
    specs: TensorSpecs,
    /// The tensor whose rows are arriving.
    arriving: Option<Tensor>,
    tensors: Tensors,
}

impl ModelBuilder {
    /// A builder without any tensor.
    pub fn new(config: Arc<dyn ModelConfig>, precision: Precision) -> Self {
        let (embedding, linears, vectors) = Default::default();
        let specs = config.tensors();
        let tensors = Tensors { precision, embedding, linears, vectors };
        Self { config, specs, arriving: None, tensors }
    }

    /// What the weights are packed for.
    pub fn precision(&self) -> Precision {
        self.tensors.precision
    }

    /// The model's sizes.
    pub fn config(&self) -> &dyn ModelConfig {
        &*self.config
    }

    /// Every tensor's name and shape.
    pub(super) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.specs.iter().map(|(name, (_, shape))| (name.as_str(), shape.as_slice()))
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

    /// Sets every tensor to zeros.
    pub(super) fn fill_with_zeros(&mut self) {
        for (name, (kind, shape)) in &self.specs {
            self.tensors.keep(name, Tensor::zeros(*kind, shape, self.tensors.precision));
        }
    }

    /// Names of the tensors that have not arrived.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.specs.keys().map(String::as_str).filter(|name| !self.has(name))
    }

    /// Whether the tensor of this canonical name has arrived.
    fn has(&self, name: &str) -> bool {
        let Tensors { embedding, linears, vectors, .. } = &self.tensors;
        linears.contains_key(name)
            || vectors.contains_key(name)
            || (embedding.is_some() && self.specs[name].0 == TensorKind::Embedding)
    }

    /// Builds the model.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`] if a tensor did not arrive.
    pub fn finish(self) -> Result<Arc<dyn Model>, ModelError> {
        self.config.clone().build(self.finish_tensors()?)
    }

    /// # Errors
    /// [`ModelError::MissingTensor`] if a tensor did not arrive.
    pub(super) fn finish_tensors(self) -> Result<Tensors, ModelError> {
        if let Some(name) = self.missing().next() {
            return Err(missing(name));
        }
        Ok(self.tensors)
    }
}

impl TensorSink for ModelBuilder {
    type Error = ModelError;

    /// Skips tensors of other names, and those that have already arrived.
    fn wants(&self, name: &str, shape: &[usize]) -> Result<bool, ModelError> {
        let key = self.config.canonical_name(name);
        let Some((_, expected)) = self.specs.get(key) else { return Ok(false) };
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
        let key = self.config.canonical_name(rows.name);
        let begun = self.arriving.take().filter(|_| rows.first > 0);
        let mut tensor =
            begun.unwrap_or_else(|| Tensor::zeros(self.specs[key].0, rows.shape, self.precision()));
        tensor.set_rows(&rows);
        if rows.is_last() {
            self.tensors.keep(key, tensor);
        } else {
            self.arriving = Some(tensor);
        }
        Ok(())
    }
}
