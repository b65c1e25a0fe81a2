//! Saturation: whether an open loop asks for more than the target can take, seen while it goes on.
//!
//! Two things together are evidence: latencies from the intended arrival rise from request to request by more than chance, and
//! the backlog (due and not ended) is more than one and a half times what it was at half of the time.

use serde::{Deserialize, Serialize};

use crate::clock::MonoNs;
use crate::metrics::trend::trend;

/// Requests before the first look.
const FIRST_LOOK: usize = 60;
/// Each look is at so many times the requests of the one before, so that many looks find no more by chance.
const NEXT_LOOK: f64 = 1.3;
/// Requests of a block of the trend.
const BLOCK: usize = 5;
/// A rise counts where it would come about by chance less often than this.
const SIGNIFICANCE: f64 = 0.001;
/// A rise over the whole run, as a share of the mean, that matters.
const RISE: f64 = 0.5;
/// A backlog that grows with time is twice that at half of the time; so many times it is told from one that has settled.
const GROWTH: f64 = 1.5;
/// A smaller backlog is none.
const LEAST_BACKLOG: f64 = 10.0;

/// What was seen when a load was found to be too high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SaturatedFacts {
    /// Seconds from the first arrival.
    pub after_s: f64,
    /// Requests that were due and had not ended.
    pub backlog: f64,
    /// How much latencies had risen, as a share of their mean.
    pub rise: f64,
}

/// An open loop that goes on.
#[derive(Debug, Clone)]
pub struct Saturation {
    rate: f64,
    start: Option<MonoNs>,
    latencies_ms: Vec<f64>,
    ends: Vec<MonoNs>,
    next_look: usize,
    found: Option<SaturatedFacts>,
}

impl Saturation {
    /// At so many arrivals per second.
    pub const fn new(rate: f64) -> Self {
        Self {
            rate,
            start: None,
            latencies_ms: Vec::new(),
            ends: Vec::new(),
            next_look: FIRST_LOOK,
            found: None,
        }
    }

    /// Adds a request that has ended; whether the load is found to be too high by now.
    pub fn add(&mut self, intended: MonoNs, end: MonoNs) -> bool {
        self.start = Some(self.start.map_or(intended, |start| start.min(intended)));
        self.latencies_ms.push((end - intended).as_millis_f64());
        self.ends.push(end);
        if self.found.is_none() && self.ends.len() >= self.next_look {
            self.next_look = (self.next_look as f64 * NEXT_LOOK).ceil() as usize;
            self.found = self.look();
        }
        self.found.is_some()
    }

    fn look(&self) -> Option<SaturatedFacts> {
        let (start, last) = (self.start?, *self.ends.last()?);
        let rising = trend(&self.latencies_ms, BLOCK)?;
        let half = MonoNs(start.0 + (last.0 - start.0) / 2);
        let backlog = |at: MonoNs| {
            let due = self.rate * (at - start).as_secs_f64();
            due - self.ends.iter().filter(|end| **end <= at).count() as f64
        };
        let (before, now) = (backlog(half), backlog(last));
        let rises = rising.rise > RISE && rising.chance < SIGNIFICANCE;
        let grows = now > LEAST_BACKLOG && now > GROWTH * before.max(0.0);
        (rises && grows).then(|| SaturatedFacts {
            after_s: (last - start).as_secs_f64(),
            backlog: now,
            rise: rising.rise,
        })
    }

    /// What was found, where something was.
    pub const fn found(&self) -> Option<SaturatedFacts> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;
    use crate::load::Arrivals;

    /// A queue with one server: the instant that each arrival ends at.
    fn ends(arrivals: impl Iterator<Item = Nanos>, service: Nanos) -> Vec<(MonoNs, MonoNs)> {
        let mut free = MonoNs(0);
        arrivals
            .map(|at| {
                let begins = free.max(MonoNs(at.0));
                free = begins + service;
                (MonoNs(at.0), free)
            })
            .collect()
    }

    fn saturated(rate: f64, seed: u64) -> Option<SaturatedFacts> {
        let arrivals = Arrivals::Poisson.instants(rate, 3_000, None, seed).expect("a process");
        // 100 a second at most.
        let mut saturation = Saturation::new(rate);
        for (intended, end) in ends(arrivals.into_iter(), Nanos(10_000_000)) {
            if saturation.add(intended, end) {
                break;
            }
        }
        saturation.found()
    }

    #[test]
    fn a_rate_above_what_a_server_takes_is_found_early_and_one_below_never() {
        for seed in 0..20 {
            let found = saturated(150.0, seed).expect("1.5 times too much");
            assert!(found.after_s < 10.0, "{seed}: {found:?}");
            assert_eq!(saturated(50.0, seed), None, "{seed}: half of what it takes");
        }
    }
}
