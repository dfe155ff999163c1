//! Inputs that are made from bytes in the shape of a format, so that a fuzzer reaches what comes after the checks that
//! arbitrary bytes fail: programs of pickle instructions, GGUF headers, tokenizers, adapter configurations, edited
//! packed copies. Each function returns nothing: none may panic.

use std::sync::LazyLock;

use loraloom::formats::{GgufFile, GgufModel, Tokenizer, TorchFile, WeightsStream};
use loraloom::lora::{AdapterSet, Merge, PeftAdapter};
use loraloom::model::{
    ModelBuilder, ModelConfig, PackedCopy, PackedReader, PackedSource, Precision, parse_config,
};
use loraloom::registry::{
    Registry, RegistryFile, RemoteFolder, Schemes, hub_address, registry_address,
};
use loraloom::session::{BaseLabel, BaseLoad};

use super::archive::archive;
use super::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONFIG, WEIGHTS, tensors};

/// A maker of inputs, named as its fuzz target.
pub struct Structured {
    /// Name of the fuzz target.
    pub name: &'static str,
    /// Makes an input from bytes, and reads it.
    pub read: fn(&[u8]),
}

/// All makers.
pub const STRUCTURED: &[Structured] = &[
    Structured { name: "pickle_program", read: pickle_program },
    Structured { name: "gguf_header", read: gguf_header },
    Structured { name: "tokenizer_rules", read: tokenizer_rules },
    Structured { name: "encode", read: encode },
    Structured { name: "adapter_patterns", read: adapter_patterns },
    Structured { name: "compose", read: compose },
    Structured { name: "packed_copy", read: packed_copy },
    Structured { name: "pages", read: pages },
    Structured { name: "address", read: address },
];

/// Choices made from bytes; zeros at their end.
struct Choices<'b>(&'b [u8]);

impl<'b> Choices<'b> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn one<T: Copy>(&mut self, options: &[T]) -> T {
        options[usize::from(self.byte()) % options.len()]
    }

    fn rest(&mut self) -> &'b [u8] {
        std::mem::take(&mut self.0)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Instructions and sequences of them that `torch.save` writes.
const INSTRUCTIONS: &[&[u8]] = &[
    b"(", b")", b"]", b"}", b"t", b"\x85", b"\x86", b"\x87", b"0", b"1", b"a", b"e", b"s", b"u", b"b", b"R", b"Q",
    b"N", b"\x88", b"\x89", b"\x94", b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"r\x02\x00\x00\x00", b"j\x02\x00\x00\x00",
    b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch\nFloatStorage\n", b"ctorch\nHalfStorage\n", b"ctorch\nComplexFloatStorage\n", b"ctorch\nSize\n",
    b"X\x07\x00\x00\x00storage", b"X\x01\x00\x00\x000", b"X\x03\x00\x00\x00cpu", b"\x8c\x01w", b"U\x01v", b"\x93",
    b"K\x00", b"K\x01", b"K\x04", b"K\x10", b"M\x00\x01", b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x8a\x00", b"G\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\x95\x00\x00\x00\x00\x00\x00\x00\x00",
    // A storage of 16 numbers; a tensor of it.
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x10tQ",
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x10tQK\x00K\x04K\x04\x86K\x04K\x01\x86\x89NtR",
];

/// A state dictionary by any program of instructions.
pub fn pickle_program(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut program = b"\x80\x02".to_vec();
    while !choices.is_empty() {
        match choices.byte() {
            255 => program.push(choices.byte()),
            index => program.extend(INSTRUCTIONS[usize::from(index) % INSTRUCTIONS.len()]),
        }
    }
    program.push(b'.');
    let file = archive(&[("a/data.pkl", &program), ("a/data/0", &[0; 64])]);
    if let Ok(file) = TorchFile::parse(file) {
        tensors(&file);
    }
}

const KEYS: &[&str] = &[
    "general.architecture",
    "general.alignment",
    "tokenizer.ggml.model",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.precompiled_charsmap",
    "tokenizer.ggml.add_space_prefix",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.padding_token_id",
    "t5.embedding_length",
    "t5.feed_forward_length",
    "t5.attention.key_length",
    "t5.attention.head_count",
    "t5.block_count",
    "t5.decoder_block_count",
    "t5.attention.relative_buckets_count",
    "t5.decoder_start_token_id",
    "t5.attention.layer_norm_rms_epsilon",
    "t5.attention.relative_max_distance",
];
const TENSORS: &[&str] = &[
    "token_embd.weight",
    "output.weight",
    "enc.output_norm.weight",
    "dec.output_norm.weight",
    "enc.blk.0.attn_q.weight",
    "enc.blk.0.attn_rel_b.weight",
    "enc.blk.1.attn_rel_b.weight",
    "enc.blk.0.ffn_gate.weight",
    "dec.blk.0.cross_attn_k.weight",
    "shared.weight",
    "x",
];
const LENGTHS: &[u64] = &[0, 1, 2, 3, 8, 32, 256, 1 << 20, 1 << 32, u64::MAX];

