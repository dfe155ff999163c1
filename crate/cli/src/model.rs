//! A model read from a folder, applied to texts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loraloom::formats::{
    ChosenWeights, Example, ShardedWeights, TensorSource, Tokenizer, choose_weights, parse_weights,
    sha256_hex, shard_names, weights_identity,
};
use loraloom::model::{
    self, Control, ExampleLoss, LoraBranches, Model, ModelConfig, Precision, TokenizedExample,
    parse_config,
};

use serde::Serialize;

use crate::error::{CliError, read};
use crate::output::Output;

/// Most tokens of a batch. Larger batches use the machine no better, and smaller ones cache.
const BATCH_TOKENS: usize = 4096;

/// Where the files of a model are.
pub struct ModelFiles {
    pub config: PathBuf,
    pub tokenizer: PathBuf,
    /// One file, or all shards in order.
    pub weights: Vec<PathBuf>,
}

impl ModelFiles {
    /// Finds a model's files in a Hugging Face folder.
    pub fn find(folder: &Path) -> Result<Self, CliError> {
        let entries = folder.read_dir();
        let mut names: Vec<String> = entries
            .map_err(|source| CliError::Read { path: folder.into(), source })?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        let path = |name: &str| folder.join(name);
        let has = |name: &str| names.iter().any(|found| found == name);
        let missing = |expected| CliError::MissingFile {
            path: folder.into(),
            expected,
            found: names.clone(),
        };
        if !has("config.json") {
            return Err(missing("config.json"));
        }
        let tokenizer = ["tokenizer.json", "spiece.model"].into_iter().find(|name| has(name));
        let tokenizer = tokenizer.ok_or_else(|| missing("tokenizer.json or spiece.model"))?;
        let weights = match choose_weights(&names) {
            Some(ChosenWeights::File(name)) => vec![path(&name)],
            Some(ChosenWeights::Index(name)) => {
                let shards = shard_names(&read(&path(&name))?);
                let shards = shards.map_err(CliError::in_file(&path(&name)))?;
                shards.iter().map(|name| path(name)).collect()
            }
            None => {
                let expected = "model.safetensors, its index, a GGUF file or pytorch_model.bin";
                return Err(missing(expected));
            }
        };
        Ok(Self { config: path("config.json"), tokenizer: path(tokenizer), weights })
    }

    /// Reads the weights, and their identity ([`weights_identity`]).
    pub fn read_weights(&self) -> Result<(Box<dyn TensorSource>, String), CliError> {
        let (mut shards, mut hashes) = (Vec::new(), Vec::new());
        for path in &self.weights {
            let bytes = read(path)?;
            hashes.push(sha256_hex(&bytes));
            shards.push(parse_weights(bytes).map_err(CliError::in_file(path))?);
        }
        let source = match shards.len() {
            1 => shards.remove(0),
            _ => Box::new(ShardedWeights::new(shards)?),
        };
        Ok((source, weights_identity(&hashes)))
    }

    pub fn read_config(&self) -> Result<Arc<dyn ModelConfig>, CliError> {
        parse_config(&read(&self.config)?).map_err(CliError::in_file(&self.config))
    }

    pub fn read_tokenizer(&self) -> Result<Tokenizer, CliError> {
        Tokenizer::parse(&read(&self.tokenizer)?).map_err(CliError::in_file(&self.tokenizer))
    }
}

/// A model with its tokenizer.
pub struct LoadedModel {
    pub model: Arc<dyn Model>,
    pub tokenizer: Tokenizer,
    /// The identity of the weights ([`weights_identity`]).
    pub weights_sha256: String,
}

/// An answer to one input.
#[derive(Serialize)]
pub struct Answer {
    pub text: String,
    /// Token ids, with `</s>` if it was reached and without the start token.
    pub tokens: Vec<u32>,
}

impl LoadedModel {
    /// Reads and packs a model.
    pub fn open(
        files: &ModelFiles,
        precision: Precision,
        output: &Output,
    ) -> Result<Self, CliError> {
        let (config, tokenizer) = (files.read_config()?, files.read_tokenizer()?);
        config.check_tokenizer(&tokenizer)?;
        for path in &files.weights {
            output.progress(format!("Reading {}", path.display()));
        }
        let (source, weights_sha256) = files.read_weights()?;
        let model = model::load(config, &*source, precision)?;
        Ok(Self { model, tokenizer, weights_sha256 })
    }

    pub fn tokenize(&self, examples: &[Example]) -> Result<Vec<TokenizedExample>, CliError> {
        let ids = |text: &str| self.tokenizer.encode(text);
        let tokenized = examples
            .iter()
            .map(|e| Ok(TokenizedExample { input: ids(&e.input)?, labels: ids(&e.output)? }));
        tokenized.collect()
    }

    /// Token ids of inputs.
    pub fn encode<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<u32>>, CliError> {
        texts.iter().map(|text| Ok(self.tokenizer.encode(text.as_ref())?)).collect()
    }

    /// The loss of each example.
    pub fn losses(
        &self,
        examples: &[TokenizedExample],
        side: Option<&LoraBranches>,
    ) -> Result<Vec<ExampleLoss>, CliError> {
        let lengths: Vec<usize> = examples.iter().map(|e| e.input.len() + e.labels.len()).collect();
        let mut losses = vec![None; examples.len()];
        for batch in batches(&lengths) {
            let rows: Vec<TokenizedExample> =
                batch.iter().map(|&index| examples[index].clone()).collect();
            let found = self.model.losses(&rows, side, &Control::none())?;
            for (index, loss) in batch.into_iter().zip(found) {
                losses[index] = Some(loss);
            }
        }
        Ok(losses.into_iter().flatten().collect())
    }

    /// The greedy answer to each input.
    pub fn answers(
        &self,
        inputs: &[Vec<u32>],
        side: Option<&LoraBranches>,
        max_new_tokens: usize,
    ) -> Result<Vec<Answer>, CliError> {
        let lengths: Vec<usize> = inputs.iter().map(Vec::len).collect();
        let mut answers: Vec<Vec<u32>> = vec![Vec::new(); inputs.len()];
        for batch in batches(&lengths) {
            let rows: Vec<&[u32]> = batch.iter().map(|&index| &*inputs[index]).collect();
            let control = Control::none();
            let found =
                self.model.generate(&rows, side, max_new_tokens, &control, &mut |_, _| ())?;
            for (index, tokens) in batch.into_iter().zip(found) {
                answers[index] = tokens;
            }
        }
        let text = |tokens: Vec<u32>| Answer { text: self.tokenizer.decode(&tokens), tokens };
        Ok(answers.into_iter().map(text).collect())
    }
}

/// Indices of examples in their order, cut into batches of a limited number of tokens; an example's
/// result has the same bits in any batch.
fn batches(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for (index, &length) in lengths.iter().enumerate() {
        tokens += length;
        match batches.last_mut() {
            Some(batch) if tokens <= BATCH_TOKENS => batch.push(index),
            _ => {
                batches.push(vec![index]);
                tokens = length;
            }
        }
    }
    batches
}
