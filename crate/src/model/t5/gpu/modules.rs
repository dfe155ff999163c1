//! LoRA modules on the device: their matrices are uploaded once and merged there for any
//! coefficients. For weights in 8 bits the merged matrices are quantised too, as on the CPU.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::T5GpuModel;
use super::plan::MemoryPlan;
use super::weights::Group;
use crate::kernels::gpu::{Buffer, Gpu, GpuError, RankFactor, WeightRow, packed_words};
use crate::kernels::quantize::{BLOCK, quantize_weights};
use crate::model::{GpuModel, LayerGroup, LinearId, Precision};

/// The matrices of LoRA modules at one linear layer.
#[derive(Debug, Clone)]
pub struct ModuleLayer<'a> {
    /// The group that the layer belongs to.
    pub group: LayerGroup,
    /// Width of the layer's input.
    pub d_in: usize,
    /// A `[rank, d_in]` and B `[d_out, rank]`: one copy for each module, to be summed by its
    /// coefficient, or a single copy. `None` stands for zeros.
    pub copies: Vec<Option<[Cow<'a, [f32]>; 2]>>,
    /// `[rank]`.
    pub factors: Vec<RankFactor>,
}

/// The location of a matrix in its segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct MatrixOffset {
    /// Its first value.
    pub(super) value: usize,
    /// Its first word and its first scale when quantised.
    pub(super) word: usize,
    pub(super) scale: usize,
}

/// One layer's LoRA branch within its group.
#[derive(Debug)]
pub(super) struct BranchLayer {
    /// First column of the group's output.
    pub(super) column: usize,
    pub(super) d_out: usize,
    /// First of the group's ranks, and how many are this layer's.
    pub(super) first_rank: usize,
    pub(super) rank: usize,
    /// Whether the layer takes 14-bit activations; such layers come first.
    pub(super) int14: bool,
    /// B, `[d_out, rank]`.
    pub(super) lora_b: MatrixOffset,
}

/// The LoRA branches of a group of layers.
#[derive(Debug)]
pub(super) struct BranchGroup {
    pub(super) segment: usize,
    pub(super) d_in: usize,
    /// A of all layers, `[ranks, d_in]`.
    pub(super) lora_a: MatrixOffset,
    pub(super) ranks: usize,
    /// The first of the group's factors.
    pub(super) first_factor: usize,
    pub(super) layers: Vec<BranchLayer>,
}

/// Rows quantised before the upload.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    /// `[words]` of each member
    pub(super) values: Buffer,
    /// `[scales]` of each member
    pub(super) scales: Buffer,
}

/// Matrices in one binding, of layers of one group.
#[derive(Debug)]
pub(super) struct Segment {
    /// The group, whose coefficients the sums use.
    pub(super) group: LayerGroup,
    /// In f32, `[modules, values]` if summed, else `[values]`.
    pub(super) sources: Buffer,
    pub(super) values: usize,
    /// The rows to quantise, where copies are summed and the model's weights are in 8 bits.
    pub(super) table: Option<Buffer>,
    /// The rows in 8 bits, where there is a single copy and the model's weights are in 8 bits.
    pub(super) packed: Option<Packed>,
    pub(super) rows: usize,
    pub(super) words: usize,
    pub(super) scales: usize,
}

/// LoRA modules on the device.
#[derive(Debug)]
pub struct GpuModules {
    pub(super) count: usize,
    /// Whether the modules' copies are summed, each times its coefficient. Otherwise there is a single
    /// copy, and the coefficients scale its ranks.
    pub(super) summed: bool,
    pub(super) segments: Vec<Segment>,
    /// By the first layer of the group.
    pub(super) groups: BTreeMap<LinearId, BranchGroup>,
    pub(super) rank_factors: Buffer,
    pub(super) factors: usize,
    bytes: u64,
}

const MODULES: &str = "the modules";
const ROWS: &str = "the modules' rows";
const SCALINGS: &str = "the modules' scalings";

/// A segment under construction: copies of the same layout.
struct Filling {
    group: LayerGroup,
    copies: Vec<Vec<f32>>,
    table: Vec<WeightRow>,
    words: usize,
    scales: usize,
}

impl Filling {
    fn values(&self) -> usize {
        self.copies[0].len()
    }

