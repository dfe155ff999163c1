//! Routing: which stored composition an input belongs to, or none of them.
//!
//! Owns the similarity of an input with the stored compositions' example inputs, the score that adds the
//! loss of each composition's own answer, and the threshold below which the base answers. What is
//! compared are token states, the encoder's output of the base, `[tokens, d_model]`.
//!
//! The similarity is the mean of two:
//!
//! - of whole texts: the cosine of mean states, less their centre, in the metric of the inverse
//!   covariance within compositions (Mahalanobis), shrunk towards the identity as in regularised
//!   discriminant analysis (Friedman, 1989); the mean of the [`NEAREST`] best examples;
//! - of tokens: the mean over tokens of the largest cosine with a token of the other text (the late
//!   interaction of ColBERT, Khattab and Zaharia, 2020), in both directions with the best example, and
//!   from the input to the tokens of all examples.
//!
//! Centres are means over the examples of all compositions and over `background` texts.

use super::matrix::{dot, inverse, norm};

/// Examples whose cosines with the input are averaged.
const NEAREST: usize = 2;
/// Share of the identity in the covariance within compositions.
const SHRINKAGE: f64 = 0.5;
/// Share of the similarity of whole texts; the rest is that of tokens.
const TEXT_SHARE: f64 = 0.5;
/// What a nat of mean token loss takes from the score.
const LOSS_WEIGHT: f64 = 0.3;

/// Number of compositions that answer an input: more change nothing that shows, at an answer each.
pub const ROUTE_NEAREST: u32 = 2;

/// Score below which no composition fits. Chosen on the demo library's settings tasks, so that the base
/// answers at most 5 % of the inputs that a stored composition was learned for.
pub const ROUTE_THRESHOLD: f64 = 0.42;

/// The score of a composition for an input: its similarity, less the mean token loss of its own answer.
pub fn route_score(similarity: f64, loss: f64) -> f64 {
    similarity - LOSS_WEIGHT * loss
}

/// The index of the highest of the scores, or none where it is below `threshold`; scores that are
/// absent or not numbers are passed over.
pub fn choose_route(scores: &[Option<f64>], threshold: f64) -> Option<usize> {
    let known = scores.iter().enumerate().filter_map(|(index, score)| Some((index, (*score)?)));
    // The first of equal ones.
    let best = known
        .filter(|(_, score)| !score.is_nan())
        .reduce(|best, one| if one.1 > best.1 { one } else { best });
    best.filter(|(_, score)| *score >= threshold).map(|(index, _)| index)
}

/// The indices of the `limit` highest similarities, highest first.
pub fn nearest_routes(similarities: &[f64], limit: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..similarities.len()).collect();
    order.sort_by(|&a, &b| similarities[b].total_cmp(&similarities[a]));
    order.truncate(limit);
    order
}

/// The example inputs of stored compositions, prepared for [`RoutingIndex::similarities`].
#[derive(Debug, Clone)]
pub struct RoutingIndex {
    d_model: usize,
    /// Centre of mean states, `[d_model]`.
    text_center: Vec<f64>,
    /// Centre of token states, `[d_model]`.
    token_center: Vec<f64>,
    metric: Metric,
    compositions: Vec<Vec<IndexedExample>>,
}

#[derive(Debug, Clone)]
struct IndexedExample {
    text: Projected,
    /// Unit token states, `[tokens, d_model]`.
    tokens: Vec<f32>,
}

impl RoutingIndex {
    /// An index of compositions, each with the token states of its examples' inputs, and of `background`
    /// texts of the kind that inputs are of. Each text is `[tokens, d_model]`.
    ///
    /// # Panics
    /// If `d_model` is 0.
    pub fn new(d_model: usize, compositions: &[Vec<&[f32]>], background: &[&[f32]]) -> Self {
        let texts = || compositions.iter().flatten().chain(background).copied();
        let means: Vec<Vec<f64>> = texts().map(|states| mean_row(states, d_model)).collect();
        let text_center = mean(means.iter().map(Vec::as_slice), d_model);
        let all: Vec<Vec<f64>> = texts()
            .flat_map(|states| states.chunks_exact(d_model))
            .map(|row| row.iter().map(|&value| f64::from(value)).collect())
            .collect();
        let token_center = mean(all.iter().map(Vec::as_slice), d_model);
        let mut within = Vec::new();
        for examples in compositions {
            let means: Vec<Vec<f64>> =
                examples.iter().map(|states| mean_row(states, d_model)).collect();
            let center = mean(means.iter().map(Vec::as_slice), d_model);
            within.extend(means.iter().map(|one| difference(one, &center)));
        }
        let metric = Metric::new(within);
        let example = |states: &&[f32]| IndexedExample {
            text: metric.project(difference(&mean_row(states, d_model), &text_center)),
            tokens: unit_rows(states, &token_center),
        };
        let compositions: Vec<Vec<IndexedExample>> =
            compositions.iter().map(|of| of.iter().map(example).collect()).collect();
        Self { d_model, text_center, token_center, metric, compositions }
    }

