//! `loraloom registry check`: a registry against its schema and every file that it names.

use std::collections::BTreeSet;

use clap::Args;
use loraloom::formats::{ExamplesFormat, Tokenizer, parse_examples, parse_weights};
use loraloom::lora::PeftAdapter;
use loraloom::lora::{AdapterSet, Merge};
use loraloom::model::t5::T5Config;
use loraloom::registry::{
    BaseFiles, Registry, RegistryBase, RegistryError, RegistryFile, RegistryModule, RegistryTask,
    Verifier,
};
use serde::Serialize;

use crate::error::CliError;
use crate::output::Output;
use crate::place::{DEFAULT_HUB, Place};
use crate::registry::{rank, targets};

/// Check a registry: its fields, every file against its length and hash, every model, module, task
/// and test set against what it should be.
///
/// Files on a hub of which the registry gives no hash are only asked for, not read: there is nothing
/// to hold them against.
#[derive(Args)]
pub struct Check {
    /// registry.json or its folder, on this computer or at an http(s) address.
    #[arg(value_name = "DIR|URL")]
    registry: String,
    /// Address of the hub that the registry's `hub:` paths belong to.
    #[arg(long, value_name = "URL", default_value = DEFAULT_HUB)]
    hub: String,
}

#[derive(Default, Serialize)]
struct Checked {
    bases: usize,
    modules: usize,
    tasks: usize,
    /// Bytes read and compared.
    bytes: u64,
    /// Files of a hub that are there, and of which the registry gives no hash.
    unpinned: usize,
}

/// A check in progress.
struct Run<'a> {
    place: Place,
    hub: &'a str,
    checked: Checked,
    problems: Vec<String>,
}

impl Check {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let place = Place::of_registry(&self.registry);
        let registry = Registry::parse(&place.read()?).map_err(place.blame())?;
        let registry = registry.listed(|file| {
            let bytes = place.of_file(file, &self.hub).read()?;
            compare(file, &bytes)?;
            Ok::<_, CliError>(bytes)
        })?;
        let checked = Checked {
            bases: registry.bases.len(),
            modules: registry.modules.len(),
            tasks: registry.tasks.len(),
            ..Checked::default()
        };
        let mut run = Run { place, hub: &self.hub, checked, problems: Vec::new() };
        for base in &registry.bases {
            output.progress(format!("base {}", base.id));
            let config = run.base(base);
            for module in registry.modules.iter().filter(|module| module.base == base.id) {
                output.progress(format!("module {}", module.id));
                run.module(module, config.as_ref());
            }
        }
        for task in &registry.tasks {
            run.task(task);
        }
        let Run { place, checked, problems, .. } = run;
        if !problems.is_empty() {
            return Err(CliError::File {
                path: place.to_string().into(),
                problem: format!("{} problems\n{}", problems.len(), problems.join("\n")),
            });
        }
        output.answer(&checked, || {
            let Checked { bases, modules, tasks, bytes, unpinned } = checked;
            let mut line = format!(
                "all is well: {bases} bases, {modules} modules, {tasks} tasks, {bytes} bytes compared"
            );
            if unpinned > 0 {
                line += &format!(
                    "; {unpinned} files on the hub are there, with no hash to compare them with"
                );
            }
            line
        })
    }
}

impl Run<'_> {
    /// What a step found, or nothing and one more problem.
    fn note<T>(&mut self, found: Result<T, CliError>) -> Option<T> {
        found.map_err(|error| self.problems.push(error.to_string())).ok()
    }

    /// Reads a file and compares it with its entry; nothing of one that was only asked for.
    fn read(&mut self, file: &RegistryFile) -> Option<(Place, Vec<u8>)> {
        let place = self.place.of_file(file, self.hub);
        if file.sha256.is_empty() {
            if self.note(place.find()).is_some() {
                self.checked.unpinned += 1;
            }
            return None;
        }
        let bytes = self.note(place.read())?;
        self.note(compare(file, &bytes).map_err(CliError::from))?;
        self.checked.bytes += bytes.len() as u64;
        Some((place, bytes))
    }

    /// Checks a base's files, and answers with its configuration if that could be read.
    fn base(&mut self, base: &RegistryBase) -> Option<T5Config> {
        let BaseFiles { config, tokenizer, weights } = &base.files;
        let config = self.read(config);
        let tokenizer = self.read(tokenizer);
        let weights = self.read(weights);
        let (place, bytes) = config?;
        let config = self.note(T5Config::parse(&bytes).map_err(place.blame()))?;
        if let Some((place, bytes)) = tokenizer {
            let tokenizer = Tokenizer::parse(&bytes).map_err(place.blame());
            let fits =
                tokenizer.and_then(|tokenizer| Ok(config.check_tokenizer(&tokenizer).map(drop)?));
            self.note(fits);
        }
        if let Some((place, bytes)) = weights {
            self.note(parse_weights(bytes).map(drop).map_err(place.blame()));
        }
        Some(config)
    }

    fn module(&mut self, module: &RegistryModule, config: Option<&T5Config>) {
        let adapter_config = self.read(&module.files.config);
        let weights = self.read(&module.files.weights);
        let (Some((_, adapter_config)), Some((place, weights))) = (adapter_config, weights) else {
            return;
        };
        let adapter = PeftAdapter::parse(&adapter_config, weights).map_err(place.blame());
        let agrees = adapter.and_then(|adapter| check_module(module, &adapter, config));
        self.note(agrees);
    }

    fn task(&mut self, task: &RegistryTask) {
        let Some((place, bytes)) = self.read(&task.test) else { return };
        let test = parse_examples(&String::from_utf8_lossy(&bytes), ExamplesFormat::Jsonl);
        self.note(test.map(drop).map_err(place.blame()));
    }
}

/// Holds a file's contents against its length and hash.
fn compare(file: &RegistryFile, bytes: &[u8]) -> Result<(), RegistryError> {
    let mut verifier = Verifier::new(file);
    verifier.update(bytes)?;
    verifier.finish()
}

/// Checks that a module fits its base, and is what the registry says of it.
fn check_module(
    module: &RegistryModule,
    adapter: &PeftAdapter,
    config: Option<&T5Config>,
) -> Result<(), CliError> {
    if let Some(config) = config {
        AdapterSet::new(config, &[adapter], Merge::Delta)
            .map_err(|error| CliError::modules(error, &[&module.id]))?;
    }
    let unequal = |what: &str, expected: String, found: String| {
        Err(CliError::Modules(format!(
            "the {what} of module {} should be {expected}, as its weights have it, found {found}",
            module.id
        )))
    };
    if rank(adapter) != module.rank {
        return unequal("rank", rank(adapter).to_string(), module.rank.to_string());
    }
    let (expected, found) = (targets(adapter), &module.targets);
    if expected.iter().collect::<BTreeSet<_>>() != found.iter().collect() {
        return unequal("targets", expected.join(" "), found.join(" "));
    }
    Ok(())
}
