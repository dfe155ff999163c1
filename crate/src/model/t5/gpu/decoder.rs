//! Greedy decoding, several tokens to a submission.

use super::layers::{Biases, Keys, Layers, Tasks};
use super::plan::MemoryPlan;
use super::workspace::{Shape, Workspace};
use std::sync::Arc;

use super::{GpuModules, T5GpuModel};
use crate::kernels::gpu::{Buffer, Gpu, GpuError, Program};
use crate::model::t5::T5Config;
use crate::model::{Control, GroupCoefficients, MAX_TOKENS, ModelConfig, ModelError, Stack};

/// Tokens decoded before they are read back: reading costs about as much as decoding a few.
const TOKENS_PER_SUBMISSION: usize = 4;

const CROSS_CACHE: &str = "the encoder's keys and values";
const OWN_CACHE: &str = "the decoder's keys and values";

/// A batch in greedy decoding on the device.
#[derive(Debug)]
pub struct GpuDecoder {
    gpu: Arc<Gpu>,
    eos_token_id: u32,
    /// The encoder and its keys and values; run once, before the first step.
    encoder: Option<Program>,
    step: Program,
    history: Buffer,
    /// Whether each row has ended.
    finished: Vec<bool>,
    position: usize,
    max_new_tokens: usize,
    bytes: u64,
}

impl GpuDecoder {
    /// Bytes of the buffers, without the weights and the modules.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether every row has ended with `</s>` or at the limit.
    pub fn is_finished(&self) -> bool {
        self.position >= self.max_new_tokens || self.finished.iter().all(|&finished| finished)
    }
}

/// One member, and a row of the decoder for each input.
fn decoding_shape(lengths: &[usize]) -> Shape {
    Shape { members: 1, encoder_rows: lengths.iter().sum(), decoder_rows: lengths.len() }
}

/// Words of a block's keys and values of the encoder's output.
fn cross_cache_words(config: &T5Config, shape: Shape) -> usize {
    shape.encoder_rows * 2 * config.d_attention()
}

/// Words of a block's keys and values of the tokens decoded so far.
fn own_cache_words(config: &T5Config, rows: usize, capacity: usize) -> usize {
    rows * capacity * 2 * config.d_attention()
}

impl T5GpuModel {
    /// See [`GpuModel::greedy`](crate::model::GpuModel::greedy).
    pub(super) fn start_decoding(
        &self,
        inputs: &[&[u32]],
        modules: Option<(&GpuModules, &[GroupCoefficients])>,
        max_new_tokens: usize,
    ) -> Result<GpuDecoder, ModelError> {
        if max_new_tokens > MAX_TOKENS {
            let (tokens, limit) = (max_new_tokens, MAX_TOKENS);
            return Err(ModelError::TooLong { what: "the answer", example: 0, tokens, limit });
        }
        for (example, input) in inputs.iter().enumerate() {
            self.config.check_tokens("the input", example, input)?;
        }
        let lengths: Vec<usize> = inputs.iter().map(|input| input.len()).collect();
        let rows = inputs.len();
        let capacity = max_new_tokens.max(1);
        let plan = self.decoding_plan(modules.map(|(modules, _)| modules), &lengths, capacity);
        plan.check(&self.gpu)?;
        let shape = decoding_shape(&lengths);
        let work = Workspace::new(self, modules.map(|(modules, _)| modules), shape)?;
        if let (Some((modules, coefficients)), Some(merged)) = (modules, &work.merged) {
            assert_eq!(coefficients.len(), modules.count());
            self.gpu.write(&merged.coefficients, coefficients.as_flattened());
        }
        let modules = modules.map(|(modules, _)| modules);
        let history = self.gpu.zeros("the answers", capacity * rows)?;
        let caches = self.cross_caches(&work)?;
        let encoder = self.record_encoder(inputs, modules, &work, &lengths, &caches)?;
        let step = self.record_step(modules, &work, &lengths, capacity, &caches, &history)?;
        Ok(GpuDecoder {
            gpu: Arc::clone(&self.gpu),
            eos_token_id: self.config.eos_token_id,
            encoder: Some(encoder),
            step,
            history,
            finished: vec![false; rows],
            position: 0,
            max_new_tokens,
            bytes: plan.bytes(),
        })
    }

    /// The buffers of [`T5GpuModel::start_decoding`] for inputs of these lengths.
    fn decoding_plan(
        &self,
        modules: Option<&GpuModules>,
        lengths: &[usize],
        capacity: usize,
    ) -> MemoryPlan {
        let (config, rows) = (&self.config, lengths.len());
        let shape = decoding_shape(lengths);
        let mut plan = Workspace::plan(config, self.precision, modules, shape);
        plan.add("the answers", capacity * rows);
        plan.add("the inputs", shape.encoder_rows);
        plan.add("the last tokens", rows);
        for _ in &self.decoder.blocks {
            plan.add(CROSS_CACHE, cross_cache_words(config, shape));
            plan.add(OWN_CACHE, own_cache_words(config, rows, capacity));
        }
        Tasks::plan(&mut plan, config.d_kv, 1, lengths);
        (0..2).for_each(|_| Tasks::plan_single(&mut plan, rows));
        let longest = lengths.iter().copied().max().unwrap_or(0);
        Biases::plan(&mut plan, config, Stack::Encoder, longest);
        Biases::plan(&mut plan, config, Stack::Decoder, capacity);
        plan
    }

