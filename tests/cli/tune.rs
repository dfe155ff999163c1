//! Tuning from the command line, and the adapter that it writes.

use serde_json::Value;

use crate::share::recipe;
use crate::{error, examples_file, folder, json, loraloom, path, text};

/// The arguments of a command on the model of tests/learn.
fn on_model(command: &str, more: &[&str]) -> Vec<String> {
    let model = text(&path("tests/learn/model"));
    let examples = format!("{model}/examples.jsonl");
    let shared = [command, "--precision", "f32", "--model", &model, "--examples", &examples];
    shared.iter().chain(more).map(|argument| argument.to_string()).collect()
}

/// The option of the first adapters, each with a weight.
fn adapters(weights: &[&str]) -> Vec<String> {
    let mut folders: Vec<_> = path("tests/learn/model/adapters")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let adapter = |(folder, weight): (&std::path::PathBuf, &&str)| {
        format!("--adapter={}={weight}", text(folder))
    };
    folders.iter().zip(weights).map(adapter).collect()
}

fn number(found: &Value, field: &str) -> f64 {
    found[field].as_f64().unwrap()
}

#[test]
fn the_adapter_has_the_loss_that_tuning_ended_with_and_two_runs_write_the_same() {
    let modules = adapters(&["1", "0.5,1,0,1"]);
    let before = number(&json(&[on_model("score", &[]), modules.clone()].concat()), "loss");
    for part in ["lora-b", "scales"] {
        let written = ["first", "second"].map(|name| {
            let out = folder(&format!("tuned-{part}-{name}"));
            let options = ["--part", part, "--out", &text(&out)];
            let tuned = json(&[on_model("tune", &options), modules.clone()].concat());
            assert!((number(&tuned, "loss_start") - before).abs() < 1e-6 * before);
            assert!(number(&tuned, "loss") < before, "{part}: {tuned}");
            let options = ["--adapter", &text(&out)];
            let scored = number(&json(&on_model("score", &options)), "loss");
            assert_eq!(scored, number(&tuned, "loss"), "{part}");
            std::fs::read(out.join("adapter_model.safetensors")).unwrap()
        });
        assert_eq!(written[0], written[1], "{part}");
    }
}

#[test]
fn steps_and_rate_take_the_place_of_the_efforts() {
    let modules = adapters(&["1"]);
    let losses = |options: &[&str]| -> Vec<f64> {
        let out = text(&folder("tuned-steps"));
        let options = [options, &["--out", &out]].concat();
        let tuned = json(&[on_model("tune", &options), modules.clone()].concat());
        tuned["steps"].as_array().unwrap().iter().map(|step| number(step, "loss")).collect()
    };
    let quick = losses(&["--effort", "quick"]);
    assert_eq!(quick.len(), 5);
    assert_eq!(losses(&["--effort", "quick", "--steps", "3"]), quick[..3]);
    let slow = losses(&["--effort", "quick", "--learning-rate", "0.0001"]);
    assert!(slow[0] == quick[0] && slow[4] > quick[4], "{slow:?} {quick:?}");
}

