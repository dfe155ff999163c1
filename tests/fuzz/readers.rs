//! Every reader of files as a function of bytes, which the fuzz targets call with arbitrary bytes and
//! `mutations.rs` with mutated files. None may panic; accepted files are used as the engine uses them.

#[path = "../archive.rs"]
mod archive;
#[path = "structured.rs"]
pub mod structured;

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use loraloom::formats::{
    ExamplesFormat, GgufFile, SafetensorsFile, TensorSource, Tokenizer, TorchFile, parse_examples,
    shard_names,
};
use loraloom::lora::{AdapterConfig, PeftAdapter};
use loraloom::model::t5::{T5Config, T5Model};
use loraloom::model::{Control, Model, Precision, TokenizedExample};
use loraloom::recipe;
use loraloom::registry::Registry;
use loraloom::session::{BaseLabel, BaseLoad};
use sha2::{Digest, Sha256};

/// A reader, and the files to mutate.
pub struct Reader {
    /// Name of the reader and of its fuzz target.
    pub name: &'static str,
    /// Reads bytes and uses the result; returns whether they were accepted.
    pub read: fn(&[u8]) -> bool,
    /// Valid files, relative to `tests/`.
    pub seeds: &'static [&'static str],
}

/// All readers.
pub const READERS: &[Reader] = &[
    Reader {
        name: "safetensors",
        read: safetensors,
        seeds: &["formats/weights/plain.safetensors"],
    },
    Reader {
        name: "gguf",
        read: gguf,
        seeds: &[
            "formats/weights/hugging_face.gguf",
            "formats/weights/llama.gguf",
            "formats/weights/blocks.gguf",
        ],
    },
    Reader {
        name: "pickle",
        read: pickle,
        seeds: &[
            "formats/weights/plain.bin",
            "formats/weights/views.bin",
            "formats/weights/protocol_4.bin",
            "formats/weights/ordered.bin",
        ],
    },
    Reader {
        name: "tokenizer",
        read: tokenizer,
        seeds: &["formats/tokenizer/published.json", "formats/tokenizer/first.json"],
    },
    Reader {
        name: "adapter_config",
        read: adapter_config,
        seeds: &[
            "fuzz/seeds/adapter_config.json",
            "golden/models/relu-tied/adapters/first/adapter_config.json",
            "golden/models/relu-tied/adapters/patterned/adapter_config.json",
        ],
    },
    Reader {
        name: "adapter_weights",
        read: adapter_weights,
        seeds: &["fuzz/seeds/adapter_model.safetensors"],
    },
    Reader { name: "model_config", read: model_config, seeds: &["fuzz/seeds/config.json"] },
    Reader { name: "registry", read: registry, seeds: &["formats/registry.json"] },
    Reader { name: "few_shot", read: few_shot, seeds: &["learn/model/examples.jsonl"] },
    Reader {
        name: "spiece",
        read: tokenizer,
        seeds: &["formats/tokenizer/spiece.model", "fuzz/seeds/spiece.model"],
    },
    Reader {
        name: "weights_stream",
        read: structured::stream,
        seeds: &["fuzz/seeds/model.safetensors", "fuzz/seeds/model.gguf"],
    },
    Reader { name: "gguf_alone", read: gguf_alone, seeds: &["fuzz/seeds/model.gguf"] },
    Reader { name: "shard_index", read: shard_index, seeds: &["fuzz/seeds/index.json"] },
    Reader { name: "recipe", read: recipe, seeds: &["formats/recipe/version_1.txt"] },
];

/// Reads every tensor of a file.
fn tensors(source: &dyn TensorSource) -> bool {
    for name in source.names() {
        if let Ok(Some(tensor)) = source.tensor(&name) {
            let _ = tensor.to_f32();
        }
    }
    true
}

pub fn safetensors(bytes: &[u8]) -> bool {
    SafetensorsFile::parse(bytes.to_vec()).is_ok_and(|file| tensors(&file))
}

