//! Hostile inputs against every reader: the memory and the time that each takes stay in proportion to the
//! input, however much a small file asks for.
//!
//! A program of its own, because it counts every allocation. Its tests run one at a time for the same reason.

#[path = "../archive.rs"]
mod archive;
#[path = "../limits.rs"]
mod limits;

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use loraloom::formats::{
    AddedTokenFiles, ExamplesFormat, GgufFile, GgufModel, GgufValue, GgufWriter, SafetensorsFile,
    Tokenizer, TorchFile, WeightsStream, parse_examples, shard_names,
};
use loraloom::lora::PeftAdapter;
use loraloom::model::{ModelBuilder, ModelError, Precision, parse_config};
use loraloom::recipe;
use loraloom::registry::Registry;
use loraloom::session::{BaseLabel, BaseLoad};
use serde_json::json;

use archive::archive;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Held by each test, as what another allocates is counted too.
fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a reader on an input of that many bytes, and checks what it took beside the input.
fn within_budget<T>(name: &str, input_bytes: usize, read: impl FnOnce() -> T) -> T {
    limits::within_limits(input_bytes, read, |bytes, time| {
        println!(
            "{name}: {:.2} MB read in {:.2} s, {:.1} MB at most, {:.1} MB are allowed",
            input_bytes as f64 / 1e6,
            time.as_secs_f64(),
            bytes as f64 / 1e6,
            limits::allowed_bytes(input_bytes) as f64 / 1e6,
        );
    })
}

/// The text of an error, which a hostile input has to end in.
fn refused<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    result.err().expect("a refusal").to_string()
}

// --- tokenizers ---------------------------------------------------------------------------

/// A `tokenizer.json` of these pieces, with a normaliser and added tokens as JSON.
fn tokenizer(pieces: &str, normalizer: &str, added: &str) -> Vec<u8> {
    let comma = if added.is_empty() { "" } else { "," };
    let mark = r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}"#;
    format!(
        r#"{{"model": {{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>",0],["</s>",0]{pieces}]}},
             "added_tokens": [{{"id": 1, "content": "</s>", "special": true}}{comma}{added}],
             "normalizer": {normalizer}, "pre_tokenizer": {mark}, "decoder": {mark},
             "post_processor": {{"single": [{{"Sequence": {{"id": "A"}}}},
                                           {{"SpecialToken": {{"id": "</s>"}}}}],
                                "special_tokens": {{"</s>": {{"ids": [1]}}}}}}}}"#
    )
    .into_bytes()
}

/// A normaliser that makes 65,536 of each `a`.
fn multiplying() -> String {
    let step = json!({
        "type": "Replace", "pattern": { "String": "a" }, "content": "a".repeat(16)
    });
    json!({ "type": "Sequence", "normalizers": [step, step, step, step] }).to_string()
}

#[test]
fn a_normaliser_that_multiplies_a_text() {
    let _alone = alone();
    let file = tokenizer("", &multiplying(), "");
    let text = "a".repeat(3000);
    let error = within_budget("normaliser", file.len() + text.len(), || {
        refused(Tokenizer::parse(&file).unwrap().encode(&text))
    });
    assert!(error.contains("the normalised text"), "{error}");
}

#[test]
fn added_tokens_that_a_normaliser_multiplies() {
    let _alone = alone();
    let added: Vec<String> = (0..800)
        .map(|number| {
            let content = format!("{number}{}", "a".repeat(250));
            json!({ "id": number + 2, "content": content, "normalized": true }).to_string()
        })
        .collect();
    let file = tokenizer("", &multiplying(), &added.join(","));
    within_budget("normalised added tokens", file.len(), || refused(Tokenizer::parse(&file)));
}

