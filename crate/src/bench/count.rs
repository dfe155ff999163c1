//! Multiply-adds and bytes of a workload, by its shapes. The activation functions, norms and
//! softmax are not counted.

use super::synthetic::layers;
use super::{Batch, Modules, Work};
use crate::model::t5::T5Config;
use crate::model::{LinearId, LinearKind, ModelConfig, Stack};

fn is_cross_memory(id: LinearId) -> bool {
    matches!(id.kind, LinearKind::CrossK | LinearKind::CrossV)
}

/// Weights of a stack's linear layers, but for the keys and values of the encoder's output.
fn weights(config: &T5Config, stack: Stack) -> u64 {
    sum(config, layers(config, stack).into_iter().filter(|&id| !is_cross_memory(id)))
}

/// Weights of the layers that make the decoder's keys and values of the encoder's output.
fn memory_weights(config: &T5Config) -> u64 {
    sum(config, layers(config, Stack::Decoder).into_iter().filter(|&id| is_cross_memory(id)))
}

fn sum(config: &T5Config, layers: impl Iterator<Item = LinearId>) -> u64 {
    layers.filter_map(|id| config.linear_shape(id)).map(|[d_out, d_in]| (d_out * d_in) as u64).sum()
}

fn lm_head(config: &T5Config) -> u64 {
    (config.vocab_size * config.d_model) as u64
}

/// Attention's two products of every block of a stack, for one query over `positions`.
fn attention(config: &T5Config, stack: Stack, positions: u64) -> u64 {
    2 * (config.blocks(stack) * config.d_attention()) as u64 * positions
}

fn encode(config: &T5Config, tokens: u64) -> u64 {
    tokens * (weights(config, Stack::Encoder) + attention(config, Stack::Encoder, tokens))
}

fn decode(config: &T5Config, tokens: u64, targets: u64) -> u64 {
    // Target `i` attends over itself and those before it.
    let own = attention(config, Stack::Decoder, 1) * (targets * (targets + 1) / 2);
    let cross = attention(config, Stack::Decoder, tokens) * targets;
    targets * (weights(config, Stack::Decoder) + lm_head(config)) + own + cross
}

/// The encoder over the batch.
pub(super) fn encoder(config: &T5Config, batch: &Batch) -> Work {
    let multiply_adds = batch.examples as u64 * encode(config, batch.tokens as u64);
    Work { multiply_adds, ..Work::default() }
}

/// The encoder, and the keys and values of its output that the decoder needs.
pub(super) fn before_decoding(config: &T5Config, batch: &Batch) -> u64 {
    let tokens = (batch.examples * batch.tokens) as u64;
    encoder(config, batch).multiply_adds + tokens * memory_weights(config)
}

/// Multiply-adds of a loss that a learning run on the CPU makes once: the base's projections of the
/// embeddings.
fn prepared(config: &T5Config, batch: &Batch) -> u64 {
    use LinearKind::{SelfK, SelfQ, SelfV};
    let first = |id: &LinearId| id.block == 0 && matches!(id.kind, SelfQ | SelfK | SelfV);
    let weights = |stack| sum(config, layers(config, stack).into_iter().filter(first));
    let of_one = batch.tokens as u64 * weights(Stack::Encoder)
        + batch.targets as u64 * weights(Stack::Decoder);
    batch.examples as u64 * of_one
}

/// What is left of [`evaluation`] for each evaluation of a learning run on the CPU.
pub(super) fn prepared_evaluation(config: &T5Config, batch: &Batch, modules: &Modules) -> Work {
    let whole = evaluation(config, batch, modules);
    Work { multiply_adds: whole.multiply_adds - prepared(config, batch), ..whole }
}

/// One loss of the whole batch, with the merge of the modules and their LoRA branch.
pub(super) fn evaluation(config: &T5Config, batch: &Batch, modules: &Modules) -> Work {
    let (tokens, targets) = (batch.tokens as u64, batch.targets as u64);
    let base =
        before_decoding(config, batch) + batch.examples as u64 * decode(config, tokens, targets);
    // Summed modules become one branch of their rank, stacked ones a branch of all ranks.
    let (rank, merged) = if modules.merge.is_summed() {
        (modules.rank, modules.modules)
    } else {
        (modules.rank * modules.modules, 0)
    };
    let mut low_rank = 0;
    for stack in [Stack::Encoder, Stack::Decoder] {
        for id in layers(config, stack) {
            if !matches!(id.kind.target(), "q" | "v") {
                continue;
            }
            let Some([d_out, d_in]) = config.linear_shape(id) else { continue };
            let over_inputs = stack == Stack::Encoder || is_cross_memory(id);
            let rows = batch.examples as u64 * if over_inputs { tokens } else { targets };
            low_rank += rows * (rank * (d_out + d_in)) as u64;
            low_rank += (merged * modules.rank * (d_out + d_in)) as u64;
        }
    }
    Work { multiply_adds: base + low_rank, ..Work::default() }
}

