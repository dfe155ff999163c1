//! The buffers that a batch passes through, and how large they are.

use super::modules::Packed;
use super::plan::MemoryPlan;
use super::{GpuModules, T5GpuModel};
use crate::kernels::gpu::{Buffer, GpuError, Rows};
use crate::model::Precision;
use crate::model::t5::{FeedForward, T5Config};

/// Name of the buffers that modules are merged into.
const MERGED: &str = "the merged modules";

/// Limit on the logits in memory at once.
const LOGITS_LIMIT: usize = 16 << 20;

/// Sizes that determine the buffers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Vectors of coefficients evaluated together.
    pub(super) members: usize,
    /// Rows of the encoder and the decoder, of one member.
    pub(super) encoder_rows: usize,
    pub(super) decoder_rows: usize,
}

/// Words, or rows and width, of the buffers.
struct Sizes {
    quantized: bool,
    x: usize,
    input: (usize, usize),
    wide: usize,
    attended: usize,
    hidden: (usize, usize),
    states: (usize, usize),
    kv: usize,
    reduced: usize,
    reduced_rows: (usize, usize),
    logit_rows: usize,
    logits: usize,
    logit_states: usize,
    coefficients: usize,
    factors: usize,
}

impl Sizes {
    fn new(
        config: &T5Config,
        precision: Precision,
        modules: Option<&GpuModules>,
        shape: Shape,
    ) -> Self {
        let encoder_rows = shape.members * shape.encoder_rows;
        let decoder_rows = shape.members * shape.decoder_rows;
        let rows = encoder_rows.max(decoder_rows);
        let logit_rows = (LOGITS_LIMIT / config.vocab_size).min(decoder_rows).max(1);
        let (d_model, d_attention) = (config.d_model, config.d_attention());
        let wi = match config.feed_forward {
            FeedForward::GatedGelu => 2 * config.d_ff,
            FeedForward::Relu => config.d_ff,
        };
        Self {
            quantized: precision.is_quantized(),
            x: rows * d_model,
            input: (rows, d_model),
            wide: rows * wi.max(3 * d_attention).max(d_model),
            attended: rows * d_attention,
            hidden: (rows, config.d_ff.max(d_attention)),
            states: (encoder_rows, d_model),
            kv: encoder_rows * 2 * d_attention,
            reduced: rows * modules.map_or(0, GpuModules::max_ranks),
            reduced_rows: (rows, modules.map_or(0, GpuModules::max_layer_ranks)),
            logit_rows,
            logits: logit_rows * config.vocab_size,
            logit_states: decoder_rows * 4,
            coefficients: shape.members * modules.map_or(0, GpuModules::coefficients),
            factors: shape.members * modules.map_or(0, |modules| modules.factors),
        }
    }
}

/// The LoRA branches of a population, merged for its coefficients.
#[derive(Debug)]
pub(super) struct MergedModules {
    /// `[members, modules]`
    pub(super) coefficients: Buffer,
    /// Of each segment, `[members, values]`, or the sources where members share them.
    pub(super) segments: Vec<Buffer>,
    /// Of each segment in 8 bits, for each member or shared by them.
    pub(super) packed: Vec<Option<Packed>>,
    /// `[members, factors]`
    pub(super) factors: Buffer,
}

/// The buffers that a batch passes through.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) shape: Shape,
    /// The residual stream, `[rows, d_model]`.
    pub(super) x: Buffer,
    /// Input of a sub-layer after the norm.
    pub(super) input: Rows,
    /// Output of the products that a sub-layer begins with.
    pub(super) wide: Buffer,
    pub(super) attended: Buffer,
    /// Input of the product that a sub-layer ends with.
    pub(super) hidden: Rows,
    /// The encoder's output.
    pub(super) states: Rows,
    /// Keys and values of the encoder's output, `[rows, 2 · d_attention]`.
    pub(super) kv: Buffer,
    /// `A·x` of a group's LoRA branches, and that of one layer in 8 bits.
    pub(super) reduced: Buffer,
    pub(super) reduced_rows: Rows,
    /// `[logit_rows, vocab_size]`
    pub(super) logits: Buffer,
    pub(super) logit_rows: usize,
    /// `[decoder rows, 4]`, see [`Recorder::logits`](crate::kernels::gpu::Recorder::logits).
    pub(super) logit_states: Buffer,
    /// Positions decoded so far.
    pub(super) decoded: Buffer,
    pub(super) merged: Option<MergedModules>,
}

