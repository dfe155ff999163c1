// The operands of an f32 product. Each member of a population has `rows` rows, and may have its own
// weights and its own factors of the output's columns.

struct Params {
    rows: u32,
    columns: u32,
    depth: u32,
    x_stride: u32,
    x_offset: u32,
    w_stride: u32,
    w_offset: u32,
    // Distance between the weights of two members; 0 if they share them.
    w_member: u32,
    out_stride: u32,
    out_offset: u32,
    // Whether column `c` of member `m` is multiplied by `factors[factor_offset + m·factor_member + c]`.
    scaled: u32,
    factor_offset: u32,
    factor_member: u32,
    // Whether the result is added to the output.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> factors: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

fn store(member: u32, row: u32, column: u32, sum: f32) {
    if row >= params.rows || column >= params.columns {
        return;
    }
    let at = (member * params.rows + row) * params.out_stride + params.out_offset + column;
    var value = sum;
    if params.scaled != 0u {
        value *= factors[params.factor_offset + member * params.factor_member + column];
    }
    if params.add != 0u {
        out[at] += value;
    } else {
        out[at] = value;
    }
}
