//! The names of T5's tensors in Hugging Face's files, and their shapes.

use super::T5Config;
use crate::model::{LinearId, ModelConfig, Stack, TensorKind, TensorSpecs};

/// Names of the shared embedding; some exports keep only one of them.
pub(super) const EMBEDDING: [&str; 3] =
    ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];
pub(super) const LM_HEAD: &str = "lm_head.weight";
/// In the first published T5s; cross-attention has no position bias.
pub(super) const CROSS_ATTENTION_BIAS: &str =
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";

pub(super) fn norm(stack: Stack, block: usize, layer: usize) -> String {
    format!("{stack}.block.{block}.layer.{layer}.layer_norm.weight")
}

pub(super) fn relative_attention_bias(stack: Stack, block: usize) -> String {
    format!("{stack}.block.{block}.layer.0.SelfAttention.relative_attention_bias.weight")
}

pub(super) fn final_norm(stack: Stack) -> String {
    format!("{stack}.final_layer_norm.weight")
}

pub(super) fn linear(id: LinearId) -> String {
    format!("{id}.weight")
}

/// Every tensor of a model.
pub(super) fn specs(config: &T5Config) -> TensorSpecs {
    let table = vec![config.vocab_size, config.d_model];
    let embedding = TensorKind::Embedding { tied: config.tie_word_embeddings };
    let mut all = TensorSpecs::from([
        (EMBEDDING[0].to_owned(), (embedding, table.clone())),
        (LM_HEAD.to_owned(), (TensorKind::LmHead, table)),
    ]);
    let mut vector = |name: String, shape: &[usize]| {
        all.insert(name, (TensorKind::Vector, shape.to_vec()));
    };
    let bias = [config.relative_attention_num_buckets, config.num_heads];
    let d_model = [config.d_model];
    for stack in [Stack::Encoder, Stack::Decoder] {
        for block in config.biased_blocks(stack) {
            vector(relative_attention_bias(stack, block), &bias);
        }
        vector(final_norm(stack), &d_model);
        let layers = if stack == Stack::Encoder { 2 } else { 3 };
        for block in 0..config.blocks(stack) {
            (0..layers).for_each(|layer| vector(norm(stack, block, layer), &d_model));
        }
    }
    for (id, shape) in config.linear_layers() {
        all.insert(linear(id), (TensorKind::Linear, shape.to_vec()));
    }
    all
}
