//! Coverage of intervals by simulation: how often the 95 % interval of a percentile holds the true one.
//!
//! Small enough for a debug build. More of everything: `cargo test --release --lib coverage -- --ignored --nocapture`.

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution as _, Exp1, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::clock::{MonoNs, Nanos};
use crate::metrics::Percentile;
use crate::metrics::binomial::normal_upper_tail;
use crate::metrics::distribution;
use crate::metrics::pooled::{PooledGaps, TimeBlocks};
use crate::metrics::summary::Distribution;

const JUDGED: [Percentile; 3] = [Percentile::P50, Percentile::P90, Percentile::P99];

/// A stationary series whose percentiles are known.
#[derive(Debug, Clone, Copy)]
enum Series {
    Independent,
    /// First-order autoregression with this correlation.
    Autoregressive(f64),
    /// Times in a queue with one server at this load, one request after the other.
    Queue(f64),
    /// Eight equal values, then eight others.
    GroupsOfEight,
    /// Seven in ten around 5, the others around 50.
    Bimodal,
}

impl Series {
    fn draw(self, rng: &mut Xoshiro256PlusPlus, n: usize) -> Vec<f64> {
        let exp = |rng: &mut Xoshiro256PlusPlus| -> f64 { Exp1.sample(rng) };
        let normal = |rng: &mut Xoshiro256PlusPlus| -> f64 { StandardNormal.sample(rng) };
        let mut last = match self {
            Self::Autoregressive(_) => normal(rng),
            Self::Queue(load) => exp(rng) / (1.0 - load),
            Self::Independent | Self::GroupsOfEight | Self::Bimodal => 0.0,
        };
        let next = |place: usize| {
            last = match self {
                Self::Independent => exp(rng),
                Self::Autoregressive(rho) => rho * last + (1.0 - rho * rho).sqrt() * normal(rng),
                Self::Queue(load) => (last - exp(rng) / load).max(0.0) + exp(rng),
                Self::GroupsOfEight if !place.is_multiple_of(8) => last,
                Self::GroupsOfEight => exp(rng),
                Self::Bimodal if rng.random_bool(0.7) => 5.0 + 0.1 * normal(rng),
                Self::Bimodal => 50.0 + normal(rng),
            };
            last
        };
        (0..n).map(next).collect()
    }

    fn truth(self, p: f64) -> f64 {
        match self {
            Self::Independent | Self::GroupsOfEight => -(1.0 - p).ln(),
            Self::Autoregressive(_) => normal_quantile(p),
            Self::Queue(load) => -(1.0 - p).ln() / (1.0 - load),
            Self::Bimodal if p < 0.7 => 5.0 + 0.1 * normal_quantile(p / 0.7),
            Self::Bimodal => 50.0 + normal_quantile((p - 0.7) / 0.3),
        }
    }
}

fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if 1.0 - normal_upper_tail(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

fn share(which: Percentile) -> f64 {
    f64::from(which.permille()) / 1_000.0
}

/// What became of one percentile over many samples.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    samples: u32,
    certified: u32,
    /// Of those certified.
    held: u32,
    bound_held: u32,
}

impl Tally {
    fn add(&mut self, of: &Distribution, which: Percentile, truth: f64) {
        let read = of.percentiles[&which];
        self.samples += 1;
        if read.certified {
            self.certified += 1;
            let within = read.low.is_none_or(|low| low <= truth)
                && read.high.is_none_or(|high| truth <= high);
            self.held += u32::from(within);
            self.bound_held += u32::from(read.certified_bound.is_some_and(|it| truth <= it));
        }
    }

    fn share_of_certified(self, count: u32) -> f64 {
        f64::from(count) / f64::from(self.certified.max(1))
    }

    /// 93 to 97 % where certified, within three standard errors of so many samples. Where fewer than half certify, they are those
    /// that look better than they are: then few may be certified and wrong.
    fn check(self, what: &str) {
        let samples = f64::from(self.samples);
        let slack = 3.0 * (0.05_f64 * 0.95 / samples).sqrt();
        let wrong = f64::from(self.certified - self.held) / samples;
        assert!(wrong <= 0.07 + slack, "{what}: certified and wrong {wrong}, {self:?}");
        if f64::from(self.certified) >= 0.5 * samples {
            let held = self.share_of_certified(self.held);
            assert!(held >= 0.93 - slack && held <= 0.975 + slack, "{what}: {held}, {self:?}");
            let bound = self.share_of_certified(self.bound_held);
            assert!(bound >= 0.985 - slack / 2.0, "{what}: bound {bound}, {self:?}");
        }
    }
}

