//! Tuning a composition of the demo library, as a page does it.

use std::num::NonZeroUsize;

use loraloom::formats::Example;
use loraloom::learn::{Effort, TuneOptions, TuneStep};
use loraloom::lora::{Composition, Merge, TunedPart, TunedScales, WeightedModule};
use loraloom::session::{CpuBackend, Observer, Session, SessionError, SessionEvent, TuneResult};
use pollster::block_on;

use super::{StopWhen, loaded, registry, test_set};

const TASK: &str = "half-smile";
const MODULES: [&str; 2] = ["half", "smile"];

fn composition(weight: f32) -> Composition {
    let modules = MODULES.map(|id| WeightedModule { id: id.into(), weight: weight.into() });
    Composition { modules: modules.into(), merge: Merge::Delta }
}

fn examples() -> Vec<Example> {
    let registry = registry();
    registry.tasks.iter().find(|task| task.id == TASK).unwrap().examples.clone()
}

/// The first seven items of the task's test set.
fn seven_examples() -> Vec<Example> {
    let registry = registry();
    let task = registry.tasks.iter().position(|task| task.id == TASK).unwrap();
    test_set(&registry, task).into_iter().take(7).collect()
}

fn session() -> Session<CpuBackend> {
    let registry = registry();
    loaded(&registry, registry.modules.len()).0
}

fn tune(
    session: &mut Session<CpuBackend>,
    examples: &[Example],
    composition: &Composition,
    options: TuneOptions,
    id: &str,
) -> TuneResult {
    block_on(session.tune(examples, composition, options, id, &mut ())).unwrap()
}

/// Keeps the steps, and stops before the one of that number.
struct Steps(Vec<TuneStep>, usize);

impl Observer for Steps {
    fn on_event(&mut self, event: SessionEvent) {
        if let SessionEvent::Tuned { step, .. } = event {
            self.0.push(step);
        }
    }

    async fn next_turn(&mut self) -> bool {
        self.0.len() + 1 == self.1
    }
}

#[test]
fn tuning_lowers_the_loss_and_its_adapter_is_a_module_with_the_same_bits() {
    let mut session = session();
    let (examples, composed) = (examples(), composition(1.0));
    let before = block_on(session.score(&examples, Some(&composed))).unwrap().loss;
    for part in [TunedPart::LoraB, TunedPart::Scales] {
        let options = TuneOptions { leave_out: false, ..TuneOptions::of(part, Effort::Quick) };
        let mut steps = Steps(Vec::new(), 0);
        let tuned =
            block_on(session.tune(&examples, &composed, options, "tuned", &mut steps)).unwrap();
        assert!(tuned.complete && tuned.steps.len() == options.steps() as usize);
        assert_eq!(tuned.steps, steps.0);
        assert!((tuned.loss_start - before).abs() < 1e-3 * before, "{before} {tuned:?}");
        assert!(tuned.loss < 0.4 * before, "{part:?}: {before} before, {} after", tuned.loss);
        assert_eq!(tuned.assessment.answers.len(), examples.len());
        let found = block_on(session.score(&examples, Some(&tuned.composition))).unwrap().loss;
        assert_eq!(found.to_bits(), tuned.loss.to_bits());
        let composition = Some(&tuned.composition);
        let assessed = block_on(session.assess(&examples, composition, &mut ())).unwrap();
        assert_eq!(assessed, tuned.assessment);

        let files = session.export(&tuned.composition, "base").unwrap().files;
        session.add_module("read", &files.config, files.weights).unwrap();
        let read = Composition {
            modules: vec![WeightedModule { id: "read".into(), weight: 1.0.into() }],
            merge: Merge::Delta,
        };
        let found = block_on(session.score(&examples, Some(&read))).unwrap().loss;
        assert_eq!(found.to_bits(), tuned.loss.to_bits());

        // Scales fit a link, from which another machine makes the module again.
        assert_eq!(tuned.scales.is_some(), part == TunedPart::Scales);
        if let Some(scales) = &tuned.scales {
            let info = session.add_scaled("again", &composed, scales).unwrap();
            assert_eq!(info.sha256, tuned.module.sha256);
        }
    }
}

