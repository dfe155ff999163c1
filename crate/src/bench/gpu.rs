//! Measurements of the GPU, natively: products alone, losses of populations, decoding. Each
//! answer is compared with the CPU's before its time is taken.

use std::sync::Arc;

use pollster::block_on;
use serde::{Deserialize, Serialize};

use super::synthetic::{self, Noise};
use super::{
    Batch, BenchError, Modules, Work, check_finite, count, loaded_name, random_model, slices,
};
use crate::kernels::gpu::{
    Buffer, Gpu, GpuError, Matrix, Output, Program, Quantize, Recorder, Rows, RowsMode, Store,
};
use crate::kernels::quantize::QuantizedMatrix;
use crate::lora::AdapterSet;
use crate::lora::PeftAdapter;
use crate::model::{
    Control, GpuEvaluation, GpuModel, GpuModules, GroupCoefficients, LayerGroup, Model, ModelError,
    Precision, TokenizedExample,
};

/// Seconds that a sample of a product should last: products are repeated in one submission, whose own
/// cost would otherwise be measured with them.
const PRODUCT_SECONDS: f64 = 0.05;
const MOST_REPEATS: usize = 1000;
/// Seconds of work after which an idle GPU has reached its full clock.
const WARM_SECONDS: f64 = 0.3;
/// Largest relative difference of a loss to the CPU's.
const TOLERANCE: f32 = 1e-3;

/// A measurement on the GPU, by its name in JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "measure", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum GpuWorkload {
    /// The product kernel alone, `[size, size] · [size, size]ᵀ`.
    Product {
        /// Rows, columns and depth.
        size: usize,
        /// `int8` or `f32`.
        precision: Precision,
    },
    /// The objective of several vectors of coefficients at once: merge the modules, then the losses.
    Loss {
        /// The model and the batch.
        #[serde(flatten)]
        batch: Batch,
        /// The modules.
        #[serde(flatten)]
        modules: Modules,
        /// Vectors of coefficients.
        members: usize,
    },
    /// Greedy tokens after those of the first submission, which also encodes.
    Decode {
        /// The model and the batch.
        #[serde(flatten)]
        batch: Batch,
        /// Tokens decoded of each input, those of the first submission included.
        new_tokens: usize,
    },
}

/// The GPU's adapter, as the report names it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GpuAdapter {
    name: String,
    driver: String,
    /// Which product of bytes is used: `packed` or `unpacked`.
    dot: &'static str,
    /// Seconds of the same product with bytes packed and unpacked, where both were tried.
    dot_seconds: Option<[f64; 2]>,
    timestamps: bool,
}

/// What one sample computes and, of losses, what it takes beside time.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GpuWork {
    #[serde(flatten)]
    work: Work,
    cost: Option<Cost>,
}

/// What an evaluation takes beside time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    dispatches: usize,
    submissions: usize,
    readback_bytes: u64,
    memory_bytes: u64,
    /// Largest relative difference of a loss to the CPU's.
    difference: f32,
    split: Option<Split>,
}

/// Seconds on the device, by what they went into.
#[derive(Debug, Clone, Serialize)]
struct Split {
    products: f64,
    attention: f64,
    rest: f64,
}

struct LoadedModel {
    name: String,
    cpu: Arc<dyn Model>,
    gpu: Box<dyn GpuModel>,
}

enum Prepared {
    Product { program: Program, repeats: usize, result: Buffer },
    Loss { evaluation: Box<GpuEvaluation>, _modules: GpuModules, count: usize, members: usize },
    Decode { inputs: Vec<Vec<u32>>, new_tokens: usize },
}

/// The workload in progress on the GPU, and the model that the last ones used.
pub struct GpuBench {
    gpu: Arc<Gpu>,
    model: Option<LoadedModel>,
    prepared: Option<Prepared>,
    noise: Noise,
}

impl From<GpuError> for BenchError {
    fn from(error: GpuError) -> Self {
        BenchError::Model(ModelError::Gpu(error))
    }
}

impl GpuBench {
    /// Opens the GPU.
    ///
    /// # Errors
    /// [`BenchError::Model`] where there is none.
    pub fn open() -> Result<Self, BenchError> {
        let gpu = Arc::new(block_on(Gpu::open())?);
        Ok(Self { gpu, model: None, prepared: None, noise: Noise::new(1) })
    }

