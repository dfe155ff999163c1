//! Errors of the commands. Their texts, which are all that a user sees, are rendered here.

use std::error::Error;
use std::path::{Path, PathBuf};

use loraloom::formats::{FormatError, Placeholder};
use loraloom::lora::LoraError;
use loraloom::model::{ModelError, Verified};
use loraloom::recipe::RecipeError;
use loraloom::registry::{AddressError, RegistryError};
use loraloom::session::{ErrorCode, SessionError};

use crate::verify;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A file or folder does not exist or is not readable.
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A server did not respond with a file.
    #[error("{url} cannot be read: expected the file, found status {status}")]
    Status { url: String, status: u16 },
    /// A text is neither a folder of this computer nor an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The folder of a static host, which has no list of files.
    #[error(
        "{url}: models and modules are read from folders of this computer and from repositories of a \
         hub; download the folder first"
    )]
    HostFolder { url: String },
    /// A hub has no such repository or folder.
    #[error(
        "{name}: no such folder is here, and at {hub} the repository does not exist, or is private"
    )]
    NotOnHub { name: String, hub: String },
    /// A request to a hub failed.
    #[error("{url} cannot be read: {reason}")]
    Hub { url: String, reason: String },
    /// Only the cache of a hub's files is read, and it lacks one.
    #[error("{name}: no such folder is here, and {} does not have it; {why}", cache.display())]
    NotCached { name: String, cache: PathBuf, why: &'static str },
    /// A fetched file is not the one that the hub names.
    #[error("{url} is damaged: expected {expected}, found {found}; none of it was used or kept")]
    Damaged { url: String, expected: String, found: String },
    /// There is something else in place of a file.
    #[error("{} is {found}, not the file; {}", path.display(), remedy(*found))]
    Placeholder { path: PathBuf, found: Placeholder },
    /// A file could not be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// A file's contents are not valid.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    /// A model's folder lacks a file.
    #[error("{folder}: the folder should hold {expected}, found {}", list(found))]
    MissingFile { folder: String, expected: &'static str, found: Vec<String> },
    /// A folder is not that of a PEFT module.
    #[error(
        "{folder}: a module's folder should hold adapter_config.json and adapter_model.safetensors or \
         adapter_model.bin, as PEFT writes them"
    )]
    NoModule { folder: String },
    /// A base of a registry cannot be in several files of weights.
    #[error(
        "{}: the weights should be one file; make one with loraloom quantize", path.display()
    )]
    ShardedBase { path: PathBuf },
    /// A tokenizer whose tokens depend on other files, which a registry does not hold.
    #[error(
        "{}: its tokens are not those with added_tokens.json, special_tokens_map.json and tokenizer_config.json, \
         which a registry does not hold; transformers' save_pretrained writes them to tokenizer.json",
        path.display()
    )]
    TokensBeside { path: PathBuf },
    /// A vocabulary that cannot be written as GGUF.
    #[error(
        "{}: the vocabulary is taken from tokenizer.json, found only spiece.model; transformers' \
         save_pretrained writes tokenizer.json",
        path.display()
    )]
    NoTokenizerJson { path: PathBuf },
    /// Another file has the name of one that a written model is read with.
    #[error(
        "{}: the written model is read with {file}, and another file has its name here; write the model \
         into another folder", path.display()
    )]
    OtherBeside { path: PathBuf, file: String },
    /// The weights lack a tensor that they list.
    #[error("the weights have no tensor {0}")]
    NoTensor(String),
    /// No base of a registry is the model.
    #[error(
        "{}: none of its bases is the model; name one with --base: {}",
        path.display(),
        bases.join(", ")
    )]
    NoBase { path: PathBuf, bases: Vec<String> },
    /// A registry of which several entries or files are not valid.
    #[error("{registry}: {} problems\n{}", problems.len(), lines(problems))]
    Problems { registry: String, problems: Vec<CliError> },
    /// A registry's entry of a module differs from the module.
    #[error(
        "the {field} of module {id} should be {expected}, as its weights have it, found {found}"
    )]
    Entry { id: String, field: &'static str, expected: String, found: String },
    /// A recipe without examples, which inputs are compared with.
    #[error(
        "the recipe {recipe} holds no examples, whose inputs others are compared with; give its file of \
         examples with --examples, one for each recipe"
    )]
    NoRecipeExamples { recipe: String },
    /// Recipes that are to be used together are of several bases.
    #[error("the recipe {recipe} should be of the base {expected}, as the first, found {found}")]
    OtherBase { recipe: String, expected: String, found: String },
    /// An option needs another one.
    #[error("{option} needs {needed}, {reason}")]
    Needs { option: &'static str, needed: &'static str, reason: &'static str },
    /// An option's value is not valid.
    #[error("{option} should be {expected}, found {found}")]
    Value { option: &'static str, expected: &'static str, found: String },
    /// The folders given to `registry build` hold no base model, or several.
    #[error("among the folders there should be one base model (with config.json), found {found}")]
    BaseFolders { found: usize },
    /// A task has too few test items for the number of seeds.
    #[error(
        "--seeds should leave items to test, but task {task} has only {items} for {examples} \
         examples a seed"
    )]
    FewItems { task: String, items: usize, examples: usize },
    /// A task's prompts with examples are not of the items that are tested.
    #[error(
        "{}: expected a prompt for each of the {items} tested items, with the same completions, found \
         {found}",
        path.display()
    )]
    OtherItems { path: PathBuf, items: usize, found: usize },
    /// A file has a run of other settings.
    #[error(
        "{}: its run of task {task} with seed {seed} was made with other settings, modules or items; name \
         another file with --runs",
        path.display()
    )]
    OtherRuns { path: PathBuf, task: String, seed: u32 },
    /// A registry has no module for a base.
    #[error("the registry has no module for that base")]
    NoModules,
    /// There are no reference outputs of a model.
    #[error(
        "the model should be one of {}; there is no reference output of one with d_model {d_model} \
         and {blocks} blocks",
        models.join(", ")
    )]
    NoReference { models: Vec<&'static str>, d_model: usize, blocks: usize },
    /// A model differs from every reference output.
    #[error("the weights are not those of a known model\n{}", verify::text(checks))]
    NotVerified { checks: Vec<Verified> },
    /// Modules do not fit the base or each other.
    #[error("{source}{}", with_id(source, ids))]
    Modules { source: LoraError, ids: Vec<String> },
    #[error(transparent)]
    Session(Box<SessionError>),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Recipe(#[from] RecipeError),
}

impl From<SessionError> for CliError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Mismatch { id, source } => Self::Modules { source, ids: vec![id] },
            SessionError::Composition { ids, source, .. } => Self::Modules { source, ids },
            other => Self::Session(Box::new(other)),
        }
    }
}

