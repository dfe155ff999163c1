//! A plain T5 with LoRA branches in candle's operations, one example at a time, in f64 and without a cache.
//! candle-transformers' T5 takes no LoRA and has other positions in the decoder; see `losses`.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::loss::cross_entropy;
use candle_nn::ops::softmax;
use loraloom::formats::TensorSource;
use loraloom::lora::{Merge, PeftAdapter, PeftLayer};
use loraloom::model::t5::{FeedForward, T5Config};
use loraloom::model::{LinearId, LinearKind, ModelConfig, Stack, TokenizedExample};

/// A layer's LoRA branch, `y += B · (scales ⊙ (A · x))`.
#[derive(Clone)]
pub struct Branch {
    /// `[rank, d_in]`.
    pub lora_a: Tensor,
    /// `[d_out, rank]`.
    pub lora_b: Tensor,
    /// `[rank]`.
    pub scales: Tensor,
}

impl Branch {
    /// The branch of modules with these weights.
    fn new(modules: &[(&PeftLayer, f64)], merge: Merge) -> Result<Self> {
        let matrix = |values: &[f32], columns: usize| {
            let tensor =
                Tensor::from_slice(values, (values.len() / columns, columns), &Device::Cpu);
            tensor?.to_dtype(DType::F64)
        };
        let (mut all_a, mut all_b, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        for &(layer, weight) in modules {
            let (a, b) = (matrix(&layer.lora_a, layer.d_in())?, matrix(&layer.lora_b, layer.rank)?);
            let scaling = f64::from(layer.scaling);
            let (factor, scale) = match merge {
                Merge::Lorahub => (weight, scaling),
                Merge::Delta => (1.0, weight * scaling),
            };
            all_a.push((a * factor)?);
            all_b.push((b * factor)?);
            scales.push(vec![scale; layer.rank]);
        }
        let sum = |matrices: Vec<Tensor>| Tensor::stack(&matrices, 0)?.sum(0);
        let (lora_a, lora_b, scales) = match merge {
            Merge::Lorahub => (sum(all_a)?, sum(all_b)?, scales.swap_remove(0)),
            Merge::Delta => (Tensor::cat(&all_a, 0)?, Tensor::cat(&all_b, 1)?, scales.concat()),
        };
        let scales = Tensor::new(scales, &Device::Cpu)?;
        Ok(Self { lora_a, lora_b, scales })
    }
}

/// The branches of a composition, for every layer that a module of a weight changes.
pub fn branches(
    adapters: &[PeftAdapter],
    weights: &[f32],
    merge: Merge,
) -> Result<BTreeMap<LinearId, Branch>> {
    let mut layers: BTreeMap<LinearId, Vec<(&PeftLayer, f64)>> = BTreeMap::new();
    for (adapter, &weight) in adapters.iter().zip(weights).filter(|(_, weight)| **weight != 0.0) {
        for (&id, layer) in &adapter.layers {
            layers.entry(id).or_default().push((layer, weight.into()));
        }
    }
    layers.into_iter().map(|(id, modules)| Ok((id, Branch::new(&modules, merge)?))).collect()
}

/// A T5 with LoRA branches.
pub struct T5 {
    config: T5Config,
    weights: BTreeMap<String, Tensor>,
    pub branches: BTreeMap<LinearId, Branch>,
}

impl T5 {
    pub fn new(
        config: &T5Config,
        source: &dyn TensorSource,
        branches: BTreeMap<LinearId, Branch>,
    ) -> Result<Self> {
        let tensor = |name: String| {
            let view = source.tensor(&name).unwrap().unwrap();
            let tensor = Tensor::from_vec(view.to_f32().unwrap(), view.shape, &Device::Cpu)?;
            Ok((name, tensor.to_dtype(DType::F64)?))
        };
        let weights = source.names().into_iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), weights, branches })
    }

    /// The mean cross-entropy of an example's labels.
    pub fn loss(&self, example: &TokenizedExample) -> Result<Tensor> {
        let start = [self.config.decoder_start_token_id];
        let labels = &example.labels;
        let tokens: Vec<u32> = start.iter().chain(&labels[..labels.len() - 1]).copied().collect();
        let logits = self.logits(&tokens, &self.encode(&example.input)?)?;
        cross_entropy(&logits, &Tensor::new(&labels[..], &Device::Cpu)?)
    }

    /// The greedy output, of up to `limit` tokens.
    pub fn greedy(&self, input: &[u32], limit: usize) -> Result<Vec<u32>> {
        let states = self.encode(input)?;
        let mut tokens = vec![self.config.decoder_start_token_id];
        while tokens.len() <= limit {
            let logits = self.logits(&tokens, &states)?;
            let token = logits.get(tokens.len() - 1)?.argmax(0)?.to_scalar()?;
            tokens.push(token);
            if token == self.config.eos_token_id {
                break;
            }
        }
        Ok(tokens.split_off(1))
    }

    fn encode(&self, input: &[u32]) -> Result<Tensor> {
        self.stack(Stack::Encoder, input, None)
    }

    /// `[tokens, vocab_size]`.
    fn logits(&self, tokens: &[u32], states: &Tensor) -> Result<Tensor> {
        let mut x = self.stack(Stack::Decoder, tokens, Some(states))?;
        if self.config.scale_decoder_outputs {
            x = (x * (self.config.d_model as f64).powf(-0.5))?;
        }
        let head = self.weights.get("lm_head.weight").unwrap_or(&self.weights["shared.weight"]);
        x.matmul(&head.t()?)
    }

    fn stack(&self, stack: Stack, tokens: &[u32], states: Option<&Tensor>) -> Result<Tensor> {
        use LinearKind::*;
        let tokens = Tensor::new(tokens, &Device::Cpu)?;
        let mut x = self.weights["shared.weight"].index_select(&tokens, 0)?;
        let mut bias = self.position_bias(stack, 0, x.dim(0)?)?;
        for block in 0..self.config.blocks(stack) {
            if block > 0 && self.config.relative_attention_bias_per_block {
                bias = self.position_bias(stack, block, x.dim(0)?)?;
            }
            let id = |kind| LinearId { stack, block, kind };
            let normed = |layer: usize, x: &Tensor| {
                self.norm(&format!("{stack}.block.{block}.layer.{layer}.layer_norm.weight"), x)
            };
            let y = normed(0, &x)?;
            x = (&x
                + self.attention([SelfQ, SelfK, SelfV, SelfO].map(id), &y, &y, Some(&bias))?)?;
            if let Some(states) = states {
                let ids = [CrossQ, CrossK, CrossV, CrossO].map(id);
                x = (&x + self.attention(ids, &normed(1, &x)?, states, None)?)?;
            }
            let y = normed(if states.is_some() { 2 } else { 1 }, &x)?;
            let hidden = match self.config.feed_forward {
                FeedForward::Relu => self.linear(id(Wi), &y)?.relu()?,
                FeedForward::GatedGelu => {
                    (self.linear(id(Wi0), &y)?.gelu()? * self.linear(id(Wi1), &y)?)?
                }
            };
            x = (&x + self.linear(id(Wo), &hidden)?)?;
        }
        self.norm(&format!("{stack}.final_layer_norm.weight"), &x)
    }

    fn norm(&self, weight: &str, x: &Tensor) -> Result<Tensor> {
        let epsilon = f64::from(self.config.layer_norm_epsilon);
        let mean_square = (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?;
        x.broadcast_div(&mean_square.sqrt()?)?.broadcast_mul(&self.weights[weight])
    }

    fn linear(&self, id: LinearId, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.weights[&format!("{id}.weight")].t()?)?;
        match self.branches.get(&id) {
            None => Ok(y),
            Some(Branch { lora_a, lora_b, scales }) => {
                let reduced = x.matmul(&lora_a.t()?)?.broadcast_mul(scales)?;
                y + reduced.matmul(&lora_b.t()?)?
            }
        }
    }

    fn attention(
        &self,
        [q, k, v, o]: [LinearId; 4],
        x: &Tensor,
        states: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let heads = |id, x: &Tensor| {
            let rows = (x.dim(0)?, self.config.num_heads, self.config.d_kv);
            self.linear(id, x)?.reshape(rows)?.transpose(0, 1)?.contiguous()
        };
        let (q, k, v) = (heads(q, x)?, heads(k, states)?, heads(v, states)?);
        let mut scores = q.matmul(&k.transpose(1, 2)?)?;
        if let Some(bias) = bias {
            scores = (scores + bias)?;
        }
        let attended = softmax(&scores, D::Minus1)?.matmul(&v)?.transpose(0, 1)?;
        self.linear(o, &attended.reshape((x.dim(0)?, self.config.d_attention()))?)
    }

    /// `[num_heads, tokens, tokens]`, −∞ where the decoder's mask is.
    fn position_bias(&self, stack: Stack, block: usize, tokens: usize) -> Result<Tensor> {
        let layer = format!("{stack}.block.{block}.layer.0.SelfAttention");
        let name = format!("{layer}.relative_attention_bias.weight");
        let pairs = (0..tokens).flat_map(|query| (0..tokens).map(move |key| (query, key)));
        let buckets: Vec<u32> =
            pairs.clone().map(|(query, key)| self.bucket(stack, query, key)).collect();
        let is_masked = |(query, key)| stack == Stack::Decoder && key > query;
        let mask: Vec<f64> =
            pairs.map(|pair| if is_masked(pair) { f64::NEG_INFINITY } else { 0.0 }).collect();
        let mask = Tensor::from_vec(mask, (tokens, tokens), &Device::Cpu)?;
        let bias = self.weights[&name].index_select(&Tensor::new(buckets, &Device::Cpu)?, 0)?;
        bias.t()?.reshape((self.config.num_heads, tokens, tokens))?.broadcast_add(&mask)
    }

    /// `_relative_position_bucket` of transformers.
    fn bucket(&self, stack: Stack, query: usize, key: usize) -> u32 {
        let mut buckets = self.config.relative_attention_num_buckets;
        let mut offset = 0;
        let distance = match stack {
            Stack::Encoder => {
                buckets /= 2;
                offset = if key > query { buckets } else { 0 };
                key.abs_diff(query)
            }
            Stack::Decoder => query.saturating_sub(key),
        };
        let exact = buckets / 2;
        if distance < exact {
            return (offset + distance) as u32;
        }
        let limit = (self.config.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
        let share = (distance as f32 / exact as f32).ln() / limit;
        let far = exact + (share * (buckets - exact) as f32) as usize;
        (offset + far.min(buckets - 1)) as u32
    }
}
