//! What the fuzz targets call: every reader, within the limits of memory and time.

#[path = "../limits.rs"]
mod limits;
pub mod readers;

/// Runs a reader on any bytes.
///
/// # Panics
/// If it took more memory or time than it may.
pub fn check<T>(read: fn(&[u8]) -> T, bytes: &[u8]) {
    limits::within_limits(bytes.len(), || read(bytes), |_, _| ());
}