    /// The adapter that is measured.
    pub fn adapter(&self) -> GpuAdapter {
        GpuAdapter {
            name: self.gpu.name().to_owned(),
            driver: self.gpu.driver().to_owned(),
            dot: if self.gpu.packed_dot() { "packed" } else { "unpacked" },
            dot_seconds: self.gpu.dot_seconds(),
            timestamps: self.gpu.has_timestamps(),
        }
    }

    /// Makes everything that a workload needs, compares its answer with the CPU's, and counts what it
    /// computes.
    ///
    /// # Errors
    /// A [`BenchError`] for a model that is not known, a request that makes no sense, a GPU that has
    /// no room, or losses that are not the CPU's.
    pub fn prepare(&mut self, workload: &GpuWorkload) -> Result<GpuWork, BenchError> {
        self.prepared = None;
        let (prepared, work) = match workload {
            &GpuWorkload::Product { size, precision } => self.product(size, precision)?,
            GpuWorkload::Loss { batch, modules, members } => self.loss(batch, modules, *members)?,
            GpuWorkload::Decode { batch, new_tokens } => {
                self.load_model(batch)?;
                let config = synthetic::config(&batch.model)?;
                let inputs = synthetic::inputs(&config, batch);
                let work = count::decoding(&config, batch, *new_tokens);
                (Prepared::Decode { inputs, new_tokens: *new_tokens }, GpuWork { work, cost: None })
            }
        };
        self.prepared = Some(prepared);
        Ok(work)
    }

    fn product(
        &self,
        size: usize,
        precision: Precision,
    ) -> Result<(Prepared, GpuWork), BenchError> {
        const WHAT: &str = "a product";
        let gpu = &*self.gpu;
        let values = Noise::new(size as u64).normal(size * size, (size as f32).powf(-0.5));
        let quantized = precision.is_quantized();
        let weights = if quantized {
            Matrix::int8(gpu, WHAT, &[QuantizedMatrix::new(&values, size, size)])?
        } else {
            Matrix::f32(gpu, WHAT, &values, size)?
        };
        let x = Rows::new(gpu, WHAT, size, size, quantized)?;
        let result = gpu.zeros(WHAT, size * size)?;
        let mut recorder = Recorder::new(gpu);
        let quantize = if quantized { Quantize::Int7 } else { Quantize::No };
        let source = gpu.upload(WHAT, &values)?;
        recorder.rows(RowsMode::Plain, &source, (size, 0), size, size, &x, quantize);
        let rows = recorder.finish()?;
        block_on(gpu.submit(|encoder| rows.record(encoder), &result, 0, 1))?;

        let mut recorder = Recorder::new(gpu);
        let out = Output { buffer: &result, stride: size, offset: 0, store: Store::Replace };
        recorder.product(&x, size, &weights, 0, out);
        let program = recorder.finish()?;
        let started = std::time::Instant::now();
        let mut repeats = 1;
        let mut product = Prepared::Product { program, repeats, result };
        // Until a sample lasts long enough, each twice the one before; the first run compiles.
        while started.elapsed().as_secs_f64() < 1.0 && repeats < MOST_REPEATS {
            let start = std::time::Instant::now();
            if let Prepared::Product { program, repeats, result } = &product {
                self.run_product(program, *repeats, result)?;
            }
            if start.elapsed().as_secs_f64() >= PRODUCT_SECONDS && repeats > 1 {
                break;
            }
            repeats = (2 * repeats).min(MOST_REPEATS);
            if let Prepared::Product { repeats: known, .. } = &mut product {
                *known = repeats;
            }
        }
        let multiply_adds = (repeats * size * size * size) as u64;
        let work = Work { multiply_adds, ..Work::default() };
        Ok((product, GpuWork { work, cost: None }))
    }

    fn run_product(
        &self,
        program: &Program,
        repeats: usize,
        result: &Buffer,
    ) -> Result<(), GpuError> {
        let record = |encoder: &mut _| (0..repeats).for_each(|_| program.record(encoder));
        block_on(self.gpu.submit(record, result, 0, 1)).map(drop)
    }

