//! What mT5, UMT5 and ByT5 have of their own: tokenizers, and position biases in every block.
//! `make_family.py` made the models.

use std::sync::Arc;

use loraloom::formats::{
    AddedTokenFiles, NamedTensor, TensorSource, Tokenizer, WeightsStream, write_safetensors,
};
use loraloom::model::{
    Decoder, ModelBuilder, ModelConfig, PackedCopy, PackedReader, PackedSource, TokenizedExample,
};
use serde_json::Value;

use super::*;

const RELATIVES: [&str; 3] = ["mt5", "umt5", "byt5"];

#[derive(Deserialize)]
struct Texts {
    texts: Vec<Text>,
    #[serde(default)]
    undecodable: Vec<Text>,
    #[serde(default)]
    byte_fallback: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: Option<String>,
    ids: Vec<u32>,
    decoded: String,
}

impl Golden {
    fn file(&self, name: &str) -> Vec<u8> {
        read(&self.folder.join(name))
    }

    fn texts(&self) -> Texts {
        serde_json::from_slice(&self.file("expected.json")).unwrap()
    }

    fn check_tokenizer(&self, tokenizer: &Tokenizer, how: &str) {
        let Texts { texts, undecodable, .. } = self.texts();
        assert!(texts.len() > 10);
        check_texts(tokenizer, texts.iter().chain(&undecodable), how);
        self.config.check_tokenizer(tokenizer).unwrap();
    }
}

fn check_texts<'t>(tokenizer: &Tokenizer, texts: impl Iterator<Item = &'t Text>, how: &str) {
    for Text { text, ids, decoded } in texts {
        if let Some(text) = text {
            assert_eq!(tokenizer.encode(text).unwrap(), *ids, "{how}: {text:?}");
        }
        assert_eq!(tokenizer.decode(ids), *decoded, "{how}: {ids:?}");
        let mut stream = tokenizer.text_stream();
        let streamed: String = ids.iter().map(|&id| stream.push(id)).collect();
        assert_eq!(streamed, *decoded, "{how}: {ids:?}");
    }
}

#[test]
fn both_files_of_mt5_and_umt5_tokenize_as_hugging_face_does() {
    for golden in ["mt5", "umt5"].map(Golden::named) {
        let how = golden.folder.display().to_string();
        let json = Tokenizer::parse(&golden.file("tokenizer.json")).unwrap();
        golden.check_tokenizer(&json, &how);
        let config = golden.file("tokenizer_config.json");
        let beside =
            AddedTokenFiles { tokenizer_config: Some(&config), ..AddedTokenFiles::default() };
        let spiece = Tokenizer::parse_with(&golden.file("spiece.model"), beside).unwrap();
        golden.check_tokenizer(&spiece, &format!("{how}, spiece.model"));
        assert_eq!(spiece.vocabulary_size(), json.vocabulary_size());
    }
}

#[test]
fn unknown_text_is_bytes_where_the_file_says_so() {
    let umt5 = Golden::named("umt5");
    let mut file: Value = serde_json::from_slice(&umt5.file("tokenizer.json")).unwrap();
    file["model"]["byte_fallback"] = true.into();
    let tokenizer = Tokenizer::parse(&serde_json::to_vec(&file).unwrap()).unwrap();
    let Texts { texts, byte_fallback, .. } = umt5.texts();
    check_texts(&tokenizer, byte_fallback.iter(), "byte_fallback");
    assert!(texts.iter().zip(&byte_fallback).any(|(one, other)| one.ids != other.ids));
    assert_eq!(tokenizer.unwritable("\u{1f600}").unwrap(), [""; 0]);
}

/// Where `tokenizer_config.json` is lost, the pieces themselves say that no sentinels are to be added.
#[test]
fn sentinels_among_the_pieces_are_not_added_again() {
    let mt5 = Golden::named("mt5");
    mt5.check_tokenizer(&Tokenizer::parse(&mt5.file("spiece.model")).unwrap(), "alone");
    let umt5 = Golden::named("umt5");
    let with_hundred = Tokenizer::parse(&umt5.file("spiece.model")).unwrap();
    assert_eq!(with_hundred.vocabulary_size(), 480 + 100);
    let error = umt5.config.check_tokenizer(&with_hundred).unwrap_err().to_string();
    assert!(error.contains("vocab_size should be at least 580"), "{error}");
}

