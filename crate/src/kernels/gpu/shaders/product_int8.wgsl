// A product in 8 bits, a tile of the output in each workgroup: rows of quantised activations times
// rows of quantised weights. Sums are integers within a block and f32 between blocks.
//
// Before it stand `ROWS` and `COLUMNS` of the output for each thread, how a word of four bytes is
// multiplied (the types `Element` and `Sum` with `element` and `multiply`), and int8_params.wgsl.

const SIDE: u32 = 16u;
const THREADS: u32 = SIDE * SIDE;
const TILE_ROWS: u32 = SIDE * ROWS;
const TILE_COLUMNS: u32 = SIDE * COLUMNS;
// Words of the reduction in a tile, and between two changes of scale.
const DEPTH: u32 = 8u;
const BLOCK: u32 = 32u;

// Word by word, so that neighbouring threads read neighbouring columns.
var<workgroup> x_tile: array<u32, DEPTH * TILE_ROWS>;
var<workgroup> rest_tile: array<u32, DEPTH * TILE_ROWS>;
var<workgroup> w_tile: array<u32, DEPTH * TILE_COLUMNS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first_row = group.y * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let fine = first_column < params.fine;
    let quads = params.words / 4u;
    let member = group.z;
    let x_start = member * params.rows;
    let w_start = params.w_offset + member * params.w_member;
    let tx = thread % SIDE;
    let ty = thread / SIDE;

    var totals: array<f32, ROWS * COLUMNS>;
    var sums: array<Sum, ROWS * COLUMNS>;
    var rest_sums: array<Sum, ROWS * COLUMNS>;
    for (var i = 0u; i < ROWS * COLUMNS; i++) {
        totals[i] = 0.0;
        sums[i] = Sum();
        rest_sums[i] = Sum();
    }
    for (var word = 0u; word < params.words; word += DEPTH) {
        let quad = word / 4u;
        for (var i = thread; i < TILE_ROWS * 2u; i += THREADS) {
            let row = i >> 1u;
            var four = vec4<u32>();
            var rest_four = vec4<u32>();
            if first_row + row < params.rows {
                let at = (x_start + first_row + row) * quads + quad + (i & 1u);
                four = x[at];
                if fine {
                    rest_four = rest[at];
                }
            }
            let at = (i & 1u) * 4u * TILE_ROWS + row;
            x_tile[at] = four.x;
            x_tile[at + TILE_ROWS] = four.y;
            x_tile[at + 2u * TILE_ROWS] = four.z;
            x_tile[at + 3u * TILE_ROWS] = four.w;
            rest_tile[at] = rest_four.x;
            rest_tile[at + TILE_ROWS] = rest_four.y;
            rest_tile[at + 2u * TILE_ROWS] = rest_four.z;
            rest_tile[at + 3u * TILE_ROWS] = rest_four.w;
        }
        for (var i = thread; i < TILE_COLUMNS * 2u; i += THREADS) {
            let column = i >> 1u;
            var four = vec4<u32>();
            if first_column + column < params.columns {
                four = weights[w_start + (first_column + column) * quads + quad + (i & 1u)];
            }
            let at = (i & 1u) * 4u * TILE_COLUMNS + column;
            w_tile[at] = four.x;
            w_tile[at + TILE_COLUMNS] = four.y;
            w_tile[at + 2u * TILE_COLUMNS] = four.z;
            w_tile[at + 3u * TILE_COLUMNS] = four.w;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            var w: array<Element, COLUMNS>;
            for (var j = 0u; j < COLUMNS; j++) {
                w[j] = element(w_tile[k * TILE_COLUMNS + tx + j * SIDE]);
            }
            for (var i = 0u; i < ROWS; i++) {
                let value = element(x_tile[k * TILE_ROWS + ty + i * SIDE]);
                for (var j = 0u; j < COLUMNS; j++) {
                    sums[i * COLUMNS + j] += multiply(value, w[j]);
                }
            }
            if fine {
                for (var i = 0u; i < ROWS; i++) {
                    let value = element(rest_tile[k * TILE_ROWS + ty + i * SIDE]);
                    for (var j = 0u; j < COLUMNS; j++) {
                        rest_sums[i * COLUMNS + j] += multiply(value, w[j]);
                    }
                }
            }
        }
        workgroupBarrier();
        let next = word + DEPTH;
        let block = word / BLOCK;
        if (next % BLOCK == 0u || next >= params.words) && block < params.blocks {
            for (var i = 0u; i < ROWS; i++) {
                let row = first_row + ty + i * SIDE;
                for (var j = 0u; j < COLUMNS; j++) {
                    let at = i * COLUMNS + j;
                    let column = first_column + tx + j * SIDE;
                    if row < params.rows && column < params.columns {
                        let integers = f32(sums[at]);
                        let rest_integers = f32(rest_sums[at]);
                        totals[at] = with_block(
                            totals[at], member, row, column, block, integers, rest_integers,
                        );
                    }
                    sums[at] = Sum();
                    rest_sums[at] = Sum();
                }
            }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        let row = first_row + ty + i * SIDE;
        for (var j = 0u; j < COLUMNS; j++) {
            store(member, row, first_column + tx + j * SIDE, totals[i * COLUMNS + j]);
        }
    }
}
