//! Measurements for `pkg-scripts/bench`, natively and in the browser. Compiled with the feature
//! `bench` alone, which no shipped build has.
//!
//! A [`Workload`] is prepared once and then sampled as often as the caller likes, so that a caller
//! can take turns between this library and others. What a workload computes is counted from its
//! shapes ([`Work`]); what the machine can do at best is measured by [`Workload::Ceiling`]. Weights are
//! random, never zeros, and made in memory.

mod ceilings;
mod count;
mod files;
#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
mod gpu;
mod library;
mod synthetic;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use ceilings::Ceiling;
pub use files::{FileKind, gguf_file, write_model};
#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
pub use gpu::{GpuAdapter, GpuBench, GpuWork, GpuWorkload};
pub use synthetic::config_json;
pub use workload::{Batch, Modules, Work, Workload};

use crate::formats::{FormatError, GgufFile, WeightsStream};

use crate::learn::{
    Effort, ExampleScore, LearnError, LearnOptions, LearningRun, Optimizer, TuneOptions,
};
use crate::lora::PeftAdapter;
use crate::lora::{
    self, AdapterSet, LoraError, Merge, ModuleWeight, PeftFiles, TunableComposition, TunedPart,
};
use crate::model::measured::LinearAlone;
use crate::model::t5::T5Config;
use crate::model::{
    Control, ExampleLoss, Model, ModelBuilder, ModelError, Precision, PreparedBatch,
    TokenizedExample,
};
use crate::session::TuningRun;
use synthetic::Noise;

/// Why a workload cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The model cannot be made or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The modules cannot be composed.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// A file of the demo library is not valid.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The learning run cannot begin.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// A file cannot be written.
    #[error("the file cannot be written: {0}")]
    File(String),
    /// The request makes no sense.
    #[error("{0}")]
    Request(String),
}

impl BenchError {
    fn request(message: impl Into<String>) -> Self {
        Self::Request(message.into())
    }
}

/// What the workload in progress needs beside the model.
enum Prepared {
    Ceiling(ceilings::Prepared),
    Product(Box<LinearAlone>),
    Encoder(Vec<Vec<u32>>),
    Loss(Vec<TokenizedExample>, Merge),
    Tune(Box<TuningRun>),
    Learn(Vec<TokenizedExample>, LearnOptions),
    Decode { inputs: Vec<Vec<u32>>, new_tokens: usize, with_encoder: bool },
    Load { name: String, config: T5Config, precision: Precision },
    LibraryLearn(Vec<String>, Vec<TokenizedExample>),
    LibraryDecode(Vec<Vec<u32>>),
}

/// The pieces of a model's file, from the first on, as they would arrive; none after the last.
pub type Pieces = Box<dyn Fn(usize) -> Option<Vec<u8>>>;

/// The two files of a random PEFT module of that rank, on q and v of every attention layer.
///
/// # Errors
/// [`BenchError::Request`] for a geometry that is not known.
pub fn adapter_files(model: &str, rank: usize, seed: u64) -> Result<PeftFiles, BenchError> {
    let config = synthetic::config(model)?;
    let adapter = synthetic::adapter(&config, rank, seed);
    Ok(lora::export(&config, &[&adapter], &[1.0], Merge::Delta, model)?.files)
}

/// The workload in progress, and the model and modules that the last ones used.
#[derive(Default)]
pub struct Bench {
    model: Option<(String, Arc<dyn Model>)>,
    adapters: Vec<PeftAdapter>,
    adapters_of: Option<(String, usize)>,
    files: BTreeMap<String, Vec<u8>>,
    pieces: Option<Pieces>,
    prepared: Option<Prepared>,
    samples: u32,
}

impl Bench {
    /// Says where the file that [`Workload::Load`] reads comes from. It is not held here, so that the
    /// memory in use is what a load needs.
    pub fn set_pieces(&mut self, pieces: Pieces) {
        self.pieces = Some(pieces);
    }

    /// Adds a file of the demo library, by its path within it.
    pub fn add_file(&mut self, path: String, bytes: Vec<u8>) {
        self.files.insert(path, bytes);
    }

