//! Recipes and a registry: building a recipe from its entries, and checking a recipe against them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EntryKind, FILES_DIGITS, Recipe, RecipeBase, RecipeError, RecipeModule};
use crate::formats::{Example, files_sha256};
use crate::lora::{Composition, TunedScales};
use crate::model::Precision;
use crate::registry::{RegistryBase, RegistryFile, RegistryModule};

/// Hexadecimal digits of a SHA-256 in a new recipe.
const SHORT_HASH_DIGITS: usize = 12;

/// SHA-256 of loaded weights, in hexadecimal, by id. Ids that are absent or have an empty hash are
/// not loaded or not hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default, rename_all = "camelCase")]
pub struct LoadedHashes {
    /// Of base models.
    pub bases: BTreeMap<String, String>,
    /// Of modules.
    pub modules: BTreeMap<String, String>,
    /// Over all files of base models.
    pub base_files: BTreeMap<String, String>,
    /// Over both files of modules.
    pub module_files: BTreeMap<String, String>,
}

/// The entries of a registry that recipes refer to, and what is loaded of them.
#[derive(Debug, Clone, Copy)]
pub struct RecipeLibrary<'a> {
    /// The registry's bases.
    pub bases: &'a [RegistryBase],
    /// The registry's modules, at least those of the recipe.
    pub modules: &'a [RegistryModule],
    /// Hashes of what is loaded, which count before the registry's.
    pub loaded: &'a LoadedHashes,
}

/// What a recipe is built from: a [`Recipe`] without hashes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct RecipeDraft {
    /// Address of `registry.json`.
    pub registry: String,
    /// Id of the base in the registry.
    pub base: String,
    /// The modules with their weights; those at 0 are left out.
    pub composition: Composition,
    /// Scales of the ranks, where the composition was tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub scales: Option<TunedScales>,
    /// What the base's products are computed in.
    pub precision: Precision,
    /// Name of the task, for people.
    pub title: String,
    /// What the task is, in a line, if a person wrote one.
    pub instruction: Option<String>,
    /// Examples of the task, if a person chose to share them.
    pub examples: Vec<Example>,
}

impl RecipeLibrary<'_> {
    /// The SHA-256 of an entry's weights; empty where it is not known.
    ///
    /// # Errors
    /// [`RecipeError::Missing`] if the registry has no such entry.
    fn hash(&self, kind: EntryKind, id: &str) -> Result<&str, RecipeError> {
        let (listed, loaded) = match kind {
            EntryKind::Base => {
                let base = self.bases.iter().find(|base| base.id == id);
                (base.map(|base| &base.files.weights.sha256), self.loaded.bases.get(id))
            }
            EntryKind::Module => {
                let module = self.modules.iter().find(|module| module.id == id);
                (module.map(|module| &module.files.weights.sha256), self.loaded.modules.get(id))
            }
        };
        let listed = listed.ok_or_else(|| RecipeError::Missing { kind, id: id.into() })?;
        Ok(loaded.filter(|hash| !hash.is_empty()).unwrap_or(listed))
    }

    /// The SHA-256 over all files of an entry; empty where that of one of them is not known.
    fn files(&self, kind: EntryKind, id: &str) -> String {
        let (loaded, weights, listed) = match kind {
            EntryKind::Base => {
                let base = self.bases.iter().find(|base| base.id == id).map(|base| &base.files);
                let files = base.map(|files| vec![&files.config, &files.tokenizer, &files.weights]);
                (self.loaded.base_files.get(id), self.loaded.bases.get(id), files)
            }
            EntryKind::Module => {
                let module = self.modules.iter().find(|module| module.id == id);
                let files = module.map(|module| vec![&module.files.config, &module.files.weights]);
                (self.loaded.module_files.get(id), self.loaded.modules.get(id), files)
            }
        };
        if let Some(loaded) = loaded.filter(|hash| !hash.is_empty()) {
            return loaded.clone();
        }
        let is_listed = |files: &Vec<&RegistryFile>| {
            // A registry's hash of an index is none of the shards; other weights may have other files beside them.
            let last = files.last();
            last.is_some_and(|last| !last.path.ends_with(".index.json"))
                && weights.is_none_or(|weights| last.is_some_and(|last| last.sha256 == *weights))
        };
        let hashes = listed.filter(is_listed).map(|files| {
            files_sha256(&files.iter().map(|file| file.sha256.as_str()).collect::<Vec<_>>())
        });
        hashes.unwrap_or_default()
    }

    /// The first digits of the SHA-256 over all files of a base and modules; `None` where that of one is not known.
    fn all_files<'i>(&self, base: &str, modules: impl Iterator<Item = &'i str>) -> Option<String> {
        let modules = modules.map(|id| self.files(EntryKind::Module, id));
        let hashes: Vec<String> =
            std::iter::once(self.files(EntryKind::Base, base)).chain(modules).collect();
        files_sha256(&hashes).get(..FILES_DIGITS).map(str::to_owned)
    }

    /// The first digits of an entry's hash.
    fn short_hash(&self, kind: EntryKind, id: &str) -> Result<String, RecipeError> {
        let hash = self.hash(kind, id)?.get(..SHORT_HASH_DIGITS);
        hash.map(str::to_owned).ok_or_else(|| RecipeError::NoHash { kind, id: id.into() })
    }

    /// Compares an entry's hash, where it is known, with the first digits that a recipe gives.
    fn compare(&self, kind: EntryKind, id: &str, expected: &str) -> Result<(), RecipeError> {
        let found = self.hash(kind, id)?;
        if found.is_empty() || found.starts_with(expected) {
            return Ok(());
        }
        let (id, expected, found) = (id.into(), expected.into(), found.into());
        Err(RecipeError::OtherVersion { kind, id, expected, found })
    }
}

