//! Metrics of each stage of a load: the requests that belong to it by the schedule, and what ended in its time.

use crate::clock::{MonoNs, Nanos};
use crate::load::stages::{Stages, StagesOf};
use crate::metrics::definition::Quantity;
use crate::metrics::distribution;
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::{Observed, ObservedPoint};
use crate::metrics::per_request::Derived;
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Pair, StageSummary};

/// Each stage in order; empty where the load has none.
pub fn of(point: &ObservedPoint, facts: &RunFacts) -> Vec<StageSummary> {
    let Some(stages) = facts.stages else { return Vec::new() };
    let start = facts.stages_start.unwrap_or(facts.window.start);
    let placed = stages.list.placed();
    placed
        .map(|(begins, stage)| {
            let from = start + begins;
            let to = from + stage.span;
            one(point, facts, &stages, (from, to), (begins, stage.level()))
        })
        .collect()
}

fn one(
    point: &ObservedPoint,
    facts: &RunFacts,
    stages: &Stages,
    (from, to): (MonoNs, MonoNs),
    (begins, level): (Nanos, f64),
) -> StageSummary {
    let within = |at: Option<MonoNs>| at.is_some_and(|at| from <= at && at < to);
    let belongs = |request: &&Observed| match stages.of {
        StagesOf::Rate => within(request.intended()),
        StagesOf::Concurrency => within(request.submit()),
    };
    let own: Vec<&Observed> = point.requests().iter().filter(belongs).collect();
    let sent = own.iter().filter(|request| request.submit().is_some()).count() as u64;
    let completed = own.iter().filter(|request| request.ended.is_completed()).count() as u64;
    let ended: Vec<&Observed> = point
        .requests()
        .iter()
        .filter(|request| request.ended.is_completed() && within(request.end()))
        .collect();
    let seconds = (to - from).as_secs_f64();
    let tokens: u64 = ended.iter().map(|request| u64::from(request.output_tokens)).sum();
    let pair = |values: Vec<f64>| {
        let values = distribution::of(values)?;
        let at = |which| values.percentiles.get(&which).map(|value| value.value);
        Some(Pair { p50: at(Percentile::P50)?, p99: at(Percentile::P99)?, max: values.max })
    };
    let of = |quantity: Quantity| {
        let completed = own.iter().filter(|request| request.ended.is_completed());
        let values = completed.filter_map(|it| Derived::one(quantity, it, facts.streaming));
        pair(values.collect())
    };
    let late = own
        .iter()
        .filter_map(|request| Some((request.submit()? - request.intended()?).as_millis_f64()));
    StageSummary {
        begins_s: begins.as_secs_f64(),
        span_s: seconds,
        of: stages.of,
        level,
        planned: own.len() as u64,
        sent,
        completed,
        failed: sent - completed,
        request_throughput_per_s: ended.len() as f64 / seconds,
        output_tokens_of_ended_per_s: tokens as f64 / seconds,
        ttft_ms: of(Quantity::Ttft),
        e2e_ms: match stages.of {
            StagesOf::Rate => of(Quantity::E2eIntended),
            StagesOf::Concurrency => of(Quantity::E2e),
        },
        late_ms: match stages.of {
            StagesOf::Rate => pair(late.collect()),
            StagesOf::Concurrency => None,
        },
    }
}
