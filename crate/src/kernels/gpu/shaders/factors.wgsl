// The factor of each rank of each LoRA branch for each member of a population: its scaling, times its
// coefficient if it has one.

const ALL_MODULES: u32 = 0xffffffffu;

struct Params {
    members: u32,
    row: u32,
    ranks: u32,
}

struct Rank {
    coefficient: u32,
    scaling: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// `[members, row]`
@group(0) @binding(1) var<storage, read> coefficients: array<f32>;
@group(0) @binding(2) var<storage, read> ranks: array<Rank>;
// `[members, ranks]`
@group(0) @binding(3) var<storage, read_write> factors: array<f32>;

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (group.x + group.y * groups.x) * 128u + thread;
    if index >= params.members * params.ranks {
        return;
    }
    let rank = ranks[index % params.ranks];
    var factor = rank.scaling;
    if rank.coefficient != ALL_MODULES {
        factor *= coefficients[index / params.ranks * params.row + rank.coefficient];
    }
    factors[index] = factor;
}