    /// Makes everything that a workload needs, and counts what it computes.
    ///
    /// # Errors
    /// A [`BenchError`] for a model that is not known or a request that makes no sense.
    pub fn prepare(&mut self, workload: &Workload) -> Result<Work, BenchError> {
        self.prepared = None;
        self.samples = 0;
        let (prepared, work) = self.made(workload)?;
        self.prepared = Some(prepared);
        Ok(work)
    }

    fn made(&mut self, workload: &Workload) -> Result<(Prepared, Work), BenchError> {
        match workload {
            Workload::Ceiling { unit } => {
                let (prepared, work) = ceilings::Prepared::new(*unit);
                Ok((Prepared::Ceiling(prepared), work))
            }
            &Workload::Product { rows, columns, depth, precision } => {
                let mut noise = Noise::new(columns as u64 * 31 + depth as u64);
                let weights = noise.normal(columns * depth, (depth as f32).powf(-0.5));
                let x = noise.normal(rows * depth, 1.0);
                let layer = LinearAlone::new(&weights, [columns, depth], precision, x);
                let multiply_adds = (rows * columns * depth) as u64;
                let work = Work { multiply_adds, ..Work::default() };
                Ok((Prepared::Product(Box::new(layer)), work))
            }
            Workload::Encoder { batch } => {
                let config = self.load_model(batch)?;
                let inputs = synthetic::inputs(&config, batch);
                let work = count::encoder(&config, batch);
                Ok((Prepared::Encoder(inputs), work))
            }
            Workload::Loss { batch, modules } => {
                let config = self.load_model(batch)?;
                self.make_modules(&batch.model, &config, modules);
                let examples = synthetic::examples(&config, batch);
                let work = count::prepared_evaluation(&config, batch, modules);
                Ok((Prepared::Loss(examples, modules.merge), work))
            }
            Workload::Tune { batch, modules } => {
                let config = self.load_model(batch)?;
                self.make_modules(&batch.model, &config, modules);
                let examples = synthetic::examples(&config, batch);
                let work = count::gradient(&config, batch, modules);
                let model = self.model.as_ref().map(|(_, model)| model);
                let model = model.ok_or_else(|| BenchError::request("there is no model"))?;
                let adapters: Vec<&PeftAdapter> = self.adapters.iter().collect();
                let set = AdapterSet::new(&config, &adapters, modules.merge)?;
                let weights = vec![1.0; adapters.len()];
                let composition = TunableComposition::new(&set, &weights, TunedPart::LoraB)?;
                let options = TuneOptions::of(TunedPart::LoraB, Effort::Thorough);
                let run = TuningRun::new(&**model, composition, &examples, options)?;
                Ok((Prepared::Tune(Box::new(run)), work))
            }
            Workload::Learn { batch, modules, budget, optimizer } => {
                let config = self.load_model(batch)?;
                self.make_modules(&batch.model, &config, modules);
                let examples = synthetic::examples(&config, batch);
                let mut work = count::prepared_evaluation(&config, batch, modules);
                work.multiply_adds *= u64::from(*budget);
                let settings = match optimizer {
                    Optimizer::Cobyla => LearnOptions::as_published(),
                    _ => LearnOptions::default(),
                };
                let options = LearnOptions {
                    budget: *budget,
                    merge: modules.merge,
                    modules: modules.modules as u32,
                    optimizer: *optimizer,
                    ..settings
                };
                Ok((Prepared::Learn(examples, options), work))
            }
            Workload::Seq2seq { batch, new_tokens } | Workload::Decode { batch, new_tokens } => {
                let config = self.load_model(batch)?;
                let inputs = synthetic::inputs(&config, batch);
                let with_encoder = matches!(workload, Workload::Seq2seq { .. });
                let mut work = count::decoding(&config, batch, *new_tokens);
                if with_encoder {
                    work.multiply_adds += count::before_decoding(&config, batch);
                }
                Ok((Prepared::Decode { inputs, new_tokens: *new_tokens, with_encoder }, work))
            }
            Workload::Load { model, precision } => {
                let config = synthetic::config(model)?;
                let work =
                    Work { bytes: files::tensor_bytes(model, FileKind::Q8_0)?, ..Work::default() };
                self.model = None;
                let (name, precision) = (model.clone(), *precision);
                Ok((Prepared::Load { name, config, precision }, work))
            }
            Workload::LibraryLearn { task, modules, precision } => {
                let examples = self.load_library(task, modules, *precision)?;
                let learned_from = examples[..library::SHOTS.min(examples.len())].to_vec();
                Ok((Prepared::LibraryLearn(modules.clone(), learned_from), Work::default()))
            }
            Workload::LibraryDecode { task, modules, precision, inputs } => {
                let examples = self.load_library(task, modules, *precision)?;
                let inputs: Vec<Vec<u32>> = (examples.iter().cycle().take(*inputs))
                    .map(|example| example.input.clone())
                    .collect();
                Ok((Prepared::LibraryDecode(inputs), Work::default()))
            }
        }
    }

