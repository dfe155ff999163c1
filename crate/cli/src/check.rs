//! `loraloom registry check`: a registry against its schema and every file that it names.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use loraloom::formats::{ExamplesFormat, Tokenizer, parse_examples, parse_weights};
use loraloom::lora::PeftAdapter;
use loraloom::lora::{AdapterSet, Merge};
use loraloom::model::{ModelConfig, parse_config};
use loraloom::registry::{
    BaseFiles, Registry, RegistryBase, RegistryFile, RegistryModule, RegistryTask, hub_address,
};
use serde::Serialize;

use crate::error::CliError;
use crate::hub;
use crate::library::check_contents;
use crate::location::Location;
use crate::output::Output;

/// Check a registry and every file that it names.
///
/// Checks the registry's fields, the length and hash of each file, and that models, modules and test
/// sets can be read and match their entries. Files on a hub for which the registry gives no hash are
/// looked up but not read.
#[derive(Args)]
pub struct Check {
    /// registry.json or its folder, on this computer or at an http(s) address.
    #[arg(value_name = "DIR|URL")]
    registry: PathBuf,
    /// Address of the hub of `hub:` paths (default: HF_ENDPOINT, or <https://huggingface.co>).
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
}

#[derive(Default, Serialize)]
struct Checked {
    bases: usize,
    modules: usize,
    tasks: usize,
    /// Bytes read and compared.
    bytes: u64,
    /// Files of a hub that exist and for which the registry gives no hash.
    unpinned: usize,
}

/// A check in progress.
struct Run<'a> {
    location: Location,
    hub: &'a str,
    checked: Checked,
    problems: Vec<CliError>,
}

impl Check {
    pub fn run(self, output: &Output) -> Result<(), CliError> {
        let hub = self.hub.map_or_else(hub::endpoint, |hub| Ok(hub_address(&hub)?))?;
        let (bytes, location) = Location::of_registry(&self.registry)?.read_registry()?;
        let registry = Registry::parse(&bytes).map_err(location.in_file())?;
        let registry = registry.listed(|file| {
            let bytes = location.of_file(file, &hub).read_entry(file)?;
            check_contents(file, &bytes)?;
            Ok::<_, CliError>(bytes)
        })?;
        let checked = Checked {
            bases: registry.bases.len(),
            modules: registry.modules.len(),
            tasks: registry.tasks.len(),
            ..Checked::default()
        };
        let mut run = Run { location, hub: &hub, checked, problems: Vec::new() };
        for base in &registry.bases {
            output.progress(format!("base {}", base.id));
            let config = run.base(base);
            for module in registry.modules.iter().filter(|module| module.base == base.id) {
                output.progress(format!("module {}", module.id));
                run.module(module, config.as_deref());
            }
        }
        for task in &registry.tasks {
            run.task(task);
        }
        let Run { location, checked, problems, .. } = run;
        if !problems.is_empty() {
            return Err(CliError::Problems { registry: location.to_string(), problems });
        }
        output.result(&checked, || {
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
    /// The value of a result; an error is added to the problems.
    fn note<T>(&mut self, found: Result<T, CliError>) -> Option<T> {
        found.map_err(|error| self.problems.push(error)).ok()
    }

    /// Reads a file and compares it with its entry. `None` for a file without a hash, which is only
    /// looked up.
    fn read(&mut self, file: &RegistryFile) -> Option<(Location, Vec<u8>)> {
        let location = self.location.of_file(file, self.hub);
        if file.sha256.is_empty() {
            if self.note(location.find()).is_some() {
                self.checked.unpinned += 1;
            }
            return None;
        }
        let bytes = self.note(location.read_entry(file))?;
        self.note(check_contents(file, &bytes).map_err(CliError::from))?;
        self.checked.bytes += bytes.len() as u64;
        Some((location, bytes))
    }

    /// Checks a base's files and returns its configuration, if that could be read.
    fn base(&mut self, base: &RegistryBase) -> Option<Arc<dyn ModelConfig>> {
        let BaseFiles { config, tokenizer, weights } = &base.files;
        let config = self.read(config);
        let tokenizer = self.read(tokenizer);
        let weights = self.read(weights);
        let (location, bytes) = config?;
        let config = self.note(parse_config(&bytes).map_err(location.in_file()))?;
        if let Some((location, bytes)) = tokenizer {
            let tokenizer = Tokenizer::parse(&bytes).map_err(location.in_file());
            let fits =
                tokenizer.and_then(|tokenizer| Ok(config.check_tokenizer(&tokenizer).map(drop)?));
            self.note(fits);
        }
        if let Some((location, bytes)) = weights {
            self.note(parse_weights(bytes).map(drop).map_err(location.in_file()));
        }
        Some(config)
    }

    fn module(&mut self, module: &RegistryModule, config: Option<&dyn ModelConfig>) {
        let adapter_config = self.read(&module.files.config);
        let weights = self.read(&module.files.weights);
        let (Some((_, adapter_config)), Some((location, weights))) = (adapter_config, weights)
        else {
            return;
        };
        let adapter = PeftAdapter::parse(&adapter_config, weights).map_err(location.in_file());
        let agrees = adapter.and_then(|adapter| check_module(module, &adapter, config));
        self.note(agrees);
    }

    fn task(&mut self, task: &RegistryTask) {
        let Some((location, bytes)) = self.read(&task.test) else { return };
        let test = parse_examples(&String::from_utf8_lossy(&bytes), ExamplesFormat::Jsonl);
        self.note(test.map(drop).map_err(location.in_file()));
    }
}

/// Checks that a module fits its base and has the rank and targets of its entry.
fn check_module(
    module: &RegistryModule,
    adapter: &PeftAdapter,
    config: Option<&dyn ModelConfig>,
) -> Result<(), CliError> {
    if let Some(config) = config {
        AdapterSet::new(config, &[adapter], Merge::Delta)
            .map_err(|error| CliError::modules(error, &[&module.id]))?;
    }
    let unequal = |field, expected, found| {
        Err(CliError::Entry { id: module.id.clone(), field, expected, found })
    };
    if adapter.rank() != module.rank as usize {
        return unequal("rank", adapter.rank().to_string(), module.rank.to_string());
    }
    let (expected, found) = (adapter.targets(), &module.targets);
    if expected.iter().copied().collect::<BTreeSet<_>>()
        != found.iter().map(String::as_str).collect()
    {
        return unequal("targets", expected.join(" "), found.join(" "));
    }
    Ok(())
}
