//! Tests of the registry, and that the JSON Schema and the types agree.

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

#[test]
fn a_changed_or_cut_file_is_refused() {
    let file = RegistryFile { path: "f".into(), bytes: 3, sha256: sha256_hex(b"abc") };
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