    /// Adds `count` rows of `width` values, consecutive from `value` on, to the table.
    fn locate(&mut self, value: usize, count: usize, width: usize) -> MatrixOffset {
        let offset = MatrixOffset { value, word: self.words, scale: self.scales };
        let word = |value: usize| u32::try_from(value).expect("values that fit a buffer");
        for index in 0..count {
            self.table.push(WeightRow {
                source: word(value + index * width),
                width: word(width),
                word: word(self.words),
                scale: word(self.scales),
            });
            self.words += packed_words(width);
            self.scales += width.div_ceil(BLOCK);
        }
        offset
    }

    /// The buffers of [`Filling::upload`].
    fn plan(&self, plan: &mut MemoryPlan, precision: Precision, summed: bool) {
        let sources = self.values() * self.copies.len();
        match (precision.is_quantized(), summed) {
            (true, true) => {
                plan.add(ROWS, self.table.len() * size_of::<WeightRow>() / 4);
                plan.add(MODULES, sources);
            }
            (true, false) => {
                for words in [self.words, self.scales, 1] {
                    plan.add(MODULES, words);
                }
            }
            (false, _) => plan.add(MODULES, sources),
        }
    }

    fn upload(self, gpu: &Gpu, precision: Precision, summed: bool) -> Result<Segment, GpuError> {
        let (values, rows, group) = (self.values(), self.table.len(), self.group);
        let (words, scales) = (self.words, self.scales);
        let (mut table, mut packed) = (None, None);
        let sources = match (precision.is_quantized(), summed) {
            (true, true) => {
                table = Some(gpu.upload(ROWS, &self.table)?);
                gpu.upload(MODULES, &self.copies.concat())?
            }
            (true, false) => {
                let (bytes, scales) = self.quantized();
                let values = gpu.upload(MODULES, &bytes)?;
                packed = Some(Packed { values, scales: gpu.upload(MODULES, &scales)? });
                gpu.zeros("nothing", 1)?
            }
            (false, _) => gpu.upload(MODULES, &self.copies.concat())?,
        };
        Ok(Segment { group, sources, values, table, packed, rows, words, scales })
    }

    fn quantized(&self) -> (Vec<i8>, Vec<f32>) {
        let mut bytes = vec![0i8; self.words * 4];
        let mut scales = vec![0.0; self.scales];
        for row in &self.table {
            let [source, width, word, scale] =
                [row.source, row.width, row.word, row.scale].map(|n| n as usize);
            quantize_weights(
                &self.copies[0][source..source + width],
                &mut bytes[word * 4..word * 4 + width],
                &mut scales[scale..],
            );
        }
        (bytes, scales)
    }
}

impl GpuModules {
    /// See [`GpuModel::load_modules`].
    pub(super) fn load<'a>(
        model: &T5GpuModel,
        layer: &dyn Fn(LinearId) -> Option<ModuleLayer<'a>>,
        count: usize,
        summed: bool,
    ) -> Result<Self, GpuError> {
        let gpu = model.gpu();
        let limit = gpu.largest_binding() as usize / 4;
        let copies = if summed { count } else { 1 };
        let mut filled: Vec<Filling> = Vec::new();
        let mut groups = BTreeMap::new();
        let mut rank_factors = Vec::new();
        for group in model.groups() {
            let Some(plan) = GroupPlan::new(group, layer) else { continue };
            let values = plan.values();
            gpu.check_size(&format!("the modules' part of {}", group.ids[0]), values as u64 * 4)?;
            // Sums take the coefficients of one group of layers.
            let fits = |filling: &Filling| {
                (filling.values() + values) * copies <= limit
                    && (!summed || filling.group == plan.group)
            };
            let segment = filled.iter().rposition(fits).unwrap_or_else(|| {
                let copies = vec![Vec::new(); copies];
                let group = plan.group;
                filled.push(Filling { group, copies, table: Vec::new(), words: 0, scales: 0 });
                filled.len() - 1
            });
            let filling = &mut filled[segment];
            groups.insert(group.ids[0], plan.locate(segment, filling, rank_factors.len()));
            for (copy, into) in filling.copies.iter_mut().enumerate() {
                plan.fill(copy, into);
            }
            let layers = plan.layers.into_iter();
            rank_factors.extend(layers.flat_map(|(_, _, layer)| layer.factors));
        }
        let mut plan = MemoryPlan::default();
        filled.iter().for_each(|filling| filling.plan(&mut plan, model.precision, summed));
        plan.add(SCALINGS, rank_factors.len() * size_of::<RankFactor>() / 4);
        plan.check(gpu)?;
        let segments: Vec<Segment> = (filled.into_iter())
            .map(|filling| filling.upload(gpu, model.precision, summed))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            bytes: plan.bytes(),
            segments,
            factors: rank_factors.len(),
            rank_factors: gpu.upload(SCALINGS, &rank_factors)?,
            count,
            summed,
            groups,
        })
    }

    /// Number of modules.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of coefficients: one for each module and group of layers.
    pub(super) fn coefficients(&self) -> usize {
        self.count * LayerGroup::COUNT
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The largest number of ranks of a group.
    pub(super) fn max_ranks(&self) -> usize {
        self.groups.values().map(|group| group.ranks).max().unwrap_or(0)
    }

    /// The largest rank of a layer.
    pub(super) fn max_layer_ranks(&self) -> usize {
        let layers = self.groups.values().flat_map(|group| &group.layers);
        layers.map(|layer| layer.rank).max().unwrap_or(0)
    }
}

