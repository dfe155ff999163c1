//! Reads PEFT's LoRA folders: `adapter_config.json` and the adapter's weights. Whatever would change
//! the result and is not supported is rejected by name.

mod config;
mod notes;

use std::collections::{BTreeMap, BTreeSet};

use crate::formats::{
    FormatError, SafetensorsFile, TensorSource, TensorView, TorchFile, check_shared, excerpt,
};
use crate::model::{LinearId, LinearKind};
pub use config::AdapterConfig;
use config::CONFIG;
pub use notes::AdapterNotes;

/// The weights' file in error messages.
const WEIGHTS: &str = "adapter";

/// What PEFT puts before the names of a model's layers.
const PREFIX: &str = "base_model.model.";
/// What `torch.compile`, `DataParallel` and a second PEFT model put before them.
const WRAPPER_PREFIXES: [&str; 3] = ["_orig_mod.", "module.", PREFIX];

/// One layer's pair of matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct PeftLayer {
    /// `lora_A`'s weight, `[rank, d_in]` row-major.
    pub lora_a: Vec<f32>,
    /// `lora_B`'s weight, `[d_out, rank]` row-major.
    pub lora_b: Vec<f32>,
    /// Rows of A and columns of B, never 0.
    pub rank: usize,
    /// Factor of `B·A`: α/r or α/√r.
    pub scaling: f32,
}

impl PeftLayer {
    /// Width of the layer's input.
    pub fn d_in(&self) -> usize {
        self.lora_a.len() / self.rank
    }

    /// Width of the layer's output.
    pub fn d_out(&self) -> usize {
        self.lora_b.len() / self.rank
    }
}

/// A LoRA module as PEFT applies it to T5.
#[derive(Debug, Clone)]
pub struct PeftAdapter {
    /// The adapter's configuration.
    pub config: AdapterConfig,
    /// Every layer that the adapter changes.
    pub layers: BTreeMap<LinearId, PeftLayer>,
    /// Layers in the weights that the configuration does not target. PEFT leaves them out, and so does
    /// this crate.
    pub ignored: Vec<LinearId>,
}

/// One of a layer's two matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    A,
    B,
}

impl PeftAdapter {
    /// The largest rank of a layer.
    pub fn rank(&self) -> usize {
        self.layers.values().map(|layer| layer.rank).max().unwrap_or(0)
    }

    /// PEFT's names of the layers that the adapter changes, in the order of a block's computation.
    pub fn targets(&self) -> Vec<&'static str> {
        let kinds: BTreeSet<LinearKind> = self.layers.keys().map(|layer| layer.kind).collect();
        let mut targets = Vec::new();
        for target in kinds.into_iter().map(LinearKind::target) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets
    }

    /// Number of values in the matrices of all layers.
    pub fn parameters(&self) -> usize {
        self.layers.values().map(|layer| layer.lora_a.len() + layer.lora_b.len()).sum()
    }

    /// Bytes of the matrices.
    pub fn bytes(&self) -> usize {
        self.parameters() * size_of::<f32>()
    }

    /// Reads a PEFT folder from its two files. `weights` is `adapter_model.safetensors` or
    /// `adapter_model.bin`; the content decides.
    ///
    /// # Errors
    /// A [`FormatError`] naming the field or tensor that is not valid, not supported, or missing.
    pub fn parse(config: &[u8], weights: Vec<u8>) -> Result<Self, FormatError> {
        let config = AdapterConfig::parse(config)?;
        if TorchFile::recognises(&weights) {
            Self::from_source(config, &TorchFile::parse(weights)?)
        } else {
            Self::from_source(config, &SafetensorsFile::parse(weights)?)
        }
    }

    /// Reads an adapter from tensors that are already parsed.
    ///
    /// # Errors
    /// As [`PeftAdapter::parse`].
    pub fn from_source(
        config: AdapterConfig,
        source: &dyn TensorSource,
    ) -> Result<Self, FormatError> {
        check_shared(WEIGHTS, source)?;
        let mut halves: BTreeMap<LinearId, [Option<String>; 2]> = BTreeMap::new();
        for name in source.names() {
            let (layer, half) = parse_key(&name)?;
            let slot = &mut halves.entry(layer).or_default()[half as usize];
            if let Some(other) = slot.replace(name.clone()) {
                return Err(FormatError::Invalid {
                    format: WEIGHTS,
                    what: format!("the matrices of {layer}"),
                    expected: "one lora_A and one lora_B".into(),
                    found: format!("both {} and {}", excerpt(&other), excerpt(&name)),
                });
            }
        }
        let mut layers = BTreeMap::new();
        let mut ignored = Vec::new();
        for (layer, names) in halves {
            if config.targets(layer) {
                layers.insert(layer, read_layer(&config, source, layer, names)?);
            } else {
                ignored.push(layer);
            }
        }
        if layers.is_empty() {
            return Err(FormatError::Invalid {
                format: WEIGHTS,
                what: "its layers".into(),
                expected: "at least one that target_modules names".into(),
                found: match ignored.first() {
                    None => "no tensors".into(),
                    Some(first) => format!("{} that it does not, such as {first}", ignored.len()),
                },
            });
        }
        Ok(Self { config, layers, ignored })
    }
}

