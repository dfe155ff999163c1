//! A session on the demo library that ships, as a page uses it: load, learn, generate, test, stop, and
//! everything that it rejects.

mod base_notes;
#[cfg(feature = "gpu")]
mod failover;
mod gguf;
#[cfg(feature = "gpu")]
mod gpu;
mod precision;
mod retrieval;
mod routing;
mod tuning;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use loraloom::formats::{Example, ExamplesFormat, GgufFile, Tokenizer, parse_examples};
use loraloom::learn::{Evaluation, LearnOptions, LearnResult, Optimizer};
use loraloom::lora::{Composition, Merge, ModuleWeight, PeftAdapter, WeightedModule};
use loraloom::model::t5::{T5Config, T5Model};
use loraloom::model::{Model, Precision, TokenizedExample};
use loraloom::registry::{ModuleFiles, Registry, RegistryFile};
use loraloom::session::{
    Backend, BaseBytes, BaseLabel, CpuBackend, ErrorCode, ModuleLoss, Observer, Session,
    SessionEvent, TestResult, UnwritableOutput, unwritable_outputs,
};
use pollster::block_on;

/// The library that ships; `LIBRARY` says where it lies for a test that runs elsewhere than it was
/// built.
fn library() -> PathBuf {
    std::env::var_os("LIBRARY").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../www/site/public/library"),
        PathBuf::from,
    )
}

fn read(file: &RegistryFile) -> Vec<u8> {
    std::fs::read(library().join(&file.path)).unwrap()
}

fn registry() -> Registry {
    Registry::parse(&std::fs::read(library().join("registry.json")).unwrap()).unwrap()
}

/// A session with the base and the first `modules` modules of the library.
fn loaded<B: Backend + From<Arc<dyn Model>>>(
    registry: &Registry,
    modules: usize,
) -> (Session<B>, Vec<String>) {
    loaded_with_clock(|| 0.0, registry, modules)
}

fn loaded_with_clock<B: Backend + From<Arc<dyn Model>>>(
    clock: fn() -> f64,
    registry: &Registry,
    modules: usize,
) -> (Session<B>, Vec<String>) {
    let mut session = Session::new(clock);
    let base = &registry.bases[0];
    let (config, tokenizer) = (read(&base.files.config), read(&base.files.tokenizer));
    let weights = read(&base.files.weights);
    let files = BaseBytes { config: &config, tokenizer: &tokenizer, weights: &weights };
    let label = BaseLabel { id: base.id.clone(), ..BaseLabel::default() };
    let info = session.load_base(label, files, Precision::Int8).unwrap();
    assert_eq!(info.parameters, base.parameters as f64);
    let mut ids = Vec::new();
    for module in registry.modules.iter().take(modules) {
        let config = read(&module.files.config);
        let info = session.add_module(&module.id, &config, read(&module.files.weights)).unwrap();
        assert_eq!((info.rank, info.notes), (module.rank, None));
        ids.push(module.id.clone());
    }
    (session, ids)
}

fn test_set(registry: &Registry, task: usize) -> Vec<Example> {
    let text = String::from_utf8(read(&registry.tasks[task].test)).unwrap();
    parse_examples(&text, ExamplesFormat::Jsonl).unwrap()
}

/// Of values that overflow, the 8-bit kernels would make a plausible loss.
#[test]
fn a_module_whose_values_overflow_is_refused_when_it_is_added() {
    let registry = registry();
    let (mut session, _) = loaded::<CpuBackend>(&registry, 0);
    let module = &registry.modules[0];
    let (config, weights) = (read(&module.files.config), read(&module.files.weights));
    let mut scaled: serde_json::Value = serde_json::from_slice(&config).unwrap();
    scaled["lora_alpha"] = 1e30.into();
    let scaled = serde_json::to_vec(&scaled).unwrap();
    let error = session.add_module("damaged", &scaled, weights.clone()).unwrap_err().to_string();
    assert!(error.contains("which are below 100"), "{error}");
    session.add_module("whole", &config, weights).unwrap();
}

/// What the library's base needs to be loaded.
struct Base {
    config: T5Config,
    tokenizer: Tokenizer,
    weights: GgufFile,
}

