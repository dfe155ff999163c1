//! What [`team`](super::team) takes from the standard library. `tests/loom` compiles the team with
//! loom's types in their place.

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
pub(super) use std::thread::{self, Thread};
pub(super) use std::thread_local;

/// Checks for a new region before a helper parks: 0.1 to 0.2 ms. WebAssembly has no pause
/// instruction, so there a check is shorter.
pub(super) const SPIN_LIMIT: usize = if cfg!(target_arch = "wasm32") { 100_000 } else { 4_000 };

/// [`std::cell::UnsafeCell`] with loom's interface.
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(super) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    #[inline(always)]
    pub(super) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}
