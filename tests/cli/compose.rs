//! Learning from the command line, and the recipe that it writes.

use loraloom::recipe::{Recipe, decode};
use serde_json::Value;

use crate::{folder, json, loraloom, path, text};

/// The arguments of a run on the model of tests/learn, which has twenty adapters.
fn learn(more: &[&str]) -> Vec<String> {
    let model = text(&path("tests/learn/model"));
    let mut arguments: Vec<String> = ["compose", "--precision", "f32"].map(String::from).into();
    for (option, value) in [
        ("--adapters", format!("{model}/adapters")),
        ("--examples", format!("{model}/examples.jsonl")),
        ("--model", model),
    ] {
        arguments.extend([option.to_owned(), value]);
    }
    arguments.extend(more.iter().map(|argument| argument.to_string()));
    arguments
}

fn weights(points: &Value) -> Vec<f64> {
    let of = |module: &Value| module["weight"].as_f64().unwrap();
    points.as_array().unwrap().iter().map(of).collect()
}

#[test]
fn the_published_settings_visit_the_points_of_the_reference() {
    let reference = std::fs::read(path("tests/learn/model.json")).unwrap();
    let reference: Value = serde_json::from_slice(&reference).unwrap();
    let mut options = vec!["--optimizer", "cobyla", "--select", "all", "--merge", "lorahub"];
    options.extend(["--objective", "reference", "--budget", "40"]);
    options.extend(["--bound", "1.5", "--regularization", "0.05"]);
    let found = json(&learn(&options));
    assert_eq!(found["evaluations"], 40.0);
    for (number, theirs) in reference["evaluations"].as_array().unwrap()[..21].iter().enumerate() {
        let ours = &found["history"][number];
        let expected: Vec<f64> =
            theirs["weights"].as_array().unwrap().iter().map(|w| w.as_f64().unwrap()).collect();
        for (a, b) in weights(&ours["weights"]).iter().zip(&expected) {
            assert!((a - b).abs() < 1e-4, "point {}: {a} {b}", number + 1);
        }
        let (a, b) = (ours["loss"].as_f64().unwrap(), theirs["loss"].as_f64().unwrap());
        assert!((a - b).abs() < 1e-4 * b, "point {}: {a} {b}", number + 1);
    }
    assert!(found["loss"].as_f64() < found["loss_start"].as_f64());
}

#[test]
fn one_seed_gives_one_result_for_every_search() {
    for options in [
        ["--optimizer", "cobyla", "--select", "single-loss"],
        ["--optimizer", "cma-es", "--select", "random"],
        ["--optimizer", "greedy", "--select", "all"],
        ["--optimizer", "forward", "--select", "automatic"],
    ] {
        let run = |seed| {
            let mut arguments = learn(&options);
            arguments
                .extend(["--budget", "12", "--modules", "5", "--seed", seed].map(String::from));
            json(&arguments)
        };
        let (first, again, other) = (run("3"), run("3"), run("4"));
        assert_eq!(first["weights"], again["weights"], "{options:?}");
        assert_eq!(first["loss"], again["loss"]);
        let random = options.contains(&"random");
        assert_eq!(first["weights"] == other["weights"], !random, "{options:?}");
        let history = first["history"].as_array().unwrap().iter();
        let best = history.filter(|e| e["complete"] == true).map(|e| e["loss"].as_f64().unwrap());
        assert_eq!(first["loss"].as_f64().unwrap(), best.fold(f64::INFINITY, f64::min));
    }
}