/// One step of tuning: the forward pass; for each product the gradient of its input, which is another
/// product of that size; and the low-rank branches a third time, for the gradient of B. What is
/// computed again in place of being kept is not counted.
pub(super) fn gradient(config: &T5Config, batch: &Batch, modules: &Modules) -> Work {
    let none = Modules { modules: 0, rank: 0, ..modules.clone() };
    let base = evaluation(config, batch, &none).multiply_adds;
    let all = evaluation(config, batch, modules).multiply_adds;
    // Attention has two more products in the backward pass than in the forward pass.
    let targets = batch.targets as u64;
    let attention = attention(config, Stack::Encoder, batch.tokens as u64) * batch.tokens as u64
        + attention(config, Stack::Decoder, targets + batch.tokens as u64) * targets;
    let multiply_adds =
        2 * base - prepared(config, batch) + 3 * (all - base) + batch.examples as u64 * attention;
    Work { multiply_adds, ..Work::default() }
}

/// `new_tokens` greedy steps of the batch after its encoder. Bytes are the weights that each step
/// reads, at the precision's own size, and the keys and values.
pub(super) fn decoding(config: &T5Config, batch: &Batch, new_tokens: usize) -> Work {
    let (examples, tokens, steps) = (batch.examples as u64, batch.tokens as u64, new_tokens as u64);
    let per_weight = batch.precision.weight_bytes() as u64;
    let weights = weights(config, Stack::Decoder) + lm_head(config);
    let cached = attention(config, Stack::Decoder, 1) * 4 * examples;
    Work {
        multiply_adds: examples * decode(config, tokens, steps),
        bytes: steps * (weights * per_weight + cached * tokens)
            + cached * (steps * (steps + 1) / 2),
        tokens: examples * steps,
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;
    use crate::lora::Merge;
    use crate::model::Precision;

    #[test]
    fn the_counts_of_flan_t5_small_are_those_worked_out_by_hand() {
        let config = synthetic::config("flan-t5-small").unwrap();
        let batch = Batch {
            model: "flan-t5-small".to_owned(),
            precision: Precision::Int8,
            examples: 5,
            tokens: 128,
            targets: 8,
        };
        // 8 blocks of q, k, v, o (512 · 384 each) and three matrices of 512 · 1024.
        assert_eq!(weights(&config, Stack::Encoder), 8 * (4 * 512 * 384 + 3 * 512 * 1024));
        let attention = 8 * 2 * 384 * 128;
        assert_eq!(
            encoder(&config, &batch).multiply_adds,
            5 * 128 * (8 * (4 * 512 * 384 + 3 * 512 * 1024) + attention)
        );
        let none = Modules { modules: 0, rank: 16, merge: Merge::Lorahub };
        let many = Modules { modules: 20, ..none.clone() };
        let path = evaluation(&config, &batch, &many).multiply_adds
            - evaluation(&config, &Batch { ..batch.clone() }, &none).multiply_adds;
        // Without modules the path is still there: what 20 add is the merge alone.
        assert_eq!(path, 20 * 16 * (512 + 384) * 2 * (8 + 8 + 8));
        // A token of one input reads every weight of the decoder once.
        let alone = Batch { examples: 1, ..batch };
        let whole = evaluation(&config, &alone, &none).multiply_adds;
        let prepared = prepared_evaluation(&config, &alone, &none).multiply_adds;
        assert_eq!(whole - prepared, 3 * 512 * 384 * (128 + 8));
        let decoder = 8 * (6 * 512 * 384 + 3 * 512 * 1024) + 32128 * 512;
        let keys_and_values = 8 * 2 * 384 * 4 * (128 + 1);
        assert_eq!(decoding(&config, &alone, 1).bytes, decoder + keys_and_values);
    }
}
