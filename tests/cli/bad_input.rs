//! What a user sees when something is wrong: a message that names it, and a status that is not 0.

use std::path::Path;

use crate::{error, examples_file, folder, json, path, text};

const MODEL: &str = "tests/golden/models/narrow-tied";

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap().path();
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy_folder(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).unwrap();
        }
    }
}

fn score(model: &str, examples: &str, more: &[&str]) -> String {
    let mut arguments = vec!["score", "--model", model, "--examples", examples];
    arguments.extend(more);
    error(&arguments)
}

#[test]
fn examples_that_cannot_be_read_are_named_by_line_and_field() {
    let folder = folder("bad-examples");
    let model = text(&path(MODEL));
    let file = folder.join("examples.jsonl");
    for (contents, part) in [
        (&b""[..], "should be one example or more, found none"),
        (b"{\"input\": \"a\", \"output\": \" \"}", "output of line 1"),
        (b"{\"input\": \"a\", \"output\": \"b\"}\n{\"input\": 3}", "line 2"),
        (b"caf\xe9,b", "UTF-8"),
    ] {
        std::fs::write(&file, contents).unwrap();
        let message = score(&model, &text(&file), &[]);
        assert!(message.contains(part) && message.contains("examples.jsonl"), "{message}");
    }
    let message = score(&model, "no-such-file.jsonl", &[]);
    assert!(message.contains("no-such-file.jsonl cannot be read"), "{message}");
    let long = "green ".repeat(9000);
    let examples = examples_file(&folder, [("a", "b"), (&long, "b")]);
    let message = score(&model, &examples, &[]);
    assert!(message.contains("the limit is 4096"), "{message}");
}

#[test]
fn a_folder_that_is_no_model_says_what_is_missing_or_broken() {
    let root = folder("bad-models");
    let examples = examples_file(&root, [("a", "b")]);
    let model = root.join("model");
    let fresh = || {
        if model.exists() {
            std::fs::remove_dir_all(&model).unwrap();
        }
        copy_folder(&path(MODEL), &model);
    };
    let message = |part: &str| {
        let message = score(&text(&model), &examples, &[]);
        assert!(message.contains(part), "{part}: {message}");
    };
    message("model cannot be read");
    for (file, part) in [
        ("config.json", "should hold config.json"),
        ("tokenizer.json", "should hold tokenizer.json"),
        ("model.safetensors", "should hold model.safetensors"),
    ] {
        fresh();
        std::fs::remove_file(model.join(file)).unwrap();
        message(part);
        fresh();
        std::fs::write(model.join(file), "nothing").unwrap();
        message(&format!("{file}: "));
    }
    fresh();
    let weights = std::fs::read(model.join("model.safetensors")).unwrap();
    std::fs::write(model.join("model.safetensors"), &weights[..weights.len() - 8]).unwrap();
    message("model.safetensors: the safetensors file is cut short");
    fresh();
    let other = path("tests/golden/models/deep-untied/config.json");
    std::fs::copy(other, model.join("config.json")).unwrap();
    message("config.json");
    fresh();
    let config = std::fs::read_to_string(model.join("config.json")).unwrap();
    let config = config.replace("\"eos_token_id\": 1", "\"eos_token_id\": 5");
    std::fs::write(model.join("config.json"), config).unwrap();
    message("eos_token_id should be 1, with which its tokenizer ends texts, found 5");
    // A model of another kind is named before its other files are missed.
    fresh();
    let config = std::fs::read_to_string(model.join("config.json")).unwrap();
    let other = config.replace("\"model_type\": \"t5\"", "\"model_type\": \"longt5\"");
    std::fs::write(model.join("config.json"), other).unwrap();
    std::fs::remove_file(model.join("tokenizer.json")).unwrap();
    message("LongT5 has local or transient-global attention");
    // A tokenizer of bytes has no file, and more tokens than this model.
    let bytes = config.replacen('{', "{\"tokenizer_class\": \"ByT5Tokenizer\",", 1);
    std::fs::write(model.join("config.json"), bytes).unwrap();
    message("vocab_size should be at least 384, the tokens of its tokenizer, found 253");
    // Tokens are added by the files beside the tokenizer too.
    for (file, tokens) in [
        ("added_tokens.json", r#"{"<sep>": 253}"#),
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"253": {"content": "<sep>"}}}"#),
    ] {
        fresh();
        std::fs::write(model.join(file), tokens).unwrap();
        message("vocab_size should be at least 254, the tokens of its tokenizer, found 253");
    }
}

