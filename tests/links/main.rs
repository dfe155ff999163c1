//! Links that an earlier version made restore the bits of its losses and its greedy answers.
//! `make_links.rs` made them.

use std::collections::BTreeMap;
use std::path::Path;

use loraloom::formats::{Example, sha256_hex};
use loraloom::lora::{Composition, WeightedModule};
use loraloom::model::Precision;
use loraloom::recipe::{Recipe, decode, encode};
use loraloom::registry::Registry;
use loraloom::session::{BaseBytes, BaseLabel, Session};
use pollster::block_on;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Links {
    max_new_tokens: usize,
    links: Vec<Link>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    task: String,
    modules: usize,
    negative_weights: usize,
    fragment: String,
    mean_loss_bits: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    input: String,
    output: String,
    loss_bits: String,
    answer: String,
}

fn read(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn library(path: &str) -> Vec<u8> {
    read(&format!("www/site/public/library/{path}"))
}

/// A session with the base of a recipe, whose weights have the recipe's hash.
fn open(registry: &Registry, recipe: &Recipe) -> Session {
    let files = &registry.base(&recipe.base.id).unwrap().files;
    let [config, tokenizer, weights] =
        [&files.config, &files.tokenizer, &files.weights].map(|file| library(&file.path));
    assert!(sha256_hex(&weights).starts_with(&recipe.base.hash));
    let mut session = Session::new(|| 0.0);
    let bytes = BaseBytes { config: &config, tokenizer: &tokenizer, weights: &weights };
    session.load_base(BaseLabel::default(), bytes, recipe.precision).unwrap();
    session
}

/// Loads the modules of a recipe, whose weights have the recipe's hashes.
fn restore(session: &mut Session, registry: &Registry, recipe: &Recipe) -> Composition {
    let mut modules = Vec::new();
    for module in &recipe.modules {
        let files = &registry.module(&module.id).unwrap().files;
        let (config, weights) = (library(&files.config.path), library(&files.weights.path));
        let loaded = session.add_module(&module.id, &config, weights).unwrap();
        assert!(loaded.sha256.starts_with(&module.hash), "{}", module.id);
        modules.push(WeightedModule { id: module.id.clone(), weight: module.weight });
    }
    Composition { modules, merge: recipe.merge }
}

#[test]
fn ten_links_of_an_earlier_version_restore_the_same_bits() {
    let Links { max_new_tokens, links } =
        serde_json::from_slice(&read("tests/links/links.json")).unwrap();
    assert_eq!(links.len(), 10);
    let registry = Registry::parse(&library("registry.json")).unwrap();
    let mut sessions: BTreeMap<bool, Session> = BTreeMap::new();
    for link in links {
        let recipe = decode(&link.fragment).unwrap();
        assert_eq!(encode(&recipe).unwrap(), link.fragment, "{}", link.task);
        assert_eq!(recipe.modules.len(), link.modules);
        let negative = recipe.modules.iter().filter(|module| module.weight.groups()[0] < 0.0);
        assert_eq!(negative.count(), link.negative_weights);

        let session = (sessions.entry(recipe.precision == Precision::Int8))
            .or_insert_with(|| open(&registry, &recipe));
        let composition = Some(restore(session, &registry, &recipe));
        let composition = composition.as_ref();
        let examples: Vec<Example> = (link.items.iter())
            .map(|item| Example { input: item.input.clone(), output: item.output.clone() })
            .collect();
        let score = block_on(session.score(&examples, composition)).unwrap();
        let mean = format!("{:016x}", score.loss.to_bits());
        assert_eq!(mean, link.mean_loss_bits, "{}", link.task);
        for (item, example) in link.items.iter().zip(&score.examples) {
            let bits = format!("{:08x}", example.loss.to_bits());
            assert_eq!(bits, item.loss_bits, "{}: {}", link.task, item.input);
            let answer =
                block_on(session.generate(&item.input, composition, max_new_tokens, &mut ()));
            let answer = answer.unwrap().text;
            assert_eq!(answer, item.answer, "{}: {}", link.task, item.input);
        }
    }
}
