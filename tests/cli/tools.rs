//! The tools that make files for others: adapters, GGUF models, registries.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::{error, examples_file, folder, json, path, text};

const PAIRS: [(&str, &str); 3] =
    [("Answer the question: is the river green or cold?", "cold river"), ("дом", "水"), ("a", "b")];

fn losses(model: &str, examples: &str, more: &[&str]) -> Vec<f64> {
    let mut arguments =
        vec!["score", "--model", model, "--examples", examples, "--precision", "f32"];
    arguments.extend(more);
    let scored = json(&arguments);
    let of = |example: &Value| example["loss"].as_f64().unwrap();
    scored["examples"].as_array().unwrap().iter().map(of).collect()
}

fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance * b, "{what}: {a} {b}");
    }
}

#[test]
fn an_exported_adapter_scores_as_the_composition_does() {
    let root = folder("export");
    let examples = examples_file(&root, PAIRS);
    for model in ["narrow-tied", "deep-untied", "wide-bfloat", "relu-tied"] {
        let model = text(&path(&format!("tests/golden/models/{model}")));
        for (merge, adapters) in [
            ("lorahub", vec!["first=0.5", "second=-0.3", "third=0.8"]),
            ("delta", vec!["first=0.4", "mixed=0.7", "patterned=-0.5", "second=0"]),
        ] {
            let adapters: Vec<String> =
                adapters.iter().map(|adapter| format!("{model}/adapters/{adapter}")).collect();
            let mut composition = vec!["--merge", merge];
            adapters.iter().for_each(|adapter| composition.extend(["--adapter", adapter]));
            let out = text(&root.join(merge));
            let mut arguments = vec!["export", "--model", &model, "--out", &out];
            arguments.extend(&composition);
            let exported = json(&arguments);
            assert_eq!(exported["modules"], 3);
            let expected = losses(&model, &examples, &composition);
            let found = losses(&model, &examples, &["--adapter", &out]);
            close(&found, &expected, 1e-5, &format!("{model} {merge}"));
        }
    }
    let model = text(&path("tests/golden/models/narrow-tied"));
    let nothing = format!("{model}/adapters/first=0");
    let message =
        error(&["export", "--model", &model, "--adapter", &nothing, "--out", &text(&root)]);
    assert!(message.contains("every weight is 0"), "{message}");
}

#[test]
fn a_recipe_is_exported_from_its_registry_and_refused_from_another() {
    let root = folder("export-recipe");
    let library = path("www/site/public/library");
    let registry = text(&library.join("registry.json"));
    let parsed: Value = serde_json::from_slice(&std::fs::read(&registry).unwrap()).unwrap();
    let (base, module) = (&parsed["bases"][0], &parsed["modules"][0]);
    let hash = |file: &Value| file["files"]["weights"]["sha256"].as_str().unwrap()[..12].to_owned();
    let mut recipe = serde_json::json!({
        "registry": "registry.json", "base": {"id": base["id"], "hash": hash(base)},
        "modules": [{"id": module["id"], "hash": hash(module), "weight": 0.75}],
        "merge": "delta", "precision": "int8", "title": "A task", "instruction": null,
        "examples": [],
    });
    let (file, out) = (text(&root.join("recipe.json")), text(&root.join("out")));
    std::fs::write(&file, recipe.to_string()).unwrap();
    let arguments = ["export", "--recipe", &file, "--registry", &registry, "--out", &out];
    assert_eq!(json(&arguments)["base_model"], base["id"]);
    let weights = module["files"]["weights"]["path"].as_str().unwrap();
    let adapter = text(library.join(weights).parent().unwrap()) + "=0.75";
    let examples = examples_file(&root, PAIRS);
    let model = text(&library.join("base"));
    let expected = losses(&model, &examples, &["--adapter", &adapter]);
    close(&losses(&model, &examples, &["--adapter", &out]), &expected, 1e-5, "recipe");

    recipe["modules"][0]["hash"] = "00000000".into();
    std::fs::write(&file, recipe.to_string()).unwrap();
    assert!(error(&arguments).contains("another version"));
    std::fs::write(&file, "{}").unwrap();
    assert!(error(&arguments).contains("recipe.json"));
    let message = error(&["export", "--recipe", "AQ", "--registry", &registry, "--out", &out]);
    assert!(message.contains("cut short"), "{message}");
}

