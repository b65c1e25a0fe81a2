//! Kolmogorov–Smirnov tests of drawn lengths on fixed seeds, against the distributions that scenarios name.

use crate::workload::Workload;
use crate::workload::scenario::{LogNormal, Normal, Scenario};
use crate::workload::seeds::Phase;

const DRAWS: u32 = 20_000;

/// Largest distance of a sample's distribution function from the true one, times √n, that chance goes beyond once in a
/// thousand samples: there are a good dozen of them here.
const LIMIT: f64 = 1.95;

/// Whole lengths in steps: the true share at or below each is `at_or_below(length)`.
fn distance(lengths: &[u32], at_or_below: impl Fn(f64) -> f64) -> f64 {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let all = sorted.len() as f64;
    let mut largest: f64 = 0.0;
    for (place, length) in sorted.iter().enumerate() {
        let is_last_of_its_length = sorted.get(place + 1) != Some(length);
        if is_last_of_its_length {
            let seen = (place + 1) as f64 / all;
            largest = largest.max((seen - at_or_below(f64::from(*length))).abs());
        }
    }
    largest * all.sqrt()
}

fn drawn(scenario: &str, seed: u64) -> (Vec<u32>, Vec<u32>) {
    let workload = Workload::synthetic(scenario.parse().expect(scenario), seed);
    let seeds = workload.seeds();
    let lengths = (0..DRAWS).map(|index| workload.lengths(&seeds, Phase::Measure, index));
    lengths.map(|it| (it.input, it.output)).unzip()
}

fn normal_share(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

#[test]
fn normal_lengths_are_rounded_normal_ones() {
    for seed in [1, 2, 3] {
        let (input, output) = drawn("N(1000,100)/(300,30)", seed);
        for (lengths, mean, std) in [(input, 1000.0, 100.0), (output, 300.0, 30.0)] {
            let found = distance(&lengths, |at| normal_share((at + 0.5 - mean) / std));
            assert!(found < LIMIT, "seed {seed}: {found}");
        }
    }
}

#[test]
fn a_normal_length_that_is_cut_at_one_is_the_normal_one_above_it() {
    let (lengths, _) = drawn("N(50,100)/(1,0)", 4);
    let below = normal_share((0.5 - 50.0) / 100.0);
    let found =
        distance(&lengths, |at| (normal_share((at + 0.5 - 50.0) / 100.0) - below) / (1.0 - below));
    assert!(found < LIMIT, "{found}");
}

#[test]
fn uniform_lengths_are_uniform() {
    for seed in [1, 2, 3] {
        let (input, output) = drawn("U(50,249)/(1,1000)", seed);
        let found = distance(&input, |at| (at - 49.0) / 200.0);
        assert!(found < LIMIT, "seed {seed}: {found}");
        let found = distance(&output, |at| at / 1000.0);
        assert!(found < LIMIT, "seed {seed}: {found}");
    }
}

#[test]
fn log_normal_lengths_have_the_named_mean_and_deviation_and_normal_logarithms() {
    for seed in [1, 2, 3] {
        let (input, output) = drawn("L(500,400)/(200,50)", seed);
        for (lengths, mean, std) in [(input, 500.0, 400.0), (output, 200.0, 50.0)] {
            let of = LogNormal(Normal { mean, std }).of_logarithms();
            let share = |at: f64| normal_share((libm::log(at + 0.5) - of.mean) / of.std);
            let found = distance(&lengths, share);
            assert!(found < LIMIT, "seed {seed}: {found}");
            let seen = lengths.iter().map(|it| f64::from(*it)).sum::<f64>() / f64::from(DRAWS);
            assert!((seen / mean - 1.0).abs() < 0.02, "seed {seed}: mean {seen}");
        }
    }
}

#[test]
fn input_and_output_are_drawn_apart() {
    let (input, output) = drawn("U(1,1000)/(1,1000)", 5);
    let centred =
        |lengths: &[u32]| lengths.iter().map(|it| f64::from(*it) - 500.5).collect::<Vec<_>>();
    let (input, output) = (centred(&input), centred(&output));
    let together: f64 = input.iter().zip(&output).map(|(a, b)| a * b).sum();
    let alone = |it: &[f64]| it.iter().map(|a| a * a).sum::<f64>();
    let correlation = together / (alone(&input) * alone(&output)).sqrt();
    assert!(correlation.abs() < 3.0 / f64::from(DRAWS).sqrt(), "{correlation}");
}

#[test]
fn a_log_normal_scenario_reads_back_and_a_wrong_one_says_why() {
    let scenario: Scenario = "l(500,400)/(200,50)".parse().expect("a scenario");
    assert_eq!(scenario.to_string(), "L(500,400)/(200,50)");
    let error = "L(500)".parse::<Scenario>().expect_err("one number").to_string();
    assert!(error.contains("two pairs"), "{error}");
}
