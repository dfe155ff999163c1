//! Losses of a batch, for a population of coefficients in one submission.

use super::layers::{Biases, Layers, Tasks};
use super::plan::MemoryPlan;
use super::workspace::{Shape, Workspace};
use std::sync::Arc;

use super::{GpuModules, T5GpuModel};
use crate::kernels::cpu::ln;
#[cfg(feature = "bench")]
use crate::kernels::gpu::TimeSplit;
use crate::kernels::gpu::{Gpu, GpuError, Program};
use crate::model::t5::{T5Config, T5Model};
use crate::model::{
    Control, ExampleLoss, GroupCoefficients, Model, ModelConfig, ModelError, Precision, Stack,
    TokenizedExample,
};

/// A prepared batch: its dispatches are recorded and its buffers allocated.
#[derive(Debug)]
pub struct GpuEvaluation {
    gpu: Arc<Gpu>,
    program: Program,
    work: Workspace,
    modules: usize,
    /// Labels of each example.
    lengths: Vec<usize>,
    bytes: u64,
}

impl GpuEvaluation {
    /// Coefficient vectors per submission: the number requested or, if the device has no room for
    /// that, fewer.
    pub fn members(&self) -> usize {
        self.work.shape.members
    }

    /// Dispatches of one submission.
    pub fn dispatches(&self) -> usize {
        self.program.len()
    }

    /// Bytes of the buffers, without the weights and the modules.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that are read back after one submission.
    pub fn readback_bytes(&self) -> u64 {
        (self.work.shape.members * self.work.shape.decoder_rows * 16) as u64
    }
}

fn shape(members: usize, inputs: &[usize], lengths: &[usize]) -> Shape {
    let (encoder_rows, decoder_rows) = (inputs.iter().sum(), lengths.iter().sum());
    Shape { members, encoder_rows, decoder_rows }
}

/// The buffers of [`T5GpuModel::prepare_batch`] for inputs and labels of these lengths.
fn plan(
    config: &T5Config,
    precision: Precision,
    modules: Option<&GpuModules>,
    shape: Shape,
    inputs: &[usize],
    lengths: &[usize],
) -> MemoryPlan {
    let mut plan = Workspace::plan(config, precision, modules, shape);
    plan.add("the inputs", shape.encoder_rows);
    plan.add("the labels", shape.decoder_rows);
    plan.add("the decoder's inputs", shape.decoder_rows);
    for queries in [inputs, lengths, lengths] {
        Tasks::plan(&mut plan, config.d_kv, shape.members, queries);
    }
    for (stack, lengths) in [(Stack::Encoder, inputs), (Stack::Decoder, lengths)] {
        Biases::plan(&mut plan, config, stack, lengths.iter().copied().max().unwrap_or(0));
    }
    plan
}

/// See [`Model::check_gpu_room`].
pub(in crate::model::t5) fn check_losses(
    gpu: &Gpu,
    model: &T5Model,
    inputs: &[usize],
    labels: &[usize],
) -> Result<(), GpuError> {
    let shape = shape(1, inputs, labels);
    plan(model.config(), model.precision(), None, shape, inputs, labels).check(gpu)
}

impl T5GpuModel {
    /// See [`GpuModel::prepare`](crate::model::GpuModel::prepare).
    pub(super) fn prepare_batch(
        &self,
        batch: &[TokenizedExample],
        modules: Option<&GpuModules>,
        members: usize,
    ) -> Result<GpuEvaluation, ModelError> {
        for (index, example) in batch.iter().enumerate() {
            self.config.check_tokens("the input", index, &example.input)?;
            self.config.check_tokens("the output", index, &example.labels)?;
        }
        let inputs: Vec<usize> = batch.iter().map(|example| example.input.len()).collect();
        let lengths: Vec<usize> = batch.iter().map(|example| example.labels.len()).collect();
        let shape = shape(members.max(1), &inputs, &lengths);
        let (plan, shape) = MemoryPlan::largest(&self.gpu, shape, |shape| {
            plan(&self.config, self.precision, modules, shape, &inputs, &lengths)
        })?;
        let work = Workspace::new(self, modules, shape)?;
        let program = self.record_losses(batch, modules, &work, &inputs, &lengths)?;
        let modules = modules.map_or(0, GpuModules::count);
        Ok(GpuEvaluation {
            gpu: Arc::clone(&self.gpu),
            program,
            work,
            modules,
            lengths,
            bytes: plan.bytes(),
        })
    }