impl Recipe {
    /// Builds the recipe of a composition of a registry's base and modules.
    ///
    /// # Errors
    /// [`RecipeError::Missing`] for what the registry does not have, [`RecipeError::NoHash`] for what
    /// has no hash, and [`RecipeError::Invalid`] as [`Recipe::validate`].
    pub fn new(draft: RecipeDraft, library: RecipeLibrary<'_>) -> Result<Self, RecipeError> {
        let RecipeDraft {
            registry,
            base,
            composition,
            scales,
            precision,
            title,
            instruction,
            examples,
        } = draft;
        let hash = library.short_hash(EntryKind::Base, &base)?;
        let modules = (composition.modules.into_iter())
            .filter(|module| !module.weight.is_zero())
            .map(|module| {
                let hash = library.short_hash(EntryKind::Module, &module.id)?;
                Ok(RecipeModule { id: module.id, hash, weight: module.weight })
            })
            .collect::<Result<Vec<_>, RecipeError>>()?;
        let files = library.all_files(&base, modules.iter().map(|module| &*module.id));
        let recipe = Self {
            registry,
            files,
            base: RecipeBase { id: base, hash },
            modules,
            merge: composition.merge,
            scales,
            precision,
            title,
            instruction,
            examples,
        };
        recipe.validate()?;
        Ok(recipe)
    }

    /// Checks that a library has the recipe's base and modules, by the hashes of their weights and, in recipes that
    /// have one, by the hash over all files, as far as these are known: those of the registry before loading, and of
    /// the loaded files after it.
    ///
    /// # Errors
    /// [`RecipeError::Missing`] or [`RecipeError::OtherVersion`] for the first entry that does not
    /// match, [`RecipeError::OtherFiles`] where only other files differ.
    pub fn check(&self, library: RecipeLibrary<'_>) -> Result<(), RecipeError> {
        library.compare(EntryKind::Base, &self.base.id, &self.base.hash)?;
        self.modules
            .iter()
            .try_for_each(|module| library.compare(EntryKind::Module, &module.id, &module.hash))?;
        let Some(expected) = &self.files else { return Ok(()) };
        let modules = self.modules.iter().map(|module| &*module.id);
        match library.all_files(&self.base.id, modules) {
            Some(found) if found != *expected => {
                Err(RecipeError::OtherFiles { expected: expected.clone(), found })
            }
            _ => Ok(()),
        }
    }
}
