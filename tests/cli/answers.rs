//! Losses and answers against Hugging Face transformers and PEFT, by the texts that
//! tests/e2e/golden/make_texts.py made.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{error, examples_file, folder, json, loraloom, path, text};

/// Largest relative difference of a loss.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Texts {
    max_new_tokens: usize,
    models: BTreeMap<String, Vec<Case>>,
}

#[derive(Deserialize)]
struct Case {
    merge: Option<String>,
    adapters: Vec<String>,
    weights: Vec<f32>,
    examples: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    input: String,
    output: String,
    loss: f64,
    tokens: usize,
    text: String,
}

/// Runs a command on every case: the case, its name, and what the command answered.
fn for_each_case(test: &str, command: &str, check: impl Fn(&Case, &str, Value)) {
    let folder = folder(test);
    let texts = std::fs::read(path("tests/e2e/golden/texts.json")).unwrap();
    let texts: Texts = serde_json::from_slice(&texts).unwrap();
    assert!(texts.models.len() >= 4);
    for (model, cases) in texts.models {
        let model = path("tests/golden/models").join(model);
        for case in cases {
            let examples = case.examples.iter().map(|e| (&*e.input, &*e.output));
            let examples = examples_file(&folder, examples);
            let model_path = text(&model);
            let mut arguments = vec![command.to_owned()];
            let mut add = |option: &str, value: String| {
                arguments.extend(["--".to_owned() + option, value]);
            };
            add("model", model_path.clone());
            add("examples", examples);
            add("precision", "f32".into());
            for (name, weight) in case.adapters.iter().zip(&case.weights) {
                add("adapter", format!("{model_path}/adapters/{name}={weight}"));
            }
            if let Some(merge) = &case.merge {
                add("merge", merge.clone());
            }
            if command == "generate" {
                add("max-new-tokens", texts.max_new_tokens.to_string());
            }
            check(&case, &arguments.join(" "), json(&arguments));
        }
    }
}

#[test]
fn losses_are_hugging_faces() {
    for_each_case("losses", "score", |case, name, scored| {
        let mut sum = 0.0;
        for (index, expected) in case.examples.iter().enumerate() {
            let loss = scored["examples"][index]["loss"].as_f64().unwrap();
            let difference = (loss - expected.loss).abs() / expected.loss;
            assert!(difference < TOLERANCE, "{name}: {loss} for {}", expected.loss);
            sum += loss;
        }
        let mean = scored["loss"].as_f64().unwrap();
        assert!((mean - sum / case.examples.len() as f64).abs() < 1e-6, "{name}");
    });
}

#[test]
fn greedy_answers_are_hugging_faces() {
    for_each_case("greedy", "generate", |case, name, generated| {
        let outputs = generated["outputs"].as_array().unwrap();
        assert_eq!(outputs.len(), case.examples.len());
        for (output, expected) in outputs.iter().zip(&case.examples) {
            assert_eq!(output["text"], *expected.text, "{name}");
            assert_eq!(output["tokens"].as_array().unwrap().len(), expected.tokens, "{name}");
        }
    });
}

#[test]
fn one_input_is_answered_with_its_text_alone() {
    let model = text(&path("tests/golden/models/narrow-tied"));
    let input = "Answer the question: is the river green or cold?";
    let mut arguments = vec!["generate", "--model", &model, "--input", input];
    let outputs = json(&arguments)["outputs"].clone();
    let printed = loraloom(&arguments);
    let answer = outputs[0]["text"].as_str().unwrap().to_owned();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), answer + "\n");
    arguments.extend(["--max-new-tokens", "3"]);
    assert_eq!(json(&arguments)["outputs"][0]["tokens"].as_array().unwrap().len(), 3);
    arguments.extend(["--examples", "also.jsonl"]);
    assert!(error(&arguments).contains("--examples"));
}

#[test]
fn sharded_weights_give_the_losses_of_one_file() {
    let folder = folder("sharded");
    let model = path("tests/golden/models/deep-untied");
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(model.join(name), folder.join(name)).unwrap();
    }
    split(&std::fs::read(model.join("model.safetensors")).unwrap(), &folder);
    let examples = examples_file(&folder, [("is the river green", "cold"), ("дом", "水")]);
    let score = |model: String| {
        json(&["score", "--model", &*model, "--examples", &examples, "--precision", "f32"])
    };
    let whole = score(text(&model));
    assert_eq!(score(text(&folder)), whole);
    assert_eq!(score(text(&folder.join("model.safetensors.index.json"))), whole);
}

