//! The engine against Hugging Face transformers and PEFT, on the random models that
//! `make_models.py` and `make_family.py` made.

mod family;
#[cfg(feature = "gpu")]
mod gpu;
mod gradients;
mod transformers_5;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loraloom::formats::SafetensorsFile;

use loraloom::kernels::cpu::Isa;
use loraloom::kernels::parallel::with_threads;
use loraloom::lora::PeftAdapter;
use loraloom::lora::{AdapterSet, Merge};
use loraloom::model::t5::{T5Config, T5Model};
use loraloom::model::{Control, LoraBranches, Model, ModelError, Precision, TokenizedExample};
use serde::Deserialize;

/// Largest relative difference of a loss: f32 rounding in another order.
const TOLERANCE: f32 = 2e-6;

#[derive(Deserialize)]
struct Expected {
    max_new_tokens: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    merge: Option<Merge>,
    adapters: Vec<String>,
    weights: Vec<f32>,
    examples: Vec<ExpectedExample>,
}

#[derive(Deserialize)]
struct ExpectedExample {
    input: Vec<u32>,
    labels: Vec<u32>,
    loss: f32,
    greedy: Vec<u32>,
}

impl Case {
    fn batch(&self) -> Vec<TokenizedExample> {
        (self.examples.iter())
            .map(|e| TokenizedExample { input: e.input.clone(), labels: e.labels.clone() })
            .collect()
    }

    fn inputs(&self) -> Vec<&[u32]> {
        self.examples.iter().map(|example| &*example.input).collect()
    }
}

struct Golden {
    folder: PathBuf,
    expected: Expected,
    config: T5Config,
}

impl Golden {
    fn all() -> Vec<Golden> {
        let folders = Self::root().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = folders.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert!(names.len() >= 7);
        names.iter().map(|name| Self::named(name)).collect()
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models")
    }

    fn named(name: &str) -> Golden {
        let folder = Self::root().join(name);
        Golden {
            expected: serde_json::from_slice(&read(&folder.join("expected.json"))).unwrap(),
            config: T5Config::parse(&read(&folder.join("config.json"))).unwrap(),
            folder,
        }
    }

    fn model(&self, precision: Precision) -> T5Model {
        let weights = SafetensorsFile::parse(read(&self.folder.join("model.safetensors"))).unwrap();
        T5Model::load(self.config.clone(), &weights, precision).unwrap()
    }

    fn adapters(&self, case: &Case) -> Vec<PeftAdapter> {
        (case.adapters.iter())
            .map(|name| {
                let folder = self.folder.join("adapters").join(name);
                let weights = ["adapter_model.safetensors", "adapter_model.bin"]
                    .map(|file| folder.join(file))
                    .into_iter()
                    .find(|path| path.exists())
                    .unwrap();
                PeftAdapter::parse(&read(&folder.join("adapter_config.json")), read(&weights))
                    .unwrap_or_else(|error| panic!("{}: {error}", weights.display()))
            })
            .collect()
    }

    fn branches(&self, case: &Case, model: &T5Model) -> Option<LoraBranches> {
        let adapters = self.adapters(case);
        let adapters: Vec<&PeftAdapter> = adapters.iter().collect();
        let composition = AdapterSet::new(&self.config, &adapters, case.merge?).unwrap();
        Some(composition.into_branches(&case.weights, model.precision()).unwrap())
    }

