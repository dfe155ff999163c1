//! The model's weights on the device.

use std::sync::Arc;

use super::plan::MemoryPlan;
use super::{GpuDecoder, GpuEvaluation, GpuModules, ModuleLayer};
use crate::kernels::gpu::{Buffer, Embedding, Gpu, GpuError, Matrix};
use crate::model::linear::{Context, Linear};
use crate::model::t5::blocks::{Attention, Block};
use crate::model::t5::model::{StackWeights, Weights};
use crate::model::t5::{T5Config, T5Model};
use crate::model::{
    GpuModel, GroupCoefficients, LinearId, Model, ModelError, Precision, Stack, TokenizedExample,
};

const NORM: &str = "a norm";

/// Linear layers that share their input, their weights concatenated, `[Σ d_out, d_in]`.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) ids: Vec<LinearId>,
    pub(super) matrix: Matrix,
    /// Layers that take 14-bit activations, which come first.
    pub(super) int14_layers: usize,
}

impl Group {
    /// Columns that take 14-bit activations.
    pub(super) fn int14(&self) -> usize {
        self.matrix.d_out() / self.ids.len() * self.int14_layers
    }

    fn new(gpu: &Gpu, context: Context<'_>, layers: &LinearGroup<'_>) -> Result<Self, GpuError> {
        let linears: Vec<&Linear> = layers.iter().map(|(_, linear)| *linear).collect();
        Ok(Self {
            int14_layers: layers.iter().take_while(|(id, _)| context.uses_int14(*id)).count(),
            ids: layers.iter().map(|(id, _)| *id).collect(),
            matrix: matrix(gpu, &layers[0].0.to_string(), &linears)?,
        })
    }
}

/// Layers that share their input.
type LinearGroup<'a> = Vec<(LinearId, &'a Linear)>;

/// A block's layers, those that share their input together.
struct LinearGroups<'a> {
    qkv: LinearGroup<'a>,
    o: LinearGroup<'a>,
    /// q, kv and o of the attention over the encoder.
    cross: Option<[LinearGroup<'a>; 3]>,
    wi: LinearGroup<'a>,
    wo: LinearGroup<'a>,
}

impl<'a> LinearGroups<'a> {
    fn new(stack: Stack, block: usize, weights: &'a Block) -> Self {
        use crate::model::LinearKind::{Wi, Wi0, Wi1, Wo};
        let id = |kind| LinearId { stack, block, kind };
        let Attention { q, k, v, o, ids, .. } = &weights.attention;
        let feed_forward = &weights.feed_forward;
        Self {
            qkv: vec![(ids[0], q), (ids[1], k), (ids[2], v)],
            o: vec![(ids[3], o)],
            cross: weights.cross.as_ref().map(|cross| {
                let Attention { q, k, v, o, ids, .. } = cross;
                [vec![(ids[0], q)], vec![(ids[1], k), (ids[2], v)], vec![(ids[3], o)]]
            }),
            wi: match &feed_forward.gate {
                None => vec![(id(Wi), &feed_forward.wi)],
                Some(gate) => vec![(id(Wi0), &feed_forward.wi), (id(Wi1), gate)],
            },
            wo: vec![(id(Wo), &feed_forward.wo)],
        }
    }

    fn iter(&self) -> impl Iterator<Item = &LinearGroup<'a>> {
        [&self.qkv, &self.o, &self.wi, &self.wo].into_iter().chain(self.cross.iter().flatten())
    }
}

/// Adds the buffers of a [`Matrix`] of that shape.
fn plan_matrix(
    plan: &mut MemoryPlan,
    gpu: &Gpu,
    what: &str,
    shape: [usize; 2],
    precision: Precision,
) {
    for words in Matrix::words(gpu, shape, precision.is_quantized()) {
        plan.add(what.to_owned(), words);
    }
}

