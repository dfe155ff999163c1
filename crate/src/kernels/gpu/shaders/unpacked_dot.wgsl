// Bytes unpacked to f32, for devices without a packed product; f32 holds the sums of a block exactly.

alias Element = vec4<f32>;
alias Sum = f32;

fn element(word: u32) -> Element {
    let bytes = vec4<u32>(word << 24u, word << 16u, word << 8u, word);
    return vec4<f32>(bitcast<vec4<i32>>(bytes) >> vec4<u32>(24u));
}

fn multiply(a: Element, b: Element) -> Sum {
    return dot(a, b);
}