#[test]
fn added_tokens_of_every_length() {
    let _alone = alone();
    let added: Vec<String> = (1..=256)
        .map(|length| json!({ "id": length + 1, "content": "a".repeat(length - 1) + "b" }))
        .map(|token| token.to_string())
        .collect();
    let file = tokenizer("", "null", &added.join(","));
    let tokenizer = Tokenizer::parse(&file).unwrap();
    let text = "a".repeat(256 << 10);
    within_budget("added tokens of every length", text.len(), || refused(tokenizer.encode(&text)));
}

#[test]
fn a_long_text_of_few_different_pieces_is_within_the_work_of_a_text() {
    let _alone = alone();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/formats/tokenizer/published.json");
    let tokenizer = Tokenizer::parse(&std::fs::read(path).unwrap()).unwrap();
    for part in ["a", " ", ".", "the Internationalization of <extra_id_0> ", "größte ", "水"] {
        let text = part.repeat((256 << 10) / part.len());
        within_budget(&format!("{part:?}, again and again"), text.len(), || {
            tokenizer.encode(&text).unwrap()
        });
    }
}

/// Found by the fuzz target `tokenizer_rules`, when a stream decoded all ids before each one with it.
#[test]
fn a_text_is_streamed_within_its_time() {
    let _alone = alone();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/formats/tokenizer/published.json");
    let tokenizer = Tokenizer::parse(&std::fs::read(path).unwrap()).unwrap();
    let text = "größte 水 ".repeat(16 << 10);
    let ids = tokenizer.encode(&text).unwrap();
    let streamed = within_budget("a streamed answer", text.len(), || {
        let mut stream = tokenizer.text_stream();
        ids.iter().map(|&id| stream.push(id)).collect::<String>()
    });
    assert_eq!(streamed, tokenizer.decode(&ids));
}

