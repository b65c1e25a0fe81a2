//! Arrival processes of an open loop. Instants follow from process, rate and seed alone.
//!
//! The first request arrives at 0 and each later one a gap after the one before, so `n` requests span `n - 1` gaps.
//! Instants are sums of gaps from the start of the run: none is ever moved because an earlier one was late.

use rand_distr::{Distribution, Exp1, Gamma, GammaError};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::clock::Nanos;
use crate::load::Arrivals;
use crate::load::stages::StageList;
use crate::workload::seeds::{generator, unit};

impl Arrivals {
    /// Instants of arrival from the start of the run: at most `at_most` of them, all before `before`.
    ///
    /// `rate` is the mean number of arrivals per second; the caller has checked that it is positive and finite.
    ///
    /// # Errors
    /// When the burstiness is no shape of a gamma distribution.
    pub fn instants(
        self,
        rate: f64,
        at_most: usize,
        before: Option<Nanos>,
        seed: u64,
    ) -> Result<Vec<Nanos>, GammaError> {
        let mut gaps = Gaps::of(self, seed)?;
        let mean_gap_ns = 1e9 / rate;
        let mut sum_of_gaps = 0.0;
        let instants = (0..at_most).map(|_| {
            let at = Nanos((sum_of_gaps * mean_gap_ns).round() as i64);
            sum_of_gaps += gaps.next();
            at
        });
        Ok(instants.take_while(|at| before.is_none_or(|end| *at < end)).collect())
    }
}

impl Arrivals {
    /// Instants of a load in stages: the same gaps, stretched by the rate of the stage that they fall into.
    ///
    /// # Errors
    /// As [`Self::instants`].
    pub fn instants_in(
        self,
        stages: &StageList,
        at_most: usize,
        seed: u64,
    ) -> Result<Vec<Nanos>, GammaError> {
        let mut gaps = Gaps::of(self, seed)?;
        let mut sum_of_gaps = 0.0;
        let instants = (0..at_most).map_while(|_| {
            let at = stages.instant_of(sum_of_gaps);
            sum_of_gaps += gaps.next();
            at
        });
        Ok(instants.collect())
    }
}

/// Gaps with mean 1, so that the same seed gives the same pattern at every rate, stretched in time.
struct Gaps {
    shape: Shape,
    rng: Xoshiro256PlusPlus,
}

enum Shape {
    Constant,
    Exponential,
    Uniform,
    Gamma(Gamma<f64>),
}

impl Gaps {
    fn of(arrivals: Arrivals, seed: u64) -> Result<Self, GammaError> {
        let shape = match arrivals {
            // The plan takes a trace's own instants.
            Arrivals::Constant | Arrivals::Replay => Shape::Constant,
            Arrivals::Poisson => Shape::Exponential,
            Arrivals::Uniform => Shape::Uniform,
            Arrivals::Gamma { burstiness } => {
                Shape::Gamma(Gamma::new(burstiness, burstiness.recip())?)
            }
        };
        Ok(Self { shape, rng: generator(seed) })
    }