pub fn gguf(bytes: &[u8]) -> bool {
    GgufFile::parse(bytes.to_vec()).is_ok_and(|file| tensors(&file))
}

pub fn pickle(bytes: &[u8]) -> bool {
    TorchFile::parse(bytes.to_vec()).is_ok_and(|file| tensors(&file))
}

pub fn tokenizer(bytes: &[u8]) -> bool {
    let Ok(tokenizer) = Tokenizer::parse(bytes) else { return false };
    if let Ok(ids) = tokenizer.encode("List: “größte”  水, </s> <extra_id_0> 1,234.5") {
        let _ = tokenizer.decode(&ids);
    }
    let _ = tokenizer.decode(&[0, 1, 2, 200, u32::MAX]);
    true
}

/// A GGUF file alone, in pieces.
pub fn gguf_alone(bytes: &[u8]) -> bool {
    let mut load = BaseLoad::of_gguf(BaseLabel::default(), Precision::Int8);
    load.expect_file(bytes.len() as u64);
    bytes.chunks(4096).all(|piece| load.push(piece).is_ok()) && load.end_file().is_ok()
}

pub fn shard_index(bytes: &[u8]) -> bool {
    shard_names(bytes).is_ok()
}

// Readers that need a model or an adapter beside their input have those of `seeds/make.py`.
const CONFIG: &[u8] = include_bytes!("seeds/config.json");
const WEIGHTS: &[u8] = include_bytes!("seeds/model.safetensors");
const ADAPTER_CONFIG: &[u8] = include_bytes!("seeds/adapter_config.json");
const ADAPTER_WEIGHTS: &[u8] = include_bytes!("seeds/adapter_model.safetensors");

pub fn adapter_config(bytes: &[u8]) -> bool {
    // With weights whose layers match every pattern of the configuration.
    let _ = PeftAdapter::parse(bytes, ADAPTER_WEIGHTS.to_vec());
    AdapterConfig::parse(bytes).is_ok()
}

pub fn adapter_weights(bytes: &[u8]) -> bool {
    PeftAdapter::parse(ADAPTER_CONFIG, bytes.to_vec()).is_ok()
}

pub fn model_config(bytes: &[u8]) -> bool {
    static FILE: LazyLock<SafetensorsFile> =
        LazyLock::new(|| SafetensorsFile::parse(WEIGHTS.to_vec()).expect("a fixture"));
    let Ok(config) = T5Config::parse(bytes) else { return false };
    let Ok(model) = T5Model::load(config, &*FILE, Precision::Int8) else { return false };
    let example = TokenizedExample { input: vec![5, 9, 1], labels: vec![7, 1] };
    model.losses(&[example], None, &Control::none()).is_ok()
}

pub fn registry(bytes: &[u8]) -> bool {
    Registry::parse(bytes).is_ok()
}

pub fn few_shot(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let formats =
        [ExamplesFormat::Auto, ExamplesFormat::Jsonl, ExamplesFormat::Csv, ExamplesFormat::Tsv];
    formats.map(|format| parse_examples(&text, format).is_ok()).contains(&true)
}

/// Reads a link as it is, and with a corrected checksum, so that mutations reach the decoder.
pub fn recipe(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|mut link| {
        link.truncate(link.len().checked_sub(4)?);
        let sum = Sha256::digest(&link);
        link.extend(&sum[..4]);
        Some(BASE64_URL_SAFE_NO_PAD.encode(link))
    });
    let mut accepted = false;
    for link in [Some(text.into_owned()), sealed].into_iter().flatten() {
        if let Ok(read) = recipe::decode(&link) {
            let again = recipe::encode(&read).expect("a decoded recipe can be encoded");
            // NaN is rejected, so equality holds.
            assert_eq!(recipe::decode(&again).as_ref(), Ok(&read));
            accepted = true;
        }
    }
    accepted
}