/// A GGUF file with any metadata and any tensors, read whole, in pieces, and as a base alone.
pub fn gguf_header(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let (keys, tensor_count) = (choices.byte() % 32, choices.byte() % 8);
    let mut file = b"GGUF\x03\x00\x00\x00".to_vec();
    file.extend(u64::from(tensor_count).to_le_bytes());
    file.extend(u64::from(keys).to_le_bytes());
    let text = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u64).to_le_bytes());
        file.extend(text.bytes());
    };
    for _ in 0..keys {
        text(&mut file, choices.one(KEYS));
        let kind = choices.byte() % 13;
        file.extend(u32::from(kind).to_le_bytes());
        match kind {
            8 => text(&mut file, choices.one(&["t5", "t5encoder", "", "llama"])),
            9 => {
                let element = choices.one(&[0u32, 1, 4, 5, 6, 8, 9, 10]);
                file.extend(element.to_le_bytes());
                let length = choices.one(LENGTHS);
                file.extend(length.to_le_bytes());
                for _ in 0..length.min(8) {
                    match element {
                        8 => {
                            text(&mut file, choices.one(&["<unk>", "</s>", "<pad>", "▁a", "b", ""]))
                        }
                        9 => file.extend([0; 12]),
                        0 | 1 => file.push(choices.byte()),
                        _ => file.extend(u32::from(choices.byte()).to_le_bytes()),
                    }
                }
            }
            0 | 1 | 7 => file.push(choices.byte()),
            2 | 3 => file.extend([choices.byte(), 0]),
            10..=12 => file.extend([choices.byte(), 0, 0, 0, 0, 0, 0, 0]),
            _ => file.extend(choices.word().to_le_bytes()),
        }
    }
    for _ in 0..tensor_count {
        text(&mut file, choices.one(TENSORS));
        let dimensions = choices.byte() % 6;
        file.extend(u32::from(dimensions).to_le_bytes());
        for _ in 0..dimensions {
            file.extend(choices.one(LENGTHS).to_le_bytes());
        }
        file.extend(u32::from(choices.byte() % 32).to_le_bytes());
        file.extend((u64::from(choices.byte()) * 32).to_le_bytes());
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(choices.rest());
    let _ = GgufModel::read(&file);
    let mut load = BaseLoad::of_gguf(BaseLabel::default(), Precision::Int8);
    load.expect_file(file.len() as u64);
    if file.chunks(37).all(|piece| load.push(piece).is_ok()) {
        let _ = load.end_file();
    }
    stream(&file);
    if let Ok(file) = GgufFile::parse(file) {
        tensors(&file);
    }
}

static BASE: LazyLock<std::sync::Arc<dyn ModelConfig>> =
    LazyLock::new(|| parse_config(CONFIG).expect("a fixture"));

/// Reads weights that arrive in pieces of two lengths; returns whether they are a model's.
pub fn stream(bytes: &[u8]) -> bool {
    [4096, 13].map(|length| {
        let mut builder = ModelBuilder::new(BASE.clone(), Precision::Int8);
        let mut stream = WeightsStream::new();
        stream.expect(bytes.len() as u64);
        let pushed = bytes.chunks(length).try_for_each(|piece| stream.push(piece, &mut builder));
        pushed.and_then(|()| stream.finish(&mut builder)).and_then(|()| builder.finish()).is_ok()
    })[0]
}

const TEXTS: &[&str] = &[
    "a", "aa", "aaa", "▁", "▁a", " ", "  ", "b", "é", "ß", "<x>", "<x>y", "</s>", "<0x61>", "水",
    "\u{a0}", "1", "",
];

/// How often a normaliser's step writes a text for each that it finds. Most steps write few, as the time of several that
/// write many goes into text that is refused.
const REPETITIONS: &[usize] = &[0, 1, 1, 1, 1, 2, 2, 3, 4, 16];

