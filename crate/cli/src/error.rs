//! What a command reports when it cannot go on.

use std::path::{Path, PathBuf};

use loraloom::formats::FormatError;
use loraloom::learn::LearnError;
use loraloom::lora::LoraError;
use loraloom::model::t5::ModelError;
use loraloom::recipe::RecipeError;
use loraloom::registry::RegistryError;

/// Why a command failed; its text is all that a user sees.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A file or folder is not there or not readable.
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A file could not be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// A file is there, but it is not what it should be.
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
    /// An option, or several together, ask for something impossible.
    #[error("{0}")]
    Argument(String),
    /// Modules that do not fit the base or each other, by name.
    #[error("{0}")]
    Modules(String),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Learn(#[from] LearnError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Recipe(#[from] RecipeError),
}

impl CliError {
    /// Blames a file for what a reader said about its contents.
    pub fn in_file<E: std::error::Error>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        |problem| Self::File { path, problem: problem.to_string() }
    }

    /// Says the names of modules that the library knows by their index.
    pub fn modules(error: LoraError, ids: &[&str]) -> Self {
        let name = error.module().and_then(|index| Some((index, *ids.get(index)?)));
        Self::Modules(match name {
            Some((index, id)) => format!("{error} (module {index} is {id})"),
            None => error.to_string(),
        })
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::Read { path: path.into(), source })
}

/// Writes a whole file.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), CliError> {
    std::fs::write(path, bytes).map_err(|source| CliError::Write { path: path.into(), source })
}

/// Makes a folder and those that it lies in.
pub fn create_folder(path: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(path).map_err(|source| CliError::Write { path: path.into(), source })
}
