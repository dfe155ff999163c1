//! Tests of the tokenizer against the reference's own encodings.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::random::Random;

/// What transformers' `T5TokenizerFast` gives; made by `tests/formats/make_tokenizer.py`.
#[derive(Deserialize)]
struct Case {
    text: Option<String>,
    ids: Vec<u32>,
    decoded: String,
}

fn read(path: &str) -> Option<Vec<u8>> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).ok()
}

fn fixture(name: &str) -> Vec<u8> {
    read(&format!("tests/formats/tokenizer/{name}.json")).expect("the fixture is in the tree")
}

fn check(tokenizer: &Tokenizer, cases: &[u8]) {
    let cases: Vec<Case> = serde_json::from_slice(cases).unwrap();
    assert!(cases.len() > 100);
    for case in cases {
        if let Some(text) = &case.text {
            assert_eq!(tokenizer.encode(text).unwrap(), case.ids, "{text:?}");
        }
        assert_eq!(tokenizer.decode(&case.ids), case.decoded, "{:?}", case.ids);
        let mut stream = tokenizer.text_stream();
        let streamed: String = case.ids.iter().map(|&id| stream.push(id)).collect();
        assert_eq!(streamed, case.decoded, "{:?}", case.ids);
    }
}

#[test]
fn small_tokenizers_agree_with_transformers() {
    for name in ["published", "converted", "first", "never"] {
        let tokenizer = Tokenizer::parse(&fixture(name)).unwrap();
        check(&tokenizer, &fixture(&format!("{name}_cases")));
        assert_eq!(tokenizer.end(), 1);
    }
}

#[test]
fn the_tokenizer_of_t5_agrees_with_transformers() {
    let Some(file) = read("../shared/data/tokenizer/tokenizer.json") else {
        println!("skipped: T5's own tokenizer.json is not at ../shared/data/tokenizer");
        return;
    };
    let tokenizer = Tokenizer::parse(&file).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 32100);
    check(&tokenizer, &fixture("t5_cases"));
}