/// A `tokenizer.json` with any normaliser, pieces and added tokens, and a text to encode.
pub fn tokenizer_rules(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let steps: Vec<String> = (0..choices.byte() % 6)
        .map(|_| match choices.byte() % 4 {
            0 => format!(
                r#"{{"type":"Strip","strip_left":{},"strip_right":true}}"#,
                choices.byte().is_multiple_of(2)
            ),
            1 => r#"{"type":"Replace","pattern":{"Regex":" {2,}"},"content":"▁"}"#.into(),
            _ => format!(
                r#"{{"type":"Replace","pattern":{{"String":"{}"}},"content":"{}"}}"#,
                choices.one(TEXTS),
                choices.one(TEXTS).repeat(choices.one(REPETITIONS))
            ),
        })
        .collect();
    let pieces: String = (0..choices.byte())
        .map(|_| {
            let piece = choices.one(TEXTS).repeat(1 + usize::from(choices.byte() % 4));
            format!(r#",["{piece}{}",-{}]"#, choices.one(TEXTS), choices.byte())
        })
        .collect();
    let flag = |choices: &mut Choices<'_>| choices.byte().is_multiple_of(2);
    let added: String = (0..choices.byte() % 32)
        .map(|_| {
            format!(
                r#",{{"id":{},"content":"{}{}","lstrip":{},"rstrip":{},"normalized":{},"special":{}}}"#,
                choices.byte(),
                choices.one(TEXTS),
                choices.one(TEXTS),
                flag(&mut choices),
                flag(&mut choices),
                flag(&mut choices),
                flag(&mut choices)
            )
        })
        .collect();
    let scheme = choices.one(&["always", "first", "never"]);
    let mark = format!(r#"{{"type":"Metaspace","replacement":"▁","prepend_scheme":"{scheme}"}}"#);
    let fallback = flag(&mut choices);
    let file = format!(
        r#"{{"model":{{"type":"Unigram","unk_id":0,"byte_fallback":{fallback},"vocab":[["<unk>",0],["</s>",0]{pieces}]}},
            "added_tokens":[{{"id":1,"content":"</s>","special":true}}{added}],
            "normalizer":{{"type":"Sequence","normalizers":[{}]}},"pre_tokenizer":{mark},"decoder":{mark},
            "post_processor":{{"single":[{{"Sequence":{{"id":"A"}}}},{{"SpecialToken":{{"id":"</s>"}}}}],
                               "special_tokens":{{"</s>":{{"ids":[1]}}}}}}}}"#,
        steps.join(",")
    );
    let Ok(tokenizer) = Tokenizer::parse(file.as_bytes()) else { return };
    let text: String = (0..64).map(|_| choices.one(TEXTS)).collect();
    use_tokenizer(&tokenizer, &text);
    use_tokenizer(&tokenizer, &String::from_utf8_lossy(choices.rest()));
}

fn use_tokenizer(tokenizer: &Tokenizer, text: &str) {
    let Ok(ids) = tokenizer.encode(text) else { return };
    let _ = tokenizer.decode(&ids);
    let _ = tokenizer.unwritable(text);
}

/// Any text by a published tokenizer.
pub fn encode(bytes: &[u8]) {
    static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
        let file = include_bytes!("../formats/tokenizer/published.json");
        Tokenizer::parse(file).expect("a fixture")
    });
    use_tokenizer(&TOKENIZER, &String::from_utf8_lossy(bytes));
}

const PARTS: &[&str] = &[
    "q",
    "v",
    "wi_0",
    "SelfAttention",
    "encoder",
    "decoder",
    "block",
    "layer",
    ".",
    "\\\\.",
    "(",
    ")",
    "|",
    "*",
    "+",
    "?",
    "[a-z]",
    "[^.]",
    "\\\\d",
    "\\\\w",
    "{9}",
    "{2,40}",
    "{900}",
    "^",
    "$",
    ".*",
    "(.*\\\\.)?",
    "[",
    "]",
    "0",
    "1",
];

/// An adapter configuration with any patterns, beside weights that have every kind of layer.
pub fn adapter_patterns(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let pattern = |choices: &mut Choices<'_>| -> String {
        (0..choices.byte() % 12).map(|_| choices.one(PARTS)).collect()
    };
    let patterns = |choices: &mut Choices<'_>| -> String {
        let list: Vec<String> = (0..choices.byte() % 8)
            .map(|_| format!(r#""{}":{}"#, pattern(choices), choices.byte()))
            .collect();
        list.join(",")
    };
    let (rank, alpha) = (patterns(&mut choices), patterns(&mut choices));
    let targets = match choices.byte() % 3 {
        0 => format!(r#""{}""#, pattern(&mut choices)),
        1 => format!(r#"["{}","q"]"#, pattern(&mut choices)),
        _ => r#""all-linear""#.into(),
    };
    let layers = match choices.byte() % 3 {
        0 => format!(
            r#","layers_to_transform":[0,{}],"layers_pattern":"{}""#,
            choices.byte(),
            pattern(&mut choices)
        ),
        _ => String::new(),
    };
    let config = format!(
        r#"{{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":{targets},"rank_pattern":{{{rank}}},
            "alpha_pattern":{{{alpha}}},"exclude_modules":"{}"{layers}}}"#,
        pattern(&mut choices)
    );
    let _ = PeftAdapter::parse(config.as_bytes(), ADAPTER_WEIGHTS.to_vec());
}

