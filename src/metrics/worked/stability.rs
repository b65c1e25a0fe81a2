//! Steadiness of simulated runs: how often chance is taken for drift, and how often a fault is found.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::metrics::counts;
use crate::metrics::observed::ObservedPoint;
use crate::metrics::summary::{CheckId, Status};
use crate::metrics::validity::{self, Evidence};

type Dice = Xoshiro256PlusPlus;

fn exponential(dice: &mut Dice) -> f64 {
    Exp1.sample(dice)
}

/// About 1, with this standard deviation.
fn about_one(dice: &mut Dice, deviation: f64) -> f64 {
    let normal: f64 = StandardNormal.sample(dice);
    (1.0 + deviation * normal).max(0.1)
}

/// Of 200 clean runs of each case at most so many may warn, and of 100 with a fault at least so many must.
const MOST_FALSE: usize = 4;
const FEWEST_FOUND: usize = 95;

/// Of so many runs, each of a seed of its own, how many warn.
fn warnings(runs: u64, load: Load, run: impl Fn(&mut Dice) -> Vec<Played>) -> usize {
    let warns = |rows: Vec<Played>| {
        let end = rows.iter().filter_map(|row| row.0.end).max().expect("requests end") - at(0.0);
        let facts = facts(load, end.as_millis_f64() + 0.001, rows.len());
        // This one check alone, which asks for neither rates nor distributions: they would take most of the time.
        let point = ObservedPoint::read(&Records::new(rows), &facts).expect("they are in memory");
        let evidence = Evidence {
            point: &point,
            facts: &facts,
            health: &healthy(),
            counts: &counts::of(&point, &facts),
            rates: &BTreeMap::new(),
            distributions: &BTreeMap::new(),
        };
        validity::check(CheckId::Stability, &evidence).status == Status::Warn
    };
    (0..runs).filter(|seed| warns(run(&mut Dice::seed_from_u64(*seed)))).count()
}

/// A request of eight tokens.
fn answered(id: u32, submit: f64, ttft: f64, gap: f64) -> Played {
    let deliveries: Vec<(f64, u32)> =
        (0..8).map(|k| (submit + ttft + gap * f64::from(k), 1)).collect();
    played(id, submit, &deliveries)
}

/// A closed loop of which every wave starts when the one before has ended; times drift by this share over the run.
fn waves(dice: &mut Dice, waves: u32, width: u32, drift: f64) -> Vec<Played> {
    let mut now = 1.0;
    let mut rows = Vec::new();
    for wave in 0..waves {
        let slower = 1.0 + drift * f64::from(wave) / f64::from(waves - 1);
        let (ttft, gap) = (20.0 * slower * about_one(dice, 0.1), 8.0 * slower);
        let gap = gap * about_one(dice, 0.02);
        rows.extend(
            (0..width).map(|place| {
                answered(wave * width + place, now + f64::from(place) * 0.01, ttft, gap)
            }),
        );
        now += ttft + 7.0 * gap + 1.0;
    }
    rows
}

/// A closed loop whose slots do not wait for each other.
fn slots(dice: &mut Dice, requests: u32, slots: usize, drift: f64) -> Vec<Played> {
    let mut free = vec![1.0_f64; slots];
    (0..requests)
        .map(|id| {
            let slot = (0..slots).min_by(|a, b| free[*a].total_cmp(&free[*b])).expect("a slot");
            let slower = 1.0 + drift * f64::from(id) / f64::from(requests - 1);
            let (ttft, gap) =
                (slower * 20.0 * about_one(dice, 0.2), slower * 8.0 * about_one(dice, 0.1));
            let submit = free[slot];
            free[slot] += ttft + 7.0 * gap;
            answered(id, submit, ttft, gap)
        })
        .collect()
}

/// A closed loop whose slots do not wait for each other, and of which the second half of the window is in lock-step: a wave
/// starts together, and each of its prefills waits for those before it.
fn half_in_lock_step(dice: &mut Dice, width: usize, waves: u32) -> Vec<Played> {
    let mut rows = slots(dice, waves * width as u32, width, 0.0);
    let ends = rows.iter().filter_map(|row| row.0.end).max().expect("requests end");
    let mut now = (ends - at(0.0)).as_millis_f64() + 1.0;
    for _ in 0..waves {
        let gap = 8.0 * about_one(dice, 0.1);
        let mut first = 0.0;
        for place in 0..width {
            first += 20.0 * about_one(dice, 0.2);
            rows.push(answered(rows.len() as u32, now + place as f64 * 0.01, first, gap));
        }
        now += first + 7.0 * gap + 1.0;
    }
    rows
}

