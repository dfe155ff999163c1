// A product in 8 bits for a few rows of activations, as decoding has: the threads of a workgroup
// share the reduction of each column, so that the weights are read once and in order.
//
// Before it stand `ROWS`, the rows that a workgroup takes, how a word of four bytes is multiplied (see
// product_int8.wgsl), and int8_params.wgsl.

const LANES: u32 = 16u;
const COLUMNS: u32 = 8u;
const THREADS: u32 = LANES * COLUMNS;
// Vectors of 16 bytes that a lane takes at a time, half of those between two changes of scale.
const QUADS: u32 = 4u;
// Blocks that the lanes of a column take together.
const BLOCKS: u32 = LANES / 2u;

// Sums of half a block each.
var<workgroup> partial: array<Sum, ROWS * THREADS>;
var<workgroup> rest_partial: array<Sum, ROWS * THREADS>;

fn dot_of_vectors(a: vec4<u32>, b: vec4<u32>) -> Sum {
    return multiply(element(a.x), element(b.x))
        + multiply(element(a.y), element(b.y))
        + multiply(element(a.z), element(b.z))
        + multiply(element(a.w), element(b.w));
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let column = group.x * COLUMNS + thread / LANES;
    let lane = thread % LANES;
    let first_row = group.y * ROWS;
    let quads = params.words / 4u;
    let member = group.z;
    let x_start = member * params.rows + first_row;
    let w_start = params.w_offset + member * params.w_member + column * quads;
    // The row of the output whose blocks this thread adds up, if it is one of the first lanes.
    let row = first_row + lane;
    let adds = lane < ROWS && row < params.rows && column < params.columns;

    var total = 0.0;
    for (var first = 0u; first < params.blocks; first += BLOCKS) {
        var sums: array<Sum, ROWS>;
        var rest_sums: array<Sum, ROWS>;
        for (var i = 0u; i < ROWS; i++) {
            sums[i] = Sum();
            rest_sums[i] = Sum();
        }
        if column < params.columns {
            let first_quad = (first * 2u + lane) * QUADS;
            for (var quad = first_quad; quad < min(first_quad + QUADS, quads); quad++) {
                let w = weights[w_start + quad];
                for (var i = 0u; i < ROWS; i++) {
                    if first_row + i < params.rows {
                        let at = (x_start + i) * quads + quad;
                        sums[i] += dot_of_vectors(x[at], w);
                        if column < params.fine {
                            rest_sums[i] += dot_of_vectors(rest[at], w);
                        }
                    }
                }
            }
        }
        for (var i = 0u; i < ROWS; i++) {
            partial[i * THREADS + thread] = sums[i];
            rest_partial[i * THREADS + thread] = rest_sums[i];
        }
        workgroupBarrier();
        if adds {
            let start = lane * THREADS + thread - lane;
            for (var i = 0u; i < min(BLOCKS, params.blocks - first); i++) {
                let at = start + 2u * i;
                let integers = f32(partial[at] + partial[at + 1u]);
                let rest_integers = f32(rest_partial[at] + rest_partial[at + 1u]);
                total = with_block(
                    total, member, row, column, first + i, integers, rest_integers,
                );
            }
        }
        workgroupBarrier();
    }
    if adds {
        store(member, row, column, total);
    }
}
