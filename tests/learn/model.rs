//! Learning on a real model against a recorded run of the reference implementation (make_reference.py): the
//! points that are evaluated, and the loss at each.

use std::path::{Path, PathBuf};

use loraloom::formats::{ExamplesFormat, parse_examples};
use loraloom::learn::{LearnOptions, LearnResult, Selection};
use loraloom::model::Precision;
use loraloom::session::{BaseBytes, BaseLabel, Session};
use pollster::block_on;
use serde::Deserialize;

use crate::objectives::{Recorded, lowest};

#[derive(Deserialize)]
struct Reference {
    budget: u32,
    bound: f64,
    evaluations: Vec<Recorded>,
}

/// Points that must equal the reference's: 0, and one probe for each module. Later ones depend on
/// differences of losses, and so on the last bits of f32.
const COMPARED: usize = 21;
/// Tolerance of a loss, for f32 rounding in another order.
const TOLERANCE: f64 = 1e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/learn/model")
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(folder().join(path)).unwrap()
}

/// The whole run through a session, as a page drives it.
fn learn(precision: Precision, options: LearnOptions) -> LearnResult {
    let mut session: Session = Session::new(|| 0.0);
    let (config, tokenizer) = (read("config.json"), read("tokenizer.json"));
    let weights = read("model.safetensors");
    let files = BaseBytes { config: &config, tokenizer: &tokenizer, weights: &weights };
    session.load_base(BaseLabel::default(), files, precision).unwrap();
    let ids: Vec<String> = (0..20).map(|index| format!("{index:02}")).collect();
    for id in &ids {
        let config = read(&format!("adapters/{id}/adapter_config.json"));
        let weights = read(&format!("adapters/{id}/adapter_model.safetensors"));
        session.add_module(id, &config, weights).unwrap();
    }
    let text = String::from_utf8(read("examples.jsonl")).unwrap();
    let examples = parse_examples(&text, ExamplesFormat::Jsonl).unwrap();
    block_on(session.learn(&examples, &ids, options, &[], &mut ())).unwrap()
}

fn as_published() -> LearnOptions {
    LearnOptions { selection: Selection::ByHand, ..LearnOptions::as_published() }
}

#[test]
fn a_run_visits_the_points_of_the_reference_and_reaches_its_loss() {
    let text = String::from_utf8(std::fs::read(folder().with_extension("json")).unwrap()).unwrap();
    let reference: Reference = serde_json::from_str(&text).unwrap();
    let options = as_published();
    assert_eq!((options.budget, options.bound), (reference.budget, reference.bound));
    let ours = learn(Precision::F32, options);
    let pairs = ours.history.iter().zip(&reference.evaluations).take(COMPARED);
    for (mine, theirs) in pairs {
        let mut weights: Vec<f32> =
            mine.weights.iter().map(|module| module.weight.groups()[0]).collect();
        weights.resize(20, 0.0);
        let expected: Vec<f32> = theirs.weights.iter().map(|&weight| weight as f32).collect();
        assert_eq!(weights, expected, "point {}", mine.number);
        let difference = (mine.loss - theirs.loss).abs();
        assert!(
            difference <= TOLERANCE * theirs.loss,
            "point {}: {} {}",
            mine.number,
            mine.loss,
            theirs.loss
        );
    }
    assert!(ours.history.len() >= COMPARED);
    let theirs = lowest(&reference.evaluations);
    assert!(ours.loss <= theirs * (1.0 + TOLERANCE), "{} {theirs}", ours.loss);
}

#[test]
fn learning_twice_gives_the_same_bits() {
    for precision in [Precision::F32, Precision::Int8] {
        let [first, second] =
            [(); 2].map(|()| learn(precision, LearnOptions { budget: 25, ..as_published() }));
        assert_eq!(first, second);
    }
}
