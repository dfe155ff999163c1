//! Elementary functions of exactly defined operations, so that results have the same bits on every
//! machine.

/// Adding and subtracting it rounds a value whose absolute value is below 2²² to an integer, ties to even:
/// the sum has no bits below 1.
pub(in crate::kernels) const ROUNDER: f32 = 12_582_912.0;

/// Beyond these, the result of `exp` is not a normal number.
const EXP_SMALLEST: f32 = -87.0;
const EXP_LARGEST: f32 = 88.0;

/// The larger of two numbers, in the form that compiles to one instruction.
#[inline(always)]
pub(super) fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Numbers that are computed together, two vectors of them, as a chain of some twenty dependent operations
/// leaves the processor idle.
pub(super) const VECTOR_LANES: usize = if cfg!(target_arch = "wasm32") { 8 } else { 16 };

/// eˣ within 2 units in the last place; exactly 0 below −87, and e⁸⁸ above 88. The reduction by
/// ln 2 in two parts and the polynomial are Cephes' `expf`.
#[inline(always)]
pub(super) fn exp<const N: usize>(x: [f32; N]) -> [f32; N] {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let bounded = each(x, |x| max(if x < EXP_LARGEST { x } else { EXP_LARGEST }, EXP_SMALLEST));
    let shifted = each(bounded, |x| x * std::f32::consts::LOG2_E + ROUNDER);
    let n = each(shifted, |shifted| shifted - ROUNDER);
    let r = both(bounded, n, |x, n| x - n * LN2_HIGH);
    let r = both(r, n, |r, n| r - n * LN2_LOW);
    let mut p = [1.987_569_1e-4; N];
    for term in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        p = both(p, r, |p, r| p * r + term);
    }
    p = both(p, r, |p, r| p * (r * r) + r + 1.0);
    // The low bits of `shifted` are n, which becomes the exponent of 2ⁿ.
    let power = each(shifted, |shifted| f32::from_bits(shifted.to_bits().wrapping_add(127) << 23));
    let result = both(p, power, |p, power| p * power);
    both(x, result, |x, result| if x < EXP_SMALLEST { 0.0 } else { result })
}

/// `f` of each number. Not `array::map`, which is not inlined in WebAssembly.
#[inline(always)]
pub(super) fn each<const N: usize>(mut x: [f32; N], f: impl Fn(f32) -> f32) -> [f32; N] {
    for x in &mut x {
        *x = f(*x);
    }
    x
}

/// `f` of each pair of numbers.
#[inline(always)]
pub(super) fn both<const N: usize>(
    mut x: [f32; N],
    y: [f32; N],
    f: impl Fn(f32, f32) -> f32,
) -> [f32; N] {
    for (x, y) in x.iter_mut().zip(y) {
        *x = f(*x, y);
    }
    x
}

/// Natural logarithm of a positive, normal number, within 2 units in the last place: the exponent
/// times ln 2, and 2·atanh((m − 1)/(m + 1)) of the mantissa by its series.
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let s2 = s * s;
    // |s| < 0.172, so the twelfth term is below 1e-18.
    let mut series = 0.0;
    let mut divisor = 23.0;
    while divisor > 0.0 {
        series = series * s2 + 1.0 / divisor;
        divisor -= 2.0;
    }
    2.0 * s * series + exponent as f64 * std::f64::consts::LN_2
}

/// The sum of eight lanes, as a tree.
#[inline(always)]
pub(super) fn sum_lanes(lanes: [f32; 8]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for step in -870_000..880_000 {
            let x = step as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp([x])[0]) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}) is off by {error}");
        }
        assert_eq!(exp([-1e30]), [0.0]);
        assert_eq!(exp([f32::NEG_INFINITY]), [0.0]);
        assert_eq!(exp([0.0]), [1.0]);
        assert!(exp([1e30])[0].is_finite());
    }

    #[test]
    fn ln_is_within_1e_15_of_the_exact_value() {
        for step in 1..400_000 {
            let x = f64::from(step) * 0.371;
            let error = (ln(x) - x.ln()).abs() / x.ln().abs().max(1.0);
            assert!(error < 1e-15, "ln({x}) is off by {error}");
        }
        assert_eq!(ln(1.0), 0.0);
    }
}
