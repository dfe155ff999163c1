//! The registry: which base models, modules and tasks a static host offers, and the check of every
//! byte fetched against its hash. The JSON Schema beside this crate's manifest
//! (`registry.schema.json`) describes the same file for other tools.

mod address;
mod pages;
mod search;
mod suggest;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::formats::budget::at_most;
use crate::formats::{Example, excerpt, hex, is_control, sha256_hex};

use crate::model::LinearKind;

pub use address::{
    AddressError, DEFAULT_HUB, HostFolder, HubFolder, RemoteFolder, Schemes, file_beside,
    hub_address, registry_address,
};
pub use pages::{
    IndexFiles, MANY_MODULES, PAGE_MODULES, RankCount, RegistryIndex, TagCount, TermShard,
    into_pages,
};
pub use search::{Candidate, FoundModules, Lookup, ModuleQuery, ModuleSearch};
pub use suggest::{Suggestion, suggestions};

/// The version of the file that this crate reads and writes.
pub const VERSION: u32 = 1;
/// Maximum length of `registry.json`.
const MAX_BYTES: usize = 32 << 20;
/// The largest file that a registry may name: more than WebAssembly's memory, so that larger ones are
/// refused by the reader of their format, with its own message.
const MAX_FILE_BYTES: u64 = 1 << 40;
/// Limits on a title, a license or a tag, and on a description.
const MAX_LINE_BYTES: usize = 1024;
const MAX_TEXT_BYTES: usize = 16 << 10;
/// Limit on the tags and on the targets of a module.
const MAX_WORDS: usize = 256;
/// The longest id, path or tag.
const MAX_NAME_BYTES: usize = 256;

/// How the path of a file in a hub's repository starts.
const HUB: &str = "hub:";

/// What is wrong with a registry, or with a file fetched from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The file is not a registry in JSON.
    #[error("the registry cannot be read: {0}")]
    NotJson(String),
    /// The registry is of another version.
    #[error("the registry is of version {found}; this program reads version {VERSION}")]
    Version {
        /// The version that the file gives.
        found: String,
    },
    /// A part of the registry is not valid.
    #[error("the registry is not valid: {what} should be {expected}, found {found}")]
    Invalid {
        /// The part, such as `the id of module 3`.
        what: String,
        /// What the format requires.
        expected: String,
        /// What the file contains.
        found: String,
    },
    /// A fetched file does not have the length that the registry gives.
    #[error("{path} should be {expected} bytes long, as the registry says, found {found}")]
    Length {
        /// The file.
        path: String,
        /// Bytes that the registry gives.
        expected: u64,
        /// Bytes that arrived.
        found: u64,
    },
    /// A fetched file is not the one that the registry names.
    #[error(
        "{path} is not the file that the registry names: its sha256 should be {expected}, found {found}"
    )]
    Hash {
        /// The file.
        path: String,
        /// Hash that the registry gives, in hexadecimal.
        expected: String,
        /// Hash of the bytes that arrived, in hexadecimal.
        found: String,
    },
}

/// One file, by its path beside `registry.json` or in a repository of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RegistryFile {
    /// Path relative to the registry's own address, with `/` between its parts; or
    /// `hub:OWNER/NAME@REVISION/FILE`.
    pub path: String,
    /// Length; 0 for a hub's file whose length the registry does not give.
    #[serde(default)]
    #[cfg_attr(feature = "typescript", ts(type = "number"))]
    pub bytes: u64,
    /// SHA-256 of the contents, 64 lower-case hexadecimal digits; empty for a hub's file whose hash
    /// the registry does not give: then that of the first download counts.
    #[serde(default)]
    pub sha256: String,
    /// About how long it is, for people, where `bytes` does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional, type = "number"))]
    pub about_bytes: Option<u64>,
}

/// Files of a base model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct BaseFiles {
    /// `config.json`.
    pub config: RegistryFile,
    /// `tokenizer.json`.
    pub tokenizer: RegistryFile,
    /// Safetensors or GGUF.
    pub weights: RegistryFile,
}

/// A base model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RegistryBase {
    /// Id, which modules refer to.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// What it is, in a sentence or two.
    pub description: String,
    /// License of the weights.
    #[serde(alias = "licence")]
    pub license: String,
    /// Number of parameters.
    #[cfg_attr(feature = "typescript", ts(type = "number"))]
    pub parameters: u64,
    /// Its files.
    pub files: BaseFiles,
}

