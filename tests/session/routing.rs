//! Routing among stored compositions of the library that ships.

use loraloom::formats::Example;
use loraloom::learn::ROUTE_THRESHOLD;
use loraloom::lora::{Composition, Merge, WeightedModule};
use loraloom::registry::Registry;
use loraloom::session::{
    CpuBackend, ErrorCode, Operation, RouteCandidate, RouteOptions, Session, SessionError,
    SessionEvent, StoredComposition,
};
use pollster::block_on;

use super::{StopWhen, loaded, registry, test_set};

/// Tasks with the modules that they are made of.
const STORED: [(&str, [&str; 2]); 4] = [
    ("pick-job-french", ["pick-job", "french"]),
    ("weekend-true-false", ["weekend", "true-false"]),
    ("minus-one-number-words", ["minus-one", "number-words"]),
    ("previous-day-thanks", ["previous-day", "thanks"]),
];
/// A task that none of them is for.
const FOREIGN: &str = "capital-spanish";
const ITEMS: usize = 12;

fn place(registry: &Registry, task: &str) -> usize {
    registry.tasks.iter().position(|one| one.id == task).unwrap()
}

fn stored(registry: &Registry) -> Vec<StoredComposition> {
    let composition = |modules: [&str; 2]| {
        let module = |id: &str| WeightedModule { id: id.into(), weight: 1.0.into() };
        Composition { modules: modules.map(module).into(), merge: Merge::Delta }
    };
    let one = |(task, modules): (&str, [&str; 2])| StoredComposition {
        composition: composition(modules),
        inputs: inputs_of(registry, task),
    };
    STORED.map(one).into()
}

fn inputs_of(registry: &Registry, task: &str) -> Vec<String> {
    let examples = &registry.tasks[place(registry, task)].examples;
    examples.iter().map(|example| example.input.clone()).collect()
}

fn items(registry: &Registry, task: &str) -> Vec<String> {
    let items = test_set(registry, place(registry, task));
    items.into_iter().take(ITEMS).map(|item| item.input).collect()
}

fn options(registry: &Registry) -> RouteOptions {
    let cards = registry.modules.iter().filter_map(|module| module.example.as_ref());
    let background = cards.map(|example| example.input.clone()).collect();
    RouteOptions { background, max_new_tokens: 16, ..RouteOptions::default() }
}

fn session(registry: &Registry) -> Session {
    loaded::<CpuBackend>(registry, registry.modules.len()).0
}

#[test]
fn inputs_go_to_the_composition_of_their_task_and_foreign_ones_to_the_base() {
    let registry = registry();
    let (mut session, stored, options) =
        (session(&registry), stored(&registry), options(&registry));
    let (mut right, mut to_base) = (0, 0);
    for (index, (task, _)) in STORED.iter().enumerate() {
        let inputs = items(&registry, task);
        let routed = block_on(session.route_all(&inputs, &stored, &options, &mut ())).unwrap();
        assert_eq!(routed.len(), ITEMS);
        right += routed.iter().filter(|one| one.chosen == Some(index as u32)).count();
        to_base += routed.iter().filter(|one| one.chosen.is_none()).count();
    }
    let all = STORED.len() * ITEMS;
    assert!(right >= all * 4 / 5, "{right} of {all}");
    assert!(to_base <= all / 8, "{to_base} of {all}");
    let inputs = items(&registry, FOREIGN);
    let routed = block_on(session.route_all(&inputs, &stored, &options, &mut ())).unwrap();
    let to_base = routed.iter().filter(|one| one.chosen.is_none()).count();
    assert!(to_base >= ITEMS * 3 / 4, "{to_base} of {ITEMS}");
    let of_base = block_on(session.answers(&inputs, None, 16, &mut ())).unwrap();
    for (one, of_base) in routed.iter().zip(of_base).filter(|(one, _)| one.chosen.is_none()) {
        assert_eq!(one.text, of_base.text);
    }
}

