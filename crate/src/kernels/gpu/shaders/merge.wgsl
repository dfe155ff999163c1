// The LoRA branches' matrices for each member of a population: Σ coefficient · module over adjacent
// matrices.
//
// Preceded by exact.wgsl and the constant `MEMBERS`, whose sums a thread computes together.

struct Params {
    members: u32,
    modules: u32,
    values: u32,
    // Index of a module's coefficient for these values among all of the module.
    first: u32,
    // Coefficients of a module.
    step: u32,
    zero: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// `[members, modules, step]`
@group(0) @binding(1) var<storage, read> coefficients: array<f32>;
// `[modules, values]`
@group(0) @binding(2) var<storage, read> sources: array<f32>;
// `[members, values]`
@group(0) @binding(3) var<storage, read_write> merged: array<f32>;

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let value = (group.x + group.y * groups.x) * 128u + thread;
    if value >= params.values {
        return;
    }
    for (var first = 0u; first < params.members; first += MEMBERS) {
        #repeat i MEMBERS
        var sum_$i = 0.0;
        let row_$i = min(first + $iu, params.members - 1u) * params.modules * params.step + params.first;
        #end
        for (var adapter = 0u; adapter < params.modules; adapter++) {
            let source = sources[adapter * params.values + value];
            #repeat i MEMBERS
            sum_$i = rounded(sum_$i + rounded(coefficients[row_$i + adapter * params.step] * source));
            #end
        }
        #repeat i MEMBERS
        if first + $iu < params.members {
            merged[(first + $iu) * params.values + value] = sum_$i;
        }
        #end
    }
}
