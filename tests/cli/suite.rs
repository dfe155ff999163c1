//! LoraHub's experiment, whole, from hub ids: a stand-in hub has a model of a small shape under the
//! published base's name, and 196 modules with random weights under the published names.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use loraloom::formats::{NamedTensor, parse_weights, write_safetensors};
use serde_json::{Value, json};

use crate::stand_in::{Hub, files_of};
use crate::{command_in, folder, loraloom_in, path, text};

const TASKS: [&str; 3] = ["letters", "seasons", "weather"];
const METHODS: [&str; 5] = ["zero-shot", "in-context", "best-single", "lorahub", "default"];
const WORDS: [&str; 10] =
    ["river", "green", "cold", "seven", "nine", "twelve", "weather", "warm", "between", "choose"];

struct Experiment {
    home: PathBuf,
    hub: Hub,
    data: String,
    /// `HF_HUB_OFFLINE`.
    offline: &'static str,
}

impl Experiment {
    fn new(name: &str) -> Self {
        let (home, hub) = (folder(name), Hub::start());
        let model = path("tests/learn/model");
        let mut files = files_of(&model);
        files.retain(|name, _| !name.contains('/'));
        hub.put("google/flan-t5-large", "main", files);
        let registry = std::fs::read(path("www/site/public/lorahub/registry.json")).unwrap();
        let registry: Value = serde_json::from_slice(&registry).unwrap();
        let adapter = files_of(&model.join("adapters/00"));
        let tensors = parse_weights(adapter["adapter_model.safetensors"].clone()).unwrap();
        for (number, module) in registry["modules"].as_array().unwrap().iter().enumerate() {
            let mut files = adapter.clone();
            let tensors: Vec<NamedTensor> = (tensors.names().into_iter())
                .map(|name| {
                    let view = tensors.tensor(&name).unwrap().unwrap();
                    let (shape, values) = (view.shape.clone(), view.to_f32().unwrap());
                    let turned = |(place, value): (usize, f32)| {
                        value * ((number * 7919 + place * 104_729) as f32).sin()
                    };
                    let values = values.into_iter().enumerate().map(turned).collect();
                    NamedTensor { name, shape, values }
                })
                .collect();
            let weights = write_safetensors(&tensors, false).unwrap();
            files.insert("adapter_model.safetensors".into(), weights);
            hub.put(module["id"].as_str().unwrap(), "main", files);
        }
        let data = home.join("data_bbh");
        for (number, task) in TASKS.iter().enumerate() {
            write_task(&data.join(task), number);
        }
        // What is no task.
        std::fs::create_dir_all(data.join("notes")).unwrap();
        let data = text(&data);
        Self { home, hub, data, offline: "" }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["evaluate", "--suite", "bbh", "--data", &self.data, "--json"];
        arguments.extend(["--max-new-tokens", "3", "--precision", "f32"]);
        arguments.extend(more);
        arguments
    }

