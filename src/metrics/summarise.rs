//! Summary of a point: records in, every number out.

use std::collections::BTreeMap;

use crate::metrics::definition::{Over, Per, Quantity};
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::ObservedPoint;
use crate::metrics::per_request::Derived;
use crate::metrics::plot_samples::PlotSamples;
use crate::metrics::pooled::Pooled;
use crate::metrics::summary::{Counts, Dependence, Distribution, Mark, SCHEMA_VERSION, Summary};
use crate::metrics::validity::{self, Evidence};
use crate::metrics::{
    counts, dependence, distribution, mixture, over_time, rates, roofline, stages,
};
use crate::observe::health::Health;
use crate::record::request_record::{Records, TokenSource};

/// Tokens per chunk above which chunks are taken to hold several tokens; below its inverse some of them hold none.
const BUNDLED: f64 = 1.02;

/// Makes the summary of records in memory. The same arguments give the same summary, bit for bit.
///
/// # Panics
/// Never: records in memory can always be read.
pub fn summarise(records: &Records, facts: &RunFacts, health: &Health) -> Summary {
    let point = ObservedPoint::read(records, facts).expect("records in memory can be read");
    summarise_observed(&point, facts, health)
}

/// Makes the summary of one point. The same arguments give the same summary, bit for bit.
///
/// Distributions are over completed requests, wherever they ended; rates count what lies in the window.
pub fn summarise_observed(point: &ObservedPoint, facts: &RunFacts, health: &Health) -> Summary {
    let counts = counts::of(point, facts);
    let (slos, good) = rates::judge(point, facts, &counts);
    let energy = health.gpu.as_ref().and_then(|gpu| gpu.energy_j);
    let rates = rates::of(point, facts, &counts, good, energy);
    let distributions = distributions(point, facts, &counts);
    let checks = validity::checks(&Evidence {
        point,
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
        documents: facts.documents,
        images: facts.images,
        workloads: mixture::of(point, facts),
        streaming: point.is_streamed(facts.streaming),
        gpus: facts.gpus,
        window: facts.window,
        window_s: facts.window.seconds(),
        window_kind: facts.window_kind,
        whole_run: rates::whole_run(point, facts, &counts),
        verdict: validity::verdict(&checks),
        marks: marks(facts, health),
        checks,
        approximate: is_approximate(&counts, &distributions),
        roofline: roofline::of(point, facts, &counts, icl),
        stages: stages::of(point, facts),
        workers: facts.workers,
        windows: facts.windows.clone(),
        saturated: facts.saturated,
        over_time: over_time::of(point, facts, &counts),
        iterations: None,
        kv_events: None,
        counts,
        rates,
        distributions,
        slos,
        dependence: dependence(point, facts),
        gpu: health.gpu.clone(),
        samples: PlotSamples::of(point, facts),
        server: health.server.clone(),
    }
}

/// Whether tokens are spread over chunks that hold several, or some none, or may do so since nobody counted tokens, and anything
/// depends on it.
fn is_approximate(
    counts: &Counts,
    distributions: &BTreeMap<Quantity, Option<Distribution>>,
) -> bool {
    let has_gaps = distributions.get(&Quantity::Itl).is_some_and(Option::is_some);
    has_gaps
        && (counts.token_sources.contains_key(&TokenSource::Chunks)
            || is_uneven(counts.tokens_per_chunk))
}

/// Whether so many tokens per chunk say that a chunk is not a token.
pub fn is_uneven(tokens_per_chunk: Option<f64>) -> bool {
    tokens_per_chunk.is_some_and(|each| each > BUNDLED || each * BUNDLED < 1.0)
}

/// One quantity after the other, so that the values of one are in memory at a time.
fn distributions(
    point: &ObservedPoint,
    facts: &RunFacts,
    counts: &Counts,
) -> BTreeMap<Quantity, Option<Distribution>> {
    let kept = counts.deliveries_missing == 0;
    let values = |quantity: Quantity| -> Vec<f64> {
        let over = quantity.definition().over;
        let covered = point.requests().iter();
        covered
            .filter(|request| over == Over::All || request.ended.is_completed())
            .filter_map(|request| Derived::one(quantity, request, facts.streaming))
            .collect()
    };
    let mut all: BTreeMap<_, _> = Quantity::ALL
        .into_iter()
        .filter(|quantity| quantity.definition().per == Per::Request)
        .map(|quantity| {
            // With some deliveries unknown, the largest gap of the others would pass for that of all.
            let known = kept || quantity != Quantity::Stall;
            (quantity, known.then(|| distribution::of_series(&values(quantity))).flatten())
        })
        .collect();
    let Pooled { itl, icl } =
        if facts.streaming && kept { point.pooled.clone() } else { Pooled::default() };
    all.insert(Quantity::Itl, itl);
    all.insert(Quantity::Icl, icl);
    all
}

fn dependence(point: &ObservedPoint, facts: &RunFacts) -> Option<Dependence> {
    let mut in_order: Vec<_> = point
        .requests()
        .iter()
        .filter(|request| request.ended.is_completed())
        .filter_map(|request| {
            let latency = Derived::one(Quantity::E2e, request, facts.streaming)?;
            Some((request.submit()?, request.id, latency))
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
