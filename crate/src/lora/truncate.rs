//! The best approximation of an update by one of a lower rank: its truncated singular value decomposition
//! (Eckart and Young, 1936).

use std::collections::BTreeMap;

use serde::Serialize;

use super::merge::MergedLayer;
use super::svd::{Columns, Svd, dot, svd_of_product};
use crate::kernels::parallel::for_each_item;
use crate::model::LinearId;

/// What a lower rank keeps of an adapter's update.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truncation {
    /// The largest rank of a layer.
    pub rank: usize,
    /// The kept share of the update's Frobenius norm, over all layers: 1 if nothing is lost.
    pub kept: f64,
    /// The layer that loses most; none if every layer has that rank already.
    pub worst: Option<TruncatedLayer>,
}

/// What a lower rank keeps of one layer's update.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TruncatedLayer {
    /// The layer, as Hugging Face names it.
    pub layer: String,
    /// The kept share of its update's Frobenius norm.
    pub kept: f64,
}

/// Squares of Frobenius norms.
#[derive(Clone, Copy, Default)]
struct Norms {
    whole: f64,
    kept: f64,
}

impl Norms {
    fn kept_share(self) -> f64 {
        if self.whole > 0.0 { (self.kept / self.whole).sqrt() } else { 1.0 }
    }
}

/// Replaces the update of each layer of a higher rank by its best approximation of this rank.
pub(super) fn truncate(layers: &mut BTreeMap<LinearId, MergedLayer>, rank: usize) -> Truncation {
    let mut norms = vec![Norms::default(); layers.len()];
    let truncated: Vec<bool> = layers.values().map(|layer| layer.scales.len() > rank).collect();
    // Householder reflections pass over the matrices once for each rank.
    let cost = |layer: &MergedLayer| layer.scales.len() * (layer.lora_a.len() + layer.lora_b.len());
    let cost = layers.values().map(cost).max().unwrap_or(0);
    let items = layers.values_mut().zip(&mut norms).collect();
    for_each_item(items, cost, |(layer, norms)| *norms = truncate_layer(layer, rank));

    let mut total = Norms::default();
    let mut worst: Option<TruncatedLayer> = None;
    for ((id, norms), truncated) in layers.keys().zip(norms).zip(truncated) {
        total.whole += norms.whole;
        total.kept += norms.kept;
        let kept = norms.kept_share();
        if truncated && worst.as_ref().is_none_or(|worst| kept < worst.kept) {
            worst = Some(TruncatedLayer { layer: id.to_string(), kept });
        }
    }
    let rank = layers.values().map(|layer| layer.scales.len()).max().unwrap_or(0);
    Truncation { rank, kept: total.kept_share(), worst }
}

fn truncate_layer(layer: &mut MergedLayer, rank: usize) -> Norms {
    let count = layer.scales.len();
    let d_in = layer.lora_a.len() / count;
    let lora_a: Columns = (layer.lora_a.chunks_exact(d_in))
        .map(|row| row.iter().copied().map(f64::from).collect())
        .collect();
    let column = |(index, &scale): (usize, &f32)| {
        let values = layer.lora_b.iter().skip(index).step_by(count);
        values.map(|&value| f64::from(scale) * f64::from(value)).collect()
    };
    let lora_b: Columns = layer.scales.iter().enumerate().map(column).collect();
    if count <= rank {
        let whole = squared_norm_of_product(&lora_b, &lora_a);
        return Norms { whole, kept: whole };
    }
    let Svd { mut left, values, mut right } = svd_of_product(lora_b, lora_a);
    let rank = rank.min(values.len());
    // The root of each value in either matrix, so that both are of one size.
    for columns in [&mut left, &mut right] {
        columns.truncate(rank);
        for (column, value) in columns.iter_mut().zip(&values) {
            column.iter_mut().for_each(|entry| *entry *= value.sqrt());
        }
    }
    let d_out = layer.lora_b.len() / count;
    let row = |row: usize| left.iter().map(move |column| column[row] as f32);
    layer.lora_b = (0..d_out).flat_map(row).collect();
    layer.lora_a = right.iter().flatten().map(|&value| value as f32).collect();
    layer.scales = vec![1.0; rank];
    let squared_norm = |values: &[f64]| values.iter().map(|value| value * value).sum();
    Norms { whole: squared_norm(&values), kept: squared_norm(&values[..rank]) }
}

