//! Tests of the registry, and that the JSON Schema and the types agree.

use std::time::Instant;

use regex_lite::Regex;
use serde_json::{Value, json};

use super::*;

const SAMPLE: &str = include_str!("../../../tests/formats/registry.json");
const SCHEMA: &str = include_str!("../../registry.schema.json");

fn sample() -> Value {
    serde_json::from_str(SAMPLE).unwrap()
}

fn parse(value: &Value) -> Result<Registry, RegistryError> {
    Registry::parse(&serde_json::to_vec(value).unwrap())
}

/// Whether `value` satisfies the part `schema`, for the keywords that the schema uses.
fn satisfies(root: &Value, schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, rule)| {
        let at_most =
            |length: Option<usize>| length.is_none_or(|n| n as u64 <= rule.as_u64().unwrap());
        let at_least =
            |length: Option<usize>| length.is_none_or(|n| n as u64 >= rule.as_u64().unwrap());
        let text = value.as_str();
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let target = rule.as_str().unwrap().strip_prefix('#').unwrap();
                satisfies(root, root.pointer(target).unwrap(), value)
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "not" => !satisfies(root, rule, value),
            "anyOf" => rule.as_array().unwrap().iter().any(|rule| satisfies(root, rule, value)),
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                other => panic!("type {other}"),
            },
            "pattern" => {
                text.is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
            }
            "maxLength" => at_most(text.map(|text| text.chars().count())),
            "minLength" => at_least(text.map(|text| text.chars().count())),
            "minItems" => at_least(value.as_array().map(Vec::len)),
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()),
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|field| value.get(field.as_str().unwrap()).is_some()),
            "properties" => rule.as_object().unwrap().iter().all(|(field, rule)| {
                value.get(field).is_none_or(|value| satisfies(root, rule, value))
            }),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| satisfies(root, rule, item))),
            other => panic!("the schema uses {other}, which this test does not know"),
        }
    })
}

fn schema_accepts(value: &Value) -> bool {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    satisfies(&schema, &schema, value)
}