/// The recipe for lines of mixed text; see `make_mixed_text.py`.
#[derive(Deserialize)]
struct MixedText {
    seed: u64,
    lines: usize,
    most_parts: usize,
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct Pool {
    weight: usize,
    #[serde(flatten)]
    parts: Parts,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Parts {
    Texts { texts: Vec<String> },
    Repeated { repeated: Vec<String>, most: usize },
    Ranges { ranges: Vec<[u32; 2]>, most: usize },
}

impl Parts {
    fn add(&self, random: &mut Random, line: &mut String) {
        match self {
            Parts::Texts { texts } => line.push_str(&texts[random.below(texts.len())]),
            Parts::Repeated { repeated, most } => {
                let text = &repeated[random.below(repeated.len())];
                line.push_str(&text.repeat(1 + random.below(*most)));
            }
            Parts::Ranges { ranges, most } => {
                let [low, high] = ranges[random.below(ranges.len())];
                for _ in 0..1 + random.below(*most) {
                    let code = low + random.below((high - low + 1) as usize) as u32;
                    line.push(char::from_u32(code).expect("ranges leave out the surrogates"));
                }
            }
        }
    }
}

fn mixed_lines() -> Vec<String> {
    let text = read("tests/formats/mixed_text.json").expect("the recipe is in the tree");
    let MixedText { seed, lines, most_parts, pools } = serde_json::from_slice(&text).unwrap();
    let pools: Vec<&Parts> =
        pools.iter().flat_map(|pool| std::iter::repeat_n(&pool.parts, pool.weight)).collect();
    let mut random = Random(seed);
    let mut line = || {
        let mut line = String::new();
        for _ in 0..1 + random.below(most_parts) {
            pools[random.below(pools.len())].add(&mut random, &mut line);
        }
        line
    };
    (0..lines).map(|_| line()).collect()
}

/// Digests of transformers' encodings of the mixed lines, one for every 100.
#[derive(Deserialize)]
struct MixedDigests {
    lines: Vec<String>,
    tokenizers: BTreeMap<String, Vec<String>>,
}

impl MixedDigests {
    const LINES: usize = 100;

    fn read() -> Self {
        serde_json::from_slice(&fixture("mixed_text")).unwrap()
    }

    /// Panics with the first lines whose encoding or decoding differs from transformers'.
    fn check(&self, name: &str, tokenizer: &Tokenizer, lines: &[String]) {
        let expected = &self.tokenizers[name];
        assert_eq!(expected.len() * Self::LINES, lines.len());
        for (index, (block, expected)) in lines.chunks(Self::LINES).zip(expected).enumerate() {
            let found = digest(block.iter().map(|line| {
                let ids = tokenizer.encode(line).unwrap();
                let numbers: Vec<String> = ids.iter().map(u32::to_string).collect();
                numbers.join(" ") + "\t" + &tokenizer.decode(&ids)
            }));
            let first = index * Self::LINES;
            assert_eq!(found, *expected, "{name}, lines {first} to {}", first + Self::LINES - 1);
        }
    }
}

/// The first 16 digits of the SHA-256 of lines, each followed by a line break.
fn digest(lines: impl IntoIterator<Item = String>) -> String {
    let hash = lines.into_iter().fold(Sha256::new(), |hash, line| hash.chain_update(line + "\n"));
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn tokenizers_of_the_tree_agree_with_transformers_on_10000_mixed_lines() {
    let (digests, lines) = (MixedDigests::read(), mixed_lines());
    let of_lines: Vec<String> =
        lines.chunks(MixedDigests::LINES).map(|block| digest(block.iter().cloned())).collect();
    assert_eq!(of_lines, digests.lines, "the lines are not those that were given to transformers");
    for (name, path) in [
        ("demo", "www/site/public/library/base/tokenizer.json"),
        ("narrow-tied", "tests/golden/models/narrow-tied/tokenizer.json"),
        ("published", "tests/formats/tokenizer/published.json"),
        ("converted", "tests/formats/tokenizer/converted.json"),
        ("first", "tests/formats/tokenizer/first.json"),
        ("never", "tests/formats/tokenizer/never.json"),
        ("spiece", "tests/formats/tokenizer/spiece.model"),
    ] {
        let tokenizer = Tokenizer::parse(&read(path).expect("it is in the tree")).unwrap();
        digests.check(name, &tokenizer, &lines);
    }
}

#[test]
fn both_files_of_t5_agree_with_transformers_on_10000_mixed_lines() {
    const FOLDER: &str = "../shared/data/tokenizer";
    let [Some(json), Some(spiece)] =
        ["tokenizer.json", "spiece.model"].map(|name| read(&format!("{FOLDER}/{name}")))
    else {
        println!("skipped: T5's own tokenizer.json and spiece.model are not at {FOLDER}");
        return;
    };
    let mut file: Value = serde_json::from_slice(&json).unwrap();
    let (json, spiece) = (Tokenizer::parse(&json).unwrap(), Tokenizer::parse(&spiece).unwrap());
    assert_eq!(spiece.vocabulary_size(), json.vocabulary_size());
    assert_eq!(spiece.end(), json.end());
    let (digests, lines) = (MixedDigests::read(), mixed_lines());
    digests.check("t5", &json, &lines);
    digests.check("t5", &spiece, &lines);

    // The other forms in which T5's tokenizer.json is published.
    let charsmap = file["normalizer"]["normalizers"][0].clone();
    let mark = json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true});
    let collapse = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "});
    let split = json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, mark]});
    let collapsed = json!({"type": "Sequence", "normalizers": [charsmap, collapse]});
    file["decoder"] = mark.clone();
    for (name, normalizer, pre_tokenizer) in
        [("t5-split", charsmap.clone(), split), ("t5-collapsed", collapsed, mark)]
    {
        file["normalizer"] = normalizer;
        file["pre_tokenizer"] = pre_tokenizer;
        let tokenizer = Tokenizer::parse(&serde_json::to_vec(&file).unwrap()).unwrap();
        digests.check(name, &tokenizer, &lines);
    }
}

