//! Models and modules by their ids on a hub, with the cache that transformers uses.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::stand_in::{Faults, Hub, commit, etag, files_of};
use crate::{examples_file, folder, json, loraloom_in, path, share, text};

const MODEL: &str = "tests/golden/models/narrow-tied";

/// An empty home of the hub's cache, and the hub.
struct Place {
    home: PathBuf,
    hub: Hub,
    examples: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let home = folder(name);
        let hub = Hub::start();
        let mut files = files_of(&path(MODEL));
        files.retain(|name, _| !name.contains('/'));
        hub.put("golden/model", "main", files);
        hub.put("golden/adapters", "main", files_of(&path(&format!("{MODEL}/adapters"))));
        let examples = examples_file(&home, [("дом", "水"), ("a b c", "b")]);
        Self { home, hub, examples }
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let home = text(&self.home.join("hf"));
        let mut all = vec![
            ("HF_ENDPOINT", self.hub.url.as_str()),
            ("HF_HOME", home.as_str()),
            ("HF_HUB_OFFLINE", ""),
        ];
        all.extend(variables);
        loraloom_in(arguments, &all)
    }

    /// The loss of the examples, or what is said in place of it.
    fn loss(&self, options: &[&str], variables: &[(&str, &str)]) -> Result<f64, String> {
        let mut arguments = vec!["score", "--precision", "f32", "--json", "--examples"];
        arguments.push(&self.examples);
        arguments.extend(options);
        let output = self.run(&arguments, variables);
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        let scored: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        Ok(scored["loss"].as_f64().unwrap())
    }

    /// The loss with a local model and local modules.
    fn expected(&self, adapters: &[&str]) -> f64 {
        let model = text(&path(MODEL));
        let adapters: Vec<String> =
            adapters.iter().map(|name| format!("{model}/adapters/{name}")).collect();
        let mut arguments =
            vec!["score", "--precision", "f32", "--examples", &self.examples, "--model", &model];
        adapters.iter().for_each(|adapter| arguments.extend(["--adapter", adapter]));
        json(&arguments)["loss"].as_f64().unwrap()
    }

    fn repo(&self, repo: &str) -> PathBuf {
        self.home.join("hf/hub").join(format!("models--{}", repo.replace('/', "--")))
    }
}

const OFFLINE: &[(&str, &str)] = &[("HF_HUB_OFFLINE", "1")];

#[test]
fn a_model_and_modules_in_folders_are_fetched_once_and_read_offline() {
    let place = Place::new("hub-model");
    let model = ["--model", "golden/model"];
    let first = [&model[..], &["--adapter", "golden/adapters/first=0.5"]].concat();
    let expected = place.expected(&["first=0.5"]);
    assert_ne!(expected, place.expected(&[]));
    assert_eq!(place.loss(&model, &[]), Ok(place.expected(&[])));
    assert_eq!(place.loss(&first, &[]), Ok(expected));
    // The second time nothing but the lists of files is requested.
    place.hub.requests();
    assert_eq!(place.loss(&first, &[]), Ok(expected));
    let requests = place.hub.requests();
    assert!(requests.iter().all(|request| request.starts_with("/api/")), "{requests:?}");

    place.hub.close();
    assert_eq!(place.loss(&first, OFFLINE), Ok(expected));
    // A hub that is not reached is as good as offline, and that is said.
    let arguments = ["generate", "--model", "golden/model", "--input", "a"];
    let output = place.run(&arguments, &[]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("does not respond; reading the cache"), "{said}");
    let missing = place.loss(&["--model", "golden/other"], OFFLINE).unwrap_err();
    assert!(missing.contains("HF_HUB_OFFLINE is set"), "{missing}");
    let missing = place.loss(&["--model", "golden/other"], &[]).unwrap_err();
    assert!(missing.contains("cannot be read"), "{missing}");
}