    /// Runs the prepared workload once, and returns the seconds that it took by `clock` and
    /// the tokens that were decoded. What is not part of the workload is left out of the time.
    ///
    /// # Errors
    /// A [`BenchError`] if nothing was prepared, or the workload failed.
    pub fn sample(&mut self, clock: &dyn Fn() -> f64) -> Result<(f64, u64), BenchError> {
        self.samples += 1;
        let control = Control::none();
        let loaded = self.model.as_ref().map(|(_, model)| model);
        let model =
            || loaded.map(|model| &**model).ok_or_else(|| BenchError::request("there is no model"));
        let adapters: Vec<&PeftAdapter> = self.adapters.iter().collect();
        match self.prepared.as_mut().ok_or_else(|| BenchError::request("nothing is prepared"))? {
            Prepared::Ceiling(ceiling) => Ok((ceiling.sample(clock), 0)),
            Prepared::Product(layer) => {
                let start = clock();
                layer.apply();
                Ok((clock() - start, 0))
            }
            Prepared::Encoder(inputs) => {
                let inputs = slices(inputs);
                let start = clock();
                let encoded = model()?.encode(&inputs, None, &control)?;
                let seconds = clock() - start;
                std::hint::black_box(encoded);
                Ok((seconds, 0))
            }
            Prepared::Loss(examples, merge) => {
                let model = model()?;
                let mut composition = AdapterSet::new(model.config(), &adapters, *merge)?;
                let mut noise = Noise::new(u64::from(self.samples));
                let weights = noise.normal(adapters.len(), 0.5);
                let batch = model.prepare(examples)?;
                let start = clock();
                let side = composition.branches(&weights, model.precision())?;
                let losses = batch.losses(Some(side), &control)?;
                let seconds = clock() - start;
                check_finite(&losses)?;
                Ok((seconds, 0))
            }
            Prepared::Tune(run) => {
                let start = clock();
                let losses = run.step()?;
                let seconds = clock() - start;
                losses.map(|_| (seconds, 0)).ok_or_else(not_finite)
            }
            Prepared::Learn(examples, options) => {
                let names: Vec<String> = (0..adapters.len()).map(|i| i.to_string()).collect();
                learn(model()?, examples, &adapters, &names, options.clone(), clock)
            }
            Prepared::Decode { inputs, new_tokens, with_encoder } => {
                let inputs = slices(inputs);
                let mut start = clock();
                let mut decoder = model()?.greedy(&inputs, None, *new_tokens, &control)?;
                if !*with_encoder {
                    start = clock();
                }
                let mut tokens = 0;
                while !decoder.is_finished() {
                    tokens += decoder.step(None, &control)?.len();
                }
                let seconds = clock() - start;
                if tokens != inputs.len() * *new_tokens {
                    return Err(BenchError::request(
                        "the random model ended an answer early; give its noise another seed",
                    ));
                }
                Ok((seconds, tokens as u64))
            }
            Prepared::Load { name, config, precision } => {
                self.model = None;
                let pieces = self.pieces.as_ref();
                let pieces =
                    pieces.ok_or_else(|| BenchError::request("there is no file to load"))?;
                let start = clock();
                let mut builder = ModelBuilder::new(Arc::new(config.clone()), *precision);
                let mut stream = WeightsStream::new();
                for piece in (0..).map_while(pieces) {
                    stream.push(&piece, &mut builder)?;
                }
                stream.finish(&mut builder)?;
                let model = builder.finish()?;
                let seconds = clock() - start;
                self.model = Some((loaded_name(name, *precision), model));
                Ok((seconds, 0))
            }
            Prepared::LibraryLearn(names, examples) => {
                learn(model()?, examples, &adapters, names, LearnOptions::default(), clock)
            }
            Prepared::LibraryDecode(inputs) => {
                let model = model()?;
                let merge = LearnOptions::default().merge;
                let weights = vec![1.0 / adapters.len() as f32; adapters.len()];
                let side = AdapterSet::new(model.config(), &adapters, merge)?
                    .into_branches(&weights, model.precision())?;
                let start = clock();
                let outputs = model.generate(
                    &slices(inputs),
                    Some(&side),
                    library::MAX_NEW_TOKENS,
                    &control,
                    &mut |_, _| {},
                )?;
                let seconds = clock() - start;
                Ok((seconds, outputs.iter().map(|tokens| tokens.len() as u64).sum()))
            }
        }
    }

