//! Models as transformers 5 saves them: `tie_word_embeddings` is `true` for every T5, mT5 and UMT5, the scale
//! is `scale_decoder_outputs`, and the head is `lm_head.weight` where the weights hold it. mT5 has no such
//! flag, and no scale.
//! `make_transformers_5.py` made them.

use std::sync::Arc;

use loraloom::formats::{TensorSource, WeightsStream};
use loraloom::model::{ModelBuilder, ModelConfig, PackedCopy, PackedReader, PackedSource};
use serde_json::{Value, json};

use super::*;

const HEAD: &str = "lm_head.weight";
const EMBEDDING: &str = "shared.weight";

#[derive(Deserialize)]
struct Saved {
    max_new_tokens: usize,
    examples: Vec<ExpectedExample>,
}

struct SavedModel {
    name: &'static str,
    config: T5Config,
    weights: SafetensorsFile,
    expected: Saved,
}

fn saved(name: &'static str) -> SavedModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/transformers_5");
    let file = |file: &str| read(&folder.join(name).join(file));
    SavedModel {
        name,
        config: T5Config::parse(&file("config.json")).unwrap(),
        weights: SafetensorsFile::parse(file("model.safetensors")).unwrap(),
        expected: serde_json::from_slice(&file("expected.json")).unwrap(),
    }
}

fn all() -> [SavedModel; 7] {
    ["separate_head", "tied", "tied_unscaled", "mt5", "mt5_tied", "umt5", "umt5_tied"].map(saved)
}

impl SavedModel {
    fn batch(&self) -> Vec<TokenizedExample> {
        (self.expected.examples.iter())
            .map(|e| TokenizedExample { input: e.input.clone(), labels: e.labels.clone() })
            .collect()
    }

    fn check(&self, model: &dyn Model, how: &str) {
        for (found, example) in losses_of(model, &self.batch()).iter().zip(&self.expected.examples)
        {
            let difference = (found - example.loss).abs() / example.loss;
            assert!(difference < TOLERANCE, "{} {how}: {found} for {}", self.name, example.loss);
        }
    }

    /// Tensors by name, those of `last` at the end.
    fn tensors(&self, last: &[&str]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
        let mut names = self.weights.names();
        names.sort_by_key(|name| last.iter().position(|&other| other == name).map(|at| at + 1));
        let tensor = |name: String| {
            let view = self.weights.tensor(&name).unwrap().unwrap();
            (name, view.shape.clone(), view.bytes.to_vec())
        };
        names.into_iter().map(tensor).collect()
    }
}

fn losses_of(model: &dyn Model, batch: &[TokenizedExample]) -> Vec<f32> {
    let losses = model.losses(batch, None, &Control::none()).unwrap();
    losses.iter().map(|example| example.loss).collect()
}

