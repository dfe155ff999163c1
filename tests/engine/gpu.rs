//! The engine on the graphics card, on the demo library that ships. Where the machine has no graphics
//! card, not even one in software, these tests say so and pass.

use std::sync::Arc;

use loraloom::kernels::gpu::Gpu;
use loraloom::learn::{LearnOptions, Optimizer};
use loraloom::lora::Composition;
use loraloom::lora::{self, Merge};
use loraloom::model::t5::{Control, GpuModel, Precision};
use loraloom::protocol::{GpuMemory, LearningStep};
use loraloom::session::GpuEngine;
use pollster::block_on;

use super::{Base, loaded, registry, run_test, skills, test_set};

/// An engine with the demo base and its first modules on the device.
fn on_device(modules: usize) -> Option<(GpuEngine, Vec<String>)> {
    let (engine, ids) = loaded(&registry(), modules);
    let mut engine = GpuEngine::new(engine);
    let status = block_on(engine.open()).unwrap();
    if status.reason.contains("no graphics card") {
        eprintln!("skipped: {}", status.reason);
        return None;
    }
    // The check against the CPU has passed.
    assert!(status.active && status.reason.is_empty(), "{status:?}");
    Some((engine, ids))
}

fn options() -> LearnOptions {
    LearnOptions { budget: 6, ..LearnOptions::default() }
}

/// A search whose points come several at a time, over more modules than are learned with.
fn batched(merge: Merge) -> LearnOptions {
    let optimizer = Optimizer::RidgeTrustRegion;
    LearnOptions { budget: 15, optimizer, merge, modules: 3, ..LearnOptions::default() }
}

/// Steps of a run; `lose` says after which one the device is lost.
fn learn(
    engine: &mut GpuEngine,
    ids: &[String],
    options: LearnOptions,
    lose: Option<usize>,
) -> Vec<LearningStep> {
    engine.start_learning(&registry().tasks[0].examples, ids, options).unwrap();
    let mut steps = Vec::new();
    loop {
        if lose == Some(steps.len()) {
            engine.lose();
        }
        steps.push(block_on(engine.learning_step()).unwrap());
        if steps.last().is_some_and(|step| step.result.is_some()) {
            return steps;
        }
    }
}

fn losses(steps: &[LearningStep]) -> Vec<f64> {
    steps.iter().filter_map(|step| step.evaluation.as_ref()).map(|one| one.loss).collect()
}

#[test]
fn learning_on_the_device_follows_the_cpus_and_survives_its_loss() {
    let Some((mut engine, ids)) = on_device(3) else { return };
    let (mut cpu, _) = loaded(&registry(), 3);
    cpu.start_learning(&registry().tasks[0].examples, &ids, options()).unwrap();
    let mut expected = Vec::new();
    while expected.len() < 6 {
        expected.push(cpu.learning_step().unwrap().evaluation.unwrap().loss);
    }

    let checked = engine.status().memory;
    for lose in [None, Some(2)] {
        let found = losses(&learn(&mut engine, &ids, options(), lose));
        assert_eq!(found, expected);
    }
    let status = engine.status();
    let GpuMemory { weights_bytes, embedding_bytes, modules_bytes, work_bytes } = status.memory;
    assert_eq!((checked.weights_bytes, checked.modules_bytes), (weights_bytes, 0.0));
    assert!(embedding_bytes > 0.0 && modules_bytes > 0.0);
    // The largest so far: the check's or the evaluations'.
    assert!(checked.work_bytes > 0.0 && work_bytes >= checked.work_bytes);
    assert!(status.active && status.reason.contains("opened again"), "{status:?}");
}

#[test]
fn populations_of_a_batched_search_have_the_losses_of_the_cpu_one_at_a_time() {
    let Some((mut engine, ids)) = on_device(4) else { return };
    let (mut cpu, _) = loaded(&registry(), 4);
    for merge in [Merge::Lorahub, Merge::Delta] {
        cpu.start_learning(&registry().tasks[0].examples, &ids, batched(merge)).unwrap();
        let expected = loop {
            if let Some(result) = cpu.learning_step().unwrap().result {
                break result;
            }
        };
        for lose in [None, Some(7)] {
            let steps = learn(&mut engine, &ids, batched(merge), lose);
            let found = steps.last().and_then(|step| step.result.as_ref()).unwrap();
            assert_eq!(
                losses(&steps),
                expected.history.iter().map(|one| one.loss).collect::<Vec<_>>()
            );
            assert_eq!(found.modules, expected.modules);
            assert_eq!(found.optimizer, Optimizer::RidgeTrustRegion);
        }
    }
}

