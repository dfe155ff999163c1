//! Golden and random models with adapters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loraloom::formats::{NamedTensor, SafetensorsFile, write_safetensors};
use loraloom::lora::{AdapterConfig, AdapterSet, Merge, PeftAdapter, PeftLayer};
use loraloom::model::t5::{T5Config, T5Model};
use loraloom::model::{LinearId, LoraBranches, ModelConfig, Precision, TokenizedExample};
use serde::Deserialize;

use crate::random::Random;
use crate::{path, read};

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub merge: Option<Merge>,
    adapters: Vec<String>,
    pub weights: Vec<f32>,
    pub examples: Vec<Example>,
}

#[derive(Deserialize)]
pub struct Example {
    pub input: Vec<u32>,
    pub labels: Vec<u32>,
    pub greedy: Vec<u32>,
}

#[derive(Deserialize)]
struct Expected {
    max_new_tokens: usize,
    cases: Vec<Case>,
}

/// A model of tests/golden/models.
pub struct Golden {
    pub folder: PathBuf,
    pub config: T5Config,
    pub max_new_tokens: usize,
    pub cases: Vec<Case>,
}

impl Golden {
    pub fn all() -> Vec<Self> {
        let folders = path("tests/golden/models").read_dir().unwrap();
        let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        assert!(folders.len() >= 4);
        folders.into_iter().map(Self::read).collect()
    }

    fn read(folder: PathBuf) -> Self {
        let expected = read(&folder.join("expected.json"));
        let Expected { max_new_tokens, cases } = serde_json::from_slice(&expected).unwrap();
        let config = T5Config::parse(&read(&folder.join("config.json"))).unwrap();
        Self { folder, config, max_new_tokens, cases }
    }

    pub fn source(&self) -> SafetensorsFile {
        SafetensorsFile::parse(read(&self.folder.join("model.safetensors"))).unwrap()
    }

    pub fn model(&self) -> T5Model {
        T5Model::load(self.config.clone(), &self.source(), Precision::F32).unwrap()
    }

    pub fn adapters(&self, case: &Case) -> Vec<PeftAdapter> {
        let folders = case.adapters.iter().map(|name| self.folder.join("adapters").join(name));
        folders.map(|folder| adapter(&folder)).collect()
    }

    pub fn name(&self, case: &Case) -> String {
        format!("{} {}", self.folder.file_name().unwrap().to_string_lossy(), case.name)
    }
}

/// The adapter of a PEFT folder.
pub fn adapter(folder: &Path) -> PeftAdapter {
    let files = ["adapter_model.safetensors", "adapter_model.bin"].map(|file| folder.join(file));
    let weights = files.into_iter().find(|path| path.exists()).unwrap();
    PeftAdapter::parse(&read(&folder.join("adapter_config.json")), read(&weights)).unwrap()
}

/// A composition's LoRA branches; none for the base alone.
pub fn branches(
    config: &T5Config,
    adapters: &[PeftAdapter],
    weights: &[f32],
    merge: Merge,
) -> Option<LoraBranches> {
    let adapters: Vec<&PeftAdapter> = adapters.iter().collect();
    let set = AdapterSet::new(config, &adapters, merge).unwrap();
    (!adapters.is_empty()).then(|| set.into_branches(weights, Precision::F32).unwrap())
}

/// A model of random weights with adapters on every layer.
pub struct RandomModel {
    pub config: T5Config,
    pub source: SafetensorsFile,
    random: Random,
}

/// The sizes of a random model.
pub struct Geometry {
    pub vocab_size: usize,
    pub d_model: usize,
    pub d_kv: usize,
    pub num_heads: usize,
    pub d_ff: usize,
    pub blocks: [usize; 2],
    pub buckets: usize,
    pub max_distance: usize,
    pub feed_forward: &'static str,
    pub tied: bool,
}

impl RandomModel {
    pub fn new(geometry: &Geometry, seed: u64) -> Self {
        let [num_layers, num_decoder_layers] = geometry.blocks;
        let config = serde_json::json!({
            "vocab_size": geometry.vocab_size,
            "d_model": geometry.d_model,
            "d_kv": geometry.d_kv,
            "num_heads": geometry.num_heads,
            "d_ff": geometry.d_ff,
            "num_layers": num_layers,
            "num_decoder_layers": num_decoder_layers,
            "relative_attention_num_buckets": geometry.buckets,
            "relative_attention_max_distance": geometry.max_distance,
            "feed_forward_proj": geometry.feed_forward,
            "tie_word_embeddings": geometry.tied,
        });
        let config = T5Config::parse(config.to_string().as_bytes()).unwrap();
        let mut random = Random(seed);
        let specs = config.tensors().into_iter();
        let specs = specs.filter(|(name, _)| !(geometry.tied && name == "lm_head.weight"));
        let tensor = |(name, (_, shape)): (String, (_, Vec<usize>))| {
            let width = *shape.last().unwrap() as f32;
            let is_norm = name.ends_with("norm.weight");
            let spread = match &*name {
                "shared.weight" => 1.0,
                // Smaller than a trained model's, or rounding to f32 would grow from block to block.
                _ if shape.len() == 2 && !name.contains("bias") => 0.5 * width.powf(-0.5),
                _ => 0.5,
            };
            let count = shape.iter().product();
            let offset = if is_norm { 1.0 } else { 0.0 };
            let values = normal(&mut random, count, spread).iter().map(|v| v + offset).collect();
            NamedTensor { name, shape, values }
        };
        let tensors: Vec<NamedTensor> = specs.map(tensor).collect();
        let source = SafetensorsFile::parse(write_safetensors(&tensors, false).unwrap()).unwrap();
        Self { config, source, random }
    }

    pub fn model(&self) -> T5Model {
        T5Model::load(self.config.clone(), &self.source, Precision::F32).unwrap()
    }

    /// An adapter of random matrices on every linear layer.
    pub fn adapter(&mut self, rank: usize, alpha: usize) -> PeftAdapter {
        let config = serde_json::json!({
            "peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": "all-linear",
        });
        let config = AdapterConfig::parse(config.to_string().as_bytes()).unwrap();
        let random = &mut self.random;
        let layers: BTreeMap<LinearId, PeftLayer> = (self.config.linear_layers().into_iter())
            .map(|(id, [d_out, d_in])| {
                let lora_a = normal(random, rank * d_in, (d_in as f32).powf(-0.5));
                let lora_b = normal(random, d_out * rank, 0.1);
                let scaling = config.scaling_of(id);
                (id, PeftLayer { lora_a, lora_b, rank, scaling })
            })
            .collect();
        PeftAdapter { config, layers, ignored: Vec::new() }
    }

    /// Examples with inputs and labels of these lengths.
    pub fn examples(&mut self, lengths: &[[usize; 2]]) -> Vec<TokenizedExample> {
        let (random, vocab_size) = (&mut self.random, self.config.vocab_size);
        let mut tokens =
            |count: usize| (0..count).map(|_| random.below(vocab_size) as u32).collect::<Vec<_>>();
        let example = |&[input, labels]: &[usize; 2]| TokenizedExample {
            input: tokens(input),
            labels: tokens(labels),
        };
        lengths.iter().map(example).collect()
    }
}

/// Numbers of mean 0 and this standard deviation: sums of twelve evenly distributed ones.
fn normal(random: &mut Random, count: usize, deviation: f32) -> Vec<f32> {
    let mut even = || (random.next() >> 40) as f32 / (1 << 24) as f32;
    (0..count).map(|_| ((0..12).map(|_| even()).sum::<f32>() - 6.0) * deviation).collect()
}