    fn next(&mut self) -> f64 {
        match &self.shape {
            Shape::Constant => 1.0,
            Shape::Exponential => Exp1.sample(&mut self.rng),
            Shape::Uniform => 2.0 * unit(&mut self.rng),
            Shape::Gamma(gamma) => gamma.sample(&mut self.rng),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESSES: [(Arrivals, f64); 5] = [
        (Arrivals::Constant, 0.0),
        (Arrivals::Poisson, 1.0),
        (Arrivals::Uniform, 0.577_350_269),
        (Arrivals::Gamma { burstiness: 0.25 }, 2.0),
        (Arrivals::Gamma { burstiness: 4.0 }, 0.5),
    ];

    fn instants(arrivals: Arrivals, rate: f64, n: usize, seed: u64) -> Vec<Nanos> {
        arrivals.instants(rate, n, None, seed).expect("a valid process")
    }

    #[test]
    fn a_gamma_process_without_a_positive_shape_is_refused() {
        for burstiness in [0.0, -1.0, f64::NAN] {
            assert!(Arrivals::Gamma { burstiness }.instants(1.0, 1, None, 0).is_err());
        }
    }

    #[test]
    fn every_process_has_the_mean_rate_and_the_variation_of_its_definition() {
        const N: usize = 100_000;
        for (arrivals, variation) in PROCESSES {
            let gaps: Vec<f64> = instants(arrivals, 50.0, N + 1, 11)
                .windows(2)
                .map(|pair| (pair[1].0 - pair[0].0) as f64 / 1e9)
                .collect();
            let mean = gaps.iter().sum::<f64>() / N as f64;
            let spread = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / N as f64).sqrt();
            // Five standard errors of the mean; the spread of heavy-tailed gaps needs some more room.
            let tolerance = 5.0 * variation / (N as f64).sqrt() + 1e-9;
            assert!((mean * 50.0 - 1.0).abs() < tolerance, "{arrivals}: mean gap {mean} s");
            assert!(
                (spread / mean - variation).abs() < 0.03 * variation + 1e-6,
                "{arrivals}: coefficient of variation {}",
                spread / mean
            );
        }
    }

    #[test]
    fn poisson_gaps_pass_a_chi_square_test_against_the_exponential() {
        const BINS: usize = 20;
        let mut counts = [0_u32; BINS];
        for pair in instants(Arrivals::Poisson, 1.0, 20_001, 5).windows(2) {
            let gap = pair[1].as_secs_f64() - pair[0].as_secs_f64();
            let cumulative = 1.0 - (-gap).exp();
            counts[((cumulative * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        let chi_square: f64 =
            counts.iter().map(|n| (f64::from(*n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_square < 43.8, "19 degrees of freedom, p 0.001: {chi_square}");
    }

    #[test]
    fn constant_arrivals_do_not_drift() {
        let drawn = instants(Arrivals::Constant, 3.0, 3_000_001, 0);
        assert_eq!(drawn[0], Nanos::ZERO);
        assert_eq!(drawn[1], Nanos(333_333_333));
        assert_eq!(drawn[3_000_000], Nanos::from_secs_f64(1_000_000.0));
    }

    #[test]
    fn arrivals_begin_at_zero_never_go_back_and_end_before_the_duration() {
        let end = Nanos::from_secs_f64(10.0);
        for (arrivals, _) in PROCESSES {
            let drawn = arrivals.instants(20.0, 1_000_000, Some(end), 3).expect("a valid process");
            assert_eq!(drawn[0], Nanos::ZERO, "{arrivals}");
            assert!(drawn.is_sorted(), "{arrivals}");
            assert!(drawn.iter().all(|at| *at < end), "{arrivals}");
            let mean = 200.0_f64;
            assert!((drawn.len() as f64 - mean).abs() < 5.0 * 2.0 * mean.sqrt(), "{arrivals}");
        }
        let constant = Arrivals::Constant.instants(20.0, 1_000_000, Some(end), 3);
        assert_eq!(constant.expect("a valid process").len(), 200);
    }

    #[test]
    fn the_same_seed_gives_the_same_instants_and_another_seed_others() {
        for (arrivals, variation) in PROCESSES {
            let (a, b) = (instants(arrivals, 5.0, 100, 1), instants(arrivals, 5.0, 100, 2));
            assert_eq!(a, instants(arrivals, 5.0, 100, 1));
            assert_eq!(a == b, variation == 0.0, "{arrivals}");
            assert_eq!(a[..50], instants(arrivals, 5.0, 50, 1), "{arrivals}");
        }
    }

    #[test]
    fn a_higher_rate_is_the_same_pattern_in_less_time() {
        let (slow, fast) =
            (instants(Arrivals::Poisson, 1.0, 100, 1), instants(Arrivals::Poisson, 4.0, 100, 1));
        assert!(slow.iter().zip(&fast).all(|(s, f)| (s.0 - 4 * f.0).abs() <= 3));
    }
}
