//! Models: what they have in common, and one folder for each architecture.

mod linear_id;
pub mod t5;

pub use linear_id::{LinearId, LinearKind, Stack};
