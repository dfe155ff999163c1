//! A team of threads that works on one region after another, each region a number of pieces.
//!
//! A model's step is a hundred regions of some ten microseconds, one for each product, so the cost
//! of a region decides whether more threads are faster at all. A helper that has just worked
//! therefore spins for a while before it parks. The thread that opens a region works too, and waits
//! only for helpers that arrived in time to take a piece.
//!
//! `tests/loom` runs the protocol below under every order of threads.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;

use super::sync::{
    self, Arc, AtomicBool, AtomicU32, AtomicUsize, Ordering, SPIN_LIMIT, Thread, UnsafeCell,
    spin_loop, thread,
};

/// Bit of [`Shared::inside`] that is set while a region is open.
const OPEN: u32 = 1;
/// What [`Shared::inside`] grows by for each helper within the region.
const ONE_HELPER: u32 = 2;

/// A piece of work, cut into pieces.
#[derive(Clone, Copy)]
struct Region {
    /// Called with the index of each piece. The region's owner keeps it alive while the region is
    /// open or a helper is inside.
    work: *const (dyn Fn(usize) + Sync),
    pieces: usize,
}

/// Whether a helper is parked, and the thread to unpark.
struct ParkState {
    parked: AtomicBool,
    thread: OnceLock<Thread>,
}

/// State shared by a team's threads.
struct Shared {
    helpers: Vec<ParkState>,
    /// Whether some thread owns a region of this team.
    taken: AtomicBool,
    /// Number of regions so far; the end of the team counts as one.
    generation: AtomicU32,
    /// [`OPEN`], and [`ONE_HELPER`] for each helper at work.
    inside: AtomicU32,
    /// The first piece that no thread has taken.
    next: AtomicUsize,
    region: UnsafeCell<Option<Region>>,
    panicked: AtomicBool,
    /// Whether a helper has stopped without leaving its region, as a trap in WebAssembly does.
    lost: AtomicBool,
    ended: AtomicBool,
}

// SAFETY: `region` is written only by the thread that has set `taken`, while the region is not open and
// no helper is inside; helpers read it only while inside. The work it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; every other field is `Send`.
unsafe impl Send for Shared {}