#[test]
fn answers_of_the_device_are_the_cpus_and_survive_its_loss() {
    let registry = registry();
    let Some((mut engine, ids)) = on_device(2) else { return };
    let (mut cpu, _) = loaded(&registry, 2);
    let modules = ids
        .iter()
        .zip([0.8, -0.3])
        .map(|(id, weight)| loraloom::lora::WeightedModule { id: id.clone(), weight })
        .collect();
    let composition = Composition { modules, merge: LearnOptions::default().merge };
    let items = &test_set(&registry, 0)[..60];
    for with in [None, Some(&composition)] {
        let expected = run_test(&mut cpu, items, with);
        engine.start_test(items, with, 16).unwrap();
        let mut steps = 0;
        let found = loop {
            if with.is_some() && steps == 2 {
                engine.lose();
            }
            steps += 1;
            if let Some(result) = block_on(engine.test_step()).unwrap().result {
                break result;
            }
        };
        assert_eq!(found.answers, expected.answers);

        cpu.start_generation(&items[0].input, with, 16).unwrap();
        let expected = loop {
            if let Some(result) = cpu.generation_step().unwrap().result {
                break result;
            }
        };
        block_on(engine.start_generation(&items[0].input, with, 16)).unwrap();
        let found = loop {
            if let Some(result) = block_on(engine.generation_step()).unwrap().result {
                break result;
            }
        };
        assert_eq!((found.text, found.tokens), (expected.text, expected.tokens));
        let score = block_on(engine.score(&items[..3], with)).unwrap();
        let expected = cpu.score(&items[..3], with).unwrap();
        assert_eq!(score, expected);
    }
}

/// Every item of every task, each with the modules of the skills that the task asks for: half the tasks
/// with each merge. `ITEMS` takes fewer of each task.
#[test]
#[ignore = "takes a graphics card, or one in software many minutes"]
fn losses_and_greedy_tokens_of_the_librarys_test_sets_are_the_cpus() {
    const BATCH: usize = 40;
    const NEW_TOKENS: usize = 24;
    let most = std::env::var("ITEMS").map_or(usize::MAX, |items| items.parse().unwrap());
    let gpu = match block_on(Gpu::open()) {
        Ok(gpu) => Arc::new(gpu),
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let registry = registry();
    let base = Base::new(&registry);
    let cpu = base.model(Precision::Int8);
    let model = block_on(GpuModel::load(gpu, &cpu)).unwrap();
    let control = Control::none();
    let (mut items, mut same_tokens, mut same_bits, mut difference) = (0, 0, 0, 0.0f32);
    for task in 0..registry.tasks.len() {
        let adapters = skills(&registry, task);
        let merge = [Merge::Delta, Merge::Lorahub][task % 2];
        let mut composition = lora::AdapterSet::new(&base.config, &adapters, merge).unwrap();
        let coefficients = vec![1.0; adapters.len()];
        let modules = composition.upload(&model).unwrap();
        let side = composition.branches(&coefficients, cpu.precision()).unwrap();
        let test = test_set(&registry, task);
        let batch = base.tokenized(&test[..most.min(test.len())]);
        for batch in batch.chunks(BATCH) {
            let expected = cpu.losses(batch, Some(side), &control).unwrap();
            let evaluation = model.prepare(batch, Some(&modules), 1).unwrap();
            let found = block_on(model.losses(&evaluation, &[&coefficients], &control)).unwrap();
            for (found, expected) in found[0].iter().zip(&expected) {
                same_bits += usize::from(found.loss.to_bits() == expected.loss.to_bits());
                difference = difference.max((found.loss / expected.loss - 1.0).abs());
            }
            let inputs: Vec<&[u32]> = batch.iter().map(|item| &*item.input).collect();
            let silent = &mut |_, _| ();
            let expected = cpu.generate(&inputs, Some(side), NEW_TOKENS, &control, silent).unwrap();
            let composed = Some((&modules, &*coefficients));
            let found = model.generate(&inputs, composed, NEW_TOKENS, &control, silent);
            let found = block_on(found).unwrap();
            same_tokens += found.iter().zip(&expected).filter(|(a, b)| a == b).count();
            items += batch.len();
        }
        let id = &registry.tasks[task].id;
        eprintln!("{id}: so far the same tokens for {same_tokens} of {items} items");
    }
    let (name, driver) = (model.gpu().name(), model.gpu().driver());
    eprintln!(
        "{name}, {driver}: the same tokens for {same_tokens} of {items} items, the same bits of \
         {same_bits} losses, which differ by {difference:.1e} at most"
    );
    assert!(items > 0 && same_tokens * 100 >= items * 99);
    assert!(difference < 1e-3);
}
