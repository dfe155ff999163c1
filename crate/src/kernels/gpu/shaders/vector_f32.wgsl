// A product in f32 for a few rows, as decoding has: the threads of a workgroup share the reduction of
// each column.
//
// Before it stand `ROWS`, the rows that a workgroup takes, and float_params.wgsl.

const LANES: u32 = 16u;
const COLUMNS: u32 = 8u;
const THREADS: u32 = LANES * COLUMNS;

var<workgroup> partial: array<f32, ROWS * THREADS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let member = group.z;
    let first_row = group.y * ROWS;
    let column = group.x * COLUMNS + thread / LANES;
    let lane = thread % LANES;
    let x_start = (member * params.rows + first_row) * params.x_stride + params.x_offset;
    let w_start = params.w_offset + member * params.w_member + column * params.w_stride;

    var sums: array<f32, ROWS>;
    for (var i = 0u; i < ROWS; i++) {
        sums[i] = 0.0;
    }
    if column < params.columns {
        for (var k = lane; k < params.depth; k += LANES) {
            let w = weights[w_start + k];
            for (var i = 0u; i < ROWS; i++) {
                if first_row + i < params.rows {
                    sums[i] += x[x_start + i * params.x_stride + k] * w;
                }
            }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        partial[i * THREADS + thread] = sums[i];
    }
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half >>= 1u) {
        if lane < half {
            for (var i = 0u; i < ROWS; i++) {
                let at = i * THREADS + thread;
                partial[at] += partial[at + half];
            }
        }
        workgroupBarrier();
    }
    if lane < ROWS {
        store(member, first_row + lane, column, partial[lane * THREADS + thread - lane]);
    }
}
