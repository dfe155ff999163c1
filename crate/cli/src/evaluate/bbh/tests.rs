//! Prompts, examples, draws and the comparison of answers against the reference code's, by the fixture
//! that tests/cli/make_bbh.py makes. What needs the benchmark's files skips where they are absent.

use std::path::{Path, PathBuf};

use loraloom::formats::{Example, sha256_hex};
use serde_json::Value;

use super::{Data, drawn_modules};
use crate::evaluate::python::PythonRandom;
use crate::library::Library;

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bbh.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// BIG-Bench Hard, which is beside the checkout where it is at all.
fn benchmark() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/bbh");
    if !path.exists() {
        println!("skipped: {} does not exist", path.display());
        return None;
    }
    Some(path)
}

fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    sha256_hex(texts.into_iter().collect::<Vec<_>>().join("\0").as_bytes())
}

fn pairs(examples: &[Example]) -> impl Iterator<Item = &str> {
    examples.iter().flat_map(|example| [&*example.input, &*example.output])
}

#[test]
fn examples_prompts_and_tests_of_all_27_tasks_are_those_of_the_reference_code() {
    let Some(folder) = benchmark() else { return };
    let data = Data::find(folder.to_str()).unwrap();
    let fixture = fixture();
    let tasks = fixture["tasks"].as_object().unwrap();
    assert_eq!((tasks.len(), data.ids().len()), (27, 27));
    for (id, expected) in tasks {
        let task = data.task(id, 5, None, &[Vec::new()]).unwrap();
        let inputs = &task.draws[0].inputs;
        assert_eq!(hash(pairs(&inputs.examples)), expected["examples"], "{id}");
        assert_eq!(hash(pairs(&inputs.items)), expected["items"], "{id}");
        let in_context = inputs.in_context.iter().map(String::as_str);
        assert_eq!(hash(in_context), expected["in_context"], "{id}");
    }
}

#[test]
fn every_prompt_that_the_reference_code_spells_out_is_among_them() {
    let Some(folder) = benchmark() else { return };
    let data = Data::find(folder.to_str()).unwrap();
    let task = data.task("date_understanding", 5, None, &[Vec::new()]).unwrap();
    let inputs = &task.draws[0].inputs;
    let all = inputs.examples.iter().chain(&inputs.items);
    let ours: Vec<String> = all.map(|item| hash([&*item.input, &*item.output])).collect();
    let fixture = fixture();
    let published = fixture["published_prompts"].as_array().unwrap();
    assert_eq!(published.len(), 155);
    for prompt in published {
        assert!(ours.iter().any(|ours| ours == prompt), "{prompt}");
    }
}

#[test]
fn a_seed_draws_the_modules_that_python_draws() {
    let library = Library::lorahub().unwrap();
    let ids: Vec<String> =
        library.registry.modules.iter().map(|module| module.id.clone()).collect();
    assert_eq!(ids.len(), 196);
    let fixture = fixture();
    assert_eq!(serde_json::to_value(drawn_modules(&ids, 5)).unwrap(), fixture["draws"]);
    for sample in fixture["samples"].as_array().unwrap() {
        let count = sample[0].as_u64().unwrap();
        let drawn = PythonRandom::new(count as u32).sample(count as usize, 20);
        assert_eq!(serde_json::to_value(drawn).unwrap(), sample[1], "{count}");
    }
}

#[test]
fn an_answer_is_right_where_the_reference_code_says_so() {
    for case in fixture()["metric"].as_array().unwrap() {
        let output = case[1].as_str().unwrap().to_owned();
        let example = Example { input: String::new(), output };
        assert_eq!(example.is_matched_by(case[0].as_str().unwrap()), case[2], "{case}");
    }
}

#[test]
fn a_changed_file_of_the_benchmark_is_refused() {
    let Some(folder) = benchmark() else { return };
    let copy = std::env::temp_dir().join(format!("loraloom-bbh-{}", std::process::id()));
    std::fs::create_dir_all(copy.join("cot-prompts")).unwrap();
    for file in ["navigate.json", "cot-prompts/navigate.txt"] {
        std::fs::copy(folder.join(file), copy.join(file)).unwrap();
    }
    let read = || {
        let data = Data::find(copy.to_str()).unwrap();
        data.task("navigate", 5, None, &[]).map(drop)
    };
    assert!(read().is_ok());
    let mut questions = std::fs::read(copy.join("navigate.json")).unwrap();
    let place = questions.iter().rposition(|&byte| byte == b'Y').unwrap();
    questions[place] = b'y';
    // What was copied is read-only where the benchmark is.
    std::fs::remove_file(copy.join("navigate.json")).unwrap();
    std::fs::write(copy.join("navigate.json"), questions).unwrap();
    assert!(read().unwrap_err().to_string().contains("sha256"));
    std::fs::remove_dir_all(copy).unwrap();
}
