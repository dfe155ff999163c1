//! The thread team under [loom](https://docs.rs/loom): each test runs once for every order that its
//! threads' accesses can have. Loom reports a lost wake-up as a deadlock, and an unsynchronised
//! access of the region as a data race.

mod sync;
#[path = "../../crate/src/kernels/parallel/team.rs"]
#[expect(dead_code, reason = "loom has no use for the thread count")]
mod team;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use sync::{AtomicUsize, Ordering};
use team::Team;

/// A team, and its helpers' threads.
fn team(helpers: usize) -> (Team, Vec<JoinHandle<()>>) {
    let mut threads = Vec::new();
    let team = Team::start(helpers, |help| threads.push(thread::spawn(help)));
    (team, threads)
}

/// Ends the team. A helper that misses the end stays parked, which loom reports.
fn end(team: Team, threads: Vec<JoinHandle<()>>) {
    drop(team);
    for thread in threads {
        thread.join().expect("a helper catches panics");
    }
}

/// Shares `pieces` pieces and checks that each runs once.
fn share(team: &Team, pieces: usize) {
    let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
    team.share(pieces, &|piece| {
        counts[piece].fetch_add(1, Ordering::Relaxed);
    });
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
}

fn work_is_published_while_a_helper_goes_to_park() {
    let (team, threads) = team(1);
    share(&team, 2);
    end(team, threads);
}

fn a_second_region_opens_while_a_helper_leaves_the_first() {
    let (team, threads) = team(1);
    share(&team, 2);
    share(&team, 2);
    end(team, threads);
}

fn two_helpers_share_a_region() {
    let (team, threads) = team(2);
    share(&team, 2);
    end(team, threads);
}

fn the_team_ends_while_a_helper_goes_to_park() {
    let (team, threads) = team(1);
    end(team, threads);
}

fn two_threads_share_work_at_once() {
    let (team, mut threads) = team(1);
    let team = Arc::new(team);
    let other = Arc::clone(&team);
    let owner = thread::spawn(move || share(&other, 2));
    share(&team, 2);
    owner.join().expect("the other owner succeeds");
    drop(team);
    threads.drain(..).for_each(|thread| thread.join().expect("a helper catches panics"));
}

fn a_panic_reaches_the_caller_and_the_team_keeps_working() {
    let (team, threads) = team(1);
    let panicking = || {
        team.share(2, &|piece| {
            if piece == 1 {
                // Without the panic hook, which prints.
                resume_unwind(Box::new(()));
            }
        });
    };
    assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    share(&team, 2);
    end(team, threads);
}

/// Runs a test under every order with at most `preemptions` switches away from a thread that could
/// go on.
fn explore(preemptions: usize, name: &str, test: fn()) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(test);
    println!("passed: {name}");
}

macro_rules! explore {
    ($($test:ident with $preemptions:literal preemptions,)*) => {
        $(explore($preemptions, stringify!($test), $test);)*
    };
}

fn main() {
    // The panic that a test expects is not printed in each of its executions.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some("a helper panicked") {
            print(panic);
        }
    }));
    explore! {
        the_team_ends_while_a_helper_goes_to_park with 3 preemptions,
        work_is_published_while_a_helper_goes_to_park with 3 preemptions,
        a_second_region_opens_while_a_helper_leaves_the_first with 3 preemptions,
        two_helpers_share_a_region with 3 preemptions,
        two_threads_share_work_at_once with 2 preemptions,
        a_panic_reaches_the_caller_and_the_team_keeps_working with 3 preemptions,
    }
}
