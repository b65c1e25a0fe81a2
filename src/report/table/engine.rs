//! Console lines of the engine's own statistics: requests and iterations.

use crate::metrics::definition::{Quantity, Unit};
use crate::metrics::iterations::IterationSummary;
use crate::metrics::kv_events::KvEventSummary;
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Distribution, Summary};
use crate::report::figures::{self, counted, figure, with_unit};
use crate::report::table::gpu;
use crate::report::table::lines::flowed;

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
    if let Some(said) = &summary.iterations {
        paragraphs.push(("iterations", of_iterations(said)));
        paragraphs.push(("batch", of_batch(said)));
        paragraphs.push(("KV cache", of_memory(said)));
    }
    if let Some(said) = &summary.kv_events {
        paragraphs.push(("KV blocks", of_blocks(said)));
    }
    if let Some(gpus) = &summary.gpu {
        paragraphs.push(("GPUs", gpu::parts(gpus)));
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

fn of_iterations(said: &IterationSummary) -> Vec<String> {
    let mut parts = vec![said.iterations.to_string()];
    if said.lost > 0 {
        parts.push(format!("{} lost", said.lost));
    }
    if let Some(latency) = &said.latency_ms {
        parts.push(format!(
            "{} (p50), {} (p99)",
            at(latency, Percentile::P50),
            at(latency, Percentile::P99)
        ));
    }
    if let Some(busy) = said.busy_fraction {
        parts.push(format!("busy for {} of the window", with_unit(busy, Unit::Fraction)));
    }
    let share = said.context_iterations_fraction.filter(|share| *share > 0.0);
    if let Some((share, time)) = share.zip(said.context_time_fraction) {
        let (share, time) = (with_unit(share, Unit::Fraction), with_unit(time, Unit::Fraction));
        parts.push(format!("prompts in {share} of them and {time} of their time"));
    }
    if let Some((with, without)) =
        said.with_context_ms.as_ref().zip(said.generation_only_ms.as_ref())
    {
        let (with, without) = (at(with, Percentile::P50), at(without, Percentile::P50));
        parts.push(format!("{with} with prompts, {without} without (p50)"));
    }
    parts
}

fn of_batch(said: &IterationSummary) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(requests) = said.batch_requests {
        let limit = said.batch_size_limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        parts.push(format!(
            "{}{limit} requests on average, {} at most",
            figure(requests.mean),
            requests.max
        ));
    }
    if let Some(tokens) = said.context_tokens.filter(|tokens| tokens.max > 0.0) {
        parts.push(format!(
            "{} prompt tokens on average, {} at most",
            figure(tokens.mean),
            tokens.max
        ));
    }
    if let Some(queued) = said.queued_requests.filter(|queued| queued.max > 0.0) {
        parts.push(format!("{} waiting on average, {} at most", figure(queued.mean), queued.max));
    }
    parts
}

fn of_memory(said: &IterationSummary) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(used) = said.kv_used_fraction {
        let (mean, max) =
            (with_unit(used.mean, Unit::Fraction), with_unit(used.max, Unit::Fraction));
        parts.push(format!("{mean} held on average, {max} at most"));
    }
    if let Some(pauses) = said.pauses.filter(|pauses| *pauses > 0) {
        parts.push(format!("{} for want of it", counted(pauses, "pause")));
    }
    parts
}

fn of_blocks(said: &KvEventSummary) -> Vec<String> {
    let per_s =
        |rate: Option<f64>| rate.map_or_else(String::new, |rate| format!(" ({}/s)", figure(rate)));
    let mut parts = vec![
        format!("{} stored{}", said.blocks_stored, per_s(said.stored_per_s)),
        format!("{} removed{}", said.blocks_removed, per_s(said.removed_per_s)),
    ];
    if said.blocks_offloaded + said.blocks_onboarded > 0 {
        parts
            .push(format!("{} to the host, {} back", said.blocks_offloaded, said.blocks_onboarded));
    }
    if said.lost > 0 {
        parts.push(format!("{} lost: raise `--kv-events`", counted(said.lost, "event")));
    }
    parts
}

fn at(values: &Distribution, which: Percentile) -> String {
    values.percentiles.get(&which).map_or_else(
        || figures::ABSENT.to_owned(),
        |value| format!("{} ms", figures::percentile(value, figures::decimals(value.value))),
    )
}