/// Adapters of any numbers that are accepted, composed by both merges.
pub fn compose(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let merge = choices.one(&[Merge::Lorahub, Merge::Delta]);
    let weights = [choices.word(), choices.word()].map(f32::from_bits);
    let mut file = ADAPTER_WEIGHTS.to_vec();
    while !choices.is_empty() {
        let at = choices.word() as usize % file.len();
        file[at] = choices.byte();
    }
    let adapters: Vec<PeftAdapter> = [ADAPTER_WEIGHTS.to_vec(), file]
        .into_iter()
        .filter_map(|weights| PeftAdapter::parse(ADAPTER_CONFIG, weights).ok())
        .collect();
    let refs: Vec<&PeftAdapter> = adapters.iter().collect();
    if let Ok(mut set) = AdapterSet::new(&**BASE, &refs, merge) {
        for precision in [Precision::Int8, Precision::F32] {
            let _ = set.branches(&weights[..refs.len()], precision);
        }
    }
}

/// A packed copy of a model with bytes of it changed.
pub fn packed_copy(bytes: &[u8]) {
    static COPY: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut builder = ModelBuilder::new(BASE.clone(), Precision::Int8);
        let mut stream = WeightsStream::new();
        stream.push(WEIGHTS, &mut builder).expect("a fixture");
        stream.finish(&mut builder).expect("a fixture");
        let source = PackedSource { sha256: "00".into(), bytes: WEIGHTS.len() as u64 };
        let copy = PackedCopy::new(&mut builder, source).expect("a whole model");
        copy.piece(0, copy.bytes() as usize)
    });
    let mut choices = Choices(bytes);
    let mut copy = COPY.clone();
    let (piece, end) = (64 + choices.word() as usize % 4096, choices.word() as usize);
    while !choices.is_empty() {
        // Most of them in the description at its start.
        let at = choices.word() as usize;
        let at = if at.is_multiple_of(4) { at % copy.len() } else { at % 512 };
        copy[at] = choices.byte();
    }
    copy.truncate(if end.is_multiple_of(4) { end % (copy.len() + 1) } else { copy.len() });
    let mut builder = ModelBuilder::new(BASE.clone(), Precision::Int8);
    let mut reader = PackedReader::default();
    let pushed = copy.chunks(piece).try_for_each(|piece| reader.push(piece, &mut builder));
    if pushed.and_then(|()| reader.finish().map(drop)).is_ok() {
        let _ = builder.finish();
    }
}

/// Bytes as a page, a shard, and a list of each, whose hashes the registry has.
pub fn pages(bytes: &[u8]) {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
        let listed =
            Registry::parse(include_bytes!("../formats/registry.json")).expect("a fixture");
        loraloom::registry::into_pages(&listed, 1).expect("a registry").0
    });
    if bytes.is_empty() {
        return;
    }
    for place in 0..4 {
        let mut registry = REGISTRY.clone();
        let Some(index) = &mut registry.index else { return };
        let file = RegistryFile::of_contents("hostile.json".into(), bytes);
        match place {
            0 => index.pages[0] = file,
            1 => index.terms[0].file = file,
            2 => {
                index.list_pages = index.pages.len() as u32;
                index.page_lists = vec![file];
                index.pages.clear();
            }
            _ => {
                index.term_lists = index.terms.drain(..1).collect();
                index.terms.clear();
                index.term_lists[0].file = file;
            }
        }
        registry.check().expect("a registry whose files are others");
        let mut search = loraloom::registry::ModuleSearch::new(&registry);
        if search.take("hostile.json", bytes).is_ok() {
            let query =
                loraloom::registry::ModuleQuery { text: "a b".into(), ..Default::default() };
            let _ = search.search(&query);
        }
        // Anything else is none of its files.
        assert!(search.take("another.json", bytes).is_err());
    }
}

/// A text as the address of a model, a hub and a registry.
pub fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for schemes in [Schemes::Web, Schemes::WebAndFiles] {
        let _ = RemoteFolder::parse(&text, loraloom::registry::DEFAULT_HUB, schemes);
        let _ = registry_address(&text, schemes);
    }
    if let Ok(hub) = hub_address(&text) {
        let _ = RemoteFolder::parse("owner/name", &hub, Schemes::Web);
    }
}
