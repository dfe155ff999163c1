//! Products in 8 bits, of the integers that [`crate::kernels::quantize`] defines. One file per
//! instruction set multiplies a block of the reduction; what is around it, the same for all, is here.
//! All give the same integers, so all results have the same bits.

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

use activations::Fine;
pub use activations::{QuantizedRows, norm_rows, quantize_rows};
pub use packed::PackedInt8;
use packed::{Group, Panel};
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
pub(super) use relaxed::is_made_of_pairs as relaxed_dot_is_made_of_pairs;

use super::float::store;
use super::{Isa, PANEL, Store};
use crate::kernels::parallel::{Grid, Tile, for_each_tile, threads};
use crate::kernels::quantize::{BLOCK, FINE_STEPS};

/// Elements of the reduction that one instruction adds up.
const GROUP: usize = 4;
/// Groups in a block.
const BLOCK_GROUPS: usize = BLOCK / GROUP;
/// Rows of a tile given to a thread.
const TILE_ROWS: usize = 48;
/// Most columns of a tile given to a thread.
const TILE_COLUMNS: usize = 8 * PANEL;
/// Tiles across the columns for each thread, at least, so that all end together where rows are few.
const TILES_PER_THREAD: usize = 4;

/// One summand of a product: activations times a weight matrix of their depth.
#[derive(Clone, Copy)]
pub struct Term<'a> {
    /// `[rows, depth]`.
    pub x: &'a QuantizedRows,
    /// Whether the 14 bits of `x` are taken in place of 7.
    pub fine: bool,
    /// `[columns, depth]`.
    pub weights: &'a PackedInt8,
}

/// The sums of products of one instruction set.
trait Dot {
    /// In what form it takes 14 bits.
    const FINE: Fine = Fine::Bytes;

    /// Writes `starts[c] + Σ_k rows[r][k] · groups[k / 4][c][k % 4]` of `R` rows and a panel's columns
    /// to `out`: in WebAssembly an array as a result is copied by a call.
    ///
    /// # Safety
    /// The machine has the instruction set, and each row is four times as long as `groups`.
    unsafe fn block<const R: usize>(
        rows: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    );

    /// As [`Dot::block`], of 14 bits: those of `fine`, and of `rows` where they are not all there.
    ///
    /// # Safety
    /// As [`Dot::block`], with rows of `fine` as many times as long as the form has bytes.
    #[inline(always)]
    unsafe fn fine_block<const R: usize>(
        rows: [*const u8; R],
        fine: [*const u8; R],
        groups: &[Group],
        starts: &[i32; PANEL],
        out: &mut [[i32; PANEL]; R],
    ) {
        let mut upper = [[0; PANEL]; R];
        // SAFETY: the caller's.
        unsafe {
            Self::block(rows, groups, starts, &mut upper);
            Self::block(fine, groups, starts, out);
        }
        for r in 0..R {
            for c in 0..PANEL {
                out[r][c] += i32::from(FINE_STEPS) * upper[r][c];
            }
        }
    }
}

/// In what form an instruction set takes 14 bits.
fn fine_form(isa: Isa) -> Fine {
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        super::Kind::Avx2 => avx2::Avx2::FINE,
        #[cfg(target_arch = "x86_64")]
        super::Kind::Avx512Vnni => avx512::Avx512::FINE,
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        super::Kind::RelaxedPairs => relaxed::RelaxedPairs::FINE,
        super::Kind::Portable => Native::FINE,
    }
}

