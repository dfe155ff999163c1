//! The memory plan of a batch: how large each buffer is, known before any is made.

use super::modules::Packed;
use super::{GpuModel, GpuModules};
use crate::kernels::gpu::{Buffer, Gpu, GpuError, Rows};
use crate::t5::{FeedForward, Precision, T5Config};

/// Bytes that the buffers of one submission may take together. WebGPU tells nobody how much memory
/// there is, so this is what devices of the last ten years can spare beside the weights.
const MOST_BYTES: u64 = 768 << 20;

/// Logits that are held at once.
const MOST_LOGITS: usize = 16 << 20;

/// Sizes that the buffers follow from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Vectors of coefficients evaluated together.
    pub(super) members: usize,
    /// Rows of the encoder and the decoder, of one member.
    pub(super) encoder_rows: usize,
    pub(super) decoder_rows: usize,
}

/// Bytes of every buffer that a shape needs.
#[derive(Debug, Clone)]
pub(super) struct MemoryPlan {
    buffers: Vec<(&'static str, u64)>,
}

impl MemoryPlan {
    fn new(model: &GpuModel, modules: Option<&GpuModules>, shape: Shape) -> Self {
        let sizes = Sizes::new(&model.config, model.precision, modules, shape);
        let rows = |(rows, width): (usize, usize)| {
            Rows::words(rows, width, sizes.quantized).into_iter().max().unwrap_or(0)
        };
        let mut buffers = vec![
            ("the residual stream", sizes.x),
            ("a layer's input", rows(sizes.input)),
            ("a layer's output", sizes.wide),
            ("attention", sizes.attended),
            ("a sub-layer's output", rows(sizes.hidden)),
            ("the encoder's output", rows(sizes.states)),
            ("the encoder's keys and values", sizes.kv),
            ("the side paths", sizes.reduced),
            ("the side paths in 8 bits", rows(sizes.reduced_rows)),
            ("the logits", sizes.logits),
        ];
        if let Some(modules) = modules.filter(|modules| modules.summed) {
            for segment in &modules.segments {
                buffers.push(("the merged modules", segment.values * shape.members));
                if segment.table.is_some() {
                    let words = segment.words + segment.scales;
                    buffers.push(("the merged modules", words * shape.members));
                }
            }
        }
        let bytes = |(what, words)| (what, words as u64 * 4);
        Self { buffers: buffers.into_iter().map(bytes).collect() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.buffers.iter().map(|(_, bytes)| bytes).sum()
    }

    fn check(&self, gpu: &Gpu) -> Result<(), GpuError> {
        self.buffers.iter().try_for_each(|&(what, bytes)| gpu.check_size(what, bytes))
    }

    /// The plan for the most members, up to those of `shape`, that the device can take at once.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] naming the buffer if not even one member fits.
    pub(super) fn largest(
        model: &GpuModel,
        modules: Option<&GpuModules>,
        mut shape: Shape,
    ) -> Result<(Self, Shape), GpuError> {
        loop {
            let plan = Self::new(model, modules, shape);
            let checked = plan.check(&model.gpu);
            if checked.is_ok() && (plan.bytes() <= MOST_BYTES || shape.members == 1) {
                return Ok((plan, shape));
            }
            if shape.members == 1 {
                checked?;
            }
            shape.members = shape.members.div_ceil(2);
        }
    }
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
        let logit_rows = (MOST_LOGITS / config.vocab_size).min(decoder_rows).max(1);
        let (d_model, d_attention) = (config.d_model, config.d_attention());
        let wi = match config.feed_forward {
            FeedForward::GatedGelu => 2 * config.d_ff,
            FeedForward::Relu => config.d_ff,
        };
        Self {
            quantized: precision == Precision::Int8,
            x: rows * d_model,
            input: (rows, d_model),
            wide: rows * wi.max(3 * d_attention).max(d_model),
            attended: rows * d_attention,
            hidden: (rows, config.d_ff.max(d_attention)),
            states: (encoder_rows, d_model),
            kv: encoder_rows * 2 * d_attention,
            reduced: rows * modules.map_or(0, GpuModules::most_ranks),
            reduced_rows: (rows, modules.map_or(0, GpuModules::most_layer_ranks)),
            logit_rows,
            logits: logit_rows * config.vocab_size,
        }
    }
}

/// The side paths of a population, merged for its coefficients.
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
    /// `A·x` of a group's side paths, and that of one layer in 8 bits.
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
    pub(super) fn new(
        model: &GpuModel,
        modules: Option<&GpuModules>,
        shape: Shape,
    ) -> Result<Self, GpuError> {
        let gpu = &model.gpu;
        let sizes = Sizes::new(&model.config, model.precision, modules, shape);
        let rows = |what, (rows, width)| Rows::new(gpu, what, rows, width, sizes.quantized);
        let merged = modules.map(|modules| {
            let segments = modules.segments.iter().map(|segment| {
                if modules.summed {
                    gpu.zeros("the merged modules", segment.values * shape.members)
                } else {
                    Ok(segment.sources.clone())
                }
            });
            let packed = modules.segments.iter().map(|segment| {
                if segment.table.is_none() {
                    return Ok(segment.packed.clone());
                }
                let make = |words: usize| gpu.zeros("the merged modules", words * shape.members);
                let values = make(segment.words)?;
                Ok(Some(Packed { values, scales: make(segment.scales)? }))
            });
            Ok::<_, GpuError>(MergedModules {
                packed: packed.collect::<Result<_, GpuError>>()?,
                coefficients: gpu.zeros("coefficients", shape.members * modules.count)?,
                segments: segments.collect::<Result<_, _>>()?,
                factors: gpu.zeros("factors", shape.members * modules.factors)?,
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
            reduced: gpu.zeros("the side paths", sizes.reduced)?,
            reduced_rows: rows("the side paths in 8 bits", sizes.reduced_rows)?,
            logits: gpu.zeros("the logits", sizes.logits)?,
            logit_rows: sizes.logit_rows,
            logit_states: gpu.zeros("results", shape.members * shape.decoder_rows * 4)?,
            decoded: gpu.zeros("the position", 1)?,
            merged: merged.transpose()?,
        })
    }
}
