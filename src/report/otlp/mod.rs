//! OTLP: results and live figures as OpenTelemetry's metrics, under the names of its conventions for generative AI where it has any.

pub mod live;
pub mod message;
pub mod push;
pub mod resource;

use std::collections::BTreeMap;

use crate::clock;
use crate::metrics::definition::{Quantity, Rate, Unit};
use crate::metrics::observed::Observed;
use crate::metrics::per_request::Derived;
use crate::metrics::percentile::Percentile;
use crate::record::request_record::{Outcome, Part, Records, RequestRecord};
use crate::report::{Experiment, PointReport, json_word};
use message::{
    CUMULATIVE, Data, ExportMetricsServiceRequest, Histogram, HistogramDataPoint, KeyValue, Metric,
    NumberDataPoint, Value, attribute, gauge, metric, request, text,
};

/// Bounds of buckets, in seconds and in tokens, as the conventions advise them.
const DURATION: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PER_TOKEN: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Nanoseconds since 1970, now.
fn unix_ns() -> u64 {
    let now = clock::now();
    u64::try_from((now + clock::wall_offset().ahead).0).unwrap_or(0)
}

/// A histogram of the conventions: its name, what it is, its unit, its bounds.
type Kind = (&'static str, &'static str, &'static str, &'static [f64]);

const KINDS: [Kind; 5] = [
    (
        "gen_ai.server.request.duration",
        "Request latency, from submit to the last token",
        "s",
        DURATION,
    ),
    ("gen_ai.server.time_to_first_token", "Time to first token, from submit", "s", FIRST_TOKEN),
    (
        "gen_ai.server.time_per_output_token",
        "Time per output token after the first delivery",
        "s",
        PER_TOKEN,
    ),
    (
        "gen_ai.client.operation.duration",
        "The request as the client saw it, from submit to the end of its stream, failed ones included",
        "s",
        DURATION,
    ),
    ("gen_ai.client.token.usage", "Tokens of prompt and output", "{token}", TOKENS),
];

/// The results of a run: histograms of its measured requests, and what our own summary says.
pub fn of_run(
    shown: &Experiment,
    started_ns: u64,
    records: &[Records],
) -> ExportMetricsServiceRequest {
    let run = shown.folder.rsplit('/').next().unwrap_or_default();
    let resource = resource::attributes(&shown.target, run, &shown.declared);
    let span = (started_ns, unix_ns());
    let mut points: BTreeMap<&'static str, Vec<HistogramDataPoint>> = BTreeMap::new();
    for (point, records) in shown.points.iter().zip(records) {
        let common = common(shown, point);
        for (name, own, values) in distributions(records, point.summary.streaming) {
            let bounds = KINDS.iter().find(|kind| kind.0 == name).map_or(DURATION, |kind| kind.3);
            let attributes = common.iter().cloned().chain(own).collect();
            points.entry(name).or_default().push(histogram(&values, bounds, span, attributes));
        }
    }
    let mut metrics: Vec<Metric> = KINDS
        .iter()
        .filter_map(|(name, words, unit, _)| {
            let data_points = points.remove(name)?;
            let histogram = Histogram { data_points, aggregation_temporality: CUMULATIVE };
            Some(metric(name, words, unit, Data::Histogram(histogram)))
        })
        .collect();
    metrics.extend(own_metrics(shown, span));
    request(resource, metrics)
}

/// What the conventions want with every value, and which point it is of.
fn common(shown: &Experiment, point: &PointReport) -> Vec<KeyValue> {
    let details = &shown.target.details;
    let model = details.get("model").and_then(serde_json::Value::as_str);
    let operation = match details.get("endpoint").and_then(serde_json::Value::as_str) {
        Some("chat") => "chat",
        Some("embeddings") => "embeddings",
        _ => "text_completion",
    };
    let engine = shown.declared.server.engine.clone();
    vec![
        text("gen_ai.operation.name", operation),
        text("gen_ai.provider.name", engine.unwrap_or_else(|| shown.target.kind.clone())),
        text("gen_ai.request.model", model.unwrap_or(&shown.target.name)),
        text("bareflight.point", point.label.as_str()),
    ]
}

