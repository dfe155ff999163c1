// Prepares rows of activations for a product: applies T5's norm, an activation function or nothing, then
// quantises to 7 bits in blocks of 128 with a scale each, and to 7 low bits of the remainder.
//
// Preceded by exact.wgsl, lanes.wgsl and the constants `MODE`, one of those below, `QUANTIZE`, and
// `INT14`, whether it writes the low bits.

const PLAIN: u32 = 0u;
const NORM: u32 = 1u;
const GATED_GELU: u32 = 2u;
const RELU: u32 = 3u;

const THREADS: u32 = 128u;
// Squares per step of the sum, eight for each thread.
const CHUNK: u32 = 1024u;
// Threads that quantise a block, four values each.
const BLOCK_THREADS: u32 = 32u;
const LARGEST_ACTIVATION: f32 = 63.0;
// Number of low-part steps per high-part step of a 14-bit activation.
const LOW_STEPS: f32 = 128.0;
const SMALLEST: f32 = 1e-30;

struct Params {
    rows: u32,
    width: u32,
    // Distance between the starts of two rows of `x`; a gated row is the gate, then the other factor.
    x_stride: u32,
    x_offset: u32,
    // Words per quantised row, padded with zeros.
    words: u32,
    // Scales per quantised row.
    blocks: u32,
    epsilon: f32,
    factor: f32,
    zero: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> packed: array<u32>;
@group(0) @binding(5) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> low_bits: array<u32>;

var<workgroup> partial: array<f32, CHUNK>;
var<workgroup> sizes: array<vec4<f32>, THREADS / 4u>;

fn gelu(value: f32) -> f32 {
    // (1 + tanh u)/2 = 1/(1 + e^(−2u))
    let cube = rounded(rounded(value * value) * value);
    let twice_u = rounded(1.595769 * rounded(value + rounded(0.044715 * cube)));
    return quotient(value, rounded(1.0 + exponential(-twice_u)));
}

fn value_at(start: u32, column: u32, inverse: f32) -> f32 {
    let value = x[start + column];
    if MODE == NORM {
        return rounded(rounded(value * inverse) * weight[column]);
    }
    if MODE == GATED_GELU {
        return rounded(gelu(value) * x[start + params.width + column]);
    }
    if MODE == RELU {
        return max(value, 0.0);
    }
    return value;
}

// Σ x² of a row in the CPU's order.
fn sum_of_squares(start: u32, thread: u32) -> f32 {
    var sum = 0.0;
    for (var first = 0u; first < params.width; first += CHUNK) {
        #repeat k 8
        let column_$k = first + thread + $ku * THREADS;
        let value_$k = x[start + min(column_$k, params.width - 1u)];
        #end
        #repeat k 8
        let square_$k = rounded(value_$k * value_$k);
        partial[thread + $ku * THREADS] = select(0.0, square_$k, column_$k < params.width);
        #end
        sum = add_to_lanes(sum, thread);
    }
    return total_of_lanes(sum, thread);
}

// The largest absolute value of a block.
fn block_largest(values: vec4<f32>, thread: u32) -> f32 {
    let own = abs(values);
    sizes[thread / 4u][thread % 4u] = max(max(own.x, own.y), max(own.z, own.w));
    workgroupBarrier();
    let first = thread / BLOCK_THREADS * (BLOCK_THREADS / 4u);
    var largest = vec4<f32>();
    #repeat k 8
    largest = max(largest, sizes[first + $ku]);
    #end
    workgroupBarrier();
    return max(max(largest.x, largest.y), max(largest.z, largest.w));
}

// Values divided by the scale of their block.
fn in_units(values: vec4<f32>, largest: f32) -> vec4<f32> {
    var factor = 0.0;
    if largest >= SMALLEST {
        factor = quotient(LARGEST_ACTIVATION, largest);
    }
    return rounded_each(values * factor);
}

fn unit_of(largest: f32) -> f32 {
    if largest >= SMALLEST {
        return quotient(largest, LARGEST_ACTIVATION);
    }
    return 0.0;
}

fn pack(integers: vec4<i32>) -> u32 {
    let bytes = vec4<u32>(integers) & vec4<u32>(0xffu);
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= params.rows {
        return;
    }
    let start = row * params.x_stride + params.x_offset;
    var inverse = 1.0;
    if MODE == NORM {
        let mean = quotient(sum_of_squares(start, thread), f32(params.width));
        inverse = quotient(params.factor, root(rounded(mean + params.epsilon)));
    }

    for (var first = 0u; first < params.words; first += THREADS) {
        let word = first + thread;
        var values = vec4<f32>();
        #repeat k 4
        if word * 4u + $ku < params.width {
            values[$k] = value_at(start, word * 4u + $ku, inverse);
            out[row * params.width + word * 4u + $ku] = values[$k];
        }
        #end
        if QUANTIZE {
            let at = row * params.words + word;
            let block = word / BLOCK_THREADS;
            let scale_at = row * params.blocks + block;
            let first_lane = thread % BLOCK_THREADS == 0u;
            let largest = block_largest(values, thread);
            let units = in_units(values, largest);
            // Ties round to even.
            let high = round(units);
            if word < params.words {
                packed[at] = pack(vec4<i32>(high));
                if first_lane && block < params.blocks {
                    scales[scale_at] = unit_of(largest);
                }
                if INT14 {
                    let left = min((units - high) * LOW_STEPS, vec4<f32>(LARGEST_ACTIVATION));
                    low_bits[at] = pack(vec4<i32>(round(left)));
                }
            }
        }
    }
}
