//! A model's files, and a session on them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use loraloom::formats::{
    AddedTokenFiles, ChosenWeights, FormatError, GgufModel, ShardedWeights, TensorSource,
    Tokenizer, choose_weights, parse_weights, sha256_hex, shard_names, weights_identity,
};
use loraloom::model::{
    GenerationNote, LmHeadNote, ModelConfig, Precision, UnusedTensors, generation_note,
    parse_config,
};
use loraloom::registry::{BaseFiles, RegistryFile};
use loraloom::session::{BaseInfo, BaseLabel, BaseLoad, BaseNotes, Session};

use crate::error::CliError;
use crate::folder::Folder;
use crate::library::check_contents;
use crate::location::Location;
use crate::output::{Output, note};

/// The tokenizer's file, the first one that is there.
const TOKENIZERS: [&str; 2] = ["tokenizer.json", "spiece.model"];
/// End of the name of an index of shards.
const INDEX: &str = ".index.json";
/// Bytes of a GGUF file that are read at first for what it says of its model: enough for a vocabulary of
/// 100,000 tokens.
const GGUF_START_BYTES: u64 = 4 << 20;

/// Where the files of a model are.
pub struct ModelFiles {
    /// Id on the hub; empty for a folder of this computer.
    pub id: String,
    pub config: Location,
    pub tokenizer: Location,
    /// Files beside the tokenizer that may add tokens to it.
    pub added_tokens: Option<Location>,
    pub special_tokens_map: Option<Location>,
    pub tokenizer_config: Option<Location>,
    pub generation_config: Option<Location>,
    /// One file, or all shards in order.
    pub weights: Vec<Location>,
    /// The lengths and hashes that a registry gives.
    pub listed: Option<BaseFiles>,
}

impl ModelFiles {
    /// Finds a model's files in the folder of that path, or of that id on the hub.
    pub fn find(folder: &Path) -> Result<Self, CliError> {
        Self::of_folder(Folder::open(folder)?)
    }