#[test]
fn added_tokens_that_strip_long_whitespace() {
    let _alone = alone();
    for strip in ["lstrip", "rstrip"] {
        let added = format!(r#"{{"id": 2, "content": " ", "{strip}": true}}"#);
        let tokenizer = Tokenizer::parse(&tokenizer("", "null", &added)).unwrap();
        let text = " ".repeat(256 << 10);
        within_budget(strip, text.len(), || tokenizer.encode(&text).unwrap());
    }
}

#[test]
fn pieces_of_every_length() {
    let _alone = alone();
    let mut pieces = String::new();
    for length in 1..=256 {
        write!(pieces, r#",["{}",-1]"#, "a".repeat(length)).unwrap();
    }
    let tokenizer = Tokenizer::parse(&tokenizer(&pieces, "null", "")).unwrap();
    let text = "a".repeat(256 << 10);
    within_budget("pieces of every length", text.len(), || refused(tokenizer.encode(&text)));
}

#[test]
fn a_vocabulary_of_as_many_pieces_as_are_read() {
    let _alone = alone();
    let mut pieces = String::new();
    for number in 2..1 << 20 {
        write!(pieces, r#",["{number:x}",0]"#).unwrap();
    }
    let file = tokenizer(&pieces, "null", "");
    within_budget("vocabulary", file.len(), || Tokenizer::parse(&file).unwrap());
    let mut pieces = String::new();
    for _ in 0..3 << 20 {
        pieces.push_str(r#",["",0]"#);
    }
    let file = tokenizer(&pieces, "null", "");
    within_budget("vocabulary of empty pieces", file.len(), || refused(Tokenizer::parse(&file)));
}

#[test]
fn parts_of_a_tokenizer_that_hold_many_values() {
    let _alone = alone();
    for (name, value, count) in
        [("numbers", "0", 4 << 20), ("lists", "[]", 4 << 20), ("objects", r#"{"":0}"#, 2 << 20)]
    {
        let normalizer = format!("[{}]", vec![value; count].join(","));
        let file = tokenizer("", &normalizer, "");
        within_budget(&format!("normaliser of {name}"), file.len(), || {
            refused(Tokenizer::parse(&file))
        });
    }
    let file = tokenizer("", "null", "");
    let many = format!(r#"{{"a":[{}]}}"#, vec![r#"{"":0}"#; 2 << 20].join(","));
    let none = AddedTokenFiles::default();
    let beside = AddedTokenFiles { tokenizer_config: Some(many.as_bytes()), ..none };
    within_budget("tokenizer_config.json of objects", file.len() + many.len(), || {
        refused(Tokenizer::parse_with(&file, beside))
    });
    let many = format!(r#"{{"a":[{}]}}"#, vec!["0"; 8 << 20].join(","));
    let beside = AddedTokenFiles { added_tokens: Some(many.as_bytes()), ..none };
    within_budget("added_tokens.json of numbers", file.len() + many.len(), || {
        refused(Tokenizer::parse_with(&file, beside))
    });
}

// --- weights ------------------------------------------------------------------------------

/// A safetensors file of this header and so many bytes of data.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + data, 0);
    file
}

#[test]
fn a_safetensors_header_as_long_as_is_read() {
    let _alone = alone();
    let mut header = String::from("{");
    let mut number = 0;
    while header.len() < (16 << 20) - 200 {
        let comma = if number == 0 { "" } else { "," };
        write!(header, r#"{comma}"{number:x}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#)
            .unwrap();
        number += 1;
    }
    header.push('}');
    let file = safetensors(&header, 0);
    let bytes = file.len();
    let copy = file.clone();
    within_budget("safetensors header", bytes, || drop(SafetensorsFile::parse(copy)));
    within_budget("safetensors header that arrives", bytes, || stream(CONFIG, &file).err());
    let header = format!(r#"{{"__metadata__":{{{}}}}}"#, {
        let entries: Vec<String> = (0..1 << 20).map(|n| format!(r#""{n:x}":"""#)).collect();
        entries.join(",")
    });
    let file = safetensors(&header, 0);
    within_budget("safetensors metadata", file.len(), || drop(SafetensorsFile::parse(file)));
}

/// A configuration of small sizes.
const CONFIG: &str = r#"{"model_type": "t5", "d_model": 8, "num_layers": 1, "vocab_size": 100}"#;

/// Reads weights that arrive in pieces into a model's builder.
fn stream(config: &str, file: &[u8]) -> Result<(), ModelError> {
    let mut builder = ModelBuilder::new(parse_config(config.as_bytes())?, Precision::Int8);
    let mut stream = WeightsStream::new();
    stream.expect(file.len() as u64);
    for piece in file.chunks(64 << 10) {
        stream.push(piece, &mut builder)?;
    }
    stream.finish(&mut builder)?;
    builder.finish().map(drop)
}

/// The header of a GGUF file with one tensor of Q4_0 and these sizes, followed by `data` bytes.
fn claiming(name: &str, shape: [u64; 2], data: usize) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend(1u64.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.extend((name.len() as u64).to_le_bytes());
    file.extend(name.bytes());
    file.extend(2u32.to_le_bytes());
    file.extend(shape[1].to_le_bytes());
    file.extend(shape[0].to_le_bytes());
    file.extend(2u32.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.resize(file.len().next_multiple_of(32) + data, 0);
    file
}

#[test]
fn a_file_that_claims_larger_tensors_than_it_has() {
    let _alone = alone();
    let config = r#"{"model_type": "t5", "d_model": 4064, "num_layers": 1, "vocab_size": 1048576}"#;
    let file = claiming("shared.weight", [1 << 20, 4064], 1 << 20);
    within_budget("GGUF that claims 2^20 x 4064", file.len(), || refused(stream(config, &file)));
    let copy = file.clone();
    within_budget("GGUF that claims 2^20 x 4064, whole", file.len(), || {
        refused(GgufFile::parse(copy))
    });
    for precision in [Precision::Int8, Precision::F32] {
        let mut builder = ModelBuilder::new(parse_config(config.as_bytes()).unwrap(), precision);
        let header = r#"{"shared.weight":{"dtype":"F32","shape":[1048576,4064],"data_offsets":[0,17045651456]}}"#;
        let file = safetensors(header, 1 << 20);
        within_budget("safetensors that claims 2^20 x 4064", file.len(), || {
            let mut stream = WeightsStream::new();
            stream.expect(file.len() as u64);
            refused(stream.push(&file, &mut builder))
        });
    }
}

#[test]
fn a_gguf_header_of_many_small_parts() {
    let _alone = alone();
    let mut many = b"GGUF".to_vec();
    many.extend(3u32.to_le_bytes());
    many.extend((1u64 << 16).to_le_bytes());
    many.extend(0u64.to_le_bytes());
    for number in 0..1u32 << 16 {
        many.extend(4u64.to_le_bytes());
        many.extend(format!("{number:04x}").bytes());
        many.extend(0u32.to_le_bytes());
        many.extend(0u32.to_le_bytes());
        many.extend(0u64.to_le_bytes());
    }
    many.resize(many.len().next_multiple_of(32) + 4, 0);
    let copy = many.clone();
    within_budget("GGUF of 65,536 tensors", many.len(), || drop(GgufFile::parse(copy)));
    within_budget("GGUF of 65,536 tensors that arrives", many.len(), || {
        stream(CONFIG, &many).err()
    });
    let count = 1 << 20;
    let mut tokens = GgufWriter::default();
    for (key, value) in [
        ("general.architecture", GgufValue::Text("t5".into())),
        ("tokenizer.ggml.model", GgufValue::Text("t5".into())),
        ("tokenizer.ggml.tokens", GgufValue::Texts(vec!["a".into(); count])),
        ("tokenizer.ggml.scores", GgufValue::F32s(vec![0.0; count])),
        // Each of them a control token.
        ("tokenizer.ggml.token_type", GgufValue::I32s([&[2], &vec![3; count - 1][..]].concat())),
        ("t5.attention.layer_norm_rms_epsilon", GgufValue::F32(1e-6)),
    ] {
        tokens.set(key, value);
    }
    for key in [
        "t5.embedding_length",
        "t5.feed_forward_length",
        "t5.attention.key_length",
        "t5.attention.head_count",
        "t5.block_count",
        "t5.attention.relative_buckets_count",
        "t5.decoder_start_token_id",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.padding_token_id",
    ] {
        tokens.set(key, GgufValue::U32(8));
    }
    let tokens = tokens.finish();
    within_budget("GGUF of control tokens", tokens.len(), || refused(GgufModel::read(&tokens)));
    let mut texts = GgufWriter::default();
    texts.set("general.architecture", GgufValue::Text("t5".into()));
    texts.set("tokenizer.ggml.tokens", GgufValue::Texts(vec![String::new(); 4 << 20]));
    let texts = texts.finish();
    within_budget("GGUF of empty texts", texts.len(), || refused(GgufModel::read(&texts)));
    within_budget("GGUF of empty texts that arrives", texts.len(), || {
        let mut load = BaseLoad::of_gguf(BaseLabel::default(), Precision::Int8);
        let mut pieces = texts.chunks(64 << 10);
        assert!(pieces.all(|piece| load.push(piece).is_ok()) && load.end_file().is_err());
    });
}

/// Pickles for a state dictionary whose tensors share one storage.
struct Pickle(Vec<u8>);

impl Pickle {
    /// The start, with `_rebuild_tensor_v2` as memo 0 and the storage as memo 1.
    fn new(key: &str, elements: u32) -> Self {
        let mut pickle = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x000".to_vec();
        pickle.extend(b"(");
        pickle.extend(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
        for text in [key, "cpu"] {
            pickle.extend(b"X");
            pickle.extend((text.len() as u32).to_le_bytes());
            pickle.extend(text.bytes());
        }
        pickle.extend(b"J");
        pickle.extend(elements.to_le_bytes());
        pickle.extend(b"tQq\x010");
        Self(pickle)
    }

    fn text(&mut self, text: &str) {
        self.0.extend(b"X");
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.bytes());
    }

    /// A tensor of the whole storage or less.
    fn tensor(&mut self, shape: [u32; 2]) {
        self.0.extend(b"h\x00(h\x01K\x00");
        for pair in [shape, [shape[1], 1]] {
            for number in pair {
                self.0.extend(b"J");
                self.0.extend(number.to_le_bytes());
            }
            self.0.extend(b"\x86");
        }
        self.0.extend(b"\x89NtR");
    }
}

#[test]
fn layers_that_share_one_storage() {
    let _alone = alone();
    let (rank, width) = (4u32, 1u32 << 17);
    let mut pickle = Pickle::new("0", rank * width);
    pickle.0.extend(b"}(");
    for block in 0..5000 {
        for (half, shape) in [("A", [rank, width]), ("B", [width, rank])] {
            pickle.text(&format!(
                "base_model.model.encoder.block.{block}.layer.0.SelfAttention.q.lora_{half}.weight"
            ));
            pickle.tensor(shape);
        }
    }
    pickle.0.extend(b"u.");
    let storage = vec![0; (rank * width * 4) as usize];
    let file = archive(&[("a/data.pkl", &pickle.0), ("a/data/0", &storage)]);
    let config = br#"{"peft_type": "LORA", "r": 4, "lora_alpha": 4}"#;
    let error = within_budget("adapter of layers that share a storage", file.len(), || {
        refused(PeftAdapter::parse(config, file.clone()))
    });
    assert!(error.contains("share their elements"), "{error}");
}

#[test]
fn a_base_whose_tensors_share_one_storage() {
    let _alone = alone();
    let config = r#"{"model_type": "t5", "d_model": 1024, "d_kv": 64, "num_heads": 16, "d_ff": 1024,
                     "num_layers": 256, "vocab_size": 1024}"#;
    let mut pickle = Pickle::new("0", 1 << 20);
    pickle.0.extend(b"}(");
    pickle.text("shared.weight");
    pickle.tensor([1024, 1024]);
    for stack in ["encoder", "decoder"] {
        for block in 0..256 {
            for name in ["q", "k", "v", "o"] {
                pickle.text(&format!("{stack}.block.{block}.layer.0.SelfAttention.{name}.weight"));
                pickle.tensor([1024, 1024]);
            }
        }
    }
    pickle.0.extend(b"u.");
    let file = archive(&[("a/data.pkl", &pickle.0), ("a/data/0", &vec![0; 4 << 20])]);
    let error = within_budget("base whose tensors share a storage", file.len(), || {
        refused(stream(config, &file))
    });
    assert!(error.contains("share their elements"), "{error}");
}

#[test]
fn a_pickle_of_as_many_values_as_are_read() {
    let _alone = alone();
    for (name, repeated) in [
        ("lists", &b"]"[..]),
        ("memoised lists", b"]\x94"),
        ("dictionaries", b"}\x94"),
        ("tuples", b")\x94"),
        ("marks", b"("),
    ] {
        let mut pickle = b"\x80\x04".to_vec();
        while pickle.len() < (4 << 20) - 8 {
            pickle.extend(repeated);
        }
        pickle.push(b'.');
        let file = archive(&[("a/data.pkl", &pickle)]);
        within_budget(&format!("pickle of {name}"), file.len(), || {
            drop(TorchFile::parse(file.clone()))
        });
    }
    let mut pickle = Pickle::new(&"k".repeat(256), 1);
    pickle.0.extend(b"(h\x01K\x00K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01tq\x020");
    pickle.0.extend(b"(h\x01K\x00(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01tN]tq\x020");
    while pickle.0.len() < (4 << 20) - 8 {
        pickle.0.extend(b"h\x00h\x02R0");
    }
    pickle.0.extend(b".");
    let file = archive(&[("a/data.pkl", &pickle.0)]);
    within_budget("pickle of tensors", file.len(), || drop(TorchFile::parse(file.clone())));
}

// --- adapters' configurations ---------------------------------------------------------------

/// Weights of an adapter of many layers.
fn adapter_weights() -> Vec<u8> {
    let mut header = String::from("{");
    let mut offset = 0;
    for block in 0..24 {
        for kind in ["q", "k", "v", "o"] {
            for half in ["A", "B"] {
                let comma = if offset == 0 { "" } else { "," };
                let end = offset + 4;
                write!(
                    header,
                    r#"{comma}"base_model.model.encoder.block.{block}.layer.0.SelfAttention.{kind}.lora_{half}.weight":{{"dtype":"F32","shape":[1,1],"data_offsets":[{offset},{end}]}}"#
                )
                .unwrap();
                offset = end;
            }
        }
    }
    header.push('}');
    safetensors(&header, offset)
}

#[test]
fn many_and_large_regular_expressions() {
    let _alone = alone();
    let weights = adapter_weights();
    let alternatives = vec!["[a-z]x"; 40].join("|");
    for (name, pattern, count, accepted) in [
        ("of 9,000 repetitions", "[a-z]{9000}", 3000, false),
        ("of nested repetitions", "((((.?){30}){30}){30})x", 3000, false),
        ("of word characters", r"\w{5000}", 3000, false),
        ("of alternatives", alternatives.as_str(), 3000, false),
        ("of alternatives, as many as are accepted", alternatives.as_str(), 120, true),
        ("of a few names", "block.[0-9].q", 500, true),
    ] {
        let patterns: Vec<String> =
            (0..count).map(|number| format!(r#""{pattern}{number}":1"#)).collect();
        let config = format!(
            r#"{{"peft_type": "LORA", "r": 1, "lora_alpha": 1, "rank_pattern": {{{}}},
                 "target_modules": "(.*a|.*b|.*c|.*d)*.*"}}"#,
            patterns.join(",").replace('\\', r"\\")
        );
        let bytes = config.len() + weights.len();
        let result = within_budget(&format!("{count} regular expressions {name}"), bytes, || {
            PeftAdapter::parse(config.as_bytes(), weights.clone())
        });
        match result {
            Ok(_) => assert!(accepted, "{name}"),
            Err(error) => assert!(!accepted && error.to_string().contains("size limit"), "{error}"),
        }
    }
}

#[test]
fn an_adapter_configuration_of_many_values() {
    let _alone = alone();
    for (name, value) in [("numbers", "0"), ("objects", r#"{"":0}"#), ("objects in each other", "")]
    {
        let many = if value.is_empty() {
            let objects: Vec<String> =
                (0..7000).map(|_| r#"{"":"#.repeat(100) + "0" + &"}".repeat(100)).collect();
            objects.join(",")[..(1 << 20) - 1000].to_owned()
        } else {
            vec![value; ((1 << 20) - 200) / (value.len() + 1)].join(",")
        };
        let config = format!(r#"{{"peft_type": "LORA", "r": 1, "lora_alpha": 1, "a": [{many}]}}"#);
        within_budget(&format!("adapter configuration of {name}"), config.len(), || {
            drop(PeftAdapter::parse(config.as_bytes(), Vec::new()))
        });
    }
}

// --- lists and texts ------------------------------------------------------------------------

#[test]
fn an_index_of_shards_of_many_names() {
    let _alone = alone();
    let names: Vec<String> = (0..1 << 20).map(|number| format!(r#""{number:x}":"""#)).collect();
    let index = format!(r#"{{"weight_map": {{{}}}}}"#, names.join(","));
    within_budget("index of shards", index.len(), || refused(shard_names(index.as_bytes())));
    let names: Vec<String> =
        (0..1 << 19).map(|number| format!(r#""{number:x}":"{number:x}""#)).collect();
    let index = format!(r#"{{"weight_map": {{{}}}}}"#, names.join(","));
    within_budget("index of shards, each another", index.len(), || {
        refused(shard_names(index.as_bytes()))
    });
}

#[test]
fn a_registry_of_many_values() {
    let _alone = alone();
    let module = r#"{"id":"","title":"","task":"","base":"","rank":0,"targets":[],"license":"","files":{"config":{"path":""},"weights":{"path":""}}}"#;
    let modules = vec![module; (32 << 20) / (module.len() + 1) - 10].join(",");
    let registry = format!(r#"{{"version": 1, "title": "", "bases": [], "modules": [{modules}]}}"#);
    within_budget("registry of modules", registry.len(), || {
        refused(Registry::parse(registry.as_bytes()))
    });
    let many = vec![r#"{"":0}"#; 4 << 20].join(",");
    let registry = format!(r#"{{"version": [{many}]}}"#);
    within_budget("registry of objects", registry.len(), || {
        refused(Registry::parse(registry.as_bytes()))
    });
    let tags = vec![r#""""#; 250].join(",");
    let module = format!(
        r#"{{"id":"","title":"","task":"","base":"","rank":0,"targets":[],"license":"","tags":[{tags}],
            "files":{{"config":{{"path":""}},"weights":{{"path":""}}}}}}"#
    );
    let modules = vec![module.as_str(); (32 << 20) / (module.len() + 1) - 10].join(",");
    let registry = format!(r#"{{"version": 1, "title": "", "bases": [], "modules": [{modules}]}}"#);
    within_budget("registry of tags", registry.len(), || {
        refused(Registry::parse(registry.as_bytes()))
    });
    let pages = vec![r#"{"path":""}"#; 2 << 20].join(",");
    let registry = format!(
        r#"{{"version": 1, "title": "", "bases": [], "modules": [], "tasks": [],
            "index": {{"modules": 1, "page_modules": 1, "terms": [], "tags": [], "ranks": [], "pages": [{pages}]}}}}"#
    );
    let error = within_budget("registry of pages", registry.len(), || {
        refused(Registry::parse(registry.as_bytes()))
    });
    assert!(error.contains("at most"), "{error}");
}

#[test]
fn examples_of_many_values() {
    let _alone = alone();
    let bytes = 8 << 20;
    let cases = [
        ("lines", "a\n".repeat(bytes / 2)),
        ("columns", ",".repeat(bytes)),
        ("bars", "|".repeat(bytes)),
        ("quotes", "\"\n".repeat(bytes / 2)),
        ("empty lists", "[".to_owned() + &"[],".repeat(bytes / 3 - 1) + "[]]"),
        ("objects", "{}".repeat(bytes / 2)),
        ("empty pairs", "[".to_owned() + &r#"["",""],"#.repeat(bytes / 8 - 1) + r#"["",""]]"#),
        ("nested lists", "[".repeat(bytes)),
        (
            "one object",
            format!(
                "{{{}}}",
                (0..600_000).map(|n| format!(r#""{n:x}":0"#)).collect::<Vec<_>>().join(",")
            ),
        ),
        (
            "columns in JSON",
            format!(r#"{{"input": [{0}], "output": [{0}]}}"#, vec!["0"; bytes / 4 - 40].join(",")),
        ),
        ("header", "input,output,".to_owned() + &"a,".repeat(bytes / 2 - 20)),
        ("tabs", "input\toutput\n".to_owned() + &"\t\n".repeat(bytes / 2 - 20)),
    ];
    for (name, text) in cases {
        let text = &text[..text.len().min(bytes)];
        within_budget(&format!("examples of {name}"), text.len(), || {
            drop(parse_examples(text, ExamplesFormat::Auto))
        });
    }
}

#[test]
fn links_of_any_length() {
    let _alone = alone();
    for text in ["A".repeat(300 << 10), "_".repeat(87 << 10), "A".repeat(16 << 20)] {
        within_budget("link", text.len(), || refused(recipe::decode(&text)));
    }
}
