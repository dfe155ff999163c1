//! The model's weights on the device.

use std::sync::Arc;

use crate::formats::{LinearId, Stack};
use crate::kernels::gpu::{Buffer, Embedding, Gpu, GpuError, Matrix};
use crate::t5::blocks::{Attention, Block};
use crate::t5::linear::{Context, Linear};
use crate::t5::model::StackWeights;
use crate::t5::{Precision, T5Config, T5Model};

/// Linear layers that share their input, their weights one below another.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) ids: Vec<LinearId>,
    pub(super) matrix: Matrix,
    /// Layers that take 14 bits of their input, which stand first.
    pub(super) fine_layers: usize,
}

impl Group {
    /// Columns that take 14 bits of their input.
    pub(super) fn fine(&self) -> usize {
        self.matrix.d_out() / self.ids.len() * self.fine_layers
    }

    fn new(
        gpu: &Gpu,
        context: Context<'_>,
        layers: &[(LinearId, &Linear)],
    ) -> Result<Self, GpuError> {
        let linears: Vec<&Linear> = layers.iter().map(|(_, linear)| *linear).collect();
        Ok(Self {
            fine_layers: layers.iter().take_while(|(id, _)| context.is_fine(*id)).count(),
            ids: layers.iter().map(|(id, _)| *id).collect(),
            matrix: matrix(gpu, &layers[0].0.to_string(), &linears)?,
        })
    }
}

/// Layers, one below another, in the precision that they have.
fn matrix(gpu: &Gpu, what: &str, layers: &[&Linear]) -> Result<Matrix, GpuError> {
    let d_in = layers[0].d_in();
    let mut quantized = Vec::new();
    let mut values = Vec::new();
    let mut row = vec![0.0; d_in];
    for linear in layers {
        match linear {
            Linear::Int8(packed) => quantized.push(packed.unpacked()),
            Linear::F32(_) => {
                for index in 0..linear.d_out() {
                    linear.read_row(index, &mut row);
                    values.extend_from_slice(&row);
                }
            }
        }
    }
    if quantized.is_empty() {
        return Matrix::f32(gpu, what, &values, d_in);
    }
    Matrix::int8(gpu, what, &quantized)
}

/// The decoder's attention over the encoder.
#[derive(Debug)]
pub(super) struct CrossWeights {
    pub(super) norm: Buffer,
    pub(super) q: Group,
    pub(super) kv: Group,
    pub(super) o: Group,
}

/// One block.
#[derive(Debug)]
pub(super) struct BlockWeights {
    pub(super) norm: Buffer,
    pub(super) qkv: Group,
    pub(super) o: Group,
    pub(super) cross: Option<CrossWeights>,
    pub(super) feed_forward_norm: Buffer,
    pub(super) wi: Group,
    pub(super) wo: Group,
}

/// One stack.
#[derive(Debug)]
pub(super) struct GpuStack {
    pub(super) blocks: Vec<BlockWeights>,
    /// `[buckets, num_heads]`, in main memory: a batch's distances are looked up there.
    pub(super) relative_attention_bias: Vec<f32>,
    pub(super) final_norm: Buffer,
}

/// A model on the graphics card.
#[derive(Debug)]
pub struct GpuModel {
    pub(super) gpu: Arc<Gpu>,
    pub(super) config: T5Config,
    pub(super) precision: Precision,
    pub(super) embedding: Embedding,
    pub(super) encoder: GpuStack,
    pub(super) decoder: GpuStack,
    pub(super) lm_head: Matrix,
}

impl GpuModel {
    /// Copies a model's weights to the device, in the model's precision.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] if the device cannot hold a single row of a matrix, and the device's
    /// faults, [`GpuError::OutOfMemory`] among them.
    pub async fn load(gpu: Arc<Gpu>, model: &T5Model) -> Result<Self, GpuError> {
        let (precision, context) = (model.precision(), model.context(None));
        let (vocab_size, d_model) = (model.config().vocab_size, model.config().d_model);
        let lm_head = matrix(&gpu, "lm_head", &[&model.lm_head])?;
        let mut rows = vec![0.0; vocab_size * d_model];
        for (token, row) in rows.chunks_exact_mut(d_model).enumerate() {
            model.embedding.read_row(&model.lm_head, token, row);
        }
        let embedding = Embedding::new(&gpu, &rows, d_model)?;
        let loaded = Self {
            encoder: load_stack(&gpu, context, Stack::Encoder, &model.encoder)?,
            decoder: load_stack(&gpu, context, Stack::Decoder, &model.decoder)?,
            embedding,
            lm_head,
            config: model.config().clone(),
            precision,
            gpu,
        };
        // Uploads that did not fit show once the device has taken them.
        loaded.gpu.settle().await?;
        Ok(loaded)
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The model's sizes.
    pub fn config(&self) -> &T5Config {
        &self.config
    }

    /// Bytes of the weights on the device.
    pub fn bytes(&self) -> u64 {
        self.embedding.bytes()
            + self.lm_head.bytes()
            + self.groups().map(|group| group.matrix.bytes()).sum::<u64>()
    }
}

fn load_stack(
    gpu: &Gpu,
    context: Context<'_>,
    stack: Stack,
    weights: &StackWeights,
) -> Result<GpuStack, GpuError> {
    Ok(GpuStack {
        blocks: (weights.blocks.iter().enumerate())
            .map(|(index, block)| load_block(gpu, context, stack, index, block))
            .collect::<Result<_, _>>()?,
        relative_attention_bias: weights.relative_attention_bias.clone(),
        final_norm: gpu.upload("a norm", &weights.final_norm)?,
    })
}

fn load_block(
    gpu: &Gpu,
    context: Context<'_>,
    stack: Stack,
    block: usize,
    weights: &Block,
) -> Result<BlockWeights, GpuError> {
    use crate::formats::LinearKind::{Wi, Wi0, Wi1, Wo};
    let id = |kind| LinearId { stack, block, kind };
    let group = |layers: &[(LinearId, &Linear)]| Group::new(gpu, context, layers);
    let norm = |values: &[f32]| gpu.upload("a norm", values);
    let Attention { norm: self_norm, q, k, v, o, ids } = &weights.attention;
    let feed_forward = &weights.feed_forward;
    let wi = match &feed_forward.gate {
        None => group(&[(id(Wi), &feed_forward.wi)])?,
        Some(gate) => group(&[(id(Wi0), &feed_forward.wi), (id(Wi1), gate)])?,
    };
    let cross = weights.cross.as_ref().map(|cross| {
        Ok::<_, GpuError>(CrossWeights {
            norm: norm(&cross.norm)?,
            q: group(&[(cross.ids[0], &cross.q)])?,
            kv: group(&[(cross.ids[1], &cross.k), (cross.ids[2], &cross.v)])?,
            o: group(&[(cross.ids[3], &cross.o)])?,
        })
    });
    Ok(BlockWeights {
        norm: norm(self_norm)?,
        qkv: group(&[(ids[0], q), (ids[1], k), (ids[2], v)])?,
        o: group(&[(ids[3], o)])?,
        cross: cross.transpose()?,
        feed_forward_norm: norm(&feed_forward.norm)?,
        wi,
        wo: group(&[(id(Wo), &feed_forward.wo)])?,
    })
}
