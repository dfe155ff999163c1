//! The dispatches of linear layers, sub-layers and stacks.

use std::ops::Range;

use super::modules::{BranchGroup, Packed};
use super::plan::MemoryPlan;
use super::weights::{BlockWeights, CrossWeights, GpuStack, Group};
use super::workspace::{MergedModules, Workspace};
use super::{GpuModules, T5GpuModel};
use crate::kernels::gpu::{
    Attention, AttentionTask, Buffer, FloatProduct, Gpu, GpuError, Int8Product, Output, Quantize,
    Recorder, Rows, RowsMode, Store, attention_queries,
};
use crate::model::t5::position::PositionBias;
use crate::model::t5::{FeedForward, T5Config};
use crate::model::{LayerGroup, Stack};

/// Tasks of attention on the device.
#[derive(Debug)]
pub(super) struct Tasks {
    buffer: Buffer,
    count: usize,
    single: bool,
}

impl Tasks {
    /// Queries and keys of every example of every member: rows of one member are cut into examples
    /// of these lengths.
    pub(super) fn new(
        gpu: &Gpu,
        d_kv: usize,
        members: usize,
        lengths: &[usize],
        key_lengths: &[usize],
    ) -> Result<Self, GpuError> {
        let run = attention_queries(d_kv, false);
        let (rows, key_rows): (usize, usize) = (lengths.iter().sum(), key_lengths.iter().sum());
        let mut tasks = Vec::with_capacity(Self::count(d_kv, members, lengths));
        for member in 0..members {
            let (mut first_row, mut key_row) = (member * rows, member * key_rows);
            for (&length, &keys) in lengths.iter().zip(key_lengths) {
                for start in (0..length).step_by(run) {
                    tasks.push(task(
                        first_row + start,
                        run.min(length - start),
                        start,
                        key_row,
                        keys,
                    ));
                }
                first_row += length;
                key_row += keys;
            }
        }
        Self::upload(gpu, &tasks, false)
    }

    /// Tasks of [`Tasks::new`].
    fn count(d_kv: usize, members: usize, lengths: &[usize]) -> usize {
        let run = attention_queries(d_kv, false);
        members * lengths.iter().map(|length| length.div_ceil(run)).sum::<usize>()
    }

    /// The buffers of [`Tasks::new`].
    pub(super) fn plan(plan: &mut MemoryPlan, d_kv: usize, members: usize, lengths: &[usize]) {
        Self::add_to(plan, Self::count(d_kv, members, lengths));
    }

    /// The buffers of [`Tasks::single`].
    pub(super) fn plan_single(plan: &mut MemoryPlan, rows: usize) {
        Self::add_to(plan, rows);
    }

    fn add_to(plan: &mut MemoryPlan, count: usize) {
        plan.add("the runs of queries", count * size_of::<AttentionTask>() / 4);
    }

    /// One query of every row, which attends to its own run of keys: the first key's row and their
    /// number.
    pub(super) fn single(
        gpu: &Gpu,
        keys: impl Iterator<Item = (usize, usize)>,
    ) -> Result<Self, GpuError> {
        let tasks: Vec<AttentionTask> =
            keys.enumerate().map(|(row, (key_row, keys))| task(row, 1, 0, key_row, keys)).collect();
        Self::upload(gpu, &tasks, true)
    }

    fn upload(gpu: &Gpu, tasks: &[AttentionTask], single: bool) -> Result<Self, GpuError> {
        let buffer = gpu.upload("the runs of queries", tasks)?;
        Ok(Self { buffer, count: tasks.len(), single })
    }
}

fn task(
    first_row: usize,
    queries: usize,
    first_position: usize,
    key_row: usize,
    keys: usize,
) -> AttentionTask {
    let word = |value| u32::try_from(value).expect("rows that fit a buffer");
    AttentionTask {
        first_row: word(first_row),
        queries: word(queries),
        first_position: word(first_position),
        key_row: word(key_row),
        keys: word(keys),
    }
}

