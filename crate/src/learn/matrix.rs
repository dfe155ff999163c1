//! The little dense linear algebra that the searches need, in f64 and with a fixed order of
//! operations, so that every platform gets the same bits.

/// Sum of products, from the first element to the last.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Euclidean length.
pub(super) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// Inverse of the matrix with the given columns, as rows: `inverse[i] · columns[j]` is 1 for i = j
/// and 0 otherwise. `None` for a singular matrix.
pub(super) fn inverse(columns: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let n = columns.len();
    // Gauss-Jordan elimination with partial pivoting on [matrix | identity].
    let mut rows: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            let mut row: Vec<f64> = columns.iter().map(|column| column[i]).collect();
            row.extend((0..n).map(|j| f64::from(u8::from(i == j))));
            row
        })
        .collect();
    for k in 0..n {
        let mut pivot = k;
        for i in k + 1..n {
            if rows[i][k].abs() > rows[pivot][k].abs() {
                pivot = i;
            }
        }
        rows.swap(k, pivot);
        let scale = rows[k][k];
        if scale == 0.0 || !scale.is_finite() {
            return None;
        }
        rows[k].iter_mut().for_each(|value| *value /= scale);
        let pivot_row = rows[k].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            let factor = row[k];
            if i != k && factor != 0.0 {
                for (value, p) in row.iter_mut().zip(&pivot_row) {
                    *value -= factor * p;
                }
            }
        }
    }
    Some(rows.into_iter().map(|mut row| row.split_off(n)).collect())
}

/// Eigenvalues and eigenvectors (`vectors[k]` belongs to `values[k]`) of a symmetric matrix, by
/// cyclic Jacobi rotations (Golub and Van Loan, "Matrix Computations", section 8.5).
pub(super) fn symmetric_eigen(matrix: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 30;
    let n = matrix.len();
    let mut a = matrix.to_vec();
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let mut off_diagonal = 0.0;
        let mut diagonal = 0.0;
        for (i, row) in a.iter().enumerate() {
            diagonal += row[i] * row[i];
            off_diagonal += dot(&row[i + 1..], &row[i + 1..]);
        }
        if off_diagonal <= f64::EPSILON * f64::EPSILON * diagonal {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let sign = if tau < 0.0 { -1.0 } else { 1.0 };
                let t = sign / (tau.abs() + (1.0 + tau * tau).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = t * c;
                for row in &mut a {
                    let (x, y) = (row[p], row[q]);
                    row[p] = c * x - s * y;
                    row[q] = s * x + c * y;
                }
                for k in 0..n {
                    let (x, y) = (a[p][k], a[q][k]);
                    a[p][k] = c * x - s * y;
                    a[q][k] = s * x + c * y;
                    let (x, y) = (vectors[p][k], vectors[q][k]);
                    vectors[p][k] = c * x - s * y;
                    vectors[q][k] = s * x + c * y;
                }
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::{dot, inverse, norm, symmetric_eigen};

    fn columns(n: usize) -> Vec<Vec<f64>> {
        let value = |i: usize, j: usize| ((i * 7 + j * 3 + 1) % 11) as f64 - 4.5;
        (0..n).map(|j| (0..n).map(|i| value(i, j)).collect()).collect()
    }

    #[test]
    fn rows_of_the_inverse_times_the_columns_give_the_identity() {
        let columns = columns(7);
        for (i, row) in inverse(&columns).expect("not singular").iter().enumerate() {
            for (j, column) in columns.iter().enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot(row, column) - expected).abs() < 1e-12, "{i} {j}");
            }
        }
    }

    #[test]
    fn a_singular_matrix_has_no_inverse() {
        assert_eq!(inverse(&[vec![1.0, 2.0], vec![2.0, 4.0]]), None);
    }

    #[test]
    fn eigenvectors_are_orthonormal_and_scaled_by_their_eigenvalues() {
        let half = columns(6);
        let matrix: Vec<Vec<f64>> =
            half.iter().map(|a| half.iter().map(|b| dot(a, b)).collect()).collect();
        let (values, vectors) = symmetric_eigen(&matrix);
        for (k, vector) in vectors.iter().enumerate() {
            assert!((norm(vector) - 1.0).abs() < 1e-12);
            assert!(vectors[..k].iter().all(|other| dot(vector, other).abs() < 1e-12));
            for (row, v) in matrix.iter().zip(vector) {
                assert!((dot(row, vector) - values[k] * v).abs() < 1e-10);
            }
        }
    }
}