    /// Bytes of the loaded model's packed weights.
    pub fn model_bytes(&self) -> usize {
        self.model.as_ref().map_or(0, |(_, model)| model.bytes())
    }

    /// Loads a random model, unless it is the one already loaded.
    fn load_model(&mut self, batch: &Batch) -> Result<T5Config, BenchError> {
        let name = loaded_name(&batch.model, batch.precision);
        let config = synthetic::config(&batch.model)?;
        if self.model.as_ref().is_none_or(|(loaded, _)| *loaded != name) {
            self.model = None;
            self.model = Some((name, random_model(&batch.model, batch.precision)?));
        }
        Ok(config)
    }

    /// Makes as many random modules as asked for; those already there are kept.
    fn make_modules(&mut self, model: &str, config: &T5Config, modules: &Modules) {
        let of = Some((model.to_owned(), modules.rank));
        if self.adapters_of != of {
            self.adapters.clear();
            self.adapters_of = of;
        }
        self.adapters.truncate(modules.modules);
        while self.adapters.len() < modules.modules {
            let seed = self.adapters.len() as u64;
            self.adapters.push(synthetic::adapter(config, modules.rank, seed));
        }
    }

    fn load_library(
        &mut self,
        task: &str,
        modules: &[String],
        precision: Precision,
    ) -> Result<Vec<TokenizedExample>, BenchError> {
        self.model = None;
        self.adapters_of = None;
        let (model, examples) = library::load(&self.files, task, precision)?;
        self.adapters = library::adapters(&self.files, modules)?;
        self.model = Some(("library".to_owned(), model));
        Ok(examples)
    }
}

/// A model of a published geometry with random weights.
fn random_model(model: &str, precision: Precision) -> Result<Arc<dyn Model>, BenchError> {
    let file = GgufFile::parse(gguf_file(model)?)?;
    Ok(crate::model::load(Arc::new(synthetic::config(model)?), &file, precision)?)
}

/// What a loaded model is remembered by.
fn loaded_name(model: &str, precision: Precision) -> String {
    format!("{model} {precision:?}")
}

fn slices(inputs: &[Vec<u32>]) -> Vec<&[u32]> {
    inputs.iter().map(Vec::as_slice).collect()
}

fn check_finite(losses: &[ExampleLoss]) -> Result<(), BenchError> {
    let finite = losses.iter().all(|example| example.loss.is_finite());
    if finite { Ok(()) } else { Err(not_finite()) }
}

fn not_finite() -> BenchError {
    BenchError::request("the random model's loss is not finite, so its time means nothing")
}

