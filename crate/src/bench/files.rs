//! Random models as files of every kind that is read, written tensor by tensor: the largest take
//! gigabytes.

use std::io::{self, Write};

use half::f16;
use serde::Deserialize;

use super::BenchError;
use super::synthetic::{Noise, config, layers};
use crate::formats::{Dtype, TensorView};
use crate::model::t5::T5Config;
use crate::model::{LinearKind, ModelConfig, Stack};

/// Where every tensor of a GGUF file starts: a multiple of this.
const ALIGNMENT: u64 = 32;
/// Blocks by which the spread of a quantised type's values is found.
const SAMPLED_BLOCKS: usize = 64;

/// A kind of file, named by the type of its matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(non_camel_case_types)]
pub enum FileKind {
    /// Safetensors in F32.
    Safetensors,
    /// GGUF in F32.
    F32,
    /// GGUF in F16.
    F16,
    /// GGUF in Q8_0.
    #[default]
    #[serde(rename = "q8_0")]
    Q8_0,
    /// GGUF in Q4_0.
    #[serde(rename = "q4_0")]
    Q4_0,
    /// GGUF in Q4_K.
    #[serde(rename = "q4_k")]
    Q4_K,
    /// GGUF in Q5_K.
    #[serde(rename = "q5_k")]
    Q5_K,
    /// GGUF in Q6_K.
    #[serde(rename = "q6_k")]
    Q6_K,
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    /// Whether its values take the file's type; norms and biases stay F32.
    is_matrix: bool,
    /// Standard deviation, as T5's own initialisation has it.
    deviation: f32,
}

impl Tensor {
    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its type in a file of that kind: rows that are no whole blocks take Q8_0, as llama.cpp's
    /// fall back to a type of smaller blocks.
    fn dtype(&self, kind: FileKind) -> Dtype {
        let asked = match kind {
            _ if !self.is_matrix => Dtype::F32,
            FileKind::Safetensors | FileKind::F32 => Dtype::F32,
            FileKind::F16 => Dtype::F16,
            FileKind::Q8_0 => Dtype::Q8_0,
            FileKind::Q4_0 => Dtype::Q4_0,
            FileKind::Q4_K => Dtype::Q4_K,
            FileKind::Q5_K => Dtype::Q5_K,
            FileKind::Q6_K => Dtype::Q6_K,
        };
        let width = self.shape.last().copied().unwrap_or(1);
        if width.is_multiple_of(asked.block().0) { asked } else { Dtype::Q8_0 }
    }

    fn bytes(&self, kind: FileKind) -> u64 {
        let (values, bytes) = self.dtype(kind).block();
        (self.elements() / values * bytes) as u64
    }
}

fn tensors(config: &T5Config) -> Vec<Tensor> {
    let matrix = |name: &str, shape: [usize; 2], deviation: f32| Tensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        is_matrix: true,
        deviation,
    };
    let norm = |name: String| Tensor {
        name,
        shape: vec![config.d_model],
        is_matrix: false,
        deviation: 0.1,
    };
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
            is_matrix: false,
            deviation: 1.0,
        });
    }
    all
}

/// Bytes of all tensors in a file of that kind.
pub(super) fn tensor_bytes(model: &str, kind: FileKind) -> Result<u64, BenchError> {
    Ok(tensors(&config(model)?).iter().map(|tensor| tensor.bytes(kind)).sum())
}

/// Writes a file of a random model of that geometry, with Hugging Face's names.
///
/// # Errors
/// [`BenchError::Request`] for a geometry that is not known, and [`BenchError::File`].
pub fn write_model(model: &str, kind: FileKind, out: &mut dyn Write) -> Result<(), BenchError> {
    let tensors = tensors(&config(model)?);
    let alignment = match kind {
        FileKind::Safetensors => 1,
        _ => ALIGNMENT,
    };
    let header = match kind {
        FileKind::Safetensors => safetensors_header(&tensors),
        _ => gguf_header(&tensors, kind),
    };
    out.write_all(&header)?;
    for (index, tensor) in tensors.iter().enumerate() {
        let data = contents(tensor, kind, &mut Noise::new(index as u64 + 1));
        out.write_all(&data)?;
        let padding = (data.len() as u64).next_multiple_of(alignment) - data.len() as u64;
        out.write_all(&vec![0; padding as usize])?;
    }
    Ok(())
}

/// A GGUF file in Q8_0 of a random model of that geometry.
///
/// # Errors
/// [`BenchError::Request`] for a geometry that is not known.
pub fn gguf_file(model: &str) -> Result<Vec<u8>, BenchError> {
    let mut file = Vec::with_capacity(tensor_bytes(model, FileKind::Q8_0)? as usize + (1 << 20));
    write_model(model, FileKind::Q8_0, &mut file)?;
    Ok(file)
}

fn safetensors_header(tensors: &[Tensor]) -> Vec<u8> {
    let mut offset = 0;
    let entries: Vec<String> = tensors
        .iter()
        .map(|tensor| {
            let start = offset;
            offset += tensor.bytes(FileKind::Safetensors);
            let Tensor { name, shape, .. } = tensor;
            format!(
                r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{offset}]}}"#
            )
        })
        .collect();
    let json = format!("{{{}}}", entries.join(","));
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}

