//! Parallel loops over indices, items and the tiles of an output matrix. Without the feature
//! `threads` each is a plain loop.

#[cfg(feature = "threads")]
mod sync;
#[cfg(feature = "threads")]
mod team;

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
#[cfg(feature = "threads")]
use std::{cell::RefCell, rc::Rc, sync::OnceLock};

#[cfg(feature = "threads")]
use team::Team;

/// Multiply-adds below which a piece of work costs less than sharing it.
const SMALLEST_SHARE: usize = 1 << 13;

/// The team of this process.
#[cfg(feature = "threads")]
static TEAM: OnceLock<Team> = OnceLock::new();

#[cfg(feature = "threads")]
thread_local! {
    /// The team of [`with_threads`].
    static THREAD_TEAM: RefCell<Option<Rc<Team>>> = const { RefCell::new(None) };
}

/// Sets the thread count, by default the machine's. `spawn` runs a function on a new thread, for as
/// long as the function runs. Has no effect once work has been shared.
#[cfg(feature = "threads")]
pub fn start_threads(threads: usize, spawn: impl FnMut(Box<dyn FnOnce() + Send>)) {
    TEAM.get_or_init(|| Team::start(threads.saturating_sub(1), spawn));
}

/// Says that a thread of [`start_threads`] has stopped within its work, as a trap in WebAssembly does. The thread that
/// waits for it panics, where it would wait without end.
#[cfg(all(feature = "threads", target_arch = "wasm32"))]
pub fn lose_thread() {
    if let Some(team) = TEAM.get() {
        team.lose_helper();
    }
}

/// Runs a function on a new thread of the operating system. Where none can be started, nothing runs and
/// the team has a helper less.
#[cfg(all(feature = "threads", not(target_arch = "wasm32")))]
pub fn spawn(work: Box<dyn FnOnce() + Send>) {
    drop(std::thread::Builder::new().name("loraloom".to_owned()).spawn(work));
}

/// Calls `work` with a team of `threads` threads in place of the process's.
#[cfg(all(feature = "threads", not(target_arch = "wasm32")))]
pub fn with_threads<R>(threads: usize, work: impl FnOnce() -> R) -> R {
    let team = Rc::new(Team::start(threads.saturating_sub(1), spawn));
    let before = THREAD_TEAM.replace(Some(team));
    let result = work();
    THREAD_TEAM.set(before);
    result
}

/// Calls `work` with the team of this thread, or else of the process.
#[cfg(feature = "threads")]
fn with_team<R>(work: impl FnOnce(&Team) -> R) -> R {
    if let Some(team) = THREAD_TEAM.with_borrow(Clone::clone) {
        return work(&team);
    }
    work(TEAM.get_or_init(|| {
        #[cfg(target_arch = "wasm32")]
        let (threads, spawn) = (1, |_| {});
        #[cfg(not(target_arch = "wasm32"))]
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Team::start(threads - 1, spawn)
    }))
}

/// The thread count.
pub fn threads() -> usize {
    #[cfg(feature = "threads")]
    return with_team(Team::threads);
    #[cfg(not(feature = "threads"))]
    1
}

/// Calls `work` with every index below `count`, each of `cost` multiply-adds, on several threads where
/// that is faster.
pub fn for_each(count: usize, cost: usize, work: impl Fn(usize) + Sync) {
    #[cfg(feature = "threads")]
    {
        let run = SMALLEST_SHARE.div_ceil(cost.max(1));
        if count > run {
            let piece = |piece: usize| {
                (piece * run..count.min((piece + 1) * run)).for_each(&work);
            };
            return with_team(|team| team.share(count.div_ceil(run), &piece));
        }
    }
    let _ = (cost, SMALLEST_SHARE);
    (0..count).for_each(work);
}

/// The number of rows in a run, where each thread takes runs of independent rows: few enough for a run's
/// intermediate results to stay in the cache, and chosen so that all threads finish together. A small
/// batch is one run, within which products are shared by columns.
pub fn run_of_rows(rows: usize) -> usize {
    balanced_run(rows, threads())
}

fn balanced_run(rows: usize, threads: usize) -> usize {
    const MAX_RUN: usize = 48;
    /// Batches up to this many rows are one run.
    const SMALL_BATCH: usize = 16;
    /// A multiple of the rows that most kernels process together.
    const GROUP: usize = 4;
    /// Fixed cost of a run in rows, as it reads the weights once more.
    const COST: usize = 2;
    if rows <= SMALL_BATCH {
        return rows.max(1);
    }
    // Cost of the thread with the most rows.
    let longest = |run: usize| {
        let runs = rows.div_ceil(run);
        let of_one = runs.div_ceil(threads);
        let last = rows - (runs - 1) * run;
        let last_is_alone = threads == 1 || runs % threads == 1;
        of_one * (run + COST) - if last_is_alone { run - last } else { 0 }
    };
    let runs = (1..=MAX_RUN / GROUP).rev().map(|groups| groups * GROUP);
    runs.min_by_key(|&run| longest(run)).unwrap_or(MAX_RUN)
}

/// Calls `work` with every item, each of `cost` multiply-adds, on several threads where that is faster.
pub fn for_each_item<T: Send>(items: Vec<T>, cost: usize, work: impl Fn(T) + Sync + Send) {
    struct Items<T>(Vec<MaybeUninit<T>>);
    // SAFETY: each item is moved to the one thread that takes it, and `T` is `Send`.
    unsafe impl<T: Send> Sync for Items<T> {}
    impl<T> Items<T> {
        /// # Safety
        /// No item is taken twice.
        unsafe fn take(&self, index: usize) -> T {
            // SAFETY: every item is initialised, and the caller takes each once.
            unsafe { self.0[index].assume_init_read() }
        }
    }

    let items = Items(items.into_iter().map(MaybeUninit::new).collect());
    // SAFETY: `for_each` passes each index once.
    for_each(items.0.len(), cost, |index| work(unsafe { items.take(index) }));
}