/// Files of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ModuleFiles {
    /// `adapter_config.json`.
    pub config: RegistryFile,
    /// `adapter_model.safetensors` or `adapter_model.bin`.
    pub weights: RegistryFile,
}

/// What a module scores on the task that it was trained for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ModuleResult {
    /// Exact match of the base with the module, 0 to 100.
    pub exact_match: f64,
    /// Exact match of the base alone, 0 to 100.
    pub base_exact_match: f64,
}

/// A LoRA module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RegistryModule {
    /// Id, which recipes refer to.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// What it was trained for, in one sentence.
    pub task: String,
    /// One example of that task, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub example: Option<Example>,
    /// Id of the base that it was trained on.
    pub base: String,
    /// Rank of its layers.
    pub rank: u32,
    /// PEFT's names of the layers that it changes.
    #[serde(deserialize_with = "at_most::<MAX_WORDS, _, _>")]
    pub targets: Vec<String>,
    /// Its files.
    pub files: ModuleFiles,
    /// License of the weights.
    #[serde(alias = "licence")]
    pub license: String,
    /// Words to find it by.
    #[serde(default, deserialize_with = "at_most::<MAX_WORDS, _, _>")]
    pub tags: Vec<String>,
    /// What it scores, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub result: Option<ModuleResult>,
}

/// Which list of tasks one belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum TaskSet {
    /// Used to choose the default settings.
    Settings,
    /// Held out for the published table of results.
    Table,
}

/// A task that no module was trained for, with its five examples and its test set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RegistryTask {
    /// Id.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// The task, in a sentence.
    pub description: String,
    /// Why no module was trained for it, in one sentence.
    pub why_unseen: String,
    /// Which list it belongs to.
    pub set: TaskSet,
    /// Whether the inputs state the task.
    pub instruction_shown: bool,
    /// Examples to learn from.
    pub examples: Vec<Example>,
    /// The test set, as JSON lines.
    pub test: RegistryFile,
}

/// Everything that a static host offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Registry {
    /// Version of the format, [`VERSION`].
    pub version: u32,
    /// Title for people.
    pub title: String,
    /// Base models.
    pub bases: Vec<RegistryBase>,
    /// Modules; none where they are in pages.
    pub modules: Vec<RegistryModule>,
    /// Where the modules are that `modules` does not list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub index: Option<RegistryIndex>,
    /// Tasks to try.
    #[serde(default)]
    pub tasks: Vec<RegistryTask>,
}

impl Registry {
    /// Reads and checks `registry.json`. Unknown fields are ignored.
    ///
    /// # Errors
    /// A [`RegistryError`] naming the entry and field.
    pub fn parse(bytes: &[u8]) -> Result<Self, RegistryError> {
        if bytes.len() > MAX_BYTES {
            return Err(invalid("its length", format!("at most {MAX_BYTES} bytes"), bytes.len()));
        }
        // Read first, so that the error of another version is not that of a missing field.
        #[derive(Deserialize)]
        struct Versioned<'b> {
            #[serde(borrow)]
            version: &'b RawValue,
        }
        let Versioned { version } = serde_json::from_slice(bytes).map_err(not_json)?;
        if serde_json::from_str(version.get()).ok() != Some(VERSION) {
            return Err(RegistryError::Version { found: excerpt(version.get()) });
        }
        let registry: Registry = serde_json::from_slice(bytes).map_err(not_json)?;
        registry.check()?;
        Ok(registry)
    }

    /// Checks everything that the types alone do not.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] naming the entry and field.
    pub fn check(&self) -> Result<(), RegistryError> {
        if self.version != VERSION {
            return Err(RegistryError::Version { found: self.version.to_string() });
        }
        check_line("the title", &self.title)?;
        let bases = check_ids("base", self.bases.iter().map(|base| &base.id))?;
        if bases.is_empty() {
            return Err(invalid("the list of bases", "at least one".into(), "none"));
        }
        for base in &self.bases {
            let of = |field: &str| format!("{field} of base {}", base.id);
            check_line(&of("the title"), &base.title)?;
            check_line(&of("the license"), &base.license)?;
            check_shown(&of("the description"), &base.description, MAX_TEXT_BYTES)?;
            for (name, file) in [
                ("the config file", &base.files.config),
                ("the tokenizer file", &base.files.tokenizer),
                ("the weights file", &base.files.weights),
            ] {
                file.check(&of(name))?;
            }
        }
        check_ids("module", self.modules.iter().map(|module| &module.id))?;
        for module in &self.modules {
            module.check(&bases)?;
        }
        if let Some(index) = &self.index {
            if !self.modules.is_empty() {
                let expected = "in pages or in the list, not both".into();
                return Err(invalid("the modules", expected, self.modules.len()));
            }
            index.check()?;
        }
        check_ids("task", self.tasks.iter().map(|task| &task.id))?;
        for task in &self.tasks {
            let of = |field: &str| format!("{field} of task {}", task.id);
            check_line(&of("the title"), &task.title)?;
            check_shown(&of("the description"), &task.description, MAX_TEXT_BYTES)?;
            check_shown(&of("why_unseen"), &task.why_unseen, MAX_TEXT_BYTES)?;
            if task.examples.is_empty() {
                return Err(invalid(&of("the examples"), "at least one".into(), "none"));
            }
            for (index, example) in task.examples.iter().enumerate() {
                check_example(&of(&format!("example {}", index + 1)), example)?;
            }
            task.test.check(&of("the test file"))?;
        }
        Ok(())
    }

    /// The base of that id.
    pub fn base(&self, id: &str) -> Option<&RegistryBase> {
        self.bases.iter().find(|base| base.id == id)
    }

    /// The module of that id.
    pub fn module(&self, id: &str) -> Option<&RegistryModule> {
        self.modules.iter().find(|module| module.id == id)
    }
}

