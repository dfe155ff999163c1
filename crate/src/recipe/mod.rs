//! The recipe of a composition: which base, which modules with which weights, and what for. It is
//! what a link carries, so that another machine gets the same outputs without learning again.
//!
//! [`Recipe::new`] builds a recipe of a registry's base and modules, [`Recipe::check`] checks one
//! against a registry, and [`encode`] and [`decode`] turn it into the fragment of a link and back.

mod library;
mod link;

pub use library::{LoadedHashes, RecipeDraft, RecipeLibrary};
pub use link::{VERSION, decode, encode};

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::formats::{Example, excerpt};
use crate::lora::{Merge, ModuleWeight, TunedScales};
use crate::model::Precision;
use crate::registry::is_id;

/// Hexadecimal digits of the hash over all files.
const FILES_DIGITS: usize = 32;
/// Maximum number of modules of a recipe.
const MAX_MODULES: usize = 1000;
/// Maximum number of scales of a recipe: more than any link has room for.
const MAX_SCALES: usize = 64 << 10;
/// Maximum number of examples of a recipe.
const MAX_EXAMPLES: usize = 100;
/// The longest address of a registry, in bytes.
const MAX_REGISTRY_BYTES: usize = 2048;
/// The longest title, in bytes.
const MAX_TITLE_BYTES: usize = 1024;
/// The longest instruction, and the longest input or output of an example, in bytes.
const MAX_TEXT_BYTES: usize = 16 << 10;
/// How many hexadecimal digits of a hash a recipe may hold: enough to tell files apart, and no more
/// than SHA-256 has.
const HASH_DIGITS: std::ops::RangeInclusive<usize> = 8..=64;

/// Whether an entry of a recipe is a base model or a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A base model.
    Base,
    /// A LoRA module.
    Module,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Module => "module",
        })
    }
}

/// What is wrong with a recipe or with the link that holds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A character that does not occur in links.
    #[error(
        "the link should be made of letters, digits, '-' and '_', found {found:?} at character \
         {position}; copy it again, whole"
    )]
    Character {
        /// Position of the character, from 1.
        position: usize,
        /// The character.
        found: char,
    },
    /// The link ends too early.
    #[error("the link was cut short: {expected}, found {found} characters; copy it whole")]
    CutShort {
        /// How long it should be.
        expected: String,
        /// Its length in characters.
        found: usize,
    },
    /// The link continues after its end.
    #[error(
        "the link should be {expected} characters long, found {found}; copy it again, without what \
         follows it"
    )]
    TooLong {
        /// Its length in characters by its own header, at most the limit of all links.
        expected: usize,
        /// Its length in characters.
        found: usize,
    },
    /// The link's checksum is not that of its contents.
    #[error("the link was changed on its way: its checksum does not fit; copy it again, whole")]
    Changed,
    /// The link is of a newer version.
    #[error(
        "the link is of version {found} and this program reads version {VERSION}: it was made by a \
         newer program, or its start was changed; reload the page or update the program"
    )]
    Version {
        /// The version that the link gives.
        found: u8,
    },
    /// A part of the recipe is not valid.
    #[error("the recipe is not valid: {what} should be {expected}, found {found}")]
    Invalid {
        /// The part, such as `the weight of module 3`.
        what: String,
        /// What is allowed.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The registry has no base or module of that id.
    #[error("the {kind} {id} is not in the registry")]
    Missing {
        /// What is missing.
        kind: EntryKind,
        /// Its id.
        id: String,
    },
    /// A base or module whose weights have no hash yet: neither the registry gives one, nor are they
    /// loaded.
    #[error("the hash of the {kind} {id} is not known before it is loaded")]
    NoHash {
        /// What has no hash.
        kind: EntryKind,
        /// Its id.
        id: String,
    },
    /// A file of the base or of a module, other than weights whose hash the recipe gives, is another one than the
    /// recipe was made with.
    #[error(
        "the files of the base and the modules are others than the recipe's: their configurations or the \
         tokenizer were changed since, so the answers may be others; the SHA-256 over all of them should start \
         with {expected}, found {found}"
    )]
    OtherFiles {
        /// The first digits of the hash over all files, as the recipe gives them.
        expected: String,
        /// Those of the library's files.
        found: String,
    },
    /// The base or module of that id has other weights than the recipe was made with.
    #[error(
        "the {kind} {id} is another version than the recipe's: the SHA-256 of its weights should \
         start with {expected}, found {found}"
    )]
    OtherVersion {
        /// What differs.
        kind: EntryKind,
        /// Its id.
        id: String,
        /// The first digits of the hash, as the recipe gives them.
        expected: String,
        /// The hash of the library's weights.
        found: String,
    },
}

/// A base model, by id and contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct RecipeBase {
    /// Id in the registry.
    pub id: String,
    /// The first hexadecimal digits of the SHA-256 of its weights.
    pub hash: String,
}

/// A module, by id and contents, with its coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct RecipeModule {
    /// Id in the registry.
    pub id: String,
    /// The first hexadecimal digits of the SHA-256 of its weights.
    pub hash: String,
    /// Its coefficient.
    pub weight: ModuleWeight,
}

