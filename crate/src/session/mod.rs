//! A base model, its modules, and at most one piece of work that goes on step by step: what the
//! browser's worker drives. Between two steps the caller may draw, answer messages, or stop.
//!
//! Errors are reports in three parts, fit to be shown to a person.

mod answers;
mod base;
#[cfg(feature = "gpu")]
mod gpu;
mod learning;
mod report;
mod retrieval;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::formats::{Example, Tokenizer};

use crate::formats::sha256_hex;
use crate::lora;
use crate::lora::Composition;
use crate::lora::PeftAdapter;
use crate::model::t5::{
    Control, ExampleLoss, KNOWN_ANSWERS, KnownAnswer, LoraBranches, ModelError, Precision, T5Model,
    TokenizedExample, Verified,
};
use crate::protocol::{BaseInfo, ErrorReport, ExampleScore, ModuleInfo, Score};

#[cfg(feature = "gpu")]
pub use gpu::GpuEngine;

use answers::{Generation, Test};
pub use base::{BaseLoad, packed_key};
use learning::Learning;
use report::{lora_report, module_report, report};
use retrieval::{Embeddings, Retrieval};

/// The name and license of a base, as its registry gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseLabel {
    /// Id in the registry.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// License of the weights.
    pub license: String,
}

/// The files of a base model, as they were fetched.
#[derive(Debug, Clone)]
pub struct BaseBytes<'a> {
    /// `config.json`.
    pub config: &'a [u8],
    /// `tokenizer.json` or `spiece.model`.
    pub tokenizer: &'a [u8],
    /// Safetensors, GGUF, or a PyTorch file: told apart by content.
    pub weights: &'a [u8],
}

struct Base {
    tokenizer: Tokenizer,
    model: T5Model,
}

enum Work {
    Idle,
    Learning(Box<Learning>),
    Generation(Box<Generation>),
    Test(Box<Test>),
    Retrieval(Box<Retrieval>),
}

/// The engine.
pub struct Engine {
    /// Seconds from any fixed point; the browser and the machine have different clocks.
    clock: fn() -> f64,
    base: Option<Base>,
    modules: BTreeMap<String, Arc<PeftAdapter>>,
    /// Of texts that the base has encoded.
    embeddings: Embeddings,
    work: Work,
}

impl Engine {
    /// An engine with nothing loaded.
    pub fn new(clock: fn() -> f64) -> Self {
        let (modules, embeddings) = (BTreeMap::new(), Embeddings::new());
        Self { clock, base: None, modules, embeddings, work: Work::Idle }
    }

    /// Reads a base model and packs its weights. Modules of an earlier base are dropped.
    ///
    /// # Errors
    /// A report naming the file and what is wrong with it; what was loaded before is kept.
    pub fn load_base(
        &mut self,
        label: BaseLabel,
        files: BaseBytes<'_>,
        precision: Precision,
    ) -> Result<BaseInfo, ErrorReport> {
        let mut load = BaseLoad::new(label, files.config, files.tokenizer, precision)?;
        load.push(files.weights)?;
        load.end_file()?;
        self.finish_base(load, sha256_hex(files.weights))
    }

    /// Takes over a base model whose weights, of that hash, have arrived. Modules of an earlier base
    /// are dropped.
    ///
    /// # Errors
    /// A report naming a tensor that is missing; what was loaded before is kept.
    pub fn finish_base(&mut self, load: BaseLoad, sha256: String) -> Result<BaseInfo, ErrorReport> {
        let (info, base) = load.finish(sha256)?;
        self.work = Work::Idle;
        self.modules.clear();
        self.embeddings.clear();
        self.base = Some(base);
        Ok(info)
    }