#[test]
fn settings_of_decoding_that_are_not_applied_are_noted() {
    let folder = folder("generation");
    let model = path("tests/golden/models/deep-untied");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(model.join(name), folder.join(name)).unwrap();
    }
    let arguments = ["generate", "--model", &text(&folder), "--input", "a"];
    let noted = || String::from_utf8(loraloom(&arguments).stderr).unwrap();
    assert!(!noted().contains("note: "));
    let write = |settings: &str| {
        std::fs::write(folder.join("generation_config.json"), settings).unwrap();
    };
    write(r#"{"num_beams": 4, "no_repeat_ngram_size": 3}"#);
    let note = "note: generation_config.json sets num_beams 4, no_repeat_ngram_size 3, which is not applied";
    assert!(noted().contains(note), "{}", noted());
    write(r#"{"decoder_start_token_id": 5}"#);
    let part = "decoder_start_token_id should be 5, as generation_config.json has it, found 0";
    assert!(error(&arguments).contains(part));
}

/// Writes the tensors of a safetensors file into two, with an index.
fn split(bytes: &[u8], folder: &std::path::Path) {
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header).unwrap();
    let mut weight_map = serde_json::Map::new();
    for part in 0..2 {
        let file = format!("model-0000{}-of-00002.safetensors", part + 1);
        let (mut own, mut own_data) = (serde_json::Map::new(), Vec::new());
        let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
        for (name, entry) in tensors.skip(part).step_by(2) {
            let place = |index: usize| entry["data_offsets"][index].as_u64().unwrap() as usize;
            let mut entry = entry.clone();
            let start = own_data.len();
            own_data.extend(&data[place(0)..place(1)]);
            entry["data_offsets"] = serde_json::json!([start, own_data.len()]);
            own.insert(name.clone(), entry);
            weight_map.insert(name.clone(), Value::from(&*file));
        }
        let own = serde_json::to_vec(&own).unwrap();
        let whole = [&(own.len() as u64).to_le_bytes()[..], &own, &own_data].concat();
        std::fs::write(folder.join(file), whole).unwrap();
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": weight_map}).to_string();
    std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

/// The model that `tests/formats/make_gguf_alone.py` made.
#[test]
fn a_folder_with_a_gguf_file_alone_is_a_model() {
    let folder = folder("gguf-alone");
    let source = path("tests/formats/gguf_alone");
    std::fs::copy(source.join("model.gguf"), folder.join("model.gguf")).unwrap();
    let expected: Value =
        serde_json::from_slice(&std::fs::read(source.join("expected.json")).unwrap()).unwrap();
    let expected = expected["examples"].as_array().unwrap();
    let field = |example: &'_ Value, name: &str| example[name].as_str().unwrap().to_owned();
    let pairs: Vec<(String, String)> =
        expected.iter().map(|one| (field(one, "input"), field(one, "output"))).collect();
    let examples = examples_file(&folder, pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())));
    let model = text(&folder);
    let options = ["--model", &model, "--examples", &examples, "--precision", "f32"];
    let scored = json(&[&["score"], &options[..]].concat());
    for (index, example) in expected.iter().enumerate() {
        let loss = scored["examples"][index]["loss"].as_f64().unwrap();
        let expected = example["loss"].as_f64().unwrap();
        assert!((loss / expected - 1.0).abs() < TOLERANCE, "{loss} for {expected}");
    }
}

#[test]
fn examples_are_read_from_stdin() {
    use std::io::Write;
    use std::process::{Command, Stdio};

    let folder = folder("stdin");
    let model = text(&path("tests/golden/models/narrow-tied"));
    let examples = examples_file(&folder, [("a b", "c"), ("d", "e")]);
    let expected = json(&["score", "--model", &model, "--examples", &examples])["loss"].clone();
    let mut child = Command::new(env!("CARGO_BIN_EXE_loraloom"))
        .args(["score", "--model", &model, "--examples", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"question;answer\r\na b;c\r\nd;e\r\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let scored: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(scored["loss"], expected);
}

#[test]
fn every_file_of_big_bench_hard_is_opened() {
    let data = path("../shared/data/bbh");
    if !data.exists() {
        println!("skipped: BIG-Bench Hard is not at {}", data.display());
        return;
    }
    let mut files = 0;
    for entry in data.read_dir().unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|end| end == "json") {
            // Examples are read before the model.
            let message = error(&["score", "--model", "./nowhere", "--examples", &text(&file)]);
            assert!(message.contains("./nowhere cannot be read"), "{}: {message}", file.display());
            files += 1;
        }
    }
    assert_eq!(files, 27);
    let wrong = text(&data.join("LICENSE"));
    let message = error(&["score", "--model", "./nowhere", "--examples", &wrong]);
    assert!(message.contains("LICENSE") && !message.contains("nowhere"), "{message}");
    // One whole file.
    let file = data.join("boolean_expressions.json");
    let task: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let (model, examples) = (text(&path("tests/golden/models/narrow-tied")), text(&file));
    let options = ["--model", &model, "--examples", &examples, "--max-new-tokens", "1"];
    let outputs = json(&[&["generate"], &options[..]].concat())["outputs"].clone();
    let expected = task["examples"].as_array().unwrap();
    assert_eq!(outputs.as_array().unwrap().len(), expected.len());
}
