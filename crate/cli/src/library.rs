//! Modules, read from PEFT folders or from a registry.

use std::path::{Path, PathBuf};

use loraloom::formats::{Example, ExamplesFormat, FormatError, parse_examples};
use loraloom::lora::{AdapterConfig, AdapterNotes, Composition, PeftAdapter, WeightedModule};
use loraloom::recipe::{LoadedHashes, RecipeLibrary};
use loraloom::registry::{
    BaseFiles, HubFolder, ModuleFiles, Registry, RegistryBase, RegistryError, RegistryFile,
    RegistryModule, RegistryTask, RemoteFolder, Schemes, Verifier,
};
use loraloom::session::{Session, SessionError};

use crate::arguments::AdapterArguments;
use crate::error::CliError;
use crate::folder::Folder;
use crate::hub::{self, HubFiles};
use crate::location::Location;
use crate::model::ModelFiles;
use crate::output::note;

/// The configuration of a module.
const CONFIG: &str = "adapter_config.json";

/// The contents of a module's two files.
pub struct Module {
    /// Id in the registry, or the folder's name.
    pub id: String,
    config: Vec<u8>,
    weights: Vec<u8>,
    files: PeftFiles,
}

impl Module {
    /// Parses the files.
    pub fn parse(self) -> Result<PeftAdapter, CliError> {
        let files = self.files;
        PeftAdapter::parse(&self.config, self.weights)
            .map_err(|error| files.refused(&self.config, error))
    }

    /// Adds the module to a session and returns its id. What does not fit is noted.
    pub fn add_to(self, session: &mut Session) -> Result<String, CliError> {
        let Self { id, config, weights, files } = self;
        match session.add_module(&id, &config, weights) {
            Ok(info) => {
                info.notes.iter().for_each(|notes| note(format!("{id} {}", in_words(notes))));
                Ok(id)
            }
            Err(SessionError::Module { source, .. }) => Err(files.refused(&config, source)),
            Err(error) => Err(error.into()),
        }
    }
}

/// The notes on a module in words.
fn in_words(notes: &AdapterNotes) -> String {
    let AdapterNotes { other_base, missing_layers, unused_layers } = notes;
    let layers = |layers: &[String]| match layers {
        [first, second, _, ..] => {
            format!("{} layers, such as {first} and {second}", layers.len())
        }
        _ => layers.join(" and "),
    };
    let mut parts = Vec::new();
    parts.extend(other_base.iter().map(|base| format!("was trained on {base}")));
    if !missing_layers.is_empty() {
        let missing = layers(missing_layers);
        parts.push(format!("has no matrices of {missing}, which its configuration targets"));
    }
    if !unused_layers.is_empty() {
        let unused = layers(unused_layers);
        parts.push(format!("has matrices of {unused}, which its configuration does not target"));
    }
    parts.join("; ")
}

/// The two files of a PEFT folder.
pub struct PeftFiles {
    pub config: Location,
    pub weights: Location,
}

impl PeftFiles {
    /// Finds a module's files in a folder.
    pub fn find(folder: &Folder) -> Result<Self, CliError> {
        let weights = match folder.named_weights() {
            Some(name) => folder.first(&[name])?,
            None => folder.first(&["adapter_model.safetensors", "adapter_model.bin"])?,
        };
        match (folder.first(&[CONFIG])?, weights) {
            (Some(config), Some(weights)) => {
                Ok(Self { config: Location::Path(config), weights: Location::Path(weights) })
            }
            _ => Err(CliError::NoModule { folder: folder.to_string() }),
        }
    }

    /// Reads the two files as the module of that id.
    pub fn read(self, id: String) -> Result<Module, CliError> {
        let (config, weights) = (self.config.read()?, self.weights.read()?);
        Ok(Module { id, config, weights, files: self })
    }

