//! A summary laid out like LoadGen's `mlperf_log_summary.txt`, for scripts that read that; no result of MLPerf.

use std::fmt::Write as _;

use super::answers::Answer;
use super::sample::Sample;
use super::{ExportPoint, ExportRun, Exported, by_point, per_second, provenance, text_file};
use crate::load::Load;
use crate::metrics::summary::{CheckId, Status, Verdict};

const RULE: &str = "================================================\n";
const PERCENTILES: [f64; 6] = [50.0, 90.0, 95.0, 97.0, 99.0, 99.9];
const NS: f64 = 1e9;

pub(super) fn render(run: &ExportRun) -> Exported {
    by_point(run, |point| vec![text_file("mlperf_log_summary.txt", text(run, point))])
}

fn text(run: &ExportRun, point: &ExportPoint) -> String {
    let mut text = String::new();
    heading(&mut text, "MLPerf Results Summary");
    let scenario = match point.entry.facts.load {
        Load::Open { .. } => "Server",
        Load::Closed { .. } | Load::Batch => "Offline",
    };
    line(&mut text, "SUT name : ", run.model());
    line(&mut text, "Scenario : ", scenario);
    line(&mut text, "Mode     : ", "PerformanceOnly");
    let seconds = point.duration_s();
    let completed = point.completed().count() as f64;
    match point.rate() {
        Some(rate) => line(&mut text, "Scheduled samples per second : ", &format!("{rate:.2}")),
        None => line(
            &mut text,
            "Samples per second: ",
            &format!("{:.6}", per_second(completed, seconds)),
        ),
    }
    results(&mut text, point);
    text.push('\n');
    heading(&mut text, "Additional Stats");
    let rate = |count: f64| format!("{:.2}", per_second(count, seconds));
    line(&mut text, "Completed samples per second    : ", &rate(completed));
    let latency = Sample::of(point.completed().map(|it| it.latency_s() * NS));
    statistics(&mut text, "latency (ns)", "latency (ns)", latency.as_ref());
    line(
        &mut text,
        "Completed tokens per second                 : ",
        &rate(point.output_tokens() as f64),
    );
    let first = Sample::of(point.completed().filter_map(Answer::ttft_s).map(|it| it * NS));
    statistics(&mut text, "First Token latency (ns)", "first token latency (ns)", first.as_ref());
    let per_token = Sample::of(point.completed().filter_map(Answer::per_token_s).map(|it| it * NS));
    statistics(
        &mut text,
        "Time per Output Token (ns)",
        "time to output token (ns)",
        per_token.as_ref(),
    );
    text.push('\n');
    parameters(&mut text, run, point);
    text
}

fn heading(text: &mut String, title: &str) {
    // Writing to a string cannot fail, here and below.
    let _infallible = write!(text, "{RULE}{title}\n{RULE}");
}

fn line(text: &mut String, name: &str, value: &str) {
    let _infallible = writeln!(text, "{name}{value}");
}

/// By our own checks: a valid run is one whose verdict is not invalid.
fn results(text: &mut String, point: &ExportPoint) {
    let valid = point.summary.verdict != Verdict::Invalid;
    line(text, "Result is : ", if valid { "VALID" } else { "INVALID" });
    let yes = |is: bool| if is { "Yes" } else { "NO" };
    let bounds_met = !point.summary.misses_slo();
    let ran = point.entry.facts.complete;
    let sent = point.summary.checks.iter().all(|check| {
        check.id != CheckId::NotSent || matches!(check.status, Status::Pass | Status::NotApplicable)
    });
    line(text, "  Performance constraints satisfied : ", yes(bounds_met));
    line(text, "  Min duration satisfied : ", yes(ran));
    line(text, "  Min queries satisfied : ", yes(sent));
}

/// `whole` follows Min, Max and Mean, `percentile` the percentiles.
fn statistics(text: &mut String, whole: &str, percentile: &str, sample: Option<&Sample>) {
    let Some(sample) = sample else { return };
    let ends = [("Min", sample.min()), ("Max", sample.max()), ("Mean", sample.mean())];
    for (name, value) in ends {
        let _infallible = writeln!(text, "{:<32}: {value:.0}", format!("{name} {whole}"));
    }
    for percent in PERCENTILES {
        let name = format!("{percent:.2} percentile {percentile}");
        let _infallible = writeln!(text, "{name:<32}: {:.0}", sample.percentile(percent));
    }
}

fn parameters(text: &mut String, run: &ExportRun, point: &ExportPoint) {
    heading(text, "Test Parameters Used");
    line(text, "samples_per_query : ", "1");
    let rate = point.rate().map_or_else(|| "0".to_owned(), |rate| rate.to_string());
    line(text, "target_qps : ", &rate);
    line(text, "max_async_queries : ", &point.concurrency().unwrap_or(0).to_string());
    line(text, "min_duration (ms): ", &format!("{:.0}", point.duration_s() * 1e3));
    line(text, "min_query_count : ", &point.answers.len().to_string());
    line(text, "schedule_rng_seed : ", &run.manifest.seed.to_string());
    text.push_str(
        "\nThis file was written by bareflight, not by LoadGen: it is no result of MLPerf.\n",
    );
    for line in provenance::lines(run, Some(point)) {
        let _infallible = writeln!(text, "{line}");
    }
    let _infallible = writeln!(text, "{} errors encountered.", point.failed());
}
