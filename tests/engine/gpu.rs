//! The engine on the graphics card, on the demo library that ships. Where the machine has no graphics
//! card, not even one in software, these tests say so and pass.

use loraloom::engine::GpuEngine;
use loraloom::learn::{LearnOptions, Optimizer};
use loraloom::lora::Merge;
use loraloom::protocol::{Composition, LearningStep};
use pollster::block_on;

use super::{loaded, registry, run_test, test_set};

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

    for lose in [None, Some(2)] {
        let found = losses(&learn(&mut engine, &ids, options(), lose));
        assert_eq!(found, expected);
    }
    let status = engine.status();
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
        .map(|(id, weight)| loraloom::learn::WeightedModule { id: id.clone(), weight })
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
