// An f32 product. Each workgroup computes a tile of the output.
//
// Preceded by float_params.wgsl and the constants `ROWS` and `COLUMNS`, a thread's part of the output.

const SIDE: u32 = 16u;
const THREADS: u32 = SIDE * SIDE;
const TILE_ROWS: u32 = SIDE * ROWS;
const TILE_COLUMNS: u32 = SIDE * COLUMNS;
const DEPTH: u32 = 16u;

// One more than a row, so that threads that write a column use different banks.
const X_STRIDE: u32 = TILE_ROWS + 1u;
const W_STRIDE: u32 = TILE_COLUMNS + 1u;

var<workgroup> x_tile: array<f32, DEPTH * X_STRIDE>;
var<workgroup> w_tile: array<f32, DEPTH * W_STRIDE>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let member = group.z;
    let first_row = group.y * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let x_start = (member * params.rows + first_row) * params.x_stride + params.x_offset;
    let w_start = params.w_offset + member * params.w_member + first_column * params.w_stride;
    let tx = thread % SIDE;
    let ty = thread / SIDE;

    #repeat i ROWS
    #repeat j COLUMNS
    var sum_$i_$j = 0.0;
    #end
    #end
    for (var depth = 0u; depth < params.depth; depth += DEPTH) {
        // `tx` is along the reduction, which is contiguous in memory.
        let k = depth + tx;
        // All loads are issued before the first is used.
        #repeat i ROWS
        var x_next_$i = 0.0;
        if first_row + ty + $iu * SIDE < params.rows && k < params.depth {
            x_next_$i = x[x_start + (ty + $iu * SIDE) * params.x_stride + k];
        }
        #end
        #repeat j COLUMNS
        var w_next_$j = 0.0;
        if first_column + ty + $ju * SIDE < params.columns && k < params.depth {
            w_next_$j = weights[w_start + (ty + $ju * SIDE) * params.w_stride + k];
        }
        #end
        #repeat i ROWS
        x_tile[tx * X_STRIDE + ty + $iu * SIDE] = x_next_$i;
        #end
        #repeat j COLUMNS
        w_tile[tx * W_STRIDE + ty + $ju * SIDE] = w_next_$j;
        #end
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            #repeat j COLUMNS
            let w_$j = w_tile[k * W_STRIDE + tx + $ju * SIDE];
            #end
            #repeat i ROWS
            let x_$i = x_tile[k * X_STRIDE + ty + $iu * SIDE];
            #repeat j COLUMNS
            sum_$i_$j += x_$i * w_$j;
            #end
            #end
        }
        workgroupBarrier();
    }
    #repeat i ROWS
    #repeat j COLUMNS
    store(member, first_row + ty + $iu * SIDE, first_column + tx + $ju * SIDE, sum_$i_$j);
    #end
    #end
}
