// The end of a decoding step: each row's most likely token becomes its next input and is appended to the
// history, and the position is incremented.

const THREADS: u32 = 64u;

struct Params {
    rows: u32,
}

struct State {
    largest: f32,
    sum: f32,
    label: f32,
    token: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> states: array<State>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;
// `[steps, rows]`
@group(0) @binding(3) var<storage, read_write> history: array<u32>;
@group(0) @binding(4) var<storage, read_write> decoded: array<u32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    let position = decoded[0];
    for (var row = thread; row < params.rows; row += THREADS) {
        let token = states[row].token;
        tokens[row] = token;
        history[position * params.rows + row] = token;
    }
    storageBarrier();
    if thread == 0u {
        decoded[0] = position + 1u;
    }
}
