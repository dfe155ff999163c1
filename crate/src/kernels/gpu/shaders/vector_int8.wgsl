// A product in 8 bits for a few rows of activations, as decoding has: the threads of a workgroup
// share the reduction of each column, so that the weights are read once and in order.
//
// Before it stand `ROWS`, the rows that a workgroup takes, whether some columns are `FINE`, how bytes
// are multiplied (see product_int8.wgsl), and int8_params.wgsl.

const LANES: u32 = 16u;
const COLUMNS: u32 = 8u;
const THREADS: u32 = LANES * COLUMNS;
// Vectors of 16 bytes that a lane takes at a time, half of those between two changes of scale.
const QUADS: u32 = 4u;
// Blocks that the lanes of a column take together.
const BLOCKS: u32 = LANES / 2u;

// Sums of half a block each.
var<workgroup> partial: array<Sum, ROWS * THREADS>;
#if FINE
var<workgroup> lower_partial: array<Sum, ROWS * THREADS>;
#end

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
    // Rows and columns beyond the last are computed as the last, and not stored.
    let w_start = params.w_offset + member * params.w_member
        + min(column, params.columns - 1u) * quads;
    #repeat i ROWS
    let x_start_$i = (member * params.rows + min(first_row + $iu, params.rows - 1u)) * quads;
    #end
    // The row of the output whose blocks this thread adds up, if it is one of the first lanes.
    let row = first_row + lane;
    let adds = lane < ROWS && row < params.rows && column < params.columns;
    #if FINE
    let fine = column < params.fine;
    #end

    var total = 0.0;
    for (var first = 0u; first < params.blocks; first += BLOCKS) {
        let first_quad = (first * 2u + lane) * QUADS;
        #repeat i ROWS
        var sum_$i = Sum();
        #if FINE
        var lower_sum_$i = Sum();
        #end
        #end
        // All are fetched before any is waited for.
        #repeat k 4
        let quad_$k = min(first_quad + $ku, quads - 1u);
        let w_$k = weights[w_start + quad_$k];
        #repeat i ROWS
        let x_$k_$i = x[x_start_$i + quad_$k];
        #if FINE
        let lower_$k_$i = lower[x_start_$i + quad_$k];
        #end
        #end
        #end
        #repeat k 4
        if first_quad + $ku < quads {
            let w = elements(w_$k);
            #repeat i ROWS
            sum_$i += multiply(elements(x_$k_$i), w);
            #if FINE
            lower_sum_$i += multiply(elements(lower_$k_$i), w);
            #end
            #end
        }
        #end
        #repeat i ROWS
        partial[$iu * THREADS + thread] = sum_$i;
        #if FINE
        lower_partial[$iu * THREADS + thread] = lower_sum_$i;
        #end
        #end
        workgroupBarrier();
        if adds {
            let start = lane * THREADS + thread - lane;
            for (var i = 0u; i < min(BLOCKS, params.blocks - first); i++) {
                let at = start + 2u * i;
                let x_at = x_scale_at(member, row, first + i);
                let upper = f32(partial[at] + partial[at + 1u]);
                var scaled = rounded(upper * x_scales[x_at]);
                #if FINE
                if fine {
                    let below = f32(lower_partial[at] + lower_partial[at + 1u]);
                    scaled = scaled_finely(upper, below, x_scales[x_at]);
                }
                #end
                total = with_block(total, scaled, scales[w_scale_at(member, column, first + i)]);
            }
        }
        workgroupBarrier();
    }
    if adds {
        store(member, row, column, total);
    }
}
