//! Console lines of the engine's own statistics: requests and iterations.

use crate::metrics::definition::{Quantity, Unit};
use crate::metrics::iterations::IterationSummary;
use crate::metrics::kv_events::KvEventSummary;
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Distribution, Summary};
use crate::report::figures::{self, counted, figure, with_unit};
use crate::report::table::lines::flowed;
use crate::report::table::{gpu, server};

/// Empty where the engine reports no statistics.
pub(super) fn render(summary: &Summary) -> String {
    let mut text = String::new();
    for (name, parts) in paragraphs(summary) {
        text.push_str(&flowed(&format!("  {name}: "), " · ", &parts));
    }
    text
}

/// Statistics of an engine and its GPUs, as names and parts of sentences: for every report.
pub fn paragraphs(summary: &Summary) -> Vec<(&'static str, Vec<String>)> {
    let mut paragraphs = vec![("in the engine", of_requests(summary))];
    if let Some(statistics) = &summary.iterations {
        paragraphs.push(("iterations", of_iterations(statistics)));
        paragraphs.push(("batch", of_batch(statistics)));
        paragraphs.push(("KV cache", of_memory(statistics)));
    }
    if let Some(statistics) = &summary.kv_events {
        paragraphs.push(("KV blocks", of_blocks(statistics)));
    }
    if let Some(gpus) = &summary.gpu {
        paragraphs.push(("GPUs", gpu::parts(gpus)));
    }
    if let Some(told) = &summary.server {
        paragraphs.push(("server's metrics", server::parts(told)));
    }
    paragraphs.retain(|(_, parts)| !parts.is_empty());
    paragraphs
}

fn of_requests(summary: &Summary) -> Vec<String> {
    let median = |quantity: Quantity| {
        let value = summary.percentile(quantity, Percentile::P50)?;
        let unit = quantity.definition().unit.symbol();
        Some(format!("{} {unit}", figures::percentile(value, figures::decimals(value.value))))
    };
    let share =
        |quantity: Quantity| Some(with_unit(summary.distribution(quantity)?.mean, Unit::Fraction));
    [
        ("p50 of queue time", median(Quantity::Queue)),
        ("of prefill", median(Quantity::Prefill)),
        ("of decode", median(Quantity::Decode)),
        ("prompts found in the KV cache", share(Quantity::KvHit)),
        ("draft tokens accepted", share(Quantity::DraftAcceptance)),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| format!("{name} {value}")))
    .collect()
}

fn of_iterations(statistics: &IterationSummary) -> Vec<String> {
    let mut parts = vec![statistics.iterations.to_string()];
    if statistics.lost > 0 {
        parts.push(format!("{} lost", statistics.lost));
    }
    if let Some(latency) = &statistics.latency_ms {
        parts.push(format!(
            "{} (p50), {} (p99)",
            at(latency, Percentile::P50),
            at(latency, Percentile::P99)
        ));
    }
    if let Some(busy) = statistics.busy_fraction {
        parts.push(format!("busy for {} of the window", with_unit(busy, Unit::Fraction)));
    }
    let share = statistics.context_iterations_fraction.filter(|share| *share > 0.0);
    if let Some((share, time)) = share.zip(statistics.context_time_fraction) {
        let (share, time) = (with_unit(share, Unit::Fraction), with_unit(time, Unit::Fraction));
        parts.push(format!("prompts in {share} of them and {time} of their time"));
    }
    if let Some((with, without)) =
        statistics.with_context_ms.as_ref().zip(statistics.generation_only_ms.as_ref())
    {
        let (with, without) = (at(with, Percentile::P50), at(without, Percentile::P50));
        parts.push(format!("{with} with prompts, {without} without (p50)"));
    }
    parts
}

fn of_batch(statistics: &IterationSummary) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(requests) = statistics.batch_requests {
        let limit =
            statistics.batch_size_limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        parts.push(format!(
            "{}{limit} requests on average, {} at most",
            figure(requests.mean),
            requests.max
        ));
    }
    if let Some(tokens) = statistics.context_tokens.filter(|tokens| tokens.max > 0.0) {
        parts.push(format!(
            "{} prompt tokens on average, {} at most",
            figure(tokens.mean),
            tokens.max
        ));
    }
    if let Some(queued) = statistics.queued_requests.filter(|queued| queued.max > 0.0) {
        parts.push(format!("{} waiting on average, {} at most", figure(queued.mean), queued.max));
    }
    parts
}

fn of_memory(statistics: &IterationSummary) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(used) = statistics.kv_used_fraction {
        let (mean, max) =
            (with_unit(used.mean, Unit::Fraction), with_unit(used.max, Unit::Fraction));
        parts.push(format!("{mean} held on average, {max} at most"));
    }
    if let Some(pauses) = statistics.pauses.filter(|pauses| *pauses > 0) {
        parts.push(format!("{} for want of it", counted(pauses, "pause")));
    }
    parts
}

fn of_blocks(statistics: &KvEventSummary) -> Vec<String> {
    let per_s =
        |rate: Option<f64>| rate.map_or_else(String::new, |rate| format!(" ({}/s)", figure(rate)));
    let mut parts = vec![
        format!("{} stored{}", statistics.blocks_stored, per_s(statistics.stored_per_s)),
        format!("{} removed{}", statistics.blocks_removed, per_s(statistics.removed_per_s)),
    ];
    if statistics.blocks_offloaded + statistics.blocks_onboarded > 0 {
        parts.push(format!(
            "{} to the host, {} back",
            statistics.blocks_offloaded, statistics.blocks_onboarded
        ));
    }
    if statistics.lost > 0 {
        parts.push(format!("{} lost: raise `--kv-events`", counted(statistics.lost, "event")));
    }
    parts
}

fn at(values: &Distribution, which: Percentile) -> String {
    values.percentiles.get(&which).map_or_else(
        || figures::ABSENT.to_owned(),
        |value| format!("{} ms", figures::percentile(value, figures::decimals(value.value))),
    )
}
