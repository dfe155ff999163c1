//! LoRA modules on the device. Their matrices are copied there once; coefficients merge them there.
//! Beside weights in 8 bits the merged matrices are quantised too, as on the CPU.

use std::collections::BTreeMap;

use super::T5GpuModel;
use super::plan::MemoryPlan;
use super::weights::Group;
use crate::kernels::gpu::{Buffer, Gpu, GpuError, RankFactor, WeightRow, packed_words};
use crate::kernels::quantize::{BLOCK, quantize_weights};
use crate::lora::PeftLayer;
use crate::model::{GpuModel, LinearId, Precision};

/// Modules' matrices by the layer that they stand beside, each with the module's index.
pub type ModuleLayers<'a> = BTreeMap<LinearId, Vec<(usize, &'a PeftLayer)>>;

/// Where a matrix starts in its segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its first value.
    pub(super) value: usize,
    /// Its first word and its first scale when quantised.
    pub(super) word: usize,
    pub(super) scale: usize,
}

/// One layer's LoRA branch within its group.
#[derive(Debug)]
pub(super) struct SideLayer {
    /// First column of the group's output.
    pub(super) column: usize,
    pub(super) d_out: usize,
    /// First of the group's ranks, and how many are this layer's.
    pub(super) first_rank: usize,
    pub(super) rank: usize,
    /// Whether the layer takes 14 bits of its input; such layers stand first.
    pub(super) fine: bool,
    /// B, `[d_out, rank]`.
    pub(super) lora_b: Place,
}

/// The LoRA branches of a group of layers.
#[derive(Debug)]
pub(super) struct SideGroup {
    pub(super) segment: usize,
    pub(super) d_in: usize,
    /// A of all layers, `[ranks, d_in]`.
    pub(super) lora_a: Place,
    pub(super) ranks: usize,
    /// The first of the group's factors.
    pub(super) first_factor: usize,
    pub(super) layers: Vec<SideLayer>,
}

/// Rows that were quantised before they were copied.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    /// `[words]` of each member
    pub(super) values: Buffer,
    /// `[scales]` of each member
    pub(super) scales: Buffer,
}

/// Matrices that one binding holds.
#[derive(Debug)]
pub(super) struct Segment {
    /// In f32, `[modules, values]` if they are summed, else `[values]`.
    pub(super) sources: Buffer,
    pub(super) values: usize,
    /// The rows to quantise, where they are summed beside weights in 8 bits.
    pub(super) table: Option<Buffer>,
    /// The rows in 8 bits, where they stand side by side beside weights in 8 bits.
    pub(super) packed: Option<Packed>,
    pub(super) rows: usize,
    pub(super) words: usize,
    pub(super) scales: usize,
}

/// LoRA modules on the device, to be given coefficients.
#[derive(Debug)]
pub struct GpuModules {
    pub(super) count: usize,
    /// Whether matrices of the same layer are added up, each times its coefficient; else they stand
    /// side by side and the coefficients scale their ranks.
    pub(super) summed: bool,
    pub(super) segments: Vec<Segment>,
    /// By the first layer of the group.
    pub(super) groups: BTreeMap<LinearId, SideGroup>,
    pub(super) rank_factors: Buffer,
    pub(super) factors: usize,
    bytes: u64,
}

const MODULES: &str = "the modules";
const ROWS: &str = "the modules' rows";
const SCALINGS: &str = "the modules' scalings";

/// A segment that is being filled: for each module, or for all together, the same layout.
struct Filling {
    copies: Vec<Vec<f32>>,
    table: Vec<WeightRow>,
    words: usize,
    scales: usize,
}

impl Filling {
    fn values(&self) -> usize {
        self.copies[0].len()
    }

    /// Notes `count` rows of `width` values, which lie one after another from `value` on.
    fn place(&mut self, value: usize, count: usize, width: usize) -> Place {
        let place = Place { value, word: self.words, scale: self.scales };
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
        place
    }

    /// What [`Filling::upload`] will take.
    fn plan(&self, plan: &mut MemoryPlan, precision: Precision, summed: bool) {
        let sources = self.values() * self.copies.len();
        match (precision, summed) {
            (Precision::Int8, true) => {
                plan.add(ROWS, self.table.len() * size_of::<WeightRow>() / 4);
                plan.add(MODULES, sources);
            }
            (Precision::Int8, false) => {
                for words in [self.words, self.scales, 1] {
                    plan.add(MODULES, words);
                }
            }
            (Precision::F32, _) => plan.add(MODULES, sources),
        }
    }

