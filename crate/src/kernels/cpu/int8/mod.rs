//! 8-bit products of the integers that [`crate::kernels::quantize`] defines. Each instruction set has a
//! file that multiplies a block of the reduction; the loops around it, the same for all, are here. All
//! compute the same integers, so all results have the same bits.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod packed;
#[cfg(not(target_arch = "wasm32"))]
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
mod relaxed;
#[cfg(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")))]
mod simd128;
#[cfg(target_arch = "wasm32")]
mod words;

#[cfg(not(target_arch = "wasm32"))]
use portable::Portable as Native;
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
use relaxed::Relaxed as Native;
#[cfg(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")))]
use simd128::Simd128 as Native;

use activations::Int14Layout;
pub use activations::{QuantizedRows, norm_rows, quantize_rows};
pub use packed::PackedInt8;
use packed::{Group, Panel};
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
pub(super) use relaxed::relaxed_dot_uses_pairs;

use super::float::store;
use super::{Isa, PANEL, Store};
use crate::kernels::parallel::{Grid, Tile, for_each_tile, threads};
use crate::kernels::quantize::{BLOCK, LOW_STEPS};

/// Elements of the reduction that one instruction sums.
const GROUP: usize = 4;
/// Groups in a block.
const BLOCK_GROUPS: usize = BLOCK / GROUP;
/// Rows of a tile given to a thread.
const TILE_ROWS: usize = 48;
/// Limit on the columns of a tile given to a thread.
const TILE_COLUMNS: usize = 8 * PANEL;
/// Minimum of column tiles per thread, so that all threads finish together where rows are few.
const TILES_PER_THREAD: usize = 4;

/// One term of a sum of products: `x · weightsᵀ`.
#[derive(Clone, Copy)]
pub struct Term<'a> {
    /// `[rows, depth]`.
    pub x: &'a QuantizedRows,
    /// Whether the kernel multiplies the 14-bit activations of `x` in place of those with 7 bits.
    pub int14: bool,
    /// `[columns, depth]`.
    pub weights: &'a PackedInt8,
}

/// The dot products of one instruction set.
trait Dot {
    /// The layout of 14-bit activations that [`Dot::block_int14`] reads.
    const INT14_LAYOUT: Int14Layout = Int14Layout::LowBits;

    /// Writes `starts[c] + Σ_k rows[r][k] · groups[k / 4][c][k % 4]` for `R` rows and a panel's columns
    /// to `out`, as WebAssembly copies a returned array by a call.
    ///
    /// # Safety
    /// The machine has the instruction set, and each row is four times as long as `groups`.
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    );

    /// [`Dot::block`] of 14-bit activations in [`Dot::INT14_LAYOUT`]; `rows` holds their high bits.
    ///
    /// # Safety
    /// As [`Dot::block`]; a row of `int14` has [`Int14Layout::bytes`] bytes for each byte of a row.
    #[inline(always)]
    unsafe fn block_int14<const R: usize>(
        rows: [*const u8; R],
        int14: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
        let mut high = [[0; PANEL]; R];
        // SAFETY: the caller's.
        unsafe {
            Self::block(rows, groups, starts, &mut high);
            Self::block(int14, groups, starts, out);
        }
        for r in 0..R {
            for c in 0..PANEL {
                out[r][c] += i32::from(LOW_STEPS) * high[r][c];
            }
        }
    }
}

/// The layout of 14-bit activations that an instruction set reads.
fn int14_layout(isa: Isa) -> Int14Layout {
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        super::Kind::Avx2 => avx2::Avx2::INT14_LAYOUT,
        #[cfg(target_arch = "x86_64")]
        super::Kind::Avx512Vnni => avx512::Avx512::INT14_LAYOUT,
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        super::Kind::RelaxedPairs => relaxed::RelaxedPairs::INT14_LAYOUT,
        super::Kind::Portable => Native::INT14_LAYOUT,
    }
}