    /// Reads a PEFT folder's two files and checks that they fit the base.
    ///
    /// # Errors
    /// A report naming the field, tensor or shape that is wrong.
    pub fn add_module(
        &mut self,
        id: &str,
        config: &[u8],
        weights: Vec<u8>,
    ) -> Result<ModuleInfo, ErrorReport> {
        let base = ready(&self.base)?;
        let what = format!("The module “{id}” could not be loaded.");
        let sha256 = sha256_hex(&weights);
        let adapter = PeftAdapter::parse(config, weights).map_err(|error| {
            report(&what, error.to_string(), "Choose another module, or repair its PEFT folder.")
        })?;
        let adapter = Arc::new(adapter);
        lora::AdapterSet::new(base.model.config(), &[&*adapter], lora::Merge::Delta)
            .map_err(|error| module_report(&what, &error, &[id]))?;
        let mut targets: Vec<String> =
            adapter.layers.keys().map(|layer| layer.kind.target().to_owned()).collect();
        targets.sort_unstable();
        targets.dedup();
        let info = ModuleInfo {
            id: id.to_owned(),
            rank: adapter.layers.values().map(|layer| layer.rank).max().unwrap_or(0) as u32,
            targets,
            bytes: adapter.bytes() as f64,
            sha256,
        };
        self.modules.insert(id.to_owned(), adapter);
        Ok(info)
    }

    /// Whether a module of that id is loaded.
    pub fn has_module(&self, id: &str) -> bool {
        self.modules.contains_key(id)
    }

    /// Ends the work that goes on, if any, and forgets what it found.
    pub fn stop(&mut self) {
        self.work = Work::Idle;
    }

    /// Bytes that the base and the modules take.
    pub fn bytes(&self) -> usize {
        self.base.as_ref().map_or(0, |base| base.model.bytes())
            + self.modules.values().map(|module| module.bytes()).sum::<usize>()
    }

    /// Each example's loss, and the mean of them.
    ///
    /// # Errors
    /// A report naming the example or module that is wrong.
    pub fn score(
        &self,
        examples: &[Example],
        composition: Option<&Composition>,
    ) -> Result<Score, ErrorReport> {
        let what = "The examples could not be scored.";
        let base = ready(&self.base)?;
        let batch = base.tokenize(what, examples)?;
        let side = self.branches(what, composition)?;
        let losses = (base.model)
            .losses(&batch, side.as_ref(), &Control::none())
            .map_err(|error| input_report(what, &error))?;
        Ok(score_of(&losses))
    }

    /// Asks the loaded base, of this id, what is published of it. A base of another id is held against
    /// the models of its sizes, and none of them is expected of it: only one that agrees is told.
    ///
    /// # Errors
    /// A report if no base is loaded.
    pub fn verify(&self, id: &str) -> Result<Option<Verified>, ErrorReport> {
        self.verify_among(&KNOWN_ANSWERS, id)
    }

    fn verify_among(
        &self,
        known: &[KnownAnswer],
        id: &str,
    ) -> Result<Option<Verified>, ErrorReport> {
        let Base { tokenizer, model } = ready(&self.base)?;
        for known in KnownAnswer::of_model(known, id, model.config()) {
            // A tokenizer that cannot write the input belongs to no model of that family.
            let Ok(verified) = known.verify(model, tokenizer) else { continue };
            if verified.agrees || known.model == id {
                return Ok(Some(verified));
            }
        }
        Ok(None)
    }

    /// The loaded adapters of these ids.
    fn adapters<'m>(
        &self,
        what: &str,
        ids: impl Iterator<Item = &'m str>,
    ) -> Result<Vec<Arc<PeftAdapter>>, ErrorReport> {
        ids.map(|id| {
            self.modules.get(id).cloned().ok_or_else(|| {
                let why = format!("The module “{id}” is not loaded.");
                report(what, why, "Load the module first.")
            })
        })
        .collect()
    }

    /// The LoRA branches of a composition; none for the base alone.
    fn branches(
        &self,
        what: &str,
        composition: Option<&Composition>,
    ) -> Result<Option<LoraBranches>, ErrorReport> {
        let Some(Composition { modules, merge }) = composition else { return Ok(None) };
        let used: Vec<_> = modules.iter().filter(|module| module.weight != 0.0).collect();
        if used.is_empty() {
            return Ok(None);
        }
        let base = ready(&self.base)?;
        let ids: Vec<&str> = used.iter().map(|module| &*module.id).collect();
        let weights: Vec<f32> = used.iter().map(|module| module.weight).collect();
        let adapters = self.adapters(what, ids.iter().copied())?;
        lora::AdapterSet::new(base.model.config(), &adapters, *merge)
            .and_then(|composition| composition.into_branches(&weights, base.model.precision()))
            .map(Some)
            .map_err(|error| lora_report(what, &error, &ids))
    }
}