    fn loss(
        &mut self,
        batch: &Batch,
        modules: &Modules,
        members: usize,
    ) -> Result<(Prepared, GpuWork), BenchError> {
        self.load_model(batch)?;
        let LoadedModel { cpu, gpu, .. } = self.loaded()?;
        let config = &synthetic::config(&batch.model)?;
        let adapters: Vec<PeftAdapter> = (0..modules.modules)
            .map(|seed| synthetic::adapter(config, modules.rank, seed as u64))
            .collect();
        let count = adapters.len();
        let mut composition = AdapterSet::new(config, &adapters, modules.merge)?;
        let examples = synthetic::examples(config, batch);
        let uploaded = composition.upload(&**gpu)?;
        let evaluation = gpu.prepare(&examples, Some(&uploaded), members)?;
        let vectors = vectors(&mut Noise::new(2), members, count);
        let difference = difference(&**cpu, &mut composition, &evaluation, &examples, &vectors)?;
        // While the CPU computed, the GPU lowered its clock.
        let warm = std::time::Instant::now();
        while warm.elapsed().as_secs_f64() < WARM_SECONDS {
            let members: Vec<&[_]> = vectors.iter().map(Vec::as_slice).collect();
            block_on(evaluation.losses(&members, &Control::none()))?;
        }
        let split = block_on(evaluation.time_split())?;
        let planned = gpu.bytes() + uploaded.bytes() + evaluation.bytes();
        let cost = Cost {
            dispatches: evaluation.dispatches() * members.div_ceil(evaluation.members()),
            submissions: members.div_ceil(evaluation.members()),
            readback_bytes: evaluation.readback_bytes(),
            memory_bytes: self.gpu.bytes_in_use().unwrap_or(planned),
            difference,
            split: split.map(|split| Split {
                products: split.products,
                attention: split.attention,
                rest: split.rest,
            }),
        };
        let mut work = count::evaluation(config, batch, modules);
        work.multiply_adds *= members as u64;
        let evaluation = Box::new(evaluation);
        let prepared = Prepared::Loss { evaluation, _modules: uploaded, count, members };
        Ok((prepared, GpuWork { work, cost: Some(cost) }))
    }

    /// Runs the prepared workload once, and returns the seconds that it took by `clock` and
    /// the tokens that were decoded in them.
    ///
    /// # Errors
    /// A [`BenchError`] if nothing was prepared, or the workload failed.
    pub fn sample(&mut self, clock: &dyn Fn() -> f64) -> Result<(f64, u64), BenchError> {
        let noise = &mut self.noise;
        let loaded = self.model.as_ref();
        let model = || {
            loaded
                .map(|loaded| &*loaded.gpu)
                .ok_or_else(|| BenchError::request("there is no model"))
        };
        match self.prepared.as_ref() {
            None => Err(BenchError::request("nothing is prepared")),
            Some(Prepared::Product { program, repeats, result }) => {
                let start = clock();
                self.run_product(program, *repeats, result)?;
                Ok((clock() - start, 0))
            }
            Some(Prepared::Loss { evaluation, count, members, .. }) => {
                let vectors = vectors(noise, *members, *count);
                let vectors: Vec<&[_]> = vectors.iter().map(Vec::as_slice).collect();
                let start = clock();
                let losses = block_on(evaluation.losses(&vectors, &Control::none()))?;
                let seconds = clock() - start;
                check_finite(&losses.concat())?;
                Ok((seconds, 0))
            }
            Some(Prepared::Decode { inputs, new_tokens }) => {
                decode(model()?, inputs, *new_tokens, clock)
            }
        }
    }

    fn loaded(&self) -> Result<&LoadedModel, BenchError> {
        self.model.as_ref().ok_or_else(|| BenchError::request("there is no model"))
    }

    fn load_model(&mut self, batch: &Batch) -> Result<(), BenchError> {
        let precision = batch.precision;
        let name = loaded_name(&batch.model, precision);
        if self.model.as_ref().is_none_or(|loaded| loaded.name != name) {
            self.model = None;
            let cpu = random_model(&batch.model, precision)?;
            let gpu = block_on(cpu.load_gpu(Arc::clone(&self.gpu)))?;
            self.model = Some(LoadedModel { name, cpu, gpu });
        }
        Ok(())
    }
}

