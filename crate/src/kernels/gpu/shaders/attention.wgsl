// Attention of one head over a run of queries of one example: softmax(q·kᵀ + bias)·v. The matrix of all
// scores is not materialised: scores that do not fit the tile are computed twice, for their maximum and
// for their exponentials. As in T5, scores are not divided by √d_kv.
//
// Preceded by exact.wgsl and the constants `D_KV`; `QUADS`, its vectors of four; `GROUPS` of four queries;
// `KEYS` of a tile; `KEYS_EACH`, the keys of a thread, and `LOADS`, the vectors that it loads; and
// `COLUMNS`, the output columns of a thread.

const THREADS: u32 = 64u;
// Threads that share the keys of a group of queries.
const LANES: u32 = THREADS / GROUPS;
// Odd, so that neighbouring keys lie in different banks.
const KEY_STRIDE: u32 = QUADS | 1u;
// Lanes of the sum of exponentials.
const SUMS: u32 = 8u;
const LOWEST: f32 = -3.0e38;

struct Params {
    tasks: u32,
    q_stride: u32,
    kv_stride: u32,
    k_offset: u32,
    v_offset: u32,
    out_stride: u32,
    // Whether keys after a query's own position are masked.
    causal: u32,
    // Whether `bias` is used: `bias_width` values for each head by distance, distance 0 in the middle.
    biased: u32,
    bias_width: u32,
    zero: u32,
}

struct Task {
    first_row: u32,
    queries: u32,
    // Position of the first query in its example, before `decoded` is added.
    first_position: u32,
    key_row: u32,
    keys: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> kv: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> tasks: array<Task>;
// Number of positions decoded so far.
@group(0) @binding(5) var<storage, read> decoded: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

// A vector for each group of queries: [d, group].
var<workgroup> query_tile: array<vec4<f32>, QUADS * 4u * GROUPS>;
var<workgroup> key_tile: array<vec4<f32>, KEYS * KEY_STRIDE>;
// [key, group]
var<workgroup> probabilities: array<vec4<f32>, KEYS * GROUPS>;
// [group, lane]; at the end [group]
var<workgroup> partial: array<vec4<f32>, THREADS>;
// [group, sum]
var<workgroup> exponentials: array<vec4<f32>, GROUPS * SUMS>;

// Number of keys that are not masked for the query of this index.
fn visible_keys(task: Task, query: u32) -> u32 {
    if params.causal != 0u {
        return min(task.keys, task.first_position + decoded[0] + query + 1u);
    }
    return task.keys;
}

fn exponential_each(values: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        exponential(values.x),
        exponential(values.y),
        exponential(values.z),
        exponential(values.w),
    );
}

// Loads a tile of keys.
fn fetch_keys(task: Task, head: u32, first_key: u32, key_count: u32, thread: u32) {
    // All loads are issued before the first is used. Indices beyond the last key load the last key, and
    // those beyond a key's end what follows it, where the queries are zeros.
    #repeat l LOADS
    let key_$l = (thread + $lu * THREADS) / QUADS;
    let quad_$l = (thread + $lu * THREADS) % QUADS;
    let at_$l = (task.key_row + min(first_key + key_$l, key_count - 1u)) * params.kv_stride
        + params.k_offset + head * D_KV + quad_$l * 4u;
    let four_$l = vec4<f32>(kv[at_$l], kv[at_$l + 1u], kv[at_$l + 2u], kv[at_$l + 3u]);
    #end
    #repeat l LOADS
    if key_$l < KEYS {
        key_tile[key_$l * KEY_STRIDE + quad_$l] = four_$l;
    }
    #end
    workgroupBarrier();
}

