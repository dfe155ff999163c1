// An f32 product for a few rows, as in decoding: the threads of a workgroup share the reduction of each
// column.
//
// Preceded by float_params.wgsl and the constant `ROWS`, the rows of a workgroup.

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

    #repeat i ROWS
    var sum_$i = 0.0;
    let x_start_$i = x_start + min($iu, params.rows - 1u - first_row) * params.x_stride;
    #end
    if column < params.columns {
        for (var k = lane; k < params.depth; k += LANES) {
            let w = weights[w_start + k];
            #repeat i ROWS
            sum_$i += x[x_start_$i + k] * w;
            #end
        }
    }
    #repeat i ROWS
    partial[$iu * THREADS + thread] = sum_$i;
    #end
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half >>= 1u) {
        if lane < half {
            #repeat i ROWS
            partial[$iu * THREADS + thread] += partial[$iu * THREADS + thread + half];
            #end
        }
        workgroupBarrier();
    }
    if lane < ROWS {
        store(member, first_row + lane, column, partial[lane * THREADS + thread - lane]);
    }
}
