//! CMA-ES with a full covariance matrix (N. Hansen, "The CMA Evolution Strategy: A Tutorial", 2016,
//! figure 6 with its default parameters), a generation to a batch.

use super::matrix::{dot, norm, symmetric_eigen};
use super::random::Random;
use super::{Search, reflect};

/// The search. Its first batch is the start, 0; every later one is a generation.
pub struct CmaEs {
    bound: f64,
    random: Random,
    mean: Vec<f64>,
    sigma: f64,
    covariance: Vec<Vec<f64>>,
    path_sigma: Vec<f64>,
    path_covariance: Vec<f64>,
    generation: u32,
    constants: Constants,
    /// Eigenvectors of the covariance and the roots of its eigenvalues.
    axes: Vec<Vec<f64>>,
    lengths: Vec<f64>,
    /// Steps of the generation in progress, in units of sigma; none before the first.
    steps: Vec<Vec<f64>>,
    started: bool,
}

/// The strategy's parameters, by the tutorial's names.
struct Constants {
    weights: Vec<f64>,
    mu_eff: f64,
    c_sigma: f64,
    d_sigma: f64,
    c_c: f64,
    c_1: f64,
    c_mu: f64,
    chi_n: f64,
    lambda: usize,
}

impl Constants {
    fn new(dimensions: usize) -> Self {
        let n = dimensions as f64;
        let lambda = 4 + (3.0 * libm::log(n)) as usize;
        let mu = lambda / 2;
        let raw: Vec<f64> = (1..=mu)
            .map(|i| libm::log((lambda as f64 + 1.0) / 2.0) - libm::log(i as f64))
            .collect();
        let sum: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|w| w / sum).collect();
        let mu_eff = 1.0 / dot(&weights, &weights);
        let c_sigma = (mu_eff + 2.0) / (n + mu_eff + 5.0);
        let c_1 = 2.0 / ((n + 1.3) * (n + 1.3) + mu_eff);
        let c_mu =
            (1.0 - c_1).min(2.0 * (mu_eff - 2.0 + 1.0 / mu_eff) / ((n + 2.0) * (n + 2.0) + mu_eff));
        Self {
            mu_eff,
            c_sigma,
            d_sigma: 1.0 + 2.0 * (((mu_eff - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + c_sigma,
            c_c: (4.0 + mu_eff / n) / (n + 4.0 + 2.0 * mu_eff / n),
            c_1,
            c_mu,
            chi_n: n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
            lambda,
            weights,
        }
    }
}

impl CmaEs {
    /// A search over `dimensions` coefficients (at least one) from 0 within ±`bound`, with a first
    /// standard deviation of a third of the bound.
    pub fn new(dimensions: usize, bound: f64, seed: u64) -> Self {
        let identity: Vec<Vec<f64>> = (0..dimensions)
            .map(|i| (0..dimensions).map(|j| f64::from(u8::from(i == j))).collect())
            .collect();
        Self {
            bound,
            random: Random::new(seed),
            mean: vec![0.0; dimensions],
            sigma: bound / 3.0,
            covariance: identity.clone(),
            path_sigma: vec![0.0; dimensions],
            path_covariance: vec![0.0; dimensions],
            generation: 0,
            constants: Constants::new(dimensions),
            axes: identity,
            lengths: vec![1.0; dimensions],
            steps: Vec::new(),
            started: false,
        }
    }

    fn sample(&mut self) {
        let n = self.mean.len();
        self.steps = (0..self.constants.lambda)
            .map(|_| {
                let mut step = vec![0.0; n];
                for (axis, length) in self.axes.iter().zip(&self.lengths) {
                    let z = length * self.random.normal();
                    for (s, a) in step.iter_mut().zip(axis) {
                        *s += z * a;
                    }
                }
                step
            })
            .collect();
    }

    fn update(&mut self, losses: &[f64]) {
        let n = self.mean.len();
        let constants = &self.constants;
        let mut order: Vec<usize> = (0..self.steps.len().min(losses.len())).collect();
        order.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]));
        let chosen: Vec<&Vec<f64>> =
            order.iter().take(constants.weights.len()).map(|&i| &self.steps[i]).collect();

        let mut shift = vec![0.0; n];
        for (step, weight) in chosen.iter().zip(&constants.weights) {
            for (m, s) in shift.iter_mut().zip(*step) {
                *m += weight * s;
            }
        }
        for (m, s) in self.mean.iter_mut().zip(&shift) {
            *m += self.sigma * s;
        }

        // C^(-1/2) · shift, along the axes of the covariance.
        let mut whitened = vec![0.0; n];
        for (axis, length) in self.axes.iter().zip(&self.lengths) {
            let z = dot(axis, &shift) / length;
            for (w, a) in whitened.iter_mut().zip(axis) {
                *w += z * a;
            }
        }
        let c_sigma = constants.c_sigma;
        let gain = (c_sigma * (2.0 - c_sigma) * constants.mu_eff).sqrt();
        for (p, w) in self.path_sigma.iter_mut().zip(&whitened) {
            *p = (1.0 - c_sigma) * *p + gain * w;
        }
        self.generation += 1;
        let mut decay = 1.0;
        for _ in 0..2 * self.generation {
            decay *= 1.0 - c_sigma;
        }
        let length = norm(&self.path_sigma);
        let dims = n as f64;
        let stalled = length / (1.0 - decay).sqrt() >= (1.4 + 2.0 / (dims + 1.0)) * constants.chi_n;
        let h_sigma = if stalled { 0.0 } else { 1.0 };
        let c_c = constants.c_c;
        let gain = h_sigma * (c_c * (2.0 - c_c) * constants.mu_eff).sqrt();
        for (p, s) in self.path_covariance.iter_mut().zip(&shift) {
            *p = (1.0 - c_c) * *p + gain * s;
        }

        let (c_1, c_mu) = (constants.c_1, constants.c_mu);
        let keep = 1.0 - c_1 - c_mu + c_1 * (1.0 - h_sigma) * c_c * (2.0 - c_c);
        for i in 0..n {
            for j in 0..n {
                let mut rank_mu = 0.0;
                for (step, weight) in chosen.iter().zip(&constants.weights) {
                    rank_mu += weight * step[i] * step[j];
                }
                self.covariance[i][j] = keep * self.covariance[i][j]
                    + c_1 * self.path_covariance[i] * self.path_covariance[j]
                    + c_mu * rank_mu;
            }
        }
        self.sigma *= libm::exp(c_sigma / constants.d_sigma * (length / constants.chi_n - 1.0));
        // Steps beyond the bounds are only reflected again.
        self.sigma = self.sigma.min(self.bound);

        let (values, axes) = symmetric_eigen(&self.covariance);
        self.axes = axes;
        self.lengths = values.iter().map(|v| v.max(1e-20).sqrt()).collect();
    }
}

impl Search for CmaEs {
    fn name(&self) -> &'static str {
        "cma-es"
    }

    fn ask(&mut self) -> Vec<Vec<f64>> {
        if !self.started {
            return vec![self.mean.clone()];
        }
        if self.steps.is_empty() {
            self.sample();
        }
        let point = |step: &Vec<f64>| {
            let moved = self.mean.iter().zip(step).map(|(m, s)| m + self.sigma * s);
            moved.map(|w| reflect(w, self.bound)).collect()
        };
        self.steps.iter().map(point).collect()
    }

    fn tell(&mut self, losses: &[f64]) {
        if self.started {
            self.update(losses);
            self.steps.clear();
        }
        self.started = true;
    }
}
