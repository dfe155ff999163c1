//! `loraloom quantize`: a model as GGUF, its weights in 8 bits.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use loraloom::formats::{
    Dtype, FormatError, GgufModel, GgufValue, GgufWriter, NamedTensor, TensorSource, Tokenizer,
    llama_name, token_type,
};
use loraloom::model::t5::{T5Config, T5Model};
use loraloom::model::{ModelConfig, Precision};
use serde::Serialize;
use serde_json::Value;

use crate::error::{CliError, read, write};
use crate::model::ModelFiles;
use crate::output::{Output, note, note_clean_up};

/// llama.cpp's number of a file whose matrices are Q8_0.
const MOSTLY_Q8_0: u32 = 7;

/// Write a model as GGUF with its matrices in Q8_0.
#[derive(Args)]
pub struct Quantize {
    /// Folder of the model as Hugging Face lays it out, or its hub id.
    #[arg(long, value_name = "DIR|ID")]
    model: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE.gguf")]
    out: PathBuf,
    /// Names of the tensors: those of llama.cpp, or those of Hugging Face, which candle reads.
    #[arg(long, value_enum, default_value_t = Names::LlamaCpp)]
    names: Names,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Names {
    #[value(name = "llama.cpp")]
    LlamaCpp,
    HuggingFace,
}

#[derive(Serialize)]
struct Quantized {
    tensors: usize,
    /// Tensors that are in 8 bits.
    quantized: usize,
    bytes: usize,
    /// Parts of the tokenizer that llama.cpp's keys cannot describe; the file holds its `tokenizer.json`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_described: Vec<&'static str>,
    /// Files that the model is read with, where the file cannot hold its tokenizer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<String>,
}

impl Quantize {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let files = ModelFiles::find(&self.model)?;
        let config = T5Config::parse(&files.config.read()?).map_err(files.config.in_file())?;
        let own = files.read_tokenizer()?;
        config.check_tokenizer(&own)?;
        let vocabulary = files.tokenizer.read()?;
        let is_bytes = Tokenizer::is_named_by(&vocabulary);
        if !is_bytes && !files.tokenizer.has_extension("json") {
            return Err(CliError::NoTokenizerJson { path: self.model.clone() });
        }
        output.progress("Reading the weights");
        let source = files.read_weights()?;
        // Checks the weights against the configuration.
        T5Model::load(config.clone(), &*source, Precision::F32)?;

        let mut writer = GgufWriter::default();
        let mut whole_tokenizer = None;
        let beside = if is_bytes { self.files_beside(&files)? } else { Vec::new() };
        set_metadata(&mut writer, &config);
        if is_bytes {
            // llama.cpp reads ids alone: it has no tokenizer of bytes.
            writer.set("tokenizer.ggml.model", GgufValue::Text("none".into()));
        } else {
            let json = vocabulary.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&vocabulary);
            let mut tokenizer: Value =
                serde_json::from_slice(json).map_err(files.tokenizer.in_file())?;
            tokenizer["added_tokens"] = own.added_tokens();
            set_tokenizer(&mut writer, &config, &tokenizer);
            whole_tokenizer = Some(tokenizer);
        }
        let own_head = has_own_head(&*source)?;
        // A GGUF file has no word for either: its reader scales the output where there is no head.
        if own_head == config.scale_decoder_outputs {
            return Err(unsupported_head(own_head).into());
        }
        let mut names: Vec<String> =
            source.names().into_iter().filter(|name| is_written(own_head, name)).collect();
        if !names.iter().any(|name| name == "shared.weight") {
            names.push("encoder.embed_tokens.weight".into());
        }
        let mut quantized = Quantized {
            tensors: names.len(),
            quantized: 0,
            bytes: 0,
            not_described: Vec::new(),
            beside: beside.iter().map(|(_, path)| path.display().to_string()).collect(),
        };
        for (index, name) in names.iter().enumerate() {
            let missing = || CliError::NoTensor(name.clone());
            let view = source.tensor(name)?.ok_or_else(missing)?;
            let hugging_face = match &**name {
                "encoder.embed_tokens.weight" => "shared.weight",
                name => name,
            };
            let name = match self.names {
                Names::HuggingFace => hugging_face.to_owned(),
                Names::LlamaCpp => llama_name(hugging_face).ok_or_else(|| unknown(hugging_face))?,
            };
            let tensor = NamedTensor { name, shape: view.shape.clone(), values: view.to_f32()? };
            // llama.cpp keeps the table of position biases in full.
            let quantise = !hugging_face.ends_with("relative_attention_bias.weight");
            quantized.quantized += usize::from(writer.add(&tensor, quantise) == Dtype::Q8_0);
            if (index + 1) % 50 == 0 {
                output.progress(format!("{} of {} tensors", index + 1, names.len()));
            }
        }
        if let Some(tokenizer) = whole_tokenizer {
            note_clean_up(&own, "a GGUF file");
            quantized.not_described = described(&writer, &own)?;
            if !quantized.not_described.is_empty() {
                writer.set(GgufModel::TOKENIZER_KEY, GgufValue::Text(tokenizer.to_string()));
                note_not_described(&quantized.not_described);
                let left = described(&writer, &own)?;
                if !left.is_empty() {
                    return Err(unsupported_tokenizer(&left).into());
                }
            }
        }
        let bytes = writer.finish();
        quantized.bytes = bytes.len();
        write(&self.out, bytes)?;
        for (contents, path) in &beside {
            write(path, contents)?;
        }
        if !beside.is_empty() {
            note(format!(
                "GGUF cannot hold a tokenizer of bytes; the model is read with {}, which belong beside it",
                quantized.beside.join(", ")
            ));
        }
        output.result(&quantized, || {
            let Quantized { tensors, quantized, bytes, .. } = &quantized;
            let out = self.out.display();
            format!("{out}: {tensors} tensors, {quantized} of them in 8 bits, {bytes} bytes")
        })
    }

    /// The contents and paths of the files that a model without a vocabulary is read with, beside the one
    /// that is written.
    ///
    /// # Errors
    /// [`CliError::OtherBeside`] if another file has the name of one of them.
    fn files_beside(&self, files: &ModelFiles) -> Result<Vec<(Vec<u8>, PathBuf)>, CliError> {
        let ModelFiles { config, added_tokens, special_tokens_map, tokenizer_config, .. } = files;
        let mut beside = Vec::new();
        let others = [tokenizer_config, special_tokens_map, added_tokens].into_iter().flatten();
        for file in others.chain([config]) {
            let (contents, path) = (file.read()?, self.out.with_file_name(file.file_name()));
            if path.exists() && read(&path)? != contents {
                return Err(CliError::OtherBeside { path, file: file.to_string() });
            }
            beside.push((contents, path));
        }
        Ok(beside)
    }
}

