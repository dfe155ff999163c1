//! COBYLA without constraints: Powell's linear trust-region search, step for step as the reference
//! implementation runs it.
//!
//! LoraHub's reference uses nevergrad's `NGOpt`, which for 40 evaluations resolves to scipy's
//! COBYLA, since scipy 1.16 the PRIMA version of Powell's method (Z. Zhang, "PRIMA: Reference
//! Implementation for Powell's Methods with Modernization and Amelioration", libprima.net; M. J. D.
//! Powell, "A direct search optimization method that models the objective and constraint functions
//! by linear interpolation", 1994). The names below are PRIMA's: `sim` is the simplex, `simi` its
//! inverse, the pole its best vertex. With no constraints the trust-region problem is solved by a
//! step along the model's negative gradient.
//!
//! The search runs in standardised coordinates, in which the bounds lie at ±3; points outside them
//! are reflected once ([`reflect`]) before they are evaluated, as nevergrad's "bouncing" does, and
//! the search itself goes on with the point before reflection.

use super::matrix::{dot, inverse, norm};
use super::{Search, reflect};

/// First and last trust-region radius, in standardised coordinates (scipy's defaults for `tol=0`).
const RHO_BEGIN: f64 = 1.0;
const RHO_END: f64 = 1e-6;
/// Thresholds of the reduction ratio and factors of the radius (PRIMA's defaults).
const ETA1: f64 = 0.1;
const ETA2: f64 = 0.7;
const GAMMA1: f64 = 0.5;
const GAMMA2: f64 = 2.0;
const GAMMA3: f64 = 1.5;
/// Losses above this are cut to it (PRIMA's "moderated extreme barrier").
const LOSS_MAX: f64 = 1e30;
/// Standard deviations from the start to a bound, by which nevergrad scales a bounded array.
const SIGMAS_TO_BOUND: f64 = 3.0;
/// Iterations without a new point after which the simplex is taken as worn out.
const IDLE_LIMIT: usize = 1000;

/// The purpose of the point in evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The start, the first pole.
    Start,
    /// The initial simplex: the pole moved along one coordinate.
    Vertex(usize),
    /// A trust-region trial step.
    Trial,
    /// A step that improves the geometry by replacing this vertex.
    Geometry(usize),
}

/// The search; one point at a time.
pub struct Cobyla {
    bound: f64,
    /// Displacements of the vertices from the pole, `[vertex][coordinate]`.
    sim: Vec<Vec<f64>>,
    pole: Vec<f64>,
    /// Inverse of the matrix whose columns are `sim`, `[vertex][coordinate]`.
    simi: Vec<Vec<f64>>,
    /// Losses of the vertices and, last, of the pole.
    fval: Vec<f64>,
    rho: f64,
    delta: f64,
    /// The step in progress with its length and the reduction that the model predicts.
    step: Vec<f64>,
    step_norm: f64,
    predicted: f64,
    /// Whether the simplex had acceptable geometry when the iteration began.
    adequate_geometry: bool,
    purpose: Purpose,
    /// The point to evaluate, in standardised coordinates before reflection.
    pending: Vec<f64>,
    best: Vec<f64>,
    best_loss: f64,
}

/// How one stretch of the algorithm ended.
enum Outcome {
    /// A point waits to be evaluated.
    Asked,
    /// The iteration is over; the next one may begin.
    Done,
    /// Converged, or the simplex is damaged by rounding.
    Ended,
}

impl Cobyla {
    /// A search over `dimensions` coefficients that starts at 0 and stays within ±`bound`.
    pub fn new(dimensions: usize, bound: f64) -> Self {
        Self {
            bound,
            sim: Vec::new(),
            pole: vec![0.0; dimensions],
            simi: Vec::new(),
            fval: Vec::new(),
            rho: RHO_BEGIN,
            delta: RHO_BEGIN,
            step: vec![0.0; dimensions],
            step_norm: 0.0,
            predicted: 0.0,
            adequate_geometry: true,
            purpose: Purpose::Start,
            pending: vec![0.0; dimensions],
            best: vec![0.0; dimensions],
            best_loss: f64::INFINITY,
        }
    }

    fn dimensions(&self) -> usize {
        self.pole.len()
    }

    /// Starts an initial simplex around a pole that was evaluated.
    fn begin_simplex(&mut self, pole: Vec<f64>, loss: f64) {
        let n = self.dimensions();
        self.pole = pole;
        self.sim = scaled_identity(n, RHO_BEGIN);
        self.fval = vec![f64::MAX; n + 1];
        self.fval[n] = loss;
        self.rho = RHO_BEGIN;
        self.delta = RHO_BEGIN;
        self.ask_vertex(0);
    }

