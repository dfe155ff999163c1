//! Modules, read from PEFT folders or from a registry.

use std::path::{Path, PathBuf};

use loraloom::formats::{Example, ExamplesFormat, parse_examples};

use loraloom::lora::PeftAdapter;
use loraloom::lora::{AdapterSet, Merge};
use loraloom::model::{LoraBranches, Model, ModelConfig};
use loraloom::recipe::{LoadedHashes, RecipeLibrary};
use loraloom::registry::{
    Registry, RegistryBase, RegistryFile, RegistryModule, RegistryTask, Verifier,
};

use crate::arguments::AdapterArguments;
use crate::error::{CliError, read};
use crate::model::ModelFiles;

/// A module that was read.
pub struct Module {
    /// Id in the registry, or the folder's name.
    pub id: String,
    pub adapter: PeftAdapter,
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

    /// Reads the module under a name.
    pub fn read(&self, id: String) -> Result<Module, CliError> {
        module(id, &read(&self.config)?, read(&self.weights)?, &self.weights)
    }
}

fn module(id: String, config: &[u8], weights: Vec<u8>, path: &Path) -> Result<Module, CliError> {
    let adapter = PeftAdapter::parse(config, weights).map_err(CliError::in_file(path))?;
    Ok(Module { id, adapter })
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

/// Reads modules from their folders, or from folders that hold such folders.
pub fn read_folders(folders: &[PathBuf]) -> Result<Vec<Module>, CliError> {
    let mut modules = Vec::new();
    for folder in folders {
        for folder in peft_folders(folder)? {
            modules.push(PeftFolder::find(&folder)?.read(folder_name(&folder))?);
        }
    }
    Ok(modules)
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

    /// Reads the modules that were trained for a base.
    pub fn read_modules(&self, base: &str) -> Result<Vec<Module>, CliError> {
        let entries = self.registry.modules.iter().filter(|module| module.base == base);
        entries.map(|entry| self.read_module(entry)).collect()
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

    pub fn read_module(&self, entry: &RegistryModule) -> Result<Module, CliError> {
        let (config, weights) = (self.read(&entry.files.config)?, self.read(&entry.files.weights)?);
        module(entry.id.clone(), &config, weights, &self.path_of(&entry.files.weights))
    }
}

/// Reads the modules that a command was given, named by their folders.
pub fn read_adapters(arguments: &AdapterArguments) -> Result<Vec<Module>, CliError> {
    let folders = arguments.adapters.iter().map(|(folder, _)| folder);
    folders.map(|folder| PeftFolder::find(folder)?.read(folder.display().to_string())).collect()
}

/// The LoRA branches beside a model of the modules that a command was given, if it was given any.
pub fn branches_of(
    model: &dyn Model,
    arguments: &AdapterArguments,
) -> Result<Option<LoraBranches>, CliError> {
    if arguments.adapters.is_empty() {
        return Ok(None);
    }
    let modules = read_adapters(arguments)?;
    let modules: Vec<&Module> = modules.iter().collect();
    let weights: Vec<f32> = arguments.adapters.iter().map(|(_, weight)| *weight).collect();
    branches(model, &modules, &weights, arguments.settings.options.merge).map(Some)
}

/// The LoRA branches beside a model of modules with these weights.
pub fn branches(
    model: &dyn Model,
    modules: &[&Module],
    weights: &[f32],
    merge: Merge,
) -> Result<LoraBranches, CliError> {
    let ids: Vec<&str> = modules.iter().map(|module| &*module.id).collect();
    let adapters: Vec<&PeftAdapter> = modules.iter().map(|module| &module.adapter).collect();
    let side = AdapterSet::new(model.config(), &adapters, merge)
        .and_then(|composition| composition.into_branches(weights, model.precision()));
    side.map_err(|error| CliError::modules(error, &ids))
}

/// Checks that every module fits the base and, for the `lorahub` merge, the others.
pub fn check(config: &dyn ModelConfig, modules: &[Module], merge: Merge) -> Result<(), CliError> {
    let ids: Vec<&str> = modules.iter().map(|module| &*module.id).collect();
    let adapters: Vec<&PeftAdapter> = modules.iter().map(|module| &module.adapter).collect();
    // Under `delta` every module counts for itself, and all of them stacked would take much memory.
    let group = if merge == Merge::Lorahub { adapters.len().max(1) } else { 1 };
    for (ids, adapters) in ids.chunks(group).zip(adapters.chunks(group)) {
        AdapterSet::new(config, adapters, merge).map_err(|error| CliError::modules(error, ids))?;
    }
    Ok(())
}