/// The parts of a tokenizer that a reader of the file gets otherwise, by their names in `tokenizer.json`.
fn described(writer: &GgufWriter, tokenizer: &Tokenizer) -> Result<Vec<&'static str>, FormatError> {
    let model = GgufModel::read(&writer.header())?;
    Ok(tokenizer.differences(&Tokenizer::parse(&model.tokenizer)?))
}

fn note_not_described(parts: &[&str]) {
    note(format!(
        "llama.cpp's description of a vocabulary cannot hold the tokenizer's {}; the file also holds \
         its tokenizer.json, which LoraLoom reads, and other programs may tokenize otherwise",
        parts.join(", ")
    ));
}

fn unsupported_tokenizer(parts: &[&str]) -> FormatError {
    FormatError::Unsupported {
        what: format!("the {} of the tokenizer", parts.join(", ")),
        reason: "a GGUF file cannot hold it, and its answers would be others".into(),
    }
}

fn unknown(name: &str) -> FormatError {
    FormatError::Unsupported {
        what: format!("tensor {name}"),
        reason: "llama.cpp has no name for it; use --names hugging-face".into(),
    }
}

/// Whether the weights have an `lm_head` that is not the embedding.
fn has_own_head(source: &dyn TensorSource) -> Result<bool, FormatError> {
    let Some(head) = source.tensor("lm_head.weight")? else { return Ok(false) };
    for name in ["shared.weight", "encoder.embed_tokens.weight"] {
        if let Some(embedding) = source.tensor(name)? {
            return Ok(head.to_f32()? != embedding.to_f32()?);
        }
    }
    Ok(true)
}

fn unsupported_head(own_head: bool) -> FormatError {
    let (head, scaled) = if own_head { ("its own", "scaled") } else { ("no", "not scaled") };
    FormatError::Unsupported {
        what: format!("a T5 with {head} lm_head, whose output is {scaled} (scale_decoder_outputs)"),
        reason: "a GGUF file cannot say so, and its answers would be others".into(),
    }
}

/// Whether a tensor is part of the model, and neither a copy of the embedding nor an unused table.
fn is_written(own_head: bool, name: &str) -> bool {
    let copy = name.ends_with("embed_tokens.weight") || (name == "lm_head.weight" && !own_head);
    !copy && !name.ends_with("EncDecAttention.relative_attention_bias.weight")
}

