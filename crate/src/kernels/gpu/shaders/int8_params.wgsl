// The operands of an 8-bit product, and the sum over its blocks. A member of a population may have its
// own weights and its own factors of the output's columns.
//
// Preceded by exact.wgsl.

struct Params {
    // Rows of each member of a population.
    rows: u32,
    columns: u32,
    // Number of leading columns that use the 14-bit activations.
    int14_columns: u32,
    // Words per row, a multiple of 8.
    words: u32,
    // Scales per row.
    blocks: u32,
    // Start of the weights and distance between those of two members, in vectors of 16 bytes.
    w_offset: u32,
    w_member: u32,
    scale_offset: u32,
    scale_member: u32,
    out_stride: u32,
    out_offset: u32,
    // Whether column `c` of member `m` is multiplied by `factors[factor_offset + m·factor_member + c]`.
    scaled: u32,
    factor_offset: u32,
    factor_member: u32,
    // How the result is stored, one of the constants below.
    store: u32,
    zero: u32,
}

const REPLACE: u32 = 0u;
const ADD: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x_scales: array<f32>;
@group(0) @binding(3) var<storage, read> low_bits: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> scales: array<f32>;
@group(0) @binding(6) var<storage, read> factors: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

// Number of low-part steps per high-part step of a 14-bit activation.
const LOW_STEPS: f32 = 128.0;

fn place(member: u32, row: u32, column: u32) -> u32 {
    return (member * params.rows + row) * params.out_stride + params.out_offset + column;
}

// Index of the scale of a block of activations, and of a block of weights.
fn x_scale_at(member: u32, row: u32, block: u32) -> u32 {
    return (member * params.rows + row) * params.blocks + block;
}

fn w_scale_at(member: u32, column: u32, block: u32) -> u32 {
    return params.scale_offset + member * params.scale_member + column * params.blocks + block;
}

// The scaled sum of a block of 14-bit activations. The high sum has fewer than 24 bits, so only the
// addition rounds.
fn scaled_int14(high: f32, low: f32, x_scale: f32) -> f32 {
    return rounded(rounded(high * LOW_STEPS + low) * (x_scale / LOW_STEPS));
}

// Adds a block, already scaled by its activations' scale, to the sum.
fn with_block(sum: f32, scaled: f32, w_scale: f32) -> f32 {
    return rounded(sum + rounded(scaled * w_scale));
}

fn store(member: u32, row: u32, column: u32, sum: f32) {
    if row >= params.rows || column >= params.columns {
        return;
    }
    let at = place(member, row, column);
    var value = sum;
    if params.scaled != 0u {
        value *= factors[params.factor_offset + member * params.factor_member + column];
    }
    if params.store == ADD {
        out[at] += value;
    } else {
        out[at] = value;
    }
}
