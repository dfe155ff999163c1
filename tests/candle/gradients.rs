//! Gradients of LoRA branches against candle's autograd, which differentiates in f64, on random models whose
//! sizes are no multiples of anything.

use candle_core::{Tensor, Var};
use loraloom::lora::Merge;
use loraloom::model::{BranchGradient, Control, Gradients, Model, WithRespectTo};

use crate::distance;
use crate::models::{self, Geometry, RandomModel};
use crate::t5::{self, Branch, T5};

/// Largest distance of a tensor's gradient from autograd's, as a share of its norm. candle's own gradients in
/// f32 are up to 3e-6 from those in f64.
const TOLERANCE: f64 = 2e-5;

/// Relu and gated, tied and not, one block and several, widths of 1 upward.
const GEOMETRIES: [Geometry; 5] = [
    Geometry {
        vocab_size: 61,
        d_model: 23,
        d_kv: 5,
        num_heads: 3,
        d_ff: 37,
        blocks: [2, 1],
        buckets: 8,
        max_distance: 20,
        feed_forward: "gated-gelu",
        tied: true,
    },
    Geometry {
        vocab_size: 130,
        d_model: 41,
        d_kv: 7,
        num_heads: 2,
        d_ff: 19,
        blocks: [1, 3],
        buckets: 32,
        max_distance: 128,
        feed_forward: "relu",
        tied: false,
    },
    Geometry {
        vocab_size: 33,
        d_model: 17,
        d_kv: 3,
        num_heads: 5,
        d_ff: 53,
        blocks: [2, 2],
        buckets: 16,
        max_distance: 50,
        feed_forward: "gated-gelu",
        tied: false,
    },
    Geometry {
        vocab_size: 7,
        d_model: 5,
        d_kv: 1,
        num_heads: 1,
        d_ff: 3,
        blocks: [1, 1],
        buckets: 4,
        max_distance: 3,
        feed_forward: "relu",
        tied: true,
    },
    Geometry {
        vocab_size: 257,
        d_model: 67,
        d_kv: 17,
        num_heads: 3,
        d_ff: 131,
        blocks: [1, 1],
        buckets: 32,
        max_distance: 128,
        feed_forward: "gated-gelu",
        tied: false,
    },
];

/// Lengths of inputs and labels, beyond the exact and the largest distances of the smaller geometries.
const LENGTHS: [[usize; 2]; 4] = [[9, 4], [1, 2], [70, 1], [33, 37]];

/// Turns the branches' matrices and scales into variables.
fn variables(branch: &Branch) -> [Var; 3] {
    let Branch { lora_a, lora_b, scales } = branch;
    [lora_a, lora_b, scales].map(|tensor| Var::from_tensor(tensor).unwrap())
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn gradients_of_every_matrix_and_scale_are_those_of_candles_autograd() {
    for (seed, geometry) in (0..).zip(&GEOMETRIES) {
        for (merge, ranks, weights) in [
            (Merge::Delta, [3, 1, 2], [0.7f32, -0.4, 1.3]),
            (Merge::Lorahub, [3, 3, 3], [0.5, 0.9, -0.6]),
        ] {
            let mut random = RandomModel::new(geometry, seed);
            let adapters: Vec<_> =
                ranks.iter().map(|&rank| random.adapter(rank, 2 * ranks[0])).collect();
            let batch = random.examples(&LENGTHS);
            let config = &random.config;

            let branches = models::branches(config, &adapters, &weights, merge).unwrap();
            let all = WithRespectTo { lora_a: true, lora_b: true };
            let prepared = random.model().differentiate(&batch).unwrap();
            let found = prepared.gradients(&branches, all, &Control::none()).unwrap();
            let Gradients { losses, branches: found } = found;

            let branches = t5::branches(&adapters, &weights, merge).unwrap();
            let mut model = T5::new(config, &random.source, branches).unwrap();
            let mut parts = Vec::new();
            for (&id, branch) in &mut model.branches {
                let [lora_a, lora_b, scales] = variables(branch);
                let tensor = |var: &Var| var.as_tensor().clone();
                *branch = Branch {
                    lora_a: tensor(&lora_a),
                    lora_b: tensor(&lora_b),
                    scales: tensor(&scales),
                };
                parts.push((id, [("lora_a", lora_a), ("lora_b", lora_b), ("scales", scales)]));
            }
            let expected: Vec<Tensor> =
                batch.iter().map(|example| model.loss(example).unwrap()).collect();
            let expected = Tensor::stack(&expected, 0).unwrap();
            let found_losses: Vec<f32> = losses.iter().map(|example| example.loss).collect();
            let of_losses = distance(&found_losses, &values(&expected));
            assert!(of_losses < 2e-6, "{seed} {merge:?}: losses {of_losses}");

            let gradients = expected.mean_all().unwrap().backward().unwrap();
            assert_eq!(found.len(), parts.len(), "{seed} {merge:?}");
            for (id, parts) in parts {
                let BranchGradient { lora_a, lora_b, scales } = &found[&id];
                for ((part, var), found) in parts.iter().zip([lora_a, lora_b, scales]) {
                    let distance = distance(found, &values(gradients.get(var).unwrap()));
                    assert!(distance < TOLERANCE, "{seed} {merge:?} {id}.{part}: {distance}");
                }
            }
        }
    }
}