    /// A buffer for each block's keys and values of the encoder's output.
    fn cross_caches(&self, work: &Workspace) -> Result<Vec<Buffer>, GpuError> {
        let words = cross_cache_words(&self.config, work.shape);
        let make = |_| self.gpu.zeros(CROSS_CACHE, words);
        self.decoder.blocks.iter().map(make).collect()
    }

    fn record_encoder(
        &self,
        inputs: &[&[u32]],
        modules: Option<&GpuModules>,
        work: &Workspace,
        lengths: &[usize],
        caches: &[Buffer],
    ) -> Result<Program, GpuError> {
        let (gpu, config) = (&self.gpu, &self.config);
        let tokens = gpu.upload("the inputs", &inputs.concat())?;
        let tasks = Tasks::new(gpu, config.d_kv, 1, lengths, lengths)?;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let biases = Biases::new(gpu, config, Stack::Encoder, &self.encoder, longest)?;
        let mut layers = Layers::new(self, modules, work);
        layers.merge();
        layers.encode(&tokens, &tasks, &biases);
        for (block, cache) in self.decoder.blocks.iter().zip(caches) {
            if let Some(cross) = &block.cross {
                layers.cross_kv(cross, cache);
            }
        }
        layers.recorder.finish()
    }

    fn record_step(
        &self,
        modules: Option<&GpuModules>,
        work: &Workspace,
        lengths: &[usize],
        capacity: usize,
        caches: &[Buffer],
        history: &Buffer,
    ) -> Result<Program, GpuError> {
        let (gpu, config) = (&self.gpu, &self.config);
        let (rows, width) = (lengths.len(), config.d_attention());
        let tokens = gpu.upload("the last tokens", &vec![config.decoder_start_token_id; rows])?;
        let own_tasks = Tasks::single(gpu, (0..rows).map(|row| (row * capacity, capacity)))?;
        let starts = lengths.iter().scan(0, |end, &length| {
            *end += length;
            Some((*end - length, length))
        });
        let cross_tasks = Tasks::single(gpu, starts)?;
        let biases = Biases::new(gpu, config, Stack::Decoder, &self.decoder, capacity)?;
        let mut layers = Layers::new(self, modules, work);
        layers.recorder.embed(&self.embedding, &tokens, rows, rows, &work.x);
        for (index, (block, cross_cache)) in self.decoder.blocks.iter().zip(caches).enumerate() {
            layers.self_qkv(block, rows);
            let stride = 2 * width;
            let cache = gpu.zeros(OWN_CACHE, own_cache_words(config, rows, capacity))?;
            let source = (3 * width, width);
            layers.recorder.append(
                &work.wide,
                source,
                rows,
                stride,
                capacity,
                &work.decoded,
                &cache,
            );
            let keys = Keys {
                buffer: &cache,
                stride,
                k: 0,
                v: width,
                tasks: &own_tasks,
                bias: Some(biases.of(index)),
                causal: true,
            };
            layers.attend(&block.o, 3 * width, rows, keys);
            if let Some(cross) = &block.cross {
                layers.cross_attend(cross, rows, cross_cache, &cross_tasks);
            }
            layers.feed_forward(block, rows);
        }
        layers.logits(rows, None);
        layers.recorder.advance(rows, &work.logit_states, &tokens, history, &work.decoded);
        layers.recorder.finish()
    }
}

impl GpuDecoder {
    /// Decodes a few more tokens of every row that is not finished: pairs of the row's index in the
    /// batch and its token, each row's in order. Of equal logits the lowest token is taken.
    ///
    /// # Errors
    /// [`ModelError::Gpu`] and [`ModelError::Cancelled`].
    pub async fn step(&mut self, control: &Control) -> Result<Vec<(usize, u32)>, ModelError> {
        if self.is_finished() {
            return Ok(Vec::new());
        }
        control.check()?;
        let rows = self.finished.len();
        let tokens = TOKENS_PER_SUBMISSION.min(self.max_new_tokens - self.position);
        let encoder_program = self.encoder.take();
        let record = |encoder: &mut _| {
            encoder_program.iter().for_each(|program| program.record(encoder));
            (0..tokens).for_each(|_| self.step.record(encoder));
        };
        let first = self.position * rows;
        let history = self.gpu.submit(record, &self.history, first, tokens * rows).await?;
        self.position += tokens;
        let mut decoded = Vec::new();
        for row_tokens in history.chunks_exact(rows) {
            for (row, &token) in row_tokens.iter().enumerate() {
                if !self.finished[row] {
                    decoded.push((row, token));
                    self.finished[row] = token == self.eos_token_id;
                }
            }
        }
        Ok(decoded)
    }
}