/// Every place of a JSON value, as pointers to objects' fields.
fn fields(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (field, value) in object {
                let pointer = format!("{pointer}/{field}");
                fields(value, &pointer, found);
                found.push(pointer);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                fields(item, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_sample_survives_reading_and_writing() {
    let registry = parse(&sample()).unwrap();
    assert_eq!(registry.module("plural").unwrap().rank, 4);
    assert_eq!(serde_json::to_value(&registry).unwrap(), sample());
    assert!(schema_accepts(&sample()));
}

#[test]
fn the_schema_and_the_types_ask_for_the_same_fields() {
    let mut places = Vec::new();
    fields(&sample(), "", &mut places);
    assert!(places.len() > 60);
    for place in places {
        let (parent, field) = place.rsplit_once('/').unwrap();
        // Without the field, and with a value of a wrong type, both say yes or both say no.
        let mut without = sample();
        without.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
        assert_eq!(parse(&without).is_ok(), schema_accepts(&without), "without {place}");
        let mut wrong = sample();
        *wrong.pointer_mut(&place).unwrap() = json!({"a": -1});
        assert!(parse(&wrong).is_err() && !schema_accepts(&wrong), "wrong {place}");
    }
}

#[test]
fn values_that_the_types_cannot_check_are_refused_by_both() {
    let file = "/modules/0/files/weights";
    for (place, value, part) in [
        ("/version", json!(2), "version 2"),
        ("/bases", json!([]), "at least one"),
        ("/bases/0/id", json!("a b"), "id of base 1"),
        ("/title", json!(" "), "title"),
        (&*format!("{file}/path"), json!("../secret"), "weights file of module animals"),
        (&*format!("{file}/path"), json!("/etc/passwd"), "path"),
        (&*format!("{file}/path"), json!("https://example.org/a"), "path"),
        (&*format!("{file}/path"), json!("a//b"), "path"),
        (&*format!("{file}/path"), json!("a%2e%2e/b"), "path"),
        (&*format!("{file}/bytes"), json!(0), "bytes"),
        (&*format!("{file}/sha256"), json!("E3B0"), "sha256"),
        ("/modules/0/rank", json!(0), "rank"),
        ("/modules/0/targets", json!([]), "targets"),
        ("/modules/0/targets", json!(["lm_head"]), "target"),
        ("/modules/0/example/output", json!(""), "output"),
        ("/modules/0/result/exact_match", json!(101), "result"),
        ("/tasks/0/examples", json!([]), "examples"),
    ] {
        let mut changed = sample();
        *changed.pointer_mut(place).expect(place) = value;
        let error = parse(&changed).unwrap_err().to_string();
        assert!(error.contains(part), "{place}: {error}");
        assert!(!schema_accepts(&changed), "{place}");
    }
}

#[test]
fn a_file_on_a_hub_needs_neither_length_nor_hash() {
    let place = "/modules/0/files/weights";
    for (path, valid) in [
        ("hub:owner/name@main/adapter_model.bin", true),
        ("hub:owner/name@v1.0/folder/adapter_model.bin", true),
        ("hub:owner/name@main/", false),
        ("hub:owner/name@main", false),
        ("hub:owner@main/file", false),
        ("hub:a/b/c@main/file", false),
        ("hub:owner/..@main/file", false),
        ("hub:owner/name@../file", false),
        ("hub:owner/name@main/../file", false),
        ("other:owner/name@main/file", false),
    ] {
        let mut changed = sample();
        *changed.pointer_mut(place).unwrap() = json!({ "path": path });
        assert_eq!(parse(&changed).is_ok(), valid, "{path}");
        assert_eq!(schema_accepts(&changed), valid, "{path}");
        if valid {
            let registry = parse(&changed).unwrap();
            let file = &registry.modules[0].files.weights;
            assert_eq!(file.on_hub().unwrap().0, "owner/name");
            assert!(schema_accepts(&serde_json::to_value(&registry).unwrap()));
        }
    }
}

#[test]
fn the_registry_of_published_modules_is_valid() {
    let file = include_bytes!("../../../www/site/public/lorahub/registry.json");
    let registry = Registry::parse(file).unwrap();
    assert_eq!(registry.modules.len(), 196);
    let repo = registry.modules[0].files.weights.on_hub().unwrap().0;
    assert_eq!(repo, registry.modules[0].id);
    assert!(schema_accepts(&serde_json::from_slice(file).unwrap()));
}

#[test]
fn references_and_repeated_ids_are_checked() {
    for (place, value, part) in [
        ("/modules/0/base", json!("other"), "base of module animals"),
        ("/modules/1/id", json!("animals"), "twice"),
    ] {
        let mut changed = sample();
        *changed.pointer_mut(place).unwrap() = value;
        let error = parse(&changed).unwrap_err().to_string();
        assert!(error.contains(part), "{place}: {error}");
    }
    assert!(matches!(Registry::parse(b"{"), Err(RegistryError::NotJson(_))));
}

/// Terminals follow escape sequences, and pages turn text around.
#[test]
fn texts_that_are_shown_are_short_and_without_control_characters() {
    for (place, value, part) in [
        ("/title", json!("a".repeat(200_000)), "at most 1024 bytes"),
        ("/modules/0/title", json!("red \u{1b}[31m"), "control characters"),
        ("/modules/0/task", json!("right \u{202e} left"), "turn the direction"),
        ("/modules/0/license", json!("\u{7}"), "control characters"),
        ("/bases/0/description", json!("\u{2066}"), "turn the direction"),
        ("/bases/0/description", json!("a".repeat(20_000)), "at most 16384 bytes"),
    ] {
        let mut changed = sample();
        *changed.pointer_mut(place).unwrap() = value;
        let error = parse(&changed).unwrap_err().to_string();
        assert!(error.contains(part), "{place}: {error}");
        assert!(!error.chars().any(crate::formats::is_control), "{error:?}");
    }
    let mut lines = sample();
    *lines.pointer_mut("/modules/0/task").unwrap() = json!("one line,\n\tand another: ä, 水, سلام");
    assert!(parse(&lines).is_ok());
}

#[test]
fn a_changed_or_cut_file_is_refused() {
    let file = RegistryFile::of_contents("f".into(), b"abc");
    let check = |parts: &[&[u8]]| {
        let mut verifier = Verifier::new(&file);
        parts.iter().try_for_each(|part| verifier.update(part))?;
        verifier.finish()
    };
    assert_eq!(check(&[b"a", b"", b"bc"]), Ok(()));
    assert!(matches!(check(&[b"ab"]), Err(RegistryError::Length { found: 2, .. })));
    assert!(matches!(check(&[b"ab", b"cd"]), Err(RegistryError::Length { found: 4, .. })));
    assert!(matches!(check(&[b"abd"]), Err(RegistryError::Hash { .. })));
}

/// A registry of many modules, in words as libraries have them.
fn many(modules: usize) -> Registry {
    let mut registry = parse(&sample()).unwrap();
    let template = registry.modules[0].clone();
    let verbs = ["translate", "summarise", "classify", "answer", "rewrite", "extract", "correct"];
    let things =
        ["news", "reviews", "tweets", "recipes", "questions", "dialogues", "laws", "poems"];
    let ways = ["briefly", "formally", "in German", "in French", "step by step", "as a list"];
    registry.modules = (0..modules)
        .map(|n| {
            let (verb, thing, way) = (verbs[n % 7], things[n / 7 % 8], ways[n / 56 % 6]);
            // Words of which few modules have each, as names of datasets are.
            let dataset = format!("set{}x", n % 997);
            RegistryModule {
                id: format!("owner/{verb}-{thing}-{n}"),
                title: format!("{verb} {thing} {way}"),
                task: format!("{verb} the {thing} of {dataset} {way}."),
                example: Some(Example {
                    input: format!("{verb}: the {thing} number {n} of {dataset}"),
                    output: format!("{thing} {way}"),
                }),
                rank: if n % 10 == 0 { 4 } else { 16 },
                tags: vec![verb.into(), thing.into()],
                ..template.clone()
            }
        })
        .collect();
    registry
}

/// A finder over a paged registry, and the bytes that its answers took.
struct Fetching {
    finder: ModuleSearch,
    files: std::collections::BTreeMap<String, Vec<u8>>,
    bytes: usize,
    requests: usize,
}

impl Fetching {
    fn of(registry: &Registry, files: IndexFiles) -> Self {
        let files = files.into_iter().collect();
        Self { finder: ModuleSearch::new(registry), files, bytes: 0, requests: 0 }
    }

    fn ask<T>(&mut self, ask: impl Fn(&ModuleSearch) -> Lookup<T>) -> T {
        loop {
            match ask(&self.finder) {
                Lookup::Found(found) => return found,
                Lookup::Missing(missing) => {
                    assert!(!missing.is_empty());
                    for file in missing {
                        self.bytes += file.bytes as usize;
                        self.requests += 1;
                        self.finder.take(&file.path, &self.files[&file.path]).unwrap();
                    }
                }
            }
        }
    }
}

fn query(text: &str) -> ModuleQuery {
    ModuleQuery { text: text.into(), limit: 20, ..ModuleQuery::default() }
}

fn ids(found: &FoundModules) -> Vec<&str> {
    found.modules.iter().map(|module| &*module.id).collect()
}

#[test]
fn of_ten_thousand_modules_a_search_fetches_a_few_files() {
    let listed = many(10_000);
    let (paged, files) = into_pages(&listed, PAGE_MODULES).unwrap();
    let whole = serde_json::to_vec(&listed).unwrap().len();
    let head = serde_json::to_vec(&paged).unwrap();
    let all: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let paged = Registry::parse(&head).unwrap();
    let mut fetching = Fetching::of(&paged, files);
    println!("listed {whole} B; paged: registry.json {} B, all files {all} B", head.len());
    assert!(head.len() * 50 < whole, "{} of {whole}", head.len());

    let mut searches = vec![
        query("german news"),
        query("set123x"),
        query("transl"),
        query("owner/answer-laws-5085"),
        ModuleQuery { rank: Some(4), ..query("recipes") },
        ModuleQuery { tags: vec!["poems".into(), "extract".into()], ..query("") },
    ];
    searches.push(ModuleQuery { base: Some("other".into()), ..query("news") });
    for search in &searches {
        let (bytes, requests) = (fetching.bytes, fetching.requests);
        let found = fetching.ask(|finder| finder.search(search));
        let (bytes, requests) = (fetching.bytes - bytes, fetching.requests - requests);
        println!(
            "{:?} {:?} {:?}: {} found, {bytes} B in {requests} requests",
            search.text, search.tags, search.rank, found.total
        );
        assert!(bytes * 10 < whole, "{search:?}: {bytes} of {whole}");
    }
    let (bytes, requests) = (fetching.bytes, fetching.requests);
    let examples = [Example { input: "The court's laws of set77x".into(), output: "laws".into() }];
    let candidates = fetching.ask(|finder| finder.candidates(&examples, &paged.bases[0].id, 64));
    println!(
        "candidates: {}, {} B in {} requests",
        candidates.len(),
        fetching.bytes - bytes,
        fetching.requests - requests
    );
    assert_eq!(candidates.len(), 64);
    assert_eq!(candidates[0].words[..1], ["set77x"]);
    assert!(candidates[0].module.task.contains("set77x"));
    assert!(!fetching.finder.is_whole());
}

#[test]
fn a_registry_of_a_hundred_thousand_modules_opens_and_is_searched_in_a_few_files() {
    const OPEN_BYTES: usize = 100_000;
    const SEARCH_BYTES: usize = 300_000;
    let listed = many(100_000);
    let started = Instant::now();
    let (paged, files) = into_pages(&listed, PAGE_MODULES).unwrap();
    let head = serde_json::to_vec(&paged).unwrap();
    let all: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    println!(
        "built in {:.1} s: registry.json {} B, {} files of {all} B",
        started.elapsed().as_secs_f64(),
        head.len(),
        files.len()
    );
    assert!(head.len() <= OPEN_BYTES, "{} B", head.len());
    let largest = files.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    assert!(largest.1.len() <= 20_000, "{} has {} B", largest.0, largest.1.len());

    let paged = Registry::parse(&head).unwrap();
    let files: std::collections::BTreeMap<_, _> = files.into_iter().collect();
    let base = &paged.bases[0].id;
    let of_base = |text: &str| ModuleQuery { base: Some(base.clone()), ..query(text) };
    let tagged = |tags: &[&str], text: &str| ModuleQuery {
        tags: tags.iter().map(|&tag| tag.into()).collect(),
        ..of_base(text)
    };
    for (search, total, more) in [
        (of_base(""), 100_000, false),
        (of_base("german news"), 2086, false),
        (of_base("translate laws briefly"), 298, false),
        (of_base("set123x"), 101, false),
        (of_base("transl"), 14_286, false),
        (of_base("owner/answer-laws-5085"), 1, false),
        (ModuleQuery { rank: Some(4), ..of_base("recipes") }, 1071, false),
        (tagged(&["poems", "extract"], ""), 1785, false),
        (ModuleQuery { offset: 60_000, ..tagged(&[], "") }, 100_000, false),
        (of_base("nowhere"), 0, false),
        (of_base("12"), 1111, false),
        // The first letters of the names of all datasets, not all of which are looked at.
        (of_base("se"), 0, true),
    ] {
        // A new visitor has none of the files.
        let mut fetching = Fetching {
            finder: ModuleSearch::new(&paged),
            files: files.clone(),
            bytes: 0,
            requests: 0,
        };
        let started = Instant::now();
        let found = fetching.ask(|finder| finder.search(&search));
        println!(
            "{:?} {:?} {:?}: {} found, {} B in {} requests, {:.2} s",
            search.text,
            search.tags,
            search.rank,
            found.total,
            fetching.bytes,
            fetching.requests,
            started.elapsed().as_secs_f64()
        );
        assert!(fetching.bytes <= SEARCH_BYTES, "{search:?}: {} B", fetching.bytes);
        assert_eq!(found.more, more, "{search:?}");
        if !more {
            assert_eq!(found.total, total, "{search:?}");
        }
    }
    let mut fetching = Fetching { finder: ModuleSearch::new(&paged), files, bytes: 0, requests: 0 };
    let asked = [listed.modules[77_777].id.clone()];
    let entries = fetching.ask(|finder| finder.of_ids(&asked));
    assert_eq!(entries, listed.modules[77_777..77_778]);
    let examples = [Example { input: "The court's laws of set77x".into(), output: "laws".into() }];
    let (bytes, requests) = (fetching.bytes, fetching.requests);
    let candidates = fetching.ask(|finder| finder.candidates(&examples, base, 64));
    println!(
        "candidates: {}, {} B in {} requests",
        candidates.len(),
        fetching.bytes - bytes,
        fetching.requests - requests
    );
    assert_eq!(candidates[0].words[..1], ["set77x"]);
}

#[test]
fn pages_and_a_list_give_the_same_answers() {
    // Listed in registry.json, and in lists.
    for page_modules in [32, 4] {
        assert_same_answers(page_modules);
    }
}

fn assert_same_answers(page_modules: usize) {
    let listed = many(700);
    let (paged, files) = into_pages(&listed, page_modules).unwrap();
    let value = serde_json::to_value(&paged).unwrap();
    assert_eq!(value["index"]["pages"].as_array().unwrap().is_empty(), page_modules == 4);
    assert!(schema_accepts(&value));
    let mut fetching = Fetching::of(&Registry::parse(value.to_string().as_bytes()).unwrap(), files);
    let whole = ModuleSearch::new(&listed);
    assert!(whole.is_whole());
    let sorted = |mut ids: Vec<&str>| {
        ids.sort_unstable();
        ids.join(" ")
    };
    for (text, tag, rank, total) in [
        ("", None, None, 700),
        ("german", None, None, 112),
        ("Translate, NEWS!", None, None, 13),
        ("tr", None, None, 100),
        ("t", None, None, 0),
        ("nowhere", None, None, 0),
        ("", Some("laws"), None, 84),
        ("", None, Some(4), 70),
        ("", None, Some(3), 0),
        ("answer", Some("laws"), Some(16), 12),
    ] {
        let tags = tag.map(str::to_owned).into_iter().collect();
        let query = ModuleQuery { tags, rank, limit: 1000, ..query(text) };
        let Lookup::Found(expected) = whole.search(&query) else { panic!("it is whole") };
        let found = fetching.ask(|finder| finder.search(&query));
        assert_eq!(sorted(ids(&found)), sorted(ids(&expected)), "{query:?}");
        assert_eq!(expected.total, total, "{query:?}");
        assert_eq!((found.tags, found.ranks), (expected.tags, expected.ranks));
    }
    let contents = |file: &RegistryFile| Ok::<_, RegistryError>(fetching.files[&file.path].clone());
    let again = paged.clone().listed(contents).unwrap();
    let Lookup::Found(of_again) = ModuleSearch::new(&again).search(&query("german")) else {
        panic!()
    };
    assert_eq!((again.modules.len(), of_again.total), (700, 112));
    assert!(into_pages(&again, page_modules).unwrap().0 == paged);
    let asked = ["owner/none".to_owned(), listed.modules[500].id.clone()];
    let entries = fetching.ask(|finder| finder.of_ids(&asked));
    assert_eq!(entries, listed.modules[500..501]);
    // The next ones after the first are others.
    let page = |offset| ModuleQuery { offset, limit: 10, ..query("german") };
    let (first, second) =
        (fetching.ask(|f| f.search(&page(0))), fetching.ask(|f| f.search(&page(10))));
    assert!(second.modules.iter().all(|module| !first.modules.contains(module)));
}

/// A search asks for a missing file by its path: if two had one, the second would be asked for without end.
#[test]
fn a_path_that_two_files_of_an_index_have_is_refused() {
    let (paged, _) = into_pages(&many(100), 32).unwrap();
    let index = paged.index.clone().unwrap();
    let mut twice = index.clone();
    twice.pages[1] = twice.pages[0].clone();
    let mut shard = index.clone();
    shard.terms[0].file = shard.pages[0].clone();
    for index in [twice, shard] {
        let error = Registry { index: Some(index), ..paged.clone() }.check().unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }

    let (paged, files) = into_pages(&many(3000), 8).unwrap();
    let contents = |path: &str| files.iter().find(|file| file.0 == path).unwrap().1.clone();
    for is_page in [true, false] {
        let mut index = paged.index.clone().unwrap();
        let list = if is_page { &index.page_lists[0] } else { &index.term_lists[0].file };
        let path = list.path.clone();
        let mut listed: serde_json::Value = serde_json::from_slice(&contents(&path)).unwrap();
        let pointer = |entry: usize| match is_page {
            true => format!("/{entry}/path"),
            false => format!("/{entry}/file/path"),
        };
        let first = listed.pointer(&pointer(0)).unwrap().clone();
        *listed.pointer_mut(&pointer(1)).unwrap() = first;
        let list = serde_json::to_vec(&listed).unwrap();
        let file = RegistryFile::of_contents(path.clone(), &list);
        match is_page {
            true => index.page_lists[0] = file,
            false => index.term_lists[0].file = file,
        }
        let mut search = ModuleSearch::new(&Registry { index: Some(index), ..paged.clone() });
        let error = search.take(&path, &list).unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }
    // What is here already may be added again.
    let mut search = ModuleSearch::new(&paged);
    let path = &paged.index.as_ref().unwrap().page_lists[0].path;
    search.take(path, &contents(path)).unwrap();
    search.take(path, &contents(path)).unwrap();
}

#[test]
fn a_page_too_long_to_be_read_whole_is_refused() {
    let (mut paged, _) = into_pages(&many(100), 32).unwrap();
    if let Some(index) = &mut paged.index {
        index.pages[0].bytes = 1 << 30;
    }
    let error = paged.check().unwrap_err().to_string();
    assert!(error.contains("the bytes of page 1"), "{error}");
}

#[test]
fn a_changed_page_or_index_is_refused() {
    let (paged, files) = into_pages(&many(100), 32).unwrap();
    let (path, page) = &files[0].clone();
    let mut finder = ModuleSearch::new(&paged);
    assert!(matches!(finder.take(path, &page[1..]), Err(RegistryError::Length { .. })));
    let mut changed = page.clone();
    changed[5] ^= 1;
    assert!(matches!(finder.take(path, &changed), Err(RegistryError::Hash { .. })));
    assert!(finder.take("pages/99.json", page).is_err());
    finder.take(path, page).unwrap();

    let index = || paged.index.clone().unwrap();
    for (changed, part) in [
        (RegistryIndex { modules: 0, ..index() }, "modules of the index"),
        (RegistryIndex { page_modules: 0, ..index() }, "page_modules"),
        (RegistryIndex { page_modules: 16, ..index() }, "pages of the index"),
        (RegistryIndex { terms: Vec::new(), ..index() }, "terms"),
    ] {
        let changed = Registry { index: Some(changed), ..paged.clone() };
        let error = changed.check().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let both = Registry { modules: many(1).modules, ..paged.clone() };
    assert!(both.check().unwrap_err().to_string().contains("not both"));
    let other: std::collections::BTreeMap<_, _> =
        into_pages(&many(101), 32).unwrap().1.into_iter().collect();
    let files: std::collections::BTreeMap<_, _> = files.iter().cloned().collect();
    let mixed = paged.clone().listed(|file| {
        let from = if file.path.starts_with("terms") { &other } else { &files };
        Ok::<_, RegistryError>(from[&file.path].clone())
    });
    assert!(mixed.unwrap_err().to_string().contains("term"));
    // Contents that a hash vouches for are checked all the same.
    let index = index();
    let bases = std::collections::BTreeSet::from([&*paged.bases[0].id]);
    assert!(index.parse_page(0, b"[]", &bases).is_err());
    assert!(index.parse_page(3, page, &bases).is_err());
    assert!(index.parse_page(0, page, &Default::default()).is_err());
    assert!(index.parse_terms(br#"{"a": [5, 0]}"#).is_err());
    assert!(index.parse_terms(br#"{"a": [99, 1]}"#).is_err());
    assert_eq!(index.parse_terms(br#"{"a": [0, 99]}"#).unwrap()["a"], [0, 99]);
    // One bit for each module: the first, the ninth and the last; one beyond, and too few.
    let bits = |text: &str| index.parse_terms(format!("{{\"a\": \"{text}\"}}").as_bytes());
    assert_eq!(bits("AQEAAAAAAAAAAAAACA==").unwrap()["a"], [0, 8, 99]);
    for wrong in ["AQEAAAAAAAAAAAAAGA==", "AQE=", "?"] {
        assert!(bits(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_changed_list_of_pages_or_shards_is_refused() {
    let (paged, files) = into_pages(&many(3000), 8).unwrap();
    let files: std::collections::BTreeMap<_, _> = files.into_iter().collect();
    let index = || paged.index.clone().unwrap();
    let (page_list, term_list) = (&index().page_lists[1], &index().term_lists[0].file);
    let mut finder = ModuleSearch::new(&paged);
    for file in [page_list, term_list] {
        let contents = &files[&file.path];
        let cut = finder.take(&file.path, &contents[1..]);
        assert!(matches!(cut, Err(RegistryError::Length { .. })));
        let mut changed = contents.clone();
        changed[20] ^= 1;
        let changed = finder.take(&file.path, &changed);
        assert!(matches!(changed, Err(RegistryError::Hash { .. })));
        // A page that no list names yet is none of the registry.
        assert!(finder.take("pages/40.json", &files["pages/40.json"]).is_err());
    }
    finder.take(&page_list.path, &files[&page_list.path]).unwrap();
    finder.take("pages/40.json", &files["pages/40.json"]).unwrap();

    let shard = index().term_lists[0].clone();
    for (changed, part) in [
        (RegistryIndex { list_pages: 0, ..index() }, "list_pages"),
        (RegistryIndex { list_pages: 64, ..index() }, "pages of the index"),
        (RegistryIndex { pages: vec![page_list.clone()], ..index() }, "not both"),
        (RegistryIndex { terms: vec![shard.clone()], ..index() }, "not both"),
        (RegistryIndex { term_lists: Vec::new(), ..index() }, "terms"),
        (RegistryIndex { term_lists: vec![shard.clone(), shard.clone()], ..index() }, "first term"),
    ] {
        let changed = Registry { index: Some(changed), ..paged.clone() };
        let error = changed.check().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    // Contents that a hash vouches for are checked all the same.
    let index = index();
    assert!(index.parse_page_list(1, &files[&index.page_lists[0].path][..]).is_ok());
    assert!(index.parse_page_list(1, b"[]").is_err());
    assert!(index.parse_page_list(0, br#"[{"path": "../a"}]"#).is_err());
    assert!(index.parse_term_list(0, b"[]").is_err());
    let other = serde_json::to_vec(&[TermShard { first: "zz".into(), ..shard }]).unwrap();
    assert!(index.parse_term_list(0, &other).is_err());
}
