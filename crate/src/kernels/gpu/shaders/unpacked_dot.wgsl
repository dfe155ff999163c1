// Products of bytes unpacked to f32, for devices without a packed product. f32 holds a block's sum
// exactly.

struct Elements {
    x: vec4<f32>,
    y: vec4<f32>,
    z: vec4<f32>,
    w: vec4<f32>,
}

alias Sum = f32;

fn bytes_of(word: u32) -> vec4<f32> {
    let bytes = vec4<u32>(word << 24u, word << 16u, word << 8u, word);
    return vec4<f32>(bitcast<vec4<i32>>(bytes) >> vec4<u32>(24u));
}

fn elements(words: vec4<u32>) -> Elements {
    return Elements(bytes_of(words.x), bytes_of(words.y), bytes_of(words.z), bytes_of(words.w));
}

fn multiply(a: Elements, b: Elements) -> Sum {
    return dot(a.x, b.x) + dot(a.y, b.y) + dot(a.z, b.z) + dot(a.w, b.w);
}