impl Base {
    fn new(registry: &Registry) -> Self {
        let files = &registry.bases[0].files;
        Self {
            config: T5Config::parse(&read(&files.config)).unwrap(),
            tokenizer: Tokenizer::parse(&read(&files.tokenizer)).unwrap(),
            weights: GgufFile::parse(read(&files.weights)).unwrap(),
        }
    }

    fn model(&self, precision: Precision) -> T5Model {
        T5Model::load(self.config.clone(), &self.weights, precision).unwrap()
    }

    fn tokenized(&self, items: &[Example]) -> Vec<TokenizedExample> {
        let tokens = |text: &str| self.tokenizer.encode(text).unwrap();
        let item = |item: &Example| TokenizedExample {
            input: tokens(&item.input),
            labels: tokens(&item.output),
        };
        items.iter().map(item).collect()
    }
}

/// The modules of the skills that a task needs: its name joins theirs.
fn skills(registry: &Registry, task: usize) -> Vec<PeftAdapter> {
    let id = &registry.tasks[task].id;
    let named = registry.modules.iter().filter(|module| id.contains(&module.id));
    let parse =
        |files: &ModuleFiles| PeftAdapter::parse(&read(&files.config), read(&files.weights));
    named.map(|module| parse(&module.files).unwrap()).collect()
}

fn run_test<B: Backend>(
    session: &mut Session<B>,
    items: &[Example],
    with: Option<&Composition>,
) -> TestResult {
    block_on(session.test(items, with, 16, &mut ())).unwrap()
}

/// Stops a method once `stop` returns true for the events so far.
struct StopWhen<F> {
    events: Vec<SessionEvent>,
    stop: F,
}

impl<F: FnMut(&[SessionEvent]) -> bool> StopWhen<F> {
    fn new(stop: F) -> Self {
        Self { events: Vec::new(), stop }
    }
}

impl<F: FnMut(&[SessionEvent]) -> bool> Observer for StopWhen<F> {
    fn on_event(&mut self, event: SessionEvent) {
        self.events.push(event);
    }

    async fn next_turn(&mut self) -> bool {
        (self.stop)(&self.events)
    }
}

#[test]
fn what_is_learned_answers_better_than_the_base_and_alike_alone_and_in_a_batch() {
    let registry = registry();
    let (mut session, ids) = loaded::<CpuBackend>(&registry, usize::MAX);
    let task = &registry.tasks[0];
    let mut evaluations = 0;
    let mut observer = |event| match event {
        SessionEvent::Evaluation { .. } => evaluations += 1,
        other => panic!("{other:?}"),
    };
    let options = LearnOptions::default();
    let result =
        block_on(session.learn(&task.examples, &ids, options, &[], &mut observer)).unwrap();
    assert!(result.complete && result.loss < result.loss_start);
    assert_eq!(result.history.len(), evaluations);
    assert!(result.evaluations <= f64::from(LearnOptions::default().budget));
    let assessment = result.assessment.clone().unwrap();
    assert!(assessment.calibrated && assessment.answers.len() == task.examples.len());

    let items = &test_set(&registry, 0)[..40];
    let composition = Composition { modules: result.modules, merge: result.merge };
    let composed = run_test(&mut session, items, Some(&composition));
    let base = run_test(&mut session, items, None);
    assert!(composed.complete && composed.total == 40);
    assert!(composed.correct > base.correct, "{} {}", composed.correct, base.correct);

    for answer in &composed.answers[..5] {
        let mut shown = String::new();
        let mut observer = |event| {
            let SessionEvent::Token { text } = event else { panic!("{event:?}") };
            assert!(text.starts_with(&shown));
            shown = text;
        };
        let generated = session.generate(&answer.input, Some(&composition), 16, &mut observer);
        let generated = block_on(generated).unwrap();
        assert_eq!(generated.text, answer.answer);
        assert_eq!(generated.text, shown);
    }
    let inputs: Vec<String> = items.iter().map(|item| item.input.clone()).collect();
    let answers = block_on(session.answers(&inputs, Some(&composition), 16, &mut ())).unwrap();
    let texts = answers.iter().map(|answer| &answer.text);
    assert!(texts.eq(composed.answers.iter().map(|answer| &answer.answer)));

    let assessed = block_on(session.assess(&task.examples, Some(&composition), &mut ())).unwrap();
    assert_eq!(assessed.probabilities, assessment.probabilities);
    assert_eq!((assessed.verdict, assessed.answers), (assessment.verdict, assessment.answers));

    // The loss that learning reports is that of the composition it returns.
    let score = block_on(session.score(&task.examples, Some(&composition))).unwrap();
    assert_eq!(score.loss, result.loss);
}

