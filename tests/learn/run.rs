//! The run: selection, budget, record, cancellation, losses that are not finite.

use std::collections::BTreeMap;

use loraloom::learn::{
    ExampleScore, LearnError, LearnOptions, LearnResult, LearningRun, Optimizer, Phase, Selection,
    Step,
};
use loraloom::lora::Merge;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("module-{index}")).collect()
}

fn options(selection: Selection, modules: u32, budget: u32) -> LearnOptions {
    let (optimizer, bound, regularization) = (Optimizer::Cobyla, 1.5, 0.05);
    let default = LearnOptions::default();
    LearnOptions { selection, modules, budget, optimizer, bound, regularization, ..default }
}

/// A run on one example.
fn new_run(options: LearnOptions, candidates: usize) -> LearningRun {
    LearningRun::new(options, names(candidates), 1).expect("valid")
}

fn score(loss: f64) -> [ExampleScore; 1] {
    [ExampleScore { loss: loss as f32, tokens: 1 }]
}

/// Distance to a target that uses only the modules 1 and 3, the third negated.
fn cross_entropy(step: &Step) -> f64 {
    let target = |id: &str| match id {
        "module-1" => 0.8,
        "module-3" => -0.6,
        _ => 0.0,
    };
    let mut loss = 0.3;
    let mut reached = 0.0;
    for module in &step.weights {
        let weight = f64::from(module.weight.groups()[0]);
        loss += (weight - target(&module.id)).powi(2);
        reached += target(&module.id).powi(2);
    }
    loss + (0.8f64 * 0.8 + 0.6 * 0.6) - reached
}

fn drive(run: &mut LearningRun, limit: usize, loss: impl Fn(&Step) -> f64) -> LearnResult {
    for _ in 0..limit {
        let Some(step) = run.next() else { break };
        assert_eq!(run.next().as_ref(), Some(&step), "the step stays until it is reported");
        run.report(&score(loss(&step)), 0.5).expect("asked for");
    }
    run.result()
}

fn learn(options: LearnOptions, candidates: usize) -> LearnResult {
    let mut run = new_run(options, candidates);
    drive(&mut run, 100_000, cross_entropy)
}

#[test]
fn every_optimizer_keeps_the_budget_and_returns_the_point_of_the_lowest_loss() {
    for optimizer in
        [Optimizer::Cobyla, Optimizer::CmaEs, Optimizer::Greedy, Optimizer::RidgeTrustRegion]
    {
        let options = LearnOptions { optimizer, ..options(Selection::All, 20, 40) };
        let result = learn(options, 6);
        assert!(result.complete && result.evaluations <= 40.0, "{optimizer:?}");
        assert_eq!(result.optimizer, optimizer);
        assert_eq!(result.select_evaluations, 0.0);
        assert_eq!(result.evaluations as usize, result.history.len());
        assert!(result.loss < 0.75 * result.loss_start, "{optimizer:?}: {}", result.loss);
        assert!((result.loss_start - 1.3).abs() < 1e-7);
        let lowest = result.history.iter().min_by(|a, b| a.loss.total_cmp(&b.loss)).expect("some");
        assert_eq!(lowest.weights, result.modules, "{optimizer:?}");
        assert_eq!(lowest.loss, result.loss);
        let mut best = f64::INFINITY;
        for (index, evaluation) in result.history.iter().enumerate() {
            best = best.min(evaluation.loss);
            assert_eq!(evaluation.best, best);
            assert_eq!(evaluation.number as usize, index + 1);
            assert!(evaluation.weights.iter().all(|module| module.weight.size() <= 1.5));
        }
        assert!((result.seconds - 0.5 * result.evaluations).abs() < 1e-9);
    }
}

