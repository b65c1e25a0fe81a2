//! HTML section of the engine's own statistics, with its batch size over the window.

use crate::metrics::iterations::IterationSlice;
use crate::metrics::kv_events::KvEventSlice;
use crate::metrics::summary::Summary;
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
    text
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
