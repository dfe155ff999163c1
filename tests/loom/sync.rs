//! Loom's types in place of those of `crate/src/kernels/parallel/sync.rs`.

use loom::sync::atomic::{self, fence};

pub use loom::cell::UnsafeCell;
pub use loom::sync::Arc;
pub use loom::sync::atomic::{AtomicUsize, Ordering};
pub use loom::thread::{self, Thread};

/// Each spin is an execution more for loom to explore.
pub const SPIN_LIMIT: usize = 1;

/// Nothing: after loom's own a thread reads no value that it has read before, which hides lost
/// wake-ups.
pub fn spin_loop() {}

/// Loom's own takes no `const` block.
macro_rules! const_thread_local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = const $value:block;) => {
        loom::thread_local! { $(#[$attribute])* static $name: $type = $value; }
    };
}
pub(crate) use const_thread_local as thread_local;

/// Loom models sequentially consistent accesses as acquire and release, but sequentially consistent
/// fences as they are. A fence before each access gives the accesses the order that they have in Rust.
fn order(ordering: Ordering) {
    if ordering == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty, $($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        #[derive(Debug)]
        pub struct $name(atomic::$name);

        impl $name {
            pub fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            $(#[track_caller]
            pub fn $method(&self, $($argument: $type,)* ordering: Ordering) -> $result {
                order(ordering);
                self.0.$method($($argument,)* ordering)
            })*
        }
    };
}

atomic! { AtomicBool, bool,
    load() -> bool;
    store(value: bool) -> ();
    swap(value: bool) -> bool;
}

atomic! { AtomicU32, u32,
    load() -> u32;
    store(value: u32) -> ();
    fetch_add(value: u32) -> u32;
    fetch_sub(value: u32) -> u32;
    fetch_and(value: u32) -> u32;
}

impl AtomicU32 {
    pub fn fetch_update(
        &self,
        set: Ordering,
        fetch: Ordering,
        update: impl FnMut(u32) -> Option<u32>,
    ) -> Result<u32, u32> {
        self.0.fetch_update(set, fetch, update)
    }
}
