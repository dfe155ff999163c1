// Quantises rows of weights of different lengths to signed bytes with a scale for each block of 128. Every
// member of a population has the same layout.
//
// Preceded by exact.wgsl.

// Each thread quantises four values of a block.
const THREADS: u32 = 32u;
const LARGEST_WEIGHT: f32 = 127.0;
const SMALLEST: f32 = 1e-30;

struct Params {
    rows: u32,
    // Numbers of a member's values, words and scales.
    values: u32,
    words: u32,
    scales: u32,
    zero: u32,
}

struct Row {
    // First value in a member's `source`, number of values, first word in its `packed`, first scale.
    source: u32,
    width: u32,
    word: u32,
    scale: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> source: array<f32>;
@group(0) @binding(3) var<storage, read_write> packed: array<u32>;
@group(0) @binding(4) var<storage, read_write> scales: array<f32>;

var<workgroup> sizes: array<vec4<f32>, THREADS / 4u>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = group.x + group.y * groups.x;
    if index >= params.rows {
        return;
    }
    let member = group.z;
    let row = rows[index];
    let start = member * params.values + row.source;
    for (var block = 0u; block * THREADS * 4u < row.width; block++) {
        let word = block * THREADS + thread;
        var values = vec4<f32>();
        #repeat k 4
        if word * 4u + $ku < row.width {
            values[$k] = source[start + word * 4u + $ku];
        }
        #end
        let own = abs(values);
        sizes[thread / 4u][thread % 4u] = max(max(own.x, own.y), max(own.z, own.w));
        workgroupBarrier();
        var all = vec4<f32>();
        #repeat k 8
        all = max(all, sizes[$k]);
        #end
        let largest = max(max(all.x, all.y), max(all.z, all.w));
        workgroupBarrier();
        var factor = 0.0;
        var unit = 0.0;
        if largest >= SMALLEST {
            factor = quotient(LARGEST_WEIGHT, largest);
            unit = quotient(largest, LARGEST_WEIGHT);
        }
        if word * 4u < row.width {
            // Ties round to even.
            let integers = vec4<i32>(round(rounded_each(values * factor)));
            let bytes = vec4<u32>(integers) & vec4<u32>(0xffu);
            packed[member * params.words + row.word + word] =
                bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
        }
        if thread == 0u {
            scales[member * params.scales + row.scale + block] = unit;
        }
    }
}