    fn ask_vertex(&mut self, vertex: usize) {
        let mut point = self.pole.clone();
        point[vertex] += RHO_BEGIN;
        self.pending = point;
        self.purpose = Purpose::Vertex(vertex);
    }

    /// Takes the loss of a vertex of the initial simplex; a better vertex becomes the pole.
    fn tell_vertex(&mut self, vertex: usize, loss: f64) {
        let n = self.dimensions();
        self.fval[vertex] = loss;
        if self.fval[vertex] < self.fval[n] {
            self.fval.swap(vertex, n);
            self.pole = self.pending.clone();
            for column in &mut self.sim[..=vertex] {
                column[vertex] = -RHO_BEGIN;
            }
        }
        if vertex + 1 < n {
            self.ask_vertex(vertex + 1);
        } else {
            // Triangular with ±RHO_BEGIN on the diagonal, so never singular.
            self.simi = inverse(&self.sim).unwrap_or_else(|| scaled_identity(n, 1.0 / RHO_BEGIN));
            self.iterate();
        }
    }

    /// Iterates until a point waits to be evaluated.
    fn iterate(&mut self) {
        for _ in 0..IDLE_LIMIT {
            match self.trust_region_step() {
                Outcome::Asked => return,
                Outcome::Done => {}
                Outcome::Ended => break,
            }
        }
        self.restart();
    }

