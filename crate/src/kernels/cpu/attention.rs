//! Attention of one head over one example: scores, position bias, softmax and weighted sum, without
//! materialising the matrix of all scores.

use super::float::{Operand, panel_product};
use super::rows::{exponentials_body, largest_body};
use super::{PANEL, vectorised};
use crate::kernels::parallel::Tile;

/// Query rows that are computed together.
const ROWS: usize = if cfg!(target_arch = "wasm32") { 2 } else { 4 };

/// Keys and values of one head of one example, packed for products with queries and with
/// probabilities: keys in panels `[d_kv, 16 positions]`, values in panels `[positions, 16 of d_kv]`.
/// Positions are appended, up to the capacity.
#[derive(Debug, Clone, Default)]
pub struct HeadCache {
    d_kv: usize,
    capacity: usize,
    len: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl HeadCache {
    /// An empty cache with room for `capacity` positions.
    pub fn new(d_kv: usize, capacity: usize) -> Self {
        let capacity = capacity.next_multiple_of(PANEL);
        Self {
            d_kv,
            capacity,
            len: 0,
            keys: vec![0.0; capacity * d_kv],
            values: vec![0.0; capacity * d_kv.next_multiple_of(PANEL)],
        }
    }

    /// Appends `rows` positions, whose keys and values are rows of the operands.
    ///
    /// # Panics
    /// If this exceeds the capacity, or an operand has fewer rows.
    pub fn extend(&mut self, keys: Operand<'_>, values: Operand<'_>, rows: std::ops::Range<usize>) {
        assert!(self.len + rows.len() <= self.capacity);
        for row in rows {
            let position = self.len;
            let first = position / PANEL * PANEL * self.d_kv + position % PANEL;
            for (d, &key) in keys.row(row, self.d_kv).iter().enumerate() {
                self.keys[first + d * PANEL] = key;
            }
            for (panel, part) in values.row(row, self.d_kv).chunks(PANEL).enumerate() {
                let first = (panel * self.capacity + position) * PANEL;
                self.values[first..first + part.len()].copy_from_slice(part);
            }
            self.len += 1;
        }
    }

    /// The number of positions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        (self.keys.len() + self.values.len()) * size_of::<f32>()
    }

    #[inline(always)]
    fn key_panel(&self, panel: usize) -> &[f32] {
        &self.keys[panel * PANEL * self.d_kv..(panel + 1) * PANEL * self.d_kv]
    }

    #[inline(always)]
    fn value_panel(&self, panel: usize, positions: usize) -> &[f32] {
        let first = panel * self.capacity * PANEL;
        &self.values[first..first + positions * PANEL]
    }
}

/// The queries of one head, and the position bias and mask of their scores.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Rows by the output's row index, `d_kv` values each.
    pub rows: Operand<'a>,
    /// Position of the tile's first row within its example.
    pub first_position: usize,
    /// Position bias and the index `centre` of distance 0: the score of a query at `i` and a key at `j`
    /// gets element `centre + j − i`.
    pub bias: Option<(&'a [f32], usize)>,
    /// Whether keys after a query's own position are masked.
    pub causal: bool,
}

#[inline(always)]
fn attend_rows<const R: usize>(
    query: Query<'_>,
    cache: &HeadCache,
    row: usize,
    scores: &mut [f32],
    tile: &mut Tile<'_>,
) {
    let position = query.first_position + (row - tile.rows.start);
    let visible = |r: usize| if query.causal { cache.len.min(position + r + 1) } else { cache.len };
    let keys = visible(R - 1);
    let stride = keys.next_multiple_of(PANEL);
    let rows: [&[f32]; R] = std::array::from_fn(|r| query.rows.row(row + r, cache.d_kv));
    for panel in 0..stride / PANEL {
        let sums = panel_product(rows, cache.key_panel(panel));
        for (r, sums) in sums.iter().enumerate() {
            scores[r * stride + panel * PANEL..][..PANEL].copy_from_slice(sums);
        }
    }
    let mut inverse = [0.0f32; R];
    for r in 0..R {
        let scores = &mut scores[r * stride..(r + 1) * stride];
        let (scores, masked) = scores.split_at_mut(visible(r));
        if let Some((bias, centre)) = query.bias {
            let bias = &bias[centre - (position + r)..][..scores.len()];
            for (score, &bias) in scores.iter_mut().zip(bias) {
                *score += bias;
            }
        }
        let largest = largest_body(scores);
        inverse[r] = 1.0 / exponentials_body(scores, largest);
        masked.fill(0.0);
    }
    let rows: [&[f32]; R] = std::array::from_fn(|r| &scores[r * stride..r * stride + keys]);
    for panel in 0..cache.d_kv.div_ceil(PANEL) {
        let sums = panel_product(rows, cache.value_panel(panel, keys));
        for (r, sums) in sums.iter().enumerate() {
            let out = tile.row(row + r);
            let end = out.len().min((panel + 1) * PANEL);
            for (out, &sum) in out[panel * PANEL..end].iter_mut().zip(sums) {
                *out = sum * inverse[r];
            }
        }
    }
}

#[inline(always)]
fn attend_body(query: Query<'_>, cache: &HeadCache, tile: &mut Tile<'_>) {
    assert_eq!(tile.columns.len(), cache.d_kv);
    let mut scores = vec![0.0; ROWS * cache.len.next_multiple_of(PANEL)];
    let mut row = tile.rows.start;
    while row + ROWS <= tile.rows.end {
        attend_rows::<ROWS>(query, cache, row, &mut scores, tile);
        row += ROWS;
    }
    for row in row..tile.rows.end {
        attend_rows::<1>(query, cache, row, &mut scores, tile);
    }
}

vectorised! {
    /// Writes softmax(q·kᵀ + bias)·v of one head to the tile, `[queries, d_kv]`; as in T5, scores are not
    /// divided by √d_kv.
    ///
    /// # Panics
    /// If the tile is not `d_kv` wide, or the queries or the bias are too short for it.
    pub fn attend(query: Query<'_>, cache: &HeadCache, tile: &mut Tile<'_>) = attend_body
}