#[test]
fn an_answer_its_loss_and_its_score_are_those_of_the_chosen_composition() {
    let registry = registry();
    let (mut session, stored, options) =
        (session(&registry), stored(&registry), options(&registry));
    let input = &items(&registry, "weekend-true-false")[0];
    let mut steps = Vec::new();
    let mut observer = |event| {
        if let SessionEvent::Step { done, total } = event {
            steps.push((done, total));
        }
    };
    let routed = block_on(session.route(input, &stored, &options, &mut observer)).unwrap();
    assert_eq!(steps, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    assert_eq!(routed.chosen, Some(1));
    let composition = Some(&stored[1].composition);
    let own = block_on(session.generate(input, composition, 16, &mut ())).unwrap();
    assert_eq!(routed.text, own.text);
    let candidate = &routed.candidates[1];
    let example = Example { input: input.clone(), output: own.text };
    let score = block_on(session.score(&[example], composition)).unwrap();
    assert!((candidate.loss.unwrap() - score.loss).abs() < 1e-6);
    let expected = candidate.similarity - 0.3 * score.loss;
    assert!((candidate.score.unwrap() - expected).abs() < 1e-6);
    assert!(candidate.score.unwrap() >= ROUTE_THRESHOLD);
    // The two nearest answered, and only these.
    let answered = |one: &&RouteCandidate| one.answer.is_some();
    assert_eq!(routed.candidates.iter().filter(answered).count(), 2);
    let mut similarities: Vec<f64> = routed.candidates.iter().map(|one| one.similarity).collect();
    similarities.sort_by(|a, b| b.total_cmp(a));
    for one in &routed.candidates {
        assert_eq!(one.answer.is_some(), one.similarity >= similarities[1]);
    }
    // Alone, in a batch, and with the index of the compositions kept, it is the same.
    let inputs = [items(&registry, FOREIGN)[0].clone(), input.clone()];
    let both = block_on(session.route_all(&inputs, &stored, &options, &mut ())).unwrap();
    assert_eq!(both[1], routed);
    // Background texts beyond the limit are not read.
    let mut more = options.clone();
    more.background.resize(64, "river".into());
    let at_limit = block_on(session.route(input, &stored, &more, &mut ())).unwrap();
    more.background.push("x".repeat(100_000));
    let beyond = block_on(session.route(input, &stored, &more, &mut ())).unwrap();
    assert_eq!(beyond, at_limit);
    assert_ne!(at_limit.candidates, routed.candidates);
    // Another list of compositions is another index.
    let fewer = block_on(session.route(input, &stored[1..2], &options, &mut ())).unwrap();
    assert_eq!(fewer.candidates.len(), 1);
}

#[test]
fn a_threshold_that_nothing_reaches_leaves_the_base_and_no_composition_is_no_error() {
    let registry = registry();
    let (mut session, stored) = (session(&registry), stored(&registry));
    let input = &items(&registry, "weekend-true-false")[0];
    let of_base = block_on(session.generate(input, None, 16, &mut ())).unwrap().text;
    let options = RouteOptions { threshold: 2.0, ..options(&registry) };
    for compositions in [&stored[..], &[]] {
        let routed = block_on(session.route(input, compositions, &options, &mut ())).unwrap();
        assert_eq!((routed.chosen, &routed.text), (None, &of_base));
    }
}

#[test]
fn compositions_without_inputs_unknown_modules_and_a_stop_are_errors() {
    let registry = registry();
    let (mut session, stored, options) =
        (session(&registry), stored(&registry), options(&registry));
    let empty = [StoredComposition { inputs: Vec::new(), ..stored[0].clone() }];
    let error = block_on(session.route("1", &empty, &options, &mut ())).unwrap_err();
    assert_eq!(error, SessionError::NoExamples { operation: Operation::Route });
    assert!(error.report().next.contains("every composition"));
    let mut unknown = stored[0].clone();
    unknown.composition.modules[0].id = "no-such-module".into();
    let error = block_on(session.route("1", &[unknown], &options, &mut ())).unwrap_err();
    assert_eq!(error.report().code, ErrorCode::NotLoaded);
    let mut stop = StopWhen::new(|_| true);
    let error = block_on(session.route("1", &stored, &options, &mut stop)).unwrap_err();
    assert_eq!(error.report().code, ErrorCode::Aborted);
}
