// Writes the keys and values of one position to a cache `[rows, capacity, width]`.

struct Params {
    rows: u32,
    width: u32,
    x_stride: u32,
    x_offset: u32,
    capacity: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> decoded: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<f32>;

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= params.rows || decoded[0] >= params.capacity {
        return;
    }
    let start = (row * params.capacity + decoded[0]) * params.width;
    for (var column = thread; column < params.width; column += 128u) {
        cache[start + column] = x[row * params.x_stride + params.x_offset + column];
    }
}
