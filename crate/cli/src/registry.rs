//! `loraloom registry`: makes a static registry from folders, or checks one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use loraloom::formats::{NamedTensor, TensorSource, parse_weights, write_safetensors};
use loraloom::lora::PeftAdapter;
use loraloom::lora::{AdapterSet, Merge};
use loraloom::model::{ModelConfig, parse_config};
use loraloom::registry::{
    BaseFiles, MANY_MODULES, ModuleFiles, PAGE_MODULES, Registry, RegistryBase, RegistryFile,
    RegistryModule, VERSION, into_pages,
};
use serde::Serialize;

use crate::check::Check;
use crate::error::{CliError, create_folder, read, write};
use crate::folder::Folder;
use crate::html::web_address;
use crate::library::{PeftFiles, peft_folders};
use crate::location::Location;
use crate::model::ModelFiles;
use crate::model_card::ModelCard;
use crate::module_page::module_page;
use crate::output::{Output, note_clean_up};

/// Make or check a registry: the index of base models and modules on a static host.
#[derive(Subcommand)]
pub enum RegistryCommand {
    Build(Build),
    Check(Check),
}

impl RegistryCommand {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        match self {
            Self::Build(command) => command.run(output),
            Self::Check(command) => command.run(output),
        }
    }
}

/// Make a registry from PEFT folders and the folder of their base model.
///
/// A module's id is its folder's name, or its path from the folder that is given. Title, task, example, license and tags are read from its
/// README.md: the first heading, `- Task:`, ``- Example: `input` → `output` ``, `- License:`,
/// `- Result …, exact match: 81.0 % (base: 0.0 %)`, and `license` and `tags` of the front matter.
#[derive(Args)]
pub struct Build {
    /// The base model's folder and PEFT folders, or folders that hold PEFT folders; or their hub ids.
    #[arg(required = true, value_name = "DIR|ID")]
    folders: Vec<PathBuf>,
    /// Folder to write registry.json and the files into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Title of the registry.
    #[arg(long, value_name = "TEXT", default_value = "LoRA modules")]
    title: String,
    /// Id of the base model (default: its folder's name).
    #[arg(long, value_name = "ID")]
    base_id: Option<String>,
    /// Store the modules' weights as f16, half as large.
    #[arg(long)]
    f16: bool,
    /// Write the modules' entries as pages with an index of their words, so that a search fetches a
    /// few small files. Always done for 500 modules or more.
    #[arg(long)]
    pages: bool,
    /// Address of a site that opens links, with ?registry=… where its library is not this one. With it
    /// each module has a page, index.html beside its files, with its card and a link that opens it there.
    #[arg(long, value_name = "URL")]
    site: Option<String>,
}

#[derive(Serialize)]
struct Built {
    registry: String,
    modules: usize,
    bytes: u64,
}

