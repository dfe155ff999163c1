// Products of four bytes at a time, by WGSL's packed product.

alias Elements = vec4<u32>;
alias Sum = i32;

fn elements(words: vec4<u32>) -> Elements {
    return words;
}

fn multiply(a: Elements, b: Elements) -> Sum {
    return dot4I8Packed(a.x, b.x)
        + dot4I8Packed(a.y, b.y)
        + dot4I8Packed(a.z, b.z)
        + dot4I8Packed(a.w, b.w);
}
