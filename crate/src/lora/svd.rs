//! The singular value decomposition of a product of two thin matrices, in f64 with a fixed order of
//! operations, so that every platform gets the same bits.

/// A matrix by its columns.
pub(super) type Columns = Vec<Vec<f64>>;

/// Sweeps of Jacobi rotations; ten are enough for hundreds of columns.
const SWEEPS: usize = 60;
/// Cosine of the angle of two columns that count as orthogonal.
const ORTHOGONAL: f64 = 1e-15;

/// `left · diag(values) · rightᵀ` with values in descending order.
pub(super) struct Svd {
    /// `[rows, rank]` of columns of length 1, or of zeros where the value is 0.
    pub(super) left: Columns,
    /// `[rank]`.
    pub(super) values: Vec<f64>,
    /// `[columns, rank]` of columns of length 1.
    pub(super) right: Columns,
}

/// The decomposition of `left · rightᵀ`, where both have as many columns: by the QR decompositions of both
/// and that of the product of their triangular factors, whose size is the number of columns at most.
pub(super) fn svd_of_product(left: Columns, right: Columns) -> Svd {
    let [left, right] = [left, right].map(Qr::new);
    let core = left.triangle_times_transposed(&right);
    let Svd { left: of_left, values, right: of_right } = jacobi(core, right.rows());
    Svd { left: left.orthogonal_times(of_left), values, right: right.orthogonal_times(of_right) }
}

/// A QR decomposition by Householder reflections (Golub and Van Loan, "Matrix Computations", section 5.2).
struct Qr {
    height: usize,
    /// The vector of each reflection `I − 2·v·vᵀ`, from its own row downward; empty for the identity.
    reflections: Vec<Vec<f64>>,
    /// Columns of the upper triangular factor, each of up to as many rows as reflections.
    triangle: Columns,
}

impl Qr {
    fn new(mut columns: Columns) -> Self {
        let height = columns.first().map_or(0, Vec::len);
        let count = height.min(columns.len());
        let mut reflections = Vec::with_capacity(count);
        for step in 0..count {
            let (column, later) = columns[step..].split_first_mut().expect("a column of each step");
            let vector = reflection(&column[step..]);
            if !vector.is_empty() {
                reflect(&vector, &mut column[step..]);
                later.iter_mut().for_each(|column| reflect(&vector, &mut column[step..]));
            }
            column[step + 1..].fill(0.0);
            reflections.push(vector);
        }
        columns.iter_mut().for_each(|column| column.truncate(count));
        Self { height, reflections, triangle: columns }
    }

    /// Rows of the triangular factor.
    fn rows(&self) -> usize {
        self.reflections.len()
    }

    /// The columns of `R₁ · R₂ᵀ`.
    fn triangle_times_transposed(&self, other: &Self) -> Columns {
        let mut product = vec![vec![0.0; self.rows()]; other.rows()];
        for (column, factors) in self.triangle.iter().zip(&other.triangle) {
            for (sums, &factor) in product.iter_mut().zip(factors) {
                add_multiple(sums, factor, column);
            }
        }
        product
    }

    /// `Q` times columns of as many rows as the triangular factor.
    fn orthogonal_times(&self, mut columns: Columns) -> Columns {
        for column in &mut columns {
            column.resize(self.height, 0.0);
            for (step, vector) in self.reflections.iter().enumerate().rev() {
                if !vector.is_empty() {
                    reflect(vector, &mut column[step..]);
                }
            }
        }
        columns
    }
}

/// The unit vector whose reflection turns `column` into a multiple of the first unit vector; empty if it is
/// one already.
fn reflection(column: &[f64]) -> Vec<f64> {
    let length = dot(column, column).sqrt();
    if column[1..].iter().all(|&value| value == 0.0) {
        return Vec::new();
    }
    let mut vector = column.to_vec();
    vector[0] += if column[0] < 0.0 { -length } else { length };
    let length = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
    vector
}

/// `(I − 2·v·vᵀ) · column`.
fn reflect(vector: &[f64], column: &mut [f64]) {
    let factor = -2.0 * dot(vector, column);
    add_multiple(column, factor, vector);
}

