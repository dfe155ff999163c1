//! The engine on the demo library that ships, as a page drives it: load, learn, answer, test, stop,
//! and everything that it refuses.

#[cfg(feature = "gpu")]
mod gpu;
mod precision;

use std::path::{Path, PathBuf};

use loraloom::formats::{Example, ExamplesFormat, GgufFile, Tokenizer, parse_examples};
use loraloom::learn::LearnOptions;
use loraloom::lora::Composition;
use loraloom::lora::Merge;
use loraloom::lora::PeftAdapter;
use loraloom::lora::WeightedModule;
use loraloom::model::t5::{Precision, T5Config, T5Model, TokenizedExample};
use loraloom::protocol::TestResult;
use loraloom::registry::{ModuleFiles, Registry, RegistryFile};
use loraloom::session::{BaseBytes, BaseLabel, Engine};

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

/// An engine with the base and the first `modules` modules of the library.
fn loaded(registry: &Registry, modules: usize) -> (Engine, Vec<String>) {
    let mut engine = Engine::new(|| 0.0);
    let base = &registry.bases[0];
    let (config, tokenizer) = (read(&base.files.config), read(&base.files.tokenizer));
    let weights = read(&base.files.weights);
    let files = BaseBytes { config: &config, tokenizer: &tokenizer, weights: &weights };
    let label = BaseLabel { id: base.id.clone(), ..BaseLabel::default() };
    let info = engine.load_base(label, files, Precision::Int8).unwrap();
    assert_eq!(info.parameters, base.parameters as f64);
    let mut ids = Vec::new();
    for module in registry.modules.iter().take(modules) {
        let config = read(&module.files.config);
        let info = engine.add_module(&module.id, &config, read(&module.files.weights)).unwrap();
        assert_eq!(info.rank, module.rank);
        ids.push(module.id.clone());
    }
    (engine, ids)
}