sync::thread_local! {
    /// Whether this thread is at work on a piece, within which nothing is shared further.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

impl Shared {
    /// Works on pieces until all are taken.
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

    /// Enters the region; returns false if none is open.
    fn enter(&self) -> bool {
        let enter = |inside| (inside & OPEN != 0).then_some(inside + ONE_HELPER);
        self.inside.fetch_update(Ordering::Acquire, Ordering::Relaxed, enter).is_ok()
    }

    /// Waits until the generation is no longer `seen`, and returns it.
    fn wait(&self, state: &ParkState, seen: u32) -> u32 {
        loop {
            for _ in 0..SPIN_LIMIT {
                let generation = self.generation.load(Ordering::Acquire);
                if generation != seen {
                    return generation;
                }
                spin_loop();
            }
            // `publish` counts the generation before it reads `parked`, and a helper sets `parked`
            // before it reads the generation: one of the two reads the other's write.
            state.parked.store(true, Ordering::SeqCst);
            while self.generation.load(Ordering::SeqCst) == seen
                && state.parked.load(Ordering::SeqCst)
            {
                thread::park();
            }
            state.parked.store(false, Ordering::SeqCst);
        }
    }

    /// The loop of a helper; returns when the team ends.
    fn help(&self, index: usize) {
        AT_WORK.with(|at_work| at_work.set(true));
        let state = &self.helpers[index];
        state.thread.get_or_init(thread::current);
        let mut seen = 0;
        while !self.ended.load(Ordering::SeqCst) {
            seen = self.wait(state, seen);
            if !self.enter() {
                continue;
            }
            // SAFETY: this helper is inside, so no thread writes the region.
            if let Some(region) = self.region.with(|region| unsafe { *region }) {
                let worked = catch_unwind(AssertUnwindSafe(|| self.take_pieces(region)));
                if worked.is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
            }
            self.inside.fetch_sub(ONE_HELPER, Ordering::Release);
        }
    }

    /// Counts a region, or the end of the team, and unparks every helper that is parked.
    fn publish(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        for state in &self.helpers {
            if state.parked.load(Ordering::SeqCst)
                && state.parked.swap(false, Ordering::SeqCst)
                && let Some(thread) = state.thread.get()
            {
                thread.unpark();
            }
        }
    }
}

/// A team of threads: the one that shares work, and helpers.
pub struct Team(Arc<Shared>);

impl Team {
    /// A team with `helpers` threads beside the one that shares work. `spawn` runs each helper's loop
    /// on a thread; a helper whose thread cannot be started takes no work.
    pub fn start(helpers: usize, mut spawn: impl FnMut(Box<dyn FnOnce() + Send>)) -> Self {
        let parked = || ParkState { parked: AtomicBool::new(false), thread: OnceLock::new() };
        let shared = Arc::new(Shared {
            helpers: (0..helpers).map(|_| parked()).collect(),
            taken: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            inside: AtomicU32::new(0),
            next: AtomicUsize::new(0),
            region: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        for index in 0..helpers {
            let shared = Arc::clone(&shared);
            spawn(Box::new(move || shared.help(index)));
        }
        Self(shared)
    }

    /// Number of threads, helpers and the one that shares work.
    pub fn threads(&self) -> usize {
        self.0.helpers.len() + 1
    }

    /// Says that a helper has stopped within a piece and will not leave it: the thread that waits for it panics.
    #[cfg(any(test, target_arch = "wasm32"))]
    pub fn lose_helper(&self) {
        self.0.lost.store(true, Ordering::SeqCst);
    }

    /// Calls `work` once with every index below `pieces`, on this thread and the helpers that are
    /// free. A call from within a piece runs on the calling thread alone.
    ///
    /// # Panics
    /// If `work` panics, once no thread is at work any more, or if a helper was lost.
    pub fn share(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.0;
        let alone = pieces <= 1 || shared.helpers.is_empty() || AT_WORK.with(Cell::get);
        if alone || shared.taken.swap(true, Ordering::Acquire) {
            return (0..pieces).for_each(work);
        }
        // SAFETY: only the lifetime changes, and this function returns after every helper has left.
        let work = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize) + Sync + '_),
                *const (dyn Fn(usize) + Sync + 'static),
            >(work)
        };
        let region = Region { work, pieces };
        // SAFETY: this thread has set `taken`, and every helper has left the last region.
        shared.region.with_mut(|place| unsafe { *place = Some(region) });
        shared.next.store(0, Ordering::Relaxed);
        shared.inside.store(OPEN, Ordering::Release);
        shared.publish();
        AT_WORK.with(|at_work| at_work.set(true));
        let worked = catch_unwind(AssertUnwindSafe(|| shared.take_pieces(region)));
        AT_WORK.with(|at_work| at_work.set(false));
        shared.inside.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while shared.inside.load(Ordering::Acquire) != 0 {
            spins += 1;
            if spins % SPIN_LIMIT == 0 {
                assert!(!shared.lost.load(Ordering::Relaxed), "a helper stopped within a piece");
                thread::yield_now();
            }
            spin_loop();
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        shared.taken.store(false, Ordering::Release);
        if let Err(panic) = worked {
            resume_unwind(panic);
        }
        assert!(!panicked, "a helper panicked");
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
        self.0.publish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team(helpers: usize) -> Team {
        Team::start(helpers, |help| drop(thread::spawn(help)))
    }

    #[test]
    fn every_piece_runs_once_whether_helpers_spin_or_park() {
        let team = team(3);
        for round in 0..2000 {
            let pieces = round % 17;
            let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
            team.share(pieces, &|piece| {
                counts[piece].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            if round % 400 == 0 {
                // Long enough for the helpers to park.
                thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }

    #[test]
    fn helpers_take_pieces() {
        let team = team(1);
        let helped = AtomicBool::new(false);
        let owner = thread::current().id();
        // Two pieces that wait for each other run on two threads.
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
    fn work_shared_within_a_piece_runs_on_its_thread() {
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
    fn concurrent_owners_each_complete_their_work() {
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
    fn the_caller_does_not_wait_for_a_helper_that_stopped() {
        let team = Arc::new(team(1));
        let owner = thread::current().id();
        let (stopped, started) = (Arc::clone(&team), AtomicBool::new(false));
        let share = || {
            team.share(2, &|_| {
                if thread::current().id() == owner {
                    while !started.load(Ordering::SeqCst) {
                        thread::yield_now();
                    }
                } else {
                    started.store(true, Ordering::SeqCst);
                    stopped.lose_helper();
                    // As after a trap, nothing of this thread runs any more.
                    loop {
                        thread::park();
                    }
                }
            });
        };
        assert!(catch_unwind(AssertUnwindSafe(share)).is_err());
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_keeps_working() {
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
