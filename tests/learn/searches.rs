//! The searches on the recorded objectives.

use loraloom::learn::{Optimizer, search};

use crate::objectives::{lowest, minimize, searches};

const OPTIMIZERS: [Optimizer; 4] =
    [Optimizer::Cobyla, Optimizer::CmaEs, Optimizer::Greedy, Optimizer::RidgeTrustRegion];

#[test]
fn every_search_starts_at_zero_stays_within_its_bounds_and_repeats_a_batch_without_losses() {
    for optimizer in OPTIMIZERS {
        for dimensions in [1, 2, 9] {
            let mut search = search(optimizer, dimensions, 0.7, 3);
            assert_eq!(search.ask(), [vec![0.0; dimensions]]);
            for _ in 0..200 {
                let batch = search.ask();
                assert_eq!(batch, search.ask(), "{}", search.name());
                assert!(batch.iter().flatten().all(|weight| weight.abs() <= 0.7));
                // The minimum is beyond the bounds.
                let losses: Vec<f64> = batch.iter().map(|w| -w.iter().sum::<f64>()).collect();
                if losses.is_empty() {
                    break;
                }
                search.tell(&losses);
            }
        }
    }
}

#[test]
fn cma_es_finds_the_minimum_of_a_quadratic() {
    let target = [0.4, -0.9, 0.1, 1.1];
    let loss = |w: &[f64]| -> f64 {
        w.iter().zip(target).enumerate().map(|(i, (x, t))| (i + 1) as f64 * (x - t) * (x - t)).sum()
    };
    let mut search = search(Optimizer::CmaEs, 4, 1.5, 1);
    assert!(lowest(&minimize(search.as_mut(), 1200, loss)) < 1e-8);
}

#[test]
fn cobyla_restarts_from_its_best_point_after_convergence() {
    let loss = |w: &[f64]| (w[0] - 0.3) * (w[0] - 0.3) + (w[1] + 0.2) * (w[1] + 0.2);
    let mut search = search(Optimizer::Cobyla, 2, 1.5, 0);
    let evaluations = minimize(search.as_mut(), 400, loss);
    assert_eq!(evaluations.len(), 400);
    assert!(lowest(&evaluations) < 1e-9);
}

#[test]
fn model_based_searches_improve_on_the_recorded_objectives() {
    let fixture = searches();
    for case in fixture.cases.iter().filter(|case| case.budget == 40 && case.dimensions == 7) {
        for optimizer in [Optimizer::Cobyla, Optimizer::CmaEs, Optimizer::RidgeTrustRegion] {
            let mut search = search(optimizer, case.dimensions, fixture.bound, 5);
            let evaluations = minimize(search.as_mut(), 80, |w| case.parameters.loss(w));
            let start = evaluations[0].loss;
            assert!(lowest(&evaluations) < 0.9 * start, "{optimizer:?} on {}", case.objective);
        }
    }
}