fn gguf_header(tensors: &[Tensor], kind: FileKind) -> Vec<u8> {
    let mut header = b"GGUF".to_vec();
    header.extend(3u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend(0u64.to_le_bytes());
    let mut offset = 0u64;
    for tensor in tensors {
        header.extend((tensor.name.len() as u64).to_le_bytes());
        header.extend(tensor.name.as_bytes());
        header.extend((tensor.shape.len() as u32).to_le_bytes());
        for &dimension in tensor.shape.iter().rev() {
            header.extend((dimension as u64).to_le_bytes());
        }
        header.extend(tensor.dtype(kind).ggml_type().to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset += tensor.bytes(kind).next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
    header
}

/// A tensor's data, of its deviation.
fn contents(tensor: &Tensor, kind: FileKind, noise: &mut Noise) -> Vec<u8> {
    let values = |noise: &mut Noise| noise.normal(tensor.elements(), tensor.deviation);
    // Norms lie around 1, everything else around 0.
    let mean = if tensor.shape.len() == 1 { 1.0 } else { 0.0 };
    match tensor.dtype(kind) {
        Dtype::F32 => values(noise).iter().flat_map(|value| (mean + value).to_le_bytes()).collect(),
        Dtype::F16 => {
            let halves = values(noise).into_iter().map(f16::from_f32);
            halves.flat_map(f16::to_le_bytes).collect()
        }
        dtype => blocks(dtype, tensor.elements() / dtype.block().0, tensor.deviation, noise),
    }
}

/// Blocks of random bits below scales that give their values the deviation.
fn blocks(dtype: Dtype, count: usize, deviation: f32, noise: &mut Noise) -> Vec<u8> {
    let (values, bytes) = dtype.block();
    // Where a block has a number in `f16`, and its size: a minimum that takes away the mean.
    let numbers: &[(usize, f32)] = match dtype {
        Dtype::Q4_K => &[(0, 1.0), (2, 7.5)],
        Dtype::Q5_K => &[(0, 1.0), (2, 15.5)],
        Dtype::Q6_K => &[(bytes - 2, 1.0)],
        _ => &[(0, 1.0)],
    };
    let mut data = vec![0; count * bytes];
    for chunk in data.chunks_mut(size_of::<u64>()) {
        chunk.copy_from_slice(&noise.bits().to_le_bytes()[..chunk.len()]);
    }
    let set_scale = |data: &mut [u8], scale: f32| {
        for block in data.chunks_exact_mut(bytes) {
            for &(at, factor) in numbers {
                let number = f16::from_f32(scale * factor).to_le_bytes();
                block[at..at + 2].copy_from_slice(&number);
            }
        }
    };
    let sampled = SAMPLED_BLOCKS.min(count);
    let mut sample = data[..sampled * bytes].to_vec();
    set_scale(&mut sample, 1.0);
    let shape = vec![sampled * values];
    let view = TensorView { name: String::new(), dtype, shape, bytes: &sample };
    let decoded = view.to_f32().unwrap_or_default();
    let squares: f64 = decoded.iter().map(|value| f64::from(value * value)).sum();
    let found = (squares / decoded.len() as f64).sqrt() as f32;
    set_scale(&mut data, deviation / found);
    data
}

impl From<io::Error> for BenchError {
    fn from(error: io::Error) -> Self {
        BenchError::File(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::parse_weights;

    #[test]
    fn a_random_models_files_are_read_back_with_the_spread_of_t5s_initialisation() {
        use FileKind::*;
        for kind in [Safetensors, F32, F16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K] {
            let mut file = Vec::new();
            write_model("tiny", kind, &mut file).unwrap();
            let rest = file.len() as u64 - tensor_bytes("tiny", kind).unwrap();
            assert!((1..20_000).contains(&rest), "{kind:?}: {rest}");
            let file = parse_weights(file).unwrap();
            for (name, expected) in [
                ("shared.weight", 1.0),
                ("encoder.block.0.layer.0.SelfAttention.k.weight", 64f32.powf(-0.5)),
                ("decoder.block.1.layer.1.EncDecAttention.q.weight", (64.0 * 16f32).powf(-0.5)),
                ("encoder.block.0.layer.0.layer_norm.weight", 1.0),
            ] {
                let values = file.tensor(name).unwrap().unwrap().to_f32().unwrap();
                let squares: f32 = values.iter().map(|value| value * value).sum();
                let found = (squares / values.len() as f32).sqrt();
                assert!((found / expected - 1.0).abs() < 0.1, "{kind:?} {name}: {found}");
            }
        }
    }

    #[test]
    fn quantised_blocks_have_the_spread_asked_for() {
        for dtype in [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4_K, Dtype::Q5_K, Dtype::Q6_K] {
            let bytes = blocks(dtype, 100, 0.3, &mut Noise::new(5));
            let shape = vec![100 * dtype.block().0];
            let view = TensorView { name: "w".into(), dtype, shape, bytes: &bytes };
            let values = view.to_f32().unwrap();
            let count = values.len() as f32;
            let mean = values.iter().sum::<f32>() / count;
            let squares = values.iter().map(|value| value * value).sum::<f32>() / count;
            assert!(mean.abs() < 0.1 && (squares.sqrt() / 0.3 - 1.0).abs() < 0.1, "{dtype:?}");
        }
    }
}