#[test]
fn the_assessment_counts_the_examples_that_are_right_when_they_are_left_out() {
    let mut session = session();
    let (seven, composed) = (seven_examples(), composition(1.0));
    let options = TuneOptions::of(TunedPart::LoraB, Effort::Quick);
    let alone = TuneOptions { leave_out: false, ..options };
    for examples in [&seven[..2], &seven[..5], &seven] {
        let mut correct = 0;
        for part in 0..examples.len().min(5) {
            let of = |left_out: bool| -> Vec<Example> {
                let examples = examples.iter().enumerate();
                let chosen = examples.filter(|(index, _)| (index % 5 == part) == left_out);
                chosen.map(|(_, example)| example.clone()).collect()
            };
            let others = tune(&mut session, &of(false), &composed, alone, "others").composition;
            let test = block_on(session.test(&of(true), Some(&others), 32, &mut ())).unwrap();
            correct += test.correct;
        }
        let mut parts = Vec::new();
        let mut observer = |event| {
            if let SessionEvent::Step { done, total } = event {
                parts.push((done, total));
            }
        };
        let tuned =
            block_on(session.tune(examples, &composed, options, "tuned", &mut observer)).unwrap();
        let count = examples.len().min(5) as u32;
        assert_eq!(parts, (1..=count).map(|done| (done, count)).collect::<Vec<_>>());
        let share = f64::from(correct) / examples.len() as f64;
        assert_eq!(tuned.assessment.left_out_correct, Some(share));
        // The module is the one of all examples, with or without them left out.
        let without = tune(&mut session, examples, &composed, alone, "again");
        assert_eq!(without.module.sha256, tuned.module.sha256);
        assert_eq!(without.assessment.left_out_correct, None);
        assert_eq!(without.assessment.with_left_out_correct(share), tuned.assessment);
    }
}

#[test]
fn a_tuned_module_can_be_tuned_again_in_its_own_place() {
    let mut session = session();
    let (examples, options) = (examples(), TuneOptions::of(TunedPart::LoraB, Effort::Quick));
    let first = tune(&mut session, &examples, &composition(1.0), options, "tuned").composition;
    let elsewhere = tune(&mut session, &examples, &first, options, "other");
    let again = tune(&mut session, &examples, &first, options, "tuned");
    assert_eq!(again.assessment, elsewhere.assessment);
    assert_eq!(again.module.sha256, elsewhere.module.sha256);
}

#[test]
fn one_example_has_no_others_and_a_stop_between_two_parts_keeps_what_was_tuned() {
    let mut session = session();
    let (examples, composed) = (examples(), composition(1.0));
    let options = TuneOptions::of(TunedPart::LoraB, Effort::Quick);
    let tuned = tune(&mut session, &examples[..1], &composed, options, "one");
    assert_eq!((tuned.complete, tuned.assessment.left_out_correct), (true, None));

    let whole = tune(&mut session, &examples, &composed, options, "whole");
    let mut stop = StopWhen::new(|events: &[SessionEvent]| {
        matches!(events.last(), Some(SessionEvent::Step { done: 2, .. }))
    });
    let tuned = block_on(session.tune(&examples, &composed, options, "tuned", &mut stop)).unwrap();
    assert_eq!((tuned.complete, tuned.assessment.left_out_correct), (true, None));
    assert_eq!(tuned.module.sha256, whole.module.sha256);
}

