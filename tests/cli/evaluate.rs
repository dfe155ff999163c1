//! The comparison of methods on a registry's tasks.

use loraloom::formats::sha256_hex;
use serde_json::{Value, json};

use crate::{error, examples_file, folder, json as run, path, text};

/// A small library of two tasks, made of the model and the adapters of tests/learn, in a folder of
/// the test's own; the registry's path and contents.
fn library(test: &str) -> (String, Value) {
    let root = folder(test).join("library");
    let (model, out) = (text(&path("tests/learn/model")), text(&root));
    run(&["registry", "build", &model, &format!("{model}/adapters"), "--out", &out]);
    let words = "river green cold seven nine twelve weather warm between choose".split(' ');
    let words: Vec<&str> = words.collect();
    let pair = |index: usize| {
        let (a, b) = (words[index % 10], words[(index * 3 + index / 10) % 10]);
        json!({"input": format!("{a} {b}"), "output": if index.is_multiple_of(4) { a } else { b }})
    };
    let registry = root.join("registry.json");
    let mut parsed: Value = serde_json::from_slice(&std::fs::read(&registry).unwrap()).unwrap();
    let mut tasks = Vec::new();
    for (id, set) in [("one", "settings"), ("two", "table")] {
        let lines = (5..35).map(|index| pair(index * id.len()).to_string() + "\n");
        let test = lines.collect::<String>();
        std::fs::write(root.join(format!("{id}.jsonl")), &test).unwrap();
        tasks.push(json!({
            "id": id, "title": id, "description": "", "why_unseen": "", "set": set,
            "instruction_shown": false, "examples": (0..5).map(pair).collect::<Vec<_>>(),
            "test": {
                "path": format!("{id}.jsonl"), "bytes": test.len(),
                "sha256": sha256_hex(test.as_bytes()),
            },
        }));
    }
    parsed["tasks"] = tasks.into();
    std::fs::write(&registry, parsed.to_string()).unwrap();
    (text(&registry), parsed)
}

fn evaluate(registry: &str, task: &str, methods: &str, more: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["evaluate", "--registry", registry, "--tasks", task];
    arguments.extend(["--methods", methods, "--max-new-tokens", "8"]);
    arguments.extend(more);
    run(&arguments)["rows"].as_array().unwrap().clone()
}

#[test]
fn rows_have_a_value_for_each_seed_and_are_the_same_again() {
    let (path, registry) = library("evaluate-rows");
    let task = &registry["tasks"][1];
    let id = task["id"].as_str().unwrap();
    let out = path.replace("registry.json", "rows.json");
    let more = ["--seeds", "2", "--budgets", "12", "--out", &out];
    let rows = evaluate(&path, id, "best-single,default,uniform", &more);
    let modules = registry["modules"].as_array().unwrap().len() as f64;
    assert_eq!(rows.len(), 3);
    for (row, method) in rows.iter().zip(["best-single", "default", "uniform"]) {
        assert_eq!((&row["task"], &row["set"]), (&task["id"], &task["set"]));
        assert_eq!(row["method"], method);
        for field in ["exact_match", "seconds", "loss", "assessments"] {
            assert_eq!(row[field].as_array().unwrap().len(), 2, "{method} {field}");
        }
        let evaluations = row["evaluations"].as_f64().unwrap();
        match method {
            "best-single" => assert_eq!(evaluations, modules),
            "default" => assert!(evaluations > 1.0 && evaluations <= 12.0),
            _ => assert_eq!(evaluations, 0.0),
        }
    }
    let written: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(written["rows"], Value::from(rows.clone()));
    let again = evaluate(&path, "table", "default", &["--seeds", "2", "--budgets", "12"]);
    assert_eq!(again[0]["exact_match"], rows[1]["exact_match"]);
    assert_eq!(again[0]["evaluations"], rows[1]["evaluations"]);
}

