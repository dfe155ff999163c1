//! Random models, modules and inputs of published geometries.

use super::{Batch, BenchError};
use crate::lora::{AdapterConfig, PeftAdapter, PeftLayer};
use crate::model::t5::T5Config;
use crate::model::{LinearId, LinearKind, Stack};
use crate::model::{ModelConfig, TokenizedExample};

/// A generator of noise (SplitMix64): the same on every machine.
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D)
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Nearly normal: the sum of four even numbers, of this standard deviation.
    pub(super) fn normal(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        // Four 16-bit numbers, each of variance 2³²/12.
        let scale = deviation / (65536.0 / 3f32.sqrt());
        (0..count)
            .map(|_| {
                let bits = self.bits();
                let sum: i64 =
                    (0..4).map(|part| ((bits >> (16 * part)) & 0xffff) as i64 - 32768).sum();
                sum as f32 * scale
            })
            .collect()
    }
}

/// The configuration of a published geometry, or of `tiny` for tests.
pub(super) fn config(model: &str) -> Result<T5Config, BenchError> {
    Ok(T5Config::parse(config_json(model)?.as_bytes())?)
}

/// The `config.json` of a published geometry, or of `tiny` for tests.
///
/// # Errors
/// [`BenchError::Request`] for a geometry that is not known.
pub fn config_json(model: &str) -> Result<String, BenchError> {
    let (d_model, d_kv, d_ff, layers, heads, vocab_size) = match model {
        "flan-t5-small" => (512, 64, 1024, 8, 6, 32128),
        "flan-t5-base" => (768, 64, 2048, 12, 12, 32128),
        "flan-t5-large" => (1024, 64, 2816, 24, 16, 32128),
        "tiny" => (64, 16, 96, 2, 4, 512),
        _ => return Err(BenchError::request(format!("there is no geometry named {model}"))),
    };
    Ok(format!(
        r#"{{"model_type": "t5", "d_model": {d_model}, "d_kv": {d_kv}, "d_ff": {d_ff},
            "num_layers": {layers}, "num_heads": {heads}, "vocab_size": {vocab_size},
            "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false,
            "dropout_rate": 0.0, "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
            "initializer_factor": 1.0, "is_encoder_decoder": true, "use_cache": true,
            "pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": 1}}"#
    ))
}

/// Linear layers of one stack, in no particular order.
pub(super) fn layers(config: &T5Config, stack: Stack) -> Vec<LinearId> {
    (0..config.blocks(stack))
        .flat_map(|block| LinearKind::ALL.map(|kind| LinearId { stack, block, kind }))
        .filter(|&id| config.linear_shape(id).is_some())
        .collect()
}

/// A random module on q and v of every attention layer.
pub(super) fn adapter(config: &T5Config, rank: usize, seed: u64) -> PeftAdapter {
    let json = format!(r#"{{"peft_type": "LORA", "r": {rank}, "lora_alpha": {}}}"#, 2 * rank);
    let adapter_config =
        AdapterConfig::parse(json.as_bytes()).expect("a configuration that is written here");
    let mut noise = Noise::new(seed + 1000);
    let layers = [Stack::Encoder, Stack::Decoder]
        .into_iter()
        .flat_map(|stack| layers(config, stack))
        .filter(|id| matches!(id.kind.target(), "q" | "v"))
        .filter_map(|id| {
            let [d_out, d_in] = config.linear_shape(id)?;
            let lora_a = noise.normal(rank * d_in, (d_in as f32).powf(-0.5));
            let lora_b = noise.normal(d_out * rank, 0.01);
            Some((id, PeftLayer { lora_a, lora_b, rank, scaling: 2.0 }))
        })
        .collect();
    PeftAdapter { config: adapter_config, layers, ignored: Vec::new() }
}

fn tokens(config: &T5Config, count: usize, noise: &mut Noise) -> Vec<u32> {
    // 0 and 1 are the start and the end.
    (0..count).map(|_| 2 + (noise.bits() % (config.vocab_size as u64 - 2)) as u32).collect()
}

/// Random inputs.
pub(super) fn inputs(config: &T5Config, batch: &Batch) -> Vec<Vec<u32>> {
    let mut noise = Noise::new(9);
    (0..batch.examples).map(|_| tokens(config, batch.tokens, &mut noise)).collect()
}

/// Random inputs with random labels.
pub(super) fn examples(config: &T5Config, batch: &Batch) -> Vec<TokenizedExample> {
    let mut noise = Noise::new(8);
    inputs(config, batch)
        .into_iter()
        .map(|input| TokenizedExample { input, labels: tokens(config, batch.targets, &mut noise) })
        .collect()
}
