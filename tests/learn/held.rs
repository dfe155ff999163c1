//! Runs that hold some modules at given weights and search for the rest.

use loraloom::learn::{
    Enough, Evaluation, ExampleScore, LearnError, LearnOptions, LearnResult, LearningRun,
    Optimizer, Phase, Selection, Step,
};
use loraloom::lora::{GroupWeights, ModuleWeight, WeightedModule};

const EXAMPLES: usize = 3;
const SEARCHES: [Optimizer; 5] = [
    Optimizer::Forward,
    Optimizer::Cobyla,
    Optimizer::CmaEs,
    Optimizer::Greedy,
    Optimizer::RidgeTrustRegion,
];

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("module-{index}")).collect()
}

fn module(index: usize, weight: impl Into<ModuleWeight>) -> WeightedModule {
    WeightedModule { id: format!("module-{index}"), weight: weight.into() }
}

fn options(optimizer: Optimizer, held: &[WeightedModule]) -> LearnOptions {
    let selection = Selection::Automatic;
    let held = held.to_vec();
    LearnOptions { optimizer, selection, modules: 4, budget: 60, held, ..LearnOptions::default() }
}

/// Falls as module-2 nears 0.5 and module-5 nears 1; the others raise it.
fn loss(weights: &[WeightedModule], example: u32) -> f64 {
    let mut loss = 2.0;
    for WeightedModule { id, weight } in weights {
        let weight = f64::from(weight.groups().iter().sum::<f32>()) / 4.0;
        loss += match id.as_str() {
            "module-2" => (weight - 0.5).powi(2) - 0.25,
            "module-5" => (weight - 1.0).powi(2) - 1.0,
            _ => 0.1 * weight.abs(),
        };
    }
    loss + 0.01 * f64::from(example)
}

fn losses(step: &Step) -> Vec<ExampleScore> {
    let score = |&example| ExampleScore { loss: loss(&step.weights, example) as f32, tokens: 1 };
    step.examples.iter().map(score).collect()
}

fn finish(run: &mut LearningRun) -> LearnResult {
    while let Some(step) = run.next() {
        run.report(&losses(&step), 0.0).expect("asked for");
    }
    run.result()
}

fn learn(options: LearnOptions) -> LearnResult {
    finish(&mut LearningRun::new(options, names(8), EXAMPLES).expect("valid"))
}

/// The weights of the modules that were not held.
fn rest<'e>(weights: &'e [WeightedModule], held: &[WeightedModule]) -> Vec<&'e WeightedModule> {
    let rest = weights.iter().filter(|module| !module.weight.is_zero());
    rest.filter(|module| held.iter().all(|held| held.id != module.id)).collect()
}

fn is_base(evaluation: &Evaluation) -> bool {
    evaluation.weights.iter().all(|module| module.weight.is_zero())
}

#[test]
fn every_search_keeps_what_is_held_and_finds_the_rest() {
    let groups = GroupWeights {
        encoder: 0.4,
        decoder_self_attention: 0.6,
        decoder_cross_attention: 0.5,
        decoder_feed_forward: 0.5,
    };
    for held in [module(2, 0.5), module(2, -0.25), module(2, ModuleWeight::Groups(groups))] {
        for optimizer in SEARCHES {
            let held = [held.clone()];
            let result = learn(options(optimizer, &held));
            assert!(result.complete && result.evaluations <= 60.0, "{optimizer:?}");
            assert_eq!(result.history[0].weights, held, "{optimizer:?}");
            let bases: Vec<_> = result.history.iter().filter(|one| is_base(one)).collect();
            assert_eq!(bases.len(), 1, "{optimizer:?}: the base is evaluated once");
            assert_eq!((bases[0].number, bases[0].loss), (2, result.loss_start));
            assert!((result.loss_start - 2.01).abs() < 1e-6, "{}", result.loss_start);
            for one in result.history.iter().filter(|one| !is_base(one)) {
                let found: Vec<_> = one.weights.iter().filter(|m| m.id == "module-2").collect();
                assert_eq!(found, [&held[0]], "{optimizer:?}");
            }
            assert!(result.modules.contains(&held[0]));
            let rest = rest(&result.modules, &held);
            let five = rest.iter().find(|module| module.id == "module-5").expect("found");
            assert!((five.weight.groups()[0] - 1.0).abs() < 0.5, "{optimizer:?} {five:?}");
            assert!(result.loss < result.history[0].loss - 0.5, "{optimizer:?}");
            let lowest = result.history.iter().filter(|one| one.complete && !is_base(one));
            let lowest = lowest.map(|one| one.loss).fold(f64::INFINITY, f64::min);
            assert_eq!(result.loss, lowest, "{optimizer:?}");
        }
    }
}

