//! Relative position bias: one learned number per head and bucket of distances.

use super::T5Config;
use crate::kernels::cpu::ln;
use crate::model::Stack;

/// The bucket of the distance from a query to a key, `key - query`, as in Mesh TensorFlow and
/// Hugging Face's `_relative_position_bucket`: half of the (one-sided) buckets hold one distance
/// each, the others grow logarithmically up to `max_distance`.
fn bucket(distance: isize, bidirectional: bool, buckets: usize, max_distance: usize) -> usize {
    let (offset, one_sided, size) = if bidirectional {
        let half = buckets / 2;
        (if distance > 0 { half } else { 0 }, half, distance.unsigned_abs())
    } else {
        (0, buckets, distance.min(0).unsigned_abs())
    };
    let exact = one_sided / 2;
    if size < exact {
        return offset + size;
    }
    // In f32, where Hugging Face rounds.
    let log = |ratio: f32| ln(f64::from(ratio)) as f32;
    let ratio = log(size as f32 / exact as f32) / log(max_distance as f32 / exact as f32);
    let far = (ratio * (one_sided - exact) as f32) as usize;
    offset + (exact + far).min(one_sided - 1)
}

/// The biases of a stack's blocks.
#[derive(Debug, Clone)]
pub(super) struct PositionBiases {
    /// One for each block, or one for all.
    biases: Vec<PositionBias>,
}

impl PositionBiases {
    /// The biases for examples of up to `longest` positions; each of `weights` is
    /// `[buckets, num_heads]`.
    pub(super) fn new(
        config: &T5Config,
        weights: &[Vec<f32>],
        stack: Stack,
        longest: usize,
    ) -> Self {
        let bias = |weight: &Vec<f32>| PositionBias::new(config, weight, stack, longest);
        Self { biases: weights.iter().map(bias).collect() }
    }

    /// The bias of a block.
    pub(super) fn of(&self, block: usize) -> &PositionBias {
        &self.biases[block.min(self.biases.len() - 1)]
    }
}

/// A block's bias by distance for every head.
#[derive(Debug, Clone)]
pub(super) struct PositionBias {
    /// `[num_heads, 2·reach − 1]`, distances from −(reach − 1) to reach − 1.
    values: Vec<f32>,
    reach: usize,
}

impl PositionBias {
    /// The bias for examples of up to `longest` positions; `weight` is `[buckets, num_heads]`.
    pub(super) fn new(config: &T5Config, weight: &[f32], stack: Stack, longest: usize) -> Self {
        let reach = longest.max(1);
        let buckets: Vec<usize> = (0..Self::width(longest))
            .map(|index| {
                bucket(
                    index as isize - (reach as isize - 1),
                    stack == Stack::Encoder,
                    config.relative_attention_num_buckets,
                    config.relative_attention_max_distance,
                )
            })
            .collect();
        let values = (0..config.num_heads)
            .flat_map(|head| buckets.iter().map(move |b| weight[b * config.num_heads + head]))
            .collect();
        Self { values, reach }
    }

    /// Distances of examples of up to `longest` positions.
    pub(super) fn width(longest: usize) -> usize {
        2 * longest.max(1) - 1
    }

    /// One head's bias by distance, and the index of distance 0.
    pub(super) fn head(&self, head: usize) -> (&[f32], usize) {
        let width = Self::width(self.reach);
        (&self.values[head * width..(head + 1) * width], self.reach - 1)
    }
}