/// The modules' matrices of one group of layers, in the order of their layout.
struct GroupPlan<'a> {
    group: LayerGroup,
    d_in: usize,
    /// First column, outputs and matrices of each layer that modules change.
    layers: Vec<(usize, usize, ModuleLayer<'a>)>,
    /// Columns of layers that take 14-bit activations.
    int14: usize,
}

impl<'a> GroupPlan<'a> {
    fn new(group: &Group, layer: &dyn Fn(LinearId) -> Option<ModuleLayer<'a>>) -> Option<Self> {
        let each = group.matrix.d_out() / group.ids.len();
        let layers: Vec<_> = (group.ids.iter().enumerate())
            .filter_map(|(index, &id)| Some((index * each, each, layer(id)?)))
            .collect();
        let &ModuleLayer { group: layer_group, d_in, .. } = &layers.first()?.2;
        Some(Self { group: layer_group, d_in, layers, int14: group.int14() })
    }

    fn ranks(&self) -> usize {
        self.layers.iter().map(|(.., layer)| layer.factors.len()).sum()
    }

    fn values(&self) -> usize {
        let values = |(_, d_out, layer): &(_, usize, ModuleLayer<'_>)| {
            layer.factors.len() * (self.d_in + d_out)
        };
        self.layers.iter().map(values).sum()
    }

    /// The location of the matrices once they are added to `filling`.
    fn locate(&self, segment: usize, filling: &mut Filling, first_factor: usize) -> BranchGroup {
        let start = filling.values();
        let ranks = self.ranks();
        let lora_a = filling.locate(start, ranks, self.d_in);
        let mut value = start + ranks * self.d_in;
        let mut first_rank = 0;
        let layers = self.layers.iter().map(|&(column, d_out, ref layer)| {
            let rank = layer.factors.len();
            let lora_b = filling.locate(value, d_out, rank);
            let int14 = column < self.int14;
            let branch = BranchLayer { column, d_out, first_rank, rank, int14, lora_b };
            first_rank += rank;
            value += rank * d_out;
            branch
        });
        let layers = layers.collect();
        BranchGroup { segment, d_in: self.d_in, lora_a, ranks, first_factor, layers }
    }

    /// Adds one copy of the matrices: A of all layers, then B of each.
    fn fill(&self, copy: usize, into: &mut Vec<f32>) {
        for half in [0, 1] {
            for (_, d_out, layer) in &self.layers {
                let end = into.len() + layer.factors.len() * [self.d_in, *d_out][half];
                if let Some(matrices) = &layer.copies[copy] {
                    into.extend_from_slice(&matrices[half]);
                }
                into.resize(end, 0.0);
            }
        }
    }
}

impl T5GpuModel {
    /// All groups of layers that modules can change.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.encoder.blocks.iter().chain(&self.decoder.blocks).flat_map(|block| {
            let cross = block.cross.iter().flat_map(|cross| [&cross.q, &cross.kv, &cross.o]);
            [&block.qkv, &block.o, &block.wi, &block.wo].into_iter().chain(cross)
        })
    }
}
