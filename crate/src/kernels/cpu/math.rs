//! Elementary functions made of exactly defined operations, so that they have the same bits
//! everywhere.

/// Added to and taken from a value below 2²² in size, it rounds the value to an integer (ties to
/// even): the sum has no bits below 1.
pub(in crate::kernels) const ROUNDER: f32 = 12_582_912.0;

/// Beyond these, `exp` would leave the range of normal numbers.
const EXP_SMALLEST: f32 = -87.0;
const EXP_LARGEST: f32 = 88.0;

/// The larger of two numbers, in the form that is one instruction everywhere.
#[inline(always)]
pub(super) fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// eˣ within 2 units in the last place; exactly 0 below −87, and e⁸⁸ above 88. The reduction by
/// ln 2 in two parts and the polynomial are Cephes' `expf`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let bounded = if x < EXP_LARGEST { x } else { EXP_LARGEST };
    let bounded = max(bounded, EXP_SMALLEST);
    let shifted = bounded * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = bounded - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5e-1;
    p = p * (r * r) + r + 1.0;
    // The low bits of `shifted` are n, which becomes the exponent of 2ⁿ.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < EXP_SMALLEST { 0.0 } else { p * power }
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
    fn exp_is_within_two_units_of_the_exact_value() {
        for step in -870_000..880_000 {
            let x = step as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}) is off by {error}");
        }
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(1e30).is_finite());
    }

    #[test]
    fn ln_is_within_rounding_of_the_exact_value() {
        for step in 1..400_000 {
            let x = f64::from(step) * 0.371;
            let error = (ln(x) - x.ln()).abs() / x.ln().abs().max(1.0);
            assert!(error < 1e-15, "ln({x}) is off by {error}");
        }
        assert_eq!(ln(1.0), 0.0);
    }
}
