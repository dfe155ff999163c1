//! What the machine can do at best: loops written by hand with the instructions that kernels are
//! made of, on operands that stay in the level-1 cache, and a read of more memory than any cache
//! holds. None of it is shared with the kernels, so that a share of a ceiling means something.

use std::hint::black_box;

use serde::Deserialize;

use super::Work;
use super::synthetic::Noise;
use crate::kernels::parallel::for_each;

/// What is measured at its best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ceiling {
    /// Multiply-adds of 8-bit integers.
    Int8,
    /// Fused multiply-adds of f32, or multiply and add where nothing is fused.
    F32,
    /// Multiplications and additions of f32, each rounded.
    F32Unfused,
    /// Bytes read from memory.
    Memory,
}

/// Depth of a register tile's operands, in steps.
const STEPS: usize = 64;
/// Pieces that a sample is cut into, so that threads can share it evenly.
const PIECES: usize = 32;
/// Bytes read from memory; no cache of a machine that this runs on holds as much.
const MEMORY_BYTES: usize = 256 << 20;

/// Runs one piece of a register tile `passes` times.
type Tile = fn(passes: usize);

/// A register tile, and what one pass over its operands computes.
pub(super) struct TileKind {
    run: Tile,
    multiply_adds_per_pass: usize,
}

/// A ceiling that can be sampled.
pub(super) enum Prepared {
    Tiles(Vec<TileKind>, Work),
    Memory(Vec<u64>),
}

impl Prepared {
    pub(super) fn new(unit: Ceiling) -> (Self, Work) {
        let tiles = match unit {
            Ceiling::Int8 => int8_tiles(),
            Ceiling::F32 => f32_tiles(true),
            Ceiling::F32Unfused => f32_tiles(false),
            Ceiling::Memory => {
                let mut noise = Noise::new(3);
                let words = (0..MEMORY_BYTES / 8).map(|_| noise.bits()).collect();
                let work = Work { bytes: MEMORY_BYTES as u64, ..Work::default() };
                return (Self::Memory(words), work);
            }
        };
        // A few milliseconds: short enough that another process seldom comes between.
        let multiply_adds = if unit == Ceiling::Int8 { 1 << 28 } else { 1 << 26 };
        let work = Work { multiply_adds, ..Work::default() };
        (Self::Tiles(tiles, work), work)
    }

    /// The seconds that the work takes, in the best of the tiles.
    pub(super) fn sample(&mut self, clock: &dyn Fn() -> f64) -> f64 {
        match self {
            Self::Tiles(tiles, work) => {
                let seconds = |tile: &TileKind| {
                    let per_piece = work.multiply_adds as usize / PIECES;
                    let passes = per_piece.div_ceil(tile.multiply_adds_per_pass);
                    let start = clock();
                    for_each(PIECES, usize::MAX, |_| (tile.run)(passes));
                    let done = (PIECES * passes * tile.multiply_adds_per_pass) as f64;
                    (clock() - start) * work.multiply_adds as f64 / done
                };
                tiles.iter().map(seconds).fold(f64::INFINITY, f64::min)
            }
            Self::Memory(words) => {
                let piece = words.len() / PIECES;
                let start = clock();
                for_each(PIECES, usize::MAX, |index| {
                    black_box(folded(&words[index * piece..][..piece]));
                });
                clock() - start
            }
        }
    }
}

/// The exclusive or of all words, in lanes that the compiler makes vectors of.
fn folded(words: &[u64]) -> [u64; 16] {
    let mut lanes = [0; 16];
    for chunk in words.as_chunks::<16>().0 {
        for (lane, word) in lanes.iter_mut().zip(chunk) {
            *lane ^= word;
        }
    }
    lanes
}