// Scores of a group of queries and the key with that index in the tile; masked scores are `LOWEST`.
fn score(task: Task, head: u32, group: u32, first_key: u32, index: u32) -> vec4<f32> {
    let key = first_key + index;
    var values = vec4<f32>();
    for (var quad = 0u; quad < QUADS; quad++) {
        let k = key_tile[min(index, KEYS - 1u) * KEY_STRIDE + quad];
        let q_at = quad * 4u * GROUPS + group;
        #repeat d 4
        let product_$d = rounded_each(query_tile[q_at + $du * GROUPS] * k[$d]);
        values = rounded_each(values + product_$d);
        #end
    }
    let query = group * 4u;
    if params.biased != 0u {
        let position = task.first_position + decoded[0] + query;
        let at = head * params.bias_width + params.bias_width / 2u + key - position;
        values = rounded_each(
            values + vec4<f32>(bias[at], bias[at - 1u], bias[at - 2u], bias[at - 3u]),
        );
    }
    #repeat q 4
    if query + $qu >= task.queries || index >= KEYS || key >= visible_keys(task, query + $qu) {
        values[$q] = LOWEST;
    }
    #end
    return values;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = workgroup.x + workgroup.y * workgroups.x;
    if index >= params.tasks {
        return;
    }
    let task = tasks[index];
    let head = workgroup.z;
    let key_count = visible_keys(task, task.queries - 1u);
    let group = thread / LANES;
    let lane = thread % LANES;

    for (var i = thread; i < QUADS * 4u * GROUPS; i += THREADS) {
        let d = i / GROUPS;
        let query = i % GROUPS * 4u;
        var values = vec4<f32>();
        if d < D_KV {
            #repeat q 4
            if query + $qu < task.queries {
                values[$q] = q[(task.first_row + query + $qu) * params.q_stride + head * D_KV + d];
            }
            #end
        }
        query_tile[i] = values;
    }
    for (var i = thread; i < GROUPS * SUMS; i += THREADS) {
        exponentials[i] = vec4<f32>();
    }

    var high = vec4<f32>(LOWEST);
    #repeat k KEYS_EACH
    var score_$k = vec4<f32>(LOWEST);
    #end
    for (var first_key = 0u; first_key < key_count; first_key += KEYS) {
        fetch_keys(task, head, first_key, key_count, thread);
        #repeat k KEYS_EACH
        score_$k = score(task, head, group, first_key, lane + $ku * LANES);
        high = max(high, score_$k);
        #end
        workgroupBarrier();
    }
    partial[thread] = high;
    workgroupBarrier();
    for (var i = 0u; i < LANES; i++) {
        high = max(high, partial[group * LANES + i]);
    }

    #repeat g GROUPS
    #repeat j COLUMNS
    var sum_$g_$j = vec4<f32>();
    #end
    #end
    for (var first_key = 0u; first_key < key_count; first_key += KEYS) {
        // If there is one tile, its scores are still in registers.
        if key_count > KEYS {
            fetch_keys(task, head, first_key, key_count, thread);
            #repeat k KEYS_EACH
            score_$k = score(task, head, group, first_key, lane + $ku * LANES);
            #end
        }
        #repeat k KEYS_EACH
        if lane + $ku * LANES < KEYS {
            let exponentials_$k = exponential_each(rounded_each(score_$k - high));
            let visible_$k = score_$k > vec4<f32>(LOWEST);
            probabilities[(lane + $ku * LANES) * GROUPS + group] =
                select(vec4<f32>(), exponentials_$k, visible_$k);
        }
        #end
        workgroupBarrier();
        for (var i = thread; i < GROUPS * SUMS; i += THREADS) {
            var sum = exponentials[i];
            let first = (i + SUMS - first_key % SUMS) % SUMS;
            for (var key = first; key < KEYS; key += SUMS) {
                sum = rounded_each(sum + probabilities[key * GROUPS + i / SUMS]);
            }
            exponentials[i] = sum;
        }
        // Probabilities beyond the last key are 0.
        let keys = min(KEYS, key_count - first_key);
        #repeat j COLUMNS
        let column_$j = min(thread + $ju * THREADS, D_KV - 1u) + params.v_offset + head * D_KV;
        #end
        for (var key = 0u; key < keys; key += 4u) {
            #repeat k 4
            let row_$k = (task.key_row + first_key + min(key + $ku, keys - 1u)) * params.kv_stride;
            #repeat j COLUMNS
            let value_$k_$j = kv[row_$k + column_$j];
            #end
            #end
            #repeat k 4
            if key + $ku < keys {
                #repeat g GROUPS
                let probability_$g = probabilities[(key + $ku) * GROUPS + $gu];
                #repeat j COLUMNS
                let product_$g_$j = rounded_each(probability_$g * value_$k_$j);
                sum_$g_$j = rounded_each(sum_$g_$j + product_$g_$j);
                #end
                #end
            }
            #end
        }
        workgroupBarrier();
    }

    if thread < GROUPS * 4u {
        let sums = thread / 4u * SUMS;
        let query = thread % 4u;
        let total = sum_lanes(
            vec4<f32>(
                exponentials[sums][query],
                exponentials[sums + 1u][query],
                exponentials[sums + 2u][query],
                exponentials[sums + 3u][query],
            ),
            vec4<f32>(
                exponentials[sums + 4u][query],
                exponentials[sums + 5u][query],
                exponentials[sums + 6u][query],
                exponentials[sums + 7u][query],
            ),
        );
        partial[thread / 4u][query] = quotient(1.0, total);
    }
    workgroupBarrier();
    #repeat g GROUPS
    let inverse_$g = partial[$g];
    #repeat j COLUMNS
    #repeat q 4
    if $gu * 4u + $qu < task.queries && thread + $ju * THREADS < D_KV {
        let at = (task.first_row + $gu * 4u + $qu) * params.out_stride
            + head * D_KV + thread + $ju * THREADS;
        out[at] = rounded(sum_$g_$j[$q] * inverse_$g[$q]);
    }
    #end
    #end
    #end
}