    /// The similarity of an input's token states with each composition's examples, about 1 at most; −1 for
    /// a composition without examples and for states that are not finite.
    pub fn similarities(&self, input: &[f32]) -> Vec<f64> {
        let text = mean_row(input, self.d_model);
        let text = self.metric.project(difference(&text, &self.text_center));
        let tokens = unit_rows(input, &self.token_center);
        let similarity = |examples: &Vec<IndexedExample>| {
            if examples.is_empty() || tokens.is_empty() {
                return -1.0;
            }
            let of_text = self.text_similarity(&text, examples);
            let of_tokens = self.token_similarity(&tokens, examples);
            let similarity = TEXT_SHARE * of_text + (1.0 - TEXT_SHARE) * of_tokens;
            if similarity.is_finite() { similarity } else { -1.0 }
        };
        self.compositions.iter().map(similarity).collect()
    }

    fn text_similarity(&self, input: &Projected, examples: &[IndexedExample]) -> f64 {
        let mut cosines: Vec<f64> =
            examples.iter().map(|example| self.metric.cosine(input, &example.text)).collect();
        cosines.sort_by(|a, b| b.total_cmp(a));
        cosines.truncate(NEAREST);
        cosines.iter().sum::<f64>() / cosines.len() as f64
    }

    fn token_similarity(&self, input: &[f32], examples: &[IndexedExample]) -> f64 {
        let count = input.len() / self.d_model;
        let mut covered = vec![-1.0f64; count];
        let mut best = -1.0f64;
        for IndexedExample { tokens, .. } in examples {
            let mut forth = vec![-1.0f64; count];
            let mut back = vec![-1.0f64; tokens.len() / self.d_model];
            for (a, forth) in input.chunks_exact(self.d_model).zip(&mut forth) {
                for (b, back) in tokens.chunks_exact(self.d_model).zip(&mut back) {
                    let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    *forth = forth.max(f64::from(cosine));
                    *back = back.max(f64::from(cosine));
                }
            }
            best = best.max((average(&forth) + average(&back)) / 2.0);
            covered.iter_mut().zip(&forth).for_each(|(covered, one)| *covered = covered.max(*one));
        }
        (best + average(&covered)) / 2.0
    }
}

/// The inner product of the inverse of `share · identity + covariance`, up to a factor, by the Woodbury
/// identity: the covariance is of few rows.
#[derive(Debug, Clone)]
struct Metric {
    /// Deviations from their compositions' means, `[examples, d_model]`.
    rows: Vec<Vec<f64>>,
    /// Inverse of `ridge · identity + rows · rowsᵀ`; none where nothing varies.
    inner: Option<Vec<Vec<f64>>>,
}

/// A vector, its products with the metric's rows, and their solution; its length in the metric.
#[derive(Debug, Clone)]
struct Projected {
    vector: Vec<f64>,
    products: Vec<f64>,
    solved: Vec<f64>,
    length: f64,
}

impl Metric {
    fn new(rows: Vec<Vec<f64>>) -> Self {
        let d_model = rows.first().map_or(1, Vec::len) as f64;
        let trace: f64 = rows.iter().map(|row| dot(row, row)).sum();
        // (1 − s) · RᵀR / n + s · trace / (n · d) · I, divided by (1 − s) / n.
        let ridge = SHRINKAGE / (1.0 - SHRINKAGE) * trace / d_model;
        let gram = |i: usize, j: usize| dot(&rows[i], &rows[j]) + if i == j { ridge } else { 0.0 };
        let columns: Vec<Vec<f64>> =
            (0..rows.len()).map(|j| (0..rows.len()).map(|i| gram(i, j)).collect()).collect();
        let inner = if ridge > 0.0 { inverse(&columns) } else { None };
        Self { rows, inner }
    }

    fn project(&self, vector: Vec<f64>) -> Projected {
        let products: Vec<f64> = match &self.inner {
            Some(_) => self.rows.iter().map(|row| dot(row, &vector)).collect(),
            None => Vec::new(),
        };
        let solved = self.inner.iter().flatten().map(|row| dot(row, &products)).collect();
        let mut projected = Projected { vector, products, solved, length: 0.0 };
        projected.length = self.product(&projected, &projected).max(0.0).sqrt();
        projected
    }