/// llama.cpp's description of a T5 model (its convert_hf_to_gguf.py, `T5Model`).
fn set_metadata(writer: &mut GgufWriter, config: &T5Config) {
    let mut text = |key: &str, value: &str| writer.set(key, GgufValue::Text(value.into()));
    text("general.architecture", "t5");
    text("general.type", "model");
    for (key, value) in [
        ("general.file_type", MOSTLY_Q8_0 as usize),
        ("general.quantization_version", 2),
        ("t5.context_length", 512),
        ("t5.embedding_length", config.d_model),
        ("t5.feed_forward_length", config.d_ff),
        ("t5.block_count", config.num_layers),
        ("t5.decoder_block_count", config.num_decoder_layers),
        ("t5.attention.head_count", config.num_heads),
        ("t5.attention.key_length", config.d_kv),
        ("t5.attention.value_length", config.d_kv),
        ("t5.attention.relative_buckets_count", config.relative_attention_num_buckets),
        (GgufModel::MAX_DISTANCE_KEY, config.relative_attention_max_distance),
        ("t5.decoder_start_token_id", config.decoder_start_token_id as usize),
        ("t5.vocab_size", config.vocab_size),
    ] {
        writer.set(key, GgufValue::U32(value as u32));
    }
    for key in ["t5.attention.layer_norm_epsilon", "t5.attention.layer_norm_rms_epsilon"] {
        writer.set(key, GgufValue::F32(config.layer_norm_epsilon));
    }
}

/// llama.cpp's description of a SentencePiece unigram vocabulary, of a `tokenizer.json` that was
/// read without an error.
fn set_tokenizer(writer: &mut GgufWriter, config: &T5Config, tokenizer: &Value) {
    let size = config.vocab_size;
    let mut tokens: Vec<String> = (0..size).map(|id| format!("[PAD{id}]")).collect();
    let (mut scores, mut types) = (vec![-10_000.0f32; size], vec![token_type::UNUSED; size]);
    let pieces = tokenizer["model"]["vocab"].as_array().into_iter().flatten();
    for (id, piece) in pieces.enumerate().take(size) {
        tokens[id] = piece[0].as_str().unwrap_or_default().into();
        scores[id] = piece[1].as_f64().unwrap_or_default() as f32;
        types[id] = token_type::NORMAL;
    }
    let end = config.eos_token_id as usize;
    let unknown = tokenizer["model"]["unk_id"].as_u64().unwrap_or(2) as usize;
    for added in tokenizer["added_tokens"].as_array().into_iter().flatten() {
        let id = added["id"].as_u64().unwrap_or(u64::MAX) as usize;
        if id < size && id != end && id != unknown && added["content"] != "<pad>" {
            let content = added["content"].as_str().unwrap_or_default();
            // A piece keeps its score: text that is normalised to it is not split at added tokens.
            if types[id] == token_type::UNUSED {
                scores[id] = -1000.0;
            }
            // Sentinels are special in every reader.
            let is_control = added["special"] == true && !content.starts_with("<extra_id_");
            types[id] = if is_control { token_type::CONTROL } else { token_type::USER_DEFINED };
            tokens[id] = content.into();
        }
    }
    let pad = tokens.iter().position(|token| token == "<pad>").unwrap_or(0);
    types[pad] = token_type::CONTROL;
    types[end] = token_type::CONTROL;
    if unknown < size {
        types[unknown] = token_type::UNKNOWN;
    }
    writer.set("tokenizer.ggml.model", GgufValue::Text("t5".into()));
    writer.set("tokenizer.ggml.pre", GgufValue::Text("default".into()));
    writer.set("tokenizer.ggml.tokens", GgufValue::Texts(tokens));
    writer.set("tokenizer.ggml.scores", GgufValue::F32s(scores));
    writer.set("tokenizer.ggml.token_type", GgufValue::I32s(types));
    let prefix = adds_prefix(&tokenizer["pre_tokenizer"]);
    writer.set("tokenizer.ggml.add_space_prefix", GgufValue::Bool(prefix));
    writer.set("tokenizer.ggml.remove_extra_whitespaces", GgufValue::Bool(true));
    writer.set("tokenizer.ggml.add_bos_token", GgufValue::Bool(false));
    writer.set("tokenizer.ggml.add_eos_token", GgufValue::Bool(true));
    for (key, id) in [("eos", end), ("unknown", unknown), ("padding", pad)] {
        writer.set(&format!("tokenizer.ggml.{key}_token_id"), GgufValue::U32(id as u32));
    }
    if let Some(map) = charsmap(&tokenizer["normalizer"]) {
        writer.set("tokenizer.ggml.precompiled_charsmap", GgufValue::Bytes(map));
    }
}

/// Whether a text begins with a space, wherever the pre-tokenizer says so.
fn adds_prefix(pre_tokenizer: &Value) -> bool {
    let of_parts = pre_tokenizer["pretokenizers"].as_array();
    pre_tokenizer["prepend_scheme"] != "never"
        && pre_tokenizer["add_prefix_space"] != false
        && of_parts.is_none_or(|parts| parts.iter().all(adds_prefix))
}

/// SentencePiece's table of normal forms, wherever the normalizer holds it.
fn charsmap(normalizer: &Value) -> Option<Vec<u8>> {
    use base64::Engine;
    if let Some(text) = normalizer["precompiled_charsmap"].as_str() {
        return base64::engine::general_purpose::STANDARD.decode(text).ok();
    }
    normalizer["normalizers"].as_array()?.iter().find_map(charsmap)
}