fn read_layer(
    config: &AdapterConfig,
    source: &dyn TensorSource,
    layer: LinearId,
    [name_a, name_b]: [Option<String>; 2],
) -> Result<PeftLayer, FormatError> {
    let rank = config.rank_of(layer);
    let half = |name: Option<String>, label: &str| -> Result<TensorView<'_>, FormatError> {
        let missing = || FormatError::Invalid {
            format: WEIGHTS,
            what: format!("the matrices of {layer}"),
            expected: "both lora_A and lora_B".into(),
            found: format!("no {label}"),
        };
        source.tensor(&name.ok_or_else(missing)?)?.ok_or_else(missing)
    };
    let (a, b) = (half(name_a, "lora_A")?, half(name_b, "lora_B")?);
    let wrong_shape = |view: &TensorView<'_>, expected: String| FormatError::Invalid {
        format: WEIGHTS,
        what: format!("the shape of {}", excerpt(&view.name)),
        expected,
        found: format!("{:?}", view.shape),
    };
    if !matches!(a.shape[..], [rows, d_in] if rows == rank && d_in > 0) {
        return Err(wrong_shape(&a, format!("[{rank}, d_in], the rank that {CONFIG} gives")));
    }
    if !matches!(b.shape[..], [d_out, columns] if columns == rank && d_out > 0) {
        return Err(wrong_shape(&b, format!("[d_out, {rank}], the rank that {CONFIG} gives")));
    }
    let scaling = config.scaling_of(layer);
    Ok(PeftLayer { lora_a: a.to_f32()?, lora_b: b.to_f32()?, rank, scaling })
}