/// Values of one metric that share their attributes.
type Distribution = (&'static str, Vec<KeyValue>, Vec<f64>);

/// Values of the measured requests that were sent.
fn distributions(records: &Records, streaming: bool) -> Vec<Distribution> {
    let measured = || {
        records
            .iter()
            .map(|(record, _)| record)
            .filter(|it| it.part == Part::Measured && it.submit.is_some())
    };
    let completed: Vec<Observed> =
        measured().filter(|it| is_completed(it)).map(Observed::of).collect();
    let of = |quantity: Quantity, factor: f64| -> Vec<f64> {
        let values = completed.iter().filter_map(|it| Derived::one(quantity, it, streaming));
        values.map(|value| value * factor).collect()
    };
    let kind = |name: &str| vec![text("gen_ai.token.type", name)];
    let mut all = vec![
        (KINDS[0].0, Vec::new(), of(Quantity::E2e, 1e-3)),
        (KINDS[1].0, Vec::new(), of(Quantity::Ttft, 1e-3)),
        (KINDS[2].0, Vec::new(), of(Quantity::Tpot, 1e-3)),
        (KINDS[4].0, kind("input"), of(Quantity::PromptTokens, 1.0)),
        (KINDS[4].0, kind("output"), of(Quantity::OutputTokens, 1.0)),
    ];
    let mut by_end: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for record in measured() {
        let ended = record.submit.zip(record.end.or(record.last_token));
        if let Some((submit, end)) = ended {
            by_end.entry(failure_of(record)).or_default().push((end - submit).as_secs_f64());
        }
    }
    for (failure, values) in by_end {
        let own = Some(failure).filter(|it| !it.is_empty()).map(|it| text("error.type", it));
        all.push((KINDS[3].0, own.into_iter().collect(), values));
    }
    all.retain(|(_, _, values)| !values.is_empty());
    all
}

fn is_completed(record: &RequestRecord) -> bool {
    matches!(record.outcome, Outcome::Completed(_))
}

/// A word for how it failed; empty where it did not.
fn failure_of(record: &RequestRecord) -> &'static str {
    match &record.outcome {
        Outcome::Completed(_) => "",
        Outcome::Failed(failure) => failure.kind.word(),
        Outcome::Cancelled => "cancelled",
        Outcome::TimedOut => "timed_out",
        Outcome::NotSent(_) => "not_sent",
    }
}

fn histogram(
    values: &[f64],
    bounds: &[f64],
    (start, end): (u64, u64),
    attributes: Vec<KeyValue>,
) -> HistogramDataPoint {
    let mut counts = vec![0; bounds.len() + 1];
    for value in values {
        // A bucket has its upper bound and not its lower one.
        counts[bounds.partition_point(|bound| bound < value)] += 1;
    }
    HistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: end,
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        bucket_counts: counts,
        explicit_bounds: bounds.to_vec(),
        attributes,
        min: values.iter().copied().reduce(f64::min),
        max: values.iter().copied().reduce(f64::max),
    }
}

/// Our summary, under our own names: rates, percentiles and the verdict of each point, with its marks.
fn own_metrics(shown: &Experiment, span: (u64, u64)) -> Vec<Metric> {
    let number = |point: &PointReport, value: f64, more: Option<KeyValue>| {
        let marks = point.summary.marks.iter().map(json_word).collect::<Vec<_>>().join(" ");
        let own = [text("bareflight.point", point.label.as_str()), text("bareflight.marks", marks)];
        NumberDataPoint {
            start_time_unix_nano: span.0,
            time_unix_nano: span.1,
            as_double: Some(value),
            attributes: own.into_iter().chain(more).collect(),
        }
    };
    let mut metrics = Vec::new();
    let verdicts = shown.points.iter().map(|point| {
        number(point, 1.0, Some(text("bareflight.verdict", json_word(&point.summary.verdict))))
    });
    let words = "1 for the verdict of each point";
    metrics.push(gauge("bareflight.verdict", words, "1", verdicts.collect()));
    for rate in Rate::ALL {
        let definition = rate.definition();
        let values = shown.points.iter();
        let values: Vec<NumberDataPoint> = values
            .filter_map(|point| Some(number(point, point.summary.rate(rate)?, None)))
            .collect();
        if !values.is_empty() {
            let name = format!("bareflight.{}", definition.key);
            metrics.push(gauge(&name, definition.label, "1", values));
        }
    }
    for quantity in Quantity::ALL {
        let definition = quantity.definition();
        let (name, unit, factor) = match definition.unit {
            Unit::Ms => (definition.id, "s", 1e-3),
            _ => (definition.key, "1", 1.0),
        };
        let mut values = Vec::new();
        for point in &shown.points {
            let Some(all) = point.summary.distribution(quantity) else { continue };
            for which in Percentile::ALL {
                let Some(value) = all.percentiles.get(&which) else { continue };
                let quantile = f64::from(which.permille()) / 1_000.0;
                let quantile = attribute("quantile", Value::Double(quantile));
                values.push(number(point, value.value * factor, Some(quantile)));
            }
        }
        if !values.is_empty() {
            metrics.push(gauge(&format!("bareflight.{name}"), definition.label, unit, values));
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_upper_bound_and_not_its_lower_one() {
        let point = histogram(&[0.5, 1.0, 1.5, 9.0], &[1.0, 2.0], (1, 2), Vec::new());
        assert_eq!(point.bucket_counts, [2, 1, 1]);
        assert_eq!((point.count, point.sum), (4, Some(12.0)));
        assert_eq!((point.min, point.max), (Some(0.5), Some(9.0)));
    }

    #[test]
    fn bounds_of_buckets_go_up() {
        for (name, _, _, bounds) in KINDS {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        }
    }
}