/// A partition of a matrix into tiles: between consecutive row bounds, and every `columns` columns.
#[derive(Debug, Clone)]
pub struct Grid {
    row_bounds: Vec<usize>,
    width: usize,
    columns: usize,
}

impl Grid {
    /// Tiles of at most `tile_rows` by `tile_columns` over `rows` by `width`.
    ///
    /// # Panics
    /// If a tile's size is 0.
    pub fn even(rows: usize, width: usize, tile_rows: usize, tile_columns: usize) -> Self {
        let mut row_bounds: Vec<usize> = (0..rows).step_by(tile_rows).collect();
        row_bounds.push(rows);
        Self::ragged(row_bounds, width, tile_columns)
    }

    /// Tiles between the given ascending row bounds, the last of which is the number of rows.
    ///
    /// # Panics
    /// If the bounds do not ascend or `tile_columns` is 0.
    pub fn ragged(row_bounds: Vec<usize>, width: usize, tile_columns: usize) -> Self {
        assert!(tile_columns > 0 && row_bounds.is_sorted());
        Self { row_bounds, width, columns: tile_columns }
    }

    fn column_tiles(&self) -> usize {
        self.width.div_ceil(self.columns)
    }

    /// The number of tiles.
    pub fn len(&self) -> usize {
        self.row_bounds.len().saturating_sub(1) * self.column_tiles()
    }

    /// Whether there is no tile.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One tile of an output matrix, which one thread writes.
pub struct Tile<'a> {
    matrix: *mut f32,
    width: usize,
    /// Index of the tile's row of tiles.
    pub row_tile: usize,
    /// Index of the tile's column of tiles.
    pub column_tile: usize,
    /// Rows of the matrix that the tile covers.
    pub rows: Range<usize>,
    /// Columns of the matrix that the tile covers.
    pub columns: Range<usize>,
    lifetime: PhantomData<&'a mut [f32]>,
}

impl Tile<'_> {
    /// The tile's columns of a row of the matrix.
    ///
    /// # Panics
    /// If the tile does not cover the row.
    #[inline(always)]
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(self.rows.contains(&row));
        // SAFETY: `for_each_tile` checked that the matrix holds every row and column of its grid;
        // tiles do not overlap and each exists once, so nothing else refers to these columns
        // of this row while `self` is borrowed.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.matrix.add(row * self.width + self.columns.start),
                self.columns.len(),
            )
        }
    }
}

/// Calls `work` once with every tile of `matrix`; `cost` is the multiply-adds of one tile.
///
/// # Panics
/// If `matrix` does not have the grid's size.
pub fn for_each_tile(matrix: &mut [f32], grid: &Grid, cost: usize, work: impl Fn(Tile<'_>) + Sync) {
    struct Shared(*mut f32);
    // SAFETY: the pointer is only used to make tiles, which do not overlap.
    unsafe impl Sync for Shared {}
    impl Shared {
        fn pointer(&self) -> *mut f32 {
            self.0
        }
    }

    let rows = grid.row_bounds.last().copied().unwrap_or(0);
    assert_eq!(matrix.len(), rows * grid.width, "the matrix has the size of its grid");
    let column_tiles = grid.column_tiles();
    let shared = Shared(matrix.as_mut_ptr());
    for_each(grid.len(), cost, |index| {
        let (row_tile, column_tile) = (index / column_tiles, index % column_tiles);
        let first = column_tile * grid.columns;
        work(Tile {
            matrix: shared.pointer(),
            width: grid.width,
            row_tile,
            column_tile,
            rows: grid.row_bounds[row_tile]..grid.row_bounds[row_tile + 1],
            columns: first..grid.width.min(first + grid.columns),
            lifetime: PhantomData,
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_in_exactly_one_tile() {
        for grid in [
            Grid::even(7, 11, 3, 4),
            Grid::even(1, 1, 64, 64),
            Grid::even(0, 5, 2, 2),
            Grid::ragged(vec![0, 2, 2, 9], 5, 3),
        ] {
            let rows = *grid.row_bounds.last().unwrap();
            let mut matrix = vec![0.0; rows * grid.width];
            // A cost at which tiles are shared among threads.
            for_each_tile(&mut matrix, &grid, usize::MAX, |mut tile| {
                for row in tile.rows.clone() {
                    tile.row(row).iter_mut().for_each(|value| *value += 1.0);
                }
            });
            assert!(matrix.iter().all(|&value| value == 1.0));
        }
    }

    #[test]
    fn threads_have_nearly_equal_rows() {
        assert_eq!((balanced_run(0, 2), balanced_run(16, 2)), (1, 16));
        assert_eq!(balanced_run(640, 1), 48);
        for (rows, threads) in [(640, 2), (128, 2), (40, 2), (640, 4), (650, 3), (2048, 8)] {
            let runs: Vec<usize> = (0..rows).step_by(balanced_run(rows, threads)).collect();
            let longest = runs.len().div_ceil(threads) * balanced_run(rows, threads);
            assert!(longest * 100 <= rows.div_ceil(threads) * 108, "{rows} by {threads}");
        }
    }

    #[test]
    #[should_panic(expected = "self.rows.contains")]
    fn a_tile_panics_for_a_row_of_another() {
        for_each_tile(&mut [0.0; 4], &Grid::even(2, 2, 1, 2), 1, |mut tile| {
            tile.row(1 - tile.row_tile);
        });
    }
}