    /// Adds to a reader's error the file that it is about.
    pub fn refused(&self, config: &[u8], error: FormatError) -> CliError {
        let in_config = AdapterConfig::parse(config).is_err();
        let file = if in_config { &self.config } else { &self.weights };
        file.in_file()(error)
    }
}

/// The PEFT folders that a folder is or holds, each with an id: the folder's name, or its path from the
/// given one.
pub fn peft_folders(folder: &Path) -> Result<Vec<(String, Folder)>, CliError> {
    let folder = Folder::open(folder)?;
    let (name, missing) = (folder.name(), CliError::NoModule { folder: folder.to_string() });
    let found = folder.holding(CONFIG)?;
    if found.is_empty() {
        return Err(missing);
    }
    let id = |path: String| if path.is_empty() { name.clone() } else { path };
    Ok(found.into_iter().map(|(path, folder)| (id(path), folder)).collect())
}

/// Adds modules from their folders, or from folders that hold such folders, to a session.
pub fn add_folders(session: &mut Session, folders: &[PathBuf]) -> Result<Vec<String>, CliError> {
    let mut ids = Vec::new();
    for folder in folders {
        for (id, folder) in peft_folders(folder)? {
            ids.push(PeftFiles::find(&folder)?.read(id)?.add_to(session)?);
        }
    }
    Ok(ids)
}

/// A registry with the location of its files.
pub struct Library {
    pub registry: Registry,
    /// As it was given.
    path: PathBuf,
    location: Location,
    hub: String,
}

