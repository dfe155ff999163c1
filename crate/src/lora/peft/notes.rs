//! What of an adapter does not fit its base, or is left out of the composition.

use serde::{Deserialize, Serialize};

use super::PeftAdapter;
use crate::model::{LinearId, ModelConfig};

/// What of an adapter does not fit its base, or is left out. PEFT loads such an adapter too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct AdapterNotes {
    /// The base that the adapter's configuration names, where it is another one.
    pub other_base: Option<String>,
    /// Layers that the configuration targets but whose matrices the weights lack; they are not changed.
    pub missing_layers: Vec<String>,
    /// Layers whose matrices the weights contain but the configuration does not target; they are not
    /// used.
    pub unused_layers: Vec<String>,
}

impl AdapterNotes {
    /// The notes on an adapter of a base of this id and configuration; none where all fits.
    pub fn new(adapter: &PeftAdapter, base_id: &str, base: &dyn ModelConfig) -> Option<Self> {
        let name = |id: &str| {
            let id = id.trim_end_matches(['/', '\\']);
            id.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase()
        };
        // A folder's name says nothing, but the base in it may name the model that it was saved from.
        let base_id =
            if base_id.is_empty() { base.name_or_path().unwrap_or_default() } else { base_id };
        let named = adapter.config.base_model.as_deref().filter(|named| !named.is_empty());
        let other_base = named.filter(|named| !base_id.is_empty() && name(named) != name(base_id));
        let missing =
            base.linear_layers().into_iter().map(|(layer, _)| layer).filter(|&layer| {
                adapter.config.targets(layer) && !adapter.layers.contains_key(&layer)
            });
        let notes = Self {
            other_base: other_base.map(str::to_owned),
            missing_layers: missing.map(|layer| layer.to_string()).collect(),
            unused_layers: adapter.ignored.iter().map(LinearId::to_string).collect(),
        };
        (notes != Self::default()).then_some(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::{AdapterConfig, PeftLayer};
    use crate::model::t5::T5Config;

    /// An adapter of rank 1 on these layers.
    fn adapter(fields: &str, layers: &[&str], ignored: &[&str]) -> PeftAdapter {
        let config = format!(r#"{{"peft_type":"LORA","r":1,"lora_alpha":1{fields}}}"#);
        let layer = PeftLayer { lora_a: vec![0.0], lora_b: vec![0.0], rank: 1, scaling: 1.0 };
        PeftAdapter {
            config: AdapterConfig::parse(config.as_bytes()).unwrap(),
            layers: layers.iter().map(|id| (id.parse().unwrap(), layer.clone())).collect(),
            ignored: ignored.iter().map(|id| id.parse().unwrap()).collect(),
        }
    }

    fn base() -> T5Config {
        T5Config::parse(br#"{"num_layers": 1, "feed_forward_proj": "gated-gelu"}"#).unwrap()
    }

    const ALL: [&str; 6] = [
        "encoder.block.0.layer.0.SelfAttention.q",
        "encoder.block.0.layer.0.SelfAttention.v",
        "decoder.block.0.layer.0.SelfAttention.q",
        "decoder.block.0.layer.0.SelfAttention.v",
        "decoder.block.0.layer.1.EncDecAttention.q",
        "decoder.block.0.layer.1.EncDecAttention.v",
    ];

    #[test]
    fn an_adapter_that_fits_has_no_notes() {
        for named in
            ["google/flan-t5-small", "/models/Flan-T5-small/", r"C:\\models\\flan-t5-small", ""]
        {
            let adapter = adapter(&format!(r#","base_model_name_or_path":"{named}""#), &ALL, &[]);
            assert_eq!(
                AdapterNotes::new(&adapter, "google/flan-t5-small", &base()),
                None,
                "{named}"
            );
        }
        // Of a base without an id, what its configuration says is known.
        let adapter = adapter(r#","base_model_name_or_path":"t5-base""#, &ALL, &[]);
        assert_eq!(AdapterNotes::new(&adapter, "", &base()), None);
        for (saved_from, other) in [("models/t5-base", false), ("google/t5-v1_1-base", true)] {
            let base = T5Config { name_or_path: Some(saved_from.into()), ..base() };
            let notes = AdapterNotes::new(&adapter, "", &base);
            assert_eq!(
                notes.is_some_and(|notes| notes.other_base.is_some()),
                other,
                "{saved_from}"
            );
        }
    }

    #[test]
    fn another_base_and_missing_and_unused_layers_are_noted() {
        let wo = "encoder.block.0.layer.1.DenseReluDense.wo";
        let adapter =
            adapter(r#","base_model_name_or_path":"google/flan-t5-base""#, &ALL[..4], &[wo]);
        let notes = AdapterNotes::new(&adapter, "google/flan-t5-small", &base()).unwrap();
        assert_eq!(
            notes,
            AdapterNotes {
                other_base: Some("google/flan-t5-base".into()),
                missing_layers: ALL[4..].iter().map(|&id| id.to_owned()).collect(),
                unused_layers: vec![wo.into()],
            }
        );
    }
}
