// An 8-bit product for a few rows of activations, as in decoding: the threads of a workgroup share the
// reduction of each column, so that the weights are read once and in order.
//
// Preceded by packed_dot.wgsl or unpacked_dot.wgsl, int8_params.wgsl and the constants `ROWS`, the rows of
// a workgroup, and `INT14`, whether some columns use 14-bit activations.

const LANES: u32 = 16u;
const COLUMNS: u32 = 8u;
const THREADS: u32 = LANES * COLUMNS;
// Vectors of 16 bytes that a lane processes at a time, half a block of one scale.
const QUADS: u32 = 4u;
// Blocks that the lanes of a column process together.
const BLOCKS: u32 = LANES / 2u;

// Sums of half blocks.
var<workgroup> partial: array<Sum, ROWS * THREADS>;
#if INT14
var<workgroup> low_partial: array<Sum, ROWS * THREADS>;
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
    // Rows and columns beyond the last compute the last once more, and are not stored.
    let w_start = params.w_offset + member * params.w_member
        + min(column, params.columns - 1u) * quads;
    #repeat i ROWS
    let x_start_$i = (member * params.rows + min(first_row + $iu, params.rows - 1u)) * quads;
    #end
    // The output row whose blocks this thread sums, if it is one of the first lanes.
    let row = first_row + lane;
    let adds = lane < ROWS && row < params.rows && column < params.columns;
    #if INT14
    let int14 = column < params.int14_columns;
    #end

    var total = 0.0;
    for (var first = 0u; first < params.blocks; first += BLOCKS) {
        let first_quad = (first * 2u + lane) * QUADS;
        #repeat i ROWS
        var sum_$i = Sum();
        #if INT14
        var low_sum_$i = Sum();
        #end
        #end
        // All loads are issued before the first is used.
        #repeat k 4
        let quad_$k = min(first_quad + $ku, quads - 1u);
        let w_$k = weights[w_start + quad_$k];
        #repeat i ROWS
        let x_$k_$i = x[x_start_$i + quad_$k];
        #if INT14
        let low_$k_$i = low_bits[x_start_$i + quad_$k];
        #end
        #end
        #end
        #repeat k 4
        if first_quad + $ku < quads {
            let w = elements(w_$k);
            #repeat i ROWS
            sum_$i += multiply(elements(x_$k_$i), w);
            #if INT14
            low_sum_$i += multiply(elements(low_$k_$i), w);
            #end
            #end
        }
        #end
        #repeat i ROWS
        partial[$iu * THREADS + thread] = sum_$i;
        #if INT14
        low_partial[$iu * THREADS + thread] = low_sum_$i;
        #end
        #end
        workgroupBarrier();
        if adds {
            let start = lane * THREADS + thread - lane;
            for (var i = 0u; i < min(BLOCKS, params.blocks - first); i++) {
                let at = start + 2u * i;
                let x_at = x_scale_at(member, row, first + i);
                let high = f32(partial[at] + partial[at + 1u]);
                var scaled = rounded(high * x_scales[x_at]);
                #if INT14
                if int14 {
                    let low = f32(low_partial[at] + low_partial[at + 1u]);
                    scaled = scaled_int14(high, low, x_scales[x_at]);
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