/// Name of the buffers of position biases.
const POSITION_BIAS: &str = "the position bias";

/// A block's position bias on the device.
#[derive(Debug)]
pub(super) struct Bias {
    buffer: Buffer,
    width: usize,
}

/// The position biases of a stack's blocks on the device.
#[derive(Debug)]
pub(super) struct Biases {
    /// One for each block, or one for all.
    biases: Vec<Bias>,
}

impl Biases {
    /// The buffers of [`Biases::new`].
    pub(super) fn plan(plan: &mut MemoryPlan, config: &T5Config, stack: Stack, longest: usize) {
        for _ in config.biased_blocks(stack) {
            plan.add(POSITION_BIAS, config.num_heads * PositionBias::width(longest));
        }
    }

    pub(super) fn new(
        gpu: &Gpu,
        config: &T5Config,
        stack: Stack,
        weights: &GpuStack,
        longest: usize,
    ) -> Result<Self, GpuError> {
        let width = PositionBias::width(longest);
        let upload = |weight: &Vec<f32>| {
            let bias = PositionBias::new(config, weight, stack, longest);
            let heads = 0..config.num_heads;
            let values: Vec<f32> =
                heads.flat_map(|head| bias.head(head).0.iter().copied()).collect();
            Ok(Bias { buffer: gpu.upload(POSITION_BIAS, &values)?, width })
        };
        let biases = weights.relative_attention_biases.iter().map(upload);
        Ok(Self { biases: biases.collect::<Result<_, GpuError>>()? })
    }

    /// The bias of a block.
    pub(super) fn of(&self, block: usize) -> &Bias {
        &self.biases[block.min(self.biases.len() - 1)]
    }
}

/// Keys and values of an attention.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub(super) buffer: &'a Buffer,
    pub(super) stride: usize,
    pub(super) k: usize,
    pub(super) v: usize,
    pub(super) tasks: &'a Tasks,
    pub(super) bias: Option<&'a Bias>,
    pub(super) causal: bool,
}

