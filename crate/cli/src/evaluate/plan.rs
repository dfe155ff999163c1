//! What a published experiment takes, before anything is fetched: bytes, and time by counts of tokens.

use std::time::Instant;

use loraloom::formats::{Example, NamedTensor, Tokenizer, write_safetensors};
use loraloom::model::{Precision, parse_config};
use loraloom::session::{BaseLabel, BaseLoad, Session};
use pollster::block_on;
use serde::Serialize;

use super::bbh::{DRAWN_MODULES, Size};
use super::method::Method;
use super::runs::RunKey;
use crate::error::CliError;
use crate::output::duration;

/// Parameters of Flan-T5-large; the blocks of each of its stacks, each with four times the multiply-adds
/// of a block that is half as wide; and its output layer, as such blocks of the decoder.
const PARAMETERS: f64 = 783_150_080.0;
const BLOCKS: f64 = 24.0 * 4.0;
const HEAD_BLOCKS: f64 = 2.2 * 4.0;
/// Tokens of an answer: most of BIG-Bench Hard's have one to four, and models write somewhat longer ones.
const ANSWER_TOKENS: f64 = 8.0;
/// Tokens of the text that describes a module.
const CARD_TOKENS: f64 = 16.0;
/// What is measured: inputs that are decoded together, tokens of each, and tokens of the answers.
const MEASURED_INPUTS: usize = 16;
const MEASURED_TOKENS: usize = 32;
const MEASURED_STEPS: usize = 9;

/// The cost of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    pub tasks: usize,
    /// Questions that are tested, over all tasks.
    pub items: usize,
    /// Runs that remain, and those that were made.
    pub runs: usize,
    pub made: usize,
    /// Bytes of the base, of the modules and of the tasks.
    pub base_bytes: u64,
    pub modules: usize,
    pub module_bytes: u64,
    pub data_bytes: u64,
    /// Bytes of these that are not in the cache.
    pub fetched_bytes: u64,
    /// Tokens that the encoder reads, and tokens that are decoded.
    pub encoded_tokens: f64,
    pub decoded_tokens: f64,
    /// Time on this machine, by the two counts.
    pub seconds: f64,
}

/// Tokens that a run encodes and decodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    pub encoded: f64,
    pub decoded: f64,
}

impl Work {
    /// The work of a run on a task with so many examples and modules.
    pub fn of(key: &RunKey, size: &Size, examples: usize, modules: usize) -> Self {
        let (items, examples) = (size.items as f64, examples as f64);
        let prompts = match key.method {
            Method::InContext => 1.0 + examples,
            _ => 1.0,
        };
        let losses = match (key.method, key.budget) {
            (Method::BestSingle, _) => modules.min(DRAWN_MODULES) as f64,
            (_, budget) => budget.map_or(0.0, f64::from),
        };
        let cards = if key.method.composes() && !key.method.of_drawn_modules() {
            modules as f64 * CARD_TOKENS
        } else {
            0.0
        };
        Self {
            encoded: size.tokens * (items * prompts + losses * examples) + cards,
            decoded: items * ANSWER_TOKENS,
        }
    }

    pub fn add(&mut self, other: Self) {
        self.encoded += other.encoded;
        self.decoded += other.decoded;
    }
}

/// Seconds for each token of Flan-T5-large on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    encoded: f64,
    decoded: f64,
}

impl Speed {
    /// Measures one block of each stack, half as wide as Flan-T5-large's, with random weights, and
    /// multiplies by the number of blocks.
    pub fn measure(precision: Precision) -> Result<Self, CliError> {
        let mut session = one_block(precision)?;
        let inputs: Vec<String> = (0..MEASURED_INPUTS)
            .map(|input| "abcdefgh".chars().cycle().skip(input).take(MEASURED_TOKENS).collect())
            .collect();
        let mut answer = |steps: usize| -> Result<f64, CliError> {
            let started = Instant::now();
            block_on(session.answers(&inputs, None, steps, &mut ()))?;
            Ok(started.elapsed().as_secs_f64())
        };
        answer(1)?;
        let (first, all) = (answer(1)?, answer(MEASURED_STEPS)?);
        let inputs = MEASURED_INPUTS as f64;
        let steps = (MEASURED_STEPS - 1) as f64;
        Ok(Self {
            encoded: BLOCKS * first / (inputs * MEASURED_TOKENS as f64),
            decoded: (BLOCKS + HEAD_BLOCKS) * (all - first).max(0.0) / (inputs * steps),
        })
    }

    /// Time of some work of a model of so many parameters.
    pub fn seconds(self, work: Work, parameters: u64) -> f64 {
        let seconds = work.encoded * self.encoded + work.decoded * self.decoded;
        seconds * parameters as f64 / PARAMETERS
    }
}

/// A model of one block in each stack, with the bytes of text as its vocabulary.
fn one_block(precision: Precision) -> Result<Session, CliError> {
    const CONFIG: &str = r#"{"model_type": "t5", "tokenizer_class": "ByT5Tokenizer", "d_model": 512,
        "d_kv": 64, "d_ff": 1408, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 8,
        "vocab_size": 384, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false,
        "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6, "is_encoder_decoder": true, "pad_token_id": 0,
        "decoder_start_token_id": 0, "eos_token_id": 1}"#;
    let config = parse_config(CONFIG.as_bytes())?;
    let tokenizer = Tokenizer::parse(CONFIG.as_bytes())?;
    let mut bits = 1u32;
    let mut number = || {
        // Any numbers will do (Marsaglia's xorshift).
        bits ^= bits << 13;
        bits ^= bits >> 17;
        bits ^= bits << 5;
        (bits as f32 / u32::MAX as f32 - 0.5) / 16.0
    };
    let tensors: Vec<NamedTensor> = (config.tensors().into_iter())
        .map(|(name, (_, shape))| {
            let values = (0..shape.iter().product()).map(|_| number()).collect();
            NamedTensor { name, shape, values }
        })
        .collect();
    let mut load = BaseLoad::from_parts(BaseLabel::default(), config, tokenizer, precision)?;
    load.push(&write_safetensors(&tensors, true)?)?;
    load.end_file()?;
    let mut session = Session::new(|| 0.0);
    session.finish_base(load, String::new())?;
    // The answer to anything, so that the first measurement does not pay for the start of the threads.
    let example = Example { input: "a".into(), output: "b".into() };
    block_on(session.score(&[example], None))?;
    Ok(session)
}

impl Plan {
    /// The plan in a few lines.
    pub fn text(&self) -> String {
        let Self { tasks, items, runs, made, modules, .. } = self;
        let mut lines = vec![format!("{tasks} tasks, {items} questions, {runs} runs")];
        if *made > 0 {
            lines[0] += &format!(" ({made} more were made before)");
        }
        lines.push(format!(
            "to fetch: {} of {} for the base, {} for {modules} modules, {} for the tasks; the rest is here",
            bytes(self.fetched_bytes),
            bytes(self.base_bytes),
            bytes(self.module_bytes),
            bytes(self.data_bytes),
        ));
        lines.push(format!(
            "to compute: {:.1} million tokens encoded and {:.1} million decoded, about {} on this machine",
            self.encoded_tokens / 1e6,
            self.decoded_tokens / 1e6,
            duration(self.seconds)
        ));
        lines.join("\n")
    }
}

fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        large if large >= 1e9 => format!("{:.1} GB", large / 1e9),
        medium if medium >= 1e6 => format!("{:.1} MB", medium / 1e6),
        small => format!("{:.0} kB", small / 1e3),
    }
}