#[test]
fn a_small_spiece_model_agrees_with_transformers() {
    let bytes = read("tests/formats/tokenizer/spiece.model").expect("the fixture is in the tree");
    let tokenizer = Tokenizer::parse(&bytes).unwrap();
    check(&tokenizer, &fixture("spiece_cases"));
    for length in 0..bytes.len() {
        // A cut between two fields leaves a valid message; no cut may panic.
        let _ = Tokenizer::parse(&bytes[..length]);
    }
    assert!(Tokenizer::parse(&bytes[..bytes.len() / 2]).is_err());
    assert!(Tokenizer::parse(b"\xff\xff\xff").is_err());
}

/// The smallest fixture with one value replaced.
fn changed(pointer: &str, value: Value) -> Result<Tokenizer, FormatError> {
    let mut file: Value = serde_json::from_slice(&fixture("converted")).unwrap();
    *file.pointer_mut(pointer).expect(pointer) = value;
    Tokenizer::parse(&serde_json::to_vec(&file).unwrap())
}

#[test]
fn parts_that_t5_does_not_use_are_rejected_by_name() {
    let long = "a".repeat(257);
    for (pointer, value, part) in [
        ("/model/type", json!("BPE"), "model \"BPE\""),
        ("/model/unk_id", json!(100_000), "unk_id"),
        ("/model/unk_id", json!(null), "unk_id"),
        ("/model/vocab", json!({}), "JSON"),
        ("/model/vocab/3", json!(["", 0.0]), "token 3"),
        ("/model/vocab/3", json!([long, 0.0]), "token 3"),
        ("/model/vocab/3", json!(["a", "b"]), "JSON"),
        ("/normalizer", json!({"type": "NFKC"}), "normalizer"),
        ("/normalizer/normalizers/0/precompiled_charsmap", json!("AAAA"), "charsmap"),
        ("/normalizer/normalizers/2/pattern", json!({"Regex": "(a+)+$"}), "normalizer"),
        ("/pre_tokenizer", json!({"type": "ByteLevel"}), "pre_tokenizer"),
        ("/pre_tokenizer/replacement", json!("ab"), "replacement"),
        ("/decoder", json!(null), "decoder"),
        ("/post_processor", json!(null), "post_processor"),
        ("/post_processor/single/1/SpecialToken/id", json!("<pad>"), "post_processor"),
        ("/added_tokens/0/id", json!(7), "added token"),
        ("/added_tokens/0/single_word", json!(true), "single_word"),
        ("/added_tokens/0/id", json!(-1), "JSON"),
    ] {
        let error = changed(pointer, value).unwrap_err().to_string();
        assert!(error.contains(part), "{pointer}: {error}");
    }
}

#[test]
fn a_text_above_the_limit_is_rejected() {
    let tokenizer = Tokenizer::parse(&fixture("converted")).unwrap();
    assert!(tokenizer.encode(&" ".repeat(MAX_TEXT_BYTES)).is_ok());
    assert!(tokenizer.encode(&" ".repeat(MAX_TEXT_BYTES + 1)).is_err());
}

