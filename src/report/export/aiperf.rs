//! Files of aiperf 0.13: `profile_export_aiperf.json` and `.csv`, and a line per request in `profile_export.jsonl`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::aiperf_metrics::{Metric, OF_REQUESTS, Values, all, is_of};
use super::answers::Answer;
use super::sample::Sample;
use super::service::Service;
use super::{
    ExportFile, ExportPoint, ExportRun, Exported, by_point, json_file, provenance, text_file,
};
use crate::network::refusal::status_in;
use crate::store::manifest::State;

/// The version whose shape is written.
const VERSION: &str = "0.13.0";
const PERCENTILES: [(&str, f64); 9] = [
    ("p1", 1.0),
    ("p5", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
];

pub(super) fn render(run: &ExportRun) -> Exported {
    by_point(run, |point| {
        let metrics = all(run.service(), point);
        vec![
            json_file("profile_export_aiperf.json", &document(run, point, &metrics), 2),
            text_file("profile_export_aiperf.csv", table(metrics, provenance::label(run))),
            records(run, point),
        ]
    })
}

fn document(run: &ExportRun, point: &ExportPoint, metrics: &[Metric]) -> Value {
    let id = &point.entry.plan_hash[..point.entry.plan_hash.len().min(12)];
    let mut document = Map::new();
    let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
    put("schema_version", "1.4".into());
    put("aiperf_version", VERSION.into());
    put("benchmark_id", id.into());
    for metric in metrics {
        put(metric.tag, statistics(metric));
    }
    put("input_config", input_config(run, point));
    put("run_info", json!({"benchmark_id": id, "trial": 0, "cli_command": run.command()}));
    let interrupted = run.manifest.state == State::Interrupted;
    put("was_cancelled", interrupted.into());
    put("is_complete", point.entry.facts.complete.into());
    put("error_summary", errors(point));
    let stamp = |of: Option<crate::clock::MonoNs>| {
        let at = jiff::Timestamp::from_nanosecond(i128::from(run.wall_ns(of?))).ok()?;
        Some(at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string())
    };
    put("start_time", stamp(point.answers.iter().map(|it| it.start).min()).into());
    put("end_time", stamp(point.answers.iter().map(|it| it.end).max()).into());
    put(provenance::KEY, provenance::value(run, point));
    Value::Object(document)
}

fn statistics(metric: &Metric) -> Value {
    let mut values = Map::new();
    values.insert("unit".to_owned(), metric.unit.into());
    match &metric.value {
        Values::One(value) => {
            values.insert("avg".to_owned(), (*value).into());
        }
        Values::Many(sample) => {
            values.insert("avg".to_owned(), sample.mean().into());
            for (name, percent) in PERCENTILES {
                values.insert(name.to_owned(), sample.percentile(percent).into());
            }
            for (name, value) in
                [("min", sample.min()), ("max", sample.max()), ("std", sample.std())]
            {
                values.insert(name.to_owned(), value.into());
            }
            values.insert("count".to_owned(), sample.count().into());
            values.insert("sum".to_owned(), sample.sum().into());
        }
    }
    Value::Object(values)
}

/// What the plots of the tool look for: model, kind of endpoint, concurrency, number of requests.
fn input_config(run: &ExportRun, point: &ExportPoint) -> Value {
    let mut phase = json!({
        "name": "profiling",
        "kind": "profiling",
        "type": if point.rate().is_some() { "request_rate" } else { "concurrency" },
        "requests": point.answers.len(),
    });
    if let Some(concurrency) = point.concurrency() {
        phase["concurrency"] = concurrency.into();
    }
    if let Some(rate) = point.rate() {
        phase["rate"] = rate.into();
    }
    json!({
        "models": {"items": [{"name": run.model()}]},
        "endpoint": {"urls": [], "type": run.service().aiperf, "streaming": point.entry.facts.streaming},
        "phases": [phase],
    })
}

fn errors(point: &ExportPoint) -> Value {
    let mut kinds: Vec<(&'static str, &str, u64)> = Vec::new();
    for (kind, words) in point.answers.iter().filter_map(|it| it.failure.as_ref()) {
        match kinds.iter_mut().find(|(known, ..)| known == kind) {
            Some((.., count)) => *count += 1,
            None => kinds.push((kind, words, 1)),
        }
    }
    let entry = |(kind, words, count): (&str, &str, u64)| json!({"error_details": {"code": status_in(words), "type": kind, "message": words}, "count": count});
    kinds.into_iter().map(entry).collect()
}

/// Two sections, each in the order of the tool's own names for its metrics.
fn table(mut metrics: Vec<Metric>, label: Option<String>) -> String {
    metrics.sort_by_key(|metric| metric.tag);
    let mut text = String::from("Metric,avg,min,max,sum");
    for (name, _) in PERCENTILES {
        text.push(',');
        text.push_str(name);
    }
    text.push_str(",std\r\n");
    for metric in &metrics {
        if let Values::Many(sample) = &metric.value {
            row(&mut text, &title(metric), sample);
        }
    }
    text.push_str("\r\nMetric,Value\r\n");
    for metric in &metrics {
        if let Values::One(value) = metric.value {
            // Writing to a string cannot fail, here and below.
            let _infallible = write!(text, "{},{value:.2}\r\n", title(metric));
        }
    }
    text.push_str(&provenance::section(label));
    text
}

fn row(text: &mut String, title: &str, sample: &Sample) {
    text.push_str(title);
    let ends = [sample.mean(), sample.min(), sample.max(), sample.sum()];
    let percentiles = PERCENTILES.map(|(_, percent)| sample.percentile(percent));
    for value in ends.into_iter().chain(percentiles).chain([sample.std()]) {
        let _infallible = write!(text, ",{value:.2}");
    }
    text.push_str("\r\n");
}

fn title(metric: &Metric) -> String {
    match metric.unit {
        "count" | "requests" => metric.header.to_owned(),
        unit => format!("{} ({unit})", metric.header),
    }
}

/// A line per request.
fn records(run: &ExportRun, point: &ExportPoint) -> ExportFile {
    let mut text = String::new();
    for (place, answer) in point.answers.iter().enumerate() {
        text.push_str(&record(run, answer, place).to_string());
        text.push('\n');
    }
    text_file("profile_export.jsonl", text)
}

fn record(run: &ExportRun, answer: &Answer, place: usize) -> Value {
    let name = format!("bareflight-{}", answer.id);
    let label = provenance::label(run);
    let worker = label.map_or_else(|| "bareflight".to_owned(), |it| format!("bareflight [{it}]"));
    let mut line = json!({
        "metadata": {
            "session_num": place,
            "x_request_id": name,
            "x_correlation_id": name,
            "conversation_id": name,
            "turn_index": 0,
            "credit_issued_ns": run.wall_ns(answer.ready),
            "request_start_ns": run.wall_ns(answer.start),
            "request_ack_ns": answer.first.map(|at| run.wall_ns(at)),
            "request_end_ns": run.wall_ns(answer.end),
            "worker_id": worker,
            "record_processor_id": worker,
            "benchmark_phase": "profiling",
            "phase_index": 0,
            "profiling_index": 0,
            "phase_name": "profiling",
            "phase_kind": "profiling",
            "was_cancelled": answer.failure.as_ref().is_some_and(|(kind, _)| *kind == "cancelled"),
            "context_overflow_skip": false,
            "agent_depth": 0,
            "root_correlation_id": name,
        },
        "metrics": metrics(run.service(), answer),
    });
    if let Some((kind, words)) = &answer.failure {
        line["error"] = json!({"code": status_in(words), "type": kind, "message": words});
    }
    line
}

fn metrics(service: Service, answer: &Answer) -> Value {
    let mut metrics = Map::new();
    if answer.failure.is_some() {
        return Value::Object(metrics);
    }
    for metric in &OF_REQUESTS {
        // The tool writes these two for a whole run alone.
        let of_runs = ["credit_to_start_latency", "effective_latency"].contains(&metric.tag);
        let is_left_out = of_runs || !is_of(service, metric.tag);
        if let Some(value) = (metric.of)(answer).filter(|_| !is_left_out) {
            let value = if metric.unit == "tokens" { json!(value as u64) } else { json!(value) };
            metrics.insert(metric.tag.to_owned(), json!({"value": value, "unit": metric.unit}));
        }
    }
    let gaps: Vec<f64> = answer.gaps_s().into_iter().map(|gap| gap * 1e3).collect();
    if !gaps.is_empty() {
        metrics.insert("inter_chunk_latency".to_owned(), json!({"value": gaps, "unit": "ms"}));
    }
    Value::Object(metrics)
}