    fn name(&self, case: &Case) -> String {
        format!("{} {}", self.folder.file_name().unwrap().to_string_lossy(), case.name)
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn losses(model: &T5Model, batch: &[TokenizedExample], side: Option<&LoraBranches>) -> Vec<f32> {
    let losses = model.losses(batch, side, &Control::none()).unwrap();
    losses.iter().map(|example| example.loss).collect()
}

fn bits(losses: &[f32]) -> Vec<u32> {
    losses.iter().map(|loss| loss.to_bits()).collect()
}

#[test]
fn losses_are_hugging_faces() {
    for golden in Golden::all() {
        let model = golden.model(Precision::F32);
        for case in &golden.expected.cases {
            let side = golden.branches(case, &model);
            for (found, example) in
                losses(&model, &case.batch(), side.as_ref()).into_iter().zip(&case.examples)
            {
                let difference = (found - example.loss).abs() / example.loss;
                assert!(
                    difference < TOLERANCE,
                    "{}, {} tokens: {found} for {}",
                    golden.name(case),
                    example.input.len(),
                    example.loss
                );
            }
        }
    }
}

/// Adapters that versions of PEFT made, and the losses that each version gives: `make_peft_versions.py`.
#[test]
fn adapters_of_every_version_of_peft_have_its_losses() {
    #[derive(Deserialize)]
    struct Expected {
        examples: Vec<Example>,
    }
    #[derive(Deserialize)]
    struct Example {
        input: Vec<u32>,
        labels: Vec<u32>,
        loss: f32,
    }
    let golden = Golden::named("narrow-tied");
    let model = golden.model(Precision::F32);
    let versions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/peft");
    let (mut pickled, mut safe) = (0, 0);
    for folder in versions.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        let expected: Expected =
            serde_json::from_slice(&read(&folder.join("expected.json"))).unwrap();
        let batch: Vec<_> = (expected.examples.iter())
            .map(|e| TokenizedExample { input: e.input.clone(), labels: e.labels.clone() })
            .collect();
        for (file, count) in
            [("adapter_model.bin", &mut pickled), ("adapter_model.safetensors", &mut safe)]
        {
            let weights = folder.join(file);
            if !weights.exists() {
                continue;
            }
            *count += 1;
            let config = read(&folder.join("adapter_config.json"));
            let adapter = PeftAdapter::parse(&config, read(&weights))
                .unwrap_or_else(|error| panic!("{}: {error}", weights.display()));
            let mut composition =
                AdapterSet::new(&golden.config, &[&adapter], Merge::Delta).unwrap();
            let side = composition.branches(&[1.0], Precision::F32).unwrap();
            let found = losses(&model, &batch, Some(side));
            for (found, Example { loss, .. }) in found.iter().zip(&expected.examples) {
                let weights = weights.display();
                assert!((found / loss - 1.0).abs() < 1e-5, "{weights}: {found} for {loss}");
            }
        }
    }
    assert_eq!((pickled, safe), (7, 6));
}

#[test]
fn greedy_tokens_are_hugging_faces() {
    for golden in Golden::all() {
        let model = golden.model(Precision::F32);
        for case in &golden.expected.cases {
            let side = golden.branches(case, &model);
            let mut streamed = vec![Vec::new(); case.examples.len()];
            let limit = golden.expected.max_new_tokens;
            let mut on_token = |row: usize, token| streamed[row].push(token);
            let outputs = model
                .generate(&case.inputs(), side.as_ref(), limit, &Control::none(), &mut on_token)
                .unwrap();
            for (found, example) in outputs.iter().zip(&case.examples) {
                assert_eq!(*found, example.greedy, "{}", golden.name(case));
            }
            assert_eq!(streamed, outputs);
        }
    }
}

#[test]
fn losses_in_8_bits_are_near_the_exact_ones() {
    for golden in Golden::all() {
        let model = golden.model(Precision::Int8);
        let (mut found, mut exact) = (0.0, 0.0);
        for case in &golden.expected.cases {
            let side = golden.branches(case, &model);
            found += losses(&model, &case.batch(), side.as_ref()).iter().sum::<f32>();
            exact += case.examples.iter().map(|example| example.loss).sum::<f32>();
        }
        let folder = golden.folder.display();
        assert!((found / exact - 1.0).abs() < 0.01, "{folder}: {found} for {exact}");
        assert_ne!(found, exact, "{folder}: this is not what 8 bits give");
    }
}

/// Bits of every loss by model, case and precision.
type Bits = BTreeMap<String, BTreeMap<String, Vec<u32>>>;

fn bits_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/bits.json")
}

