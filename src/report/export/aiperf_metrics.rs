//! Metrics of aiperf 0.13 that follow from our records: tag, heading, unit and value of each.

use super::answers::Answer;
use super::sample::Sample;
use super::service::Service;
use super::{ExportPoint, per_second};

const MS: f64 = 1e3;
/// Output lengths that differ by more than this share, or more than [`MISMATCH_TOKENS`], count as a mismatch.
const MISMATCH_SHARE: f64 = 0.05;
const MISMATCH_TOKENS: f64 = 50.0;

/// A metric with a value for each request.
pub(super) struct RequestMetric {
    pub(super) tag: &'static str,
    pub(super) header: &'static str,
    pub(super) unit: &'static str,
    pub(super) of: fn(&Answer) -> Option<f64>,
}

const fn metric(
    tag: &'static str,
    header: &'static str,
    unit: &'static str,
    of: fn(&Answer) -> Option<f64>,
) -> RequestMetric {
    RequestMetric { tag, header, unit, of }
}

const PER_USER: &str = "tokens/sec/user";

/// In the order of the tool's JSON.
pub(super) const OF_REQUESTS: [RequestMetric; 19] = [
    metric("request_latency", "Request Latency", "ms", |it| Some(it.latency_s() * MS)),
    metric("time_to_first_token", "Time to First Token", "ms", |it| Some(it.ttft_s()? * MS)),
    metric("time_to_second_token", "Time to Second Token", "ms", |it| {
        let [first, second] = it.chunks.get(..2)? else { return None };
        Some((*second - *first).as_millis_f64())
    }),
    metric("inter_token_latency", "Inter Token Latency", "ms", |it| Some(it.per_token_s()? * MS)),
    metric(
        "output_token_throughput_per_user",
        "Output Token Throughput Per User",
        PER_USER,
        |it| it.per_token_s().filter(|each| *each > 0.0).map(|each| 1.0 / each),
    ),
    metric("output_sequence_length", "Output Sequence Length", "tokens", output_tokens),
    metric("input_sequence_length", "Input Sequence Length", "tokens", |it| {
        Some(f64::from(it.prompt_tokens))
    }),
    metric("output_token_count", "Output Token Count", "tokens", output_tokens),
    metric("time_to_first_output_token", "Time to First Output Token", "ms", |it| {
        Some(it.ttft_s()? * MS)
    }),
    metric("usage_prompt_tokens", "Usage Prompt Tokens", "tokens", |it| {
        Some(f64::from(it.usage?.0))
    }),
    metric("usage_completion_tokens", "Usage Completion Tokens", "tokens", |it| {
        Some(f64::from(it.usage?.1))
    }),
    metric("usage_total_tokens", "Usage Total Tokens", "tokens", |it| {
        it.usage.map(|(prompt, output)| f64::from(prompt) + f64::from(output))
    }),
    metric("prefill_throughput_per_user", "Prefill Throughput Per User", PER_USER, |it| {
        it.ttft_s().filter(|ttft| *ttft > 0.0).map(|ttft| f64::from(it.prompt_tokens) / ttft)
    }),
    metric("usage_prompt_tokens_diff_pct", "Usage Prompt Diff %", "%", |it| {
        let told = f64::from(it.usage?.0);
        (it.prompt_tokens > 0).then(|| {
            (told - f64::from(it.prompt_tokens)).abs() / f64::from(it.prompt_tokens) * 100.0
        })
    }),
    metric("decode_duration", "Decode Duration", "ms", |it| {
        Some((it.latency_s() - it.ttft_s()?) * MS)
    }),
    metric("osl_mismatch_diff_pct", "OSL Mismatch Diff %", "%", |it| {
        let asked = f64::from(it.requested_tokens);
        (asked > 0.0).then(|| (f64::from(it.output_tokens) - asked) / asked * 100.0)
    }),
    metric("e2e_output_token_throughput", "E2E Output Token Throughput", PER_USER, |it| {
        let latency = it.latency_s();
        (latency > 0.0).then(|| f64::from(it.output_tokens) / latency)
    }),
    metric("credit_to_start_latency", "Credit-to-Start Latency", "ms", |it| {
        Some((it.start - it.ready).as_millis_f64())
    }),
    metric("effective_latency", "Effective Latency (CO-aware)", "ms", |it| {
        Some((it.last - it.ready).as_millis_f64())
    }),
];

#[expect(clippy::unnecessary_wraps, reason = "one of many functions that may have no value")]
fn output_tokens(answer: &Answer) -> Option<f64> {
    Some(f64::from(answer.output_tokens))
}

/// A metric of the tool with its statistics, or one value of the whole run.
pub(super) struct Metric {
    pub(super) tag: &'static str,
    pub(super) header: &'static str,
    pub(super) unit: &'static str,
    pub(super) value: Values,
}