/// A register tile of `$rows` by `$columns` vectors: every step takes the columns' vectors and one
/// value per row, spread over a vector, and adds their products to the sums.
macro_rules! tile {
    (
        $name:ident, $rows:literal x $columns:literal, $vector:ty, $scalar:ty,
        $random:expr, $spread:expr, $step:expr $(, #[$feature:meta])?
    ) => {
        $(#[$feature])?
        fn $name(passes: usize) {
            let mut noise = Noise::new(1);
            let random = $random;
            let columns: Vec<[$vector; $columns]> =
                (0..STEPS).map(|_| std::array::from_fn(|_| random(&mut noise).1)).collect();
            let rows: Vec<[$scalar; $rows]> =
                (0..STEPS).map(|_| std::array::from_fn(|_| random(&mut noise).0)).collect();
            let mut sums: [[$vector; $columns]; $rows] =
                std::array::from_fn(|_| std::array::from_fn(|_| random(&mut noise).1));
            for _ in 0..passes {
                for (columns, rows) in black_box(&columns).iter().zip(black_box(&rows)) {
                    for r in 0..$rows {
                        let x = $spread(rows[r]);
                        for c in 0..$columns {
                            sums[r][c] = $step(sums[r][c], columns[c], x);
                        }
                    }
                }
            }
            black_box(sums);
        }
    };
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod tiles {
    use std::arch::wasm32::*;

    use super::*;

    const LANES: usize = 4;

    fn random_int8(noise: &mut Noise) -> (i32, v128) {
        let (a, b) = (noise.bits(), noise.bits());
        // Activations are of 7 bits.
        ((a as i32) & 0x7f7f_7f7f, u64x2(a, b))
    }

    fn random_f32(noise: &mut Noise) -> (f32, v128) {
        let values = noise.normal(5, 1.0);
        (values[4], f32x4(values[0], values[1], values[2], values[3]))
    }

    #[cfg(target_feature = "relaxed-simd")]
    mod steps {
        use super::*;

        /// Multiply-adds of one lane in one step.
        pub const DEPTH: usize = 4;

        #[inline(always)]
        pub fn int8(sum: v128, weights: v128, x: v128) -> v128 {
            i32x4_relaxed_dot_i8x16_i7x16_add(weights, x, sum)
        }

        #[inline(always)]
        pub fn fused(sum: v128, weights: v128, x: v128) -> v128 {
            f32x4_relaxed_madd(weights, x, sum)
        }

        /// The same, two products at a time: fewer instructions where there is no VNNI.
        #[inline(always)]
        pub fn int8_pairs(sum: v128, weights: v128, x: v128) -> v128 {
            let pairs = i16x8_relaxed_dot_i8x16_i7x16(weights, x);
            i32x4_add(sum, i32x4_dot_i16x8(pairs, i16x8_splat(1)))
        }
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    mod steps {
        use super::*;

        pub const DEPTH: usize = 2;

        #[inline(always)]
        pub fn int8(sum: v128, weights: v128, x: v128) -> v128 {
            i32x4_add(sum, i32x4_dot_i16x8(weights, x))
        }

        pub use super::unfused as fused;
        pub use int8 as int8_pairs;
    }

    #[inline(always)]
    pub fn unfused(sum: v128, weights: v128, x: v128) -> v128 {
        f32x4_add(sum, f32x4_mul(weights, x))
    }

    tile!(int8_2x4, 2 x 4, v128, i32, random_int8, i32x4_splat, steps::int8);
    tile!(int8_4x2, 4 x 2, v128, i32, random_int8, i32x4_splat, steps::int8);
    tile!(int8_3x3, 3 x 3, v128, i32, random_int8, i32x4_splat, steps::int8);
    tile!(pairs_2x4, 2 x 4, v128, i32, random_int8, i32x4_splat, steps::int8_pairs);
    tile!(pairs_3x3, 3 x 3, v128, i32, random_int8, i32x4_splat, steps::int8_pairs);
    tile!(fused_2x4, 2 x 4, v128, f32, random_f32, f32x4_splat, steps::fused);
    tile!(fused_4x2, 4 x 2, v128, f32, random_f32, f32x4_splat, steps::fused);
    tile!(fused_3x3, 3 x 3, v128, f32, random_f32, f32x4_splat, steps::fused);
    tile!(unfused_2x4, 2 x 4, v128, f32, random_f32, f32x4_splat, unfused);
    tile!(unfused_4x2, 4 x 2, v128, f32, random_f32, f32x4_splat, unfused);
    tile!(unfused_3x3, 3 x 3, v128, f32, random_f32, f32x4_splat, unfused);

    pub fn int8() -> Vec<TileKind> {
        let depth = LANES * steps::DEPTH;
        let mut tiles = kinds(depth, [(int8_2x4, 8), (int8_4x2, 8), (int8_3x3, 9)]);
        tiles.extend(kinds(depth, [(pairs_2x4, 8), (pairs_3x3, 9)]));
        tiles
    }

    pub fn f32(fused: bool) -> Vec<TileKind> {
        if fused {
            kinds(LANES, [(fused_2x4, 8), (fused_4x2, 8), (fused_3x3, 9)])
        } else {
            kinds(LANES, [(unfused_2x4, 8), (unfused_4x2, 8), (unfused_3x3, 9)])
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod tiles {
    use std::arch::x86_64::*;

    use super::*;

    /// Declares a function for each tile that can be pointed to.
    macro_rules! safe {
        ($($name:ident = $tile:ident),* $(,)?) => {
            $(fn $name(passes: usize) {
                // SAFETY: `int8` and `f32` give this function out only where the machine was found
                // to have these features.
                unsafe { $tile(passes) }
            })*
        };
    }

    fn bytes<const N: usize>(noise: &mut Noise) -> [u64; N] {
        std::array::from_fn(|_| noise.bits())
    }

    macro_rules! int8_tile {
        ($name:ident, $features:literal, $rows:literal x $columns:literal, $vector:ty, $words:literal,
         $set:expr, $spread:expr, $step:expr) => {
            tile!(
                $name, $rows x $columns, $vector, i32,
                |noise: &mut Noise| {
                    let words: [u64; $words] = bytes(noise);
                    ((words[0] as i32) & 0x7f7f_7f7f, $set(words))
                },
                $spread, $step, #[target_feature(enable = $features)]
            );
        };
    }

    macro_rules! f32_tile {
        ($name:ident, $features:literal, $rows:literal x $columns:literal, $vector:ty, $lanes:literal,
         $set:expr, $spread:expr, $step:expr) => {
            tile!(
                $name, $rows x $columns, $vector, f32,
                |noise: &mut Noise| {
                    let values: [f32; $lanes] = noise.normal($lanes, 1.0).try_into().unwrap();
                    (values[0], $set(values))
                },
                $spread, $step, #[target_feature(enable = $features)]
            );
        };
    }

    int8_tile!(vnni_4x4, "avx512f,avx512bw,avx512vnni", 4 x 4, __m512i, 8,
        |w: [u64; 8]| _mm512_set_epi64(w[0] as i64, w[1] as i64, w[2] as i64, w[3] as i64,
            w[4] as i64, w[5] as i64, w[6] as i64, w[7] as i64),
        |x| _mm512_set1_epi32(x), |sum, w, x| _mm512_dpbusd_epi32(sum, x, w));
    int8_tile!(vnni_6x4, "avx512f,avx512bw,avx512vnni", 6 x 4, __m512i, 8,
        |w: [u64; 8]| _mm512_set_epi64(w[0] as i64, w[1] as i64, w[2] as i64, w[3] as i64,
            w[4] as i64, w[5] as i64, w[6] as i64, w[7] as i64),
        |x| _mm512_set1_epi32(x), |sum, w, x| _mm512_dpbusd_epi32(sum, x, w));
    int8_tile!(avx2_2x4, "avx2", 2 x 4, __m256i, 4,
    |w: [u64; 4]| _mm256_set_epi64x(w[0] as i64, w[1] as i64, w[2] as i64, w[3] as i64),
    |x| _mm256_set1_epi32(x), |sum, w, x| {
        let pairs = _mm256_maddubs_epi16(x, w);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    });
    int8_tile!(sse2_2x4, "sse2", 2 x 4, __m128i, 2,
        |w: [u64; 2]| _mm_set_epi64x(w[0] as i64, w[1] as i64),
        |x| _mm_set1_epi32(x), |sum, w, x| _mm_add_epi32(sum, _mm_madd_epi16(x, w)));

    f32_tile!(fma512_4x4, "avx512f", 4 x 4, __m512, 16,
        |v: [f32; 16]| _mm512_set_ps(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9],
            v[10], v[11], v[12], v[13], v[14], v[15]),
        |x| _mm512_set1_ps(x), |sum, w, x| _mm512_fmadd_ps(w, x, sum));
    f32_tile!(fma256_3x4, "avx2,fma", 3 x 4, __m256, 8,
        |v: [f32; 8]| _mm256_set_ps(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]),
        |x| _mm256_set1_ps(x), |sum, w, x| _mm256_fmadd_ps(w, x, sum));
    f32_tile!(madd512_4x4, "avx512f", 4 x 4, __m512, 16,
        |v: [f32; 16]| _mm512_set_ps(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9],
            v[10], v[11], v[12], v[13], v[14], v[15]),
        |x| _mm512_set1_ps(x), |sum, w, x| _mm512_add_ps(sum, _mm512_mul_ps(w, x)));
    f32_tile!(madd256_2x4, "avx2", 2 x 4, __m256, 8,
        |v: [f32; 8]| _mm256_set_ps(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]),
        |x| _mm256_set1_ps(x), |sum, w, x| _mm256_add_ps(sum, _mm256_mul_ps(w, x)));
    f32_tile!(madd128_2x4, "sse2", 2 x 4, __m128, 4,
        |v: [f32; 4]| _mm_set_ps(v[0], v[1], v[2], v[3]),
        |x| _mm_set1_ps(x), |sum, w, x| _mm_add_ps(sum, _mm_mul_ps(w, x)));

    safe!(
        run_vnni_4x4 = vnni_4x4,
        run_vnni_6x4 = vnni_6x4,
        run_avx2_2x4 = avx2_2x4,
        run_fma512_4x4 = fma512_4x4,
        run_fma256_3x4 = fma256_3x4,
        run_madd512_4x4 = madd512_4x4,
        run_madd256_2x4 = madd256_2x4,
        run_sse2_2x4 = sse2_2x4,
        run_madd128_2x4 = madd128_2x4
    );

    pub fn int8() -> Vec<TileKind> {
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni") {
            kinds(16 * 4, [(run_vnni_4x4, 16), (run_vnni_6x4, 24)])
        } else if is_x86_feature_detected!("avx2") {
            kinds(8 * 4, [(run_avx2_2x4, 8)])
        } else {
            kinds(4 * 2, [(run_sse2_2x4, 8)])
        }
    }

    pub fn f32(fused: bool) -> Vec<TileKind> {
        let avx512 = is_x86_feature_detected!("avx512f");
        let avx2 = is_x86_feature_detected!("avx2");
        match fused {
            true if avx512 => kinds(16, [(run_fma512_4x4, 16)]),
            true if avx2 && is_x86_feature_detected!("fma") => kinds(8, [(run_fma256_3x4, 12)]),
            _ if avx512 => kinds(16, [(run_madd512_4x4, 16)]),
            _ if avx2 => kinds(8, [(run_madd256_2x4, 8)]),
            _ => kinds(4, [(run_madd128_2x4, 8)]),
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
mod tiles {
    use super::*;

    const LANES: usize = 8;

    fn random_f32(noise: &mut Noise) -> (f32, [f32; LANES]) {
        let values = noise.normal(LANES, 1.0);
        (values[0], std::array::from_fn(|lane| values[lane]))
    }

    fn random_int8(noise: &mut Noise) -> (i32, [i32; LANES]) {
        let bytes = noise.bits().to_le_bytes();
        (i32::from(bytes[0] & 127), bytes.map(|byte| i32::from(byte as i8)))
    }

    #[inline(always)]
    fn madd(sum: [f32; LANES], weights: [f32; LANES], x: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| sum[lane] + weights[lane] * x[lane])
    }

    #[inline(always)]
    fn dot(sum: [i32; LANES], weights: [i32; LANES], x: [i32; LANES]) -> [i32; LANES] {
        std::array::from_fn(|lane| sum[lane].wrapping_add(weights[lane].wrapping_mul(x[lane])))
    }

    tile!(int8_4x2, 4 x 2, [i32; LANES], i32, random_int8, |x| [x; LANES], dot);
    tile!(madd_4x2, 4 x 2, [f32; LANES], f32, random_f32, |x| [x; LANES], madd);

    pub fn int8() -> Vec<TileKind> {
        kinds(LANES, [(int8_4x2, 8)])
    }

    pub fn f32(_fused: bool) -> Vec<TileKind> {
        kinds(LANES, [(madd_4x2, 8)])
    }
}

/// Tiles of some vectors, each of which makes `per_vector` multiply-adds a step.
fn kinds<const N: usize>(per_vector: usize, tiles: [(Tile, usize); N]) -> Vec<TileKind> {
    tiles
        .into_iter()
        .map(|(run, vectors)| TileKind {
            run,
            multiply_adds_per_pass: STEPS * vectors * per_vector,
        })
        .collect()
}

fn int8_tiles() -> Vec<TileKind> {
    tiles::int8()
}

fn f32_tiles(fused: bool) -> Vec<TileKind> {
    tiles::f32(fused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ceiling_of_this_machine_runs_with_all_its_tiles() {
        for unit in [Ceiling::Int8, Ceiling::F32, Ceiling::F32Unfused] {
            let (mut prepared, work) = Prepared::new(unit);
            assert!(work.multiply_adds > 0);
            let ticks = std::cell::Cell::new(0.0);
            let clock = || {
                ticks.set(ticks.get() + 1.0);
                ticks.get()
            };
            let seconds = prepared.sample(&clock);
            assert!((0.5..=1.0).contains(&seconds), "{unit:?} {seconds}");
        }
    }

    #[test]
    fn reading_memory_folds_every_word() {
        let words: Vec<u64> = (0..64).map(|index| 1 << index).collect();
        assert_eq!(folded(&words).iter().fold(0, |all, lane| all ^ lane), u64::MAX);
    }
}