/// A whole learning run: the seconds from its start to its result.
fn learn(
    model: &dyn Model,
    examples: &[TokenizedExample],
    adapters: &[&PeftAdapter],
    names: &[String],
    options: LearnOptions,
    clock: &dyn Fn() -> f64,
) -> Result<(f64, u64), BenchError> {
    let start = clock();
    let mut composition = AdapterSet::new(model.config(), adapters, options.merge)?;
    let mut run = LearningRun::new(options, names.to_vec(), examples.len())?;
    let mut batches: BTreeMap<Vec<u32>, Box<dyn PreparedBatch>> = BTreeMap::new();
    while let Some(step) = run.next() {
        let weight = |name: &String| {
            let module = step.weights.iter().find(|module| module.id == *name);
            module.map_or(ModuleWeight::default(), |module| module.weight)
        };
        let weights: Vec<ModuleWeight> = names.iter().map(weight).collect();
        let side = composition.branches(&weights, model.precision())?;
        if !batches.contains_key(&step.examples) {
            let chosen = step.examples.iter().map(|&example| examples[example as usize].clone());
            let prepared = model.prepare(&chosen.collect::<Vec<_>>())?;
            batches.insert(step.examples.clone(), prepared);
        }
        let losses = batches[&step.examples].losses(Some(side), &Control::none())?;
        run.report(&losses.iter().map(ExampleScore::from).collect::<Vec<_>>(), 0.0)?;
    }
    let result = run.result();
    let seconds = clock() - start;
    if result.loss.is_finite() && result.loss <= result.loss_start {
        return Ok((seconds, 0));
    }
    Err(BenchError::request("the learning run ended above its start, so its time means nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(json: &str) -> (Work, f64) {
        let workload: Workload = serde_json::from_str(json).unwrap();
        let mut bench = Bench::default();
        let work = bench.prepare(&workload).unwrap();
        let ticks = std::cell::Cell::new(0.0);
        let clock = || {
            ticks.set(ticks.get() + 1.0);
            ticks.get()
        };
        (work, bench.sample(&clock).unwrap().0)
    }

    #[test]
    fn every_workload_on_a_tiny_model_runs_and_counts_its_work() {
        let batch = r#""model": "tiny", "precision": "int8", "examples": 2, "tokens": 9"#;
        let modules = r#""modules": 3, "rank": 4, "merge": "lorahub""#;
        for workload in [
            format!(r#"{{"measure": "encoder", {batch}}}"#),
            format!(r#"{{"measure": "loss", {batch}, "targets": 4, {modules}}}"#),
            format!(
                r#"{{"measure": "learn", {batch}, "targets": 4, {modules}, "budget": 6, "optimizer": "cobyla"}}"#
            ),
            format!(r#"{{"measure": "tune", {batch}, "targets": 4, {modules}}}"#),
            format!(r#"{{"measure": "seq2seq", {batch}, "newTokens": 3}}"#),
            format!(r#"{{"measure": "decode", {batch}, "newTokens": 3}}"#),
            r#"{"measure": "product", "rows": 5, "columns": 33, "depth": 64, "precision": "int8"}"#
                .to_owned(),
        ] {
            let (work, seconds) = measured(&workload);
            assert!(work.multiply_adds > 0, "{workload}");
            assert!(seconds > 0.0, "{workload}");
        }
    }

    #[test]
    fn a_load_takes_its_file_in_pieces() {
        let workload = r#"{"measure": "load", "model": "tiny", "precision": "int8"}"#;
        let mut bench = Bench::default();
        let work = bench.prepare(&serde_json::from_str(workload).unwrap()).unwrap();
        assert!(bench.sample(&|| 0.0).is_err());
        let file = gguf_file("tiny").unwrap();
        assert!((0..file.len() as u64 / 10).contains(&(file.len() as u64 - work.bytes)));
        bench.set_pieces(Box::new(move |index| file.chunks(1000).nth(index).map(<[u8]>::to_vec)));
        bench.sample(&|| 0.0).unwrap();
        assert!(bench.model_bytes() > 0);
    }
}
