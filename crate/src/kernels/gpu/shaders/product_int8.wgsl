// An 8-bit product: rows of quantised activations times rows of quantised weights. Each workgroup
// computes a tile of the output. Sums are integers within a block and f32 between blocks.
//
// Preceded by packed_dot.wgsl or unpacked_dot.wgsl (the types `Elements` and `Sum` with `elements` and
// `multiply`), int8_params.wgsl and the constants `ROWS` and `COLUMNS`, a thread's part of the output;
// `INT14`, whether some columns use 14-bit activations; `QUADS`, the vectors of 16 bytes of a row in a
// tile; `X_LOADS` and `W_LOADS`, the vectors that each thread loads.

const SIDE: u32 = 16u;
const THREADS: u32 = SIDE * SIDE;
const TILE_ROWS: u32 = SIDE * ROWS;
const TILE_COLUMNS: u32 = SIDE * COLUMNS;
// Vectors in a block of one scale.
const BLOCK: u32 = 8u;

var<workgroup> x_tile: array<vec4<u32>, QUADS * TILE_ROWS>;
var<workgroup> w_tile: array<vec4<u32>, QUADS * TILE_COLUMNS>;
#if INT14
var<workgroup> low_tile: array<vec4<u32>, QUADS * TILE_ROWS>;
#end

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first_row = group.y * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let quads = params.words / 4u;
    let member = group.z;
    let tx = thread % SIDE;
    let ty = thread / SIDE;
    // Rows and columns beyond the last compute the last once more, and are not stored.
    let last_row = params.rows - 1u;
    let last_column = params.columns - 1u;
    #if INT14
    let int14 = first_column < params.int14_columns;
    #end

    // The vectors that this thread loads. Vectors of the same column are adjacent in a tile, so that
    // neighbouring threads read neighbouring banks; they are rotated by their column, so that threads that
    // write a row use different banks, too.
    #repeat l X_LOADS
    let x_place_$l = (thread + $lu * THREADS) % QUADS;
    let x_line_$l = (thread + $lu * THREADS) / QUADS;
    let x_from_$l = (member * params.rows + min(first_row + x_line_$l, last_row)) * quads;
    let x_to_$l = x_place_$l * TILE_ROWS + (x_line_$l ^ x_place_$l);
    #end
    #repeat l W_LOADS
    let w_place_$l = (thread + $lu * THREADS) % QUADS;
    let w_line_$l = (thread + $lu * THREADS) / QUADS;
    let w_from_$l = params.w_offset + member * params.w_member
        + min(first_column + w_line_$l, last_column) * quads;
    let w_to_$l = w_place_$l * TILE_COLUMNS + (w_line_$l ^ w_place_$l);
    #end

    #repeat i ROWS
    let x_scale_from_$i = x_scale_at(member, min(first_row + ty + $iu * SIDE, last_row), 0u);
    #repeat j COLUMNS
    var total_$i_$j = 0.0;
    var sum_$i_$j = Sum();
    #if INT14
    var low_sum_$i_$j = Sum();
    #end
    #end
    #end
    #repeat j COLUMNS
    let w_scale_from_$j = w_scale_at(member, min(first_column + tx + $ju * SIDE, last_column), 0u);
    #if INT14
    let int14_$j = first_column + tx + $ju * SIDE < params.int14_columns;
    #end
    #end

    for (var first = 0u; first < quads; first += QUADS) {
        // All loads are issued before the first is used.
        #repeat l X_LOADS
        var x_next_$l = x[x_from_$l + min(first + x_place_$l, quads - 1u)];
        #if INT14
        var low_next_$l = vec4<u32>();
        if int14 {
            low_next_$l = low_bits[x_from_$l + min(first + x_place_$l, quads - 1u)];
        }
        #end
        #end
        #repeat l W_LOADS
        let w_next_$l = weights[w_from_$l + min(first + w_place_$l, quads - 1u)];
        #end
        let block = first / BLOCK;
        #repeat i ROWS
        let x_scale_$i = x_scales[x_scale_from_$i + block];
        #end
        #repeat j COLUMNS
        let w_scale_$j = scales[w_scale_from_$j + block];
        #end
        #repeat l X_LOADS
        // Zeros beyond the end of a row.
        if first + x_place_$l >= quads {
            x_next_$l = vec4<u32>();
            #if INT14
            low_next_$l = vec4<u32>();
            #end
        }
        if x_line_$l < TILE_ROWS {
            x_tile[x_to_$l] = x_next_$l;
            #if INT14
            low_tile[x_to_$l] = low_next_$l;
            #end
        }
        #end
        #repeat l W_LOADS
        if w_line_$l < TILE_COLUMNS {
            w_tile[w_to_$l] = w_next_$l;
        }
        #end
        workgroupBarrier();
        for (var quad = 0u; quad < QUADS; quad++) {
            let x_at = quad * TILE_ROWS + (ty ^ quad);
            let w_at = quad * TILE_COLUMNS + (tx ^ quad);
            #repeat j COLUMNS
            let w_$j = elements(w_tile[w_at + $ju * SIDE]);
            #end
            #repeat i ROWS
            let x_$i = elements(x_tile[x_at + $iu * SIDE]);
            #repeat j COLUMNS
            sum_$i_$j += multiply(x_$i, w_$j);
            #end
            #end
            #if INT14
            if int14 {
                #repeat i ROWS
                let low_$i = elements(low_tile[x_at + $iu * SIDE]);
                #repeat j COLUMNS
                low_sum_$i_$j += multiply(low_$i, w_$j);
                #end
                #end
            }
            #end
        }
        workgroupBarrier();
        if (first + QUADS) % BLOCK == 0u || first + QUADS >= quads {
            #repeat i ROWS
            #repeat j COLUMNS
            var scaled_$i_$j = rounded(f32(sum_$i_$j) * x_scale_$i);
            #if INT14
            if int14_$j {
                scaled_$i_$j = scaled_int14(f32(sum_$i_$j), f32(low_sum_$i_$j), x_scale_$i);
            }
            low_sum_$i_$j = Sum();
            #end
            total_$i_$j = with_block(total_$i_$j, scaled_$i_$j, w_scale_$j);
            sum_$i_$j = Sum();
            #end
            #end
        }
    }
    #repeat i ROWS
    #repeat j COLUMNS
    store(member, first_row + ty + $iu * SIDE, first_column + tx + $ju * SIDE, total_$i_$j);
    #end
    #end
}