    /// Finds a model's files in a folder.
    pub fn of_folder(folder: Folder) -> Result<Self, CliError> {
        let names = folder.names()?;
        let missing = |expected| CliError::MissingFile {
            folder: folder.to_string(),
            expected,
            found: names.clone(),
        };
        let first = |names: &[&str], expected| {
            folder.first(names)?.map(Location::Path).ok_or_else(|| missing(expected))
        };
        let beside = |name| Ok::<_, CliError>(folder.first(&[name])?.map(Location::Path));
        if !names.iter().any(|name| name == "config.json" || TOKENIZERS.contains(&&**name))
            && let Some(weights) = gguf(&folder, &names)?
        {
            return Self::of_gguf(folder.id(), weights);
        }
        let config = first(&["config.json"], "config.json")?;
        let tokenizer_config = beside("tokenizer_config.json")?;
        let tokenizer = first(&TOKENIZERS, "tokenizer.json or spiece.model");
        let tokenizer = match tokenizer {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                // A model of another kind has another tokenizer.
                parse_config(&config.read()?).map_err(config.in_file())?;
                let mut configs = tokenizer_config.iter().chain([&config]);
                configs.find_map(|config| named_by(config).transpose()).unwrap_or(Err(error))?
            }
        };
        let weights = match folder.named_weights() {
            Some(name) => {
                let named = first(&[name], "the weights that its address names")?;
                if name.ends_with(INDEX) { shards(&folder, &named)? } else { vec![named] }
            }
            None => weights(&folder, &names)?.ok_or_else(|| {
                missing("model.safetensors, its index, a GGUF file or pytorch_model.bin")
            })?,
        };
        Ok(Self {
            id: folder.id(),
            config,
            tokenizer,
            added_tokens: beside("added_tokens.json")?,
            special_tokens_map: beside("special_tokens_map.json")?,
            tokenizer_config,
            generation_config: beside("generation_config.json")?,
            weights,
            listed: None,
        })
    }

    /// The files of a GGUF file alone, which says the rest itself.
    fn of_gguf(id: String, weights: PathBuf) -> Result<Self, CliError> {
        let GgufModel { config, tokenizer } = read_gguf_model(&weights)?;
        let inside = |name, bytes| Location::Inside { weights: weights.clone(), name, bytes };
        Ok(Self {
            id,
            config: inside("config.json", config),
            tokenizer: inside("tokenizer.json", tokenizer),
            added_tokens: None,
            special_tokens_map: None,
            tokenizer_config: None,
            generation_config: None,
            weights: vec![Location::Path(weights)],
            listed: None,
        })
    }

    /// Loads the model into a session. What of the weights is not used is noted.
    pub fn open(
        &self,
        precision: Precision,
        output: &Output,
    ) -> Result<(Session, BaseInfo), CliError> {
        let json = self.read_config_json()?;
        let (config, tokenizer) = (self.parse_config(&json)?, self.read_tokenizer()?);
        let generation = self.generation_note(&*config, &json)?;
        let label = BaseLabel { id: self.id.clone(), ..BaseLabel::default() };
        let load = BaseLoad::from_parts(label, config, tokenizer, precision)?;
        let mut load = load.with_generation(generation);
        let mut hashes = Vec::new();
        for location in &self.weights {
            output.progress(format!("Reading {location}"));
            let bytes = self.read_weights_of(location)?;
            hashes.push(sha256_hex(&bytes));
            load.expect_file(bytes.len() as u64);
            load.push(&bytes).map_err(location.in_file())?;
            load.end_file().map_err(location.in_file())?;
        }
        let mut session = Session::new(seconds);
        let info = session.finish_base(load, weights_identity(&hashes))?;
        info.notes.iter().flat_map(in_words).for_each(note);
        Ok((session, info))
    }

    /// Reads the weights.
    pub fn read_weights(&self) -> Result<Box<dyn TensorSource>, CliError> {
        let mut shards = Vec::new();
        for location in &self.weights {
            let bytes = self.read_weights_of(location)?;
            shards.push(parse_weights(bytes).map_err(location.in_file())?);
        }
        Ok(match shards.len() {
            1 => shards.remove(0),
            _ => Box::new(ShardedWeights::new(shards)?),
        })
    }

    pub fn read_config(&self) -> Result<Arc<dyn ModelConfig>, CliError> {
        self.parse_config(&self.read_config_json()?)
    }

    fn read_config_json(&self) -> Result<Vec<u8>, CliError> {
        self.read_listed(&self.config, |files| &files.config)
    }

    fn parse_config(&self, json: &[u8]) -> Result<Arc<dyn ModelConfig>, CliError> {
        parse_config(json).map_err(self.config.in_file())
    }

    /// The settings of decoding that are not applied; `json` is what `config` was read from.
    fn generation_note(
        &self,
        config: &dyn ModelConfig,
        json: &[u8],
    ) -> Result<Option<GenerationNote>, CliError> {
        let generation = self.generation_config.as_ref().map(Location::read).transpose()?;
        generation_note(config, json, generation.as_deref()).map_err(self.config.in_file())
    }

    /// Reads a file and checks what the registry says of it.
    fn read_listed(
        &self,
        location: &Location,
        entry: fn(&BaseFiles) -> &RegistryFile,
    ) -> Result<Vec<u8>, CliError> {
        let Some(files) = &self.listed else { return location.read() };
        let bytes = location.read_entry(entry(files))?;
        check_contents(entry(files), &bytes)?;
        Ok(bytes)
    }

    fn read_weights_of(&self, location: &Location) -> Result<Vec<u8>, CliError> {
        // A registry says nothing of shards, only of their index.
        match self.weights.len() {
            1 => self.read_listed(location, |files| &files.weights),
            _ => location.read(),
        }
    }

    /// Reads the tokenizer's own file.
    pub fn read_tokenizer_alone(&self) -> Result<Tokenizer, CliError> {
        let bytes = self.read_listed(&self.tokenizer, |files| &files.tokenizer)?;
        Tokenizer::parse(&bytes).map_err(self.tokenizer.in_file())
    }

    /// Reads the tokenizer, with the tokens that the files beside it add.
    pub fn read_tokenizer(&self) -> Result<Tokenizer, CliError> {
        let read = |file: &Option<Location>| file.as_ref().map(Location::read).transpose();
        let added_tokens = read(&self.added_tokens)?;
        let special_tokens_map = read(&self.special_tokens_map)?;
        let tokenizer_config = read(&self.tokenizer_config)?;
        let files = AddedTokenFiles {
            added_tokens: added_tokens.as_deref(),
            special_tokens_map: special_tokens_map.as_deref(),
            tokenizer_config: tokenizer_config.as_deref(),
        };
        let bytes = self.read_listed(&self.tokenizer, |files| &files.tokenizer)?;
        Tokenizer::parse_with(&bytes, files).map_err(self.tokenizer.in_file())
    }
}

