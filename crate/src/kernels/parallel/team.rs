//! Threads that share the pieces of one region of work after another.
//!
//! A model's step is a hundred regions of some ten microseconds, one for each product, so what a region
//! costs by itself decides whether more threads are faster at all. A helper that has just worked
//! therefore looks out for the next region for a while before it sleeps, and whoever opens a region
//! works too, waiting only for helpers that came in time to take a piece.

use std::cell::{Cell, UnsafeCell};
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

/// How often a helper looks for a new region before it sleeps: for a tenth of a millisecond or two.
/// WebAssembly knows no pause between two looks.
const LOOKS: usize = if cfg!(target_arch = "wasm32") { 100_000 } else { 4_000 };
/// Set in [`Shared::inside`] while a region is open.
const OPEN: u32 = 1;
/// A helper within the region, in [`Shared::inside`].
const ONE_HELPER: u32 = 2;

/// What the helpers of a region do.
#[derive(Clone, Copy)]
struct Region {
    /// Called with the index of each piece. The region's owner keeps it alive while the region is
    /// open or a helper is inside.
    work: *const (dyn Fn(usize) + Sync),
    pieces: usize,
}

/// How a helper is found asleep and woken.
#[derive(Default)]
struct Bed {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// What a team's threads have in common.
struct Shared {
    beds: Vec<Bed>,
    /// Whether some thread has a region of this team.
    taken: AtomicBool,
    /// Counts the regions.
    generation: AtomicU32,
    /// [`OPEN`], and [`ONE_HELPER`] for each helper at work.
    inside: AtomicU32,
    /// The first piece that nobody has taken.
    next: AtomicUsize,
    region: UnsafeCell<Option<Region>>,
    panicked: AtomicBool,
    ended: AtomicBool,
}

// SAFETY: `region` is written only by the thread that has set `taken`, while the region is not open and
// no helper is inside; helpers read it only while inside. The work it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; everything else in it may be sent.
unsafe impl Send for Shared {}

thread_local! {
    /// Whether this thread is at work on a piece, which shares nothing further.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

impl Shared {
    /// Works on pieces as long as there are some.
    fn take_pieces(&self, region: Region) {
        // SAFETY: the region is open or this helper is inside, so the work is alive.
        let work = unsafe { &*region.work };
        loop {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            if piece >= region.pieces {
                return;
            }
            work(piece);
        }
    }

    /// Enters the region if one is open.
    fn enter(&self) -> bool {
        let enter = |inside| (inside & OPEN != 0).then_some(inside + ONE_HELPER);
        self.inside.fetch_update(Ordering::Acquire, Ordering::Relaxed, enter).is_ok()
    }

    /// Waits for another generation than the one last seen.
    fn wait(&self, bed: &Bed, seen: u32) -> u32 {
        loop {
            for _ in 0..LOOKS {
                let generation = self.generation.load(Ordering::Acquire);
                if generation != seen {
                    return generation;
                }
                spin_loop();
            }
            // Whoever opens a region counts it before looking for sleepers, and a sleeper lies down
            // before looking at the count, so one of the two sees the other.
            bed.asleep.store(true, Ordering::SeqCst);
            while self.generation.load(Ordering::SeqCst) == seen
                && bed.asleep.load(Ordering::SeqCst)
            {
                thread::park();
            }
            bed.asleep.store(false, Ordering::SeqCst);
        }
    }

    /// What a helper does until the team ends.
    fn help(&self, index: usize) {
        AT_WORK.set(true);
        let bed = &self.beds[index];
        bed.thread.get_or_init(thread::current);
        let mut seen = 0;
        while !self.ended.load(Ordering::SeqCst) {
            seen = self.wait(bed, seen);
            if !self.enter() {
                continue;
            }
            // SAFETY: this helper is inside, so nobody writes the region.
            if let Some(region) = unsafe { *self.region.get() } {
                let worked = catch_unwind(AssertUnwindSafe(|| self.take_pieces(region)));
                if worked.is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
            }
            self.inside.fetch_sub(ONE_HELPER, Ordering::Release);
        }
    }

    /// Counts a region, or the end, and wakes who sleeps.
    fn call(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        for bed in &self.beds {
            if bed.asleep.load(Ordering::SeqCst)
                && bed.asleep.swap(false, Ordering::SeqCst)
                && let Some(thread) = bed.thread.get()
            {
                thread.unpark();
            }
        }
    }
}

/// Threads that work together: one that has something to share, and its helpers.
pub struct Team(Arc<Shared>);

impl Team {
    /// A team of `helpers` threads beside the one that shares, each of which `spawn` runs a function
    /// on. Where a thread cannot be had, the team is smaller.
    pub fn start(helpers: usize, mut spawn: impl FnMut(Box<dyn FnOnce() + Send>)) -> Self {
        let shared = Arc::new(Shared {
            beds: (0..helpers).map(|_| Bed::default()).collect(),
            taken: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            inside: AtomicU32::new(0),
            next: AtomicUsize::new(0),
            region: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        for index in 0..helpers {
            let shared = Arc::clone(&shared);
            spawn(Box::new(move || shared.help(index)));
        }
        Self(shared)
    }

    /// Threads in all.
    pub fn threads(&self) -> usize {
        self.0.beds.len() + 1
    }

    /// Calls `work` with every index below `pieces`, each once, on whichever threads are free. Within
    /// a piece nothing is shared further.
    ///
    /// # Panics
    /// If `work` does, once no thread is at work any more.
    pub fn share(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.0;
        let alone = pieces <= 1 || shared.beds.is_empty() || AT_WORK.get();
        if alone || shared.taken.swap(true, Ordering::Acquire) {
            return (0..pieces).for_each(work);
        }
        // SAFETY: only the lifetime is changed; below, nobody is inside any more before `work` ends.
        let work = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize) + Sync + '_),
                *const (dyn Fn(usize) + Sync + 'static),
            >(work)
        };
        let region = Region { work, pieces };
        // SAFETY: this thread has set `taken`, and the last region was left by all.
        unsafe { *shared.region.get() = Some(region) };
        shared.next.store(0, Ordering::Relaxed);
        shared.inside.store(OPEN, Ordering::Release);
        shared.call();
        AT_WORK.set(true);
        let worked = catch_unwind(AssertUnwindSafe(|| shared.take_pieces(region)));
        AT_WORK.set(false);
        shared.inside.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while shared.inside.load(Ordering::Acquire) != 0 {
            looks += 1;
            if looks % LOOKS == 0 {
                thread::yield_now();
            }
            spin_loop();
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        shared.taken.store(false, Ordering::Release);
        if let Err(panic) = worked {
            resume_unwind(panic);
        }
        assert!(!panicked, "a thread that helped has panicked");
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
        self.0.call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team(helpers: usize) -> Team {
        Team::start(helpers, |help| drop(thread::spawn(help)))
    }

    #[test]
    fn every_piece_is_worked_on_once_awake_or_asleep() {
        let team = team(3);
        for round in 0..2000 {
            let pieces = round % 17;
            let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
            team.share(pieces, &|piece| {
                counts[piece].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            if round % 400 == 0 {
                // Long enough for the helpers to fall asleep.
                thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }

    #[test]
    fn helpers_come_to_work() {
        let team = team(1);
        let helped = AtomicBool::new(false);
        let owner = thread::current().id();
        // Two pieces that wait for each other are on two threads.
        let arrived = AtomicUsize::new(0);
        team.share(2, &|_| {
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            if thread::current().id() != owner {
                helped.store(true, Ordering::SeqCst);
            }
        });
        assert!(helped.load(Ordering::SeqCst));
    }

    #[test]
    fn what_is_shared_within_a_piece_is_done_by_its_thread() {
        let team = team(2);
        let total = AtomicUsize::new(0);
        team.share(8, &|_| {
            let thread = thread::current().id();
            team.share(5, &|_| {
                assert_eq!(thread::current().id(), thread);
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(total.load(Ordering::Relaxed), 40);
    }

    #[test]
    fn several_owners_do_not_disturb_each_other() {
        let team = team(2);
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        team.share(3, &|_| {
                            total.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 4 * 500 * 3);
    }

    #[test]
    fn a_panic_comes_back_to_whoever_shared_and_the_team_goes_on() {
        let team = team(2);
        for _ in 0..50 {
            let share = || team.share(6, &|piece| assert_ne!(piece, 5, "piece five"));
            assert!(catch_unwind(AssertUnwindSafe(share)).is_err());
        }
        let total = AtomicUsize::new(0);
        team.share(6, &|_| {
            total.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(total.load(Ordering::Relaxed), 6);
    }
}
