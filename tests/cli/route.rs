//! Routing an input among recipes of the demo library, and the evaluation of routing.

use serde_json::{Value, json as object};

use crate::{error, folder, json, loraloom, path, share, text};

/// Writes a recipe of the demo library's modules, all at weight 1, and returns its file.
fn recipe(folder: &std::path::Path, task: &str, modules: &[&str], examples: Value) -> String {
    let registry = std::fs::read(path("www/site/public/library/registry.json")).unwrap();
    let registry: Value = serde_json::from_slice(&registry).unwrap();
    let hash = |kind: &str, id: &str| {
        let entries = registry[kind].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["id"] == *id).unwrap();
        entry["files"]["weights"]["sha256"].as_str().unwrap()[..16].to_owned()
    };
    let base = registry["bases"][0]["id"].as_str().unwrap();
    let weighted = |id: &&str| object!({ "id": id, "hash": hash("modules", id), "weight": 1.0 });
    let tasks = registry["tasks"].as_array().unwrap();
    let of_task = tasks.iter().find(|one| one["id"] == *task).unwrap()["examples"].clone();
    let changed = [
        ("base", object!({ "id": base, "hash": hash("bases", base) })),
        ("modules", modules.iter().map(weighted).collect::<Vec<_>>().into()),
        ("title", task.into()),
        ("examples", if examples.is_null() { of_task } else { examples }),
    ];
    share::recipe(folder, &format!("{task}.json"), &changed)
}

#[test]
fn an_input_is_answered_by_the_recipe_of_its_task_or_by_the_base() {
    let folder = folder("route");
    let recipes = [
        recipe(&folder, "pick-job-french", &["pick-job", "french"], Value::Null),
        recipe(&folder, "weekend-true-false", &["weekend", "true-false"], Value::Null),
    ];
    let library = text(&path("www/site/public/library"));
    let arguments = |input: &'static str| {
        let mut arguments = vec!["route", input, "--registry", &library];
        arguments.extend(recipes.iter().flat_map(|recipe| ["--recipe", recipe]));
        arguments
    };
    let routed = json(&arguments("the party is on Sunday"));
    assert_eq!((&routed["recipe"], &routed["chosen"]), (&"weekend-true-false".into(), &1.into()));
    assert_eq!(routed["text"], "true");
    assert_eq!(routed["candidates"][1]["answer"], "true");
    assert_eq!(routed["candidates"][0]["title"], "pick-job-french");
    let printed = loraloom(&arguments("the party is on Sunday"));
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("* weekend-true-false: true"), "{printed}");
    assert!(printed.ends_with("chosen: weekend-true-false\ntrue\n"), "{printed}");

    let foreign = "Is the word something to eat? Reply with a guess: apple";
    let mut arguments = arguments(foreign);
    let routed = json(&arguments);
    assert_eq!((&routed["recipe"], &routed["chosen"]), (&Value::Null, &Value::Null));
    let model = text(&path("www/site/public/library/base"));
    let of_base = json(&["generate", "--model", &model, "--precision", "int8", "--input", foreign]);
    assert_eq!(routed["text"], of_base["outputs"][0]["text"]);
    arguments.extend(["--nearest", "1"]);
    let candidates = json(&arguments)["candidates"].clone();
    let answered = candidates.as_array().unwrap().iter().filter(|one| !one["answer"].is_null());
    assert_eq!(answered.count(), 1);
}

#[test]
fn recipes_that_cannot_be_routed_to_are_refused() {
    let folder = folder("route-refused");
    let library = text(&path("www/site/public/library"));
    let modules = ["pick-job", "french"];
    let without = recipe(&folder, "pick-job-french", &modules, object!([]));
    let with = ["--registry", &*library, "--recipe", &*without];
    let refused = |more: &[&str]| error(&[&["route", "sea, lawyer"], &with[..], more].concat());
    assert!(refused(&[]).contains("pick-job-french holds no examples"));
    assert!(refused(&["--examples", "a", "--examples", "b"]).contains("2 for 1 recipes"));
    let file = crate::examples_file(&folder, [("sea, lawyer", "avocat"), ("cow, driver", "x")]);
    let arguments = [&["route", "sea, lawyer"], &with[..], &["--examples", &file]].concat();
    assert_eq!(json(&arguments)["candidates"].as_array().unwrap().len(), 1);
    assert!(error(&["route", " ", "--registry", &library, "--recipe", &without]).contains("text"));
}

#[test]
fn routing_is_measured_on_the_mixture_of_a_set() {
    let registry = text(&path("www/site/public/library/registry.json"));
    let tasks = "pick-job-french,weekend-true-false,capital-spanish";
    let measured = [
        "evaluate",
        "--registry",
        &registry,
        "--tasks",
        tasks,
        "--seeds",
        "1",
        "--routing",
        "--items",
        "6",
        "--methods",
        "default",
        "--budgets",
        "20",
    ];
    let found = json(&measured);
    let mixture = &found["mixtures"][0];
    assert_eq!((&found["method"], &mixture["set"]), (&"default".into(), &"settings".into()));
    assert_eq!(mixture["tasks"].as_array().unwrap().len(), 3);
    let row = |choice: &str| {
        let rows = mixture["rows"].as_array().unwrap();
        rows.iter().find(|row| row["choice"] == choice).unwrap().clone()
    };
    let mean = |values: &Value| {
        let values = values.as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).sum::<f64>() / values.len() as f64
    };
    assert_eq!(mean(&row("known-task")["right_task"]), 100.0);
    assert!(mean(&row("two-nearest")["right_task"]) >= 80.0);
    assert!(mean(&row("two-nearest")["exact_match"]) > 30.0);
    assert_eq!(row("all")["generations"], 3.0);
    assert_eq!(row("two-nearest")["generations"], 2.0);
    assert!(row("all-or-none")["generations"].as_f64().unwrap() >= 3.0);
    for share in ["foreign_to_base", "false_alarms"] {
        let share = mixture[share].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&share));
    }
    let mut refused = measured.to_vec();
    refused[11] = "zero-shot";
    assert!(error(&refused).contains("one method that learns"));
}