impl RegistryModule {
    fn check(&self, bases: &BTreeSet<&str>) -> Result<(), RegistryError> {
        let of = |field: &str| format!("{field} of module {}", self.id);
        check_line(&of("the title"), &self.title)?;
        check_text(&of("the task"), &self.task)?;
        check_shown(&of("the task"), &self.task, MAX_TEXT_BYTES)?;
        check_line(&of("the license"), &self.license)?;
        if let Some(example) = &self.example {
            check_example(&of("the example"), example)?;
        }
        if !bases.contains(self.base.as_str()) {
            return Err(invalid(&of("the base"), "one of the bases' ids".into(), &self.base));
        }
        if self.rank == 0 {
            return Err(invalid(&of("the rank"), "positive".into(), 0));
        }
        let known = |target: &String| LinearKind::ALL.iter().any(|kind| kind.target() == target);
        match self.targets.iter().find(|target| !known(target)) {
            None if self.targets.is_empty() => {
                return Err(invalid(&of("the targets"), "at least one layer".into(), "none"));
            }
            None => {}
            Some(target) => {
                let expected = "among q, k, v, o, wi, wi_0, wi_1 and wo".into();
                return Err(invalid(&of("each target"), expected, target));
            }
        }
        for tag in &self.tags {
            if tag.is_empty() || tag.len() > MAX_NAME_BYTES {
                let expected = format!("1 to {MAX_NAME_BYTES} bytes long");
                return Err(invalid(&of("each tag"), expected, tag));
            }
            check_line(&of("each tag"), tag)?;
        }
        if let Some(result) = &self.result {
            for score in [result.exact_match, result.base_exact_match] {
                if !(0.0..=100.0).contains(&score) {
                    return Err(invalid(&of("the result"), "from 0 to 100".into(), score));
                }
            }
        }
        self.files.config.check(&of("the config file"))?;
        self.files.weights.check(&of("the weights file"))
    }
}

impl RegistryFile {
    /// The entry of a file beside the registry, by its contents.
    pub fn of_contents(path: String, bytes: &[u8]) -> Self {
        Self { path, bytes: bytes.len() as u64, sha256: sha256_hex(bytes), about_bytes: None }
    }

    /// Owner and name of the hub's repository that the file is in, the revision, and the file's path
    /// there; `None` for a file beside the registry.
    pub fn on_hub(&self) -> Option<(&str, &str, &str)> {
        let address = self.path.strip_prefix(HUB)?;
        let (repo, rest) = address.split_once('@')?;
        let (revision, file) = rest.split_once('/')?;
        Some((repo, revision, file))
    }

    fn check(&self, what: &str) -> Result<(), RegistryError> {
        let safe = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let all_safe = |path: &str| path.split('/').all(safe);
        let on_hub = self.path.starts_with(HUB);
        let valid = match self.on_hub() {
            Some((repo, revision, file)) => {
                all_safe(repo) && repo.split('/').count() == 2 && safe(revision) && all_safe(file)
            }
            None => all_safe(&self.path),
        };
        if self.path.len() > MAX_NAME_BYTES || !valid {
            return Err(invalid(
                &format!("the path of {what}"),
                "relative, of letters, digits, '.', '_' and '-' between '/', \
                 or hub:OWNER/NAME@REVISION/FILE of such"
                    .into(),
                &self.path,
            ));
        }
        if (self.bytes == 0 && !on_hub) || self.bytes > MAX_FILE_BYTES {
            let expected = format!("1 to {MAX_FILE_BYTES}");
            return Err(invalid(&format!("the bytes of {what}"), expected, self.bytes));
        }
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let unknown = self.sha256.is_empty() && on_hub;
        if !unknown && (self.sha256.len() != 64 || !self.sha256.bytes().all(hex)) {
            return Err(invalid(
                &format!("the sha256 of {what}"),
                "64 lower-case hexadecimal digits".into(),
                &self.sha256,
            ));
        }
        Ok(())
    }
}