/// Ids and texts by transformers 4.57, with these files beside `spiece.model`.
#[test]
fn added_tokens_of_the_files_beside_are_read_as_transformers_reads_them() {
    let spiece = read("tests/formats/tokenizer/spiece.model").expect("it is in the tree");
    let parse = |added_tokens: Option<Value>, tokenizer_config: Option<Value>| {
        let bytes = |file: Option<Value>| file.map(|file| serde_json::to_vec(&file).unwrap());
        let [added_tokens, tokenizer_config] = [added_tokens, tokenizer_config].map(bytes);
        let (added_tokens, tokenizer_config) =
            (added_tokens.as_deref(), tokenizer_config.as_deref());
        let beside =
            AddedTokenFiles { added_tokens, tokenizer_config, ..AddedTokenFiles::default() };
        Tokenizer::parse_with(&spiece, beside)
    };
    let token = |content: &str, strip: bool, special: bool| {
        json!({"content": content, "lstrip": strip, "rstrip": strip, "single_word": false,
               "normalized": false, "special": special})
    };
    let added_tokens = json!({"<sep>": 210, "<item_7>": 211});
    let config = json!({"tokenizer_class": "T5Tokenizer", "added_tokens_decoder": {
        "0": token("<pad>", false, true), "1": token("</s>", false, true),
        "210": token("<sep>", false, true), "211": token("<item_7>", true, false)}});
    type Case = (&'static str, &'static [u32], &'static str);
    let plain: [Case; 5] = [
        ("a<sep>b", &[95, 210, 65, 1], "a<sep> b"),
        ("a <sep> b", &[95, 3, 210, 65, 1], "a <sep> b"),
        ("<sep>", &[210, 1], "<sep>"),
        ("no", &[3, 12, 7, 1], "no"),
        ("<item_7> <sep><item_7>", &[211, 3, 210, 211, 1], "<item_7> <sep><item_7>"),
    ];
    let special: [Case; 5] = [
        ("a<sep>b", &[95, 210, 65, 1], "a b"),
        ("a <sep> b", &[95, 210, 65, 1], "a b"),
        ("<sep>", &[210, 1], ""),
        ("no", &[3, 12, 7, 1], "no"),
        ("<item_7> <sep><item_7>", &[211, 210, 211, 1], "<item_7><item_7>"),
    ];
    // `tokenizer_config.json` comes first; its `<sep>` is special.
    for (added_tokens, config, cases) in
        [(&added_tokens, None, plain), (&added_tokens, Some(&config), special)]
    {
        let tokenizer = parse(Some(added_tokens.clone()), config.cloned()).unwrap();
        assert_eq!(tokenizer.vocabulary_size(), 212);
        for (line, ids, decoded) in cases {
            assert_eq!(tokenizer.encode(line).unwrap(), ids, "{line}");
            assert_eq!(tokenizer.decode(ids), decoded, "{line}");
        }
    }
    for (added_tokens, config, part) in [
        (json!({"<sep>": 3.5}), json!({}), "added_tokens.json"),
        (json!({"<sep>": 1}), json!({}), "the id of the added token <sep> should be used once"),
        (json!({}), json!({"added_tokens_decoder": []}), "tokenizer_config.json"),
    ] {
        let error = parse(Some(added_tokens), Some(config)).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn thousands_of_added_tokens_are_read_and_found() {
    let mut file: Value = serde_json::from_slice(&fixture("converted")).unwrap();
    let first = Tokenizer::parse(&fixture("converted")).unwrap().vocabulary_size();
    let tokens = file["added_tokens"].as_array_mut().unwrap();
    for number in 0..20_000 {
        tokens.push(json!({"id": first + number, "content": format!("<item_{number}>")}));
    }
    let text = serde_json::to_string(&file).unwrap();
    // With a byte order mark, as some editors write it.
    let tokenizer = Tokenizer::parse(format!("\u{feff}{text}").as_bytes()).unwrap();
    let started = std::time::Instant::now();
    let ids = tokenizer.encode(&"<item_7><item_19999><item_1234>".repeat(1000)).unwrap();
    assert_eq!(ids[..3], [7, 19_999, 1234].map(|number| first as u32 + number));
    assert_eq!(ids.len(), 3001);
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
}

#[test]
fn what_the_vocabulary_lacks_is_named() {
    let spiece = read("tests/formats/tokenizer/spiece.model").expect("it is in the tree");
    let tokenizer = Tokenizer::parse(&spiece).unwrap();
    let unwritable = |text| tokenizer.unwritable(text).unwrap();
    assert_eq!(unwritable("no"), [""; 0]);
    assert_eq!(unwritable("no <extra_id_0>"), [""; 0]);
    assert_eq!(unwritable("no 犬 سلام no 犬"), ["犬", "سلام"]);
}

#[test]
fn an_answer_matches_an_output_as_it_would_be_decoded() {
    let spiece = read("tests/formats/tokenizer/spiece.model").expect("it is in the tree");
    let tokenizer = Tokenizer::parse(&spiece).unwrap();
    let matches = |output: &str, answer: &str| {
        let example = Example { input: "a".into(), output: output.into() };
        tokenizer.is_match(&example, answer)
    };
    let decoded = |text: &str| tokenizer.decode(&tokenizer.encode(text).unwrap());
    for output in ["<extra_id_0>no<extra_id_1>no", "no  no", "no\tno"] {
        assert!(matches(output, &decoded(output)), "{output}");
    }
    assert!(!matches("<extra_id_0>no", "yes"));
    // What cannot be written is never right, nor is nothing.
    for output in ["犬", "no 犬", "<extra_id_0>"] {
        assert!(!matches(output, &decoded(output)), "{output}");
    }
}

/// What transformers gives with a `tokenizer_config.json` beside a tokenizer; made by
/// `tests/formats/make_tokenizer_config.py`.
#[test]
fn flags_and_special_tokens_of_the_config_are_those_of_transformers() {
    #[derive(Deserialize)]
    struct ConfigCase {
        name: String,
        file: Option<String>,
        config: Value,
        special_tokens_map: Option<Value>,
        added_tokens: Option<Value>,
        texts: Vec<Case>,
    }

    let cases: Vec<ConfigCase> = serde_json::from_slice(&fixture("config_cases")).unwrap();
    for ConfigCase { name, file, config, special_tokens_map, added_tokens, texts } in cases {
        let json = |value: Value| serde_json::to_vec(&value).unwrap();
        let (config, map) = (json(config), special_tokens_map.map(json));
        let bytes = file.map_or(config.clone(), |file| {
            read(&format!("tests/formats/tokenizer/{file}")).expect("it is in the tree")
        });
        let added_tokens = added_tokens.map(json);
        let beside = AddedTokenFiles {
            added_tokens: added_tokens.as_deref(),
            special_tokens_map: map.as_deref(),
            tokenizer_config: Some(&config),
        };
        let tokenizer = Tokenizer::parse_with(&bytes, beside).unwrap();
        for Case { text, ids, decoded } in texts {
            let text = text.unwrap();
            assert_eq!(tokenizer.encode(&text).unwrap(), ids, "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&ids), decoded, "{name}: {text:?}");
        }
    }
}

#[test]
fn what_differs_between_two_tokenizers_is_named() {
    let own = Tokenizer::parse(&fixture("converted")).unwrap();
    let mut whole: Value = serde_json::from_slice(&fixture("converted")).unwrap();
    whole["added_tokens"] = own.added_tokens();
    let same = Tokenizer::parse(&serde_json::to_vec(&whole).unwrap()).unwrap();
    assert_eq!(own.differences(&same), [""; 0]);
    let first = Tokenizer::parse(&fixture("first")).unwrap();
    assert_eq!(own.differences(&first), ["pre_tokenizer", "decoder", "added_tokens"]);
    for (pointer, value, part) in [
        ("/model/vocab/9/1", json!(-3.5), "model"),
        ("/model/byte_fallback", json!(true), "model"),
        ("/normalizer", json!(null), "normalizer"),
        ("/added_tokens/3/rstrip", json!(true), "added_tokens"),
        ("/added_tokens/3/normalized", json!(true), "added_tokens"),
        ("/added_tokens/3/special", json!(false), "added_tokens"),
    ] {
        assert_eq!(own.differences(&changed(pointer, value).unwrap()), [part], "{pointer}");
    }
    let bytes = Tokenizer::parse(br#"{"tokenizer_class": "ByT5Tokenizer"}"#).unwrap();
    assert_eq!(own.differences(&bytes), ["model"]);
    let [whole, split] = [&br#"{}"#[..], br#"{"split_special_tokens": true}"#].map(|config| {
        let files =
            AddedTokenFiles { tokenizer_config: Some(config), ..AddedTokenFiles::default() };
        Tokenizer::parse_with(&fixture("converted"), files).unwrap()
    });
    // Its special tokens are not matched.
    assert_eq!(whole.differences(&split), ["added_tokens", "split_special_tokens"]);
}