#[test]
fn the_modules_that_a_search_selects_are_reported_with_the_loss_of_each_alone() {
    let registry = registry();
    let (mut session, ids) = loaded::<CpuBackend>(&registry, 8);
    let examples = &registry.tasks[0].examples;
    let options = LearnOptions {
        optimizer: Optimizer::Cobyla,
        modules: 3,
        budget: 20,
        ..LearnOptions::default()
    };
    let mut selected = Vec::new();
    let mut observer = |event| {
        if let SessionEvent::Selected { modules } = event {
            selected = modules;
        }
    };
    block_on(session.learn(examples, &ids, options, &[], &mut observer)).unwrap();
    assert_eq!(selected.len(), 3);
    for ModuleLoss { id, loss } in selected {
        let modules = vec![WeightedModule { id, weight: 1.0.into() }];
        let alone = Composition { modules, merge: Merge::Delta };
        assert_eq!(block_on(session.score(examples, Some(&alone))).unwrap().loss, loss);
    }
}

#[test]
fn a_run_that_is_stopped_continues_to_the_same_result() {
    let registry = registry();
    for (optimizer, modules) in [(Optimizer::Forward, 8), (Optimizer::ForwardGradient, 24)] {
        let (mut session, ids) = loaded::<CpuBackend>(&registry, modules);
        let examples = &registry.tasks[0].examples;
        let options = || LearnOptions { budget: 20, optimizer, ..LearnOptions::default() };
        let whole = block_on(session.learn(examples, &ids, options(), &[], &mut ())).unwrap();
        assert!(whole.complete && whole.loss < whole.loss_start && whole.evaluations <= 20.0);
        let gradients: Vec<usize> =
            whole.history.iter().filter_map(|one| Some(one.gradient.as_ref()?.len())).collect();
        match optimizer {
            Optimizer::ForwardGradient => assert_eq!(gradients[..2], [24, 23]),
            _ => assert!(gradients.is_empty()),
        }
        let mut observer = StopWhen::new(|events: &[SessionEvent]| events.len() == 7);
        let stopped = session.learn(examples, &ids, options(), &[], &mut observer);
        let stopped = block_on(stopped).unwrap();
        assert!(!stopped.complete && stopped.history.len() == 7);
        let history = &stopped.history;
        let resumed = block_on(session.learn(examples, &ids, options(), history, &mut ())).unwrap();
        let steps = |result: &LearnResult| {
            let step =
                |one: &Evaluation| (one.weights.clone(), one.losses.clone(), one.gradient.clone());
            result.history.iter().map(step).collect::<Vec<_>>()
        };
        assert_eq!(steps(&resumed), steps(&whole));
        assert_eq!((resumed.modules, resumed.loss), (whole.modules, whole.loss));
        let other = block_on(session.learn(&examples[1..], &ids, options(), history, &mut ()));
        assert_eq!(other.unwrap_err().code(), ErrorCode::InvalidInput);
    }
}