/// Whether a text can be the id of a base, module or task.
pub(crate) fn is_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(allowed)
}

fn check_ids<'a>(
    kind: &str,
    ids: impl Iterator<Item = &'a String>,
) -> Result<BTreeSet<&'a str>, RegistryError> {
    let mut seen = BTreeSet::new();
    for (index, id) in ids.enumerate() {
        let what = format!("the id of {kind} {}", index + 1);
        if !is_id(id) {
            let expected = "of letters, digits, '.', '_', '-' and '/'".into();
            return Err(invalid(&what, expected, id));
        }
        if !seen.insert(id.as_str()) {
            return Err(invalid(&what, "used once".into(), format!("{id} twice")));
        }
    }
    Ok(seen)
}

fn not_json(error: serde_json::Error) -> RegistryError {
    RegistryError::NotJson(excerpt(&error.to_string()))
}

fn check_text(what: &str, text: &str) -> Result<(), RegistryError> {
    if text.trim().is_empty() {
        return Err(invalid(what, "a text".into(), "nothing"));
    }
    Ok(())
}

/// Checks a text that terminals and pages show as it is.
fn check_shown(what: &str, text: &str, limit: usize) -> Result<(), RegistryError> {
    if text.len() > limit {
        let expected = format!("at most {limit} bytes long");
        return Err(invalid(what, expected, format!("{} bytes", text.len())));
    }
    if text.chars().any(|c| is_control(c) && !"\n\t".contains(c)) {
        let expected = "without control characters and such as turn the direction of text".into();
        return Err(invalid(what, expected, text));
    }
    Ok(())
}

/// Checks a text of one line.
fn check_line(what: &str, text: &str) -> Result<(), RegistryError> {
    check_text(what, text)?;
    check_shown(what, text, MAX_LINE_BYTES)
}

fn check_example(what: &str, example: &Example) -> Result<(), RegistryError> {
    check_text(&format!("the input of {what}"), &example.input)?;
    check_text(&format!("the output of {what}"), &example.output)
}

fn invalid(what: &str, expected: String, found: impl ToString) -> RegistryError {
    RegistryError::Invalid { what: what.into(), expected, found: excerpt(&found.to_string()) }
}

/// Checks a file against its entry in the registry while its bytes arrive.
///
/// ```
/// # use loraloom::registry::{RegistryFile, Verifier};
/// let file = RegistryFile::of_contents("a.txt".into(), b"abc");
/// let mut verifier = Verifier::new(&file);
/// verifier.update(b"ab")?;
/// verifier.update(b"c")?;
/// verifier.finish()?;
/// # Ok::<(), loraloom::registry::RegistryError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    file: RegistryFile,
    hasher: Sha256,
    bytes: u64,
}

impl Verifier {
    /// A verifier before the first byte.
    pub fn new(file: &RegistryFile) -> Self {
        Self { file: file.clone(), hasher: Sha256::new(), bytes: 0 }
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// [`RegistryError::Length`] as soon as more bytes arrived than the registry gives.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        self.bytes += bytes.len() as u64;
        if self.file.bytes > 0 && self.bytes > self.file.bytes {
            return Err(self.wrong_length());
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`RegistryError::Length`] or [`RegistryError::Hash`] if it is not the file that the registry
    /// names.
    pub fn finish(self) -> Result<(), RegistryError> {
        if self.file.bytes > 0 && self.bytes != self.file.bytes {
            return Err(self.wrong_length());
        }
        let found = hex(self.hasher.finalize());
        if !self.file.sha256.is_empty() && found != self.file.sha256 {
            return Err(RegistryError::Hash {
                path: self.file.path,
                expected: self.file.sha256,
                found,
            });
        }
        Ok(())
    }

    fn wrong_length(&self) -> RegistryError {
        RegistryError::Length {
            path: self.file.path.clone(),
            expected: self.file.bytes,
            found: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests;