/// Records the model's dispatches.
pub(super) struct Layers<'a> {
    pub(super) model: &'a T5GpuModel,
    pub(super) modules: Option<&'a GpuModules>,
    pub(super) work: &'a Workspace,
    pub(super) recorder: Recorder<'a>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(
        model: &'a T5GpuModel,
        modules: Option<&'a GpuModules>,
        work: &'a Workspace,
    ) -> Self {
        Self { model, modules, work, recorder: Recorder::new(&model.gpu) }
    }

    /// Merges the modules for the coefficients of every member.
    pub(super) fn merge(&mut self) {
        let (Some(modules), Some(merged)) = (self.modules, &self.work.merged) else { return };
        let members = self.work.shape.members;
        let coefficients = &merged.coefficients;
        if modules.summed {
            for (segment, into) in modules.segments.iter().zip(&merged.segments) {
                let sizes = [members, modules.count, segment.values];
                let coefficients = (coefficients, segment.group as usize, LayerGroup::COUNT);
                self.recorder.merge(sizes, coefficients, &segment.sources, into);
            }
            for (index, segment) in modules.segments.iter().enumerate() {
                let (Some(table), Some(packed)) = (&segment.table, &merged.packed[index]) else {
                    continue;
                };
                self.recorder.quantize_weights(
                    members,
                    (table, segment.rows),
                    (&merged.segments[index], segment.values),
                    (&packed.values, segment.words),
                    (&packed.scales, segment.scales),
                );
            }
        }
        let sizes = [members, modules.coefficients(), modules.factors];
        self.recorder.factors(sizes, coefficients, &modules.rank_factors, &merged.factors);
    }

    /// The quantisation of the input of layers; with `int14`, of which some take 14-bit activations.
    fn quantize(&self, int14: bool) -> Quantize {
        match (self.model.precision.is_quantized(), int14) {
            (false, _) => Quantize::No,
            (true, false) => Quantize::Int7,
            (true, true) => Quantize::Int14,
        }
    }

    /// Prepares dense rows for a product.
    fn rows(
        &mut self,
        mode: RowsMode<'_>,
        (x, stride): (&Buffer, usize),
        width: usize,
        rows: Range<usize>,
        out: &Rows,
        int14: bool,
    ) {
        let quantize = self.quantize(int14);
        let place = (stride, rows.start * stride);
        self.recorder.rows(mode, x, place, rows.len(), width, out, quantize);
    }

    fn norm(&mut self, weight: &Buffer, factor: f32, rows: Range<usize>, out: &Rows, int14: bool) {
        let epsilon = self.model.config.layer_norm_epsilon;
        let d_model = self.model.config.d_model;
        let mode = RowsMode::Norm { weight, epsilon, factor };
        self.rows(mode, (&self.work.x, d_model), d_model, rows, out, int14);
    }

    /// Applies a group of layers and their LoRA branches to rows of all members.
    fn linear(&mut self, group: &Group, x: &Rows, rows: usize, out: Output<'_>) {
        self.recorder.product(x, rows, &group.matrix, group.int14(), out);
        let (Some(modules), Some(merged)) = (self.modules, &self.work.merged) else { return };
        let Some(branches) = modules.groups.get(&group.ids[0]) else { return };
        match &merged.packed[branches.segment] {
            Some(packed) => self.int8_branches(modules, merged, branches, packed, x, rows, out),
            None => self.float_branches(modules, merged, branches, x, rows, out),
        }
    }

    /// Adds a group's LoRA branches in f32.
    fn float_branches(
        &mut self,
        modules: &GpuModules,
        merged: &MergedModules,
        branches: &BranchGroup,
        x: &Rows,
        rows: usize,
        out: Output<'_>,
    ) {
        let weights = &merged.segments[branches.segment];
        let weights_per_member =
            if modules.summed { modules.segments[branches.segment].values } else { 0 };
        let members = self.work.shape.members;
        let rows = rows / members;
        let reduced = &self.work.reduced;
        self.recorder.float_product(FloatProduct {
            members,
            rows,
            columns: branches.ranks,
            depth: branches.d_in,
            x: (x.values(), branches.d_in, 0),
            weights: (weights, branches.lora_a.value),
            weights_per_member,
            factors: Some((&merged.factors, branches.first_factor, modules.factors)),
            out: Output {
                buffer: reduced,
                stride: branches.ranks,
                offset: 0,
                store: Store::Replace,
            },
        });
        for layer in &branches.layers {
            self.recorder.float_product(FloatProduct {
                members,
                rows,
                columns: layer.d_out,
                depth: layer.rank,
                x: (reduced, branches.ranks, layer.first_rank),
                weights: (weights, layer.lora_b.value),
                weights_per_member,
                factors: None,
                out: Output { offset: out.offset + layer.column, store: Store::Add, ..out },
            });
        }
    }

    /// Adds a group's LoRA branches in 8 bits.
    #[allow(clippy::too_many_arguments)]
    fn int8_branches(
        &mut self,
        modules: &GpuModules,
        merged: &MergedModules,
        branches: &BranchGroup,
        packed: &Packed,
        x: &Rows,
        rows: usize,
        out: Output<'_>,
    ) {
        let segment = &modules.segments[branches.segment];
        let (words, scales) = if modules.summed { (segment.words, segment.scales) } else { (0, 0) };
        let work = self.work;
        let members = work.shape.members;
        self.recorder.int8_product(Int8Product {
            members,
            rows: rows / members,
            columns: branches.ranks,
            depth: branches.d_in,
            x,
            int14_columns: branches
                .layers
                .iter()
                .filter(|layer| layer.int14)
                .map(|layer| layer.rank)
                .sum(),
            weights: (&packed.values, branches.lora_a.word, words),
            scales: (&packed.scales, branches.lora_a.scale, scales),
            factors: Some((&merged.factors, branches.first_factor, modules.factors)),
            out: Output {
                buffer: &work.reduced,
                stride: branches.ranks,
                offset: 0,
                store: Store::Replace,
            },
        });
        for layer in &branches.layers {
            let place = (branches.ranks, layer.first_rank);
            let (mode, into) = (RowsMode::Plain, &work.reduced_rows);
            let quantize = self.quantize(layer.int14);
            self.recorder.rows(mode, &work.reduced, place, rows, layer.rank, into, quantize);
            self.recorder.int8_product(Int8Product {
                members,
                rows: rows / members,
                columns: layer.d_out,
                depth: layer.rank,
                x: into,
                int14_columns: if layer.int14 { layer.d_out } else { 0 },
                weights: (&packed.values, layer.lora_b.word, words),
                scales: (&packed.scales, layer.lora_b.scale, scales),
                factors: None,
                out: Output { offset: out.offset + layer.column, store: Store::Add, ..out },
            });
        }
    }

    /// Queries, keys and values of the block's own attention, `[rows, 3 · d_attention]` in `wide`.
    pub(super) fn self_qkv(&mut self, block: &BlockWeights, rows: usize) {
        let work = self.work;
        self.norm(&block.norm, 1.0, 0..rows, &work.input, block.qkv.int14() > 0);
        let stride = 3 * self.model.config.d_attention();
        let out = Output { buffer: &work.wide, stride, offset: 0, store: Store::Replace };
        self.linear(&block.qkv, &work.input, rows, out);
    }

    /// Keys and values in `wide`, where [`Layers::self_qkv`] leaves them.
    pub(super) fn own_keys(&self, tasks: &'a Tasks, bias: &'a Bias, causal: bool) -> Keys<'a> {
        let width = self.model.config.d_attention();
        Keys {
            buffer: &self.work.wide,
            stride: 3 * width,
            k: width,
            v: 2 * width,
            tasks,
            bias: Some(bias),
            causal,
        }
    }

    /// Attention of the queries in `wide`, rows of `q_stride`, added to the residual stream.
    pub(super) fn attend(&mut self, o: &Group, q_stride: usize, rows: usize, keys: Keys<'_>) {
        let (work, config) = (self.work, &self.model.config);
        self.recorder.attention(Attention {
            num_heads: config.num_heads,
            d_kv: config.d_kv,
            q: (&work.wide, q_stride),
            kv: (keys.buffer, keys.stride, keys.k, keys.v),
            bias: keys.bias.map(|bias| (&bias.buffer, bias.width)),
            causal: keys.causal,
            tasks: (&keys.tasks.buffer, keys.tasks.count),
            single: keys.tasks.single,
            decoded: &work.decoded,
            out: &work.attended,
        });
        let width = config.d_attention();
        let int14 = o.int14() > 0;
        self.rows(RowsMode::Plain, (&work.attended, width), width, 0..rows, &work.hidden, int14);
        self.add_to_stream(o, rows);
    }

    /// Adds a group's result to the residual stream. `wide` is free here.
    fn add_to_stream(&mut self, group: &Group, rows: usize) {
        let work = self.work;
        let stride = self.model.config.d_model;
        if !self.has_branches(group) {
            let out = Output { buffer: &work.x, stride, offset: 0, store: Store::Add };
            return self.linear(group, &work.hidden, rows, out);
        }
        let out = Output { buffer: &work.wide, stride, offset: 0, store: Store::Replace };
        self.linear(group, &work.hidden, rows, out);
        self.recorder.add(&work.wide, rows * stride, &work.x);
    }

    fn has_branches(&self, group: &Group) -> bool {
        self.modules.is_some_and(|modules| modules.groups.contains_key(&group.ids[0]))
    }

    /// Keys and values of the encoder's output, into `kv`.
    pub(super) fn cross_kv(&mut self, cross: &CrossWeights, kv: &Buffer) {
        let work = self.work;
        let rows = work.shape.members * work.shape.encoder_rows;
        let stride = 2 * self.model.config.d_attention();
        let out = Output { buffer: kv, stride, offset: 0, store: Store::Replace };
        self.linear(&cross.kv, &work.states, rows, out);
    }

    /// The decoder's attention over the keys and values `kv` of the encoder's output.
    pub(super) fn cross_attend(
        &mut self,
        cross: &CrossWeights,
        rows: usize,
        kv: &Buffer,
        tasks: &Tasks,
    ) {
        let work = self.work;
        let width = self.model.config.d_attention();
        self.norm(&cross.norm, 1.0, 0..rows, &work.input, cross.q.int14() > 0);
        let out = Output { buffer: &work.wide, stride: width, offset: 0, store: Store::Replace };
        self.linear(&cross.q, &work.input, rows, out);
        let keys = Keys {
            buffer: kv,
            stride: 2 * width,
            k: 0,
            v: width,
            tasks,
            bias: None,
            causal: false,
        };
        self.attend(&cross.o, width, rows, keys);
    }

    pub(super) fn feed_forward(&mut self, block: &BlockWeights, rows: usize) {
        let (work, config) = (self.work, &self.model.config);
        self.norm(&block.feed_forward_norm, 1.0, 0..rows, &work.input, block.wi.int14() > 0);
        let stride = block.wi.matrix.d_out();
        let out = Output { buffer: &work.wide, stride, offset: 0, store: Store::Replace };
        self.linear(&block.wi, &work.input, rows, out);
        let mode = match config.feed_forward {
            FeedForward::GatedGelu => RowsMode::GatedGelu,
            FeedForward::Relu => RowsMode::Relu,
        };
        let int14 = block.wo.int14() > 0;
        self.rows(mode, (&work.wide, stride), config.d_ff, 0..rows, &work.hidden, int14);
        self.add_to_stream(&block.wo, rows);
    }

    /// The whole encoder, from tokens of one member to `states` of all.
    pub(super) fn encode(&mut self, tokens: &Buffer, tasks: &Tasks, biases: &Biases) {
        let (work, model) = (self.work, self.model);
        let period = work.shape.encoder_rows;
        let rows = work.shape.members * period;
        self.recorder.embed(&model.embedding, tokens, period, rows, &work.x);
        for (index, block) in model.encoder.blocks.iter().enumerate() {
            self.self_qkv(block, rows);
            let stride = 3 * model.config.d_attention();
            let keys = Keys {
                buffer: &work.wide,
                stride,
                k: stride / 3,
                v: stride / 3 * 2,
                tasks,
                bias: Some(biases.of(index)),
                causal: false,
            };
            self.attend(&block.o, stride, rows, keys);
            self.feed_forward(block, rows);
        }
        let crosses = model.decoder.blocks.iter().filter_map(|block| block.cross.as_ref());
        let int14 = crosses.into_iter().any(|cross| cross.kv.int14() > 0);
        self.norm(&model.encoder.final_norm, 1.0, 0..rows, &work.states, int14);
    }

    /// The decoder's logits, reduced to one state per row, in `logit_states`. Labels are those of one
    /// member.
    pub(super) fn logits(&mut self, rows: usize, labels: Option<(&Buffer, usize)>) {
        let (work, model) = (self.work, self.model);
        let d_model = model.config.d_model as f32;
        let factor = if model.config.scale_decoder_outputs { 1.0 / d_model.sqrt() } else { 1.0 };
        let columns = model.lm_head.d_out();
        for first in (0..rows).step_by(work.logit_rows) {
            let count = work.logit_rows.min(rows - first);
            let run = first..first + count;
            self.norm(&model.decoder.final_norm, factor, run, &work.input, true);
            let out =
                Output { buffer: &work.logits, stride: columns, offset: 0, store: Store::Replace };
            self.recorder.product(&work.input, count, &model.lm_head, columns, out);
            let sizes = [count, columns, first];
            self.recorder.logits(&work.logits, sizes, labels, &work.logit_states);
        }
    }
}