#[test]
fn an_exported_composition_with_weights_for_groups_of_layers_has_its_losses() {
    let registry = registry();
    let (mut session, ids) = loaded::<CpuBackend>(&registry, 2);
    let examples = &registry.tasks[0].examples;
    let weights: [ModuleWeight; 2] = [[1.0, 0.5, -0.75, 0.0].into(), 1.25.into()];
    let modules = ids.iter().zip(weights);
    let modules = modules.map(|(id, weight)| WeightedModule { id: id.clone(), weight }).collect();
    let composition = Composition { modules, merge: Merge::Delta };
    let files = session.export(&composition, "base").unwrap().files;
    session.add_module("exported", &files.config, files.weights).unwrap();
    let modules = vec![WeightedModule { id: "exported".into(), weight: 1.0.into() }];
    let exported = Composition { modules, merge: Merge::Delta };
    let [expected, found] = [composition, exported]
        .map(|one| block_on(session.score(examples, Some(&one))).unwrap().loss);
    // The scales are in the exported matrices, which are quantized with them.
    assert!((found - expected).abs() < 2e-2 * expected, "{found} {expected}");
}

#[test]
fn a_stopped_method_returns_what_it_reached() {
    let registry = registry();
    let (mut session, ids) = loaded::<CpuBackend>(&registry, 4);
    let examples = &registry.tasks[0].examples;
    let mut observer = StopWhen::new(|events: &[SessionEvent]| events.len() == 2);
    let options = LearnOptions::default();
    let stopped = block_on(session.learn(examples, &ids, options, &[], &mut observer)).unwrap();
    assert_eq!((stopped.complete, stopped.history.len()), (false, 2));

    let is_answered =
        |event: &SessionEvent| matches!(event, SessionEvent::Tested { done, .. } if *done > 0);
    let mut observer = StopWhen::new(|events: &[SessionEvent]| events.iter().any(is_answered));
    let items = test_set(&registry, 0);
    let stopped = block_on(session.test(&items, None, 16, &mut observer)).unwrap();
    assert!(!stopped.complete && stopped.total > 0);

    let mut observer = StopWhen::new(|events: &[SessionEvent]| events.len() == 1);
    let stopped = block_on(session.generate(&items[0].input, None, 16, &mut observer)).unwrap();
    assert_eq!((stopped.complete, stopped.tokens), (false, 1));

    let composition = Composition {
        modules: ids
            .iter()
            .map(|id| WeightedModule { id: id.clone(), weight: 0.5.into() })
            .collect(),
        merge: Merge::Delta,
    };
    let mut observer = StopWhen::new(|events: &[SessionEvent]| events.len() == 3);
    let stopped = block_on(session.leave_one_out(examples, &composition, &mut observer));
    assert_eq!(stopped.map_err(|error| error.code()), Err(ErrorCode::Aborted));
}

#[test]
fn long_examples_are_evaluated_in_batches_with_an_estimate_and_a_stop_between_two() {
    let registry = registry();
    let (mut session, ids) = loaded::<CpuBackend>(&registry, 2);
    let long = |example: &Example| Example {
        input: vec![&*example.input; 64].join(", "),
        output: example.output.clone(),
    };
    let examples: Vec<Example> = test_set(&registry, 0).iter().take(10).map(long).collect();
    let options = || LearnOptions { budget: 3, ..LearnOptions::default() };

    let mut observer = StopWhen::new(|_: &[SessionEvent]| false);
    let whole = block_on(session.learn(&examples, &ids, options(), &[], &mut observer)).unwrap();
    let is_estimate = |event: &SessionEvent| matches!(event, SessionEvent::Estimate { .. });
    assert!(is_estimate(&observer.events[0]), "{:?}", observer.events[0]);
    assert_eq!(observer.events.iter().filter(|event| is_estimate(event)).count(), 1);
    let of_base = whole.history.iter().find(|one| one.weights.is_empty() && one.losses.len() == 10);
    for (example, found) in examples.iter().zip(&of_base.unwrap().losses) {
        let alone = block_on(session.score(std::slice::from_ref(example), None)).unwrap();
        assert_eq!(found.loss.to_bits(), alone.examples[0].loss.to_bits());
    }

    let mut turns = 0;
    let mut observer = StopWhen::new(|events: &[SessionEvent]| {
        let evaluated = events.iter().any(|one| matches!(one, SessionEvent::Evaluation { .. }));
        turns += usize::from(evaluated);
        // The first turn is before the second evaluation, the next ones are within it.
        turns == 2
    });
    let stopped = block_on(session.learn(&examples, &ids, options(), &[], &mut observer)).unwrap();
    assert_eq!((stopped.complete, stopped.history.len()), (false, 1));
    assert_eq!(stopped.history[0].losses, whole.history[0].losses);
    let history = &stopped.history;
    let resumed = block_on(session.learn(&examples, &ids, options(), history, &mut ())).unwrap();
    assert_eq!((resumed.modules, resumed.loss), (whole.modules, whole.loss));
}

