//! Modules, read from PEFT folders or from a registry.

use std::path::{Path, PathBuf};

use loraloom::formats::{Example, ExamplesFormat, parse_examples};
use loraloom::lora::{Composition, PeftAdapter, WeightedModule};
use loraloom::recipe::{LoadedHashes, RecipeLibrary};
use loraloom::registry::{
    Registry, RegistryBase, RegistryFile, RegistryModule, RegistryTask, Verifier,
};
use loraloom::session::{Session, SessionError};

use crate::arguments::AdapterArguments;
use crate::error::{CliError, read};
use crate::model::ModelFiles;

/// The contents of a module's two files.
pub struct Module {
    /// Id in the registry, or the folder's name.
    pub id: String,
    config: Vec<u8>,
    weights: Vec<u8>,
    /// Path of the weights.
    path: PathBuf,
}

impl Module {
    /// Parses the files.
    pub fn parse(self) -> Result<PeftAdapter, CliError> {
        PeftAdapter::parse(&self.config, self.weights).map_err(CliError::in_file(&self.path))
    }

    /// Adds the module to a session and returns its id.
    pub fn add_to(self, session: &mut Session) -> Result<String, CliError> {
        let Self { id, config, weights, path } = self;
        match session.add_module(&id, &config, weights) {
            Ok(_) => Ok(id),
            Err(SessionError::Module { source, .. }) => Err(CliError::in_file(&path)(source)),
            Err(error) => Err(error.into()),
        }
    }
}

/// The two files of a PEFT folder.
pub struct PeftFolder {
    pub config: PathBuf,
    pub weights: PathBuf,
}

impl PeftFolder {
    pub fn find(folder: &Path) -> Result<Self, CliError> {
        let weights = ["adapter_model.safetensors", "adapter_model.bin"];
        let weights = weights.iter().map(|name| folder.join(name)).find(|path| path.exists());
        let config = folder.join("adapter_config.json");
        match weights {
            Some(weights) if config.exists() => Ok(Self { config, weights }),
            _ => Err(CliError::NoModule { path: folder.into() }),
        }
    }

    /// Reads the two files as the module of that id.
    pub fn read(self, id: String) -> Result<Module, CliError> {
        let (config, weights) = (read(&self.config)?, read(&self.weights)?);
        Ok(Module { id, config, weights, path: self.weights })
    }
}

/// The PEFT folders that a folder is or holds.
pub fn peft_folders(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let is_module = |path: &PathBuf| path.join("adapter_config.json").exists();
    if is_module(&folder.into()) {
        return Ok(vec![folder.into()]);
    }
    let entries = folder.read_dir();
    let mut found: Vec<PathBuf> = entries
        .map_err(|source| CliError::Read { path: folder.into(), source })?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_module)
        .collect();
    found.sort();
    if found.is_empty() {
        // Fails with the names of the files that a module's folder should hold.
        PeftFolder::find(folder)?;
    }
    Ok(found)
}

/// The last part of a folder's path.
pub fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.into());
    whole.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into()
}

/// Adds modules from their folders, or from folders that hold such folders, to a session.
pub fn add_folders(session: &mut Session, folders: &[PathBuf]) -> Result<Vec<String>, CliError> {
    let mut ids = Vec::new();
    for folder in folders {
        for folder in peft_folders(folder)? {
            let module = PeftFolder::find(&folder)?.read(folder_name(&folder))?;
            ids.push(module.add_to(session)?);
        }
    }
    Ok(ids)
}

/// A registry with the folder of its files.
pub struct Library {
    pub registry: Registry,
    path: PathBuf,
}

impl Library {
    /// Reads `registry.json`.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        let registry = Registry::parse(&read(path)?).map_err(CliError::in_file(path))?;
        let library = Self { registry, path: path.into() };
        let registry = library.registry.clone().listed(|file| library.read(file))?;
        Ok(Self { registry, ..library })
    }

    /// The base of that id; without one the only base, or the one whose weights have this hash.
    pub fn base(&self, id: Option<&str>, sha256: &str) -> Result<&RegistryBase, CliError> {
        let bases = &self.registry.bases;
        let found = match (id, &bases[..]) {
            (Some(id), _) => self.registry.base(id),
            (None, [only]) => Some(only),
            (None, all) => all.iter().find(|base| base.files.weights.sha256 == sha256),
        };
        found.ok_or_else(|| CliError::NoBase {
            path: self.path.clone(),
            bases: bases.iter().map(|base| base.id.clone()).collect(),
        })
    }

    /// The path of `registry.json`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The entries that recipes refer to, with the hashes of loaded weights.
    pub fn for_recipes<'l>(&'l self, loaded: &'l LoadedHashes) -> RecipeLibrary<'l> {
        let Registry { bases, modules, .. } = &self.registry;
        RecipeLibrary { bases, modules, loaded }
    }

    /// The files of a base.
    pub fn model_files(&self, base: &RegistryBase) -> ModelFiles {
        ModelFiles {
            config: self.path_of(&base.files.config),
            tokenizer: self.path_of(&base.files.tokenizer),
            weights: vec![self.path_of(&base.files.weights)],
        }
    }

    /// Reads a task's test set.
    pub fn read_test(&self, task: &RegistryTask) -> Result<Vec<Example>, CliError> {
        let bytes = self.read(&task.test)?;
        parse_examples(&String::from_utf8_lossy(&bytes), ExamplesFormat::Jsonl)
            .map_err(CliError::in_file(&self.path_of(&task.test)))
    }

    /// Adds the modules of a base to a session.
    pub fn add_modules(&self, session: &mut Session, base: &str) -> Result<Vec<String>, CliError> {
        let entries = self.registry.modules.iter().filter(|module| module.base == base);
        entries.map(|entry| self.read_module(entry)?.add_to(session)).collect()
    }

    /// The path of a file of the registry.
    pub fn path_of(&self, file: &RegistryFile) -> PathBuf {
        self.path.with_file_name(&file.path)
    }

    /// Reads a file and checks it against its length and hash.
    pub fn read(&self, file: &RegistryFile) -> Result<Vec<u8>, CliError> {
        let bytes = read(&self.path_of(file))?;
        let mut verifier = Verifier::new(file);
        verifier.update(&bytes)?;
        verifier.finish()?;
        Ok(bytes)
    }

    /// Reads a module's files.
    pub fn read_module(&self, entry: &RegistryModule) -> Result<Module, CliError> {
        let (config, weights) = (self.read(&entry.files.config)?, self.read(&entry.files.weights)?);
        let path = self.path_of(&entry.files.weights);
        Ok(Module { id: entry.id.clone(), config, weights, path })
    }
}

/// Reads the module of an `--adapter` option, whose id is the folder as given.
pub fn read_adapter(folder: &Path) -> Result<Module, CliError> {
    PeftFolder::find(folder)?.read(folder.display().to_string())
}

/// Adds the modules of the `--adapter` options to a session and returns their composition, if there
/// are any.
pub fn add_adapters(
    session: &mut Session,
    arguments: &AdapterArguments,
) -> Result<Option<Composition>, CliError> {
    let mut modules = Vec::new();
    for (folder, weight) in &arguments.adapters {
        let id = read_adapter(folder)?.add_to(session)?;
        modules.push(WeightedModule { id, weight: (*weight).into() });
    }
    let merge = arguments.settings.options.merge;
    Ok((!modules.is_empty()).then_some(Composition { modules, merge }))
}