impl Library {
    /// Reads a registry, by its file, its folder, or the address of either.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        let (bytes, location) = Location::of_registry(path)?.read_registry()?;
        let registry = Registry::parse(&bytes).map_err(location.in_file())?;
        let library = Self { registry, path: path.into(), location, hub: hub::endpoint()? };
        let registry = library.registry.clone().listed(|file| library.read(file))?;
        Ok(Self { registry, ..library })
    }

    /// LoraHub's published modules and their base, by their addresses on the hub.
    pub fn lorahub() -> Result<Self, CliError> {
        let path = PathBuf::from("lorahub.json");
        let registry = Registry::parse(include_bytes!("evaluate/lorahub.json"))?;
        let location = Location::Path(path.clone());
        Ok(Self { registry, path, location, hub: hub::endpoint()? })
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

    /// The registry as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The entries that recipes refer to, with the hashes of loaded weights.
    pub fn for_recipes<'l>(&'l self, loaded: &'l LoadedHashes) -> RecipeLibrary<'l> {
        let Registry { bases, modules, .. } = &self.registry;
        RecipeLibrary { bases, modules, loaded }
    }

    /// The files of a base.
    pub fn model_files(&self, base: &RegistryBase) -> Result<ModelFiles, CliError> {
        let BaseFiles { config, tokenizer, weights } = &base.files;
        if let Some(source) = self.hub_folder(weights)? {
            let folder = Folder::Hub(Box::new(HubFiles::open(source)?));
            let (id, listed) = (base.id.clone(), Some(base.files.clone()));
            return Ok(ModelFiles { id, listed, ..ModelFiles::of_folder(folder)? });
        }
        Ok(ModelFiles {
            id: base.id.clone(),
            config: self.location_of(config),
            tokenizer: self.location_of(tokenizer),
            added_tokens: None,
            special_tokens_map: None,
            tokenizer_config: None,
            generation_config: None,
            weights: vec![self.location_of(weights)],
            listed: Some(base.files.clone()),
        })
    }

    /// Reads a task's test set.
    pub fn read_test(&self, task: &RegistryTask) -> Result<Vec<Example>, CliError> {
        let bytes = self.read(&task.test)?;
        parse_examples(&String::from_utf8_lossy(&bytes), ExamplesFormat::Jsonl)
            .map_err(self.location_of(&task.test).in_file())
    }

    /// Adds the modules of a base to a session.
    pub fn add_modules(&self, session: &mut Session, base: &str) -> Result<Vec<String>, CliError> {
        self.add_chosen(session, base, |_| true)
    }

    /// Adds the modules of a base that are chosen by their ids to a session.
    pub fn add_chosen(
        &self,
        session: &mut Session,
        base: &str,
        chosen: impl Fn(&String) -> bool,
    ) -> Result<Vec<String>, CliError> {
        let of_base = self.registry.modules.iter().filter(|module| module.base == base);
        let entries = of_base.filter(|module| chosen(&module.id));
        entries.map(|entry| self.read_module(entry)?.add_to(session)).collect()
    }

    /// Whether reading a file needs no request: it is on this computer, or in the hub's cache.
    pub fn is_here(&self, file: &RegistryFile) -> Result<bool, CliError> {
        Ok(match self.hub_folder(file)? {
            Some(source) => hub::is_cached(&source),
            None => matches!(self.location_of(file), Location::Path(_)),
        })
    }

    /// The inputs on the cards of a base's modules: texts of the kind that its tasks have.
    pub fn card_inputs(&self, base: &str) -> Vec<String> {
        let modules = self.registry.modules.iter().filter(|module| module.base == base);
        let examples = modules.filter_map(|module| module.example.as_ref());
        examples.map(|example| example.input.clone()).collect()
    }

    /// The location of a file of the registry.
    fn location_of(&self, file: &RegistryFile) -> Location {
        self.location.of_file(file, &self.hub)
    }

    /// The folder of a hub that a file is in; `None` for a file beside the registry.
    fn hub_folder(&self, file: &RegistryFile) -> Result<Option<HubFolder>, CliError> {
        if file.on_hub().is_none() {
            return Ok(None);
        }
        Ok(match RemoteFolder::parse(&file.path, &self.hub, Schemes::Web)? {
            RemoteFolder::Hub(source) => Some(source),
            RemoteFolder::Folder(_) => None,
        })
    }

    /// Reads a file and checks it against its length and hash.
    pub fn read(&self, file: &RegistryFile) -> Result<Vec<u8>, CliError> {
        let bytes = self.location_of(file).read_entry(file)?;
        check_contents(file, &bytes)?;
        Ok(bytes)
    }

    /// Reads a module's files.
    pub fn read_module(&self, entry: &RegistryModule) -> Result<Module, CliError> {
        let ModuleFiles { config, weights } = &entry.files;
        if let Some(source) = self.hub_folder(weights)? {
            // The repository may have another format of the weights by now, unless the registry says what they are.
            let is_known = weights.bytes > 0 || !weights.sha256.is_empty();
            let file = source.file.clone().filter(|_| is_known);
            let folder = HubFiles::open(HubFolder { file, ..source })?;
            let folder = Folder::Hub(Box::new(folder));
            let module = PeftFiles::find(&folder)?.read(entry.id.clone())?;
            check_contents(config, &module.config)?;
            check_contents(weights, &module.weights)?;
            return Ok(module);
        }
        let files =
            PeftFiles { config: self.location_of(config), weights: self.location_of(weights) };
        let (config, weights) = (self.read(config)?, self.read(weights)?);
        Ok(Module { id: entry.id.clone(), config, weights, files })
    }
}

/// Compares a file's contents with the length and the hash that a registry gives, as far as it does.
pub fn check_contents(file: &RegistryFile, bytes: &[u8]) -> Result<(), RegistryError> {
    let mut verifier = Verifier::new(file);
    verifier.update(bytes)?;
    verifier.finish()
}

/// Reads the module of an `--adapter` option, whose id is the folder as given.
pub fn read_adapter(folder: &Path) -> Result<Module, CliError> {
    PeftFiles::find(&Folder::open(folder)?)?.read(folder.display().to_string())
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
        modules.push(WeightedModule { id, weight: *weight });
    }
    let merge = arguments.settings.options.merge;
    Ok((!modules.is_empty()).then_some(Composition { modules, merge }))
}
