// Attention of one head over a run of queries of one example: softmax(q·kᵀ + bias)·v, without a
// matrix of all scores: those that do not fit are computed twice, for their maximum and for their
// exponentials. As in T5, scores are not divided by √d_kv.
//
// Before it stand `D_KV`, `QUERIES` (a power of 2 up to THREADS) and `KEYS` taken at a time, and
// exact.wgsl.

const THREADS: u32 = 64u;
const LANES: u32 = THREADS / QUERIES;
// Columns of the output for each thread.
const COLUMNS: u32 = (D_KV + THREADS - 1u) / THREADS;
const KEY_STRIDE: u32 = D_KV + 1u;
// Sums of exponentials that are added up beside each other.
const SUMS: u32 = 8u;
const LOWEST: f32 = -3.0e38;

struct Params {
    tasks: u32,
    q_stride: u32,
    kv_stride: u32,
    k_offset: u32,
    v_offset: u32,
    out_stride: u32,
    // Whether a query sees only keys up to its own position.
    causal: u32,
    // Whether `bias` holds, for each head, `bias_width` numbers by distance, distance 0 in the middle.
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
// Positions decoded so far.
@group(0) @binding(5) var<storage, read> decoded: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

var<workgroup> query_tile: array<f32, QUERIES * D_KV>;
var<workgroup> key_tile: array<f32, KEYS * KEY_STRIDE>;
var<workgroup> scores: array<f32, QUERIES * KEYS>;
var<workgroup> partial: array<f32, THREADS>;
var<workgroup> exponentials: array<f32, QUERIES * SUMS>;

fn four_sums(query: u32, first: u32) -> vec4<f32> {
    let at = query * SUMS + first;
    return vec4<f32>(
        exponentials[at],
        exponentials[at + 1u],
        exponentials[at + 2u],
        exponentials[at + 3u],
    );
}

// Keys that the query of this index sees.
fn seen_by(task: Task, query: u32) -> u32 {
    if params.causal != 0u {
        return min(task.keys, task.first_position + decoded[0] + query + 1u);
    }
    return task.keys;
}

// Scores of a run of keys; those of keys that a query does not see are the lowest.
fn score(task: Task, head: u32, first_key: u32, most: u32, thread: u32) {
    for (var i = thread; i < KEYS * D_KV; i += THREADS) {
        let key = i / D_KV;
        let d = i % D_KV;
        var value = 0.0;
        if first_key + key < most {
            let row = task.key_row + first_key + key;
            value = kv[row * params.kv_stride + params.k_offset + head * D_KV + d];
        }
        key_tile[key * KEY_STRIDE + d] = value;
    }
    workgroupBarrier();
    let centre = head * params.bias_width + params.bias_width / 2u;
    let position = task.first_position + decoded[0];
    for (var i = thread; i < QUERIES * KEYS; i += THREADS) {
        let query = i / KEYS;
        let key = first_key + i % KEYS;
        var value = LOWEST;
        if query < task.queries && key < seen_by(task, query) {
            value = 0.0;
            for (var d = 0u; d < D_KV; d++) {
                let product = query_tile[query * D_KV + d] * key_tile[(i % KEYS) * KEY_STRIDE + d];
                value = rounded(value + rounded(product));
            }
            if params.biased != 0u {
                value = rounded(value + bias[centre + key - (position + query)]);
            }
        }
        scores[i] = value;
    }
    workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = group.x + group.y * groups.x;
    if index >= params.tasks {
        return;
    }
    let task = tasks[index];
    let head = group.z;
    let most = seen_by(task, task.queries - 1u);
    let lane = thread % LANES;
    let my_query = thread / LANES;

    for (var i = thread; i < QUERIES * D_KV; i += THREADS) {
        let query = i / D_KV;
        var value = 0.0;
        if query < task.queries {
            value = q[(task.first_row + query) * params.q_stride + head * D_KV + i % D_KV];
        }
        query_tile[i] = value;
    }
    for (var i = thread; i < QUERIES * SUMS; i += THREADS) {
        exponentials[i] = 0.0;
    }

    // The lanes of a query share its scores.
    var high = LOWEST;
    for (var first_key = 0u; first_key < most; first_key += KEYS) {
        score(task, head, first_key, most, thread);
        for (var key = lane; key < KEYS; key += LANES) {
            high = max(high, scores[my_query * KEYS + key]);
        }
    }
    partial[thread] = high;
    workgroupBarrier();
    for (var i = 0u; i < LANES; i++) {
        high = max(high, partial[my_query * LANES + i]);
    }

    var sums: array<f32, QUERIES * COLUMNS>;
    for (var i = 0u; i < QUERIES * COLUMNS; i++) {
        sums[i] = 0.0;
    }
    for (var first_key = 0u; first_key < most; first_key += KEYS) {
        if most > KEYS {
            workgroupBarrier();
            score(task, head, first_key, most, thread);
        }
        for (var key = lane; key < KEYS; key += LANES) {
            let at = my_query * KEYS + key;
            var probability = 0.0;
            if scores[at] > LOWEST {
                probability = exponential(rounded(scores[at] - high));
            }
            scores[at] = probability;
        }
        workgroupBarrier();
        for (var i = thread; i < QUERIES * SUMS; i += THREADS) {
            var sum = exponentials[i];
            let first = (i + SUMS - first_key % SUMS) % SUMS;
            for (var key = first; key < KEYS; key += SUMS) {
                sum = rounded(sum + scores[i / SUMS * KEYS + key]);
            }
            exponentials[i] = sum;
        }
        for (var j = 0u; j < COLUMNS; j++) {
            let d = thread + j * THREADS;
            if d < D_KV {
                for (var key = 0u; key < min(KEYS, most - first_key); key++) {
                    let row = task.key_row + first_key + key;
                    let value = kv[row * params.kv_stride + params.v_offset + head * D_KV + d];
                    for (var query = 0u; query < QUERIES; query++) {
                        let product = rounded(scores[query * KEYS + key] * value);
                        let at = query * COLUMNS + j;
                        sums[at] = rounded(sums[at] + product);
                    }
                }
            }
        }
        workgroupBarrier();
    }

    for (var query = 0u; query < task.queries; query++) {
        let inverse = quotient(1.0, sum_lanes(four_sums(query, 0u), four_sums(query, 4u)));
        for (var j = 0u; j < COLUMNS; j++) {
            let d = thread + j * THREADS;
            if d < D_KV {
                let at = (task.first_row + query) * params.out_stride + head * D_KV + d;
                out[at] = rounded(sums[query * COLUMNS + j] * inverse);
            }
        }
    }
}