fn bits_of_all_losses() -> Bits {
    let mut all = Bits::new();
    for golden in Golden::all() {
        for (name, precision) in [("f32", Precision::F32), ("int8", Precision::Int8)] {
            let model = golden.model(precision);
            for case in &golden.expected.cases {
                let side = golden.branches(case, &model);
                let losses = bits(&losses(&model, &case.batch(), side.as_ref()));
                all.entry(golden.name(case)).or_default().insert(name.into(), losses);
            }
        }
    }
    all
}

#[test]
fn losses_have_the_bits_of_every_other_machine() {
    let expected: Bits = serde_json::from_slice(&read(&bits_file())).unwrap();
    assert_eq!(bits_of_all_losses(), expected);
}

/// Makes `bits.json`, which this test and the browser's compare with. To be run after a change that
/// is meant to give other bits: `cargo test --test golden_engine -- --ignored make_the_bits`.
#[test]
#[ignore = "writes the file that others compare with"]
fn make_the_bits() {
    let text = serde_json::to_string_pretty(&bits_of_all_losses()).unwrap();
    std::fs::write(bits_file(), text + "\n").unwrap();
}

#[test]
fn an_example_has_the_same_bits_alone_and_in_a_batch() {
    for golden in Golden::all() {
        for precision in [Precision::F32, Precision::Int8] {
            let model = golden.model(precision);
            let case = &golden.expected.cases[0];
            let together = losses(&model, &case.batch(), None);
            let alone: Vec<f32> =
                case.batch().chunks(1).flat_map(|one| losses(&model, one, None)).collect();
            assert_eq!(bits(&together), bits(&alone), "{}", golden.name(case));
        }
    }
}