#[test]
fn what_is_held_stays_and_the_rest_is_learned_beside_it() {
    for optimizer in ["forward", "cobyla"] {
        let options = ["--optimizer", optimizer, "--budget", "30", "--modules", "5"];
        let held = ["--hold", "03=-0.25", "--hold", "07=0.5,0.5,1,0.5", "--hold", "11=0"];
        let found = json(&learn(&[&options[..], &held[..]].concat()));
        let of = |modules: &Value, id: &str| {
            let modules = modules.as_array().unwrap().iter();
            modules.filter(|module| module["id"] == id).cloned().collect::<Vec<Value>>()
        };
        assert_eq!(of(&found["weights"], "03")[0]["weight"], -0.25);
        assert_eq!(of(&found["weights"], "07")[0]["weight"]["decoderCrossAttention"], 1.0);
        let history = found["history"].as_array().unwrap();
        assert_eq!(history[0]["weights"].as_array().unwrap().len(), 2, "{optimizer}");
        let with_three = history.iter().filter(|one| of(&one["weights"], "03").len() == 1).count();
        assert_eq!(with_three, history.len() - 1, "{optimizer}: all but the base alone");
        assert!(history.iter().all(|one| of(&one["weights"], "11").is_empty()), "{optimizer}");
        assert!(found["loss"].as_f64() <= history[0]["loss"].as_f64());
    }
    let refused = |held: &str| {
        let output = loraloom(&learn(&["--hold", held]));
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused("03").contains("MODULE=WEIGHT"));
    assert!(refused("03=much").contains("is not a number"));
    assert!(refused("nothing=1").contains("nothing"));
}

#[test]
fn a_recipe_holds_what_was_learned_and_scores_the_same() {
    let folder = folder("recipe");
    let library = path("www/site/public/library");
    let registry: Value =
        serde_json::from_slice(&std::fs::read(library.join("registry.json")).unwrap()).unwrap();
    let task = &registry["tasks"][0];
    let pairs = task["examples"].as_array().unwrap().iter();
    let pairs = pairs.map(|e| (e["input"].as_str().unwrap(), e["output"].as_str().unwrap()));
    let examples = crate::examples_file(&folder, pairs);
    let model = text(&library.join("base"));
    let recipe = text(&folder.join("recipe.json"));
    let registry_path = text(&library.join("registry.json"));
    let arguments = [
        "compose",
        "--model",
        &model,
        "--registry",
        &registry_path,
        "--examples",
        &examples,
        "--budget",
        "24",
        "--recipe",
        &recipe,
        "--title",
        "A task",
    ];
    let found = json(&arguments);

    let recipe: Recipe = serde_json::from_slice(&std::fs::read(&recipe).unwrap()).unwrap();
    assert_eq!(recipe.title, "A task");
    let base = &registry["bases"][0];
    assert_eq!(recipe.base.id, base["id"].as_str().unwrap());
    assert!(base["files"]["weights"]["sha256"].as_str().unwrap().starts_with(&recipe.base.hash));
    let mut score: Vec<String> =
        ["score", "--model", &model, "--examples", &examples].map(String::from).into();
    for module in &recipe.modules {
        let weight = found["weights"].as_array().unwrap().iter();
        let weight = weight.filter(|weighted| weighted["id"] == *module.id).collect::<Vec<_>>();
        let expected = serde_json::to_value(module.weight).unwrap();
        assert_eq!(weight[0]["weight"], expected);
        let entry = registry["modules"].as_array().unwrap().iter();
        let entry = entry.filter(|entry| entry["id"] == *module.id).collect::<Vec<_>>()[0];
        let file = &entry["files"]["weights"];
        assert!(file["sha256"].as_str().unwrap().starts_with(&module.hash));
        let folder = library.join(file["path"].as_str().unwrap());
        let folder = text(folder.parent().unwrap());
        score.extend(["--adapter".to_owned(), format!("{folder}={}", module.weight.groups()[0])]);
    }
    let (loss, learned) = (json(&score)["loss"].as_f64(), found["loss"].as_f64());
    assert!((loss.unwrap() - learned.unwrap()).abs() < 1e-6, "{loss:?} {learned:?}");

    // The text output ends with the link to the same recipe.
    let printed = String::from_utf8(loraloom(&arguments).stdout).unwrap();
    let link = printed.trim().rsplit_once("link #").unwrap().1;
    assert_eq!(decode(link).unwrap(), recipe);
}
