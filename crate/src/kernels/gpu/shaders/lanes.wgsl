// Sums over a workgroup in the CPU's order: eight lanes, each of every eighth value, then the lanes. The
// kernel declares `partial`, an array of CHUNK numbers, a multiple of 64.

const LANES: u32 = 8u;

// Adds the numbers in `partial` to their lanes; thread i passes lane i, and gets its new value.
fn add_to_lanes(lane: f32, thread: u32) -> f32 {
    workgroupBarrier();
    var sum = lane;
    if thread < LANES {
        for (var i = thread; i < CHUNK; i += LANES * LANES) {
            #repeat k 8
            let value_$k = partial[i + $ku * LANES];
            #end
            #repeat k 8
            sum = rounded(sum + value_$k);
            #end
        }
    }
    workgroupBarrier();
    return sum;
}

// The sum of all lanes.
fn total_of_lanes(lane: f32, thread: u32) -> f32 {
    if thread < LANES {
        partial[thread] = lane;
    }
    workgroupBarrier();
    return sum_lanes(
        vec4<f32>(partial[0], partial[1], partial[2], partial[3]),
        vec4<f32>(partial[4], partial[5], partial[6], partial[7]),
    );
}
