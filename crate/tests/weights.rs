//! Files that torch, safetensors and gguf wrote, read back: names, shapes and values; and what PEFT
//! makes of adapter configurations. Made by `tests/formats/make_weights.py`.

use std::collections::BTreeMap;
use std::path::Path;

use loraloom::formats::{
    AdapterConfig, FormatError, GgufFile, LinearId, LinearKind, SafetensorsFile, Stack,
    TensorSource, TorchFile,
};
use loraloom::t5::{Control, Precision, T5Config, T5Model, TokenizedExample};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/weights");
    std::fs::read(folder.join(name)).unwrap()
}

fn open(name: &str) -> Result<Box<dyn TensorSource>, FormatError> {
    let bytes = read(name);
    Ok(match name.rsplit_once('.').unwrap().1 {
        "bin" => Box::new(TorchFile::parse(bytes)?),
        "gguf" => Box::new(GgufFile::parse(bytes)?),
        _ => Box::new(SafetensorsFile::parse(bytes)?),
    })
}

#[test]
fn every_file_holds_what_its_writer_put_in() {
    let files: BTreeMap<String, BTreeMap<String, Expected>> =
        serde_json::from_slice(&read("expected.json")).unwrap();
    assert_eq!(files.len(), 10);
    for (file, tensors) in files {
        let source = open(&file).unwrap();
        let mut names = source.names();
        names.sort();
        assert_eq!(names, tensors.keys().cloned().collect::<Vec<_>>(), "{file}");
        for (name, expected) in tensors {
            let view = source.tensor(&name).unwrap().unwrap();
            assert_eq!(view.shape, expected.shape, "{file} {name}");
            assert_eq!(view.to_f32().unwrap(), expected.values, "{file} {name}");
        }
        assert!(source.tensor("not there").unwrap().is_none());
    }
}

#[test]
fn what_is_not_weights_is_refused_by_name() {
    for (file, part) in [
        ("command.bin", "posix.system"),
        ("checkpoint.bin", "the value of epoch"),
        ("legacy.bin", "before 1.6"),
        ("expanded.bin", "within its storage"),
        ("deflated.bin", "compressed"),
    ] {
        let error = open(file).err().expect(file).to_string();
        assert!(error.contains(part), "{file}: {error}");
    }
    let error = open("integers.bin").unwrap().tensor("i").unwrap_err().to_string();
    assert!(error.contains("LongStorage"), "{error}");
}

#[test]
fn adapter_configurations_mean_what_peft_makes_of_them() {
    #[derive(Deserialize)]
    struct Layer {
        rank: usize,
        scaling: f32,
    }
    #[derive(Deserialize)]
    struct Case {
        config: serde_json::Value,
        layers: BTreeMap<String, Layer>,
    }
    let cases: Vec<Case> = serde_json::from_slice(&read("peft.json")).unwrap();
    for Case { config: written, layers } in cases {
        let config = AdapterConfig::parse(&serde_json::to_vec(&written).unwrap()).unwrap();
        for stack in [Stack::Encoder, Stack::Decoder] {
            for (block, kind) in (0..2).flat_map(|b| LinearKind::ALL.map(|kind| (b, kind))) {
                let id = LinearId { stack, block, kind };
                if !id.is_possible() || kind == LinearKind::Wi {
                    continue;
                }
                let expected = layers.get(&id.to_string());
                assert_eq!(config.targets(id), expected.is_some(), "{id}: {written}");
                if let Some(layer) = expected {
                    assert_eq!(config.rank_of(id), layer.rank, "{id}: {written}");
                    assert_eq!(config.scaling_of(id), layer.scaling, "{id}: {written}");
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct GgufExample {
    input: Vec<u32>,
    labels: Vec<u32>,
    loss: f32,
}

#[derive(Deserialize)]
struct GgufModel {
    examples: Vec<GgufExample>,
}

/// Made by `tests/formats/make_gguf_models.py`.
#[test]
fn each_kind_of_gguf_gives_the_losses_that_transformers_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/gguf");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let models: BTreeMap<String, GgufModel> =
        serde_json::from_slice(&read("expected.json")).unwrap();
    assert_eq!(models.len(), 7);
    for (file, GgufModel { examples }) in models {
        let config = T5Config::parse(&read("config.json")).unwrap();
        let source = GgufFile::parse(read(&format!("{file}.gguf"))).unwrap();
        let model = T5Model::load(config, &source, Precision::F32).unwrap();
        let batch: Vec<_> = (examples.iter())
            .map(|e| TokenizedExample { input: e.input.clone(), labels: e.labels.clone() })
            .collect();
        let losses = model.losses(&batch, None, &Control::none()).unwrap();
        for (found, expected) in losses.iter().zip(&examples) {
            let difference = (found.loss / expected.loss - 1.0).abs();
            assert!(difference < 2e-5, "{file}: {} against {}", found.loss, expected.loss);
        }
    }
}