#[test]
fn modules_that_do_not_fit_are_named() {
    let root = folder("bad-modules");
    let examples = examples_file(&root, [("a", "b")]);
    let model = text(&path(MODEL));
    let adapter = |model: &str, name: &str| {
        text(&path(&format!("tests/golden/models/{model}/adapters/{name}")))
    };
    let with = |adapters: &[&str], merge: &str| {
        let mut more = vec!["--merge", merge];
        adapters.iter().for_each(|adapter| more.extend(["--adapter", adapter]));
        score(&model, &examples, &more)
    };
    let foreign = adapter("deep-untied", "first");
    let (first, mixed) = (adapter("narrow-tied", "first"), adapter("narrow-tied", "mixed"));
    for (message, part) in [
        (with(&[&foreign], "delta"), "another base"),
        (with(&[&foreign], "delta"), "adapters/first)"),
        (with(&[&first, &mixed], "lorahub"), "use the delta merge"),
        (with(&[&format!("{first}=much")], "delta"), "not a number"),
        (with(&[&format!("{first}=NaN")], "delta"), "not a finite number"),
        (with(&["nowhere"], "delta"), "nowhere: no such folder is here"),
        (with(&["./nowhere"], "delta"), "nowhere cannot be read"),
        (with(&["https://host.test/adapter"], "delta"), "download the folder first"),
        (with(&[&text(&root)], "delta"), "adapter_config.json"),
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let dora = root.join("dora");
    copy_folder(Path::new(&first), &dora);
    let config = std::fs::read_to_string(dora.join("adapter_config.json")).unwrap();
    let config = config.replace("\"use_dora\": false", "\"use_dora\": true");
    std::fs::write(dora.join("adapter_config.json"), config).unwrap();
    let message = with(&[&text(&dora)], "delta");
    assert!(message.contains("use_dora"), "{message}");
}

#[test]
fn a_changed_file_of_a_registry_is_refused_before_learning() {
    let root = folder("bad-registry");
    let examples = examples_file(&root, [("a", "b")]);
    let library = root.join("library");
    copy_folder(&path("www/site/public/library"), &library);
    let model = text(&library.join("base"));
    let registry = text(&library.join("registry.json"));
    let compose = |more: &[&str]| {
        let mut arguments =
            vec!["compose", "--model", &model, "--registry", &registry, "--examples", &examples];
        arguments.extend(more);
        error(&arguments)
    };
    let message = compose(&["--budget", "1"]);
    assert!(message.contains("budget should be a whole number from 2"), "{message}");
    let message = compose(&["--base", "other"]);
    assert!(message.contains("--base"), "{message}");

    let parsed: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&registry).unwrap()).unwrap();
    let file = parsed["modules"][1]["files"]["weights"]["path"].as_str().unwrap();
    let mut bytes = std::fs::read(library.join(file)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(library.join(file), &bytes).unwrap();
    let message = compose(&[]);
    assert!(message.contains(file) && message.contains("sha256"), "{message}");
    std::fs::remove_file(library.join(file)).unwrap();
    let message = compose(&[]);
    assert!(message.contains("cannot be read"), "{message}");
    std::fs::write(&registry, "{\"version\": 7}").unwrap();
    let message = compose(&[]);
    assert!(message.contains("version 7"), "{message}");
}

#[test]
fn a_recipe_needs_a_registry() {
    let model = text(&path(MODEL));
    let adapters = text(&path(&format!("{MODEL}/adapters")));
    let message = error(&[
        "compose",
        "--model",
        &model,
        "--adapters",
        &adapters,
        "--examples",
        "x.jsonl",
        "--recipe",
        "out.json",
    ]);
    assert!(message.contains("--registry"), "{message}");
    let message = error(&["compose", "--model", &model, "--examples", "x.jsonl"]);
    assert!(message.contains("--adapters"), "{message}");
}

