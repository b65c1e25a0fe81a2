//! Kolmogorov–Smirnov tests of whole runs on fixed seeds: lengths and gaps of `plan.csv` against the laws that were asked for.
//!
//! The table of `docs/workloads.md` is what this prints. A length is a whole number, and the test is then on the safe side: the
//! chance of such a distance is smaller than p says, never larger.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::support::left_behind::{directory, rows, words};

const SEEDS: [u64; 3] = [1, 2, 3];
const REQUESTS: usize = 4_000;
const RATE: f64 = 20_000.0;
/// There are some thirty tests here, and seeds are fixed: one that fails so was not chance.
const LEAST_P: f64 = 0.001;
const TABLE: &str = include_str!("../../docs/workloads.md");

/// The share of values at or below one.
type Share = Box<dyn Fn(f64) -> f64>;

struct Law {
    name: &'static str,
    share: Share,
}

fn law(name: &'static str, share: impl Fn(f64) -> f64 + 'static) -> Law {
    Law { name, share: Box::new(share) }
}

/// How far apart two values are that follow one another: lengths are whole, and gaps lie anywhere.
const STEPS: [f64; 3] = [1.0, 1.0, 0.0];

/// What is asked, and the laws of prompts, outputs and gaps that it means; gaps are in means.
struct Asked {
    workload: Vec<String>,
    arrivals: &'static [&'static str],
    laws: [Option<Law>; 3],
}

fn normal_share(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// Of a normal length that is rounded and at least 1.
fn normal(mean: f64, std: f64) -> impl Fn(f64) -> f64 {
    let below = normal_share((0.5 - mean) / std);
    move |at| (normal_share((at + 0.5 - mean) / std) - below) / (1.0 - below)
}

fn log_normal(mean: f64, std: f64) -> impl Fn(f64) -> f64 {
    let variance = (1.0 + (std / mean).powi(2)).ln();
    let centre = mean.ln() - variance / 2.0;
    move |at| normal_share(((at + 0.5).ln() - centre) / variance.sqrt())
}

/// Of whole lengths, both ends included.
fn uniform(from: f64, to: f64) -> impl Fn(f64) -> f64 {
    move |at| ((at - from + 1.0) / (to - from + 1.0)).clamp(0.0, 1.0)
}

/// Of the values of a file.
fn empirical(mut values: Vec<f64>) -> impl Fn(f64) -> f64 {
    values.sort_by(f64::total_cmp);
    move |at| values.partition_point(|value| *value <= at) as f64 / values.len() as f64
}

/// The largest distance between the values' distribution and the law, times the root of their number, and the chance of more
/// (Kolmogorov's series with Stephens's correction).
fn distance(values: &[f64], share: &Share, step: f64) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let mut largest: f64 = 0.0;
    for (place, value) in sorted.iter().enumerate() {
        if sorted.get(place + 1) == Some(value) {
            continue;
        }
        let first = sorted.partition_point(|it| it < value) as f64 / count;
        let reached = (place + 1) as f64 / count - share(*value);
        // Of values in steps the share just below one is that at the step before.
        let before = first - share(value - step);
        largest = largest.max(reached.abs()).max(before.abs());
    }
    let root = count.sqrt();
    let at = (root + 0.12 + 0.11 / root) * largest;
    let term = |k: i32| (-1.0_f64).powi(k - 1) * (-2.0 * f64::from(k * k) * at * at).exp();
    let chance = if at < 0.2 { 1.0 } else { 2.0 * (1..=100).map(term).sum::<f64>() };
    (root * largest, chance.clamp(0.0, 1.0))
}

/// Lengths and gaps of the plan of one run.
fn planned(asked: &Asked, seed: u64) -> [Vec<f64>; 3] {
    let out = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", "null:", "--quiet", "--warmup", "0", "--window", "whole"])
        .args(["--rate", &RATE.to_string(), "--requests", &REQUESTS.to_string()])
        .args(["--seed", &seed.to_string()])
        .args(&asked.workload)
        .args(asked.arrivals)
        .current_dir(out.path())
        .env("CI", "1")
        .output()
        .expect("the binary runs");
    // A busy machine sends late; what was planned is the claim.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let columns = ["prompt_tokens", "max_tokens", "intended_ns"];
    let rows = rows(&directory(&out), "plan.csv", &columns);
    assert_eq!(rows.len(), REQUESTS);
    let column = |place: usize| -> Vec<f64> {
        rows.iter().map(|row| row[place].parse().expect("a number")).collect()
    };
    let instants = column(2);
    let gaps = instants.windows(2).map(|pair| (pair[1] - pair[0]) * RATE / 1e9).collect();
    [column(0), column(1), gaps]
}

fn scenario(text: &str) -> Vec<String> {
    vec!["--scenario".to_owned(), text.to_owned()]
}