/// `ROWS` rows of a term times one panel, scaled.
///
/// In WebAssembly a function by itself: within a larger one its variables do not stay in registers,
/// which costs as much as half a block.
///
/// # Safety
/// As [`Dot::block`].
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
unsafe fn panel_product<D: Dot, const ROWS: usize, const FINE: bool>(
    term: &Term<'_>,
    row: usize,
    panel: usize,
) -> [[f32; PANEL]; ROWS] {
    let Panel { groups, scales, starts } = term.weights.panel(panel);
    // Not by `array::from_fn`, which stays a call in WebAssembly.
    let mut values = [std::ptr::null(); ROWS];
    let mut fine = [std::ptr::null(); ROWS];
    let mut steps = [std::ptr::null(); ROWS];
    for r in 0..ROWS {
        let row = term.x.row(row + r);
        assert!(row.values.len() == groups.len() * GROUP && row.scales.len() == scales.len());
        assert!(!FINE || row.fine.len() == groups.len() * GROUP * D::FINE.bytes());
        values[r] = row.values.as_ptr();
        fine[r] = row.fine.as_ptr();
        steps[r] = row.scales.as_ptr();
    }
    let mut sums = [[0.0f32; PANEL]; ROWS];
    let groups = groups.chunks(BLOCK_GROUPS).zip(starts).zip(scales);
    for (block, ((groups, start), scales)) in groups.enumerate() {
        let values = values.map(|values| values.wrapping_add(block * BLOCK));
        let mut integers = [[0; PANEL]; ROWS];
        // SAFETY: a row is as long as all groups together; the rest is the caller's.
        unsafe {
            if FINE {
                let fine = fine.map(|fine| fine.wrapping_add(block * BLOCK * D::FINE.bytes()));
                D::fine_block(values, fine, groups, start, &mut integers);
            } else {
                D::block(values, groups, start, &mut integers);
            }
        }
        for r in 0..ROWS {
            // SAFETY: there is a scale for each block.
            let mut step = unsafe { *steps[r].add(block) };
            if FINE {
                step *= 1.0 / f32::from(FINE_STEPS);
            }
            for c in 0..PANEL {
                sums[r][c] += integers[r][c] as f32 * step * scales[c];
            }
        }
    }
    sums
}