/// The squared Frobenius norm of `left · rightᵀ`: the sum of the products of the entries of `leftᵀ · left`
/// and `rightᵀ · right`.
fn squared_norm_of_product(left: &Columns, right: &Columns) -> f64 {
    let pairs = (0..left.len()).flat_map(|i| (0..left.len()).map(move |j| (i, j)));
    pairs.map(|(i, j)| dot(&left[i], &left[j]) * dot(&right[i], &right[j])).sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LinearKind, Stack};
    use crate::random::Random;

    fn layer(random: &mut Random, d_out: usize, d_in: usize, rank: usize) -> MergedLayer {
        let mut values = |count: usize| -> Vec<f32> {
            (0..count).map(|_| (random.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
        };
        MergedLayer {
            lora_a: values(rank * d_in),
            lora_b: values(d_out * rank),
            scales: values(rank),
        }
    }

    /// The entries of `B · (scales ⊙ A)`.
    fn product(layer: &MergedLayer) -> Vec<f64> {
        let rank = layer.scales.len();
        let d_in = layer.lora_a.len() / rank;
        let mut product = Vec::new();
        for row in layer.lora_b.chunks_exact(rank) {
            product.extend((0..d_in).map(|column| {
                let terms = row.iter().zip(&layer.scales).enumerate();
                let term = |(index, (&b, &scale))| {
                    f64::from(b) * f64::from(scale) * f64::from(layer.lora_a[index * d_in + column])
                };
                terms.map(term).sum::<f64>()
            }));
        }
        product
    }

    fn norm(values: impl Iterator<Item = f64>) -> f64 {
        values.map(|value| value * value).sum::<f64>().sqrt()
    }

    fn difference(a: &[f64], b: &[f64]) -> f64 {
        norm(a.iter().zip(b).map(|(a, b)| a - b))
    }

    fn id(block: usize) -> LinearId {
        LinearId { stack: Stack::Encoder, block, kind: LinearKind::SelfQ }
    }

    #[test]
    fn a_rank_that_the_product_does_not_exceed_loses_nothing() {
        let mut random = Random(1);
        // Four times the same module, and a layer with fewer outputs than ranks.
        let one = layer(&mut random, 13, 9, 3);
        let repeated = MergedLayer {
            lora_a: one.lora_a.repeat(4),
            lora_b: one.lora_b.chunks_exact(3).flat_map(|row| row.repeat(4)).collect(),
            scales: (0..12).map(|index| one.scales[index % 3] * (1 + index / 3) as f32).collect(),
        };
        let flat = layer(&mut random, 2, 30, 7);
        let before = [&repeated, &flat].map(product);
        let mut layers = BTreeMap::from([(id(0), repeated), (id(1), flat)]);
        let Truncation { rank, kept, worst } = truncate(&mut layers, 3);
        assert_eq!((rank, layers[&id(0)].scales.len(), layers[&id(1)].scales.len()), (3, 3, 2));
        assert!((kept - 1.0).abs() < 1e-12 && (worst.unwrap().kept - 1.0).abs() < 1e-12);
        for (before, layer) in before.iter().zip(layers.values()) {
            let norm = norm(before.iter().copied());
            assert!(difference(before, &product(layer)) < 1e-6 * norm);
        }
    }

    #[test]
    fn layers_of_that_rank_keep_their_bits() {
        let kept = layer(&mut Random(2), 6, 5, 4);
        let mut layers = BTreeMap::from([(id(0), kept.clone())]);
        for rank in [4, 9] {
            let found = truncate(&mut layers, rank);
            assert_eq!(found, Truncation { rank: 4, kept: 1.0, worst: None });
            let MergedLayer { lora_a, lora_b, scales } = &layers[&id(0)];
            assert_eq!((lora_a, lora_b, scales), (&kept.lora_a, &kept.lora_b, &kept.scales));
        }
    }

    /// The error is that of the singular values left out, and no other matrices of that rank have less.
    #[test]
    fn the_loss_is_the_error_and_nothing_near_is_better() {
        let mut random = Random(3);
        for (d_out, d_in, count, rank) in [(13, 21, 8, 3), (40, 17, 16, 15), (11, 11, 30, 1)] {
            let whole = layer(&mut random, d_out, d_in, count);
            let small = layer(&mut random, 4, 4, 1);
            let before = product(&whole);
            let of_small = norm(product(&small).into_iter());
            let mut layers = BTreeMap::from([(id(0), whole), (id(1), small)]);
            let Truncation { kept, worst, .. } = truncate(&mut layers, rank);
            let worst = worst.unwrap();
            assert_eq!(worst.layer, id(0).to_string());
            let cut = &layers[&id(0)];
            let (error, norm) = (difference(&before, &product(cut)), norm(before.iter().copied()));
            let expected = norm * (1.0 - worst.kept * worst.kept).sqrt();
            assert!((error / expected - 1.0).abs() < 1e-5, "{error} {expected}");
            let total = (norm * norm + of_small * of_small).sqrt();
            let of_both = ((total * total - error * error) / (total * total)).sqrt();
            assert!((kept - of_both).abs() < 1e-6, "{kept} {of_both}");
            for _ in 0..50 {
                let mut near = cut.clone();
                let index = random.below(near.lora_b.len());
                near.lora_b[index] += 0.01 * (random.below(5) as f32 - 2.0);
                let index = random.below(near.lora_a.len());
                near.lora_a[index] += 0.01 * (random.below(5) as f32 - 2.0);
                assert!(difference(&before, &product(&near)) >= error * (1.0 - 1e-6));
            }
        }
    }
}
