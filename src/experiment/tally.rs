//! Tally of a probe: how many of its requests miss each objective, counted while they end, until that decides something.
//!
//! Requests are counted in the order of the plan, from the first on and without a gap: those that end early would otherwise be
//! taken for all of them.

use std::collections::BTreeMap;

use crate::metrics::early_stopping::{Decision, decide, next_look};
use crate::metrics::observed::Observed;
use crate::metrics::search::Count;
use crate::metrics::trend::trend;
use crate::record::request_record::{Part, RequestRecord};
use crate::settings::objective::{Objective, Objectives};

/// Blocks of so many requests are looked at for a rise.
const TREND_BLOCK: usize = 4;
/// A rise is one where blocks in any order would so seldom ascend as much.
const RISING: f64 = 0.01;
/// A queue grows where they would so seldom, and the rise is more than this share of the mean: as a load is found to be too high.
const GROWING: f64 = 0.001;
const MUCH: f64 = 0.5;

/// What is known of one objective.
#[derive(Debug)]
struct OfObjective {
    objective: Objective,
    over: u64,
    /// Values of requests that have one, against each of its bounds.
    values: Vec<Vec<f64>>,
}

/// One request against every objective: whether it is missed, and the value against each bound.
type Marks = Vec<(bool, Vec<Option<f64>>)>;

/// Requests that have ended, against every objective.
#[derive(Debug)]
pub struct Tally {
    objectives: Vec<OfObjective>,
    streaming: bool,
    /// As many requests as a probe of this load may have: what latencies would come to by then, counts.
    horizon: u64,
    /// Id of the next request to be counted.
    next: u32,
    /// Requests that ended before an earlier one.
    early: BTreeMap<u32, Marks>,
    counted: u64,
    good: u64,
    look: u64,
    decided: bool,
}

/// What a tally comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tallied {
    /// Requests that were counted.
    pub counted: u64,
    /// Of these, requests that met every bound.
    pub good: u64,
    /// Each objective.
    pub counts: Vec<Count>,
    /// Whether every objective was met.
    pub meets: bool,
    /// The binomial rule says so.
    pub certain: bool,
    /// Nothing is missed yet, and latencies rise so that they would pass a bound within the horizon.
    pub rises: bool,
    /// They rise by so much that it is no chance and no end is in sight.
    pub grows: bool,
}

impl Tally {
    /// Of a probe whose ids begin at `first`, of a load that may be played for `horizon` requests.
    pub fn new(objectives: &Objectives, streaming: bool, first: u32, horizon: u64) -> Self {
        let of = |objective: &Objective| OfObjective {
            objective: objective.clone(),
            over: 0,
            values: vec![Vec::new(); objective.bounds.0.len()],
        };
        Self {
            objectives: objectives.0.iter().map(of).collect(),
            streaming,
            horizon,
            next: first,
            early: BTreeMap::new(),
            counted: 0,
            good: 0,
            look: next_look(0),
            decided: false,
        }
    }

    /// Adds a request that has ended. What ends after a decision counts for nothing: the probe is then being cleared away.
    pub fn add(&mut self, record: &RequestRecord) {
        if self.decided || record.part != Part::Measured || record.submit.is_none() {
            return;
        }
        self.early.insert(record.id.0, self.marks(record));
        while let Some(marks) = self.early.remove(&self.next) {
            self.next += 1;
            self.count(marks);
            if self.decided {
                return;
            }
        }
    }

    fn marks(&self, record: &RequestRecord) -> Marks {
        let observed = Observed::of(record);
        let completed = observed.ended.is_completed();
        let mark = |of: &OfObjective| {
            let bounds = &of.objective.bounds.0;
            let value = |bound: usize| {
                bounds[bound].metric.of(&observed, self.streaming).filter(|_| completed)
            };
            let meets = completed && (0..bounds.len()).all(|it| bounds[it].is_met(value(it)));
            (!meets, (0..bounds.len()).map(value).collect())
        };
        self.objectives.iter().map(mark).collect()
    }

    fn count(&mut self, marks: Marks) {
        self.counted += 1;
        self.good += u64::from(marks.iter().all(|(missed, _)| !missed));
        for (of, (missed, values)) in self.objectives.iter_mut().zip(marks) {
            of.over += u64::from(missed);
            of.values.iter_mut().zip(values).for_each(|(known, value)| known.extend(value));
        }
        if self.counted >= self.look {
            self.look = next_look(self.counted);
            self.decided = self.has_decided();
        }
    }

    /// Whether every objective is met, or one is missed, at 99 %. The rule takes requests for independent; where latencies
    /// rise towards their limit, the later ones say something else than the first, and nothing is met yet.
    fn has_decided(&self) -> bool {
        let mut decisions = self.objectives.iter().map(|of| of.decision(self.counted));
        decisions.clone().any(|it| it == Decision::Misses)
            || (decisions.all(|it| it == Decision::Meets)
                && !self.objectives.iter().any(|of| of.rises(self.horizon)))
    }

    /// Whether enough has been counted.
    pub fn is_decided(&self) -> bool {
        self.decided
    }

    /// What it comes to, once the probe is over.
    pub fn finish(&self) -> Tallied {
        let count = |of: &OfObjective| Count {
            objective: of.objective.to_string(),
            over: of.over,
            decision: of.decision(self.counted),
        };
        let counts: Vec<Count> = self.objectives.iter().map(count).collect();
        let missed = counts.iter().any(|it| it.decision == Decision::Misses);
        let met = counts.iter().all(|it| it.decision == Decision::Meets);
        let seems_met = self
            .objectives
            .iter()
            .all(|of| of.over as f64 <= (1.0 - of.objective.share) * self.counted as f64 + 1e-9);
        Tallied {
            counted: self.counted,
            good: self.good,
            counts,
            meets: met || (!missed && seems_met),
            certain: met || missed,
            rises: !missed && self.objectives.iter().any(|of| of.rises(self.horizon)),
            grows: !missed && self.objectives.iter().any(OfObjective::grows),
        }
    }
}

