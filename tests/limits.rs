//! What a reader of outside bytes may take, whatever its input claims or describes: 64 MB and 8 times its input, and a
//! second and another second for each 10 MB.
//!
//! For programs that read nothing else meanwhile, as every allocation of the program is counted.

#[path = "allocations.rs"]
mod allocations;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use allocations::{HIGHEST, NOW};

/// What a reader may take beside its input, whatever its length, and for each byte of it.
const SPARE_BYTES: usize = 64 << 20;
const BYTES_PER_BYTE: usize = 8;
/// The time for any input, and for each 10 MB of it: five times what an optimised build on a free machine may take,
/// as tests are compiled with fewer optimisations and run beside others.
const SPARE_TIME: Duration = Duration::from_secs(5);
const TIME_PER_10_MB: Duration = Duration::from_secs(5);

/// Bytes that a reader may take at once beside an input of this length.
pub fn allowed_bytes(input_bytes: usize) -> usize {
    SPARE_BYTES + BYTES_PER_BYTE * input_bytes
}

/// Runs a reader on an input of that many bytes, and calls `report` with the bytes that were in use at once beside
/// those before, and with the time.
///
/// # Panics
/// If it took more than it may.
pub fn within_limits<T>(
    input_bytes: usize,
    read: impl FnOnce() -> T,
    report: impl FnOnce(usize, Duration),
) -> T {
    let before = NOW.load(Ordering::Relaxed);
    HIGHEST.store(before, Ordering::Relaxed);
    let started = Instant::now();
    let result = read();
    let time = started.elapsed();
    let bytes = HIGHEST.load(Ordering::Relaxed).saturating_sub(before);
    report(bytes, time);
    let allowed = allowed_bytes(input_bytes);
    assert!(bytes <= allowed, "the reader took {bytes} bytes, {allowed} are allowed");
    let allowed = SPARE_TIME + TIME_PER_10_MB.mul_f64(input_bytes as f64 / 1e7);
    assert!(time <= allowed, "the reader took {time:?}, {allowed:?} are allowed");
    result
}