fn test_set(registry: &Registry, task: usize) -> Vec<Example> {
    let text = String::from_utf8(read(&registry.tasks[task].test)).unwrap();
    parse_examples(&text, ExamplesFormat::Jsonl).unwrap()
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
            tokenizer: Tokenizer::from_json(&read(&files.tokenizer)).unwrap(),
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

/// The modules of the skills that a task asks for: its name joins theirs.
fn skills(registry: &Registry, task: usize) -> Vec<PeftAdapter> {
    let id = &registry.tasks[task].id;
    let named = registry.modules.iter().filter(|module| id.contains(&module.id));
    let parse =
        |files: &ModuleFiles| PeftAdapter::parse(&read(&files.config), read(&files.weights));
    named.map(|module| parse(&module.files).unwrap()).collect()
}

fn run_test(engine: &mut Engine, items: &[Example], with: Option<&Composition>) -> TestResult {
    engine.start_test(items, with, 16).unwrap();
    loop {
        if let Some(result) = engine.test_step().unwrap().result {
            return result;
        }
    }
}

#[test]
fn what_is_learned_answers_better_than_the_base_and_alike_alone_and_in_a_batch() {
    let registry = registry();
    let (mut engine, ids) = loaded(&registry, usize::MAX);
    let task = &registry.tasks[0];
    engine.start_learning(&task.examples, &ids, LearnOptions::default()).unwrap();
    let (mut selected, mut evaluations) = (None, 0);
    let result = loop {
        let step = engine.learning_step().unwrap();
        evaluations += u32::from(step.evaluation.is_some());
        selected = step.selected.or(selected);
        if let Some(result) = step.result {
            break result;
        }
    };
    assert!(result.complete && result.loss < result.loss_start);
    assert_eq!(result.evaluations, evaluations);
    assert_eq!(selected.map(|modules| modules.len()), Some(result.modules.len()));

    let items = &test_set(&registry, 0)[..40];
    let composition = Composition { modules: result.modules, merge: result.merge };
    let composed = run_test(&mut engine, items, Some(&composition));
    let base = run_test(&mut engine, items, None);
    assert!(composed.complete && composed.total == 40);
    assert!(composed.correct > base.correct, "{} {}", composed.correct, base.correct);

    for answer in &composed.answers[..5] {
        engine.start_generation(&answer.input, Some(&composition), 16).unwrap();
        let mut shown = String::new();
        let generated = loop {
            let step = engine.generation_step().unwrap();
            assert!(step.text.starts_with(&shown));
            shown = step.text;
            if let Some(result) = step.result {
                break result;
            }
        };
        assert_eq!(generated.text, answer.answer);
    }

    // The loss that learning reports is that of the composition it answers with, and the penalty.
    let score = engine.score(&task.examples, Some(&composition)).unwrap();
    let size: f64 = composition.modules.iter().map(|m| f64::from(m.weight).abs()).sum();
    let loss = score.loss + 0.05 * size / composition.modules.len() as f64;
    assert!((loss - result.loss).abs() < 1e-6, "{loss} {}", result.loss);
}

#[test]
fn stopped_work_answers_with_what_it_has() {
    let registry = registry();
    let (mut engine, ids) = loaded(&registry, 4);
    let examples = &registry.tasks[0].examples;
    engine.start_learning(examples, &ids, LearnOptions::default()).unwrap();
    engine.learning_step().unwrap();
    engine.learning_step().unwrap();
    let stopped = engine.stop_learning().unwrap();
    assert_eq!((stopped.complete, stopped.evaluations), (false, 2));
    assert!(engine.learning_step().is_err());

    engine.start_test(&test_set(&registry, 0), None, 16).unwrap();
    while engine.test_step().unwrap().done == 0 {}
    let stopped = engine.stop_test().unwrap();
    assert!(!stopped.complete && stopped.total > 0);
}

#[test]
fn what_cannot_be_done_is_refused_by_name_and_what_is_loaded_stays() {
    let registry = registry();
    let (mut engine, ids) = loaded(&registry, 2);
    let examples = registry.tasks[0].examples.clone();
    let options = LearnOptions::default;
    let refused = [
        engine.start_learning(&[], &ids, options()).unwrap_err(),
        engine.start_learning(&examples, &["absent".into()], options()).unwrap_err(),
        engine.start_learning(&examples, &[], options()).unwrap_err(),
        (engine.start_learning(&examples, &ids, LearnOptions { budget: 0, ..options() }))
            .unwrap_err(),
        engine.start_generation(&"word ".repeat(5000), None, 16).unwrap_err(),
        engine.start_generation("word", None, 1 << 20).unwrap_err(),
        engine.start_test(&[], None, 16).unwrap_err(),
        engine.add_module("other", b"{}", Vec::new()).unwrap_err(),
        Engine::new(|| 0.0).score(&examples, None).unwrap_err(),
    ];
    let named = ["no example", "absent", "at least one", "budget", "4096", "4096", "empty", "", ""];
    for (report, part) in refused.iter().zip(named) {
        assert!(report.why.to_lowercase().contains(part), "{part}: {report}");
        for part in [&report.what, &report.why, &report.next] {
            assert!(part.ends_with('.') && part.len() > 5, "{report}");
        }
    }
    let weights = vec![WeightedModule { id: ids[0].clone(), weight: f32::NAN }];
    let composition = Composition { modules: weights, merge: Merge::Delta };
    let report = engine.score(&examples, Some(&composition)).unwrap_err();
    assert!(report.why.contains(&ids[0]) && report.why.contains("NaN"), "{report}");

    let label = BaseLabel { title: "Broken".into(), ..BaseLabel::default() };
    let files = BaseBytes { config: b"{}", tokenizer: b"{}", weights: &[] };
    let report = engine.load_base(label, files, Precision::F32).unwrap_err();
    assert!(report.what.contains("Broken"), "{report}");
    assert!(engine.has_module(&ids[0]));
    assert!(engine.score(&examples, None).unwrap().loss > 0.0);
}