impl Workspace {
    /// The buffers of [`Workspace::new`].
    pub(super) fn plan(
        config: &T5Config,
        precision: Precision,
        modules: Option<&GpuModules>,
        shape: Shape,
    ) -> MemoryPlan {
        let sizes = Sizes::new(config, precision, modules, shape);
        let mut plan = MemoryPlan::default();
        for (what, (rows, width)) in [
            ("a layer's input", sizes.input),
            ("a sub-layer's output", sizes.hidden),
            ("the encoder's output", sizes.states),
            ("the LoRA branches in 8 bits", sizes.reduced_rows),
        ] {
            for words in Rows::words(rows, width, sizes.quantized) {
                plan.add(what, words);
            }
        }
        for (what, words) in [
            ("the residual stream", sizes.x),
            ("a layer's output", sizes.wide),
            ("attention", sizes.attended),
            ("the encoder's keys and values", sizes.kv),
            ("the LoRA branches", sizes.reduced),
            ("the logits", sizes.logits),
            ("results", sizes.logit_states),
            ("the position", 1),
        ] {
            plan.add(what, words);
        }
        let Some(modules) = modules else { return plan };
        plan.add("coefficients", sizes.coefficients);
        plan.add("factors", sizes.factors);
        for segment in modules.segments.iter().filter(|_| modules.summed) {
            plan.add(MERGED, segment.values * shape.members);
            if segment.table.is_some() {
                plan.add(MERGED, segment.words * shape.members);
                plan.add(MERGED, segment.scales * shape.members);
            }
        }
        plan
    }

    pub(super) fn new(
        model: &T5GpuModel,
        modules: Option<&GpuModules>,
        shape: Shape,
    ) -> Result<Self, GpuError> {
        let gpu = &model.gpu;
        let sizes = Sizes::new(&model.config, model.precision, modules, shape);
        let rows = |what, (rows, width)| Rows::new(gpu, what, rows, width, sizes.quantized);
        let merged = modules.map(|modules| {
            let segments = modules.segments.iter().map(|segment| {
                if modules.summed {
                    gpu.zeros(MERGED, segment.values * shape.members)
                } else {
                    Ok(segment.sources.clone())
                }
            });
            let packed = modules.segments.iter().map(|segment| {
                if segment.table.is_none() {
                    return Ok(segment.packed.clone());
                }
                let make = |words: usize| gpu.zeros(MERGED, words * shape.members);
                let values = make(segment.words)?;
                Ok(Some(Packed { values, scales: make(segment.scales)? }))
            });
            Ok::<_, GpuError>(MergedModules {
                packed: packed.collect::<Result<_, GpuError>>()?,
                coefficients: gpu.zeros("coefficients", sizes.coefficients)?,
                segments: segments.collect::<Result<_, _>>()?,
                factors: gpu.zeros("factors", sizes.factors)?,
            })
        });
        Ok(Self {
            shape,
            x: gpu.zeros("the residual stream", sizes.x)?,
            input: rows("a layer's input", sizes.input)?,
            wide: gpu.zeros("a layer's output", sizes.wide)?,
            attended: gpu.zeros("attention", sizes.attended)?,
            hidden: rows("a sub-layer's output", sizes.hidden)?,
            states: rows("the encoder's output", sizes.states)?,
            kv: gpu.zeros("the encoder's keys and values", sizes.kv)?,
            reduced: gpu.zeros("the LoRA branches", sizes.reduced)?,
            reduced_rows: rows("the LoRA branches in 8 bits", sizes.reduced_rows)?,
            logits: gpu.zeros("the logits", sizes.logits)?,
            logit_rows: sizes.logit_rows,
            logit_states: gpu.zeros("results", sizes.logit_states)?,
            decoded: gpu.zeros("the position", 1)?,
            merged: merged.transpose()?,
        })
    }
}