#[test]
fn byt5_reads_and_writes_bytes_as_hugging_face_does() {
    let golden = Golden::named("byt5");
    let config = golden.file("tokenizer_config.json");
    assert!(Tokenizer::is_named_by(&config) && Tokenizer::is_named_by(&golden.file("config.json")));
    golden.check_tokenizer(&Tokenizer::parse(&config).unwrap(), "tokenizer_config.json");
    let alone = Tokenizer::parse(&golden.file("config.json")).unwrap();
    golden.check_tokenizer(&alone, "config.json");
    assert_eq!(alone.vocabulary_size(), 384);
    assert_eq!(alone.unwritable("犬 سلام \u{1f600}").unwrap(), [""; 0]);
    // A configuration that names another tokenizer is none.
    let other = Golden::named("mt5").file("config.json");
    assert!(!Tokenizer::is_named_by(&other) && !Tokenizer::is_named_by(b"["));
    assert!(Tokenizer::parse(&other).unwrap_err().to_string().contains("model"));
}

/// Ids and texts by transformers 4.57's ByT5Tokenizer with these tokens added.
#[test]
fn tokens_added_to_byt5_are_read_as_hugging_face_reads_them() {
    let golden = Golden::named("byt5");
    let added = br#"{"<sep>": 384, "<extra_id_0>": 259}"#;
    let beside = AddedTokenFiles { added_tokens: Some(added), ..AddedTokenFiles::default() };
    let tokenizer = Tokenizer::parse_with(&golden.file("tokenizer_config.json"), beside).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 385);
    for (text, ids, decoded) in [
        ("a<sep>b", &[100, 384, 101, 1][..], "a <sep> b"),
        ("a <sep> b", &[100, 35, 384, 35, 101, 1], "a  <sep>  b"),
        ("a</s>", &[100, 1], "a"),
    ] {
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text}");
        assert_eq!(tokenizer.decode(ids), decoded, "{text}");
    }
}

/// The smallest model's weights with every bias of the second block and later replaced by the first's.
fn with_shared_biases(golden: &Golden) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let weights = SafetensorsFile::parse(golden.file("model.safetensors")).unwrap();
    let tensor = |name: &str| weights.tensor(name).unwrap().unwrap();
    let names = weights.names().into_iter();
    names
        .map(|name| {
            let mut source = name.clone();
            if name.contains("relative_attention_bias") {
                let (stack, rest) = name.split_once(".block.").unwrap();
                source = format!("{stack}.block.0.{}", rest.split_once('.').unwrap().1);
            }
            let view = tensor(&source);
            (name, view.shape.clone(), view.to_f32().unwrap())
        })
        .collect()
}

fn builder(
    config: &T5Config,
    tensors: &[(String, Vec<usize>, Vec<f32>)],
    precision: Precision,
) -> Result<ModelBuilder, ModelError> {
    let named: Vec<_> = (tensors.iter().cloned())
        .map(|(name, shape, values)| NamedTensor { name, shape, values })
        .collect();
    let mut builder = ModelBuilder::new(Arc::new(config.clone()), precision);
    let mut stream = WeightsStream::new();
    stream.push(&write_safetensors(&named, false).unwrap(), &mut builder)?;
    stream.finish(&mut builder)?;
    Ok(builder)
}