/// What a metric has.
pub(super) enum Values {
    /// Statistics over requests or chunks.
    Many(Sample),
    /// One value.
    One(f64),
}

/// What the tool has only of endpoints that write text.
const OF_TEXT: [&str; 14] = [
    "e2e_output_token_throughput",
    "osl_mismatch_count",
    "output_token_count",
    "output_token_throughput",
    "total_osl",
    "total_output_tokens",
    "total_token_throughput",
    "total_usage_completion_tokens",
    "total_usage_prompt_tokens",
    "total_usage_total_tokens",
    "usage_completion_tokens",
    "usage_prompt_tokens",
    "usage_prompt_tokens_diff_pct",
    "usage_total_tokens",
];

/// Whether the tool has a metric of such a service.
pub(super) fn is_of(service: Service, tag: &str) -> bool {
    service.writes || !OF_TEXT.contains(&tag)
}

/// Every metric that a point has; each in the unit of the tool.
pub(super) fn all(service: Service, point: &ExportPoint) -> Vec<Metric> {
    let mut metrics = of_requests(point);
    let gaps = Sample::of(point.completed().flat_map(Answer::gaps_s).map(|gap| gap * MS));
    metrics.extend(gaps.map(|gaps| Metric {
        tag: "inter_chunk_latency",
        header: "Inter Chunk Latency",
        unit: "ms",
        value: Values::Many(gaps),
    }));
    metrics.extend(of_run(point));
    metrics.retain(|metric| is_of(service, metric.tag));
    metrics
}

fn of_requests(point: &ExportPoint) -> Vec<Metric> {
    OF_REQUESTS
        .iter()
        .filter_map(|metric| {
            let sample = Sample::of(point.completed().filter_map(metric.of))?;
            let RequestMetric { tag, header, unit, .. } = *metric;
            Some(Metric { tag, header, unit, value: Values::Many(sample) })
        })
        .collect()
}

fn of_run(point: &ExportPoint) -> Vec<Metric> {
    let seconds = point.duration_s();
    let (completed, failed) = (point.completed().count() as f64, point.failed() as f64);
    let (prompt, output) = (point.prompt_tokens() as f64, point.output_tokens() as f64);
    let rate = |count: f64| per_second(count, seconds);
    let mut metrics = vec![
        one("request_throughput", "Request Throughput", "requests/sec", rate(completed)),
        one("request_count", "Request Count", "requests", completed),
        one("output_token_throughput", "Output Token Throughput", "tokens/sec", rate(output)),
        one("total_output_tokens", "Total Output Tokens", "tokens", output),
        one("benchmark_duration", "Benchmark Duration", "sec", seconds),
        one("total_isl", "Total Input Sequence Length", "tokens", prompt),
        one("total_osl", "Total Output Sequence Length", "tokens", output),
        one("osl_mismatch_count", "OSL Mismatch Count", "requests", mismatches(point)),
        one(
            "request_error_rate",
            "Request Error Rate",
            "%",
            failed / (completed + failed).max(1.0) * 100.0,
        ),
        one(
            "completed_request_count",
            "Completed Requests (Success + Error)",
            "requests",
            completed + failed,
        ),
        one(
            "total_token_throughput",
            "Total Token Throughput",
            "tokens/sec",
            rate(prompt + output),
        ),
        one("input_token_throughput", "Input Token Throughput", "tokens/sec", rate(prompt)),
    ];
    metrics.extend(usage(point));
    metrics
}

/// Totals of what the server counted, where it counted every request.
fn usage(point: &ExportPoint) -> Vec<Metric> {
    let Some(usage) = point.completed().map(|it| it.usage).collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    let sum = |of: fn(&(u32, u32)) -> u32| usage.iter().map(|it| f64::from(of(it))).sum::<f64>();
    let (prompt, output) = (sum(|it| it.0), sum(|it| it.1));
    vec![
        one("total_usage_prompt_tokens", "Total Usage Prompt Tokens", "tokens", prompt),
        one("total_usage_completion_tokens", "Total Usage Completion Tokens", "tokens", output),
        one("total_usage_total_tokens", "Total Usage Total Tokens", "tokens", prompt + output),
    ]
}

fn one(tag: &'static str, header: &'static str, unit: &'static str, value: f64) -> Metric {
    Metric { tag, header, unit, value: Values::One(value) }
}

fn mismatches(point: &ExportPoint) -> f64 {
    let differs = |answer: &&Answer| {
        let asked = f64::from(answer.requested_tokens);
        let off = (f64::from(answer.output_tokens) - asked).abs();
        off > (asked * MISMATCH_SHARE).min(MISMATCH_TOKENS)
    };
    point.completed().filter(differs).count() as f64
}
