//! What of a base's weights is left out or replaced, from every kind of file and from a packed copy: tensors
//! that the model does not have, which transformers names in its warning "Some weights of the model
//! checkpoint were not used", and an `lm_head` that is not what the configuration says.
//! `tests/golden/make_unused.py` made the fixtures.

use std::collections::BTreeMap;

use loraloom::formats::{
    AddedTokenFiles, GgufWriter, NamedTensor, SafetensorsFile, TensorSource, files_sha256,
    sha256_hex,
};
use loraloom::model::{GenerationNote, LmHeadNote, UnusedTensors};
use loraloom::session::{BaseInfo, BaseLoad, BaseNotes};

use super::*;

#[derive(serde::Deserialize)]
struct Case {
    model: String,
    added: BTreeMap<String, Vec<usize>>,
    unused: Vec<String>,
}

fn golden(path: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    std::fs::read(folder.join(path)).unwrap()
}

fn cases() -> Vec<Case> {
    let expected: serde_json::Value =
        serde_json::from_slice(&golden("unused/expected.json")).unwrap();
    serde_json::from_value(expected["cases"].clone()).unwrap()
}

/// A safetensors file of f32 tensors in this order.
fn safetensors(tensors: &[NamedTensor]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for NamedTensor { name, shape, values } in tensors {
        let begin = data.len();
        values.iter().for_each(|value| data.extend(value.to_le_bytes()));
        let offsets = [begin, data.len()];
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

fn gguf(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut writer = GgufWriter::default();
    for tensor in tensors {
        writer.add(tensor, false);
    }
    writer.finish()
}

impl Case {
    /// The model's own tensors.
    fn tensors(&self) -> Vec<NamedTensor> {
        let file = golden(&format!("models/{}/model.safetensors", self.model));
        let file = SafetensorsFile::parse(file).unwrap();
        let tensor = |name: String| {
            let view = file.tensor(&name).unwrap().unwrap();
            NamedTensor { name, shape: view.shape.clone(), values: view.to_f32().unwrap().to_vec() }
        };
        file.names().into_iter().map(tensor).collect()
    }

    /// The tensors that the file has beside them: copies of the embedding, and zeros.
    fn added(&self) -> Vec<NamedTensor> {
        let own = self.tensors();
        let embedding = own.iter().find(|tensor| tensor.name == "shared.weight").unwrap();
        let tensor = |(name, shape): (&String, &Vec<usize>)| {
            let values = if *shape == embedding.shape {
                embedding.values.clone()
            } else {
                vec![0.0; shape.iter().product()]
            };
            NamedTensor { name: name.clone(), shape: shape.clone(), values }
        };
        self.added.iter().map(tensor).collect()
    }

    fn begin(&self, precision: Precision) -> BaseLoad {
        begin(&self.model, serde_json::json!({}), precision)
    }

    /// A load of whole files, each arriving in pieces.
    fn load(&self, files: &[Vec<u8>], precision: Precision) -> BaseLoad {
        let mut load = self.begin(precision);
        for file in files {
            file.chunks(4099).for_each(|piece| load.push(piece).unwrap());
            load.end_file().unwrap();
        }
        load
    }

    fn expected(&self) -> Option<BaseNotes> {
        let (count, names) = (self.unused.len() as u32, self.unused.clone());
        Some(BaseNotes { unused_tensors: UnusedTensors { count, names }, ..BaseNotes::default() })
    }
}

/// A load of a golden model, with other values in its configuration.
fn begin(model: &str, changes: serde_json::Value, precision: Precision) -> BaseLoad {
    let file = |name: &str| golden(&format!("models/{model}/{name}"));
    let mut config: serde_json::Value = serde_json::from_slice(&file("config.json")).unwrap();
    let fields = config.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    let (label, beside) = (BaseLabel::default(), AddedTokenFiles::default());
    let config = serde_json::to_vec(&config).unwrap();
    BaseLoad::new(label, &config, &file("tokenizer.json"), beside, None, precision).unwrap()
}

/// The facts of a loaded base, its unused tensors sorted as transformers has them.
fn info(load: BaseLoad) -> BaseInfo {
    let mut session: Session<CpuBackend> = Session::new(|| 0.0);
    let mut info = session.finish_base(load, String::new()).unwrap();
    info.notes.iter_mut().for_each(|notes| notes.unused_tensors.names.sort());
    info
}

#[test]
fn the_unused_tensors_are_those_that_transformers_warns_of() {
    for case in cases() {
        let (own, added) = (case.tensors(), case.added());
        let whole = [&own[..], &added].concat();
        for (how, files) in [
            ("one file", vec![safetensors(&whole)]),
            ("shards", vec![safetensors(&own[..7]), safetensors(&whole[7..])]),
            ("the others first", vec![safetensors(&[&added[..], &own].concat())]),
            ("GGUF", vec![gguf(&whole)]),
        ] {
            let found = info(case.load(&files, Precision::F32)).notes;
            assert_eq!(found, case.expected(), "{} from {how}", case.model);
        }
        // Without them there is nothing to say.
        let info = info(case.load(&[safetensors(&own)], Precision::F32));
        assert_eq!(info.notes, None, "{}", case.model);
        let json = serde_json::to_value(&info).unwrap();
        assert!(json.get("notes").is_none(), "{json}");
    }
}

/// Two of them have element types that weights cannot have.
#[test]
fn the_unused_tensors_of_a_pytorch_file_are_named() {
    let case = &cases()[0];
    let load = case.load(&[golden("unused/pytorch_model.bin")], Precision::F32);
    assert_eq!(info(load).notes, case.expected());
}

/// transformers 4.57 takes the one and 5.24 the other, so that no answer would be right.
#[test]
fn copies_of_the_embedding_that_differ_are_refused_by_name() {
    let case = &cases()[0];
    let own = case.tensors();
    let copy_of = |scale: f32| {
        let embedding = own.iter().find(|tensor| tensor.name == "shared.weight").unwrap();
        NamedTensor {
            name: "encoder.embed_tokens.weight".into(),
            shape: embedding.shape.clone(),
            values: embedding.values.iter().map(|value| value * scale).collect(),
        }
    };
    for precision in [Precision::F32, Precision::Int8] {
        for files in [
            vec![safetensors(&[&own[..], &[copy_of(0.5)]].concat())],
            vec![safetensors(&[&[copy_of(0.5)], &own[..]].concat())],
            vec![safetensors(&own), safetensors(&[copy_of(0.5)])],
        ] {
            let mut load = case.begin(precision);
            let error = files.iter().find_map(|file| {
                let pushed = file.chunks(4099).find_map(|piece| load.push(piece).err());
                pushed.or_else(|| load.end_file().err())
            });
            let error = error.unwrap().to_string();
            for name in ["shared.weight", "encoder.embed_tokens.weight"] {
                assert!(error.contains(name), "{error}");
            }
        }
        let equal = safetensors(&[&[copy_of(1.0)], &own[..]].concat());
        assert_eq!(info(case.load(&[equal], precision)).notes, None);
    }
}

#[test]
fn a_head_that_is_not_what_the_configuration_says_is_noted() {
    use serde_json::json;
    let version =
        |version: &str| json!({"tie_word_embeddings": true, "transformers_version": version});
    let of_5 = json!({"tie_word_embeddings": true, "scale_decoder_outputs": false});
    for (model, changes, expected) in [
        ("deep-untied", json!({}), None),
        ("deep-untied", json!({"tie_word_embeddings": true}), Some(LmHeadNote::Differs)),
        ("deep-untied", version("4.57.6"), Some(LmHeadNote::Differs)),
        // Those write `true` for every T5.
        ("deep-untied", version("5.24.0"), None),
        ("deep-untied", of_5.clone(), None),
        ("deep-untied", json!({"tie_word_embeddings": null}), Some(LmHeadNote::Undeclared)),
        ("narrow-tied", json!({}), None),
        ("narrow-tied", of_5, None),
        ("narrow-tied", json!({"tie_word_embeddings": false}), Some(LmHeadNote::Missing)),
        ("narrow-tied", json!({"tie_word_embeddings": null}), Some(LmHeadNote::Undeclared)),
        ("mt5", json!({"tie_word_embeddings": null}), None),
    ] {
        for precision in [Precision::F32, Precision::Int8] {
            let mut load = begin(model, changes.clone(), precision);
            load.push(&golden(&format!("models/{model}/model.safetensors"))).unwrap();
            load.end_file().unwrap();
            let copy = load.packed_piece("5eed", 0, usize::MAX).unwrap();
            let mut again = begin(model, changes.clone(), precision);
            again.push_packed(&copy).unwrap();
            again.end_packed().unwrap();
            for load in [load, again] {
                let found = info(load).notes.and_then(|notes| notes.lm_head);
                assert_eq!(found, expected, "{model} with {changes}");
            }
        }
    }
}

/// As transformers 4 writes a model whose head was untied and then not trained.
#[test]
fn a_head_that_equals_the_embedding_is_not_missing() {
    let case = &cases()[0];
    let mut tensors = case.tensors();
    let mut head = tensors.iter().find(|tensor| tensor.name == "shared.weight").unwrap().clone();
    head.name = "lm_head.weight".into();
    tensors.push(head);
    let untied = serde_json::json!({"tie_word_embeddings": false});
    let mut load = begin(&case.model, untied.clone(), Precision::Int8);
    load.push(&safetensors(&tensors)).unwrap();
    load.end_file().unwrap();
    let copy = load.packed_piece("5eed", 0, usize::MAX).unwrap();
    let mut again = begin(&case.model, untied, Precision::Int8);
    again.push_packed(&copy).unwrap();
    again.end_packed().unwrap();
    assert_eq!((info(load).notes, info(again).notes), (None, None));
}

#[test]
fn a_packed_copy_names_the_unused_tensors_of_its_files() {
    for case in cases() {
        let whole = safetensors(&[case.tensors(), case.added()].concat());
        let mut load = case.load(&[whole], Precision::Int8);
        let copy = load.packed_piece("5eed", 0, usize::MAX).unwrap();
        let mut again = case.begin(Precision::Int8);
        copy.chunks(1009).for_each(|piece| again.push_packed(piece).unwrap());
        assert_eq!(again.end_packed().unwrap(), "5eed");
        // A copy of the copy, too.
        let second = again.packed_piece("5eed", 0, usize::MAX).unwrap();
        assert!(second == copy, "{}", case.model);
        let (first, again) = (info(load), info(again));
        assert_eq!(first.notes, case.expected(), "{}", case.model);
        assert_eq!(again, first, "{}", case.model);
    }
}

#[test]
fn the_names_of_unused_tensors_are_bounded_and_their_number_is_not() {
    let case = &cases()[0];
    let stray = |index: usize| NamedTensor {
        name: format!("stray.{index}.{}", "x".repeat(1000)),
        shape: vec![1],
        values: vec![0.0],
    };
    let strays: Vec<NamedTensor> = (0..3000).map(stray).collect();
    let whole = safetensors(&[case.tensors(), strays].concat());
    let found = info(case.load(&[whole], Precision::F32)).notes.unwrap().unused_tensors;
    assert_eq!((found.count, found.names.len()), (3000, UnusedTensors::MAX_NAMES));
    assert!(found.names.iter().all(|name| name.len() < 200), "{found:?}");
}

/// The settings are noted from the files themselves and beside a packed copy.
#[test]
fn settings_of_decoding_that_are_not_applied_are_noted() {
    let file = |name: &str| golden(&format!("models/relu-tied/{name}"));
    let [config, tokenizer, weights] =
        ["config.json", "tokenizer.json", "model.safetensors"].map(file);
    let begin = |generation: Option<&[u8]>| {
        let (label, beside) = (BaseLabel::default(), AddedTokenFiles::default());
        BaseLoad::new(label, &config, &tokenizer, beside, generation, Precision::Int8)
            .map_err(|error| error.to_string())
    };
    let expected = GenerationNote {
        file: "generation_config.json".into(),
        settings: vec!["num_beams 4".into(), "forced_bos_token_id 7".into()],
    };
    let generation = br#"{"num_beams": 4, "forced_bos_token_id": 7, "eos_token_id": 1}"#;
    let mut load = begin(Some(generation)).unwrap();
    load.push(&weights).unwrap();
    load.end_file().unwrap();
    let packed = load.packed_piece("", 0, usize::MAX).unwrap();
    let mut from_copy = begin(Some(generation)).unwrap();
    from_copy.push_packed(&packed).unwrap();
    from_copy.end_packed().unwrap();
    for load in [load, from_copy] {
        assert_eq!(info(load).notes.unwrap().generation.as_ref(), Some(&expected));
    }
    let mut load = begin(None).unwrap();
    load.push(&weights).unwrap();
    load.end_file().unwrap();
    assert_eq!(info(load).notes, None);
    let error = begin(Some(br#"{"eos_token_id": [1, 4]}"#)).err().unwrap();
    assert!(error.contains("eos_token_id should be 1 or 4, as generation_config.json"), "{error}");
}

/// The hash over all files is the one that the entries of a registry give, and another one where any file is.
#[test]
fn a_base_and_a_module_are_known_by_all_their_files() {
    let folder = "models/relu-tied";
    let file = |name: &str| golden(&format!("{folder}/{name}"));
    let [config, tokenizer, weights] =
        ["config.json", "tokenizer.json", "model.safetensors"].map(file);
    let none = AddedTokenFiles::default();
    let loaded = |config: &[u8], tokenizer: &[u8], beside, sha256: &str| {
        let label = BaseLabel::default();
        let mut load =
            BaseLoad::new(label, config, tokenizer, beside, None, Precision::Int8).unwrap();
        load.push(&weights).unwrap();
        load.end_file().unwrap();
        let mut session: Session<CpuBackend> = Session::new(|| 0.0);
        let info = session.finish_base(load, sha256.to_owned()).unwrap();
        (session, info.files_sha256)
    };
    let sha256 = sha256_hex(&weights);
    let (mut session, of_base) = loaded(&config, &tokenizer, none, &sha256);
    let hashes = [sha256_hex(&config), sha256_hex(&tokenizer), sha256.clone()];
    assert_eq!(of_base, files_sha256(&hashes));
    let changed = |bytes: &[u8]| [bytes, b"\n"].concat();
    let beside = AddedTokenFiles { tokenizer_config: Some(b"{}"), ..none };
    let mapped = AddedTokenFiles { special_tokens_map: Some(b"{}"), ..none };
    for other in [
        loaded(&changed(&config), &tokenizer, none, &sha256).1,
        loaded(&config, &changed(&tokenizer), none, &sha256).1,
        loaded(&config, &tokenizer, beside, &sha256).1,
        loaded(&config, &tokenizer, mapped, &sha256).1,
        loaded(&config, &tokenizer, none, &"0".repeat(64)).1,
        // Files of this computer have no hash.
        loaded(&config, &tokenizer, none, "").1,
    ] {
        assert_ne!(other, of_base);
    }

    let [config, weights] = ["adapter_config.json", "adapter_model.safetensors"]
        .map(|name| file(&format!("adapters/first/{name}")));
    let of_module = session.add_module("a", &config, weights.clone()).unwrap().files_sha256;
    assert_eq!(of_module, files_sha256(&[sha256_hex(&config), sha256_hex(&weights)]));
    let other = session.add_module("a", &changed(&config), weights).unwrap().files_sha256;
    assert_ne!(other, of_module);
}