/// With equal biases in all blocks, UMT5 is T5: the same bits, and the packed copy of each is its own.
#[test]
fn umt5_with_one_bias_is_t5() {
    let golden = Golden::named("umt5");
    let tensors = with_shared_biases(&golden);
    let t5 = T5Config { relative_attention_bias_per_block: false, ..golden.config.clone() };
    let is_first =
        |name: &str| !name.contains("relative_attention_bias") || name.contains(".0.layer");
    let once: Vec<_> = tensors.iter().filter(|(name, ..)| is_first(name)).cloned().collect();
    assert_eq!(tensors.len() - once.len(), 3);
    let batch = golden.expected.cases[0].batch();
    for precision in [Precision::F32, Precision::Int8] {
        let model = builder(&golden.config, &tensors, precision).unwrap().finish().unwrap();
        let other = builder(&t5, &once, precision).unwrap().finish().unwrap();
        let [found, expected] = [&model, &other].map(|model| {
            let losses = model.losses(&batch, None, &Control::none()).unwrap();
            losses.iter().map(|example| example.loss.to_bits()).collect::<Vec<_>>()
        });
        assert_eq!(found, expected);
        assert_eq!(model.config().parameters() - other.config().parameters(), 3 * 12 * 3);
        let real = bits(&losses(&golden.model(precision), &batch, None));
        assert_ne!(found, real, "the biases of the blocks do not differ");
    }
    // T5's configuration with UMT5's weights would give other losses without a word.
    let error = builder(&t5, &tensors, Precision::F32).unwrap_err().to_string();
    assert!(error.contains("model_type should be \"umt5\", as the weights contain"), "{error}");
    let missing = builder(&golden.config, &once, Precision::F32).unwrap().finish().unwrap_err();
    assert!(missing.to_string().contains("block.1.layer.0.SelfAttention.relative_attention_bias"));
}

#[test]
fn a_packed_copy_of_a_relative_has_its_bits() {
    for golden in RELATIVES.map(Golden::named) {
        let batch: Vec<TokenizedExample> = golden.expected.cases[0].batch();
        for precision in [Precision::F32, Precision::Int8] {
            let config: Arc<dyn ModelConfig> = Arc::new(golden.config.clone());
            let mut builder = ModelBuilder::new(Arc::clone(&config), precision);
            let mut stream = WeightsStream::new();
            stream.push(&golden.file("model.safetensors"), &mut builder).unwrap();
            stream.finish(&mut builder).unwrap();
            let source = PackedSource { sha256: "5eed".into(), bytes: 1 };
            let copy = PackedCopy::new(&mut builder, source).unwrap();
            let copy = copy.piece(0, copy.bytes() as usize);
            let mut other = ModelBuilder::new(config, precision);
            let mut reader = PackedReader::default();
            reader.push(&copy, &mut other).unwrap();
            reader.finish().unwrap();
            let found = other.finish().unwrap().losses(&batch, None, &Control::none()).unwrap();
            let found: Vec<f32> = found.iter().map(|example| example.loss).collect();
            let expected = losses(&golden.model(precision), &batch, None);
            assert_eq!(bits(&found), bits(&expected), "{}", golden.folder.display());
        }
    }
}

/// Fields that transformers fills in, and those that a training run adds.
#[test]
fn a_relative_loads_with_missing_and_unknown_fields() {
    for golden in RELATIVES.map(Golden::named) {
        let mut json: Value = serde_json::from_slice(&golden.file("config.json")).unwrap();
        let fields = json.as_object_mut().unwrap();
        for field in [
            "architectures",
            "dense_act_fn",
            "is_gated_act",
            "pad_token_id",
            "decoder_start_token_id",
            "eos_token_id",
            "dtype",
            "layer_norm_epsilon",
        ] {
            fields.remove(field);
        }
        fields.insert("torch_dtype".into(), "bfloat16".into());
        fields.insert("output_past".into(), true.into());
        fields.insert("task_specific_params".into(), Value::Null);
        let config = T5Config::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
        assert_eq!(config, golden.config, "{}", golden.folder.display());
    }
}

/// The first answer of every row, token by token.
#[test]
fn a_relative_decodes_row_by_row_as_in_a_batch() {
    for golden in RELATIVES.map(Golden::named) {
        let model = golden.model(Precision::F32);
        let case = &golden.expected.cases[0];
        for (input, example) in case.inputs().into_iter().zip(&case.examples) {
            let mut decoder =
                model.greedy(&[input], None, golden.expected.max_new_tokens, &Control::none());
            let decoder: &mut dyn Decoder = &mut **decoder.as_mut().unwrap();
            let mut found = Vec::new();
            while !decoder.is_finished() {
                let step = decoder.step(None, &Control::none()).unwrap();
                found.extend(step.into_iter().map(|(_, token)| token));
            }
            assert_eq!(found, example.greedy, "{}", golden.folder.display());
        }
    }
}
