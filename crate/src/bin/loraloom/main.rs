//! The `loraloom` command line.

fn main() {}