#[test]
fn predicted_steps_do_not_depend_on_the_losses() {
    let mut largest = BTreeMap::new();
    for optimizer in
        [Optimizer::Cobyla, Optimizer::CmaEs, Optimizer::Greedy, Optimizer::RidgeTrustRegion]
    {
        let options = LearnOptions { optimizer, ..options(Selection::Automatic, 5, 23) };
        let mut run = new_run(options, 7);
        let mut ahead: Vec<Step> = Vec::new();
        while let Some(step) = run.next() {
            if ahead.is_empty() {
                ahead = run.upcoming();
                let most = largest.entry((format!("{optimizer:?}"), step.phase == Phase::Select));
                let most = most.or_insert(0);
                *most = ahead.len().max(*most);
            }
            assert_eq!(ahead.remove(0), step, "{optimizer:?}");
            run.report(&score(cross_entropy(&step)), 0.0).expect("asked for");
        }
        assert!(ahead.is_empty(), "no step is predicted beyond the budget");
        assert_eq!(run.upcoming(), []);
    }
    let largest = |optimizer: Optimizer, select| largest[&(format!("{optimizer:?}"), select)];
    assert_eq!(largest(Optimizer::Cobyla, false), 1);
    assert_eq!(largest(Optimizer::Cobyla, true), 7);
    assert_eq!(largest(Optimizer::RidgeTrustRegion, false), 8);
}

#[test]
fn the_penalty_is_the_mean_absolute_coefficient() {
    let result = learn(options(Selection::All, 20, 2), 5);
    let second = &result.history[1];
    assert_eq!(second.weights[0].weight, 0.5.into());
    let expected = 1.3 + 0.25 + 0.05 * 0.5 / 5.0;
    assert!((second.loss - expected).abs() < 1e-7, "{} {expected}", second.loss);
}