#[test]
fn on_a_slow_machine_a_stop_waits_for_one_example() {
    /// A clock by which every batch takes a hundred seconds.
    fn slow() -> f64 {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        100.0 * f64::from(CALLS.fetch_add(1, Ordering::Relaxed))
    }
    let registry = registry();
    let (mut session, ids) = loaded_with_clock::<CpuBackend>(slow, &registry, 2);
    let examples = &registry.tasks[0].examples;
    let options = || LearnOptions { budget: 3, ..LearnOptions::default() };
    let whole = block_on(session.learn(examples, &ids, options(), &[], &mut ())).unwrap();

    let mut turns = 0;
    let mut observer = StopWhen::new(|events: &[SessionEvent]| {
        turns += usize::from(!events.is_empty());
        turns == 3
    });
    let stopped = block_on(session.learn(examples, &ids, options(), &[], &mut observer)).unwrap();
    // The first turn is before the second evaluation, of two examples or more, and the others are within it.
    assert_eq!((stopped.complete, stopped.history.len()), (false, 1));
    assert_eq!(stopped.history[0], whole.history[0]);
    let (mut quick, ids) = loaded::<CpuBackend>(&registry, 2);
    let at_once = block_on(quick.learn(examples, &ids, options(), &[], &mut ())).unwrap();
    assert_eq!((at_once.modules, at_once.loss), (whole.modules, whole.loss));
}

#[test]
fn outputs_that_the_model_cannot_write_are_reported_before_learning() {
    let registry = registry();
    let (mut session, ids) = loaded::<CpuBackend>(&registry, 1);
    let examples = ["nose", "犬", "<extra_id_0>", "moon 水"]
        .map(|output| Example { input: "bed, moon and nose".into(), output: output.into() });
    let mut observer = StopWhen::new(|_: &[SessionEvent]| true);
    block_on(session.learn(&examples, &ids, LearnOptions::default(), &[], &mut observer)).unwrap();
    let unwritable = |example, part: &str| UnwritableOutput { example, parts: vec![part.into()] };
    let outputs = vec![unwritable(1, "犬"), unwritable(3, "水")];
    assert_eq!(observer.events, [SessionEvent::Unwritable { outputs }]);
    for task in &registry.tasks {
        assert_eq!(unwritable_outputs(session.tokenizer().unwrap(), &task.examples), []);
    }
}

#[test]
fn an_output_is_compared_as_it_would_be_decoded() {
    let registry = registry();
    let (mut session, _) = loaded::<CpuBackend>(&registry, 0);
    let mut items = test_set(&registry, 0);
    items.truncate(8);
    let answers = run_test(&mut session, &items, None).answers;
    for (item, answer) in items.iter_mut().zip(answers) {
        assert!(!answer.answer.is_empty());
        item.output = format!("<pad>{}</s>", answer.answer);
    }
    assert_eq!(run_test(&mut session, &items, None).exact_match, 100.0);
}

#[test]
fn the_loss_without_a_module_is_that_of_the_others() {
    let registry = registry();
    let (mut session, ids) = loaded::<CpuBackend>(&registry, 3);
    let examples = &registry.tasks[0].examples;
    let weighted = |id: &String| WeightedModule { id: id.clone(), weight: 0.5.into() };
    let modules: Vec<WeightedModule> = ids.iter().map(weighted).collect();
    let composition = Composition { modules: modules.clone(), merge: Merge::Delta };
    let mut steps = Vec::new();
    let mut observer = |event| steps.push(event);
    let losses = block_on(session.leave_one_out(examples, &composition, &mut observer)).unwrap();
    assert_eq!(steps.last(), Some(&SessionEvent::Step { done: 3, total: 3 }));
    for (index, loss) in losses.iter().enumerate() {
        let mut others = composition.clone();
        others.modules.remove(index);
        let score = block_on(session.score(examples, Some(&others))).unwrap();
        assert_eq!((&loss.id, loss.loss), (&ids[index], score.loss));
    }
}