#[test]
fn placeholders_are_named_and_passed_over() {
    let root = folder("placeholders");
    let examples = examples_file(&root, [("a", "b")]);
    let (model, adapter) = (root.join("model"), root.join("adapter"));
    copy_folder(&path(MODEL), &model);
    copy_folder(&path(&format!("{MODEL}/adapters/first")), &adapter);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n";
    let page = "<!DOCTYPE html>\n<html><title>Not found</title>";
    let adapters = ["--adapter", &text(&adapter)];
    let loss = || {
        let mut arguments = vec!["score", "--examples", &examples, "--model"];
        let model = text(&model);
        arguments.push(&model);
        arguments.extend(adapters);
        json(&arguments)["loss"].as_f64().unwrap()
    };
    let expected = loss();
    // Another file of the same use is read.
    for (folder, name, other) in [
        (&model, "pytorch_model.bin", "model.safetensors"),
        (&adapter, "adapter_model.bin", "adapter_model.safetensors"),
    ] {
        if folder.join(other).exists() {
            std::fs::rename(folder.join(other), folder.join(name)).unwrap();
        }
        for contents in [pointer, page] {
            std::fs::write(folder.join(other), contents).unwrap();
            assert_eq!(loss(), expected, "{name}");
        }
        std::fs::rename(folder.join(name), folder.join(other)).unwrap();
    }
    // Where there is no other, the file is named.
    for (folder, name) in [
        (&model, "config.json"),
        (&model, "tokenizer.json"),
        (&model, "model.safetensors"),
        (&adapter, "adapter_config.json"),
        (&adapter, "adapter_model.safetensors"),
    ] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        for (contents, part) in [(pointer, "is a Git LFS pointer"), (page, "is a web page")] {
            std::fs::write(folder.join(name), contents).unwrap();
            let message = score(&text(&model), &examples, &adapters);
            assert!(message.contains(&format!("{name} {part}")), "{message}");
            let out = text(&root.join("library"));
            let build = ["registry", "build", &text(&model), &text(&adapter), "--out", &out];
            let message = error(&build);
            assert!(message.contains(&format!("{name} {part}")), "{message}");
        }
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn faults_of_a_configuration_name_its_file() {
    let root = folder("bad-configuration");
    let examples = examples_file(&root, [("a", "b")]);
    let adapter = root.join("adapter");
    copy_folder(&path(&format!("{MODEL}/adapters/first")), &adapter);
    let message = || {
        let model = text(&path(MODEL));
        score(&model, &examples, &["--adapter", &text(&adapter)])
    };
    let config = std::fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
    std::fs::write(adapter.join("adapter_config.json"), config.replace("\"r\": ", "\"r\": -"))
        .unwrap();
    assert!(message().contains("adapter_config.json: "), "{}", message());
    std::fs::write(adapter.join("adapter_config.json"), config).unwrap();
    std::fs::write(adapter.join("adapter_model.safetensors"), "nothing").unwrap();
    assert!(message().contains("adapter_model.safetensors: "), "{}", message());
}

#[test]
fn errors_are_json_with_json_and_options_say_their_limits() {
    let parsed = |arguments: &[&str]| -> serde_json::Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        serde_json::from_str(&error(&arguments)).unwrap()
    };
    let missing = parsed(&["score", "--model", "./nowhere", "--examples", "./nothing.jsonl"]);
    assert_eq!(missing["error"]["code"], "not-found");
    assert!(missing["error"]["message"].as_str().unwrap().contains("nothing.jsonl"));
    let model = text(&path(MODEL));
    for (option, part) in [("--unknown", "--unknown"), ("--adapter=a=NaN", "not a finite number")] {
        let wrong = parsed(&["score", "--model", &model, "--examples", "x", option]);
        assert_eq!(wrong["error"]["code"], "invalid-input");
        assert!(wrong["error"]["message"].as_str().unwrap().contains(part), "{wrong}");
    }
    let adapters = text(&path(&format!("{MODEL}/adapters")));
    let compose = ["compose", "--model", &model, "--adapters", &adapters, "--examples", "x"];
    let message = error(&[&compose[..], &["--seed", "-1"]].concat());
    assert!(message.contains("should be a whole number from 0"), "{message}");
}
