//! COBYLA against the runs of the reference implementation that make_reference.py recorded.

use loraloom::learn::Cobyla;

use crate::objectives::{lowest, minimize, searches};

/// Tolerance of a coefficient.
const TOLERANCE: f64 = 1e-12;
/// Points that have to be equal. In fewer dimensions the search sooner reaches simplices with
/// vertices equally far from the pole, where the last bit of the reference's BLAS decides which one
/// is replaced.
fn compared(dimensions: usize) -> usize {
    if dimensions < 20 { 21 } else { 40 }
}

#[test]
fn cobyla_visits_the_points_of_the_reference_and_reaches_its_loss() {
    let fixture = searches();
    for case in &fixture.cases {
        let name = format!("{} in {} dimensions", case.objective, case.dimensions);
        let mut search = Cobyla::new(case.dimensions, fixture.bound);
        let ours = minimize(&mut search, case.budget, |w| case.parameters.loss(w));
        assert_eq!(ours.len(), case.evaluations.len(), "{name}");
        let pairs = ours.iter().zip(&case.evaluations).take(compared(case.dimensions));
        for (number, (mine, theirs)) in pairs.enumerate() {
            for (a, b) in mine.weights.iter().zip(&theirs.weights) {
                assert!((a - b).abs() <= TOLERANCE, "{name}, point {}: {a} {b}", number + 1);
            }
            let difference = (mine.loss - theirs.loss).abs();
            assert!(difference <= 1e-11 * theirs.loss.abs(), "{name}, point {}", number + 1);
        }
        // On an objective with noise the end is chance once the points have parted.
        if case.objective != "noisy" || compared(case.dimensions) == case.budget {
            let (mine, theirs) = (lowest(&ours), lowest(&case.evaluations));
            assert!(mine <= theirs + 1e-6, "{name}: {mine} {theirs}");
        }
    }
}
