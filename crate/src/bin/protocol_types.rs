//! Prints the TypeScript declarations of the worker protocol, for `pkg-scripts/generate-types`.

fn main() {
    print!("{}", loraloom::protocol::typescript());
}
