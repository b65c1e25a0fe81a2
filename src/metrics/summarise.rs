//! What does a run come to? Records in, summary out: the one place where every number is made.

use std::collections::BTreeMap;

use crate::metrics::definition::{Over, Per, Quantity};
use crate::metrics::facts::RunFacts;
use crate::metrics::per_request::{Derived, Output};
use crate::metrics::pooled::{self, Pooled};
use crate::metrics::summary::{Counts, Dependence, Distribution, Mark, SCHEMA_VERSION, Summary};
use crate::metrics::validity::{self, Evidence};
use crate::metrics::{counts, dependence, distribution, over_time, rates, roofline};
use crate::observe::health::Health;
use crate::record::request_record::Records;

/// Makes the summary of one run. The same arguments give the same summary, bit for bit.
///
/// Distributions are over completed requests, wherever they ended; rates count what lies in the window.
pub fn summarise(records: &Records, facts: &RunFacts, health: &Health) -> Summary {
    let derived: Vec<Derived> = records
        .iter()
        .map(|(record, arrivals)| Derived::of(record, arrivals, facts.streaming))
        .collect();
    let counts = counts::of(records, facts);
    let (slos, good) = rates::judge(records, &derived, facts, &counts);
    let energy = health.gpu.as_ref().and_then(|gpu| gpu.energy_j);
    let rates = rates::of(records, facts, &counts, good, energy);
    let distributions = distributions(records, &derived, facts, &counts);
    let checks = validity::checks(&Evidence {
        records,
        derived: &derived,
        facts,
        health,
        counts: &counts,
        rates: &rates,
        distributions: &distributions,
    });
    let icl = distributions.get(&Quantity::Icl).and_then(Option::as_ref);
    Summary {
        schema_version: SCHEMA_VERSION,
        point: facts.point,
        target: facts.target.clone(),
        load: facts.load,
        streaming: facts.streaming,
        gpus: facts.gpus,
        window: facts.window,
        window_s: facts.window.seconds(),
        verdict: validity::verdict(&checks),
        marks: marks(facts, health),
        checks,
        roofline: roofline::of(records, facts, &counts, icl),
        over_time: over_time::of(records, &derived, facts, &counts),
        iterations: None,
        kv_events: None,
        counts,
        rates,
        distributions,
        slos,
        dependence: dependence(records, &derived),
        gpu: health.gpu.clone(),
    }
}

fn distributions(
    records: &Records,
    derived: &[Derived],
    facts: &RunFacts,
    counts: &Counts,
) -> BTreeMap<Quantity, Option<Distribution>> {
    let covered = |quantity: Quantity| {
        let over = quantity.definition().over;
        let requests = records.requests().iter().zip(derived);
        requests.filter(move |(record, _)| over == Over::All || record.outcome.is_completed())
    };
    let kept = counts.deliveries_missing == 0;
    let mut all: BTreeMap<_, _> = Quantity::ALL
        .into_iter()
        .filter(|quantity| quantity.definition().per == Per::Request)
        .map(|quantity| {
            // With some deliveries unknown, the largest gap of the others would pass for that of all.
            let known = kept || quantity != Quantity::Stall;
            let values = covered(quantity).filter_map(|(_, request)| request.get(quantity));
            (quantity, known.then(|| distribution::of_series(values.collect())).flatten())
        })
        .collect();
    let Pooled { itl, icl } = if facts.streaming && kept {
        let completed = records.iter().filter(|(record, _)| record.outcome.is_completed());
        let outputs: Vec<_> =
            completed.map(|(record, stamps)| Output::of(record, stamps)).collect();
        pooled::of(&outputs)
    } else {
        Pooled { itl: None, icl: None }
    };
    all.insert(Quantity::Itl, itl);
    all.insert(Quantity::Icl, icl);
    all
}

fn dependence(records: &Records, derived: &[Derived]) -> Option<Dependence> {
    let mut in_order: Vec<_> = records
        .requests()
        .iter()
        .zip(derived)
        .filter(|(record, _)| record.outcome.is_completed())
        .filter_map(|(record, request)| {
            Some((record.submit?, record.id, request.get(Quantity::E2e)?))
        })
        .collect();
    in_order.sort_unstable_by_key(|(submit, id, _)| (*submit, *id));
    let latencies: Vec<f64> = in_order.into_iter().map(|(_, _, latency)| latency).collect();
    dependence::of(&latencies)
}

fn marks(facts: &RunFacts, health: &Health) -> Vec<Mark> {
    [
        (Mark::Incomplete, !facts.complete),
        (Mark::Simulated, facts.target.simulated),
        (Mark::DummyWeights, facts.target.dummy_weights),
        (Mark::NullTarget, facts.target.is_null()),
        (Mark::Profiled, health.profiled),
    ]
    .into_iter()
    .filter_map(|(mark, applies)| applies.then_some(mark))
    .collect()
}