/// A safetensors file of f32 tensors in this order.
fn file(tensors: &[(String, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        data.extend(bytes);
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// The builder of a model whose files arrived in pieces.
fn arrived(config: &T5Config, files: &[Vec<u8>], precision: Precision) -> ModelBuilder {
    let mut builder = ModelBuilder::new(Arc::new(config.clone()), precision);
    for file in files {
        let mut stream = WeightsStream::new();
        for piece in file.chunks(1009) {
            stream.push(piece, &mut builder).unwrap();
        }
        stream.finish(&mut builder).unwrap();
    }
    builder
}

fn copied(builder: &mut ModelBuilder, config: &T5Config) -> Arc<dyn Model> {
    let source = PackedSource { sha256: "5eed".into(), bytes: 1 };
    let precision = builder.precision();
    let copy = PackedCopy::new(builder, source).unwrap();
    let mut other = ModelBuilder::new(Arc::new(config.clone()), precision);
    let mut reader = PackedReader::default();
    reader.push(&copy.piece(0, copy.bytes() as usize), &mut other).unwrap();
    reader.finish().unwrap();
    other.finish().unwrap()
}

#[test]
fn models_saved_by_transformers_5_have_its_losses_and_greedy_tokens() {
    for saved in all() {
        let model = T5Model::load(saved.config.clone(), &saved.weights, Precision::F32).unwrap();
        saved.check(&model, "whole");
        let has_head = ["separate_head", "mt5", "umt5"].contains(&saved.name);
        assert_eq!(model.config().tie_word_embeddings, !has_head);
        let inputs: Vec<&[u32]> = saved.expected.examples.iter().map(|e| &*e.input).collect();
        let limit = saved.expected.max_new_tokens;
        let outputs =
            model.generate(&inputs, None, limit, &Control::none(), &mut |_, _| ()).unwrap();
        let greedy: Vec<_> = saved.expected.examples.iter().map(|e| e.greedy.clone()).collect();
        assert_eq!(outputs, greedy, "{}", saved.name);
    }
}

#[test]
fn a_configuration_that_transformers_5_rewrote_changes_no_bit() {
    for golden in Golden::all() {
        let mut json: Value =
            serde_json::from_slice(&read(&golden.folder.join("config.json"))).unwrap();
        json["scale_decoder_outputs"] = json["tie_word_embeddings"].take();
        json["tie_word_embeddings"] = true.into();
        let rewritten = T5Config::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
        for precision in [Precision::F32, Precision::Int8] {
            let model = golden.model(precision);
            let weights =
                SafetensorsFile::parse(read(&golden.folder.join("model.safetensors"))).unwrap();
            let other = T5Model::load(rewritten.clone(), &weights, precision).unwrap();
            let case = &golden.expected.cases[0];
            let [found, expected] =
                [&other, &model].map(|model| bits(&losses(model, &case.batch(), None)));
            assert_eq!(found, expected, "{} {precision:?}", golden.name(case));
            assert_eq!(other.bytes(), model.bytes());
            assert_eq!(other.config().parameters(), model.config().parameters());
        }
    }
}

#[test]
fn the_head_is_found_wherever_it_lies_in_the_files_and_in_the_packed_copy() {
    for saved in all() {
        for last in [[HEAD, EMBEDDING], [EMBEDDING, HEAD]] {
            let tensors = saved.tensors(&last);
            let (first, second) = tensors.split_at(tensors.len() - 1);
            for files in [vec![file(&tensors)], vec![file(first), file(second)]] {
                for precision in [Precision::F32, Precision::Int8] {
                    let mut builder = arrived(&saved.config, &files, precision);
                    let copy = copied(&mut builder, &saved.config);
                    let model = builder.finish().unwrap();
                    let how = format!("{last:?} in {} files", files.len());
                    if precision == Precision::F32 {
                        saved.check(&*model, &how);
                    }
                    let whole =
                        T5Model::load(saved.config.clone(), &saved.weights, precision).unwrap();
                    let [whole, model, copy] = [&whole as &dyn Model, &*model, &*copy]
                        .map(|model| bits(&losses_of(model, &saved.batch())));
                    assert_eq!(model, whole, "{} {how}", saved.name);
                    assert_eq!(copy, whole, "{} {how}: the packed copy", saved.name);
                }
            }
        }
    }
}

/// As PyTorch's files of T5 1.0, which hold the embedding under each of its names.
#[test]
fn a_head_that_equals_the_embedding_is_kept_once() {
    let saved = saved("tied");
    for last in [[HEAD, EMBEDDING], [EMBEDDING, HEAD]] {
        let mut tensors = saved.tensors(&[EMBEDDING]);
        let mut head = tensors.last().unwrap().clone();
        head.0 = HEAD.into();
        tensors.push(head);
        tensors.sort_by_key(|(name, ..)| last.iter().position(|other| other == name));
        for precision in [Precision::F32, Precision::Int8] {
            let model = arrived(&saved.config, &[file(&tensors)], precision).finish().unwrap();
            let whole = T5Model::load(saved.config.clone(), &saved.weights, precision).unwrap();
            assert_eq!(model.config().parameters(), whole.config().parameters());
            assert_eq!(model.bytes(), whole.bytes());
            let [found, expected] = [&*model, &whole as &dyn Model]
                .map(|model| bits(&losses_of(model, &saved.batch())));
            assert_eq!(found, expected, "{last:?} {precision:?}");
        }
    }
}

#[test]
fn the_embedding_is_read_under_each_of_its_names() {
    let saved = saved("separate_head");
    for name in [EMBEDDING, "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"] {
        let mut tensors = saved.tensors(&[EMBEDDING]);
        tensors.last_mut().unwrap().0 = name.into();
        let model = arrived(&saved.config, &[file(&tensors)], Precision::F32).finish().unwrap();
        saved.check(&*model, name);
    }
}

#[test]
fn tensors_that_a_wrapper_renamed_are_named() {
    let saved = saved("tied");
    for prefix in [
        "_orig_mod.",
        "module.",
        "model.",
        "base_model.model.",
        "module._orig_mod.",
        "model.base_model.model.",
    ] {
        let mut tensors = saved.tensors(&[]);
        for tensor in &mut tensors {
            tensor.0 = format!("{prefix}{}", tensor.0);
        }
        let weights = SafetensorsFile::parse(file(&tensors)).unwrap();
        let error = T5Model::load(saved.config.clone(), &weights, Precision::F32).unwrap_err();
        assert!(matches!(error, ModelError::WrappedTensor { .. }), "{error}");
        assert!(error.to_string().contains(prefix), "{error}");
    }
}

#[test]
fn a_model_with_an_adapter_attached_and_a_classifier_are_refused_by_what_they_are() {
    let saved = saved("tied");
    type Rename = fn(&str) -> String;
    let rename: [(Rename, &str); 2] = [
        (|name| name.replace(".q.weight", ".q.base_layer.weight"), "merge_and_unload()"),
        (|name| format!("transformer.{name}"), "T5ForSequenceClassification"),
    ];
    for (rename, part) in rename {
        let mut tensors = saved.tensors(&[]);
        tensors.iter_mut().for_each(|tensor| tensor.0 = rename(&tensor.0));
        let weights = SafetensorsFile::parse(file(&tensors)).unwrap();
        let error = T5Model::load(saved.config.clone(), &weights, Precision::F32).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn more_or_fewer_blocks_than_the_configuration_has_are_named() {
    let saved = saved("tied");
    for (field, blocks, part) in [
        (
            "num_layers",
            1,
            "num_layers should be at least 2, as the weights contain encoder.block.1",
        ),
        ("num_layers", 3, "num_layers should be 2, the number of blocks in the weights, found 3"),
        ("num_decoder_layers", 4, "num_decoder_layers should be 1, the number of blocks"),
    ] {
        let mut config = saved.config.clone();
        match field {
            "num_layers" => config.num_layers = blocks,
            _ => config.num_decoder_layers = blocks,
        }
        let error = T5Model::load(config, &saved.weights, Precision::F32).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}
