//! The model on the GPU against the CPU and Hugging Face. Without a GPU, not even a software one, these
//! tests print that they are skipped.

use std::sync::{Arc, OnceLock};

use loraloom::kernels::gpu::{Gpu, GpuError};
use loraloom::lora::{AdapterSet, Merge};
use loraloom::model::t5::T5Model;
use loraloom::model::{Control, ExampleLoss, GpuModel, GpuModules, Model, ModelError, Precision};
use pollster::block_on;

use super::{Case, Golden, bits, losses};

fn open() -> Option<Arc<Gpu>> {
    match block_on(Gpu::open()) {
        Ok(gpu) => Some(Arc::new(gpu)),
        Err(error @ GpuError::NoAdapter { .. }) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The device that all tests share, as its kernels take long to compile.
fn device() -> Option<Arc<Gpu>> {
    static DEVICE: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    DEVICE.get_or_init(open).clone()
}

fn load(golden: &Golden, precision: Precision) -> Option<(T5Model, Box<dyn GpuModel>)> {
    let model = golden.model(precision);
    let loaded = block_on(model.load_gpu(device()?)).unwrap();
    Some((model, loaded))
}

/// The case's modules on the device, and their coefficients.
fn modules(golden: &Golden, case: &Case, model: &dyn GpuModel) -> Option<(GpuModules, Vec<f32>)> {
    let weighted = golden.adapters(case).into_iter().zip(case.weights.iter().copied());
    let (adapters, coefficients): (Vec<_>, Vec<_>) =
        weighted.filter(|&(_, weight)| weight != 0.0).unzip();
    let composition = AdapterSet::new(&golden.config, &adapters, case.merge?).unwrap();
    Some((composition.upload(model).unwrap(), coefficients))
}

/// Losses of one vector of coefficients.
fn composed_losses(
    model: &dyn GpuModel,
    case: &Case,
    composed: Option<&(GpuModules, Vec<f32>)>,
) -> Vec<f32> {
    let coefficients = composed.map_or(&[][..], |(_, coefficients)| coefficients);
    let modules = composed.map(|(modules, _)| modules);
    gpu_losses(model, case, modules, &[coefficients], 1).remove(0)
}

fn gpu_losses(
    model: &dyn GpuModel,
    case: &Case,
    modules: Option<&GpuModules>,
    coefficients: &[&[f32]],
    members: usize,
) -> Vec<Vec<f32>> {
    let evaluation = model.prepare(&case.batch(), modules, members).unwrap();
    let each = |vector: &&[f32]| vector.iter().map(|&one| [one; 4]).collect::<Vec<_>>();
    let vectors: Vec<Vec<_>> = coefficients.iter().map(each).collect();
    let vectors: Vec<&[_]> = vectors.iter().map(Vec::as_slice).collect();
    let losses = block_on(evaluation.losses(&vectors, &Control::none())).unwrap();
    let values = |losses: &Vec<ExampleLoss>| losses.iter().map(|example| example.loss).collect();
    losses.iter().map(values).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let difference = (found - expected).abs() / expected;
        assert!(difference < tolerance, "{what}: {found} for {expected}");
    }
}

#[test]
fn losses_in_f32_are_hugging_faces() {
    for golden in Golden::all() {
        let Some((_, model)) = load(&golden, Precision::F32) else { return };
        for case in &golden.expected.cases {
            let modules = modules(&golden, case, &*model);
            let found = composed_losses(&*model, case, modules.as_ref());
            let expected: Vec<f32> = case.examples.iter().map(|example| example.loss).collect();
            assert_close(&found, &expected, 1e-5, &golden.name(case));
        }
    }
}

#[test]
fn losses_in_8_bits_have_the_bits_of_the_cpus() {
    for golden in Golden::all() {
        let Some((cpu, model)) = load(&golden, Precision::Int8) else { return };
        for case in &golden.expected.cases {
            let modules = modules(&golden, case, &*model);
            let found = composed_losses(&*model, case, modules.as_ref());
            let side = golden.branches(case, &cpu);
            let expected = losses(&cpu, &case.batch(), side.as_ref());
            assert_eq!(bits(&found), bits(&expected), "{}", golden.name(case));
        }
    }
}

#[test]
fn greedy_tokens_are_the_cpus() {
    for (index, golden) in Golden::all().iter().enumerate() {
        let precision = if index == 0 { Precision::F32 } else { Precision::Int8 };
        let Some((cpu, model)) = load(golden, precision) else { return };
        // The base alone, and modules side by side.
        for case in golden.expected.cases.iter().step_by(3) {
            let limit = golden.expected.max_new_tokens;
            let modules = modules(golden, case, &*model);
            let coefficients = modules.iter().flat_map(|(_, weights)| weights);
            let coefficients: Vec<_> = coefficients.map(|&one| [one; 4]).collect();
            let composed = modules.as_ref().map(|(modules, _)| (modules, &*coefficients));
            let mut streamed = vec![Vec::new(); case.examples.len()];
            let mut on_token = |row: usize, token| streamed[row].push(token);
            let (inputs, control) = (case.inputs(), Control::none());
            let outputs =
                block_on(model.generate(&inputs, composed, limit, &control, &mut on_token));
            let outputs = outputs.unwrap();
            let side = golden.branches(case, &cpu);
            let expected =
                cpu.generate(&inputs, side.as_ref(), limit, &control, &mut |_, _| ()).unwrap();
            assert_eq!(outputs, expected, "{} {precision:?}", golden.name(case));
            assert_eq!(streamed, outputs);
        }
    }
}

#[test]
fn a_population_has_the_losses_of_its_members_alone() {
    for golden in &["deep-untied", "narrow-tied", "umt5"].map(Golden::named) {
        let Some((_, model)) = load(golden, Precision::Int8) else { return };
        // One case of each merge.
        for case in golden.expected.cases.iter().skip(1).step_by(2) {
            let Some((modules, weights)) = modules(golden, case, &*model) else { continue };
            let vectors: Vec<Vec<f32>> = (0..3u8)
                .map(|member| {
                    weights.iter().map(|weight| weight * f32::from(member) * 0.7).collect()
                })
                .collect();
            let vectors: Vec<&[f32]> = vectors.iter().map(|vector| &**vector).collect();
            let alone = gpu_losses(&*model, case, Some(&modules), &vectors, 1);
            // Three in submissions of up to two.
            let together = gpu_losses(&*model, case, Some(&modules), &vectors, 2);
            assert_eq!(together, alone, "{}", golden.name(case));
            let base = gpu_losses(&*model, case, None, &[&[]], 1);
            assert_eq!(together[0], base[0], "{}", golden.name(case));
            assert!(together[0] != together[2], "coefficients change nothing");
        }
    }
}

#[test]
fn what_the_device_is_given_is_checked_and_can_be_stopped() {
    let golden = &Golden::named("deep-untied");
    let Some((_, model)) = load(golden, Precision::Int8) else { return };
    let case = &golden.expected.cases[0];
    let mut batch = case.batch();
    let evaluation = model.prepare(&batch, None, 1).unwrap();
    assert!(evaluation.bytes() > 0 && evaluation.dispatches() > 0);
    let control = Control::cancellable();
    control.cancel();
    let stopped = block_on(evaluation.losses(&[&[]], &control));
    assert_eq!(stopped.unwrap_err(), ModelError::Cancelled);

    batch[1].input = vec![golden.config.vocab_size as u32];
    let error = model.prepare(&batch, None, 1).unwrap_err().to_string();
    assert!(error.contains("the input of example 1 holds token"), "{error}");
    assert!(model.greedy(&[&[]], None, 4).is_err());
    let evaluation = model.prepare(&[], None, 1).unwrap();
    let nothing = block_on(evaluation.losses(&[&[], &[]], &Control::none())).unwrap();
    assert_eq!(nothing, vec![Vec::new(), Vec::new()]);
    let answers = block_on(model.generate(&[], None, 4, &Control::none(), &mut |_, _| ())).unwrap();
    assert!(answers.is_empty());
}

#[test]
fn a_lost_device_is_an_error_and_a_new_one_takes_over() {
    let golden = &Golden::named("deep-untied");
    let Some(gpu) = open() else { return };
    let cpu = golden.model(Precision::Int8);
    let model = block_on(cpu.load_gpu(gpu)).unwrap();
    let case = &golden.expected.cases[0];
    let evaluation = model.prepare(&case.batch(), None, 1).unwrap();
    let control = Control::none();
    let before = block_on(evaluation.losses(&[&[]], &control)).unwrap();
    model.gpu().destroy();
    let error = block_on(evaluation.losses(&[&[]], &control)).unwrap_err();
    assert!(matches!(error, ModelError::Gpu(GpuError::Lost { .. })), "{error}");
    let Some(gpu) = device() else { panic!("the device was there before") };
    let model = block_on(cpu.load_gpu(gpu)).unwrap();
    let evaluation = model.prepare(&case.batch(), None, 1).unwrap();
    assert_eq!(block_on(evaluation.losses(&[&[]], &control)).unwrap(), before);
}

/// Modules of which the first changes few layers and the second others.
#[test]
fn merges_differ_where_they_should() {
    for golden in Golden::all() {
        let Some((_, model)) = load(&golden, Precision::F32) else { return };
        let both = |merge| {
            golden.expected.cases.iter().find(|case| {
                case.merge == Some(merge) && case.weights.iter().filter(|w| **w != 0.0).count() > 1
            })
        };
        let (Some(summed), Some(_)) = (both(Merge::Lorahub), both(Merge::Delta)) else { continue };
        let adapters = golden.adapters(summed);
        let [lorahub, delta] = [Merge::Lorahub, Merge::Delta].map(|merge| {
            let composition = AdapterSet::new(&golden.config, &adapters, merge).unwrap();
            let modules = composition.upload(&*model).unwrap();
            gpu_losses(&*model, summed, Some(&modules), &[&summed.weights], 1)
        });
        assert!(lorahub != delta, "{}", golden.name(summed));
    }
}