/// The notes on a model in words.
fn in_words(notes: &BaseNotes) -> Vec<String> {
    let BaseNotes { unused_tensors: UnusedTensors { count, names }, lm_head, generation } = notes;
    let unused = match &names[..] {
        [] => None,
        [name] => Some(format!(
            "the weights contain {name}, which the model does not have; it is not used"
        )),
        [first, second, ..] => Some(format!(
            "the weights contain {count} tensors that the model does not have, such as {first} and \
             {second}; they are not used"
        )),
    };
    let lm_head = lm_head.map(|note| match note {
        LmHeadNote::Missing => {
            "the weights have no lm_head, although config.json says that it is not the embedding \
             (tie_word_embeddings: false); the embedding is used, where transformers starts with random values"
        }
        LmHeadNote::Differs => {
            "the weights have an lm_head of their own, although config.json says that the embedding is it \
             (tie_word_embeddings: true); it is used, as in transformers 5, where transformers 4 uses the embedding"
        }
        LmHeadNote::Undeclared => {
            "tie_word_embeddings in config.json is null, which is read as true, as in transformers 5; \
             transformers 4 reads it as false, with other losses"
        }
    });
    let generation = generation.as_ref().map(|GenerationNote { file, settings }| {
        format!(
            "{file} sets {}, which is not applied: answers are decoded greedily",
            settings.join(", ")
        )
    });
    unused.into_iter().chain(lm_head.map(str::to_owned)).chain(generation).collect()
}

/// The GGUF file of a folder, where it is what the folder's address names or the weights to read.
fn gguf(folder: &Folder, names: &[String]) -> Result<Option<PathBuf>, CliError> {
    let chosen = match (folder.named_weights(), choose_weights(names)) {
        (Some(name), _) => name.to_owned(),
        (None, Some(ChosenWeights::File(name))) => name,
        _ => return Ok(None),
    };
    if !chosen.ends_with(".gguf") {
        return Ok(None);
    }
    folder.first(&[&chosen])
}

/// Reads what a GGUF file says of its model, from its start.
fn read_gguf_model(path: &Path) -> Result<GgufModel, CliError> {
    let failed = |source| CliError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let mut length = GGUF_START_BYTES;
    loop {
        let mut start = Vec::new();
        (&file).seek(SeekFrom::Start(0)).map_err(failed)?;
        (&file).take(length).read_to_end(&mut start).map_err(failed)?;
        match GgufModel::read(&start) {
            Err(FormatError::Truncated { .. }) if start.len() as u64 == length => length *= 4,
            read => return read.map_err(CliError::in_file(path)),
        }
    }
}

/// The configuration itself, if it names a tokenizer that has no file of its own.
fn named_by(config: &Location) -> Result<Option<Location>, CliError> {
    Ok(Tokenizer::is_named_by(&config.read()?).then(|| config.clone()))
}

/// The weights to read of a folder with files of these names; `None` where it has none. Placeholders
/// are passed over.
fn weights(folder: &Folder, names: &[String]) -> Result<Option<Vec<Location>>, CliError> {
    let mut left = names.to_vec();
    let mut refused = None;
    while let Some(chosen) = choose_weights(&left) {
        let (ChosenWeights::File(name) | ChosenWeights::Index(name)) = &chosen;
        left.retain(|other| other != name);
        let path = match folder.first(&[name]) {
            Ok(path) => path.unwrap_or_default(),
            Err(error @ CliError::Placeholder { .. }) => {
                refused.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if let ChosenWeights::File(_) = chosen {
            return Ok(Some(vec![Location::Path(path)]));
        }
        return shards(folder, &Location::Path(path)).map(Some);
    }
    refused.map_or(Ok(None), Err)
}

/// The shards that an index names.
fn shards(folder: &Folder, index: &Location) -> Result<Vec<Location>, CliError> {
    let shards = shard_names(&index.read()?).map_err(index.in_file())?;
    shards.iter().map(|name| Ok(Location::Path(folder.file(name)?))).collect()
}

/// Seconds since the first call.
fn seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}