/// The scaled product of `ROWS` rows of a term and one panel, `[ROWS, PANEL]`.
///
/// Not inlined in WebAssembly: within a larger function its variables do not stay in registers, which
/// costs as much as half a block.
///
/// # Safety
/// As [`Dot::block`].
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
unsafe fn panel_product<D: Dot, const ROWS: usize, const INT14: bool>(
    term: &Term<'_>,
    row: usize,
    panel: usize,
) -> [[f32; PANEL]; ROWS] {
    let Panel { groups, scales, starts } = term.weights.panel(panel);
    // Not `array::from_fn`, which is not inlined in WebAssembly.
    let mut values = [std::ptr::null(); ROWS];
    let mut int14 = [std::ptr::null(); ROWS];
    let mut steps = [std::ptr::null(); ROWS];
    for r in 0..ROWS {
        let row = term.x.row(row + r);
        assert!(row.values.len() == groups.len() * GROUP && row.scales.len() == scales.len());
        assert!(!INT14 || row.int14.len() == groups.len() * GROUP * D::INT14_LAYOUT.bytes());
        values[r] = row.values.as_ptr();
        int14[r] = row.int14.as_ptr();
        steps[r] = row.scales.as_ptr();
    }
    let mut sums = [[0.0f32; PANEL]; ROWS];
    let groups = groups.chunks(BLOCK_GROUPS).zip(starts).zip(scales);
    for (block, ((groups, start), scales)) in groups.enumerate() {
        let values = values.map(|values| values.wrapping_add(block * BLOCK));
        let mut integers = [[0; PANEL]; ROWS];
        // SAFETY: a row is as long as all groups together; the rest is the caller's.
        unsafe {
            if INT14 {
                let int14 =
                    int14.map(|int14| int14.wrapping_add(block * BLOCK * D::INT14_LAYOUT.bytes()));
                D::block_int14(values, int14, groups, start, &mut integers);
            } else {
                D::block(values, groups, start, &mut integers);
            }
        }
        for r in 0..ROWS {
            // SAFETY: there is a scale for each block.
            let mut step = unsafe { *steps[r].add(block) };
            if INT14 {
                step *= 1.0 / f32::from(LOW_STEPS);
            }
            for c in 0..PANEL {
                sums[r][c] += integers[r][c] as f32 * step * scales[c];
            }
        }
    }
    sums
}

