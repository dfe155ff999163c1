//! Prints the TypeScript declarations of the types that Rust makes or reads, for
//! `pkg-scripts/generate-types`.

fn main() {
    print!("{}", loraloom::typescript::declarations());
}
