//! Files that torch, safetensors and gguf wrote, read back: names, shapes and values; and what PEFT
//! makes of adapter configurations. Made by `tests/formats/make_weights.py`.

use std::collections::BTreeMap;
use std::path::Path;

use loraloom::formats::{
    FormatError, GgufFile, GgufModel, GgufWriter, NamedTensor, SafetensorsFile, TensorSource,
    Tokenizer, TorchFile, llama_name,
};

use loraloom::lora::AdapterConfig;

use loraloom::model::t5::{T5Config, T5Model};
use loraloom::model::{Control, Model, Precision, TokenizedExample};
use loraloom::model::{LinearId, LinearKind, Stack};
use serde::Deserialize;
use serde_json::Value;

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
    assert_eq!(files.len(), 11);
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
struct ExpectedGguf {
    examples: Vec<GgufExample>,
}

/// The model that `tests/formats/make_gguf_models.py` made as safetensors and in each kind of GGUF.
struct GgufModels(BTreeMap<String, ExpectedGguf>);

impl GgufModels {
    fn read(name: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/gguf");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn expected() -> Self {
        Self(serde_json::from_slice(&Self::read("expected.json")).unwrap())
    }

    fn source(file: &str) -> Box<dyn TensorSource> {
        match file {
            "safetensors" => {
                Box::new(SafetensorsFile::parse(Self::read("model.safetensors")).unwrap())
            }
            _ => Box::new(GgufFile::parse(Self::read(&format!("{file}.gguf"))).unwrap()),
        }
    }

    fn losses(&self, source: &dyn TensorSource, precision: Precision) -> Vec<f32> {
        let config = T5Config::parse(&Self::read("config.json")).unwrap();
        let model = T5Model::load(config, source, precision).unwrap();
        let batch: Vec<_> = (self.0["safetensors"].examples.iter())
            .map(|e| TokenizedExample { input: e.input.clone(), labels: e.labels.clone() })
            .collect();
        let losses = model.losses(&batch, None, &Control::none()).unwrap();
        losses.iter().map(|example| example.loss).collect()
    }
}

fn close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a / b - 1.0).abs() < tolerance, "{what}: {a} against {b}");
    }
}

#[test]
fn each_kind_of_gguf_gives_the_losses_that_transformers_gives() {
    let models = GgufModels::expected();
    assert_eq!(models.0.len(), 9);
    for (file, ExpectedGguf { examples }) in &models.0 {
        let expected: Vec<f32> = examples.iter().map(|example| example.loss).collect();
        let source = GgufModels::source(file);
        close(&models.losses(&*source, Precision::F32), &expected, 2e-5, file);
    }
}

#[test]
fn each_kind_of_gguf_gives_the_losses_of_its_safetensors_within_its_quantisation() {
    let models = GgufModels::expected();
    let safetensors = GgufModels::source("safetensors");
    let original = models.losses(&*safetensors, Precision::F32);
    for (file, tolerance) in
        [("f16", 0.0), ("q8_0", 1e-2), ("q6_k", 2e-2), ("q5_k", 6e-2), ("q4_k", 0.1), ("q4_0", 0.2)]
    {
        let source = GgufModels::source(file);
        let found = models.losses(&*source, Precision::F32);
        if tolerance == 0.0 {
            assert_eq!(found, original, "{file}");
        } else {
            assert_ne!(found, original, "{file}");
            close(&found, &original, tolerance, file);
        }
        // Packed into 8 bits once more, as it is on a page.
        let packed = models.losses(&*source, Precision::Int8);
        close(&packed, &original, tolerance + 2e-2, &format!("{file} in 8 bits"));
    }
    for file in ["q8_0", "q4_k"] {
        let [llama, candle] = [file.to_owned(), format!("{file}_hugging_face_names")]
            .map(|file| models.losses(&*GgufModels::source(&file), Precision::F32));
        assert_eq!(llama, candle, "{file}");
    }
    // F32, by the writer of this crate, in both namings.
    for rename in [|name: &str| name.to_owned(), |name: &str| llama_name(name).unwrap()] {
        let mut writer = GgufWriter::default();
        for name in safetensors.names() {
            let view = safetensors.tensor(&name).unwrap().unwrap();
            let (shape, values) = (view.shape.clone(), view.to_f32().unwrap());
            writer.add(&NamedTensor { name: rename(&name), shape, values }, false);
        }
        let source = GgufFile::parse(writer.finish()).unwrap();
        assert_eq!(models.losses(&source, Precision::F32), original);
    }
}

/// The model that `tests/formats/make_gguf_alone.py` made.
#[test]
fn a_gguf_file_alone_gives_the_tokens_and_losses_that_transformers_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/gguf_alone");
    let bytes = std::fs::read(folder.join("model.gguf")).unwrap();
    let expected: Value =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let found = GgufModel::read(&bytes).unwrap();
    let config = T5Config::parse(&found.config).unwrap();
    let tokenizer = Tokenizer::parse(&found.tokenizer).unwrap();
    let weights = GgufFile::parse(bytes.clone()).unwrap();
    let model = T5Model::load(config, &weights, Precision::F32).unwrap();
    for example in expected["examples"].as_array().unwrap() {
        let encode = |field: &str| tokenizer.encode(example[field].as_str().unwrap()).unwrap();
        let (input, labels) = (encode("input"), encode("output"));
        let ids: Vec<u32> = serde_json::from_value(example["ids"].clone()).unwrap();
        assert_eq!(input, ids);
        let batch = [TokenizedExample { input, labels }];
        let loss = model.losses(&batch, None, &Control::none()).unwrap()[0].loss;
        close(&[loss], &[example["loss"].as_f64().unwrap() as f32], 1e-4, "the whole file");
    }

    // Every text of the tokenizer's own fixture.
    let cases = folder.join("../tokenizer/spiece_cases.json");
    let cases: Value = serde_json::from_slice(&std::fs::read(cases).unwrap()).unwrap();
    for case in cases.as_array().unwrap() {
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        if let Some(text) = case["text"].as_str() {
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        }
        assert_eq!(tokenizer.decode(&ids), case["decoded"].as_str().unwrap(), "{ids:?}");
    }

    // The start of the file is enough; what ends before it says so.
    let header = bytes.windows(5).rposition(|name| name == b"token").unwrap();
    assert_eq!(GgufModel::read(&bytes[..header + 4096]).unwrap(), found);
    for end in (0..header).step_by(97) {
        let error = GgufModel::read(&bytes[..end]).unwrap_err();
        assert!(matches!(error, FormatError::Truncated { .. }), "{end}: {error}");
    }
}

#[test]
fn a_gguf_file_alone_names_what_its_metadata_lacks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/gguf_alone");
    let bytes = std::fs::read(folder.join("model.gguf")).unwrap();
    for (key, expected) in [
        ("t5.embedding_length", "t5.embedding_length"),
        ("tokenizer.ggml.tokens", "tokenizer.ggml.tokens"),
        ("tokenizer.ggml.scores", "tokenizer.ggml.scores"),
        ("general.architecture", "general.architecture"),
    ] {
        let at = bytes.windows(key.len()).position(|found| found == key.as_bytes()).unwrap();
        let mut without = bytes.clone();
        without[at] = b'x';
        let error = GgufModel::read(&without).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("config.json"), "{error}");
    }
    // The files of tests/formats/gguf have weights alone.
    let error = GgufModel::read(&GgufModels::read("q8_0.gguf")).unwrap_err().to_string();
    assert!(error.contains("tokenizer.ggml.model"), "{error}");
}