/// Poisson arrivals at a server that answers one request after the other, at this load; a stable queue is as long as it is
/// after a long time.
fn queue(dice: &mut Dice, requests: u32, load: f64) -> Vec<Played> {
    let mut now = 1.0;
    let waits = load < 1.0 && dice.random_bool(load);
    let mut free = if waits { now + 20.0 / (1.0 - load) * exponential(dice) } else { now };
    (0..requests)
        .map(|id| {
            now += 20.0 / load * exponential(dice);
            free = free.max(now) + 20.0 * exponential(dice);
            let ttft = free - now;
            answered(id, now, ttft, 3.0)
        })
        .collect()
}

/// A constant rate for five seconds; from some moment on nothing comes for `stall` ms, and then all that is late.
fn constant_rate(dice: &mut Dice, per_s: u32, stall: f64) -> Vec<Played> {
    let from = dice.random_range(1_000.0..3_500.0);
    let late = |ms: f64| if (from..from + stall).contains(&ms) { from + stall } else { ms };
    (0..5 * per_s)
        .map(|id| {
            let submit = 1.0 + f64::from(id) * 1_000.0 / f64::from(per_s);
            let (ttft, gap) = (30.0 * about_one(dice, 0.2), 10.0 * about_one(dice, 0.1));
            let deliveries: Vec<(f64, u32)> = (0..8)
                .map(|k| (late(submit + ttft + gap * f64::from(k)) + f64::from(k) * 1e-4, 1))
                .collect();
            played(id, submit, &deliveries)
        })
        .collect()
}

fn closed_at(concurrency: u32) -> Load {
    Load::Closed { concurrency }
}

#[test]
fn steady_runs_hardly_ever_warn() {
    let found = [
        ("waves of four", warnings(200, closed_at(4), |dice| waves(dice, 40, 4, 0.0))),
        ("four waves of 16", warnings(200, closed_at(16), |dice| waves(dice, 4, 16, 0.0))),
        ("forty waves of 8", warnings(200, closed_at(8), |dice| waves(dice, 40, 8, 0.0))),
        ("four slots", warnings(200, closed_at(4), |dice| slots(dice, 160, 4, 0.0))),
        ("sixteen slots", warnings(200, closed_at(16), |dice| slots(dice, 64, 16, 0.0))),
        ("a queue at half load", warnings(200, open(25.0), |dice| queue(dice, 300, 0.5))),
        ("forty of a queue", warnings(200, open(25.0), |dice| queue(dice, 40, 0.5))),
        ("a busy queue", warnings(200, open(40.0), |dice| queue(dice, 600, 0.8))),
        ("a constant rate", warnings(200, open(40.0), |dice| constant_rate(dice, 40, 0.0))),
    ];
    assert!(found.iter().all(|(_, warned)| *warned <= MOST_FALSE), "of 200 each: {found:?}");
    let all: usize = found.iter().map(|(_, warned)| warned).sum();
    assert!(all <= MOST_FALSE * found.len() / 2, "of {}: {found:?}", 200 * found.len());
}

#[test]
fn what_drifts_falls_behind_or_stalls_is_found() {
    let found = [
        ("15 % over slots", warnings(100, closed_at(4), |dice| slots(dice, 400, 4, 0.15))),
        ("15 % over waves", warnings(100, closed_at(8), |dice| waves(dice, 40, 8, 0.15))),
        (
            "lock-step from half-way",
            warnings(100, closed_at(8), |dice| half_in_lock_step(dice, 8, 25)),
        ),
        ("overload", warnings(100, open(65.0), |dice| queue(dice, 400, 1.3))),
        ("heavy overload", warnings(100, open(100.0), |dice| queue(dice, 150, 2.0))),
        ("a stall at 40/s", warnings(100, open(40.0), |dice| constant_rate(dice, 40, 600.0))),
        ("a stall at 10/s", warnings(100, open(10.0), |dice| constant_rate(dice, 10, 600.0))),
    ];
    assert!(found.iter().all(|(_, warned)| *warned >= FEWEST_FOUND), "of 100 each: {found:?}");
}
