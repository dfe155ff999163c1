//! Merging LoRA modules, and quantising the result.

use bytemuck::{Pod, Zeroable};

use super::layout::{FactorsParams, MergeParams, QuantizeParams};
use super::{number, word};
use crate::kernels::gpu::pipelines::Kernel;
use crate::kernels::gpu::program::spread;
use crate::kernels::gpu::{Buffer, Recorder};

/// Limit on the members whose sums a thread computes together.
const MAX_MEMBERS: usize = 8;

/// A row of weights for [`Recorder::quantize_weights`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct WeightRow {
    /// Index of its first value among a member's.
    pub source: u32,
    /// Number of values.
    pub width: u32,
    /// Index of its first word among a member's.
    pub word: u32,
    /// Index of its first scale among a member's.
    pub scale: u32,
}

/// The factor of one rank of a LoRA branch: a coefficient of a module times a scaling.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct RankFactor {
    /// Index of the coefficient, or [`RankFactor::ALL_MODULES`].
    pub coefficient: u32,
    /// The scaling.
    pub scaling: f32,
}

impl RankFactor {
    /// In place of an index: the factor is the scaling alone.
    pub const ALL_MODULES: u32 = u32::MAX;
}

impl Recorder<'_> {
    /// `merged[m, i] = Σ_j coefficients[m, j, first] · sources[j, i]` for `[members, modules, values]`
    /// and coefficients `[members, modules, step]`.
    pub fn merge(
        &mut self,
        [members, modules, values]: [usize; 3],
        (coefficients, first, step): (&Buffer, usize, usize),
        sources: &Buffer,
        merged: &Buffer,
    ) {
        let params = MergeParams {
            members: word(members),
            modules: word(modules),
            values: word(values),
            first: word(first),
            step: word(step),
            zero: 0,
        };
        let [x, y] = spread(values.div_ceil(128));
        let constants = vec![number("MEMBERS", members.min(MAX_MEMBERS))];
        let buffers = [coefficients, sources, merged];
        self.dispatch(Kernel::Merge, constants, &params, &buffers, [x, y, 1]);
    }

    /// Writes the factor of each [`RankFactor`] in `sources` for each member, `[members, ranks]`, with
    /// coefficients `[members, row]`.
    pub fn factors(
        &mut self,
        [members, row, ranks]: [usize; 3],
        coefficients: &Buffer,
        sources: &Buffer,
        factors: &Buffer,
    ) {
        let params = FactorsParams { members: word(members), row: word(row), ranks: word(ranks) };
        let [x, y] = spread((members * ranks).div_ceil(128));
        self.dispatch(
            Kernel::Factors,
            vec![],
            &params,
            &[coefficients, sources, factors],
            [x, y, 1],
        );
    }

    /// Quantises the [`WeightRow`]s of `source`, `[members, values]`, to `packed`, `[members, words]`, and
    /// `scales`, `[members, blocks]`.
    pub fn quantize_weights(
        &mut self,
        members: usize,
        (rows, count): (&Buffer, usize),
        (source, values): (&Buffer, usize),
        (packed, words): (&Buffer, usize),
        (scales, blocks): (&Buffer, usize),
    ) {
        let params = QuantizeParams {
            rows: word(count),
            values: word(values),
            words: word(words),
            scales: word(blocks),
            zero: 0,
        };
        let [x, y] = spread(count);
        let buffers = [rows, source, packed, scales];
        self.dispatch(Kernel::Quantize, vec![], &params, &buffers, [x, y, word(members)]);
    }
}
