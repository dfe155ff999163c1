//! `loraloom export`: a composition as one PEFT adapter.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgGroup, Args};
use loraloom::lora::{
    ExportOptions, Exported, Merge, ModuleWeight, PeftAdapter, Truncation, TunedScales, export,
    export_scaled,
};
use loraloom::model::ModelConfig;
use loraloom::recipe::LoadedHashes;
use serde::Serialize;

use crate::arguments::{AdapterArguments, RankArgument, read_recipe};
use crate::error::{CliError, create_folder, write};
use crate::library::{Library, read_adapter};
use crate::model::ModelFiles;
use crate::output::{Output, truncation_text};

/// Write a composition as one PEFT adapter, which PEFT loads onto the same base.
#[derive(Args)]
#[command(group(ArgGroup::new("composition").required(true).args(["recipe", "adapters"])))]
pub struct Export {
    /// A recipe: the file that compose writes, or a link.
    #[arg(long, value_name = "FILE|LINK")]
    recipe: Option<String>,
    /// Registry of the recipe's base and modules: registry.json, its folder, or its address.
    #[arg(long, value_name = "FILE|URL")]
    registry: Option<PathBuf>,
    /// Folder or hub id of the base model, for modules given by their folders.
    #[arg(long, value_name = "DIR|ID")]
    model: Option<PathBuf>,
    #[command(flatten)]
    adapters: AdapterArguments,
    /// The name that PEFT loads the base by (default: the base's id or folder).
    #[arg(long, value_name = "NAME")]
    base_model: Option<String>,
    #[command(flatten)]
    rank: RankArgument,
    /// Folder to write adapter_config.json and adapter_model.safetensors into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Written {
    modules: usize,
    merge: Merge,
    base_model: String,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncation: Option<Truncation>,
}

/// Modules with their weights, and the base that they are for.
struct Parts {
    config: Arc<dyn ModelConfig>,
    base_model: String,
    ids: Vec<String>,
    adapters: Vec<PeftAdapter>,
    weights: Vec<ModuleWeight>,
    merge: Merge,
    /// Of a composition that was tuned.
    scales: Option<TunedScales>,
}

impl Export {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let parts = match &self.recipe {
            Some(recipe) => self.read_recipe_parts(recipe)?,
            None => self.read_folder_parts()?,
        };
        let base_model = self.base_model.unwrap_or(parts.base_model);
        let adapters: Vec<&PeftAdapter> = parts.adapters.iter().collect();
        let ids: Vec<&str> = parts.ids.iter().map(String::as_str).collect();
        let options = ExportOptions { base_model: &base_model, rank: self.rank.rank };
        let exported = match &parts.scales {
            None => export(&*parts.config, &adapters, &parts.weights, parts.merge, options),
            Some(scales) => export_scaled(
                &*parts.config,
                &adapters,
                &parts.weights,
                parts.merge,
                scales,
                options,
            ),
        };
        let exported = exported.map_err(|error| CliError::modules(error, &ids))?;
        let Exported { files, truncation } = exported;
        create_folder(&self.out)?;
        write(&self.out.join("adapter_config.json"), &files.config)?;
        write(&self.out.join("adapter_model.safetensors"), &files.weights)?;
        let written = Written {
            modules: parts.weights.iter().filter(|weight| !weight.is_zero()).count(),
            merge: parts.merge,
            base_model,
            bytes: files.weights.len(),
            truncation,
        };
        output.result(&written, || {
            let Written { modules, bytes, truncation, .. } = &written;
            let out = self.out.display();
            let text = format!("{out}: {modules} modules in one adapter of {bytes} bytes");
            let truncation = truncation.iter().map(truncation_text);
            std::iter::once(text).chain(truncation).collect::<Vec<_>>().join("\n")
        })
    }

    fn read_recipe_parts(&self, recipe: &str) -> Result<Parts, CliError> {
        let Some(registry) = &self.registry else {
            return Err(CliError::Needs {
                option: "--recipe",
                needed: "--registry",
                reason: "where its modules are",
            });
        };
        let recipe = read_recipe(recipe)?;
        let library = Library::open(registry)?;
        recipe.check(library.for_recipes(&LoadedHashes::default()))?;
        let base = library.base(Some(&recipe.base.id), "")?;
        let entries = recipe.modules.iter().filter_map(|m| library.registry.module(&m.id));
        let adapters = entries.map(|entry| library.read_module(entry)?.parse());
        Ok(Parts {
            config: library.model_files(base)?.read_config()?,
            base_model: base.id.clone(),
            ids: recipe.modules.iter().map(|module| module.id.clone()).collect(),
            adapters: adapters.collect::<Result<_, _>>()?,
            weights: recipe.modules.iter().map(|module| module.weight).collect(),
            merge: recipe.merge,
            scales: recipe.scales,
        })
    }

    fn read_folder_parts(&self) -> Result<Parts, CliError> {
        let Some(model) = &self.model else {
            return Err(CliError::Needs {
                option: "--adapter",
                needed: "--model",
                reason: "the base's folder",
            });
        };
        let folders = || self.adapters.adapters.iter().map(|(folder, _)| folder);
        let adapters = folders().map(|folder| read_adapter(folder)?.parse());
        Ok(Parts {
            config: ModelFiles::find(model)?.read_config()?,
            base_model: model.display().to_string(),
            ids: folders().map(|folder| folder.display().to_string()).collect(),
            adapters: adapters.collect::<Result<_, _>>()?,
            weights: self.adapters.adapters.iter().map(|(_, weight)| *weight).collect(),
            merge: self.adapters.settings.options.merge,
            scales: None,
        })
    }
}