impl Build {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let site = self.site.as_deref().map(|site| web_address("--site", site)).transpose()?;
        let (mut models, mut others) = (Vec::new(), Vec::new());
        for path in &self.folders {
            let folder = Folder::open(path)?;
            let is_model = folder.names()?.iter().any(|name| name == "config.json");
            if is_model {
                models.push(folder);
            } else {
                others.push(path);
            }
        }
        let count = models.len();
        let (1, Some(model)) = (count, models.pop()) else {
            return Err(CliError::BaseFolders { found: count });
        };
        let base = self.base(model, output)?;
        let config = parse_config(&read(&self.out.join(&base.files.config.path))?)?;
        let mut registry = Registry {
            version: VERSION,
            title: self.title.clone(),
            bases: vec![base],
            modules: Vec::new(),
            index: None,
            tasks: Vec::new(),
        };
        for folder in others {
            for (id, folder) in peft_folders(folder)? {
                let module = self.module(id, &folder, &*config, &registry.bases[0].id)?;
                output.progress(format!("{}: rank {}", module.id, module.rank));
                registry.modules.push(module);
            }
        }
        registry.check()?;
        for module in registry.modules.iter().filter(|_| site.is_some()) {
            let page = module_page(&registry, module, site.as_deref().unwrap_or_default())?;
            write(&self.out.join(format!("modules/{}/index.html", module.id)), page)?;
        }
        let path = self.out.join("registry.json");
        let mut head = serde_json::to_string_pretty(&registry).unwrap_or_default();
        if self.pages || registry.modules.len() >= MANY_MODULES {
            let (paged, files) = into_pages(&registry, PAGE_MODULES)?;
            for (path, bytes) in files {
                self.put(&path, &bytes)?;
            }
            head = serde_json::to_string(&paged).unwrap_or_default();
        }
        write(&path, head + "\n")?;
        let bases = registry.bases.iter().flat_map(|base| {
            let BaseFiles { config, tokenizer, weights } = &base.files;
            [config.bytes, tokenizer.bytes, weights.bytes]
        });
        let modules = registry
            .modules
            .iter()
            .flat_map(|module| [module.files.config.bytes, module.files.weights.bytes]);
        let built = Built {
            registry: path.display().to_string(),
            modules: registry.modules.len(),
            bytes: bases.chain(modules).sum(),
        };
        output.result(&built, || {
            format!("{}: {} modules, {} bytes in all", built.registry, built.modules, built.bytes)
        })
    }

    /// Copies the base's files.
    fn base(&self, folder: Folder, output: &Output) -> Result<RegistryBase, CliError> {
        let (name, title) = (folder.name(), folder.to_string());
        let card = ModelCard::read(&folder)?;
        let files = ModelFiles::of_folder(folder)?;
        let config = files.read_config()?;
        let tokenizer = files.read_tokenizer()?;
        config.check_tokenizer(&tokenizer)?;
        if !tokenizer.differences(&files.read_tokenizer_alone()?).is_empty() {
            return Err(CliError::TokensBeside { path: files.tokenizer.to_string().into() });
        }
        note_clean_up(&tokenizer, "a registry");
        let [weights] = &files.weights[..] else {
            return Err(CliError::ShardedBase { path: title.into() });
        };
        output.progress(format!("Copying {weights}"));
        let copy = |from: &Location| self.put(&format!("base/{}", from.file_name()), &from.read()?);
        let id = self.base_id.clone().unwrap_or(name);
        Ok(RegistryBase {
            title: card.title.unwrap_or_else(|| id.clone()),
            description: card.task.unwrap_or_default(),
            license: card.license.unwrap_or_else(|| "unknown".into()),
            parameters: config.parameters(),
            files: BaseFiles {
                config: copy(&files.config)?,
                tokenizer: copy(&files.tokenizer)?,
                weights: copy(weights)?,
            },
            id,
        })
    }

    /// Writes a module's files; weights of any format become safetensors.
    fn module(
        &self,
        id: String,
        folder: &Folder,
        base: &dyn ModelConfig,
        base_id: &str,
    ) -> Result<RegistryModule, CliError> {
        let files = PeftFiles::find(folder)?;
        let (config, bytes) = (files.config.read()?, files.weights.read()?);
        let source = parse_weights(bytes.clone()).map_err(files.weights.in_file())?;
        let is_safetensors = files.weights.has_extension("safetensors");
        let bytes =
            if is_safetensors && !self.f16 { bytes } else { converted(&*source, self.f16)? };
        let adapter = PeftAdapter::parse(&config, bytes.clone())
            .map_err(|error| files.refused(&config, error))?;
        AdapterSet::new(base, &[&adapter], Merge::Delta)
            .map_err(|error| CliError::modules(error, &[&id]))?;
        let card = ModelCard::read(folder)?;
        let path = |name: &str| format!("modules/{id}/{name}");
        Ok(RegistryModule {
            title: card.title.unwrap_or_else(|| id.clone()),
            task: card.task.unwrap_or_else(|| "Not described.".into()),
            example: card.example,
            base: base_id.into(),
            rank: adapter.rank() as u32,
            targets: adapter.targets().into_iter().map(String::from).collect(),
            files: ModuleFiles {
                config: self.put(&path("adapter_config.json"), &config)?,
                weights: self.put(&path("adapter_model.safetensors"), &bytes)?,
            },
            license: card.license.unwrap_or_else(|| "unknown".into()),
            tags: card.tags,
            result: card.result,
            id,
        })
    }

    /// Writes a file of the registry.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<RegistryFile, CliError> {
        let target = self.out.join(path);
        create_folder(target.parent().unwrap_or(&self.out))?;
        write(&target, bytes)?;
        Ok(RegistryFile::of_contents(path.into(), bytes))
    }
}

/// The tensors of a file as safetensors.
fn converted(source: &dyn TensorSource, half: bool) -> Result<Vec<u8>, CliError> {
    let mut tensors = Vec::new();
    for name in source.names() {
        if let Some(view) = source.tensor(&name)? {
            tensors.push(NamedTensor { name, shape: view.shape.clone(), values: view.to_f32()? });
        }
    }
    Ok(write_safetensors(&tensors, half)?)
}