/// One-sided Jacobi rotations (Golub and Van Loan, section 8.6): turns the columns until all are orthogonal.
/// Their lengths are the singular values then, and the turns make up the right vectors. A matrix with fewer
/// rows than columns is transposed, as its columns cannot all be orthogonal without some being zeros.
fn jacobi(matrix: Columns, columns: usize) -> Svd {
    let rows = matrix.first().map_or(0, Vec::len);
    if rows < columns {
        let transposed = (0..rows).map(|row| matrix.iter().map(|column| column[row]).collect());
        let Svd { left, values, right } = jacobi(transposed.collect(), rows);
        return Svd { left: right, values, right: left };
    }
    let mut turned = matrix;
    let mut turns: Columns =
        (0..columns).map(|i| (0..columns).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    // Columns of no more than rounding have no direction that could be made orthogonal.
    let total: f64 = turned.iter().map(|column| dot(column, column)).sum();
    let negligible = total * f64::EPSILON * f64::EPSILON;
    for _ in 0..SWEEPS {
        let mut settled = true;
        for p in 0..columns {
            for q in p + 1..columns {
                let [a, b] = pair(&mut turned, p, q);
                let (aa, bb, ab) = (dot(a, a), dot(b, b), dot(a, b));
                if aa.min(bb) <= negligible || ab.abs() <= ORTHOGONAL * (aa * bb).sqrt() {
                    continue;
                }
                settled = false;
                let tau = (bb - aa) / (2.0 * ab);
                let sign = if tau < 0.0 { -1.0 } else { 1.0 };
                let tangent = sign / (tau.abs() + (1.0 + tau * tau).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                let sine = tangent * cosine;
                rotate(a, b, cosine, sine);
                let [a, b] = pair(&mut turns, p, q);
                rotate(a, b, cosine, sine);
            }
        }
        if settled {
            break;
        }
    }
    let mut all: Vec<_> = (turned.into_iter().zip(turns))
        .map(|(column, right)| (dot(&column, &column).sqrt(), column, right))
        .collect();
    all.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    let mut svd = Svd { left: Vec::new(), values: Vec::new(), right: Vec::new() };
    for (value, mut column, right) in all {
        if value > 0.0 {
            column.iter_mut().for_each(|entry| *entry /= value);
        }
        svd.left.push(column);
        svd.values.push(value);
        svd.right.push(right);
    }
    svd
}

/// Two columns, of which `p` comes first.
fn pair(columns: &mut Columns, p: usize, q: usize) -> [&mut [f64]; 2] {
    let (before, after) = columns.split_at_mut(q);
    [&mut before[p], &mut after[0]]
}

fn rotate(a: &mut [f64], b: &mut [f64], cosine: f64, sine: f64) {
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

fn add_multiple(sums: &mut [f64], factor: f64, column: &[f64]) {
    sums.iter_mut().zip(column).for_each(|(sum, value)| *sum += factor * value);
}

/// Sum of products in eight lanes, which vector instructions keep.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    rest_a.iter().zip(rest_b).fold(sum, |sum, (a, b)| sum + a * b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn random_columns(random: &mut Random, rows: usize, columns: usize) -> Columns {
        let mut value = || (random.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        (0..columns).map(|_| (0..rows).map(|_| value()).collect()).collect()
    }

    /// Orthonormal columns.
    fn orthonormal(random: &mut Random, rows: usize, columns: usize) -> Columns {
        let unit = |i| (0..columns).map(|j| f64::from(u8::from(i == j))).collect();
        let qr = Qr::new(random_columns(random, rows, columns));
        qr.orthogonal_times((0..columns).map(unit).collect())
    }

    fn assert_orthonormal(columns: &[Vec<f64>]) {
        for (i, column) in columns.iter().enumerate() {
            assert!((dot(column, column) - 1.0).abs() < 1e-12, "{i}");
            for other in &columns[..i] {
                assert!(dot(column, other).abs() < 1e-12, "{i}");
            }
        }
    }

    /// The entry of `left · diag(values) · rightᵀ`.
    fn entry(left: &Columns, values: &[f64], right: &Columns, row: usize, column: usize) -> f64 {
        let terms = left.iter().zip(values).zip(right);
        terms.map(|((left, value), right)| left[row] * value * right[column]).sum()
    }

    #[test]
    fn a_product_of_known_singular_values_has_them() {
        let mut random = Random(1);
        for (rows, columns, values) in [
            (20, 30, &[5.0, 3.0, 2.5, 0.1, 1e-5][..]),
            (40, 11, &[2.0, 2.0, 2.0, 1.0, 1e-9, 0.0]),
            (9, 7, &[1e6, 1.0, 1e-3]),
            (5, 5, &[3.0, 2.0, 1.0, 0.5, 0.25]),
            (1, 6, &[4.0]),
        ] {
            let count = values.len();
            let left = orthonormal(&mut random, rows, count);
            let right = orthonormal(&mut random, columns, count);
            // Factors of more columns than the product's rank: L · M and R · M⁻ᵀ with M orthogonal rows.
            let wide = orthonormal(&mut random, count + 4, count);
            let spread = |side: &Columns, scaled: bool| -> Columns {
                let factor = |i: usize| if scaled { values[i] } else { 1.0 };
                let row = |side: &Columns, row, k| {
                    (0..count).map(|i| side[i][row] * factor(i) * wide[i][k]).sum::<f64>()
                };
                (0..count + 4)
                    .map(|k| (0..side[0].len()).map(|index| row(side, index, k)).collect())
                    .collect()
            };
            let found = svd_of_product(spread(&left, true), spread(&right, false));
            assert_eq!(found.values.len(), rows.min(columns).min(count + 4));
            for (i, &value) in found.values.iter().enumerate() {
                let expected = values.get(i).copied().unwrap_or(0.0);
                assert!((value - expected).abs() < 1e-14 * values[0] * 10.0, "{value} {expected}");
            }
            let significant = values.iter().filter(|&&value| value > 1e-9 * values[0]).count();
            assert_orthonormal(&found.left[..significant]);
            assert_orthonormal(&found.right[..significant]);
            for row in 0..rows {
                for column in 0..columns {
                    let expected = entry(&left, values, &right, row, column);
                    let found = entry(&found.left, &found.values, &found.right, row, column);
                    assert!((found - expected).abs() < 1e-13 * values[0], "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_product_of_zeros_has_values_of_zero_and_finite_vectors() {
        let found = svd_of_product(vec![vec![0.0; 6]; 3], vec![vec![1.0; 4]; 3]);
        assert_eq!(found.values, [0.0; 3]);
        assert!(found.left.iter().chain(&found.right).flatten().all(|value| value.is_finite()));
    }
}