fn vectors(noise: &mut Noise, members: usize, modules: usize) -> Vec<Vec<GroupCoefficients>> {
    let each = |vector: Vec<f32>| vector.into_iter().map(|one| [one; LayerGroup::COUNT]).collect();
    (0..members).map(|_| each(noise.normal(modules, 0.5))).collect()
}

/// Largest relative difference of the first and the last member's losses to the CPU's.
fn difference(
    cpu: &dyn Model,
    composition: &mut AdapterSet<PeftAdapter>,
    evaluation: &GpuEvaluation,
    examples: &[TokenizedExample],
    vectors: &[Vec<GroupCoefficients>],
) -> Result<f32, BenchError> {
    let control = Control::none();
    let members: Vec<&[_]> = vectors.iter().map(Vec::as_slice).collect();
    let found = block_on(evaluation.losses(&members, &control))?;
    let mut largest = 0f32;
    let last = members.len().saturating_sub(1);
    for member in if last == 0 { vec![0] } else { vec![0, last] } {
        let side = composition.branches(members[member], cpu.precision())?;
        let expected = cpu.losses(examples, Some(side), &control)?;
        for (found, expected) in found[member].iter().zip(&expected) {
            let difference = ((found.loss - expected.loss) / expected.loss).abs();
            // So written that a NaN is refused.
            let agrees = difference <= TOLERANCE;
            if !agrees {
                return Err(BenchError::request(format!(
                    "the GPU's loss is {}, the CPU's {}: its time means nothing",
                    found.loss, expected.loss
                )));
            }
            largest = largest.max(difference);
        }
    }
    Ok(largest)
}

fn decode(
    model: &dyn GpuModel,
    inputs: &[Vec<u32>],
    new_tokens: usize,
    clock: &dyn Fn() -> f64,
) -> Result<(f64, u64), BenchError> {
    let control = Control::none();
    let mut decoder = model.greedy(&slices(inputs), None, new_tokens)?;
    let first = block_on(decoder.step(&control))?.len();
    let start = clock();
    let mut tokens = 0;
    while !decoder.is_finished() {
        tokens += block_on(decoder.step(&control))?.len();
    }
    let seconds = clock() - start;
    if first + tokens != inputs.len() * new_tokens {
        return Err(BenchError::request(
            "the random model ended an answer early; give its noise another seed",
        ));
    }
    Ok((seconds, tokens as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_runs_on_the_gpu_with_the_losses_of_the_cpu() {
        let mut bench = match GpuBench::open() {
            Ok(bench) => bench,
            Err(error) => return eprintln!("skipped: {error}"),
        };
        let batch = r#""model": "tiny", "precision": "int8", "examples": 2, "tokens": 9"#;
        let modules = r#""modules": 3, "rank": 4, "merge": "lorahub""#;
        for workload in [
            format!(r#"{{"measure": "loss", {batch}, "targets": 4, {modules}, "members": 3}}"#),
            format!(r#"{{"measure": "decode", {batch}, "newTokens": 6}}"#),
            r#"{"measure": "product", "size": 70, "precision": "int8"}"#.to_owned(),
            r#"{"measure": "product", "size": 70, "precision": "f32"}"#.to_owned(),
        ] {
            let work = bench.prepare(&serde_json::from_str(&workload).unwrap()).unwrap();
            assert!(work.work.multiply_adds > 0, "{workload}");
            let started = std::time::Instant::now();
            let (seconds, _) = bench.sample(&|| started.elapsed().as_secs_f64()).unwrap();
            assert!(seconds > 0.0, "{workload}");
            let Some(cost) = work.cost else { continue };
            assert_eq!(cost.submissions, 1);
            assert_eq!(cost.readback_bytes, 3 * 2 * 4 * 16);
            assert!(cost.dispatches > 50 && cost.memory_bytes > 0);
            assert_eq!(cost.difference, 0.0, "the bits are the CPU's");
            assert_eq!(cost.split.is_some(), bench.adapter().timestamps);
            if let Some(split) = cost.split {
                assert!(split.products > 0.0 && split.attention > 0.0 && split.rest > 0.0);
            }
        }
    }
}
