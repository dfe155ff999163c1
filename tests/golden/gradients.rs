//! Gradients against PyTorch's autograd, on the random models with the fixtures that `make_gradients.py`
//! made, and against differences of the losses.

use loraloom::formats::{SafetensorsFile, TensorSource};
use loraloom::kernels::cpu::Isa;
use loraloom::kernels::parallel::with_threads;
use loraloom::lora::{AdapterSet, Merge};
use loraloom::model::{BranchGradient, Control, Gradients, Model, Precision, WithRespectTo};

use super::{Case, Golden, losses, read};

/// Largest distance of a tensor's gradient from autograd's, as a share of its norm.
const TOLERANCE: f64 = 1e-4;
const ALL: WithRespectTo = WithRespectTo { lora_a: true, lora_b: true };
/// Examples of the fixtures.
const EXAMPLES: usize = 5;

fn case(golden: &Golden) -> &Case {
    golden.expected.cases.iter().find(|case| case.name == "delta 0").unwrap()
}

fn gradients(golden: &Golden, precision: Precision, isa: Isa) -> Gradients {
    let model = golden.model(precision).with_isa(isa);
    let case = case(golden);
    let branches = golden.branches(case, &model).unwrap();
    let batch = model.differentiate(&case.batch()[..EXAMPLES]).unwrap();
    batch.gradients(&branches, ALL, &Control::none()).unwrap()
}

fn parts(gradient: &BranchGradient) -> [(&str, &[f32]); 3] {
    let BranchGradient { lora_a, lora_b, scales } = gradient;
    [("lora_a", lora_a), ("lora_b", lora_b), ("scales", scales)]
}

/// The norm of the difference as a share of the second vector's norm.
fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = found.iter().zip(expected).map(|(&a, &b)| f64::from(a) - f64::from(b));
    norm(&mut { difference }) / norm(&mut expected.iter().map(|&value| f64::from(value)))
}

#[test]
fn gradients_are_those_of_autograd() {
    for golden in Golden::all() {
        let name = golden.folder.file_name().unwrap().to_string_lossy().into_owned();
        let path = golden.folder.join(format!("../../gradients/{name}.safetensors"));
        let expected = SafetensorsFile::parse(read(&path)).unwrap();
        let tensor = |name: &str| expected.tensor(name).unwrap().unwrap().to_f32().unwrap();
        let found = gradients(&golden, Precision::F32, Isa::fastest());
        assert_eq!(3 * found.branches.len() + 1, expected.names().len(), "{name}");
        let found_losses: Vec<f32> = found.losses.iter().map(|example| example.loss).collect();
        assert!(distance(&found_losses, &tensor("losses")) < 2e-6, "{name}");
        for (id, gradient) in &found.branches {
            for (part, values) in parts(gradient) {
                let distance = distance(values, &tensor(&format!("{id}.{part}")));
                assert!(distance < TOLERANCE, "{name} {id}.{part}: {distance}");
            }
        }
    }
}

/// A module may be added to a composition that it is in already, and then both have the same gradient.
#[test]
fn gradients_at_0_are_those_of_the_same_modules_in_use() {
    for golden in Golden::all() {
        let (model, case) = (golden.model(Precision::F32), case(&golden));
        let adapters = golden.adapters(case);
        let adapters: Vec<_> = adapters.iter().collect();
        let set = AdapterSet::new(&golden.config, &adapters, case.merge.unwrap()).unwrap();
        let branches = golden.branches(case, &model).unwrap();
        let batch = model.differentiate(&case.batch()[..EXAMPLES]).unwrap();
        let candidates = set.candidates(Precision::F32);
        let found = batch.candidate_gradients(&branches, &candidates, &Control::none()).unwrap();
        let expected = batch.gradients(&branches, ALL, &Control::none()).unwrap().branches;
        let scales = expected.iter().map(|(&id, gradient)| (id, gradient.scales.clone()));
        assert_eq!(found, scales.collect(), "{}", golden.name(case));

        let mean = |change: f32, module: usize| {
            let mut weights = case.weights.clone();
            weights[module] += change;
            let set = AdapterSet::new(&golden.config, &adapters, case.merge.unwrap()).unwrap();
            let branches = set.into_branches(&weights, Precision::F32).unwrap();
            let losses = losses(&model, &case.batch()[..EXAMPLES], Some(&branches));
            losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len() as f64
        };
        // These models are far from linear, so that small changes say most.
        const CHANGE: f32 = 0.001;
        for (module, gradient) in set.coefficient_gradients(&found).into_iter().enumerate() {
            let slope = (mean(CHANGE, module) - mean(-CHANGE, module)) / f64::from(2.0 * CHANGE);
            let close = (slope - gradient).abs() <= 2e-3 + 0.05 * gradient.abs();
            assert!(close, "{} {module}: {slope} {gradient}", golden.name(case));
        }
        // Of several candidates each has the gradient that it has alone.
        let together = set.coefficient_gradients(&found);
        for (adapter, together) in adapters.iter().zip(together) {
            let set = AdapterSet::new(&golden.config, &[*adapter], Merge::Delta).unwrap();
            let packed = set.candidates(Precision::F32);
            let found = batch.candidate_gradients(&branches, &packed, &Control::none()).unwrap();
            let alone = set.coefficient_gradients(&found)[0];
            assert!((together - alone).abs() <= 1e-5 * alone.abs().max(1.0), "{together} {alone}");
        }
    }
}

/// The losses of a backward pass are those of an evaluation, whatever is kept or computed again.
#[test]
fn losses_have_the_bits_of_an_evaluation() {
    for golden in Golden::all() {
        for precision in [Precision::F32, Precision::Int8] {
            let model = golden.model(precision);
            let case = case(&golden);
            let branches = golden.branches(case, &model).unwrap();
            let expected = losses(&model, &case.batch()[..EXAMPLES], Some(&branches));
            let found = gradients(&golden, precision, Isa::fastest()).losses;
            let found: Vec<f32> = found.iter().map(|example| example.loss).collect();
            assert_eq!(found, expected, "{} {precision:?}", golden.name(case));
        }
    }
}

#[test]
fn gradients_have_the_same_bits_on_every_instruction_set_and_with_any_threads() {
    for golden in Golden::all() {
        for precision in [Precision::F32, Precision::Int8] {
            let expected = with_threads(1, || gradients(&golden, precision, Isa::PORTABLE));
            for isa in Isa::available() {
                for threads in [1, 3] {
                    let found = with_threads(threads, || gradients(&golden, precision, isa));
                    let name = golden.name(case(&golden));
                    assert_eq!(found, expected, "{name} {precision:?} {isa:?} {threads} threads");
                }
            }
        }
    }
}
