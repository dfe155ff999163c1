// Arithmetic with the CPU's bits: each operation is rounded to the nearest f32, and the exponential is
// the CPU's. A device may fuse and reorder operations, and its division may be a few units off; a single
// different rounding would change a quantised byte.
//
// The code after it has a field `zero` in its `params`, which is 0 at run time only.

// `value`, opaque to the compiler, which cannot fuse its operation with the next.
fn rounded(value: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(value) ^ params.zero);
}

fn rounded_each(values: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(values) ^ vec4<u32>(params.zero));
}

const FRACTION: u32 = 0x7fffffu;
const LEADING_BIT: u32 = 0x800000u;
// The largest number below 2.
const BELOW_TWO: f32 = 1.9999999;

fn significand(bits: u32) -> u32 {
    return (bits & FRACTION) | LEADING_BIT;
}

// a / b, correctly rounded if both and the quotient are normal numbers, or else the device's quotient.
fn quotient(a: f32, b: f32) -> f32 {
    let a_bits = bitcast<u32>(a) & 0x7fffffffu;
    let b_bits = bitcast<u32>(b) & 0x7fffffffu;
    var dividend = significand(a_bits);
    let divisor = significand(b_bits);
    var exponent = i32(a_bits >> 23u) - i32(b_bits >> 23u) + 127;
    if dividend < divisor {
        dividend <<= 1u;
        exponent -= 1;
    }
    let normal = a_bits >= LEADING_BIT && b_bits >= LEADING_BIT && exponent > 0 && exponent < 255;
    if !normal {
        return a / b;
    }
    // The device's quotient is a few units off. The remainder gives the number of units, and fits 32 bits.
    let estimate = clamp(f32(dividend) / f32(divisor), 1.0, BELOW_TWO);
    var units = significand(bitcast<u32>(estimate));
    var left = bitcast<i32>((dividend << 23u) - units * divisor);
    let step = i32(divisor);
    let off = i32(floor(f32(left) / f32(step)));
    units = u32(i32(units) + off);
    left -= off * step;
    if left < 0 {
        left += step;
        units -= 1u;
    } else if left >= step {
        left -= step;
        units += 1u;
    }
    if 2 * left > step || (2 * left == step && (units & 1u) == 1u) {
        units += 1u;
    }
    let sign = (bitcast<u32>(a) ^ bitcast<u32>(b)) & 0x80000000u;
    // A carry out of 24 bits increments the exponent.
    return bitcast<f32>(sign | ((u32(exponent) << 23u) + units - LEADING_BIT));
}

// √value, correctly rounded for a normal number, or else the device's root.
fn root(value: f32) -> f32 {
    let bits = bitcast<u32>(value);
    let exponent = bits >> 23u;
    if exponent == 0u || exponent >= 255u {
        return sqrt(value);
    }
    var square = significand(bits);
    if (exponent & 1u) == 0u {
        square <<= 1u;
    }
    // As in `quotient`; the factor 2⁻²³ gives a number from 1 to 4.
    let estimate = clamp(sqrt(f32(square) * 1.1920929e-7), 1.0, BELOW_TWO);
    var units = significand(bitcast<u32>(estimate));
    var left = bitcast<i32>((square << 23u) - units * units);
    let off = i32(floor(f32(left) / f32(2u * units)));
    left -= off * (i32(2u * units) + off);
    units = u32(i32(units) + off);
    if left < 0 {
        units -= 1u;
        left += i32(2u * units + 1u);
    } else if left > i32(2u * units) {
        left -= i32(2u * units + 1u);
        units += 1u;
    }
    if left > i32(units) {
        units += 1u;
    }
    return bitcast<f32>((((exponent + 127u) >> 1u) << 23u) + units - LEADING_BIT);
}

const ROUNDER: f32 = 12582912.0;

// eˣ; exactly 0 below −87, and e⁸⁸ above 88.
fn exponential(x: f32) -> f32 {
    if x < -87.0 {
        return 0.0;
    }
    let bounded = min(x, 88.0);
    let shifted = rounded(rounded(bounded * 1.442695) + ROUNDER);
    let n = rounded(shifted - ROUNDER);
    var r = rounded(bounded - rounded(n * 0.6933594));
    r = rounded(r - rounded(n * -2.1219444e-4));
    var p = 1.9875691e-4;
    p = rounded(rounded(p * r) + 1.3982e-3);
    p = rounded(rounded(p * r) + 8.333452e-3);
    p = rounded(rounded(p * r) + 4.1665796e-2);
    p = rounded(rounded(p * r) + 1.6666665e-1);
    p = rounded(rounded(p * r) + 5e-1);
    p = rounded(rounded(rounded(p * rounded(r * r)) + r) + 1.0);
    return rounded(p * bitcast<f32>((bitcast<u32>(shifted) + 127u) << 23u));
}

// The sum of eight lanes, as a tree.
fn sum_lanes(low: vec4<f32>, high: vec4<f32>) -> f32 {
    let pairs = rounded_each(low + high);
    return rounded(rounded(pairs.x + pairs.z) + rounded(pairs.y + pairs.w));
}