#[test]
fn only_the_modules_with_the_lowest_losses_are_searched_over() {
    let mut run = new_run(options(Selection::Automatic, 3, 20), 9);
    assert_eq!(run.chosen(), None);
    // At weight 1, module-1 lowers the loss and the others change it slightly.
    let loss = |step: &Step| {
        cross_entropy(step)
            + step.weights.iter().map(|m| if m.id == "module-7" { -0.01 } else { 0.0 }).sum::<f64>()
    };
    let result = drive(&mut run, 1000, loss);
    assert_eq!(run.chosen().expect("chosen")[..2], ["module-1", "module-7"]);
    let selected = run.selected().expect("chosen by their losses");
    assert!(selected.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    assert_eq!((result.select_evaluations, result.evaluations), (9.0, 20.0));
    let alone: Vec<_> = result.history.iter().filter(|e| e.phase == Phase::Select).collect();
    assert!(alone.iter().all(|e| e.weights.len() == 1 && e.weights[0].weight == 1.0.into()));
    assert!(result.history.iter().skip(10).all(|e| e.weights.len() == 3));
    assert_eq!(result.modules.len(), 3);
}

#[test]
fn greedy_reuses_the_evaluations_of_module_selection() {
    let options =
        LearnOptions { optimizer: Optimizer::Greedy, ..options(Selection::Automatic, 4, 40) };
    let result = learn(options, 9);
    let mut points: Vec<String> = result
        .history
        .iter()
        .map(|e| {
            let used = e.weights.iter().filter(|module| !module.weight.is_zero());
            let mut named: Vec<_> = used.map(|m| format!("{} {:?}", m.id, m.weight)).collect();
            named.sort();
            named.join(", ")
        })
        .collect();
    let all = points.len();
    points.sort();
    points.dedup();
    assert_eq!(points.len(), all);
}

#[test]
fn a_single_module_can_be_the_result() {
    // Every mixture has a higher loss than module-2 alone.
    let loss = |step: &Step| {
        let used: Vec<_> = step.weights.iter().filter(|m| !m.weight.is_zero()).collect();
        match used.as_slice() {
            [] => 2.0,
            [one] if one.id == "module-2" && one.weight == 1.0.into() => 0.5,
            _ => 3.0,
        }
    };
    let mut run = new_run(options(Selection::Automatic, 3, 10), 6);
    let result = drive(&mut run, 1000, loss);
    let weights: Vec<_> = result.modules.iter().map(|m| (m.id.as_str(), m.weight)).collect();
    assert_eq!(weights.iter().filter(|(_, weight)| !weight.is_zero()).count(), 1);
    assert!(weights.contains(&("module-2", 1.0.into())));
}

#[test]
fn the_base_is_the_result_if_no_module_helps() {
    let mut run = new_run(options(Selection::All, 3, 30), 3);
    let result = drive(&mut run, 1000, |step| {
        step.weights.iter().map(|m| f64::from(m.weight.size())).sum::<f64>() + 1.0
    });
    assert_eq!((result.loss, result.loss_start), (1.0, 1.0));
    assert!(result.modules.iter().all(|m| m.weight.is_zero()));
}

#[test]
fn a_cancelled_run_returns_the_best_so_far() {
    for limit in [0, 1, 4, 12] {
        let mut run = new_run(options(Selection::Automatic, 3, 20), 9);
        let result = drive(&mut run, limit, cross_entropy);
        assert!(!result.complete);
        assert_eq!(result.evaluations as usize, limit);
        let lowest = result.history.iter().map(|e| e.loss).fold(f64::INFINITY, f64::min);
        assert_eq!(result.loss, lowest);
    }
}

#[test]
fn runs_with_the_same_seed_are_equal_and_with_another_seed_differ() {
    for (optimizer, selection) in
        [(Optimizer::Cobyla, Selection::Random), (Optimizer::CmaEs, Selection::All)]
    {
        let with = |seed| learn(LearnOptions { optimizer, seed, ..options(selection, 4, 25) }, 12);
        assert_eq!(with(7), with(7));
        assert_ne!(with(7).history, with(8).history, "{optimizer:?}");
    }
}

#[test]
fn random_selection_draws_distinct_candidates() {
    let run = new_run(options(Selection::Random, 5, 10), 30);
    let mut chosen = run.chosen().expect("drawn at once");
    chosen.sort_unstable();
    chosen.dedup();
    assert_eq!(chosen.len(), 5);
}

#[test]
fn a_loss_that_is_not_finite_counts_as_the_worst() {
    for optimizer in
        [Optimizer::Cobyla, Optimizer::CmaEs, Optimizer::Greedy, Optimizer::RidgeTrustRegion]
    {
        let options = LearnOptions { optimizer, ..options(Selection::Automatic, 4, 40) };
        let mut run = new_run(options, 8);
        let result = drive(&mut run, 1000, |step| match step.number % 5 {
            0 => f64::NAN,
            4 => f64::INFINITY,
            _ => cross_entropy(step),
        });
        assert!(result.complete && result.loss < result.loss_start, "{optimizer:?}");
        assert_eq!(result.history[3].loss, f64::INFINITY);
        assert!(result.history.iter().all(|e| e.best.is_finite()));
    }
    let mut run = new_run(options(Selection::All, 3, 10), 3);
    let result = drive(&mut run, 1000, |_| f64::NAN);
    assert!(result.complete && result.loss == f64::INFINITY);
    assert!(result.modules.iter().all(|module| module.weight.is_zero()));
}

#[test]
fn impossible_runs_are_rejected() {
    let run = |options, candidates| LearningRun::new(options, candidates, 5).err();
    assert_eq!(run(LearnOptions::default(), Vec::new()), Some(LearnError::NoModules));
    assert!(matches!(
        run(LearnOptions { budget: 0, ..LearnOptions::default() }, names(2)),
        Some(LearnError::Setting { name: "budget", .. })
    ));
    let summed = LearnOptions {
        optimizer: Optimizer::ForwardGradient,
        merge: Merge::Lorahub,
        ..LearnOptions::default()
    };
    assert!(matches!(run(summed, names(2)), Some(LearnError::Setting { name: "merge", .. })));
    let twice = vec!["a".to_owned(), "b".to_owned(), "a".to_owned()];
    assert_eq!(
        run(LearnOptions::default(), twice),
        Some(LearnError::DuplicateModule { id: "a".to_owned() })
    );
    let mut finished = new_run(options(Selection::All, 3, 3), 2);
    drive(&mut finished, 1000, cross_entropy);
    assert_eq!(finished.report(&score(1.0), 0.0).err(), Some(LearnError::NothingToReport));
}
