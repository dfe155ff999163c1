//! A composition as weights for [candle](https://github.com/huggingface/candle): the base's tensors with the
//! merged update added.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::merge::MergedLayer;
use super::{AdapterSet, LoraError, Merge, ModuleWeight, PeftAdapter};
use crate::formats::TensorSource;
use crate::model::ModelConfig;

/// A base's weights with a composition merged into them, `W + B · (scales ⊙ A)`, as the backend of a
/// `VarBuilder`. Tensors have Hugging Face's names, which candle-transformers uses too, whatever the format
/// of the file; each is decoded, merged in `f32` and converted when it is asked for.
///
/// [An example](https://github.com/loraloom/loraloom/blob/main/tests/candle/composition.rs) runs it in
/// candle-transformers' T5.
pub struct MergedWeights {
    source: Box<dyn TensorSource>,
    /// The source's names by the configuration's.
    names: BTreeMap<String, String>,
    /// Scaled by 1, by the names of the layers' weights.
    updates: BTreeMap<String, MergedLayer>,
}

impl MergedWeights {
    /// The weights of a base with modules of these weights; without modules, the base's own.
    ///
    /// # Errors
    /// As [`AdapterSet::new`] and [`AdapterSet::branches`].
    pub fn new<A: Borrow<PeftAdapter> + Clone, W: Into<ModuleWeight> + Copy>(
        config: &dyn ModelConfig,
        source: Box<dyn TensorSource>,
        adapters: &[A],
        weights: &[W],
        merge: Merge,
    ) -> std::result::Result<Self, LoraError> {
        let layers = AdapterSet::new(config, adapters, merge)?.merged(weights)?;
        let updates = layers.into_iter().map(|(id, mut layer)| {
            layer.fold_scales();
            (format!("{id}.weight"), layer)
        });
        let names = source.names().into_iter();
        let names = names.map(|name| (config.canonical_name(&name).to_owned(), name)).collect();
        Ok(Self { names, updates: updates.collect(), source })
    }

    /// A `VarBuilder` whose tensors have this type and are on this device.
    pub fn var_builder(self, dtype: DType, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self), dtype, device.clone())
    }
}

impl fmt::Debug for MergedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tensors, updates) = (self.names.len(), self.updates.len());
        f.debug_struct("MergedWeights")
            .field("tensors", &tensors)
            .field("updates", &updates)
            .finish()
    }
}

impl SimpleBackend for MergedWeights {
    /// As [`SimpleBackend::get_unchecked`], and [`Error::UnexpectedShape`].
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() == &shape {
            return Ok(tensor);
        }
        let (msg, got) = (format!("the shape of {name}"), tensor.shape().clone());
        Err(Error::UnexpectedShape { msg, expected: shape, got }.bt())
    }

    /// [`Error::CannotFindTensor`], or the reader's error for a tensor that is not valid.
    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let missing = || Error::CannotFindTensor { path: name.to_owned() }.bt();
        let view = self.source.tensor(self.names.get(name).ok_or_else(missing)?);
        let view = view.map_err(Error::wrap)?.ok_or_else(missing)?;
        let values = view.to_f32().map_err(Error::wrap)?;
        let mut tensor = Tensor::from_vec(values, view.shape, &Device::Cpu)?;
        if let Some(MergedLayer { lora_a, lora_b, scales }) = self.updates.get(name) {
            let half = |matrix: &[f32], rows| {
                Tensor::from_slice(matrix, (rows, matrix.len() / rows), &Device::Cpu)
            };
            let rank = scales.len();
            let (lora_a, lora_b) = (half(lora_a, rank)?, half(lora_b, lora_b.len() / rank)?);
            tensor = (tensor + lora_b.matmul(&lora_a)?)?;
        }
        tensor.to_dtype(dtype)?.to_device(device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }
}