impl CliError {
    /// What kind of failure it is.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Read { .. }
            | Self::MissingFile { .. }
            | Self::NoModule { .. }
            | Self::NoBase { .. }
            | Self::NoModules
            | Self::NotOnHub { .. }
            | Self::NotCached { .. } => ErrorCode::NotFound,
            Self::Status { .. } | Self::Hub { .. } => ErrorCode::Network,
            Self::Damaged { .. }
            | Self::Placeholder { .. }
            | Self::NotVerified { .. }
            | Self::Registry(RegistryError::Length { .. } | RegistryError::Hash { .. }) => {
                ErrorCode::Integrity
            }
            Self::Session(error) => error.code(),
            _ => ErrorCode::InvalidInput,
        }
    }

    /// Adds the file to a reader's error.
    pub fn in_file<E: Error + Send + Sync + 'static>(
        path: &Path,
    ) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        |error| Self::File { path, source: error.into() }
    }

    /// Adds the ids of the modules, in the order of the indices in the error.
    pub fn modules(source: LoraError, ids: &[&str]) -> Self {
        Self::Modules { source, ids: ids.iter().map(|&id| id.into()).collect() }
    }
}

/// What to do about a placeholder.
fn remedy(found: Placeholder) -> &'static str {
    match found {
        Placeholder::WebPage => "download the file itself, whose address on a hub has /resolve/",
        Placeholder::LfsPointer => "fetch the files of the clone with git lfs pull",
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

fn lines(errors: &[CliError]) -> String {
    errors.iter().map(CliError::to_string).collect::<Vec<_>>().join("\n")
}

/// The module that an error is about, by its index and its id.
fn with_id(error: &LoraError, ids: &[String]) -> String {
    let named = error.module().and_then(|index| Some((index, ids.get(index)?)));
    named.map_or(String::new(), |(index, id)| format!(" (module {index} is {id})"))
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes =
        std::fs::read(path).map_err(|source| CliError::Read { path: path.into(), source })?;
    match Placeholder::detect(&bytes) {
        // No file of any format starts as a pointer does.
        Some(found @ Placeholder::LfsPointer) => {
            Err(CliError::Placeholder { path: path.into(), found })
        }
        _ => Ok(bytes),
    }
}

/// Writes a whole file.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), CliError> {
    std::fs::write(path, bytes).map_err(|source| CliError::Write { path: path.into(), source })
}

/// Makes a folder and those that it lies in.
pub fn create_folder(path: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(path).map_err(|source| CliError::Write { path: path.into(), source })
}