    fn variables(&self) -> [(&'static str, String); 3] {
        let home = text(&self.home.join("hf"));
        let offline = self.offline.to_owned();
        [("HF_ENDPOINT", self.hub.url.clone()), ("HF_HOME", home), ("HF_HUB_OFFLINE", offline)]
    }

    fn try_run(&self, more: &[&str]) -> Result<Value, String> {
        let variables = self.variables();
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let output = loraloom_in(&self.arguments(more), &variables);
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn run(&self, more: &[&str]) -> Value {
        self.try_run(more).unwrap()
    }

    /// Starts a run, and kills it once its file has so many lines.
    fn kill_after(&self, lines: usize, runs: &Path, more: &[&str]) {
        let variables = self.variables();
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let mut command = command_in(&self.arguments(more), &variables);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while lines_of(runs).len() < lines {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
            assert!(started.elapsed() < Duration::from_secs(300));
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A task in the files of LoraHub's release: 12 items to draw examples from, and 8 to test.
fn write_task(folder: &Path, number: usize) {
    std::fs::create_dir_all(folder).unwrap();
    let item = |place: usize| {
        let (a, b) = (WORDS[(place * 3 + number) % 10], WORDS[(place + number) / 2 % 10]);
        (format!("Q: {a} or {b}\nA:"), if place.is_multiple_of(3) { a } else { b })
    };
    let line = |(context, completion): (String, &str)| {
        json!({"context": context, "completion": completion}).to_string() + "\n"
    };
    let task = |context: String| format!("choose the answer.\n\n{context}");
    let prompted = |place| {
        let (context, completion) = item(place);
        line((task(context), completion))
    };
    let shots: String =
        (0..5).map(item).map(|(context, answer)| format!("{context} {answer}\n\n")).collect();
    let in_context = |place| {
        let (context, completion) = item(place);
        line((task(format!("{shots}{context}")), completion))
    };
    let write = |name: &str, lines: String| std::fs::write(folder.join(name), lines).unwrap();
    write("example.jsonl", (0..12).map(prompted).collect());
    write("zero_shot.jsonl", (12..20).map(prompted).collect());
    write("few_shot.jsonl", (12..20).map(in_context).collect());
}

fn lines_of(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(String::from).collect()
}

/// Rows or runs without what the time of day decides.
fn timeless(mut value: Value) -> Value {
    for one in value.as_array_mut().unwrap() {
        let one = one.as_object_mut().unwrap();
        one.retain(|name, _| !name.contains("seconds"));
    }
    value
}

fn runs_of(path: &Path) -> Value {
    lines_of(path).iter().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect()
}

#[test]
fn the_experiment_runs_from_hub_ids_to_its_table_and_continues_where_it_was_killed() {
    let mut experiment = Experiment::new("suite");

    // What it takes is said before anything is requested.
    let plan = experiment.run(&["--plan"]);
    assert_eq!(experiment.hub.requests(), Vec::<String>::new());
    let per_task = 3 + 2 * 5;
    assert_eq!((&plan["tasks"], &plan["items"]), (&json!(3), &json!(24)));
    assert_eq!((&plan["runs"], &plan["made"]), (&json!(3 * per_task), &json!(0)));
    assert_eq!(plan["modules"], 196);
    let bytes = |name: &str| plan[name].as_u64().unwrap();
    assert_eq!(bytes("module_bytes"), 196 * 18_874_368);
    assert_eq!(bytes("fetched_bytes"), bytes("base_bytes") + bytes("module_bytes"));
    assert!(plan["seconds"].as_f64().unwrap() > 0.0);

    // Killed half-way, while it writes a line.
    let runs = experiment.home.join("killed.jsonl");
    let options = ["--runs", &text(&runs)];
    experiment.kill_after(per_task + 4, &runs, &options);
    let kept = lines_of(&runs);
    std::fs::write(&runs, kept.concat() + "{\"task\": \"wea").unwrap();
    // Everything is in the cache.
    experiment.offline = "1";
    let continued = experiment.run(&options);
    assert!(continued["plan"]["made"] == json!(kept.len()), "{}", continued["plan"]);
    assert_eq!(continued["plan"]["fetched_bytes"], 0);
    assert_eq!(lines_of(&runs)[..kept.len()], kept);

    // The same without a stop, and once more with nothing left to do.
    let whole = experiment.home.join("whole.jsonl");
    let result = experiment.run(&["--runs", &text(&whole)]);
    assert_eq!(timeless(continued["rows"].clone()), timeless(result["rows"].clone()));
    assert_eq!(continued["table"], result["table"]);
    assert_eq!(timeless(runs_of(&runs)), timeless(runs_of(&whole)));
    std::fs::remove_dir_all(experiment.home.join("hf")).unwrap();
    let again = experiment.run(&["--runs", &text(&whole)]);
    assert_eq!((&again["rows"], &again["table"]), (&result["rows"], &result["table"]));

    // The rows are those of the protocol.
    let rows = result["rows"].as_array().unwrap();
    assert_eq!(rows.len(), TASKS.len() * METHODS.len());
    for (row, place) in rows.iter().zip(0..) {
        assert_eq!(row["task"], TASKS[place / METHODS.len()]);
        let method = METHODS[place % METHODS.len()];
        assert_eq!(row["method"], method);
        let drawn = ["best-single", "lorahub"].contains(&method);
        let draws = row["exact_match"].as_array().unwrap().len();
        assert_eq!(draws, if drawn { 5 } else { 1 }, "{method}");
        let evaluations = row["evaluations"].as_f64().unwrap();
        match method {
            "zero-shot" | "in-context" => assert_eq!(evaluations, 0.0),
            "best-single" => assert_eq!(evaluations, 20.0),
            "lorahub" => assert!(evaluations <= 40.0 && evaluations > 30.0),
            _ => assert!(evaluations <= 65.0 && evaluations > 30.0),
        }
    }
    let tokens = |place: usize| rows[place]["prompt_tokens"].as_f64().unwrap();
    assert!(tokens(1) > 3.0 * tokens(0));

    // LoraHub and the best single module have the modules that Python draws, in its order.
    let fixture = std::fs::read(path("tests/cli/bbh.json")).unwrap();
    let fixture: Value = serde_json::from_slice(&fixture).unwrap();
    for run in runs_of(&whole).as_array().unwrap() {
        let ids: Vec<&Value> =
            run["weights"].as_array().unwrap().iter().map(|module| &module["id"]).collect();
        let drawn = |seed: &Value| fixture["draws"][seed.as_u64().unwrap() as usize - 1].clone();
        match run["method"].as_str().unwrap() {
            "lorahub" => assert_eq!(json!(ids), drawn(&run["seed"])),
            "best-single" => assert!(drawn(&run["seed"]).as_array().unwrap().contains(ids[0])),
            _ => {}
        }
    }

    // The paper's averages stand beside ours, and the best draw beside the mean.
    let columns = result["table"]["columns"].as_array().unwrap();
    let of = |name: &str| columns.iter().map(|column| column[name].clone()).collect::<Vec<_>>();
    let paper = json!([27.0, 37.3, 31.7, 34.7, 41.2, null]);
    assert_eq!(json!(of("paper")), paper);
    let (mean, best) = (&columns[3], &columns[4]);
    assert!(best["average"].as_f64().unwrap() >= mean["average"].as_f64().unwrap());
    let exact = rows[3]["exact_match"].as_array().unwrap();
    let exact: Vec<f64> = exact.iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!(mean["tasks"][0], exact.iter().sum::<f64>() / 5.0);
    assert_eq!(best["tasks"][0], exact.iter().copied().fold(0.0, f64::max));

    // Other settings do not mix with runs that were made.
    let error = experiment.try_run(&["--runs", &text(&whole), "--items", "4"]).unwrap_err();
    assert!(error.contains("was made with other settings"), "{error}");
    let error = experiment.try_run(&["--tasks", "letters,nothing"]).unwrap_err();
    assert!(error.contains("nothing"), "{error}");
}

#[test]
fn methods_without_modules_fetch_none_and_print_the_table() {
    let experiment = Experiment::new("suite-base");
    let more = ["--methods", "zero-shot,in-context", "--tasks", "seasons"];
    let plan = experiment.run(&[&more[..], &["--plan"]].concat());
    assert_eq!((&plan["modules"], &plan["module_bytes"]), (&json!(0), &json!(0)));
    let result = experiment.run(&more);
    let requests = experiment.hub.requests();
    assert!(requests.iter().all(|request| request.contains("google/flan-t5-large")));

    // The answers are those of the prompts in the files, compared as LoraHub does.
    let folder = Path::new(&experiment.data).join("seasons");
    for (row, name) in [(0, "zero_shot.jsonl"), (1, "few_shot.jsonl")] {
        let lines = std::fs::read_to_string(folder.join(name)).unwrap();
        let items: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let examples = experiment.home.join("examples.jsonl");
        let example = |item: &Value| {
            json!({"input": item["context"], "output": item["completion"]}).to_string() + "\n"
        };
        std::fs::write(&examples, items.iter().map(example).collect::<String>()).unwrap();
        let (model, examples) = (text(&path("tests/learn/model")), text(&examples));
        let mut arguments = vec!["generate", "--model", &model, "--examples", &examples];
        arguments.extend(["--max-new-tokens", "3", "--precision", "f32"]);
        let outputs = crate::json(&arguments)["outputs"].clone();
        let normal = |text: &Value| text.as_str().unwrap().trim().to_lowercase().replace('.', "");
        let answers = outputs.as_array().unwrap().iter().zip(&items);
        let right = answers
            .filter(|(output, item)| normal(&output["text"]) == normal(&item["completion"]))
            .count();
        let expected = 100.0 * right as f64 / items.len() as f64;
        assert_eq!(result["rows"][row]["exact_match"][0], expected, "{name}");
    }

    let variables = experiment.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut arguments = experiment.arguments(&more);
    arguments.retain(|argument| *argument != "--json");
    let output = loraloom_in(&arguments, &variables);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("to fetch: 0 kB of 3.1 GB for the base"), "{said}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("| task | zero-shot | five-shot in context |"), "{table}");
    assert!(table.contains("| average in the paper | 27.0 | 37.3 |"), "{table}");
}

#[test]
fn big_bench_hard_itself_is_read_where_it_is_at_hand() {
    let benchmark = path("../shared/data/bbh");
    if !benchmark.exists() {
        println!("skipped: {} does not exist", benchmark.display());
        return;
    }
    let mut experiment = Experiment::new("suite-benchmark");
    experiment.data = text(&benchmark);
    let plan = experiment.run(&["--plan"]);
    // Five examples of each task are not tested.
    assert_eq!((&plan["tasks"], &plan["items"]), (&json!(27), &json!(6511 - 27 * 5)));
    let more = ["--tasks", "word_sorting,navigate", "--items", "2", "--methods"];
    let rows = experiment.run(&[&more[..], &["zero-shot,lorahub"], &["--seeds", "2"]].concat());
    let rows = rows["rows"].as_array().unwrap();
    let named: Vec<&Value> = rows.iter().map(|row| &row["task"]).collect();
    assert_eq!(named, ["navigate", "navigate", "word_sorting", "word_sorting"]);
    assert!(rows.iter().all(|row| row["prompt_tokens"].as_f64().unwrap() > 20.0));
}
