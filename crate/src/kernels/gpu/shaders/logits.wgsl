// Reduces a row of logits to the largest and its index, the logit of the row's label, and the sum of
// exponentials in the CPU's order.
//
// Preceded by exact.wgsl, lanes.wgsl and the constant `SUMMED`, whether there are labels and a sum.

const THREADS: u32 = 256u;
// Numbers per step of the sum, eight for each thread.
const CHUNK: u32 = 2048u;
const LOWEST: f32 = -3.0e38;

struct Params {
    rows: u32,
    columns: u32,
    // Index of the first row among all rows; labels repeat every `period` rows.
    first: u32,
    period: u32,
    zero: u32,
}

struct State {
    largest: f32,
    sum: f32,
    label: f32,
    token: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> states: array<State>;

var<workgroup> partial: array<f32, CHUNK>;
var<workgroup> tokens: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= params.rows {
        return;
    }
    let start = row * params.columns;
    var best = LOWEST;
    var best_token = thread;
    for (var column = thread; column < params.columns; column += CHUNK) {
        // Indices beyond the last column read the last, which changes no maximum.
        #repeat k 8
        let column_$k = min(column + $ku * THREADS, params.columns - 1u);
        let value_$k = logits[start + column_$k];
        #end
        #repeat k 8
        if value_$k > best {
            best = value_$k;
            best_token = column_$k;
        }
        #end
    }
    partial[thread] = best;
    tokens[thread] = best_token;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
        if thread < half {
            let other = partial[thread + half];
            let other_token = tokens[thread + half];
            let same = other == partial[thread];
            // The lowest token of equals.
            if other > partial[thread] || (same && other_token < tokens[thread]) {
                partial[thread] = other;
                tokens[thread] = other_token;
            }
        }
        workgroupBarrier();
    }
    var state = State(partial[0], 0.0, 0.0, tokens[0]);
    workgroupBarrier();
    if SUMMED {
        var sum = 0.0;
        for (var first = 0u; first < params.columns; first += CHUNK) {
            #repeat k 8
            let column_$k = first + thread + $ku * THREADS;
            let logit_$k = logits[start + min(column_$k, params.columns - 1u)];
            #end
            #repeat k 8
            let value_$k = exponential(rounded(logit_$k - state.largest));
            partial[thread + $ku * THREADS] = select(0.0, value_$k, column_$k < params.columns);
            #end
            sum = add_to_lanes(sum, thread);
        }
        state.sum = total_of_lanes(sum, thread);
        let label = labels[(params.first + row) % params.period];
        state.label = logits[start + min(label, params.columns - 1u)];
    }
    if thread == 0u {
        states[params.first + row] = state;
    }
}
