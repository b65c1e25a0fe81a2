//! HTML section of the engine's own statistics, with its batch size over the window.

use crate::metrics::iterations::IterationSlice;
use crate::metrics::kv_events::KvEventSlice;
use crate::metrics::summary::Summary;
use crate::observe::server_metrics::over_window::ServerSlice;
use crate::report::html::gpus;
use crate::report::html::point::{course, line};
use crate::report::html::text::escape;
use crate::report::table::engine::paragraphs;

/// Empty where the engine reports no statistics.
pub(super) fn section(summary: &Summary, colour: &str) -> String {
    let mut text = String::new();
    for (name, parts) in paragraphs(summary) {
        let paragraph = format!("<p><b>{name}</b>: {}</p>\n", escape(&parts.join(" · ")));
        text.push_str(&paragraph);
    }
    let slices =
        summary.iterations.as_ref().map_or([].as_slice(), |statistics| &statistics.over_time);
    if slices.len() > 1 {
        let drawn = format!("<div class=\"plots three\">\n{}</div>\n", plots(slices, colour));
        text.push_str(&drawn);
    }
    let slices =
        summary.kv_events.as_ref().map_or([].as_slice(), |statistics| &statistics.over_time);
    if slices.len() > 1 {
        let drawn = format!("<div class=\"plots three\">\n{}</div>\n", blocks(slices, colour));
        text.push_str(&drawn);
    }
    let told = summary.server.as_ref().map_or([].as_slice(), |told| &told.over_time);
    if told.len() > 1 {
        let drawn = format!("<div class=\"plots three\">\n{}</div>\n", server(told, colour));
        text.push_str(&drawn);
    }
    text.push_str(&gpus::section(summary));
    text
}

/// What the server told of itself; plots of what it did not tell are left out.
fn server(slices: &[ServerSlice], colour: &str) -> String {
    let values = |of: fn(&ServerSlice) -> Option<f64>| {
        slices.iter().map(move |slice| (slice.t_s, of(slice)))
    };
    let percent = |of: fn(&ServerSlice) -> Option<f64>| {
        slices.iter().map(move |slice| (slice.t_s, of(slice).map(|share| share * 100.0)))
    };
    let requests = vec![
        line("running", colour, values(|slice| slice.running)),
        line("waiting", "var(--s2)", values(|slice| slice.waiting)),
    ];
    let cache = vec![
        line("held", colour, percent(|slice| slice.kv_used)),
        line("prefix hits", "var(--s2)", percent(|slice| slice.prefix_hit_rate)),
    ];
    let queue = vec![line("", colour, values(|slice| slice.queue_ms))];
    let preempted = vec![line("", colour, values(|slice| slice.preemptions))];
    [
        ("Requests in the server", "requests", requests),
        ("KV cache of the server", "%", cache),
        ("Wait in the server's queue", "ms", queue),
        ("Preemptions", "since the point before", preempted),
    ]
    .into_iter()
    .filter_map(|(title, unit, mut series)| {
        series.retain(|series| series.points.len() > 1);
        (!series.is_empty()).then(|| course(title, unit, series))
    })
    .collect()
}

fn blocks(slices: &[KvEventSlice], colour: &str) -> String {
    let per_s = |of: fn(&KvEventSlice) -> u64| {
        let rate = move |slice: &KvEventSlice| Some(of(slice) as f64 / slice.length_s);
        slices.iter().map(move |slice| (slice.t_s + slice.length_s / 2.0, rate(slice)))
    };
    let rates = vec![
        line("stored", colour, per_s(|slice| slice.stored)),
        line("removed", "var(--s2)", per_s(|slice| slice.removed)),
        line("moved", "var(--s1)", per_s(|slice| slice.moved)),
    ];
    course("Blocks of the KV cache", "blocks/s", rates)
}

fn plots(slices: &[IterationSlice], colour: &str) -> String {
    let values = |of: fn(&IterationSlice) -> Option<f64>| {
        slices.iter().map(move |slice| (slice.t_s + slice.length_s / 2.0, of(slice)))
    };
    let batch = vec![
        line("generation", colour, values(|slice| slice.generation_requests)),
        line("prompts", "var(--s2)", values(|slice| slice.context_requests)),
    ];
    let queued = vec![line("", colour, values(|slice| slice.queued_requests))];
    let used = values(|slice| slice.kv_used_fraction.map(|share| share * 100.0));
    [
        course("In the batch of an iteration", "requests", batch),
        course("Waiting in the engine", "requests", queued),
        course("KV cache held", "%", vec![line("", colour, used)]),
    ]
    .concat()
}