/// Writes `ROWS` rows of the sum of all terms, whose activations all have 14 bits or all 7.
///
/// # Safety
/// As [`Dot::block`].
#[inline(always)]
unsafe fn write_rows<D: Dot, const ROWS: usize, const INT14: bool>(
    terms: &[Term<'_>],
    row: usize,
    panel: usize,
    how: Store,
    tile: &mut Tile<'_>,
) {
    let from = panel * PANEL - tile.columns.start;
    let to = (from + PANEL).min(tile.columns.len());
    let Some((first, others)) = terms.split_first() else { return };
    // SAFETY: the caller's.
    let mut sums = unsafe { panel_product::<D, ROWS, INT14>(first, row, panel) };
    for term in others {
        // SAFETY: the caller's.
        let more = unsafe { panel_product::<D, ROWS, INT14>(term, row, panel) };
        for r in 0..ROWS {
            for c in 0..PANEL {
                sums[r][c] += more[r][c];
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        store(&mut tile.row(row + r)[from..to], sums, how);
    }
}

/// Writes a tile, `MANY` rows at a time, then `SOME`, then one.
///
/// # Safety
/// As [`Dot::block`].
#[inline(always)]
unsafe fn tile_body<D: Dot, const MANY: usize, const SOME: usize, const INT14: bool>(
    terms: &[Term<'_>],
    how: Store,
    tile: &mut Tile<'_>,
) {
    for panel in tile.columns.start / PANEL..tile.columns.end.div_ceil(PANEL) {
        let mut row = tile.rows.start;
        while row + MANY <= tile.rows.end {
            // SAFETY: the caller's.
            unsafe { write_rows::<D, MANY, INT14>(terms, row, panel, how, tile) };
            row += MANY;
        }
        while row + SOME <= tile.rows.end {
            // SAFETY: the caller's.
            unsafe { write_rows::<D, SOME, INT14>(terms, row, panel, how, tile) };
            row += SOME;
        }
        for row in row..tile.rows.end {
            // SAFETY: the caller's.
            unsafe { write_rows::<D, 1, INT14>(terms, row, panel, how, tile) };
        }
    }
}

/// Writes a tile, as many rows at a time as 16 registers hold.
///
/// # Safety
/// As [`Dot::block`].
#[inline(always)]
unsafe fn small_tile<D: Dot>(terms: &[Term<'_>], int14: bool, how: Store, tile: &mut Tile<'_>) {
    // SAFETY: the caller's.
    unsafe {
        match (int14, D::INT14_LAYOUT) {
            (false, _) => tile_body::<D, 2, 1, false>(terms, how, tile),
            (true, Int14Layout::LowBits) => tile_body::<D, 2, 1, true>(terms, how, tile),
            (true, Int14Layout::Words) => tile_body::<D, 4, 1, true>(terms, how, tile),
        }
    }
}

/// Writes one tile, whose columns start at a panel.
fn tile_product(isa: Isa, terms: &[Term<'_>], how: Store, tile: &mut Tile<'_>) {
    let int14 = terms.first().is_some_and(|term| term.int14);
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2(terms: &[Term<'_>], int14: bool, how: Store, tile: &mut Tile<'_>) {
            // SAFETY: this function enables the instruction set.
            unsafe {
                match int14 {
                    false => tile_body::<avx2::Avx2, 4, 2, false>(terms, how, tile),
                    true => tile_body::<avx2::Avx2, 4, 2, true>(terms, how, tile),
                }
            }
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn with_avx512(terms: &[Term<'_>], int14: bool, how: Store, tile: &mut Tile<'_>) {
            // SAFETY: as above.
            unsafe {
                match int14 {
                    false => tile_body::<avx512::Avx512, 12, 4, false>(terms, how, tile),
                    true => tile_body::<avx512::Avx512, 12, 4, true>(terms, how, tile),
                }
            }
        }
        match isa.0 {
            // SAFETY: an `Isa` of this kind exists only where the features were detected.
            super::Kind::Avx2 => return unsafe { with_avx2(terms, int14, how, tile) },
            // SAFETY: as above.
            super::Kind::Avx512Vnni => return unsafe { with_avx512(terms, int14, how, tile) },
            super::Kind::Portable => {}
        }
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    if isa.0 == super::Kind::RelaxedPairs {
        // SAFETY: every machine of this target has the instruction set.
        return unsafe { small_tile::<relaxed::RelaxedPairs>(terms, int14, how, tile) };
    }
    let _ = isa;
    // SAFETY: every machine of this target has the instruction set.
    unsafe { small_tile::<Native>(terms, int14, how, tile) }
}

/// Writes the sum of all terms to `out`, `[rows, columns]`.
///
/// # Panics
/// If a term's operands differ in depth, or the terms in columns or in the bits of their activations; if
/// 14-bit activations have the layout of another instruction set; or if `out` does not have that size.
pub fn product_int8(isa: Isa, terms: &[Term<'_>], rows: usize, how: Store, out: &mut [f32]) {
    let columns = terms.first().map_or(0, |term| term.weights.columns());
    let int14 = terms.first().is_some_and(|term| term.int14);
    for term in terms {
        assert!(
            term.int14 == int14 && (!int14 || term.x.int14_layout() == Some(int14_layout(isa)))
        );
        assert!(term.x.depth() == term.weights.depth() && term.weights.columns() == columns);
    }
    let parts = if int14 { 2 } else { 1 };
    let depth = parts * terms.iter().map(|term| term.x.depth()).sum::<usize>();
    let tile_columns = columns.div_ceil(TILES_PER_THREAD * threads()).next_multiple_of(PANEL);
    let tile_columns = tile_columns.clamp(PANEL, TILE_COLUMNS);
    let grid = Grid::even(rows, columns, TILE_ROWS, tile_columns);
    // A multiply-add takes about a quarter of the time of one in f32. With few rows the product takes as
    // long as reading the weights, which is no more.
    let cost = TILE_ROWS.min(rows) * tile_columns * depth / 4;
    for_each_tile(out, &grid, cost, |mut tile| tile_product(isa, terms, how, &mut tile));
}

#[cfg(test)]
mod tests {
    use super::activations::QuantizedRow;
    use super::*;
    use crate::kernels::quantize::{QuantizedMatrix, ZERO_POINT};

    /// Pseudorandom bytes.
    fn bytes(count: usize, seed: u32) -> Vec<u8> {
        let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    /// Random 14-bit activations in the layout of an instruction set, the extreme values among them.
    fn rows(isa: Isa, rows: usize, depth: usize) -> QuantizedRows {
        let mut x = QuantizedRows::with_int14(isa, rows, depth);
        let stride = depth.next_multiple_of(GROUP);
        let (layout, mut int14) = x.int14.take().unwrap();
        let random = bytes(rows * depth, 3).into_iter().zip(bytes(rows * depth, 7));
        for (index, (high, low)) in random.enumerate() {
            let (row, at) = (index / depth, index / depth * stride + index % depth);
            let [high, low] = match row % 5 {
                4 => [127; 2],
                3 => [1, 0],
                _ => [high & 127, low & 127],
            };
            x.values[at] = high;
            let both = LOW_STEPS * (i16::from(high) - 64) + i16::from(low) - 64;
            match layout {
                Int14Layout::LowBits => int14[at] = low,
                Int14Layout::Words => int14[2 * at..][..2].copy_from_slice(&both.to_le_bytes()),
            }
        }
        x.int14 = Some((layout, int14));
        let scales = bytes(x.scales.len(), 4);
        x.scales.iter_mut().zip(scales).for_each(|(scale, b)| *scale = 0.01 * f32::from(b));
        x
    }

    /// A row's value as an integer, of 14 bits if `wide`, or else of 7.
    fn integer(x: &QuantizedRows, row: usize, column: usize, wide: bool) -> i32 {
        let QuantizedRow { values, int14, .. } = x.row(row);
        let high = i32::from(values[column]) - i32::from(ZERO_POINT);
        match x.int14_layout() {
            Some(Int14Layout::LowBits) if wide => 128 * high + i32::from(int14[column]) - 64,
            Some(Int14Layout::Words) if wide => {
                i32::from(i16::from_le_bytes([int14[2 * column], int14[2 * column + 1]]))
            }
            _ => high,
        }
    }

    /// A random matrix, the extreme values among its weights.
    fn matrix(columns: usize, depth: usize) -> QuantizedMatrix {
        let values = bytes(columns * depth, 5).into_iter().enumerate().map(|(index, value)| {
            if index / depth % 3 == 2 {
                if index % 2 == 0 { 127 } else { -127 }
            } else {
                value as i8
            }
        });
        let scales = bytes(columns * depth.div_ceil(BLOCK), 6);
        QuantizedMatrix {
            d_out: columns,
            d_in: depth,
            values: values.collect(),
            scales: scales.into_iter().map(|b| 0.003 * f32::from(b)).collect(),
        }
    }

    /// One element of the product, by the definition.
    fn plain(
        x: &QuantizedRows,
        int14: bool,
        matrix: &QuantizedMatrix,
        row: usize,
        column: usize,
    ) -> f32 {
        let weights = &matrix.values[column * matrix.d_in..][..matrix.d_in];
        let scales = &matrix.scales[column * matrix.d_in.div_ceil(BLOCK)..];
        let mut total = 0.0;
        for (block, (weights, scale)) in weights.chunks(BLOCK).zip(scales).enumerate() {
            let products = weights.iter().enumerate().map(|(index, &weight)| {
                integer(x, row, block * BLOCK + index, int14) * i32::from(weight)
            });
            let step = x.row(row).scales[block] / if int14 { 128.0 } else { 1.0 };
            total += products.sum::<i32>() as f32 * step * scale;
        }
        total
    }

    #[test]
    fn every_instruction_set_matches_the_definition_bit_for_bit() {
        for row_count in [1, 2, 3, 5, 13, 49, 70] {
            for (columns, depth) in [(1, 1), (15, 3), (16, 130), (37, 24), (200, 257)] {
                let matrix = matrix(columns, depth);
                let weights = PackedInt8::new(&matrix);
                for (isa, int14) in
                    Isa::available().into_iter().flat_map(|isa| [(isa, false), (isa, true)])
                {
                    let x = rows(isa, row_count, depth);
                    let expected: Vec<u32> = (0..row_count * columns)
                        .map(|i| plain(&x, int14, &matrix, i / columns, i % columns).to_bits())
                        .collect();
                    let term = Term { x: &x, int14, weights: &weights };
                    let mut out = vec![f32::NAN; row_count * columns];
                    product_int8(isa, &[term], row_count, Store::Replace, &mut out);
                    let bits: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
                    assert_eq!(bits, expected, "{isa:?} {row_count} x {columns} x {depth} {int14}");
                    product_int8(isa, &[term, term], row_count, Store::Add, &mut out);
                    assert!(out.iter().zip(&bits).all(|(&out, &bits)| {
                        let once = f32::from_bits(bits);
                        out == once + (once + once)
                    }));
                }
            }
        }
    }

    #[test]
    fn activations_are_within_half_a_step_in_7_and_14_bits() {
        let x: Vec<f32> = (0..2 * 200).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        let mut all = Vec::new();
        for isa in Isa::available() {
            let [mut int7, mut int14] =
                [QuantizedRows::new(2, 200), QuantizedRows::with_int14(isa, 2, 200)];
            quantize_rows(isa, &x, &mut int7);
            quantize_rows(isa, &x, &mut int14);
            assert_eq!((&*int7.values, &*int7.scales), (&*int14.values, &*int14.scales));
            let integers: Vec<[i32; 2]> = (0..x.len())
                .map(|i| [false, true].map(|wide| integer(&int14, i / 200, i % 200, wide)))
                .collect();
            for (index, (x, integers)) in x.iter().zip(&integers).enumerate() {
                let step = int14.row(index / 200).scales[index % 200 / BLOCK];
                let [seven, fourteen] = integers.map(|integer| step * integer as f32);
                assert!((x - seven).abs() <= step * 0.501);
                // Half a step more where the low bits cannot hold 64.
                assert!((x - fourteen / 128.0).abs() <= step / 128.0 * 1.01);
            }
            all.push(integers);
        }
        assert!(all.iter().all(|integers| *integers == all[0]));
    }
}