#[test]
fn an_id_is_answered_from_an_empty_cache_and_again_without_the_hub() {
    let place = Place::new("hub-generate");
    let mut files = files_of(&path(MODEL));
    files.retain(|name, _| !name.contains('/'));
    place.hub.put("google/flan-t5-small", "main", files);
    let options = ["--input", "Answer the question: is the river green or cold?", "--json"];
    let local = text(&path(MODEL));
    let expected = json(&[&["generate", "--model", &local], &options[..2]].concat());
    assert!(!expected["outputs"][0]["text"].as_str().unwrap().is_empty());
    let answer = |variables: &[(&str, &str)]| -> serde_json::Value {
        let arguments = [&["generate", "--model", "google/flan-t5-small"], &options[..]].concat();
        let output = place.run(&arguments, variables);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert!(!place.repo("google/flan-t5-small").exists());
    assert_eq!(answer(&[])["outputs"], expected["outputs"]);
    assert!(place.repo("google/flan-t5-small").join("refs/main").exists());
    place.hub.close();
    assert_eq!(answer(OFFLINE)["outputs"], expected["outputs"]);
    assert_eq!(answer(&[])["outputs"], expected["outputs"]);
}

#[test]
fn a_revision_is_that_revision() {
    let place = Place::new("hub-revision");
    let adapters = path(&format!("{MODEL}/adapters"));
    place.hub.put("golden/one", "main", files_of(&adapters.join("first")));
    place.hub.put("golden/one", "refs/pr/3", files_of(&adapters.join("second")));
    for (adapter, local) in [
        ("golden/one", "first"),
        ("golden/one@refs/pr/3", "second"),
        ("golden/adapters/second@main", "second"),
    ] {
        let loss = place.loss(&["--model", "golden/model", "--adapter", adapter], &[]);
        assert_eq!(loss, Ok(place.expected(&[local])), "{adapter}");
    }
    let page = format!("{}/golden/one/tree/refs%2Fpr%2F3", place.hub.url);
    let loss = place.loss(&["--model", "golden/model", "--adapter", &page], &[]);
    assert_eq!(loss, Ok(place.expected(&["second"])));
    let root = place.loss(&["--model", "golden/model", "--adapter", "golden/adapters"], &[]);
    assert!(root.unwrap_err().contains("adapter_config.json"));
}

#[test]
fn files_of_a_branch_are_fetched_at_the_commit_that_it_is_at_which_is_said() {
    let place = Place::new("hub-commit");
    let mut files = files_of(&path(MODEL));
    files.retain(|name, _| !name.contains('/'));
    let commit = commit(&files);
    place.hub.put("golden/branch", "main", files);
    place.hub.requests();
    let output = place.run(&["generate", "--model", "golden/branch", "--input", "a"], &[]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    let note = format!("golden/branch is read at commit {commit}");
    assert_eq!(said.matches(&note).count(), 1, "{said}");
    let (asked, fetched): (Vec<_>, Vec<_>) =
        place.hub.requests().into_iter().partition(|request| request.starts_with("/api/"));
    assert_eq!(asked, ["/api/models/golden/branch/revision/main"]);
    let at_commit = format!("/golden/branch/resolve/{commit}/");
    assert!(fetched.len() >= 3);
    assert!(fetched.iter().all(|request| request.starts_with(&at_commit)), "{fetched:?}");
    // The cache has it as the branch's.
    let branch = place.repo("golden/branch").join("refs/main");
    assert_eq!(std::fs::read_to_string(branch).unwrap(), commit);
}

#[test]
fn a_changed_repository_replaces_all_its_files_in_the_cache() {
    let place = Place::new("hub-changed");
    let adapters = path(&format!("{MODEL}/adapters"));
    let options = ["--model", "golden/model", "--adapter", "golden/one"];
    place.hub.put("golden/one", "main", files_of(&adapters.join("first")));
    assert_eq!(place.loss(&options, &[]), Ok(place.expected(&["first"])));
    place.hub.put("golden/one", "main", files_of(&adapters.join("patterned")));
    assert_eq!(place.loss(&options, &[]), Ok(place.expected(&["patterned"])));
    // Another commit with the same weights fetches only what differs.
    let mut files = files_of(&adapters.join("patterned"));
    files.insert("README.md".into(), b"# New".to_vec());
    place.hub.put("golden/one", "main", files);
    place.hub.requests();
    assert_eq!(place.loss(&options, &[]), Ok(place.expected(&["patterned"])));
    let whole = |request: &String| request.contains("adapter_model") && !request.ends_with("=0-0");
    let requests = place.hub.requests();
    assert!(!requests.iter().any(whole), "{requests:?}");
}

#[test]
fn a_cache_that_huggingface_hub_filled_is_read() {
    let place = Place::new("hub-python");
    let mut files = files_of(&path(MODEL));
    files.retain(|name, _| !name.contains('/'));
    let (repo, commit) = (place.repo("golden/python"), commit(&files));
    let snapshot = repo.join("snapshots").join(&commit);
    for folder in [&repo.join("blobs"), &repo.join("refs"), &snapshot] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(repo.join("refs/main"), &commit).unwrap();
    for (name, bytes) in &files {
        std::fs::write(repo.join("blobs").join(etag(bytes)), bytes).unwrap();
        let blob = Path::new("../../blobs").join(etag(bytes));
        std::os::unix::fs::symlink(blob, snapshot.join(name)).unwrap();
    }
    let expected = Ok(place.expected(&[]));
    assert_eq!(place.loss(&["--model", "golden/python"], OFFLINE), expected);
    let by_commit = format!("golden/python@{commit}");
    assert_eq!(place.loss(&["--model", &by_commit], OFFLINE), expected);
    let cache = text(&place.home.join("hf/hub"));
    let elsewhere = [("HF_HUB_OFFLINE", "true"), ("HF_HOME", "/"), ("HF_HUB_CACHE", &*cache)];
    assert_eq!(place.loss(&["--model", "golden/python"], &elsewhere), expected);
}

#[test]
fn what_is_not_the_file_never_stays() {
    let place = Place::new("hub-damaged");
    let model = ["--model", "golden/model"];
    place.hub.fail(Faults { wrong_byte: true, ..Faults::default() });
    let error = place.loss(&model, &[]).unwrap_err();
    assert!(error.contains("is damaged: expected the hash"), "{error}");
    place.hub.fail(Faults { sign_in: true, ..Faults::default() });
    let error = place.loss(&model, &[]).unwrap_err();
    assert!(error.contains("is damaged"), "{error}");
    // A connection that breaks is resumed.
    place.hub.fail(Faults { cut: Some(5000), ..Faults::default() });
    place.hub.requests();
    assert_eq!(place.loss(&model, &[]), Ok(place.expected(&[])));
    let requests = place.hub.requests();
    assert!(requests.iter().any(|request| request.ends_with("bytes=5000-")), "{requests:?}");
    // Parts of other files, shorter and longer than the file.
    let weights = etag(&std::fs::read(path(MODEL).join("model.safetensors")).unwrap());
    for length in [100, 10_000_000] {
        std::fs::remove_dir_all(place.repo("golden/model")).unwrap();
        std::fs::create_dir_all(place.repo("golden/model").join("blobs")).unwrap();
        let part = place.repo("golden/model").join("blobs").join(format!("{weights}.part"));
        std::fs::write(part, vec![7; length]).unwrap();
        assert_eq!(place.loss(&model, &[]), Ok(place.expected(&[])), "{length}");
    }
}

/// The list of files, and the weights after a part of them.
#[test]
fn a_hub_that_falls_silent_is_given_up_and_the_next_try_goes_on() {
    let place = Place::new("hub-silent");
    let model = ["--model", "golden/model"];
    let limit = [("HF_HUB_DOWNLOAD_TIMEOUT", "1")];
    for after in [0, 5000] {
        place.hub.fail(Faults { silent: Some(after), ..Faults::default() });
        let error = place.loss(&model, &limit).unwrap_err();
        assert!(error.contains("sent nothing for 1 s"), "{after}: {error}");
    }
    assert_eq!(place.loss(&model, &limit), Ok(place.expected(&[])));
    // With the model in the cache, a silent hub is as good as none.
    place.hub.fail(Faults { silent: Some(0), ..Faults::default() });
    assert_eq!(place.loss(&model, &limit), Ok(place.expected(&[])));
}

#[test]
fn a_private_repository_needs_the_token() {
    let place = Place::new("hub-private");
    let files = files_of(&path(&format!("{MODEL}/adapters/first")));
    place.hub.put("golden/private", "main", files);
    place.hub.make_private("golden/private", "hf_secret");
    let options = ["--model", "golden/model", "--adapter", "golden/private"];
    let error = place.loss(&options, &[]).unwrap_err();
    assert!(error.contains("does not exist, or is private"), "{error}");
    assert!(error.contains("\"code\":\"not-found\""), "{error}");
    assert_eq!(place.loss(&options, &[("HF_TOKEN", "hf_secret")]), Ok(place.expected(&["first"])));
    std::fs::remove_dir_all(place.repo("golden/private")).unwrap();
    std::fs::write(place.home.join("hf/token"), "hf_secret\n").unwrap();
    assert_eq!(place.loss(&options, &[]), Ok(place.expected(&["first"])));
}

#[test]
fn a_registry_is_read_at_its_address_after_redirects() {
    let place = Place::new("registry-address");
    let library = place.home.join("library");
    let (model, adapters) = (text(&path(MODEL)), text(&path(&format!("{MODEL}/adapters"))));
    json(&["registry", "build", &model, &adapters, "--out", &text(&library)]);
    let served = place.hub.serve("library", &library);
    let moved = format!("{}/moved/library/registry.json", place.hub.url);
    let compose = |registry: &str| {
        let options = ["--budget", "8", "--selection", "all", "--precision", "f32", "--json"];
        let mut arguments = vec!["compose", "--model", &model, "--registry", registry];
        arguments.extend(["--examples", &place.examples]);
        arguments.extend(options);
        let output = place.run(&arguments, &[]);
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        let composed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        Ok(composed["loss"].as_f64().unwrap())
    };
    let expected = compose(&text(&library));
    assert!(expected.is_ok(), "{expected:?}");
    for registry in [&served, &format!("{served}/"), &format!("{served}/registry.json"), &moved] {
        assert_eq!(compose(registry), expected, "{registry}");
    }
    let error = compose(&format!("{served}/missing")).unwrap_err();
    assert!(error.contains("is a web page, not the file"), "{error}");
    let error = compose("https://").unwrap_err();
    assert!(error.contains("expected an address that starts with https://"), "{error}");
}

#[test]
fn every_length_and_hash_of_a_registry_counts_beside_it_and_on_a_hub() {
    let place = Place::new("registry-integrity");
    let library = place.home.join("library");
    let (model, adapters) = (text(&path(MODEL)), text(&path(&format!("{MODEL}/adapters"))));
    json(&["registry", "build", &model, &adapters, "--out", &text(&library)]);
    let file = library.join("registry.json");
    let built: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let entry = |kind: &str| {
        let entry = &built[kind][0];
        serde_json::json!({
            "id": entry["id"], "hash": entry["files"]["weights"]["sha256"].as_str().unwrap()[..16],
            "weight": 1.0,
        })
    };
    let recipe = share::recipe(
        &place.home,
        "recipe.json",
        &[
            ("base", entry("bases")),
            ("modules", vec![entry("modules")].into()),
            ("title", "task".into()),
            ("examples", serde_json::json!([{ "input": "a b c", "output": "b" }])),
        ],
    );
    let route = |registry: &serde_json::Value| {
        std::fs::write(&file, registry.to_string()).unwrap();
        let library = text(&library);
        let output = place.run(&["route", "a b", "--registry", &library, "--recipe", &recipe], &[]);
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    };
    // The same files by their places on the hub.
    let mut on_hub = built.clone();
    let base = on_hub["bases"][0]["files"].as_object_mut().unwrap();
    for (part, name) in [
        ("config", "config.json"),
        ("tokenizer", "tokenizer.json"),
        ("weights", "model.safetensors"),
    ] {
        base[part]["path"] = format!("hub:golden/model@main/{name}").into();
    }
    for module in on_hub["modules"].as_array_mut().unwrap() {
        let id = module["id"].as_str().unwrap().to_owned();
        for (part, name) in
            [("config", "adapter_config.json"), ("weights", "adapter_model.safetensors")]
        {
            module["files"][part]["path"] = format!("hub:golden/adapters@main/{id}/{name}").into();
        }
    }
    for (registry, place) in [(built, "beside"), (on_hub, "on a hub")] {
        assert_eq!(route(&registry), Ok(()), "{place}");
        for entry in [
            "/bases/0/files/config",
            "/bases/0/files/tokenizer",
            "/bases/0/files/weights",
            "/modules/0/files/config",
            "/modules/0/files/weights",
        ] {
            let bytes = registry.pointer(entry).unwrap()["bytes"].as_u64().unwrap();
            for (field, wrong) in [
                ("sha256", serde_json::Value::from("0".repeat(64))),
                ("bytes", (bytes + 1).into()),
                ("bytes", (bytes - 1).into()),
            ] {
                let mut changed = registry.clone();
                changed.pointer_mut(entry).unwrap()[field] = wrong;
                let error = route(&changed).expect_err(&format!("{place} {entry} {field}"));
                // The recipe compares the hashes of weights first.
                let part = if field == "sha256" { "sha256" } else { "bytes" };
                let error = error.to_lowercase().replace("sha-256", "sha256");
                assert!(error.contains(part), "{place} {entry} {field}: {error}");
            }
        }
    }
}

/// Each file is read up to the length that its entry has, and the registry itself up to the longest that is read.
#[test]
fn a_server_that_sends_without_end_is_given_up() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let built = folder("endless-registry");
    let (model, adapters) = (text(&path(MODEL)), text(&path(&format!("{MODEL}/adapters"))));
    json(&["registry", "build", &model, &adapters, "--out", &text(&built)]);
    let registry = std::fs::read(built.join("registry.json")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, registry) = (stream.unwrap(), registry.clone());
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap_or_default();
                let asked = String::from_utf8_lossy(&request[..length]).into_owned();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                if asked.starts_with("GET /files/registry.json") {
                    let _ = stream.write_all(&registry);
                    return;
                }
                while stream.write_all(&[b'a'; 1 << 16]).is_ok() {}
            });
        }
    });
    for (registry, part) in [("endless", "registry.json"), ("files", "config.json")] {
        let registry = format!("{url}/{registry}/registry.json");
        let output = loraloom_in(&["registry", "check", &registry], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(part), "{said}");
    }
}