    /// Goes on from the outcome of an evaluation.
    fn go_on(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Asked => {}
            Outcome::Done => self.iterate(),
            Outcome::Ended => self.restart(),
        }
    }

    /// Spends what is left of the budget on a new simplex around the best point, as nevergrad does.
    fn restart(&mut self) {
        let (best, loss) = (self.best.clone(), self.best_loss);
        self.begin_simplex(best, loss);
    }

    /// Gradient of the linear model through the vertices.
    fn gradient(&self) -> Vec<f64> {
        let n = self.dimensions();
        let mut gradient = vec![0.0; n];
        for (row, loss) in self.simi.iter().zip(&self.fval) {
            let difference = loss - self.fval[n];
            for (g, s) in gradient.iter_mut().zip(row) {
                *g += difference * s;
            }
        }
        gradient
    }

    fn has_adequate_geometry(&self) -> bool {
        let limit = 4.0 * (self.delta * self.delta);
        self.sim.iter().all(|column| dot(column, column) <= limit)
    }

    fn trust_region_step(&mut self) -> Outcome {
        if !self.update_pole() {
            return Outcome::Ended;
        }
        self.adequate_geometry = self.has_adequate_geometry();
        let gradient = self.gradient();
        self.step = steepest_descent(&gradient, self.delta);
        self.step_norm = norm(&self.step).min(self.delta);
        self.predicted = -dot(&self.step, &gradient);
        let short = self.step_norm <= 0.1 * self.rho;
        // PRIMA compares with 1e-6 · min(cpen, 1) · rho; without constraints cpen is epsilon.
        let failed = self.predicted.is_nan() || self.predicted <= 1e-6 * f64::EPSILON * self.rho;
        if short || failed {
            self.delta *= 0.1;
            self.settle_delta();
            return self.finish_iteration(true);
        }
        match self.ask_step(Purpose::Trial) {
            Some(loss) => self.tell_trial(loss),
            None => Outcome::Asked,
        }
    }

    /// Proposes the pole moved by the step in progress; returns the loss of a vertex instead if the
    /// point as good as coincides with it.
    fn ask_step(&mut self, purpose: Purpose) -> Option<f64> {
        let n = self.dimensions();
        let point: Vec<f64> = self.pole.iter().zip(&self.step).map(|(p, d)| p + d).collect();
        let mut nearest = (n, squared_distance(&point, &self.pole));
        for (j, column) in self.sim.iter().enumerate() {
            let vertex: Vec<f64> = self.pole.iter().zip(column).map(|(p, s)| p + s).collect();
            let distance = squared_distance(&point, &vertex);
            if distance < nearest.1 {
                nearest = (j, distance);
            }
        }
        let close = 1e-4 * RHO_END;
        if nearest.1 <= close * close {
            return Some(self.fval[nearest.0]);
        }
        self.pending = point;
        self.purpose = purpose;
        None
    }

    fn tell_trial(&mut self, loss: f64) -> Outcome {
        let actual = self.fval[self.dimensions()] - loss;
        let ratio = actual / self.predicted;
        self.delta = if ratio <= ETA1 {
            GAMMA1 * self.step_norm
        } else if ratio <= ETA2 {
            (GAMMA1 * self.delta).max(self.step_norm)
        } else {
            (GAMMA1 * self.delta).max(GAMMA2 * self.step_norm)
        };
        self.settle_delta();
        let replaced = self.vertex_to_replace(actual > 0.0);
        if let Some(vertex) = replaced
            && !self.replace_vertex(vertex, loss)
        {
            return Outcome::Ended;
        }
        self.finish_iteration(ratio <= 0.0 || replaced.is_none())
    }

    fn settle_delta(&mut self) {
        if self.delta <= GAMMA3 * self.rho {
            self.delta = self.rho;
        }
    }

    /// After a bad trust-region step: improves the geometry, or if that is good, reduces the radius.
    fn finish_iteration(&mut self, bad_step: bool) -> Outcome {
        if !bad_step {
            return Outcome::Done;
        }
        if self.adequate_geometry {
            if self.delta.max(self.step_norm) > self.rho {
                return Outcome::Done;
            }
            if self.rho <= RHO_END {
                return Outcome::Ended;
            }
            let reduced = reduced_rho(self.rho);
            self.delta = (0.5 * self.rho).max(reduced);
            self.rho = reduced;
            return if self.update_pole() { Outcome::Done } else { Outcome::Ended };
        }
        if self.has_adequate_geometry() {
            return Outcome::Done;
        }
        let lengths: Vec<f64> = self.sim.iter().map(|column| dot(column, column)).collect();
        let vertex = first_largest(&lengths);
        let row = &self.simi[vertex];
        let length = norm(row);
        self.step = row.iter().map(|s| self.delta / 2.0 * (s / length)).collect();
        let slope = dot(&self.step, &self.gradient());
        if -slope < slope {
            self.step.iter_mut().for_each(|d| *d = -*d);
        }
        match self.ask_step(Purpose::Geometry(vertex)) {
            Some(loss) => self.tell_geometry(vertex, loss),
            None => Outcome::Asked,
        }
    }

    fn tell_geometry(&mut self, vertex: usize, loss: f64) -> Outcome {
        if self.replace_vertex(vertex, loss) { Outcome::Done } else { Outcome::Ended }
    }

    /// The vertex, or with `n` the pole, that the trial point replaces: far away, and such that the
    /// simplex keeps its volume.
    fn vertex_to_replace(&self, improved: bool) -> Option<usize> {
        let n = self.dimensions();
        let radius = self.rho.max(self.delta / 10.0);
        let mut distances: Vec<f64> =
            self.sim
                .iter()
                .map(|column| {
                    if improved {
                        squared_distance(column, &self.step)
                    } else {
                        dot(column, column)
                    }
                })
                .collect();
        distances.push(if improved { dot(&self.step, &self.step) } else { 0.0 });
        let lagrange: Vec<f64> = self.simi.iter().map(|row| dot(row, &self.step)).collect();
        let last = 1.0 - lagrange.iter().sum::<f64>();
        let mut scores: Vec<f64> = distances
            .iter()
            .zip(lagrange.iter().chain([&last]))
            .map(|(distance, value)| {
                let score = (distance / (radius * radius)).max(1.0) * value.abs();
                if score.is_nan() { -1.0 } else { score }
            })
            .collect();
        if !improved {
            scores[n] = -1.0;
        }
        if scores.iter().any(|&score| score > 0.0) {
            Some(first_largest(&scores))
        } else if improved {
            Some(first_largest(&distances))
        } else {
            None
        }
    }

    /// Puts the step in progress in the place of a vertex (`n`: of the pole); false if rounding has
    /// damaged the simplex.
    fn replace_vertex(&mut self, vertex: usize, loss: f64) -> bool {
        let n = self.dimensions();
        let step = &self.step;
        let lagrange: Vec<f64> = self.simi.iter().map(|row| dot(row, step)).collect();
        if vertex < n {
            self.sim[vertex] = step.clone();
            let pivot = dot(&self.simi[vertex], step);
            let replacement: Vec<f64> = self.simi[vertex].iter().map(|s| s / pivot).collect();
            for (row, factor) in self.simi.iter_mut().zip(&lagrange) {
                for (s, r) in row.iter_mut().zip(&replacement) {
                    *s -= factor * r;
                }
            }
            self.simi[vertex] = replacement;
        } else {
            for (p, d) in self.pole.iter_mut().zip(step) {
                *p += d;
            }
            for column in &mut self.sim {
                for (s, d) in column.iter_mut().zip(step) {
                    *s -= d;
                }
            }
            let rest = 1.0 - lagrange.iter().sum::<f64>();
            let sums: Vec<f64> = column_sums(&self.simi).iter().map(|s| s / rest).collect();
            for (row, factor) in self.simi.iter_mut().zip(&lagrange) {
                for (s, r) in row.iter_mut().zip(&sums) {
                    *s += factor * r;
                }
            }
        }
        if !self.repair_inverse() {
            return false;
        }
        self.fval[vertex] = loss;
        self.update_pole()
    }

    /// Makes the best vertex the pole; false if rounding has damaged the simplex.
    fn update_pole(&mut self) -> bool {
        let n = self.dimensions();
        let lowest = self.fval.iter().copied().fold(f64::INFINITY, f64::min);
        if lowest >= self.fval[n] {
            return self.repair_inverse();
        }
        let best = self.fval.iter().position(|&f| f <= lowest).unwrap_or(n);
        let moved = std::mem::replace(&mut self.sim[best], vec![0.0; n]);
        for (p, s) in self.pole.iter_mut().zip(&moved) {
            *p += s;
        }
        for column in &mut self.sim {
            for (s, m) in column.iter_mut().zip(&moved) {
                *s -= m;
            }
        }
        self.simi[best] = column_sums(&self.simi).iter().map(|s| -s).collect();
        self.fval.swap(best, n);
        self.repair_inverse()
    }

    /// Recomputes the inverse of the simplex if updates have made it poor; false if that fails.
    fn repair_inverse(&mut self) -> bool {
        let mut error = self.inverse_error(&self.simi);
        if (error.is_nan() || error > 0.1)
            && let Some(fresh) = inverse(&self.sim)
        {
            let fresh_error = self.inverse_error(&fresh);
            if fresh_error < error || (error.is_nan() && !fresh_error.is_nan()) {
                self.simi = fresh;
                error = fresh_error;
            }
        }
        error <= 1.0
    }

    /// Largest deviation of `simi` times `sim` from the identity.
    fn inverse_error(&self, simi: &[Vec<f64>]) -> f64 {
        let mut largest = 0.0f64;
        for (i, row) in simi.iter().enumerate() {
            for (j, column) in self.sim.iter().enumerate() {
                let error = (dot(row, column) - f64::from(u8::from(i == j))).abs();
                if error.is_nan() {
                    return f64::NAN;
                }
                largest = largest.max(error);
            }
        }
        largest
    }
}