#[test]
fn a_stopped_run_that_holds_modules_continues_from_its_history() {
    let held = [module(2, 0.5), module(6, 0.0)];
    for optimizer in SEARCHES {
        let whole = learn(options(optimizer, &held));
        for stopped in [1, 2, whole.history.len() / 2] {
            let mut run = LearningRun::new(options(optimizer, &held), names(8), EXAMPLES).unwrap();
            run.replay(&whole.history[..stopped]).expect("the same run");
            assert_eq!(finish(&mut run), whole, "{optimizer:?} after {stopped}");
        }
        let mut other =
            LearningRun::new(options(optimizer, &held[1..]), names(8), EXAMPLES).unwrap();
        assert_eq!(
            other.replay(&whole.history).err(),
            Some(LearnError::OtherHistory { number: 1 }),
            "{optimizer:?}"
        );
    }
}

#[test]
fn a_module_held_at_zero_stays_out() {
    for optimizer in SEARCHES {
        let result = learn(options(optimizer, &[module(5, 0.0)]));
        let tried = result.history.iter().flat_map(|one| &one.weights);
        assert!(tried.clone().count() > 0);
        assert!(tried.clone().all(|module| module.id != "module-5"), "{optimizer:?}");
        assert!(is_base(&result.history[0]), "nothing is held but nothing");
    }
}

#[test]
fn candidates_are_looked_at_beside_what_is_held() {
    let held = [module(2, 0.5)];
    for optimizer in SEARCHES {
        let mut run = LearningRun::new(options(optimizer, &held), names(8), EXAMPLES).unwrap();
        let result = finish(&mut run);
        let looked: Vec<_> =
            result.history.iter().filter(|one| one.phase == Phase::Select).collect();
        assert!(!looked.is_empty(), "{optimizer:?}");
        assert!(looked.iter().all(|one| one.weights.first() == Some(&held[0])), "{optimizer:?}");
        if optimizer != Optimizer::Forward {
            let selected = run.selected().expect("chosen by their losses");
            assert_eq!(selected[0].0, "module-5", "{optimizer:?}");
            assert!(selected.iter().all(|(id, _)| *id != "module-2"));
        }
    }
}

#[test]
fn what_is_held_is_the_result_where_nothing_helps_even_if_the_base_is_better() {
    for optimizer in SEARCHES {
        let held = [module(0, 1.5)];
        let mut run = LearningRun::new(options(optimizer, &held), names(8), EXAMPLES).unwrap();
        while let Some(step) = run.next() {
            let size: f32 = step.weights.iter().map(|module| module.weight.size()).sum();
            let score = ExampleScore { loss: 1.0 + size, tokens: 1 };
            run.report(&vec![score; step.examples.len()], 0.0).expect("asked for");
        }
        let result = run.result();
        assert_eq!(rest(&result.modules, &held), Vec::<&WeightedModule>::new(), "{optimizer:?}");
        assert!(result.modules.contains(&held[0]), "{optimizer:?}");
        assert_eq!((result.loss_start, result.loss), (1.0, 2.5), "{optimizer:?}");
        assert!(result.history.iter().all(|one| one.best >= 2.5), "the base is no result");
        let assessment = result.assessment.expect("evaluated");
        assert!((assessment.probability - (-2.5f64).exp()).abs() < 1e-6, "{optimizer:?}");
        assert_eq!(assessment.enough, None);
    }
}

#[test]
fn what_is_held_is_enough_where_it_is_as_probable_as_any_mix() {
    let held = [module(0, 1.0)];
    let mut run = LearningRun::new(options(Optimizer::Forward, &held), names(8), EXAMPLES).unwrap();
    while let Some(step) = run.next() {
        // Every further module helps a little, and the base alone answers as well.
        let loss = 0.02 - 0.001 * step.weights.len() as f32;
        run.report(&vec![ExampleScore { loss, tokens: 1 }; step.examples.len()], 0.0).unwrap();
    }
    let result = run.result();
    assert_eq!(result.modules, held);
    assert_eq!(result.assessment.expect("evaluated").enough, Some(Enough::Held));
}

#[test]
fn the_penalty_is_on_the_weights_that_are_searched() {
    let held = [module(2, 2.0)];
    let penalized = LearnOptions { regularization: 0.5, ..options(Optimizer::Cobyla, &held) };
    let result = learn(penalized);
    let first = &result.history[0];
    assert!((first.loss - (loss(&held, 0) + 0.01)).abs() < 1e-6, "{}", first.loss);
    let alone = &result.history[2];
    assert_eq!((alone.phase, alone.weights.len()), (Phase::Select, 2));
    let expected = loss(&alone.weights, 0) + 0.01 + 0.5 * 1.0 / 4.0;
    assert!((alone.loss - expected).abs() < 1e-6, "{} {expected}", alone.loss);
}

#[test]
fn impossible_holds_are_rejected() {
    let run = |held: &[WeightedModule], candidates| {
        LearningRun::new(options(Optimizer::Forward, held), names(candidates), EXAMPLES).err()
    };
    assert_eq!(run(&[module(0, 1.0), module(1, 0.5)], 2), Some(LearnError::NoModules));
    let id = "module-3".to_owned();
    assert_eq!(run(&[module(3, f32::NAN)], 8), Some(LearnError::HeldWeight { id: id.clone() }));
    assert_eq!(run(&[module(3, 1.0), module(3, 0.5)], 8), Some(LearnError::DuplicateModule { id }));
    // A module that is held need not be a candidate.
    assert_eq!(run(&[module(9, 1.0)], 2), None);
}
