// A product in f32, a tile of the output in each workgroup.
//
// Before it stand `ROWS` and `COLUMNS` of the output for each thread, and float_params.wgsl.

const SIDE: u32 = 16u;
const THREADS: u32 = SIDE * SIDE;
const TILE_ROWS: u32 = SIDE * ROWS;
const TILE_COLUMNS: u32 = SIDE * COLUMNS;
const DEPTH: u32 = 16u;

// One more than a row holds, so that the threads that write a column meet different banks.
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

    var sums: array<f32, ROWS * COLUMNS>;
    for (var i = 0u; i < ROWS * COLUMNS; i++) {
        sums[i] = 0.0;
    }
    for (var depth = 0u; depth < params.depth; depth += DEPTH) {
        // `tx` runs along the reduction, which lies in order in memory.
        let k = depth + tx;
        for (var row = ty; row < TILE_ROWS; row += SIDE) {
            var value = 0.0;
            if first_row + row < params.rows && k < params.depth {
                value = x[x_start + row * params.x_stride + k];
            }
            x_tile[tx * X_STRIDE + row] = value;
        }
        for (var column = ty; column < TILE_COLUMNS; column += SIDE) {
            var value = 0.0;
            if first_column + column < params.columns && k < params.depth {
                value = weights[w_start + column * params.w_stride + k];
            }
            w_tile[tx * W_STRIDE + column] = value;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            var w: array<f32, COLUMNS>;
            for (var j = 0u; j < COLUMNS; j++) {
                w[j] = w_tile[k * W_STRIDE + tx + j * SIDE];
            }
            for (var i = 0u; i < ROWS; i++) {
                let value = x_tile[k * X_STRIDE + ty + i * SIDE];
                for (var j = 0u; j < COLUMNS; j++) {
                    sums[i * COLUMNS + j] += value * w[j];
                }
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < ROWS; i++) {
        for (var j = 0u; j < COLUMNS; j++) {
            let row = first_row + ty + i * SIDE;
            store(member, row, first_column + tx + j * SIDE, sums[i * COLUMNS + j]);
        }
    }
}