impl Search for Cobyla {
    fn name(&self) -> &'static str {
        "cobyla"
    }

    fn ask(&mut self) -> Vec<Vec<f64>> {
        let scale = self.bound / SIGMAS_TO_BOUND;
        vec![self.pending.iter().map(|x| reflect(scale * x, self.bound)).collect()]
    }

    fn tell(&mut self, losses: &[f64]) {
        let Some(&loss) = losses.first() else { return };
        let loss = if loss.is_nan() { LOSS_MAX } else { loss.clamp(-LOSS_MAX, LOSS_MAX) };
        if loss < self.best_loss {
            self.best_loss = loss;
            self.best = self.pending.clone();
        }
        match self.purpose {
            Purpose::Start => self.begin_simplex(self.pending.clone(), loss),
            Purpose::Vertex(vertex) => self.tell_vertex(vertex, loss),
            Purpose::Trial => {
                let outcome = self.tell_trial(loss);
                self.go_on(outcome);
            }
            Purpose::Geometry(vertex) => {
                let outcome = self.tell_geometry(vertex, loss);
                self.go_on(outcome);
            }
        }
    }
}

/// The step of length `delta` along the negative gradient; zero where the gradient is zero.
fn steepest_descent(gradient: &[f64], delta: f64) -> Vec<f64> {
    // Scaled first, so that the square of a huge gradient does not overflow.
    let largest = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    let scaled: Vec<f64> = if largest > 1e12 {
        gradient.iter().map(|g| g / largest).collect()
    } else {
        gradient.to_vec()
    };
    let length = norm(&scaled);
    if length > 0.0 {
        scaled.iter().map(|g| -delta * (g / length)).collect()
    } else {
        vec![0.0; gradient.len()]
    }
}

/// The next trust-region resolution (PRIMA's `redrho`).
fn reduced_rho(rho: f64) -> f64 {
    let ratio = rho / RHO_END;
    if ratio > 250.0 {
        0.1 * rho
    } else if ratio <= 16.0 {
        RHO_END
    } else {
        ratio.sqrt() * RHO_END
    }
}

fn scaled_identity(n: usize, scale: f64) -> Vec<Vec<f64>> {
    (0..n)
        .map(|i| {
            let mut row = vec![0.0; n];
            row[i] = scale;
            row
        })
        .collect()
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

fn column_sums(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut sums = vec![0.0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    sums
}

/// Index of the first of the largest values.
fn first_largest(values: &[f64]) -> usize {
    let mut largest = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[largest] {
            largest = index;
        }
    }
    largest
}