#[test]
fn a_prepared_batch_serves_one_composition_after_another() {
    for golden in Golden::all() {
        for precision in [Precision::F32, Precision::Int8] {
            let model = golden.model(precision);
            let cases = &golden.expected.cases;
            let batch = cases[0].batch();
            let prepared = model.prepare(&batch).unwrap();
            for case in cases.iter().chain(cases.iter().rev()) {
                let side = golden.branches(case, &model);
                let found = prepared.losses(side.as_ref(), &Control::none());
                let found: Vec<f32> = found.unwrap().iter().map(|example| example.loss).collect();
                let expected = losses(&model, &batch, side.as_ref());
                assert_eq!(bits(&found), bits(&expected), "{}", golden.name(case));
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    for golden in Golden::all() {
        for precision in [Precision::F32, Precision::Int8] {
            for case in &golden.expected.cases {
                let mut model = golden.model(precision);
                let side = golden.branches(case, &model);
                let mut reference = None;
                for isa in Isa::available() {
                    model = model.with_isa(isa);
                    let found = bits(&losses(&model, &case.batch(), side.as_ref()));
                    assert_eq!(
                        *reference.get_or_insert_with(|| found.clone()),
                        found,
                        "{} {isa:?}",
                        golden.name(case)
                    );
                }
            }
        }
    }
}

#[test]
fn one_thread_and_three_give_the_same_bits() {
    let golden = &Golden::named("deep-untied");
    for precision in [Precision::F32, Precision::Int8] {
        let model = golden.model(precision);
        for case in &golden.expected.cases {
            let side = golden.branches(case, &model);
            let [one, three] = [1, 3].map(|threads| {
                with_threads(threads, || bits(&losses(&model, &case.batch(), side.as_ref())))
            });
            assert_eq!(one, three, "{}", golden.name(case));
        }
    }
}

#[test]
fn a_stopped_computation_says_so() {
    let golden = &Golden::named("deep-untied");
    let model = golden.model(Precision::F32);
    let case = &golden.expected.cases[0];
    let control = Control::cancellable();
    let mut decoder = model.greedy(&case.inputs(), None, 5, &control).unwrap();
    control.cancel();
    assert!(decoder.step(None, &control).unwrap_err().to_string().contains("stopped"));
    assert!(model.losses(&case.batch(), None, &control).is_err());
}

#[test]
fn tokens_that_the_model_cannot_take_are_refused_with_their_place() {
    let golden = &Golden::named("deep-untied");
    let model = golden.model(Precision::F32);
    let vocab_size = golden.config.vocab_size as u32;
    let example = |input: &[u32], labels: &[u32]| TokenizedExample {
        input: input.into(),
        labels: labels.into(),
    };
    for (bad, message) in [
        (example(&[], &[1]), "the input of example 1 is empty"),
        (example(&[1], &[]), "the output of example 1 is empty"),
        (example(&[5, vocab_size], &[1]), "at position 1"),
        (example(&[1], &[vocab_size]), "the output of example 1 holds token"),
        (example(&[3; 5000], &[1]), "the limit is 4096"),
    ] {
        let batch = [example(&[3, 1], &[4, 1]), bad];
        let error = model.losses(&batch, None, &Control::none()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert!(model.losses(&[], None, &Control::none()).unwrap().is_empty());
    let nothing = model.generate(&[], None, 4, &Control::none(), &mut |_, _| ()).unwrap();
    assert!(nothing.is_empty());
}

#[test]
fn modules_that_do_not_fit_are_refused_by_name() {
    let [deep, narrow] = ["deep-untied", "narrow-tied"].map(Golden::named);
    let adapters = narrow.adapters(&narrow.expected.cases[1]);
    let adapters: Vec<&PeftAdapter> = adapters.iter().collect();
    let error = AdapterSet::new(&deep.config, &adapters, Merge::Delta).unwrap_err().to_string();
    assert!(error.contains("module 0") && error.contains("another base"), "{error}");

    let mixed = narrow.adapters(narrow.expected.cases.last().unwrap());
    let mixed: Vec<&PeftAdapter> = mixed.iter().collect();
    let error = AdapterSet::new(&narrow.config, &mixed, Merge::Lorahub).unwrap_err().to_string();
    assert!(error.contains("rank") && error.contains("use the delta merge"), "{error}");

    let mut fitting = AdapterSet::new(&narrow.config, &adapters, Merge::Lorahub).unwrap();
    assert!(fitting.branches(&[1.0], Precision::F32).is_err());
    assert!(fitting.branches(&[1.0, f32::NAN, 0.0], Precision::F32).is_err());
}

#[test]
fn side_paths_made_again_have_the_bits_of_those_made_first() {
    let golden = &Golden::named("narrow-tied");
    let models = [Precision::F32, Precision::Int8].map(|precision| golden.model(precision));
    let case = &golden.expected.cases[1];
    let adapters = golden.adapters(case);
    let adapters: Vec<&PeftAdapter> = adapters.iter().collect();
    let composition =
        |merge| AdapterSet::new(&golden.config, &adapters, merge).expect("modules of this base");
    for merge in [Merge::Delta, Merge::Lorahub] {
        let mut again = composition(merge);
        for model in &models {
            // Another set of modules, then other weights of the same one, and back.
            for first in [0.0, 0.5, -1.25, 0.0] {
                let weights: Vec<f32> =
                    (0..adapters.len()).map(|i| if i == 0 { first } else { 0.75 }).collect();
                let once = composition(merge).into_branches(&weights, model.precision()).unwrap();
                let side = again.branches(&weights, model.precision()).unwrap();
                let [once, again] =
                    [&once, side].map(|side| bits(&losses(model, &case.batch(), Some(side))));
                assert_eq!(once, again, "{merge:?} {weights:?} {:?}", model.precision());
            }
        }
    }
}

#[test]
fn side_paths_of_another_precision_are_refused() {
    let golden = &Golden::named("deep-untied");
    let case = &golden.expected.cases[1];
    let [exact, packed] =
        [Precision::F32, Precision::Int8].map(|precision| golden.model(precision));
    let side = golden.branches(case, &packed).unwrap();
    let refused = ModelError::BranchPrecision { expected: Precision::F32, found: Precision::Int8 };
    assert_eq!(exact.losses(&case.batch(), Some(&side), &Control::none()), Err(refused.clone()));
    let inputs = case.inputs();
    let answer = exact.generate(&inputs, Some(&side), 2, &Control::none(), &mut |_, _| ());
    assert_eq!(answer, Err(refused));
    let made_for = |model| golden.branches(case, model).unwrap().bytes();
    assert!(2 * made_for(&packed) < made_for(&exact), "8 bits beside a copy in 32");
}
