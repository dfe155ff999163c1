//! LoRA modules merged on the device, and quantised there.

use bytemuck::{Pod, Zeroable};

use super::{number, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::{Buffer, Recorder};

/// Members whose sums a thread holds at once.
const MOST_MEMBERS: usize = 8;

/// A row of weights that is quantised on the device.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct WeightRow {
    /// Its first value among those of a member.
    pub source: u32,
    /// Its values.
    pub width: u32,
    /// Its first word among those of a member.
    pub word: u32,
    /// Its first scale among those of a member.
    pub scale: u32,
}

/// Where the factor of one rank of a LoRA branch comes from.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RankFactor {
    /// Index of the module whose coefficient it is multiplied by.
    pub adapter: u32,
    /// The scaling.
    pub scaling: f32,
}

impl RankFactor {
    /// In place of a module: the factor is the scaling alone.
    pub const ALL_MODULES: u32 = u32::MAX;
}

impl Recorder<'_> {
    /// `merged[m, i] = Σ_j coefficients[m, j] · sources[j, i]` for `[members, modules, values]`.
    pub fn merge(
        &mut self,
        [members, modules, values]: [usize; 3],
        coefficients: &Buffer,
        sources: &Buffer,
        merged: &Buffer,
    ) {
        let params = [members, modules, values, 0].map(word);
        let [x, y] = spread(values.div_ceil(128));
        let constants = vec![number("MEMBERS", members.min(MOST_MEMBERS))];
        let buffers = [coefficients, sources, merged];
        self.dispatch(Kernel::Merge, constants, &params, &buffers, [x, y, 1]);
    }

    /// The factor of each [`RankFactor`] for each member, `[members, ranks]`.
    pub fn factors(
        &mut self,
        [members, modules, ranks]: [usize; 3],
        coefficients: &Buffer,
        sources: &Buffer,
        factors: &Buffer,
    ) {
        let params = [members, modules, ranks].map(word);
        let [x, y] = spread((members * ranks).div_ceil(128));
        self.dispatch(
            Kernel::Factors,
            vec![],
            &params,
            &[coefficients, sources, factors],
            [x, y, 1],
        );
    }

    /// Quantises rows of weights, `[members, values]`, to words, `[members, words]`, and scales,
    /// `[members, scales]`.
    pub fn quantize_weights(
        &mut self,
        members: usize,
        (rows, count): (&Buffer, usize),
        (source, values): (&Buffer, usize),
        (packed, words): (&Buffer, usize),
        (scales, blocks): (&Buffer, usize),
    ) {
        let params = [count, values, words, blocks, 0].map(word);
        let [x, y] = spread(count);
        let buffers = [rows, source, packed, scales];
        self.dispatch(Kernel::Quantize, vec![], &params, &buffers, [x, y, word(members)]);
    }
}