/// `ROWS` rows of the sum of all terms, all of 14 bits or none.
///
/// # Safety
/// As [`Dot::block`].
#[inline(always)]
unsafe fn write_rows<D: Dot, const ROWS: usize, const FINE: bool>(
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
    let mut sums = unsafe { panel_product::<D, ROWS, FINE>(first, row, panel) };
    for term in others {
        // SAFETY: the caller's.
        let more = unsafe { panel_product::<D, ROWS, FINE>(term, row, panel) };
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

/// A tile `MANY` rows at a time, then `SOME`, then each.
///
/// # Safety
/// As [`Dot::block`].
#[inline(always)]
unsafe fn tile_body<D: Dot, const MANY: usize, const SOME: usize, const FINE: bool>(
    terms: &[Term<'_>],
    how: Store,
    tile: &mut Tile<'_>,
) {
    for panel in tile.columns.start / PANEL..tile.columns.end.div_ceil(PANEL) {
        let mut row = tile.rows.start;
        while row + MANY <= tile.rows.end {
            // SAFETY: the caller's.
            unsafe { write_rows::<D, MANY, FINE>(terms, row, panel, how, tile) };
            row += MANY;
        }
        while row + SOME <= tile.rows.end {
            // SAFETY: the caller's.
            unsafe { write_rows::<D, SOME, FINE>(terms, row, panel, how, tile) };
            row += SOME;
        }
        for row in row..tile.rows.end {
            // SAFETY: the caller's.
            unsafe { write_rows::<D, 1, FINE>(terms, row, panel, how, tile) };
        }
    }
}

/// A tile of which as many rows are taken at a time as 16 registers have room for.
///
/// # Safety
/// As [`Dot::block`].
#[inline(always)]
unsafe fn small_tile<D: Dot>(terms: &[Term<'_>], fine: bool, how: Store, tile: &mut Tile<'_>) {
    // SAFETY: the caller's.
    unsafe {
        match (fine, D::FINE) {
            (false, _) => tile_body::<D, 2, 1, false>(terms, how, tile),
            (true, Fine::Bytes) => tile_body::<D, 2, 1, true>(terms, how, tile),
            (true, Fine::Words) => tile_body::<D, 4, 1, true>(terms, how, tile),
        }
    }
}

/// Computes one tile, whose columns start at a panel.
fn tile_product(isa: Isa, terms: &[Term<'_>], how: Store, tile: &mut Tile<'_>) {
    let fine = terms.first().is_some_and(|term| term.fine);
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2(terms: &[Term<'_>], fine: bool, how: Store, tile: &mut Tile<'_>) {
            // SAFETY: this function has the instruction set.
            unsafe {
                match fine {
                    false => tile_body::<avx2::Avx2, 4, 2, false>(terms, how, tile),
                    true => tile_body::<avx2::Avx2, 4, 2, true>(terms, how, tile),
                }
            }
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn with_avx512(terms: &[Term<'_>], fine: bool, how: Store, tile: &mut Tile<'_>) {
            // SAFETY: as above.
            unsafe {
                match fine {
                    false => tile_body::<avx512::Avx512, 12, 4, false>(terms, how, tile),
                    true => tile_body::<avx512::Avx512, 12, 4, true>(terms, how, tile),
                }
            }
        }
        match isa.0 {
            // SAFETY: an `Isa` of this kind exists only where the features were detected.
            super::Kind::Avx2 => return unsafe { with_avx2(terms, fine, how, tile) },
            // SAFETY: as above.
            super::Kind::Avx512Vnni => return unsafe { with_avx512(terms, fine, how, tile) },
            super::Kind::Portable => {}
        }
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    if isa.0 == super::Kind::RelaxedPairs {
        // SAFETY: what every machine of this target has.
        return unsafe { small_tile::<relaxed::RelaxedPairs>(terms, fine, how, tile) };
    }
    let _ = isa;
    // SAFETY: what every machine of this target has.
    unsafe { small_tile::<Native>(terms, fine, how, tile) }
}

/// The sum of all terms into `out`, `[rows, columns]`.
///
/// # Panics
/// If a term's operands differ in depth, the terms in columns or in bits, 14 bits are asked for that
/// were not made for this instruction set, or `out` is not of that size.
pub fn product_int8(isa: Isa, terms: &[Term<'_>], rows: usize, how: Store, out: &mut [f32]) {
    let columns = terms.first().map_or(0, |term| term.weights.columns());
    let fine = terms.first().is_some_and(|term| term.fine);
    for term in terms {
        assert!(term.fine == fine && (!fine || term.x.fine_form() == Some(fine_form(isa))));
        assert!(term.x.depth() == term.weights.depth() && term.weights.columns() == columns);
    }
    let parts = if fine { 2 } else { 1 };
    let depth = parts * terms.iter().map(|term| term.x.depth()).sum::<usize>();
    let tile_columns = columns.div_ceil(TILES_PER_THREAD * threads()).next_multiple_of(PANEL);
    let tile_columns = tile_columns.clamp(PANEL, TILE_COLUMNS);
    let grid = Grid::even(rows, columns, TILE_ROWS, tile_columns);
    // One multiply-add takes about a quarter of the time of one in f32; those of few rows take as long
    // as reading their weights does, which is no more.
    let cost = TILE_ROWS.min(rows) * tile_columns * depth / 4;
    for_each_tile(out, &grid, cost, |mut tile| tile_product(isa, terms, how, &mut tile));
}

#[cfg(test)]
mod tests {
    use super::activations::QuantizedRow;
    use super::*;
    use crate::kernels::quantize::{QuantizedMatrix, ZERO_POINT};

    /// Bytes that look random, `seed` apart.
    fn bytes(count: usize, seed: u32) -> Vec<u8> {
        let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    /// Random rows with the extreme values among them, in 14 bits as an instruction set takes them.
    fn rows(isa: Isa, rows: usize, depth: usize) -> QuantizedRows {
        let mut x = QuantizedRows::fine(isa, rows, depth);
        let stride = depth.next_multiple_of(GROUP);
        let (form, mut fine) = x.fine.take().unwrap();
        let random = bytes(rows * depth, 3).into_iter().zip(bytes(rows * depth, 7));
        for (index, (upper, lower)) in random.enumerate() {
            let (row, at) = (index / depth, index / depth * stride + index % depth);
            let [upper, lower] = match row % 5 {
                4 => [127; 2],
                3 => [1, 0],
                _ => [upper & 127, lower & 127],
            };
            x.values[at] = upper;
            let both = FINE_STEPS * (i16::from(upper) - 64) + i16::from(lower) - 64;
            match form {
                Fine::Bytes => fine[at] = lower,
                Fine::Words => fine[2 * at..][..2].copy_from_slice(&both.to_le_bytes()),
            }
        }
        x.fine = Some((form, fine));
        let scales = bytes(x.scales.len(), 4);
        x.scales.iter_mut().zip(scales).for_each(|(scale, b)| *scale = 0.01 * f32::from(b));
        x
    }

    /// The integer that a value of a row stands for.
    fn integer(x: &QuantizedRows, row: usize, column: usize, is_fine: bool) -> i32 {
        let QuantizedRow { values, fine, .. } = x.row(row);
        let upper = i32::from(values[column]) - i32::from(ZERO_POINT);
        match x.fine_form() {
            Some(Fine::Bytes) if is_fine => 128 * upper + i32::from(fine[column]) - 64,
            Some(Fine::Words) if is_fine => {
                i32::from(i16::from_le_bytes([fine[2 * column], fine[2 * column + 1]]))
            }
            _ => upper,
        }
    }

    /// A random matrix with the extreme values in it.
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

    /// The product by its definition.
    fn plain(
        x: &QuantizedRows,
        fine: bool,
        matrix: &QuantizedMatrix,
        row: usize,
        column: usize,
    ) -> f32 {
        let weights = &matrix.values[column * matrix.d_in..][..matrix.d_in];
        let scales = &matrix.scales[column * matrix.d_in.div_ceil(BLOCK)..];
        let mut total = 0.0;
        for (block, (weights, scale)) in weights.chunks(BLOCK).zip(scales).enumerate() {
            let products = weights.iter().enumerate().map(|(index, &weight)| {
                integer(x, row, block * BLOCK + index, fine) * i32::from(weight)
            });
            let step = x.row(row).scales[block] / if fine { 128.0 } else { 1.0 };
            total += products.sum::<i32>() as f32 * step * scale;
        }
        total
    }

    #[test]
    fn every_instruction_set_gives_the_bits_of_the_definition() {
        for row_count in [1, 2, 3, 5, 13, 49, 70] {
            for (columns, depth) in [(1, 1), (15, 3), (16, 130), (37, 24), (200, 257)] {
                let matrix = matrix(columns, depth);
                let weights = PackedInt8::new(&matrix);
                for (isa, fine) in
                    Isa::available().into_iter().flat_map(|isa| [(isa, false), (isa, true)])
                {
                    let x = rows(isa, row_count, depth);
                    let expected: Vec<u32> = (0..row_count * columns)
                        .map(|i| plain(&x, fine, &matrix, i / columns, i % columns).to_bits())
                        .collect();
                    let term = Term { x: &x, fine, weights: &weights };
                    let mut out = vec![f32::NAN; row_count * columns];
                    product_int8(isa, &[term], row_count, Store::Replace, &mut out);
                    let bits: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
                    assert_eq!(bits, expected, "{isa:?} {row_count} x {columns} x {depth} {fine}");
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
    fn rows_have_seven_bits_and_fourteen() {
        let x: Vec<f32> = (0..2 * 200).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        let mut all = Vec::new();
        for isa in Isa::available() {
            let [mut coarse, mut fine] =
                [QuantizedRows::new(2, 200), QuantizedRows::fine(isa, 2, 200)];
            quantize_rows(isa, &x, &mut coarse);
            quantize_rows(isa, &x, &mut fine);
            assert_eq!((&*coarse.values, &*coarse.scales), (&*fine.values, &*fine.scales));
            let integers: Vec<[i32; 2]> = (0..x.len())
                .map(|i| [false, true].map(|is_fine| integer(&fine, i / 200, i % 200, is_fine)))
                .collect();
            for (index, (x, integers)) in x.iter().zip(&integers).enumerate() {
                let step = fine.row(index / 200).scales[index % 200 / BLOCK];
                let [seven, fourteen] = integers.map(|integer| step * integer as f32);
                assert!((x - seven).abs() <= step * 0.501);
                // Half a step more where the lower 7 bits have no 64.
                assert!((x - fourteen / 128.0).abs() <= step / 128.0 * 1.01);
            }
            all.push(integers);
        }
        assert!(all.iter().all(|integers| *integers == all[0]));
    }
}