fn file(kind: &str, path: &Path, text: &str) -> Vec<String> {
    std::fs::write(path, text).expect("a file");
    vec!["--workload".to_owned(), format!("{kind}:{}", path.display())]
}

fn everything(folder: &Path) -> Vec<Asked> {
    let histogram = "input_from,input_to,output_tokens,count\n1,100,7,3\n1000,1999,9,1\n";
    // Lengths of no law: a walk over squares.
    let pairs: Vec<(u32, u32)> =
        (0..3 * REQUESTS as u32).map(|at| (1 + at * at % 997, 1 + at * 31 % 211)).collect();
    let rows: Vec<String> =
        pairs.iter().map(|(input, output)| format!("{input},{output}\n")).collect();
    let rows = rows.concat();
    let of = |which: fn(&(u32, u32)) -> u32| pairs.iter().map(|it| f64::from(which(it))).collect();
    let (inputs, outputs): (Vec<f64>, Vec<f64>) = (of(|it| it.0), of(|it| it.1));
    vec![
        Asked {
            workload: scenario("N(300,60)/(40,30)"),
            arrivals: &["--arrivals", "poisson"],
            laws: [
                Some(law("normal, `N(300,60)`", normal(300.0, 60.0))),
                Some(law("normal cut at 1, `N(40,30)`", normal(40.0, 30.0))),
                Some(law("gaps, Poisson", |gap| 1.0 - (-gap).exp())),
            ],
        },
        Asked {
            workload: scenario("U(50,249)/(1,100)"),
            arrivals: &["--arrivals", "gamma", "--burstiness", "0.5"],
            laws: [
                Some(law("uniform, `U(50,249)`", uniform(50.0, 249.0))),
                Some(law("uniform, `U(1,100)`", uniform(1.0, 100.0))),
                Some(law("gaps, gamma, burstiness 0.5", |gap| libm::erf((gap / 2.0).sqrt()))),
            ],
        },
        Asked {
            workload: scenario("L(200,150)/(100,40)"),
            arrivals: &["--arrivals", "gamma", "--burstiness", "4"],
            laws: [
                Some(law("log-normal, `L(200,150)`", log_normal(200.0, 150.0))),
                Some(law("log-normal, `L(100,40)`", log_normal(100.0, 40.0))),
                Some(law("gaps, gamma, burstiness 4", |gap| {
                    let x = 4.0 * gap;
                    1.0 - (-x).exp() * (1.0 + x + x * x / 2.0 + x * x * x / 6.0)
                })),
            ],
        },
        Asked {
            workload: file("histogram", &folder.join("histogram.csv"), histogram),
            arrivals: &["--arrivals", "uniform"],
            laws: [
                Some(law("histogram, prompts", |at| {
                    let (short, long) = (uniform(1.0, 100.0), uniform(1_000.0, 1_999.0));
                    0.75 * short(at) + 0.25 * long(at)
                })),
                Some(law("histogram, outputs", |at| {
                    if at < 7.0 {
                        0.0
                    } else if at < 9.0 {
                        0.75
                    } else {
                        1.0
                    }
                })),
                Some(law("gaps, uniform", |gap| (gap / 2.0).clamp(0.0, 1.0))),
            ],
        },
        Asked {
            workload: file(
                "lengths",
                &folder.join("lengths.csv"),
                &format!("input_tokens,output_tokens\n{rows}"),
            ),
            arrivals: &["--arrivals", "constant"],
            laws: [
                Some(law("empirical, `lengths:`, prompts", empirical(inputs))),
                Some(law("empirical, `lengths:`, outputs", empirical(outputs))),
                None,
            ],
        },
    ]
}

#[test]
fn lengths_and_gaps_follow_the_laws_that_were_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut table = String::new();
    for asked in everything(folder.path()) {
        let samples = SEEDS.map(|seed| planned(&asked, seed));
        for (place, law) in asked.laws.iter().enumerate() {
            let Some(Law { name, share }) = law else {
                let gaps = samples.iter().flat_map(|sample| &sample[place]);
                // Instants are whole nanoseconds.
                let off = gaps.map(|gap| (gap - 1.0).abs()).fold(0.0, f64::max) * 1e9 / RATE;
                assert!(off < 1.0, "{off} ns");
                continue;
            };
            let found =
                samples.each_ref().map(|sample| distance(&sample[place], share, STEPS[place]));
            let three = |values: [String; 3]| values.join(", ");
            let distances = three(found.map(|(distance, _)| format!("{distance:.2}")));
            let chances = three(found.map(|(_, p)| format!("{p:.3}")));
            writeln!(table, "| {name} | {distances} | {chances} |")
                .expect("a text takes any words");
            assert!(found.iter().all(|(_, p)| *p > LEAST_P), "{name}: p {chances}");
        }
    }
    assert!(TABLE.contains(&table), "the table of docs/workloads.md is another one than\n{table}");
}