#[test]
fn scales_of_another_composition_are_refused() {
    let mut session = session();
    for (scales, part) in [
        (TunedScales { step: 0.01, values: vec![7; 6] }, "6 scales"),
        (TunedScales { step: f32::NAN, values: Vec::new() }, "step"),
        (TunedScales { step: 0.0, values: Vec::new() }, "step"),
        (TunedScales { step: 0.1, values: vec![8] }, "from −7 to 7"),
    ] {
        let error = session.add_scaled("tuned", &composition(1.0), &scales).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(session.module("tuned").is_none());
}

#[test]
fn a_stopped_run_has_the_steps_made_so_far() {
    let mut session = session();
    let (examples, composed, options) = (examples(), composition(1.0), TuneOptions::default());
    let mut stop = Steps(Vec::new(), 3);
    let tuned = block_on(session.tune(&examples, &composed, options, "tuned", &mut stop)).unwrap();
    assert_eq!((tuned.complete, tuned.steps.len()), (false, 2));
    let mut stop = Steps(Vec::new(), 1);
    let refused = block_on(session.tune(&examples, &composed, options, "tuned", &mut stop));
    assert!(matches!(refused, Err(SessionError::Aborted { .. })), "{refused:?}");
}

#[test]
fn what_cannot_be_tuned_is_refused_by_name() {
    let mut session = session();
    let examples = examples();
    let options = TuneOptions::default();
    let mut refused = |composed: &Composition, options, examples: &[_]| {
        let tuned = block_on(session.tune(examples, composed, options, "tuned", &mut ()));
        let error = tuned.unwrap_err();
        (error.report().what, error.to_string(), error)
    };
    let (what, why, _) = refused(&composition(0.0), options, &examples);
    assert_eq!(what, "The composition was not tuned.");
    assert!(why.contains("every weight is 0"), "{why}");
    let no_steps = TuneOptions { steps: Some(0), ..options };
    let (what, why, _) = refused(&composition(1.0), no_steps, &examples);
    assert_eq!(what, "The composition was not tuned.");
    assert!(why.contains("steps"), "{why}");
    let (_, _, error) = refused(&composition(1.0), options, &[]);
    assert!(matches!(error, SessionError::NoExamples { .. }), "{error:?}");
    // Weights at which the model computes no finite numbers.
    let (_, why, _) = refused(&composition(1e30), options, &examples);
    assert!(why.contains("is 1e30; it must be a number from -1000 to 1000"), "{why}");
}

/// At a rank that loses something, the module is another one and is still judged as tuned.
#[test]
fn a_truncated_module_takes_the_place_of_the_tuned_one() {
    let mut session = session();
    let (examples, composed) = (examples(), composition(1.0));
    let options = TuneOptions::of(TunedPart::LoraB, Effort::Quick);
    let tuned = block_on(session.tune(&examples, &composed, options, "tuned", &mut ())).unwrap();
    let rank = |rank| NonZeroUsize::new(rank).unwrap();
    let whole = tuned.module.rank as usize;

    let same = session.truncate_module("tuned", rank(whole)).unwrap();
    assert_eq!((same.rank, same.kept, same.worst), (whole, 1.0, None));
    let found = block_on(session.score(&examples, Some(&tuned.composition))).unwrap().loss;
    assert_eq!(found.to_bits(), tuned.loss.to_bits());

    let lower = session.truncate_module("tuned", rank(whole - 1)).unwrap();
    let worst = lower.worst.unwrap();
    assert!(worst.kept <= lower.kept && lower.kept < 1.0 && lower.kept > 0.9, "{worst:?}");
    let found = block_on(session.score(&examples, Some(&tuned.composition))).unwrap().loss;
    assert!(found != tuned.loss && (found - tuned.loss).abs() < 0.2 * tuned.loss, "{found}");
    let module = session.module("tuned").unwrap();
    assert_eq!(module.rank(), whole - 1);

    let files = session.export(&tuned.composition, "base").unwrap().files;
    session.add_module("read", &files.config, files.weights).unwrap();
    let read = Composition {
        modules: vec![WeightedModule { id: "read".into(), weight: 1.0.into() }],
        merge: Merge::Delta,
    };
    let [as_tuned, as_read] = [&tuned.composition, &read].map(|composition| {
        block_on(session.assess(&examples, Some(composition), &mut ())).unwrap()
    });
    assert_eq!(as_tuned.answers, as_read.answers);
    assert_ne!(as_tuned.expected, as_read.expected, "judged as an adapter of nobody's tuning");
    let refused = session.truncate_module("nothing", rank(1));
    assert!(matches!(refused, Err(SessionError::UnknownModule { .. })), "{refused:?}");
}
