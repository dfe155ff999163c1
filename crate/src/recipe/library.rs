//! Recipes and a registry: building a recipe from its entries, and checking a recipe against them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EntryKind, Recipe, RecipeBase, RecipeError, RecipeModule};
use crate::formats::Example;
use crate::lora::{Composition, TunedScales};
use crate::model::Precision;
use crate::registry::{RegistryBase, RegistryModule};

/// Hexadecimal digits of a SHA-256 in a new recipe.
const SHORT_HASH_DIGITS: usize = 12;

/// SHA-256 of loaded weights, in hexadecimal, by id. Ids that are absent or have an empty hash are
/// not loaded or not hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct LoadedHashes {
    /// Of base models.
    pub bases: BTreeMap<String, String>,
    /// Of modules.
    pub modules: BTreeMap<String, String>,
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
            .collect::<Result<_, RecipeError>>()?;
        let recipe = Self {
            registry,
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

    /// Checks that a library has the recipe's base and modules, by the hashes of their weights as far
    /// as these are known: those of the registry before loading, and of the loaded files after it.
    ///
    /// # Errors
    /// [`RecipeError::Missing`] or [`RecipeError::OtherVersion`] for the first entry that does not
    /// match.
    pub fn check(&self, library: RecipeLibrary<'_>) -> Result<(), RecipeError> {
        library.compare(EntryKind::Base, &self.base.id, &self.base.hash)?;
        self.modules
            .iter()
            .try_for_each(|module| library.compare(EntryKind::Module, &module.id, &module.hash))
    }
}