impl Base {
    fn tokenize(
        &self,
        what: &str,
        examples: &[Example],
    ) -> Result<Vec<TokenizedExample>, ErrorReport> {
        if examples.is_empty() {
            let why = "There is no example.".to_owned();
            return Err(report(what, why, "Give at least one input with its output."));
        }
        (examples.iter().enumerate())
            .map(|(index, example)| {
                let encode = |name: &str, text: &str| {
                    self.tokenizer.encode(text).map_err(|error| {
                        let why = format!("The {name} of example {}: {error}.", index + 1);
                        report(what, why, "Shorten or correct that example.")
                    })
                };
                Ok(TokenizedExample {
                    input: encode("input", &example.input)?,
                    labels: encode("output", &example.output)?,
                })
            })
            .collect()
    }
}

fn ready(base: &Option<Base>) -> Result<&Base, ErrorReport> {
    base.as_ref().ok_or_else(|| {
        report(
            "The model is not loaded yet.",
            "This needs the base model.".to_owned(),
            "Load the model first.",
        )
    })
}

/// Losses as they are told, and the mean of them.
fn score_of(losses: &[ExampleLoss]) -> Score {
    let sum: f64 = losses.iter().map(|example| f64::from(example.loss)).sum();
    let examples = losses.iter().map(|e| ExampleScore { loss: e.loss, tokens: e.tokens as u32 });
    Score { loss: sum / losses.len() as f64, examples: examples.collect() }
}

/// The report of a model that refuses an input or example.
fn input_report(what: &str, error: &ModelError) -> ErrorReport {
    report(what, sentence(&error.to_string()), "Shorten or correct it, and try again.")
}

/// A message of the lower layers as a sentence.
pub(crate) fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if message.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::t5::{FeedForward, Known};

    #[test]
    fn a_base_is_held_against_what_is_published_of_it() {
        let read = |file: &str| {
            let folder =
                concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/models/narrow-tied/");
            std::fs::read(folder.to_owned() + file).unwrap()
        };
        let mut engine = Engine::new(|| 0.0);
        assert!(engine.verify("someone/model").is_err());
        let (config, tokenizer) = (read("config.json"), read("tokenizer.json"));
        let weights = read("model.safetensors");
        let files = BaseBytes { config: &config, tokenizer: &tokenizer, weights: &weights };
        engine.load_base(BaseLabel::default(), files, Precision::F32).unwrap();
        let known = |score: f64| KnownAnswer {
            model: "someone/model",
            source: "tests/e2e/golden/texts.json",
            input: "Answer the question: is the river green or cold?",
            known: Known::Score { output: "cold river", score },
            sizes: (24, 2, 3, FeedForward::GatedGelu),
        };
        let (right, wrong) = (known(-5.629_818_439_483_643 * 11.0), known(-61.0));
        let asked = |known: &KnownAnswer, id: &str| {
            engine.verify_among(&[*known], id).unwrap().map(|verified| verified.agrees)
        };
        assert_eq!(asked(&right, "someone/model"), Some(true));
        assert_eq!(asked(&wrong, "someone/model"), Some(false));
        assert_eq!(asked(&right, "another/model"), Some(true));
        assert_eq!(asked(&wrong, "another/model"), None);
        assert_eq!(engine.verify("another/model"), Ok(None));
    }
}