/// Splits a tensor's name into the layer and the half. PEFT saves
/// `base_model.model.{layer}.lora_A.weight`; older and in-memory state dictionaries carry the
/// adapter's name, as in `lora_A.default.weight`, or lack the prefix.
fn parse_key(name: &str) -> Result<(LinearId, Half), FormatError> {
    let unsupported = |reason: &str| FormatError::Unsupported {
        what: format!("tensor {} of the adapter", excerpt(name)),
        reason: reason.into(),
    };
    let path = name.strip_prefix(PREFIX).unwrap_or(name);
    if WRAPPER_PREFIXES.iter().any(|prefix| path.starts_with(prefix)) {
        return Err(unsupported(
            "a wrapper such as torch.compile or DataParallel, or PEFT twice, has changed its name; \
             save the adapter of the model inside it",
        ));
    }
    let (layer, rest, half) = if let Some((layer, rest)) = path.split_once(".lora_A.") {
        (layer, rest, Half::A)
    } else if let Some((layer, rest)) = path.split_once(".lora_B.") {
        (layer, rest, Half::B)
    } else if path.contains("lora_embedding_") {
        return Err(unsupported("adapters of the embeddings cannot be composed; train it without"));
    } else if path.contains("lora_magnitude_vector") {
        return Err(unsupported(
            "it belongs to DoRA (use_dora); train the adapter with plain LoRA",
        ));
    } else {
        return Err(unsupported("only lora_A and lora_B of linear layers can be composed"));
    };
    if rest != "weight" && rest.strip_suffix(".weight").is_none_or(|label| label.contains('.')) {
        return Err(unsupported("only the weights of lora_A and lora_B can be composed"));
    }
    if layer == "lm_head" || layer == "shared" || layer.ends_with("embed_tokens") {
        return Err(unsupported("adapters of embeddings and of lm_head cannot be composed"));
    }
    let layer = layer.parse().map_err(|_| {
        unsupported("it is not a linear layer of T5, so the adapter is for another kind of model")
    })?;
    Ok((layer, half))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LinearKind, Stack};

    const ENCODER_Q: &str = "encoder.block.0.layer.0.SelfAttention.q";
    const DECODER_WI_0: &str = "decoder.block.1.layer.2.DenseReluDense.wi_0";

    /// A safetensors file of f32 tensors filled with their index.
    fn weights(tensors: &[(&str, [usize; 2])]) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        let mut data: Vec<u8> = vec![];
        for (i, (name, shape)) in tensors.iter().enumerate() {
            let start = data.len();
            for _ in 0..shape[0] * shape[1] {
                data.extend((i as f32).to_le_bytes());
            }
            header.insert(
                (*name).into(),
                serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}),
            );
        }
        let header = serde_json::to_vec(&header).unwrap();
        [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
    }

    fn adapter(fields: &str, tensors: &[(&str, [usize; 2])]) -> Result<PeftAdapter, FormatError> {
        let config = format!(r#"{{"peft_type":"LORA","r":4,"lora_alpha":8{fields}}}"#);
        PeftAdapter::parse(config.as_bytes(), weights(tensors))
    }

    #[test]
    fn every_spelling_of_the_keys_is_read() {
        for (a, b) in [
            ("base_model.model.{}.lora_A.weight", "base_model.model.{}.lora_B.weight"),
            (
                "base_model.model.{}.lora_A.default.weight",
                "base_model.model.{}.lora_B.default.weight",
            ),
            ("{}.lora_A.weight", "{}.lora_B.weight"),
        ] {
            let (a, b) = (a.replace("{}", ENCODER_Q), b.replace("{}", ENCODER_Q));
            let adapter = adapter("", &[(&a, [4, 6]), (&b, [10, 4])]).unwrap();
            let id = LinearId { stack: Stack::Encoder, block: 0, kind: LinearKind::SelfQ };
            let read = &adapter.layers[&id];
            assert_eq!((read.d_in(), read.d_out(), read.rank, read.scaling), (6, 10, 4, 2.0));
            assert_eq!((read.lora_a[0], read.lora_b[0]), (0.0, 1.0));
        }
    }

    #[test]
    fn tensors_that_contradict_the_configuration_are_refused_by_name() {
        let a = format!("base_model.model.{ENCODER_Q}.lora_A.weight");
        let b = format!("base_model.model.{ENCODER_Q}.lora_B.weight");
        for (tensors, part) in [
            (vec![(a.as_str(), [4, 6])], "no lora_B"),
            (vec![(b.as_str(), [10, 4])], "no lora_A"),
            (vec![(a.as_str(), [5, 6]), (b.as_str(), [10, 5])], "[4, d_in]"),
            (vec![(a.as_str(), [4, 6]), (b.as_str(), [4, 10])], "[d_out, 4]"),
            (vec![(a.as_str(), [4, 0]), (b.as_str(), [10, 4])], "[4, d_in]"),
            (vec![("base_model.model.lm_head.lora_A.weight", [4, 6])], "lm_head"),
            (vec![("base_model.model.shared.lora_embedding_A", [4, 6])], "lora_embedding_A"),
            (vec![("model.layers.0.self_attn.q_proj.lora_A.weight", [4, 6])], "another kind"),
            (vec![("base_model.model._orig_mod.encoder.lora_A.weight", [4, 6])], "torch.compile"),
            (vec![("module.base_model.model.encoder.lora_A.weight", [4, 6])], "DataParallel"),
            (vec![("base_model.model.base_model.model.q.lora_A.weight", [4, 6])], "PEFT twice"),
            (vec![(&*format!("{ENCODER_Q}.lora_magnitude_vector"), [1, 1])], "DoRA"),
            (vec![(&*format!("{ENCODER_Q}.lora_B.bias"), [1, 4])], "lora_B.bias"),
            (vec![(&a, [4, 6]), (&*format!("{ENCODER_Q}.lora_A.weight"), [4, 6])], "both"),
            (vec![], "no tensors"),
            (vec![(&*format!("{DECODER_WI_0}.lora_A.weight"), [4, 6])], "target_modules"),
        ] {
            let error = adapter("", &tensors).unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn layers_that_the_configuration_does_not_target_are_left_out_and_listed() {
        let tensors: Vec<(String, [usize; 2])> = [ENCODER_Q, DECODER_WI_0]
            .iter()
            .flat_map(|path| {
                [
                    (format!("{path}.lora_A.weight"), [4, 6]),
                    (format!("{path}.lora_B.weight"), [9, 4]),
                ]
            })
            .collect();
        let tensors: Vec<_> = tensors.iter().map(|(n, s)| (n.as_str(), *s)).collect();
        let adapter = adapter("", &tensors).unwrap();
        assert_eq!(adapter.layers.len(), 1);
        assert_eq!(adapter.ignored, [DECODER_WI_0.parse().unwrap()]);
    }
}
