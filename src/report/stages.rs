//! Table of the stages of a load, as rows of text.

use crate::load::stages::StagesOf;
use crate::metrics::summary::{Pair, StageSummary, Summary};
use crate::report::figures::{ABSENT, figure};

/// Header and rows; `None` where the load has no stages.
pub(in crate::report) fn rows(summary: &Summary) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
    let first = summary.stages.first()?;
    let (level, latency) = match first.of {
        StagesOf::Rate => ("rate, req/s", "latency, intended, ms, p50/p99"),
        StagesOf::Concurrency => ("slots", "latency, ms, p50/p99"),
    };
    let mut header = vec![
        "stage",
        level,
        "ok/failed",
        "done, req/s",
        "output, tokens/s",
        "TTFT, ms, p50/p99",
        latency,
    ];
    if first.of == StagesOf::Rate {
        header.push("late, ms, p99/max");
    }
    Some((header, summary.stages.iter().map(row).collect()))
}

fn row(stage: &StageSummary) -> Vec<String> {
    let pair = |pair: Option<Pair>| {
        pair.map_or_else(
            || ABSENT.to_owned(),
            |it| format!("{}/{}", figure(it.p50), figure(it.p99)),
        )
    };
    let mut row = vec![
        format!("{} … {} s", stage.begins_s, stage.begins_s + stage.span_s),
        stage.level.to_string(),
        format!("{}/{}", stage.completed, stage.failed),
        figure(stage.request_throughput_per_s),
        figure(stage.output_tokens_of_ended_per_s),
        pair(stage.ttft_ms),
        pair(stage.e2e_ms),
    ];
    if stage.of == StagesOf::Rate {
        row.push(stage.late_ms.map_or_else(
            || ABSENT.to_owned(),
            |it| format!("{}/{}", figure(it.p99), figure(it.max)),
        ));
    }
    row
}