    fn product(&self, a: &Projected, b: &Projected) -> f64 {
        dot(&a.vector, &b.vector) - dot(&a.products, &b.solved)
    }

    fn cosine(&self, a: &Projected, b: &Projected) -> f64 {
        let lengths = a.length * b.length;
        if lengths > 0.0 { self.product(a, b) / lengths } else { 0.0 }
    }
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// The mean of rows of `width` numbers; 0 of none.
fn mean<'a>(rows: impl Iterator<Item = &'a [f64]>, width: usize) -> Vec<f64> {
    let (mut sum, mut count) = (vec![0.0; width], 0.0);
    for row in rows {
        count += 1.0;
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    sum.into_iter().map(|sum| sum / f64::max(count, 1.0)).collect()
}

/// The mean of token states, `[d_model]`.
fn mean_row(states: &[f32], d_model: usize) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = states
        .chunks_exact(d_model)
        .map(|row| row.iter().map(|&value| f64::from(value)).collect())
        .collect();
    mean(rows.iter().map(Vec::as_slice), d_model)
}

/// Token states less the centre, each of length 1 (or 0).
fn unit_rows(states: &[f32], center: &[f64]) -> Vec<f32> {
    let unit = |row: &[f32]| {
        let row: Vec<f64> = row.iter().zip(center).map(|(&x, c)| f64::from(x) - c).collect();
        let length = norm(&row);
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        row.into_iter().map(move |value| (value * scale) as f32)
    };
    states.chunks_exact(center.len()).flat_map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::{Metric, RoutingIndex, choose_route, nearest_routes, route_score};

    const D: usize = 4;

    #[test]
    fn the_metric_is_that_of_the_inverse_of_the_shrunk_covariance() {
        let rows = vec![vec![3.0, 0.0, 0.0, 0.0], vec![-3.0, 0.0, 0.0, 0.0]];
        let metric = Metric::new(rows);
        // RᵀR is diag(18, 0, 0, 0), its trace 18, so that the matrix is diag(18 + 4.5, 4.5, 4.5, 4.5).
        let [a, b] =
            [[1.0, 1.0, 0.0, 0.0], [1.0, -1.0, 0.0, 0.0]].map(|v| metric.project(v.into()));
        let scaled = |x: f64, y: f64| x / 22.5 + y / 4.5;
        let expected = scaled(1.0, -1.0) / scaled(1.0, 1.0);
        assert!((metric.cosine(&a, &b) - expected).abs() < 1e-12);
        assert!((metric.cosine(&a, &a) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_example_is_nearest_to_its_own_composition_and_another_text_is_far_from_all() {
        let states = |rows: [[f32; D]; 2]| rows.concat();
        let one = [states([[9.0, 1.0, 5.0, 1.0]; 2]), states([[9.0, 2.0, 5.0, 0.0]; 2])];
        let two = [states([[1.0, 9.0, 5.0, 1.0]; 2]), states([[2.0, 9.0, 5.0, 0.0]; 2])];
        let other = states([[1.0, 1.0, 5.0, 9.0]; 2]);
        let compositions: Vec<Vec<&[f32]>> =
            [&one, &two].map(|of| of.iter().map(Vec::as_slice).collect()).into();
        let index = RoutingIndex::new(D, &compositions, &[&other]);
        let [to_one, to_two] = index.similarities(&one[0])[..] else { panic!() };
        assert!(to_one > 0.9 && to_two < 0.0, "{to_one} {to_two}");
        let far = index.similarities(&other);
        assert!(far.iter().all(|&similarity| similarity < 0.2), "{far:?}");
    }

    #[test]
    fn texts_that_do_not_vary_and_compositions_without_examples_give_numbers() {
        let text = [1.0f32; 2 * D];
        let index = RoutingIndex::new(D, &[vec![&text], vec![]], &[]);
        let similarities = index.similarities(&text);
        assert!(similarities[0].is_finite());
        assert_eq!(similarities[1], -1.0);
        assert!(RoutingIndex::new(D, &[], &[]).similarities(&text).is_empty());
    }

    #[test]
    fn the_highest_score_above_the_threshold_is_chosen() {
        let scores = [Some(0.3), None, Some(0.6), Some(0.6), Some(f64::NAN)];
        assert_eq!(choose_route(&scores, 0.5), Some(2));
        assert_eq!(choose_route(&scores, 0.7), None);
        assert_eq!(choose_route(&[], 0.0), None);
        assert_eq!(nearest_routes(&[0.1, 0.9, 0.5], 2), [1, 2]);
        assert!(route_score(0.8, 2.0) < route_score(0.8, 1.0));
    }
}
