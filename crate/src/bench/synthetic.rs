//! Random models, modules and inputs of published geometries.

use super::{Batch, BenchError};
use crate::formats::{AdapterConfig, LinearId, LinearKind, PeftAdapter, PeftLayer, Stack};
use crate::t5::{T5Config, TokenizedExample};
use half::f16;

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

const Q8_0: u32 = 8;
const F32: u32 = 0;
const ALIGNMENT: usize = 32;

struct Tensor {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    /// Standard deviation, as T5's own initialisation has it.
    deviation: f32,
}

fn elements(tensor: &Tensor) -> usize {
    tensor.shape.iter().product()
}

/// Bytes of a tensor's data.
fn size(tensor: &Tensor) -> usize {
    match tensor.kind {
        Q8_0 => elements(tensor) / 32 * 34,
        _ => elements(tensor) * 4,
    }
}

/// Bytes of all tensors' data in the file of a random model.
pub(super) fn gguf_bytes(model: &str) -> Result<u64, BenchError> {
    Ok(tensors(&config(model)?).iter().map(|tensor| size(tensor) as u64).sum())
}

fn tensors(config: &T5Config) -> Vec<Tensor> {
    let matrix = |name: &str, shape: [usize; 2], deviation: f32| Tensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        kind: Q8_0,
        deviation,
    };
    let norm =
        |name: String| Tensor { name, shape: vec![config.d_model], kind: F32, deviation: 0.1 };
    let vocabulary = [config.vocab_size, config.d_model];
    let mut all = vec![
        matrix("shared.weight", vocabulary, 1.0),
        matrix("lm_head.weight", vocabulary, (config.d_model as f32).powf(-0.5)),
    ];
    for (stack, name, sub_layers) in
        [(Stack::Encoder, "encoder", 2), (Stack::Decoder, "decoder", 3)]
    {
        for id in layers(config, stack) {
            let shape = config.linear_shape(id).unwrap_or_default();
            // T5 does not divide attention's logits by √d_kv; its queries start smaller instead.
            let is_query = matches!(id.kind, LinearKind::SelfQ | LinearKind::CrossQ);
            let fan_in = shape[1] * if is_query { config.d_kv } else { 1 };
            all.push(matrix(&format!("{id}.weight"), shape, (fan_in as f32).powf(-0.5)));
        }
        for block in 0..config.blocks(stack) {
            for layer in 0..sub_layers {
                all.push(norm(format!("{name}.block.{block}.layer.{layer}.layer_norm.weight")));
            }
        }
        all.push(norm(format!("{name}.final_layer_norm.weight")));
        all.push(Tensor {
            name: format!("{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
            shape: vec![config.relative_attention_num_buckets, config.num_heads],
            kind: F32,
            deviation: 1.0,
        });
    }
    all
}

/// A GGUF file (Q8_0, Hugging Face's names) of a random model of that geometry.
///
/// # Errors
/// [`BenchError::Request`] for a geometry that is not known.
pub fn gguf_file(model: &str) -> Result<Vec<u8>, BenchError> {
    let tensors = tensors(&config(model)?);
    let total: usize = tensors.iter().map(|tensor| size(tensor).next_multiple_of(ALIGNMENT)).sum();
    let mut file = Vec::with_capacity(total + tensors.len() * 128 + 64);
    file.extend(b"GGUF");
    file.extend(3u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend(0u64.to_le_bytes());
    let mut offset = 0u64;
    for tensor in &tensors {
        file.extend((tensor.name.len() as u64).to_le_bytes());
        file.extend(tensor.name.as_bytes());
        file.extend((tensor.shape.len() as u32).to_le_bytes());
        for &dimension in tensor.shape.iter().rev() {
            file.extend((dimension as u64).to_le_bytes());
        }
        file.extend(tensor.kind.to_le_bytes());
        file.extend(offset.to_le_bytes());
        offset += size(tensor).next_multiple_of(ALIGNMENT) as u64;
    }
    for (index, tensor) in tensors.iter().enumerate() {
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        let mut noise = Noise::new(index as u64 + 1);
        if tensor.kind == Q8_0 {
            write_blocks(&mut file, elements(tensor) / 32, tensor.deviation, &mut noise);
        } else {
            // Norms lie around 1, a bias around 0.
            let mean = if tensor.shape.len() == 1 { 1.0 } else { 0.0 };
            for value in noise.normal(elements(tensor), tensor.deviation) {
                file.extend((mean + value).to_le_bytes());
            }
        }
    }
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    Ok(file)
}

/// Blocks of 32 bytes, each the sum of two even ones, below an `f16` scale.
fn write_blocks(file: &mut Vec<u8>, blocks: usize, deviation: f32, noise: &mut Noise) {
    /// Standard deviation of the sum of two even numbers, each one of 128.
    const BYTES_DEVIATION: f32 = 52.26;
    let scale = f16::from_f32(deviation / BYTES_DEVIATION).to_le_bytes();
    for _ in 0..blocks {
        file.extend(scale);
        for _ in 0..4 {
            let (a, b) = (noise.bits().to_le_bytes(), noise.bits().to_le_bytes());
            let value = |i: usize| i16::from(a[i] & 127) + i16::from(b[i] & 127) - 127;
            file.extend((0..8).map(|i| value(i) as i8 as u8));
        }
    }
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
    let mut noise = Noise::new(7);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{GgufFile, TensorSource};

    #[test]
    fn a_random_models_file_is_read_back_with_the_spread_of_t5s_initialisation() {
        let file = GgufFile::parse(gguf_file("tiny").unwrap()).unwrap();
        let deviation = |name: &str| {
            let values = file.tensor(name).unwrap().unwrap().to_f32().unwrap();
            let squares: f32 = values.iter().map(|value| value * value).sum();
            (squares / values.len() as f32).sqrt()
        };
        for (name, expected) in [
            ("shared.weight", 1.0),
            ("encoder.block.0.layer.0.SelfAttention.k.weight", 64f32.powf(-0.5)),
            ("decoder.block.1.layer.1.EncDecAttention.q.weight", (64.0 * 16f32).powf(-0.5)),
            ("encoder.block.0.layer.0.layer_norm.weight", 1.0),
        ] {
            let found = deviation(name);
            assert!((found / expected - 1.0).abs() < 0.1, "{name}: {found}, not {expected}");
        }
    }
}