    fn record_losses(
        &self,
        batch: &[TokenizedExample],
        modules: Option<&GpuModules>,
        work: &Workspace,
        inputs: &[usize],
        lengths: &[usize],
    ) -> Result<Program, GpuError> {
        let (gpu, config) = (&self.gpu, &self.config);
        let members = work.shape.members;
        let tasks = |lengths, keys| Tasks::new(gpu, config.d_kv, members, lengths, keys);
        let biases = |stack, weights, lengths: &[usize]| {
            let longest = lengths.iter().copied().max().unwrap_or(0);
            Biases::new(gpu, config, stack, weights, longest)
        };
        let input_tokens: Vec<u32> =
            batch.iter().flat_map(|example| example.input.iter().copied()).collect();
        let labels: Vec<u32> =
            batch.iter().flat_map(|example| example.labels.iter().copied()).collect();
        let start = config.decoder_start_token_id;
        let shifted: Vec<u32> = batch
            .iter()
            .flat_map(|example| {
                let labels = &example.labels;
                std::iter::once(start).chain(labels[..labels.len() - 1].iter().copied())
            })
            .collect();
        let input_tokens = gpu.upload("the inputs", &input_tokens)?;
        let labels = gpu.upload("the labels", &labels)?;
        let shifted = gpu.upload("the decoder's inputs", &shifted)?;
        let encoder_tasks = tasks(inputs, inputs)?;
        let own_tasks = tasks(lengths, lengths)?;
        let cross_tasks = tasks(lengths, inputs)?;
        let encoder_biases = biases(Stack::Encoder, &self.encoder, inputs)?;
        let decoder_biases = biases(Stack::Decoder, &self.decoder, lengths)?;

        let mut layers = Layers::new(self, modules, work);
        layers.merge();
        layers.encode(&input_tokens, &encoder_tasks, &encoder_biases);
        let period = work.shape.decoder_rows;
        let rows = members * period;
        layers.recorder.embed(&self.embedding, &shifted, period, rows, &work.x);
        for (index, block) in self.decoder.blocks.iter().enumerate() {
            layers.self_qkv(block, rows);
            let keys = layers.own_keys(&own_tasks, decoder_biases.of(index), true);
            layers.attend(&block.o, keys.stride, rows, keys);
            if let Some(cross) = &block.cross {
                layers.cross_kv(cross, &work.kv);
                layers.cross_attend(cross, rows, &work.kv, &cross_tasks);
            }
            layers.feed_forward(block, rows);
        }
        layers.logits(rows, Some((&labels, period)));
        layers.recorder.finish()
    }
}

impl GpuEvaluation {
    /// Each example's loss for each vector of coefficients, one per module and group of layers; a batch
    /// without modules takes empty vectors. More vectors than fit one submission take several.
    ///
    /// # Errors
    /// [`ModelError::Gpu`] and, between submissions, [`ModelError::Cancelled`].
    ///
    /// # Panics
    /// If the length of a vector is not the number of modules.
    pub async fn losses(
        &self,
        coefficients: &[&[GroupCoefficients]],
        control: &Control,
    ) -> Result<Vec<Vec<ExampleLoss>>, ModelError> {
        let Self { gpu, program, work, modules, lengths, .. } = self;
        let Shape { members, decoder_rows, .. } = work.shape;
        assert!(coefficients.iter().all(|vector| vector.len() == *modules));
        let mut losses = Vec::with_capacity(coefficients.len());
        for chunk in coefficients.chunks(members) {
            control.check()?;
            if decoder_rows == 0 {
                losses.extend(chunk.iter().map(|_| Vec::new()));
                continue;
            }
            if let Some(merged) = &work.merged {
                gpu.write(&merged.coefficients, chunk.concat().as_flattened());
            }
            let words = chunk.len() * decoder_rows * 4;
            let record = |encoder: &mut _| program.record(encoder);
            let states = gpu.submit(record, &work.logit_states, 0, words).await?;
            for states in states.chunks_exact(decoder_rows * 4) {
                losses.push(example_losses(states, lengths));
            }
        }
        Ok(losses)
    }
}

#[cfg(feature = "bench")]
impl GpuEvaluation {
    /// Runs the batch once more with the coefficients of its last losses, and returns the device's
    /// time by kernel; `None` where the device has no timestamps.
    ///
    /// # Errors
    /// The device's faults.
    pub async fn time_split(&self) -> Result<Option<TimeSplit>, GpuError> {
        self.gpu.time(&self.program).await
    }
}

/// Means of −log softmax(logits)[label], from what the device keeps of each row of logits.
fn example_losses(states: &[u32], lengths: &[usize]) -> Vec<ExampleLoss> {
    let mut rows = states.chunks_exact(4);
    lengths
        .iter()
        .map(|&tokens| {
            let sum: f64 = rows
                .by_ref()
                .take(tokens)
                .map(|state| {
                    let value = |index: usize| f64::from(f32::from_bits(state[index]));
                    ln(value(1)) + (value(0) - value(2))
                })
                .sum();
            ExampleLoss { loss: (sum / tokens as f64) as f32, tokens }
        })
        .collect()
}