/// The layers' weights, concatenated, in their precision.
fn matrix(gpu: &Gpu, what: &str, layers: &[&Linear]) -> Result<Matrix, GpuError> {
    let d_in = layers[0].d_in();
    let mut quantized = Vec::new();
    let mut values = Vec::new();
    let mut row = vec![0.0; d_in];
    for linear in layers {
        match linear.as_int8() {
            Some(packed) => quantized.push(packed.unpacked()),
            None => {
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
    /// `[buckets, num_heads]` of each block, or of the first one for all, in main memory: a batch's
    /// distances are looked up there.
    pub(super) relative_attention_biases: Vec<Vec<f32>>,
    pub(super) final_norm: Buffer,
}

/// A T5 model on the GPU.
#[derive(Debug)]
pub(in crate::model::t5) struct T5GpuModel {
    pub(super) gpu: Arc<Gpu>,
    pub(super) config: T5Config,
    pub(super) precision: Precision,
    pub(super) embedding: Embedding,
    pub(super) encoder: GpuStack,
    pub(super) decoder: GpuStack,
    pub(super) lm_head: Matrix,
    bytes: u64,
    embedding_bytes: u64,
}

impl T5GpuModel {
    /// See [`Model::load_gpu`].
    pub(in crate::model::t5) async fn load(
        gpu: Arc<Gpu>,
        model: &T5Model,
    ) -> Result<Self, GpuError> {
        let context = model.base_context();
        let Weights { config, precision, embedding: table, encoder, decoder, lm_head } =
            &*model.weights;
        let (vocab_size, d_model) = (config.vocab_size, config.d_model);
        let [weights, rows] = [plan_weights(&gpu, model), plan_embedding(&gpu, model)];
        [&weights, &rows].into_iter().try_for_each(|plan| plan.check(&gpu))?;
        let (embedding_bytes, bytes) = (rows.bytes(), weights.bytes() + rows.bytes());
        let mut rows = vec![0.0; vocab_size * d_model];
        for (token, row) in rows.chunks_exact_mut(d_model).enumerate() {
            table.read_row(lm_head, token, row);
        }
        let embedding = Embedding::new(&gpu, &rows, d_model)?;
        let loaded = Self {
            encoder: load_stack(&gpu, context, Stack::Encoder, encoder)?,
            decoder: load_stack(&gpu, context, Stack::Decoder, decoder)?,
            embedding,
            lm_head: matrix(&gpu, "lm_head", &[lm_head])?,
            config: config.clone(),
            precision: *precision,
            bytes,
            embedding_bytes,
            gpu,
        };
        // Uploads that did not fit are reported once the device has processed them.
        loaded.gpu.settle().await?;
        Ok(loaded)
    }
}

impl GpuModel for T5GpuModel {
    fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn embedding_bytes(&self) -> u64 {
        self.embedding_bytes
    }

    fn load_modules<'a>(
        &self,
        layer: &dyn Fn(LinearId) -> Option<ModuleLayer<'a>>,
        count: usize,
        summed: bool,
    ) -> Result<GpuModules, GpuError> {
        GpuModules::load(self, layer, count, summed)
    }

    fn prepare(
        &self,
        batch: &[TokenizedExample],
        modules: Option<&GpuModules>,
        members: usize,
    ) -> Result<GpuEvaluation, ModelError> {
        self.prepare_batch(batch, modules, members)
    }

    fn greedy(
        &self,
        inputs: &[&[u32]],
        modules: Option<(&GpuModules, &[GroupCoefficients])>,
        max_new_tokens: usize,
    ) -> Result<GpuDecoder, ModelError> {
        self.start_decoding(inputs, modules, max_new_tokens)
    }
}

/// The buffers of the embedding.
fn plan_embedding(gpu: &Gpu, model: &T5Model) -> MemoryPlan {
    let T5Config { vocab_size, d_model, .. } = *model.config();
    let mut plan = MemoryPlan::default();
    plan_matrix(&mut plan, gpu, "the embedding", [vocab_size, d_model], Precision::F32);
    plan
}

/// The buffers of the weights except the embedding.
fn plan_weights(gpu: &Gpu, model: &T5Model) -> MemoryPlan {
    let (d_model, precision) = (model.config().d_model, model.precision());
    let mut plan = MemoryPlan::default();
    let Weights { lm_head, encoder, decoder, .. } = &*model.weights;
    let lm_head = [lm_head.d_out(), lm_head.d_in()];
    plan_matrix(&mut plan, gpu, "lm_head", lm_head, precision);
    for (stack, weights) in [(Stack::Encoder, encoder), (Stack::Decoder, decoder)] {
        for (index, block) in weights.blocks.iter().enumerate() {
            for group in LinearGroups::new(stack, index, block).iter() {
                let rows = group.iter().map(|(_, linear)| linear.d_out()).sum();
                let shape = [rows, group[0].1.d_in()];
                plan_matrix(&mut plan, gpu, &group[0].0.to_string(), shape, precision);
            }
            let norms = 2 + usize::from(block.cross.is_some());
            (0..norms).for_each(|_| plan.add(NORM, d_model));
        }
        plan.add(NORM, d_model);
    }
    plan
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
        relative_attention_biases: weights.relative_attention_biases.clone(),
        final_norm: gpu.upload(NORM, &weights.final_norm)?,
    })
}

fn load_block(
    gpu: &Gpu,
    context: Context<'_>,
    stack: Stack,
    block: usize,
    weights: &Block,
) -> Result<BlockWeights, GpuError> {
    let group = |layers: &LinearGroup<'_>| Group::new(gpu, context, layers);
    let norm = |values: &[f32]| gpu.upload(NORM, values);
    let groups = LinearGroups::new(stack, block, weights);
    let cross = weights.cross.as_ref().zip(groups.cross.as_ref()).map(|(weights, [q, kv, o])| {
        Ok::<_, GpuError>(CrossWeights {
            norm: norm(&weights.norm)?,
            q: group(q)?,
            kv: group(kv)?,
            o: group(o)?,
        })
    });
    Ok(BlockWeights {
        norm: norm(&weights.attention.norm)?,
        qkv: group(&groups.qkv)?,
        o: group(&groups.o)?,
        cross: cross.transpose()?,
        feed_forward_norm: norm(&weights.feed_forward.norm)?,
        wi: group(&groups.wi)?,
        wo: group(&groups.wo)?,
    })
}