fn tallies(
    samples: u32,
    mut draw: impl FnMut() -> Distribution,
    truth: impl Fn(f64) -> f64,
) -> [Tally; 3] {
    let mut tallies = [Tally::default(); 3];
    for _ in 0..samples {
        let read = draw();
        for (tally, which) in tallies.iter_mut().zip(JUDGED) {
            tally.add(&read, which, truth(share(which)));
        }
    }
    tallies
}

fn check_requests(samples: u32, cases: &[(Series, usize)]) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(10);
    for (series, n) in cases {
        let draw = || distribution::of_series(&series.draw(&mut rng, *n)).expect("samples");
        let tallies = tallies(samples, draw, |p| series.truth(p));
        for (which, tally) in JUDGED.into_iter().zip(tallies) {
            println!("{series:?} {n} {which:?}: {tally:?}");
            tally.check(&format!("{series:?} {n} {which:?}"));
        }
    }
}

#[test]
fn intervals_of_requests_hold_the_truth_as_often_as_they_say() {
    let cases = [
        (Series::Independent, 100),
        (Series::Independent, 800),
        (Series::Autoregressive(0.5), 800),
        (Series::Autoregressive(0.9), 2_000),
        (Series::Queue(0.5), 2_000),
        (Series::Queue(0.8), 4_000),
        (Series::GroupsOfEight, 1_600),
        (Series::Bimodal, 800),
    ];
    check_requests(150, &cases);
}

#[test]
#[ignore = "takes minutes in a debug build"]
fn intervals_of_many_requests_hold_the_truth_as_often_as_they_say() {
    let cases = [
        (Series::Independent, 3_000),
        (Series::Autoregressive(0.5), 3_000),
        (Series::Autoregressive(0.5), 20_000),
        (Series::Autoregressive(0.9), 3_000),
        (Series::Autoregressive(0.9), 20_000),
        (Series::Queue(0.5), 3_000),
        (Series::Queue(0.5), 40_000),
        (Series::Queue(0.8), 700),
        (Series::Queue(0.8), 4_000),
        (Series::Queue(0.8), 40_000),
        (Series::Queue(0.8), 80_000),
        (Series::GroupsOfEight, 8_000),
        (Series::Bimodal, 3_000),
    ];
    check_requests(1_000, &cases);
}

/// The gaps of sequences in lock-step: each iteration gives all of them the same one.
fn lock_step(rng: &mut Xoshiro256PlusPlus, sequences: usize, budget: usize) -> Distribution {
    const ITERATIONS: usize = 500;
    let gaps: Vec<f64> = Series::Independent.draw(rng, ITERATIONS);
    let gap = |it: &f64| Nanos(((10.0 + it) * 1e6) as i64);
    let end = gaps.iter().fold(MonoNs(0), |at, it| at + gap(it));
    let mut pool = PooledGaps::with_budget(budget, TimeBlocks::between(MonoNs(0), end));
    // A stored run gives the deliveries of one request after the other.
    for _ in 0..sequences {
        let mut at = MonoNs(0);
        for it in &gaps {
            at = at + gap(it);
            pool.add(gap(it), 1.0, at);
        }
    }
    pool.finish().itl.expect("gaps")
}

#[test]
fn intervals_of_gaps_in_lock_step_hold_the_truth_as_often_as_they_say() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    for sequences in [1, 4, 8, 32] {
        let truth = |p| 10.0 + Series::Independent.truth(p);
        let draw = || lock_step(&mut rng, sequences, usize::MAX);
        for (which, tally) in JUDGED.into_iter().zip(tallies(150, draw, truth)) {
            tally.check(&format!("{sequences} in lock-step, {which:?}"));
        }
    }
}

#[test]
fn gaps_that_are_not_kept_have_about_the_interval_of_those_that_are() {
    let width = |budget| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(12);
        let read = lock_step(&mut rng, 8, budget).percentiles[&Percentile::P90];
        read.high.expect("enough") - read.low.expect("enough")
    };
    let (kept, not_kept) = (width(usize::MAX), width(2_000));
    assert!((not_kept / kept - 1.0).abs() < 0.15, "{not_kept} {kept}");
}