/// The share of the update that is kept, and the rank of the adapter in that folder.
fn kept(truncation: &Value, out: &std::path::Path) -> (f64, u64) {
    let config = std::fs::read(out.join("adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["r"], truncation["rank"]);
    let worst = &truncation["worst"];
    assert!(number(worst, "kept") <= number(truncation, "kept"), "{truncation}");
    assert!(worst["layer"].as_str().unwrap().contains("block"), "{truncation}");
    (number(truncation, "kept"), config["r"].as_u64().unwrap())
}

#[test]
fn an_adapter_of_a_lower_rank_keeps_less_and_its_loss_is_the_one_printed() {
    let modules = adapters(&["1", "0.5,1,0,1"]);
    let mut shares = Vec::new();
    for rank in ["1", "4", "7"] {
        let out = folder(&format!("tuned-rank-{rank}"));
        let options = ["--rank", rank, "--out", &text(&out)];
        let tuned = json(&[on_model("tune", &options), modules.clone()].concat());
        let truncated = &tuned["truncated"];
        let (share, found) = kept(truncated, &out);
        assert_eq!(found.to_string(), rank);
        assert_ne!(number(truncated, "loss_before"), number(&tuned, "loss"));
        let options = ["--adapter", &text(&out)];
        let scored = number(&json(&on_model("score", &options)), "loss");
        assert_eq!(scored, number(&tuned, "loss"));
        shares.push(share);
    }
    assert!(shares.is_sorted_by(|a, b| a < b) && shares[2] < 1.0 && shares[0] > 0.0, "{shares:?}");
}

#[test]
fn a_composition_of_one_module_many_times_is_exported_at_the_rank_of_one() {
    let module = &adapters(&["1"])[0];
    let module = module.strip_suffix("=1").unwrap();
    let weights = ["0.3", "0.5", "-0.4", "0.6"];
    let times = weights.map(|weight| format!("{module}={weight}"));
    let model = text(&path("tests/learn/model"));
    let export = |name: &str, modules: &[String], more: &[&str]| {
        let out = folder(name);
        let options = ["export", "--model", &model, "--merge", "delta", "--out", &text(&out)];
        let options = options.iter().chain(more).map(|option| option.to_string());
        (json(&options.chain(modules.iter().cloned()).collect::<Vec<_>>()), out)
    };
    let (one, _) = export("one-module", &[format!("{module}=1")], &[]);
    let (whole, _) = export("many-times", &times, &[]);
    let (small, out) = export("many-times-small", &times, &["--rank", "4"]);
    assert_eq!(small["bytes"], one["bytes"]);
    assert!(small["bytes"].as_u64() < whole["bytes"].as_u64().map(|bytes| bytes / 3));
    let (share, _) = kept(&small["truncation"], &out);
    assert!((share - 1.0).abs() < 1e-9, "{small}");
    let loss = |options: Vec<String>| {
        number(&json(&[on_model("score", &["--merge", "delta"]), options].concat()), "loss")
    };
    let found = loss(vec![format!("--adapter={}", text(&out))]);
    let expected = loss(times.into());
    assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
}

#[test]
fn a_rank_that_is_none_or_has_no_adapter_is_refused() {
    let out = text(&folder("no-rank"));
    let options = ["--rank", "0", "--out", &out];
    let message = error(&[on_model("tune", &options), adapters(&["1"])].concat());
    assert!(message.contains("--rank"), "{message}");
    let adapters = format!("{}/adapters", text(&path("tests/learn/model")));
    let message = error(&on_model("compose", &["--adapters", &adapters, "--rank", "4"]));
    assert!(message.contains("--rank needs --adapter-out"), "{message}");
}

#[test]
fn a_composition_is_tuned_where_it_is_found() {
    let out = folder("composed-tuned");
    let model = text(&path("tests/learn/model"));
    let adapters = format!("{model}/adapters");
    let options = ["--adapters", &adapters, "--budget", "30", "--tune", "quick"];
    let written = ["--rank", "2", "--adapter-out", &text(&out)];
    let found = json(&on_model("compose", &[&options[..], &written].concat()));
    let tuned = &found["tuned"];
    kept(&tuned["truncated"], &out);
    assert!(number(&tuned["truncated"], "loss_before") < number(&found, "loss"), "{tuned}");
    assert!(out.join("adapter_config.json").exists());
    let message = error(&on_model("compose", &options));
    assert!(message.contains("--adapter-out"), "{message}");
}

/// The recipe alone makes the tuned mix again, bit for bit.
#[test]
fn scales_tuned_where_the_mix_is_found_are_in_the_recipe() {
    let folder = folder("composed-scales");
    let (recipe, out) = (folder.join("recipe.json"), folder.join("adapter"));
    let library = path("www/site/public/library");
    let registry: Value =
        serde_json::from_slice(&std::fs::read(library.join("registry.json")).unwrap()).unwrap();
    let pairs = registry["tasks"][0]["examples"].as_array().unwrap();
    let pairs = pairs.iter().map(|pair| (pair["input"].as_str(), pair["output"].as_str()));
    let examples = examples_file(&folder, pairs.map(|(a, b)| (a.unwrap(), b.unwrap())));
    let on_library = |command: &str, more: &[&str]| -> Vec<String> {
        let model = text(&library.join("base"));
        let shared = [command, "--model", &model, "--examples", &examples];
        shared.iter().chain(more).map(|argument| argument.to_string()).collect()
    };
    let registry = text(&library.join("registry.json"));
    let options = ["--registry", &registry, "--budget", "20", "--tune", "quick"];
    let written_to = text(&recipe);
    let options = [&options[..], &["--recipe", &written_to]].concat();
    let found = json(&on_library("compose", &options));
    let tuned = &found["tuned"];
    assert!(number(tuned, "loss") < number(&found, "loss"), "{tuned}");
    let written: Value = serde_json::from_slice(&std::fs::read(&recipe).unwrap()).unwrap();
    assert!(written["scales"]["step"].as_f64().unwrap() > 0.0);
    let to = ["export", "--recipe", &text(&recipe), "--registry", &registry, "--out", &text(&out)];
    assert!(loraloom(&to.map(str::to_owned)).status.success());
    let scored = json(&on_library("score", &["--adapter", &text(&out)]));
    assert_eq!(number(&scored, "loss"), number(tuned, "loss"));

    let options = ["--registry", &registry, "--tune", "quick", "--tune-part", "lora-b"];
    let message = error(&on_library("compose", &options));
    assert!(message.contains("--adapter-out"), "{message}");
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    let out = text(&folder("not-tuned"));
    for (modules, options, part) in [
        (adapters(&["1"]), &["--steps", "0"][..], "steps should be a whole number from 1"),
        (adapters(&["1"]), &["--learning-rate", "7"], "learningRate should be a number above 0"),
        (adapters(&["0"]), &[], "every weight is 0"),
        (Vec::new(), &[], "--adapter"),
    ] {
        let options = [options, &["--out", &out]].concat();
        let arguments = [on_model("tune", &options), modules].concat();
        assert!(!loraloom(&arguments).status.success());
        let message = error(&arguments);
        assert!(message.contains(part), "{message}");
    }
}

/// A polished mix is not exported as the mix before.
#[test]
fn a_recipe_with_tuned_scales_is_exported_with_them() {
    let folder = folder("scaled-recipe");
    let registry = path("www/site/public/library/registry.json");
    let parsed: Value = serde_json::from_slice(&std::fs::read(&registry).unwrap()).unwrap();
    let registry = text(&registry);
    let hash =
        |entry: &Value| entry["files"]["weights"]["sha256"].as_str().unwrap()[..12].to_owned();
    let base = &parsed["bases"][0];
    let base = serde_json::json!({ "id": base["id"], "hash": hash(base) });
    let modules: Vec<Value> = parsed["modules"].as_array().unwrap()[..2]
        .iter()
        .map(
            |module| serde_json::json!({ "id": module["id"], "hash": hash(module), "weight": 1.5 }),
        )
        .collect();
    let export = |name: &str, scales: Option<Value>| {
        let changed = [
            ("base", base.clone()),
            ("modules", modules.clone().into()),
            ("scales", scales.unwrap_or_default()),
        ];
        let recipe = recipe(&folder, name, &changed);
        let out = folder.join(name.replace(".json", ""));
        let options = ["--registry", &registry, "--out", &text(&out)];
        let arguments = [&["export", "--recipe", &recipe][..], &options[..]].concat();
        let written = loraloom(&arguments).status.success();
        let weights = std::fs::read(out.join("adapter_model.safetensors")).unwrap_or_default();
        (written, weights, if written { String::new() } else { error(&arguments) })
    };
    let scales = |values: Vec<i8>| Some(serde_json::json!({ "step": 0.1, "values": values }));
    let (_, plain, _) = export("plain.json", None);
    let (written, _, message) = export("short.json", scales(vec![1]));
    assert!(!written && message.contains("1 scales"), "{message}");
    let count = message.split("the composition has ").nth(1).unwrap();
    let count: usize = count.split(',').next().unwrap().parse().unwrap();
    let (_, unchanged, _) = export("unchanged.json", scales(vec![0; count]));
    assert!(!plain.is_empty() && unchanged == plain);
    let (_, changed, _) = export("changed.json", scales(vec![7; count]));
    assert!(changed.len() == plain.len() && changed != plain);
}