    fn upload(self, gpu: &Gpu, precision: Precision, summed: bool) -> Result<Segment, GpuError> {
        let (values, rows) = (self.values(), self.table.len());
        let (words, scales) = (self.words, self.scales);
        let (mut table, mut packed) = (None, None);
        let sources = match (precision, summed) {
            (Precision::Int8, true) => {
                table = Some(gpu.upload(ROWS, &self.table)?);
                gpu.upload(MODULES, &self.copies.concat())?
            }
            (Precision::Int8, false) => {
                let (bytes, scales) = self.quantized();
                let values = gpu.upload(MODULES, &bytes)?;
                packed = Some(Packed { values, scales: gpu.upload(MODULES, &scales)? });
                gpu.zeros("nothing", 1)?
            }
            (Precision::F32, _) => gpu.upload(MODULES, &self.copies.concat())?,
        };
        Ok(Segment { sources, values, table, packed, rows, words, scales })
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
    pub(super) fn load(
        model: &T5GpuModel,
        layers: &ModuleLayers<'_>,
        count: usize,
        summed: bool,
    ) -> Result<Self, GpuError> {
        let gpu = model.gpu();
        let most = gpu.largest_binding() as usize / 4;
        let copies = if summed { count } else { 1 };
        let mut filled: Vec<Filling> = Vec::new();
        let mut groups = BTreeMap::new();
        let mut rank_factors = Vec::new();
        for group in model.groups() {
            let Some(plan) = GroupPlan::new(group, layers, summed) else { continue };
            let values = plan.values();
            gpu.check_size(&format!("the modules' part of {}", group.ids[0]), values as u64 * 4)?;
            let fits = |filling: &Filling| (filling.values() + values) * copies <= most;
            if !filled.last().is_some_and(fits) {
                let copies = vec![Vec::new(); copies];
                filled.push(Filling { copies, table: Vec::new(), words: 0, scales: 0 });
            }
            let segment = filled.len() - 1;
            let filling = &mut filled[segment];
            groups.insert(group.ids[0], plan.place(segment, filling, rank_factors.len()));
            for (copy, into) in filling.copies.iter_mut().enumerate() {
                plan.fill(summed.then_some(copy), into);
            }
            plan.rank_factors(summed, &mut rank_factors);
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

    /// Number of modules, and so of coefficients.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Most ranks of a group.
    pub(super) fn most_ranks(&self) -> usize {
        self.groups.values().map(|group| group.ranks).max().unwrap_or(0)
    }

    /// Most ranks of a layer.
    pub(super) fn most_layer_ranks(&self) -> usize {
        let layers = self.groups.values().flat_map(|group| &group.layers);
        layers.map(|layer| layer.rank).max().unwrap_or(0)
    }
}

/// A layer's matrices, each with its module's index.
type LayerModules<'a> = &'a [(usize, &'a PeftLayer)];

/// The modules' matrices of one group of layers, in the order in which they are laid out.
struct GroupPlan<'a> {
    d_in: usize,
    /// For each layer that has any: first column, outputs, ranks, the modules.
    layers: Vec<(usize, usize, usize, LayerModules<'a>)>,
    /// Columns of layers that take 14 bits of their input.
    fine: usize,
}

impl<'a> GroupPlan<'a> {
    fn new(group: &Group, layers: &'a ModuleLayers<'a>, summed: bool) -> Option<Self> {
        let each = group.matrix.d_out() / group.ids.len();
        let layers: Vec<_> = (group.ids.iter().enumerate())
            .filter_map(|(index, id)| {
                let modules = layers.get(id)?.as_slice();
                let ranks = modules.iter().map(|(_, layer)| layer.rank);
                let rank = if summed { modules[0].1.rank } else { ranks.sum() };
                Some((index * each, each, rank, modules))
            })
            .collect();
        let d_in = layers.first()?.3[0].1.d_in();
        Some(Self { d_in, layers, fine: group.fine() })
    }

    fn ranks(&self) -> usize {
        self.layers.iter().map(|layer| layer.2).sum()
    }

    fn values(&self) -> usize {
        self.layers.iter().map(|&(_, d_out, rank, _)| rank * (self.d_in + d_out)).sum()
    }

    /// Where the matrices will lie when they are added to `filling`.
    fn place(&self, segment: usize, filling: &mut Filling, first_factor: usize) -> SideGroup {
        let start = filling.values();
        let ranks = self.ranks();
        let lora_a = filling.place(start, ranks, self.d_in);
        let mut value = start + ranks * self.d_in;
        let mut first_rank = 0;
        let layers = self.layers.iter().map(|&(column, d_out, rank, _)| {
            let lora_b = filling.place(value, d_out, rank);
            let fine = column < self.fine;
            let layer = SideLayer { column, d_out, first_rank, rank, fine, lora_b };
            first_rank += rank;
            value += rank * d_out;
            layer
        });
        let layers = layers.collect();
        SideGroup { segment, d_in: self.d_in, lora_a, ranks, first_factor, layers }
    }

    /// Adds the matrices of one module, zeros where it has none, or of all side by side.
    fn fill(&self, module: Option<usize>, into: &mut Vec<f32>) {
        let chosen = |modules: &'a [(usize, &'a PeftLayer)]| {
            modules.iter().filter(move |(index, _)| module.is_none_or(|module| module == *index))
        };
        for &(_, _, rank, modules) in &self.layers {
            let end = into.len() + rank * self.d_in;
            chosen(modules).for_each(|(_, layer)| into.extend(&layer.lora_a));
            into.resize(end, 0.0);
        }
        for &(_, d_out, rank, modules) in &self.layers {
            let end = into.len() + rank * d_out;
            if chosen(modules).next().is_some() {
                for output in 0..d_out {
                    for (_, layer) in chosen(modules) {
                        into.extend(&layer.lora_b[output * layer.rank..][..layer.rank]);
                    }
                }
            }
            into.resize(end, 0.0);
        }
    }

    fn rank_factors(&self, summed: bool, into: &mut Vec<RankFactor>) {
        for &(_, _, rank, modules) in &self.layers {
            if summed {
                let scaling = modules[0].1.scaling;
                let factor = RankFactor { adapter: RankFactor::ALL_MODULES, scaling };
                into.extend(std::iter::repeat_n(factor, rank));
                continue;
            }
            for (module, layer) in modules {
                let adapter = u32::try_from(*module).expect("fewer modules than values");
                let factor = RankFactor { adapter, scaling: layer.scaling };
                into.extend(std::iter::repeat_n(factor, layer.rank));
            }
        }
    }
}

impl T5GpuModel {
    /// All groups of layers that modules can stand beside.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.encoder.blocks.iter().chain(&self.decoder.blocks).flat_map(|block| {
            let cross = block.cross.iter().flat_map(|cross| [&cross.q, &cross.kv, &cross.o]);
            [&block.qkv, &block.o, &block.wi, &block.wo].into_iter().chain(cross)
        })
    }
}
