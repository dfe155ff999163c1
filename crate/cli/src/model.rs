//! A model's files, and a session on them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use loraloom::formats::{
    AddedTokenFiles, ChosenWeights, ShardedWeights, TensorSource, Tokenizer, choose_weights,
    parse_weights, sha256_hex, shard_names, weights_identity,
};
use loraloom::model::{ModelConfig, Precision, parse_config};
use loraloom::session::{BaseInfo, BaseLabel, BaseLoad, Session};

use crate::error::{CliError, read};
use crate::output::Output;

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

    /// Loads the model into a session.
    pub fn open(
        &self,
        precision: Precision,
        output: &Output,
    ) -> Result<(Session, BaseInfo), CliError> {
        let (config, tokenizer) = (self.read_config()?, self.read_tokenizer()?);
        let mut load = BaseLoad::from_parts(BaseLabel::default(), config, tokenizer, precision)?;
        let mut hashes = Vec::new();
        for path in &self.weights {
            output.progress(format!("Reading {}", path.display()));
            let bytes = read(path)?;
            hashes.push(sha256_hex(&bytes));
            load.push(&bytes).map_err(CliError::in_file(path))?;
            load.end_file().map_err(CliError::in_file(path))?;
        }
        let mut session = Session::new(seconds);
        let info = session.finish_base(load, weights_identity(&hashes))?;
        Ok((session, info))
    }

    /// Reads the weights.
    pub fn read_weights(&self) -> Result<Box<dyn TensorSource>, CliError> {
        let mut shards = Vec::new();
        for path in &self.weights {
            shards.push(parse_weights(read(path)?).map_err(CliError::in_file(path))?);
        }
        Ok(match shards.len() {
            1 => shards.remove(0),
            _ => Box::new(ShardedWeights::new(shards)?),
        })
    }

    pub fn read_config(&self) -> Result<Arc<dyn ModelConfig>, CliError> {
        parse_config(&read(&self.config)?).map_err(CliError::in_file(&self.config))
    }

    /// Reads the tokenizer's own file.
    pub fn read_tokenizer_alone(&self) -> Result<Tokenizer, CliError> {
        Tokenizer::parse(&read(&self.tokenizer)?).map_err(CliError::in_file(&self.tokenizer))
    }

    /// Reads the tokenizer, with the tokens that the files beside it add.
    pub fn read_tokenizer(&self) -> Result<Tokenizer, CliError> {
        let beside = |name: &str| {
            let path = self.tokenizer.with_file_name(name);
            path.exists().then(|| read(&path)).transpose()
        };
        let added_tokens = beside("added_tokens.json")?;
        let tokenizer_config = beside("tokenizer_config.json")?;
        let files = AddedTokenFiles {
            added_tokens: added_tokens.as_deref(),
            tokenizer_config: tokenizer_config.as_deref(),
        };
        Tokenizer::parse_with(&read(&self.tokenizer)?, files)
            .map_err(CliError::in_file(&self.tokenizer))
    }
}

/// Seconds since the first call.
fn seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}