/// A composition with all that another machine needs to repeat it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Recipe {
    /// Address of `registry.json`.
    pub registry: String,
    /// The base model.
    pub base: RecipeBase,
    /// The modules, in the order in which they are added up.
    pub modules: Vec<RecipeModule>,
    /// How the modules become one LoRA branch.
    pub merge: Merge,
    /// Scales of the ranks, where the composition was tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub scales: Option<TunedScales>,
    /// What the base's products are computed in.
    pub precision: Precision,
    /// The first 32 hexadecimal digits of a SHA-256 over all files of the base and the modules. Absent in links of
    /// earlier versions, which do not say what the configurations and the tokenizer are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub files: Option<String>,
    /// Name of the task, for people.
    pub title: String,
    /// What the task is, in a line, if a person wrote one.
    pub instruction: Option<String>,
    /// Examples of the task, if a person chose to share them.
    pub examples: Vec<Example>,
}

impl Recipe {
    /// Checks everything that the types alone do not.
    ///
    /// # Errors
    /// [`RecipeError::Invalid`] naming the part.
    pub fn validate(&self) -> Result<(), RecipeError> {
        if self.registry.is_empty()
            || self.registry.len() > MAX_REGISTRY_BYTES
            || self.registry.chars().any(char::is_control)
        {
            let expected = format!("an address of 1 to {MAX_REGISTRY_BYTES} bytes on one line");
            return Err(invalid("the registry", expected, &self.registry));
        }
        check_id("the id of the base", &self.base.id)?;
        check_hash("the hash of the base", &self.base.hash)?;
        check_count("the number of modules", self.modules.len(), MAX_MODULES)?;
        let mut seen = BTreeSet::new();
        for (index, module) in self.modules.iter().enumerate() {
            let of = |field: &str| format!("the {field} of module {}", index + 1);
            check_id(&of("id"), &module.id)?;
            if !seen.insert(&module.id) {
                return Err(invalid(&of("id"), "used once".into(), format!("{} twice", module.id)));
            }
            check_hash(&of("hash"), &module.hash)?;
            if let Some(weight) = module.weight.groups().into_iter().find(|w| !w.is_finite()) {
                return Err(invalid(&of("weight"), "a finite number".into(), weight));
            }
        }
        if let Some(scales) = &self.scales {
            check_count("the number of scales", scales.values.len(), MAX_SCALES)?;
            if !scales.is_valid() {
                let expected = "from −7 to 7 times a step above 0".into();
                return Err(invalid("every scale", expected, scales.step));
            }
        }
        if let Some(files) = &self.files {
            if files.len() != FILES_DIGITS {
                let expected = format!("{FILES_DIGITS} digits");
                return Err(invalid("the hash of all files", expected, files));
            }
            check_hash("the hash of all files", files)?;
        }
        check_length("the title", &self.title, MAX_TITLE_BYTES)?;
        if let Some(instruction) = &self.instruction {
            check_length("the instruction", instruction, MAX_TEXT_BYTES)?;
        }
        check_count("the number of examples", self.examples.len(), MAX_EXAMPLES)?;
        for (index, example) in self.examples.iter().enumerate() {
            for (field, text) in [("input", &example.input), ("output", &example.output)] {
                let what = format!("the {field} of example {}", index + 1);
                if text.trim().is_empty() {
                    return Err(invalid(&what, "a text".into(), "nothing"));
                }
                check_length(&what, text, MAX_TEXT_BYTES)?;
            }
        }
        Ok(())
    }
}

fn check_id(what: &str, id: &str) -> Result<(), RecipeError> {
    if is_id(id) {
        return Ok(());
    }
    Err(invalid(what, "of letters, digits, '.', '_', '-' and '/'".into(), id))
}

fn check_hash(what: &str, hash: &str) -> Result<(), RecipeError> {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let (min, max) = (HASH_DIGITS.start(), HASH_DIGITS.end());
    if HASH_DIGITS.contains(&hash.len()) && hash.len().is_multiple_of(2) && hash.bytes().all(digit)
    {
        return Ok(());
    }
    let expected = format!("{min} to {max} lower-case hexadecimal digits, an even number");
    Err(invalid(what, expected, hash))
}

fn check_count(what: &str, found: usize, limit: usize) -> Result<(), RecipeError> {
    if found > limit {
        return Err(invalid(what, format!("at most {limit}"), found));
    }
    Ok(())
}

fn check_length(what: &str, text: &str, limit: usize) -> Result<(), RecipeError> {
    if text.len() > limit {
        let found = format!("{} bytes", text.len());
        return Err(invalid(what, format!("at most {limit} bytes long"), found));
    }
    Ok(())
}

fn invalid(what: &str, expected: String, found: impl ToString) -> RecipeError {
    RecipeError::Invalid { what: what.into(), expected, found: excerpt(&found.to_string()) }
}

#[cfg(test)]
mod tests;