#[test]
fn a_module_that_is_added_again_replaces_the_cached_one() {
    let registry = registry();
    let (mut session, ids) = loaded::<CpuBackend>(&registry, 2);
    let examples = &registry.tasks[0].examples;
    let only = |id: &String| Composition {
        modules: vec![WeightedModule { id: id.clone(), weight: 1.0.into() }],
        merge: Merge::Lorahub,
    };
    let score = |session: &mut Session, id| {
        block_on(session.score(examples, Some(&only(id)))).unwrap().loss
    };
    let [first, second] = [0, 1].map(|index| score(&mut session, &ids[index]));
    let files = &registry.modules[1].files;
    session.add_module(&ids[0], &read(&files.config), read(&files.weights)).unwrap();
    assert!(first != second && score(&mut session, &ids[0]) == second);
}

#[test]
fn what_cannot_be_done_is_rejected_by_name_and_what_is_loaded_stays() {
    let registry = registry();
    let (mut session, ids) = loaded::<CpuBackend>(&registry, 2);
    let examples = registry.tasks[0].examples.clone();
    let options = LearnOptions::default;
    let mut learn = |examples: &[Example], ids: &[String], options| {
        block_on(session.learn(examples, ids, options, &[], &mut ())).unwrap_err()
    };
    let mut rejected = vec![
        learn(&[], &ids, options()),
        learn(&examples, &["absent".into()], options()),
        learn(&examples, &[], options()),
        learn(&examples, &ids, LearnOptions { budget: 0, ..options() }),
    ];
    let long = "word ".repeat(5000);
    let mut generate =
        |input, limit| block_on(session.generate(input, None, limit, &mut ())).unwrap_err();
    rejected.extend([generate(&long, 16), generate("word", 1 << 20)]);
    rejected.push(block_on(session.test(&[], None, 16, &mut ())).unwrap_err());
    rejected.push(session.add_module("other", b"{}", Vec::new()).unwrap_err());
    rejected.push(block_on(Session::<CpuBackend>::new(|| 0.0).score(&examples, None)).unwrap_err());
    let named = [
        (ErrorCode::InvalidInput, "no example"),
        (ErrorCode::NotLoaded, "absent"),
        (ErrorCode::InvalidInput, "at least one"),
        (ErrorCode::InvalidInput, "budget"),
        (ErrorCode::InvalidInput, "4096"),
        (ErrorCode::InvalidInput, "4096"),
        (ErrorCode::InvalidInput, "no example"),
        (ErrorCode::InvalidInput, ""),
        (ErrorCode::NotLoaded, ""),
    ];
    assert_eq!(rejected.len(), named.len());
    for (error, (code, part)) in rejected.iter().zip(named) {
        let report = error.report();
        assert_eq!(report.code, code, "{report}");
        assert!(report.why.to_lowercase().contains(part), "{part}: {report}");
        for part in [&report.what, &report.why, &report.next] {
            assert!(part.ends_with('.') && part.len() > 5, "{report}");
        }
    }
    for (weight, found) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-1e19, "-1e19")] {
        let weights = vec![WeightedModule { id: ids[0].clone(), weight: weight.into() }];
        let composition = Composition { modules: weights, merge: Merge::Delta };
        let report = block_on(session.score(&examples, Some(&composition))).unwrap_err().report();
        assert!(report.why.contains(&ids[0]) && report.why.contains(found), "{report}");
        assert!(report.details.contains_key("module"), "{report:?}");
    }

    let label = BaseLabel { title: "Broken".into(), ..BaseLabel::default() };
    let files = BaseBytes { config: b"{}", tokenizer: b"{}", weights: &[] };
    let report = session.load_base(label, files, Precision::F32).unwrap_err().report();
    assert!(report.what.contains("Broken"), "{report}");
    assert!(session.module(&ids[0]).is_some());
    assert!(block_on(session.score(&examples, None)).unwrap().loss > 0.0);
}