/// A GGUF file alone is read as scaled where it has no head, so that it would be another model.
#[test]
fn a_head_and_a_scale_that_gguf_cannot_hold_are_not_quantized() {
    let root = folder("quantize-head");
    for (model, scaled) in [("narrow-tied", false), ("deep-untied", true)] {
        let original = path(&format!("tests/golden/models/{model}"));
        let copy = root.join(model);
        std::fs::create_dir(&copy).unwrap();
        for file in ["model.safetensors", "tokenizer.json"] {
            std::fs::copy(original.join(file), copy.join(file)).unwrap();
        }
        let config = std::fs::read(original.join("config.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        config["scale_decoder_outputs"] = scaled.into();
        std::fs::write(copy.join("config.json"), config.to_string()).unwrap();
        let out = root.join("model.gguf");
        let message = error(&["quantize", "--model", &text(&copy), "--out", &text(&out)]);
        assert!(message.contains("scale_decoder_outputs"), "{message}");
        assert!(!out.exists());
    }
}

#[test]
fn both_namings_of_a_quantized_model_score_alike_and_near_the_original() {
    let root = folder("quantize");
    let examples = examples_file(&root, PAIRS);
    for model in ["wide-bfloat", "relu-tied"] {
        let original = path(&format!("tests/golden/models/{model}"));
        let mut all = Vec::new();
        for names in ["llama.cpp", "hugging-face"] {
            let folder = root.join(format!("{model}-{names}"));
            std::fs::create_dir(&folder).unwrap();
            for file in ["config.json", "tokenizer.json"] {
                std::fs::copy(original.join(file), folder.join(file)).unwrap();
            }
            let out = text(&folder.join("model.gguf"));
            let model = text(&original);
            let made = json(&["quantize", "--model", &model, "--out", &out, "--names", names]);
            assert!(made["quantized"].as_u64().unwrap() > 5);
            all.push(losses(&text(&folder), &examples, &[]));
            // llama.cpp's description takes the place of the two files.
            if names == "llama.cpp" {
                for file in ["config.json", "tokenizer.json"] {
                    std::fs::remove_file(folder.join(file)).unwrap();
                }
                assert_eq!(losses(&text(&folder), &examples, &[]), all[0], "{folder:?}");
            }
        }
        assert_eq!(all[0], all[1]);
        let expected = losses(&text(&original), &examples, &[]);
        assert_ne!(all[0], expected);
        close(&all[0], &expected, 0.02, model);
    }
}

/// The model's rows are no whole blocks of 32, so that GGUF holds them in full.
#[test]
fn a_quantized_model_alone_has_the_tokenizer_of_the_original() {
    let root = folder("quantize-tokenizer");
    let original = path("tests/golden/models/narrow-tied");
    let texts =
        [("a  cat <extra_id_0> sat.", "B dog</s> x"), (" The sea\tand\nland ", "ground <pad> ½")];
    let examples = examples_file(&root, texts);
    let tokenizer = std::fs::read(original.join("tokenizer.json")).unwrap();
    let tokenizer: Value = serde_json::from_slice(&tokenizer).unwrap();
    let replace =
        serde_json::json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "});
    let sea = serde_json::json!({"additional_special_tokens": ["sat"]});
    let mut all = Vec::new();
    for (name, pointer, value, config, part) in [
        ("plain", "", Value::Null, None, None),
        ("no-normalizer", "/normalizer", Value::Null, None, Some("normalizer")),
        ("replace", "/normalizer", replace, None, Some("normalizer")),
        ("rstrip", "/added_tokens/10/rstrip", true.into(), None, Some("added_tokens")),
        ("normalized", "/added_tokens/10/normalized", true.into(), None, Some("added_tokens")),
        // The pieces that a reader gets hold the token too.
        ("config", "", Value::Null, Some(sea), Some("model")),
    ] {
        let model = root.join(name);
        std::fs::create_dir(&model).unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(original.join(file), model.join(file)).unwrap();
        }
        let mut file = tokenizer.clone();
        if !pointer.is_empty() {
            *file.pointer_mut(pointer).unwrap() = value;
        }
        std::fs::write(model.join("tokenizer.json"), file.to_string()).unwrap();
        if let Some(config) = config {
            std::fs::write(model.join("tokenizer_config.json"), config.to_string()).unwrap();
        }
        let alone = root.join(format!("{name}-alone"));
        std::fs::create_dir(&alone).unwrap();
        let out = text(&alone.join("model.gguf"));
        let made = json(&["quantize", "--model", &text(&model), "--out", &out]);
        let parts = made["not_described"].as_array();
        assert_eq!(parts.and_then(|parts| parts[0].as_str()), part, "{name}: {made}");
        let expected = losses(&text(&model), &examples, &[]);
        assert_eq!(losses(&text(&alone), &examples, &[]), expected, "{name}");
        all.push(expected);
    }
    assert!(all[1..].iter().all(|losses| *losses != all[0]), "{all:?}");
}

#[test]
fn a_quantized_model_of_bytes_has_the_files_that_it_is_read_with() {
    let root = folder("quantize-bytes");
    let examples = examples_file(&root, PAIRS);
    let model = text(&path("tests/golden/models/byt5"));
    let out = root.join("model.gguf");
    let arguments = ["quantize", "--model", &model, "--out", &text(&out)];
    std::fs::write(root.join("config.json"), "{}").unwrap();
    let message = error(&arguments);
    assert!(message.contains("write the model into another folder"), "{message}");
    assert!(!out.exists());
    std::fs::remove_file(root.join("config.json")).unwrap();
    json(&arguments);
    assert_eq!(losses(&text(&root), &examples, &[]), losses(&model, &examples, &[]));
    for file in ["config.json", "tokenizer_config.json"] {
        std::fs::remove_file(root.join(file)).unwrap();
    }
    let message = error(&["score", "--model", &text(&root), "--examples", &examples]);
    assert!(message.contains("describes no tokenizer"), "{message}");
}

/// Losses of PEFT; see `tests/golden/make_adapter_config.py`.
#[test]
fn adapter_configurations_that_leave_out_fields_are_read_as_peft_reads_them() {
    let root = folder("adapter-config");
    let source = path("tests/golden/adapter_config");
    let expected = std::fs::read(source.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let pairs: Vec<[&str; 2]> = (expected["examples"].as_array().unwrap().iter())
        .map(|pair| [0, 1].map(|at| pair[at].as_str().unwrap()))
        .collect();
    let examples = examples_file(&root, pairs.iter().map(|[input, output]| (*input, *output)));
    let model = text(&path("tests/golden/models/narrow-tied"));
    close(&losses(&model, &examples, &[]), &numbers(&expected["base"]), 2e-5, "base");
    let weights = root.join("adapter_model.safetensors");
    std::fs::copy(source.join("adapter_model.safetensors"), &weights).unwrap();
    let config = root.join("adapter_config.json");
    // Blanks around the equals sign, and the weights' own path.
    let adapters = [text(&root), format!("{} = 1", text(&root)), text(&weights) + "=1"];
    let cases = expected["cases"].as_array().unwrap();
    for (index, case) in cases.iter().enumerate() {
        std::fs::write(&config, case["config"].to_string()).unwrap();
        let adapter = &adapters[index % adapters.len()];
        let found = losses(&model, &examples, &["--adapter", adapter]);
        close(&found, &numbers(&case["losses"]), 2e-5, &case["name"].to_string());
    }
    let mut dora = cases[0]["config"].clone();
    dora["use_dora"] = true.into();
    std::fs::write(&config, dora.to_string()).unwrap();
    let arguments =
        ["score", "--model", &model, "--examples", &examples, "--adapter", &adapters[0]];
    let message = error(&arguments);
    assert!(message.contains(&format!("error: {}: use_dora", text(&config))), "{message}");
}

#[test]
fn a_path_of_weights_is_its_folder_with_that_file() {
    let root = folder("path-of-weights");
    let examples = examples_file(&root, PAIRS);
    let original = path("tests/golden/models/narrow-tied");
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(original.join(file), root.join(file)).unwrap();
    }
    let other = text(&path("tests/golden/models/wide-bfloat"));
    let folder = root.join("gguf");
    std::fs::create_dir(&folder).unwrap();
    let gguf = text(&folder.join("other.gguf"));
    json(&["quantize", "--model", &other, "--out", &gguf]);
    assert_eq!(losses(&gguf, &examples, &[]), losses(&text(&folder), &examples, &[]));
    // Beside weights that would come first.
    std::fs::copy(original.join("model.safetensors"), root.join("second.safetensors")).unwrap();
    let expected = losses(&text(&root), &examples, &[]);
    std::fs::write(root.join("model.safetensors"), "nothing").unwrap();
    assert_eq!(losses(&text(&root.join("second.safetensors")), &examples, &[]), expected);
}

/// Their rows are no whole blocks of 32, so that GGUF holds them in full.
#[test]
fn relatives_of_t5_are_exported_published_and_written_as_gguf() {
    let root = folder("relatives");
    let examples = examples_file(&root, PAIRS);
    for name in ["mt5", "umt5", "byt5"] {
        let model = text(&path(&format!("tests/golden/models/{name}")));
        let expected = losses(&model, &examples, &[]);
        let gguf = root.join(format!("{name}-gguf"));
        std::fs::create_dir(&gguf).unwrap();
        let tokenizer = if name == "byt5" { "tokenizer_config.json" } else { "tokenizer.json" };
        for file in ["config.json", tokenizer] {
            std::fs::copy(Path::new(&model).join(file), gguf.join(file)).unwrap();
        }
        json(&["quantize", "--model", &model, "--out", &text(&gguf.join("model.gguf"))]);
        assert_eq!(losses(&text(&gguf), &examples, &[]), expected, "{name}");

        let adapters = ["first=0.6", "mixed=-0.8"].map(|one| format!("{model}/adapters/{one}"));
        let composition =
            ["--merge", "delta", "--adapter", &adapters[0], "--adapter", &adapters[1]];
        let out = text(&root.join(name));
        json(&[&["export", "--model", &model, "--out", &out][..], &composition].concat());
        let composed = losses(&model, &examples, &composition);
        assert_ne!(composed, expected, "{name}");
        close(&losses(&model, &examples, &["--adapter", &out]), &composed, 1e-5, name);

        let library = text(&root.join(format!("{name}-library")));
        build(&[&model, &format!("{model}/adapters")], &library, &[]);
        let checked = json(&["registry", "check", &library]);
        assert_eq!((&checked["bases"], &checked["modules"]), (&1.into(), &2.into()), "{name}");
    }
}

fn build(folders: &[&str], out: &str, more: &[&str]) -> Value {
    let mut arguments = vec!["registry", "build", "--out", out];
    arguments.extend(folders);
    arguments.extend(more);
    json(&arguments)
}

#[test]
fn a_built_registry_is_sound_and_composes_like_the_folders() {
    let root = folder("registry");
    let examples = examples_file(&root, PAIRS);
    let model = text(&path("tests/golden/models/narrow-tied"));
    let adapters = format!("{model}/adapters");
    let out = text(&root.join("library"));
    let built = build(&[&model, &adapters], &out, &["--title", "Five modules"]);
    assert_eq!(built["modules"], 5);
    let checked = json(&["registry", "check", &out]);
    assert_eq!((&checked["bases"], &checked["modules"]), (&1.into(), &5.into()));

    let registry = format!("{out}/registry.json");
    let parsed: Value = serde_json::from_slice(&std::fs::read(&registry).unwrap()).unwrap();
    for module in parsed["modules"].as_array().unwrap() {
        let weights = module["files"]["weights"]["path"].as_str().unwrap();
        assert!(weights.ends_with("/adapter_model.safetensors"));
        let id = module["id"].as_str().unwrap();
        let (ours, theirs) = (format!("{out}/modules/{id}"), format!("{adapters}/{id}"));
        let score = |folder: &str| losses(&model, &examples, &["--adapter", folder]);
        assert_eq!(score(&ours), score(&theirs), "{id}");
    }

    // In pages it is the same to every command.
    let paged = text(&root.join("paged"));
    build(&[&model, &adapters], &paged, &["--pages"]);
    assert!(json(&["registry", "check", &paged])["modules"] == 5);
    let head: Value =
        serde_json::from_slice(&std::fs::read(format!("{paged}/registry.json")).unwrap()).unwrap();
    assert_eq!((&head["modules"], &head["index"]["modules"]), (&serde_json::json!([]), &5.into()));
    std::fs::write(format!("{paged}/terms/0.json"), "{}").unwrap();
    let message = error(&["registry", "check", &paged]);
    assert!(message.contains("terms/0.json should be"), "{message}");

    let half = text(&root.join("half"));
    let smaller = build(&[&model, &adapters], &half, &["--f16"]);
    assert!(smaller["bytes"].as_u64() < built["bytes"].as_u64());
    let score = |library: &str| {
        losses(&model, &examples, &["--adapter", &format!("{library}/modules/first")])
    };
    close(&score(&half), &score(&out), 1e-3, "f16");
}

#[test]
fn a_registry_for_a_site_has_a_page_for_each_module_with_its_card_and_a_link() {
    let root = folder("registry-site");
    let library = path("www/site/public/library");
    let hostile = root.join("hostile");
    std::fs::create_dir(&hostile).unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(library.join("modules/brackets").join(name), hostile.join(name)).unwrap();
    }
    let card = "# A & <b>\n\n- Task: Say \"yes\".\n- Result, exact match: 101.0 % (base: 0.0 %).\n";
    std::fs::write(hostile.join("README.md"), card).unwrap();
    let [base, arrow] = ["base", "modules/arrow"].map(|part| text(&library.join(part)));
    let (hostile, out) = (text(&hostile), text(&root.join("built")));
    let site = ["--site", "https://example.org/loom/?registry=x"];
    build(&[&base, &arrow, &hostile], &out, &site);
    assert_eq!(json(&["registry", "check", &out])["modules"], 2);
    let registry = std::fs::read(format!("{out}/registry.json")).unwrap();
    let registry: Value = serde_json::from_slice(&registry).unwrap();
    let [first, second] = [0, 1].map(|place| &registry["modules"][place]);
    assert_eq!(first["result"], serde_json::json!({"exact_match": 81.0, "base_exact_match": 0.0}));
    // A share that is none is left out.
    assert_eq!(second["result"], Value::Null);

    let page =
        |id: &str| std::fs::read_to_string(format!("{out}/modules/{id}/index.html")).unwrap();
    let html = page("arrow");
    for part in [
        "<title>Answer after an arrow</title>",
        "<q>Name the animal: sock, brown, lion, rain, lawyer</q> → <q>=&gt; lion</q>",
        "<td>81.0 % exact match, 0.0 % without it</td>",
        "<td>MIT OR Apache-2.0</td>",
        first["files"]["weights"]["sha256"].as_str().unwrap(),
        "<a href=\"adapter_model.safetensors\">",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let link = html.split("<a href=\"https://example.org/loom/?registry=x#").nth(1).unwrap();
    let recipe = loraloom::recipe::decode(link.split('"').next().unwrap()).unwrap();
    assert_eq!((recipe.modules.len(), &*recipe.modules[0].id), (1, "arrow"));
    assert_eq!(recipe.modules[0].weight, 1.0.into());
    let sha256 = first["files"]["weights"]["sha256"].as_str().unwrap();
    assert!(sha256.starts_with(&recipe.modules[0].hash));
    let html = page("hostile");
    assert!(html.contains("<h1>A &amp; &lt;b&gt;</h1>") && !html.contains("<b>"), "{html}");
    assert!(html.contains("<p>Say &quot;yes&quot;.</p>"), "{html}");

    let mut arguments = vec!["registry", "build", &base, &arrow, "--out", &out];
    arguments.extend(["--site", "example.org"]);
    assert!(error(&arguments).contains("an address that begins with https://"));
}

#[test]
fn what_is_wrong_with_a_registry_is_named_all_at_once() {
    let root = folder("bad-built-registry");
    let model = text(&path("tests/golden/models/narrow-tied"));
    let foreign = text(&path("tests/golden/models/deep-untied/adapters/first"));
    let out = text(&root.join("library"));
    let failed = |folders: &[&str]| {
        let mut arguments = vec!["registry", "build", "--out", &out];
        arguments.extend(folders);
        error(&arguments)
    };
    assert!(failed(&[&foreign]).contains("one base model"));
    assert!(failed(&[&model, &foreign]).contains("another base"));
    assert!(failed(&[&model, &text(&root)]).contains("adapter_config.json"));

    build(&[&model, &format!("{model}/adapters")], &out, &[]);
    let registry = Path::new(&out).join("registry.json");
    let mut parsed: Value = serde_json::from_slice(&std::fs::read(&registry).unwrap()).unwrap();
    parsed["modules"][0]["rank"] = 99.into();
    std::fs::write(&registry, parsed.to_string()).unwrap();
    let changed = Path::new(&out).join("modules/second/adapter_model.safetensors");
    let mut bytes = std::fs::read(&changed).unwrap();
    bytes.push(0);
    std::fs::write(&changed, bytes).unwrap();
    std::fs::remove_file(Path::new(&out).join("modules/third/adapter_config.json")).unwrap();
    let message = error(&["registry", "check", &out]);
    for part in ["3 problems", "rank of module first", "second", "bytes long", "third"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// Serves a folder on this machine for as long as the test runs, and returns its address. Paths
/// that start with `/owner/name/resolve/main/` are those of a hub, and lead to the folder too.
fn serve(folder: &str) -> String {
    let listener = TcpListener::bind("localhost:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let folder = Path::new(folder).to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut lines = BufReader::new(&stream).lines();
            lines.by_ref().take_while(|line| line.as_ref().is_ok_and(|l| !l.is_empty())).for_each(
                |line| {
                    if request.is_empty() {
                        request = line.unwrap();
                    }
                },
            );
            let (method, rest) = request.split_once(' ').unwrap();
            let path = rest.split(' ').next().unwrap();
            let path = path.strip_prefix("/owner/name/resolve/main").unwrap_or(path);
            let found = std::fs::read(folder.join(path.trim_start_matches('/')));
            let status = if found.is_ok() { "200 OK" } else { "404 Not Found" };
            let body = found.unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            if method == "GET" {
                stream.write_all(&body).unwrap();
            }
        }
    });
    address
}

#[test]
fn a_registry_is_checked_where_it_is_served() {
    let root = folder("served-registry");
    let model = text(&path("tests/golden/models/narrow-tied"));
    let out = text(&root.join("library"));
    let built = build(&[&model, &format!("{model}/adapters")], &out, &[]);
    let address = serve(&out);
    for place in [address.clone(), format!("{address}/registry.json")] {
        let checked = json(&["registry", "check", &place]);
        assert_eq!((&checked["modules"], &checked["bytes"]), (&5.into(), &built["bytes"]));
    }

    // A file without a hash is asked for at the hub, which is the same server here.
    let registry = Path::new(&out).join("registry.json");
    let mut parsed: Value = serde_json::from_slice(&std::fs::read(&registry).unwrap()).unwrap();
    let files = &mut parsed["modules"][0]["files"];
    for file in ["config", "weights"] {
        let name = files[file]["path"].as_str().unwrap().to_owned();
        files[file] = serde_json::json!({"path": format!("hub:owner/name@main/{name}")});
    }
    std::fs::write(&registry, parsed.to_string()).unwrap();
    let checked = json(&["registry", "check", &address, "--hub", &address]);
    assert_eq!(checked["unpinned"], 2);

    std::fs::remove_file(Path::new(&out).join("modules/first/adapter_config.json")).unwrap();
    std::fs::remove_file(Path::new(&out).join("modules/third/adapter_config.json")).unwrap();
    let changed = Path::new(&out).join("modules/second/adapter_model.safetensors");
    let mut bytes = std::fs::read(&changed).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&changed, bytes).unwrap();
    let message = error(&["registry", "check", &address, "--hub", &address]);
    for part in [
        "3 problems",
        "resolve/main/modules/first/adapter_config.json",
        "found status 404",
        "modules/second/adapter_model.safetensors is not the file",
        "sha256 should be",
        "modules/third/adapter_config.json cannot be read: expected the file, found",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let message = error(&["registry", "check", &format!("{address}/nothing")]);
    assert!(message.contains("nothing/registry.json") && message.contains("404"), "{message}");
    let message = error(&["registry", "check", "http://localhost:1/"]);
    assert!(message.contains("http://localhost:1/registry.json cannot be read"), "{message}");
}

#[test]
fn a_model_of_which_nothing_is_known_cannot_be_verified() {
    let model = text(&path("tests/golden/models/narrow-tied"));
    let message = error(&["verify", "--model", &model]);
    assert!(message.contains("google/flan-t5-small"), "{message}");
    let message = error(&["verify", "--model", &model, "--id", "google/flan-t5-small"]);
    assert!(message.contains("not those of a known model"), "{message}");
}

#[test]
fn modules_in_folders_of_folders_are_found_under_their_paths() {
    let root = folder("nested");
    let loras = root.join("loras");
    let adapters = path("tests/golden/models/narrow-tied/adapters");
    for (name, to) in [("first", "a"), ("second", "b/checkpoint-500"), ("third", "b/checkpoint-9")]
    {
        std::fs::create_dir_all(loras.join(to)).unwrap();
        for entry in adapters.join(name).read_dir().unwrap() {
            let entry = entry.unwrap().path();
            std::fs::copy(&entry, loras.join(to).join(entry.file_name().unwrap())).unwrap();
        }
    }
    std::fs::create_dir_all(loras.join("empty")).unwrap();
    let model = text(&path("tests/golden/models/narrow-tied"));
    let (loras, out) = (text(&loras), text(&root.join("library")));
    json(&["registry", "build", &model, &loras, "--out", &out]);
    let registry = std::fs::read(root.join("library/registry.json")).unwrap();
    let registry: Value = serde_json::from_slice(&registry).unwrap();
    let ids: Vec<&str> =
        registry["modules"].as_array().unwrap().iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!(ids, ["a", "b/checkpoint-500", "b/checkpoint-9"]);
    json(&["registry", "check", &out]);
}

#[test]
fn what_is_left_out_or_cannot_be_written_is_noted() {
    let root = folder("notes");
    let (first, model) = (root.join("first"), text(&path("tests/golden/models/narrow-tied")));
    std::fs::create_dir_all(&first).unwrap();
    let adapter = path("tests/golden/models/narrow-tied/adapters/first");
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(adapter.join(name), first.join(name)).unwrap();
    }
    let config = std::fs::read_to_string(first.join("adapter_config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let mut targets = config["target_modules"].as_array().unwrap().clone();
    let dropped = targets.pop().unwrap();
    config["target_modules"] = targets.into();
    std::fs::write(first.join("adapter_config.json"), config.to_string()).unwrap();
    let examples = examples_file(&root, [("a", "green 犬"), ("b", "b")]);
    let adapters = text(&first);
    let options = ["--adapters", &adapters, "--budget", "2", "--selection", "all", "--json"];
    let mut arguments = vec!["compose", "--model", &model, "--examples", &examples];
    arguments.extend(options);
    let output = crate::loraloom(&arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("note: first has matrices of"), "{dropped}: {said}");
    assert!(said.contains("note: the model cannot write 犬 in the output of example 1"), "{said}");
}

#[test]
fn tensors_that_the_model_does_not_have_are_noted_and_so_are_the_fields_of_examples() {
    let root = folder("unused");
    let model = root.join("model");
    std::fs::create_dir_all(&model).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(path("tests/golden/models/narrow-tied").join(name), model.join(name))
            .unwrap();
    }
    let weights = path("tests/golden/unused/pytorch_model.bin");
    std::fs::copy(weights, model.join("pytorch_model.bin")).unwrap();
    let examples = root.join("examples.csv");
    std::fs::write(&examples, "id,Question,answer\n1,a,b\n").unwrap();
    let (model, examples) = (text(&model), text(&examples));
    let output = crate::loraloom(&["score", "--model", &model, "--examples", &examples, "--json"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let unused = "note: the weights contain 6 tensors that the model does not have, such as ";
    assert!(said.contains(unused) && said.contains("they are not used"), "{said}");
    let layout = "examples.csv: Question is the input, answer the output; not used: id";
    assert!(said.contains(layout), "{said}");
    assert!(!said.contains("embed_tokens"), "{said}");

    // What a table without a header was read as, outputs that cannot be written, and a head that is missing.
    std::fs::remove_file(root.join("model/pytorch_model.bin")).unwrap();
    let weights = path("tests/golden/models/narrow-tied/model.safetensors");
    std::fs::copy(weights, root.join("model/model.safetensors")).unwrap();
    std::fs::write(root.join("examples.csv"), "Artikel,Zusammenfassung\na,犬\n").unwrap();
    let config = root.join("model/config.json");
    let untied = std::fs::read_to_string(&config).unwrap();
    let untied = untied.replacen('{', r#"{"tie_word_embeddings": false,"#, 1);
    std::fs::write(&config, untied).unwrap();
    let output = crate::loraloom(&["score", "--model", &model, "--examples", &examples]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let first = r#"examples.csv: no header, so the first example is "Artikel" → "Zusammenfassung""#;
    for part in [first, "cannot write 犬 in the output of example 2", "the weights have no lm_head"]
    {
        assert!(said.contains(part), "{said}");
    }

    // A row without an output is an error there, by its line.
    std::fs::write(root.join("examples.csv"), "input,output\na,b\nc,\n").unwrap();
    let output = crate::loraloom(&["score", "--model", &model, "--examples", &examples]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("output of line 3 should be a text"), "{said}");
    assert!(!said.contains("is the input"), "{said}");
}