#[test]
fn exact_match_and_prompt_tokens_are_those_of_the_answers() {
    let (registry_path, registry) = library("evaluate-answers");
    let library = std::path::Path::new(&registry_path).parent().unwrap();
    let task = &registry["tasks"][1];
    let test = std::fs::read_to_string(library.join(task["test"]["path"].as_str().unwrap()));
    let items: Vec<Value> =
        test.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pairs = |item: &Value| {
        (item["input"].as_str().unwrap().to_owned(), item["output"].as_str().unwrap().to_owned())
    };
    let items: Vec<(String, String)> = items.iter().map(pairs).collect();
    let shots: Vec<(String, String)> =
        task["examples"].as_array().unwrap().iter().map(pairs).collect();
    let shots: String =
        shots.iter().map(|(input, output)| format!("Q: {input} A: {output} ")).collect();
    let prompts: Vec<(String, &str)> =
        items.iter().map(|(input, output)| (format!("{shots}Q: {input} A:"), &**output)).collect();

    let rows = evaluate(
        &registry_path,
        task["id"].as_str().unwrap(),
        "zero-shot,in-context",
        &["--seeds", "1"],
    );
    let folder = folder("evaluated");
    let model = text(&library.join("base"));
    let plain = items.iter().map(|(input, output)| (&**input, &**output));
    let in_context = prompts.iter().map(|(input, output)| (&**input, *output));
    let files = [examples_file(&folder, plain), {
        let folder = folder.join("in-context");
        std::fs::create_dir(&folder).unwrap();
        examples_file(&folder, in_context)
    }];
    for (row, file) in rows.iter().zip(files) {
        let arguments =
            ["generate", "--model", &model, "--examples", &file, "--max-new-tokens", "8"];
        let outputs = run(&arguments)["outputs"].clone();
        let normal = |text: &str| text.trim().to_lowercase().replace('.', "");
        let answers = outputs.as_array().unwrap().iter().zip(&items);
        let right = answers
            .filter(|(output, item)| normal(output["text"].as_str().unwrap()) == normal(&item.1));
        let expected = 100.0 * right.count() as f64 / items.len() as f64;
        assert_eq!(row["exact_match"][0].as_f64().unwrap(), expected, "{}", row["method"]);
    }
    let tokens = |row: &Value| row["prompt_tokens"].as_f64().unwrap();
    assert!(tokens(&rows[0]) > 1.0 && tokens(&rows[1]) > 5.0 * tokens(&rows[0]));
}

#[test]
fn a_number_of_examples_is_taken_from_the_test_items_and_fractions_of_them_count() {
    let (registry, _) = library("evaluate-examples");
    let with = |examples: &str| {
        let more = ["--seeds", "2", "--budgets", "12", "--examples", examples];
        evaluate(&registry, "table", "in-context,default", &more)
    };
    let (five, ten) = (with("5"), with("10"));
    let tokens = |rows: &[Value]| rows[0]["prompt_tokens"].as_f64().unwrap();
    assert!(tokens(&ten) > 1.5 * tokens(&five));
    let evaluations = ten[1]["evaluations"].as_f64().unwrap();
    assert!(evaluations > 1.0 && evaluations <= 12.0 && evaluations.fract() != 0.0);
    let arguments = ["evaluate", "--registry", &registry, "--seeds", "2", "--examples", "15"];
    assert!(error(&arguments).contains("leave items"));
}

#[test]
fn an_unknown_task_or_too_many_seeds_are_refused() {
    let (registry, _) = library("evaluate-refused");
    let refused = |more: &[&str]| {
        let mut arguments = vec!["evaluate", "--registry", &registry];
        arguments.extend(more);
        error(&arguments)
    };
    assert!(refused(&["--tasks", "no-such-task"]).contains("no-such-task"));
    assert!(refused(&["--tasks", "one", "--seeds", "0"]).contains("at least 1"));
    let message = refused(&["--tasks", "one", "--methods", "zero-shot", "--seeds", "900"]);
    assert!(message.contains("--seeds should leave items"), "{message}");
}
