// Gathers rows of an embedding. This dispatch has the rows of `count` tokens from `first` on; others
// write the rows of other tokens.

struct Params {
    rows: u32,
    // Number of tokens, after which they repeat.
    period: u32,
    width: u32,
    first: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read> embedding: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= params.rows {
        return;
    }
    let token = tokens[row % params.period];
    if token < params.first || token - params.first >= params.count {
        return;
    }
    let source = (token - params.first) * params.width;
    for (var column = thread; column < params.width; column += 128u) {
        out[row * params.width + column] = embedding[source + column];
    }
}