impl OfObjective {
    fn decision(&self, counted: u64) -> Decision {
        decide(self.over, counted, self.objective.share)
    }

    /// Whether values rise so that they would pass a bound within so many requests.
    fn rises(&self, horizon: u64) -> bool {
        self.values.iter().zip(&self.objective.bounds.0).any(|(values, bound)| {
            let Some(found) = trend(values, TREND_BLOCK) else { return false };
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let last = mean * (1.0 + found.rise * (horizon as f64 / count - 0.5));
            found.ascending < RISING && found.rise > 0.0 && last > bound.bound.as_millis_f64()
        })
    }

    fn grows(&self) -> bool {
        let mut trends = self.values.iter().filter_map(|values| trend(values, TREND_BLOCK));
        trends.any(|found| found.ascending < GROWING && found.rise > MUCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MonoNs;
    use crate::record::request_record::{FinishReason, Outcome};
    use crate::request::RequestId;

    /// A request whose first token took so many ms.
    fn ended(id: u32, ttft_ms: f64) -> RequestRecord {
        let at = |ms: f64| Some(MonoNs((ms * 1e6) as i64));
        RequestRecord {
            submit: at(0.0),
            first_token: at(ttft_ms),
            last_token: at(ttft_ms + 1.0),
            end: at(ttft_ms + 1.0),
            output_tokens: 2,
            first_tokens: 1,
            outcome: Outcome::Completed(FinishReason::Length),
            ..RequestRecord::planned(RequestId(id), 1, 2)
        }
    }

    fn tally(objectives: &str, most: u64) -> Tally {
        Tally::new(&objectives.parse().expect(objectives), true, 10, most)
    }

    #[test]
    fn a_probe_ends_as_soon_as_the_rule_decides_either_way() {
        let mut fast = tally("ttft.p90<100ms", 1_000);
        let mut slow = tally("ttft.p90<100ms", 1_000);
        for id in 10..200 {
            fast.add(&ended(id, 50.0));
            slow.add(&ended(id, 150.0));
        }
        let (fast, slow) = (fast.finish(), slow.finish());
        assert!(fast.meets && fast.certain && (44..60).contains(&fast.counted), "{fast:?}");
        assert!(!slow.meets && slow.certain && slow.counted <= 8, "{slow:?}");
        assert_eq!((fast.good, slow.good), (fast.counted, 0));
    }

    #[test]
    fn latencies_that_rise_towards_their_limit_decide_nothing_before_they_reach_it() {
        let mut rising = tally("ttft.p90<100ms", 400);
        let mut id = 10;
        while !rising.is_decided() && id < 410 {
            rising.add(&ended(id, 20.0 + f64::from(id - 10)));
            id += 1;
        }
        let rising = rising.finish();
        assert!(!rising.meets && rising.certain && rising.counted > 80, "{rising:?}");
    }

    #[test]
    fn latencies_that_would_rise_beyond_their_limit_after_the_probe_are_told() {
        let of = |horizon: u64, objectives: &str| {
            let mut tally = tally(objectives, horizon);
            (10..110).for_each(|id| tally.add(&ended(id, 20.0 + 0.4 * f64::from(id - 10))));
            tally
        };
        for objectives in ["ttft.p90<100ms", "ttft<100ms,e2e<9s"] {
            let near = of(120, objectives).finish();
            assert!(!near.rises && near.meets, "{near:?}");
            let far = of(800, objectives);
            let found = far.finish();
            assert!(!far.is_decided() && found.rises && found.grows && found.meets, "{found:?}");
        }
        let mut steady = tally("ttft.p90<100ms", 800);
        (10..110).for_each(|id| steady.add(&ended(id, 20.0 + f64::from(id % 7))));
        assert!(!steady.finish().rises && !steady.finish().grows);
    }

    #[test]
    fn requests_are_counted_without_a_gap() {
        let mut tally = tally("ttft.p50<100ms", 100);
        for id in 11..100 {
            tally.add(&ended(id, 50.0));
        }
        assert_eq!(tally.finish().counted, 0, "the first one has not ended");
        tally.add(&ended(10, 500.0));
        let tallied = tally.finish();
        assert!(tallied.meets && tallied.counts[0].over == 1, "{tallied:?}");
    }

    #[test]
    fn a_failure_misses_every_objective_and_what_was_never_sent_none() {
        let mut tally = tally("ttft.p50<100ms,e2e<9s", 100);
        tally.add(&RequestRecord { outcome: Outcome::TimedOut, ..ended(10, 50.0) });
        tally.add(&RequestRecord { submit: None, ..ended(11, 50.0) });
        let tallied = tally.finish();
        assert_eq!((tallied.counted, tallied.good), (1, 0));
        assert!(tallied.counts.iter().all(|it| it.over == 1), "{tallied:?}");
    }

    #[test]
    fn where_the_rule_is_not_sure_the_share_that_was_seen_counts_and_is_marked() {
        let mut tally = tally("ttft.p90<100ms", 20);
        for id in 10..30 {
            tally.add(&ended(id, if id == 20 { 500.0 } else { 50.0 }));
        }
        let tallied = tally.finish();
        assert!(tallied.meets && !tallied.certain, "{tallied:?}");
    }
}
