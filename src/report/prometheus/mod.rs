//! Results and live figures in Prometheus' text format.

pub mod server;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::clock::Nanos;
use crate::metrics::definition::{Definition, Quantity, Rate, Unit};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::Mark;
use crate::record::live::Snapshot;
use crate::report::{PointReport, json_word, mark_words, notes};
use crate::settings::declared::Declared;

/// Figures of the point that runs.
#[derive(Debug, Clone)]
pub struct Live {
    /// Which point, or its warm-up.
    pub label: String,
    /// As published last.
    pub snapshot: Snapshot,
    /// Requests in flight.
    pub in_flight: u32,
}

/// What is known before a point has ended.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What answers.
    pub target: String,
    /// What every number of it must say.
    pub marks: Vec<Mark>,
    /// What the user says of server and run.
    pub declared: Declared,
}

/// The text of points that were measured, and of the one that runs.
pub fn render(origin: &Origin, points: &[PointReport], live: Option<&Live>) -> String {
    let mut text = String::new();
    let measured = points.iter().flat_map(|point| point.summary.marks.iter().copied());
    let marks: BTreeSet<Mark> = origin.marks.iter().copied().chain(measured).collect();
    let marks = mark_words(marks);
    let label = |name: &str, value: Option<String>| {
        value.map_or_else(String::new, |value| format!(",{name}=\"{}\"", escape(&value)))
    };
    let info = format!(
        "{{version=\"{}\",target=\"{}\",marks=\"{marks}\"{}{}}}",
        env!("CARGO_PKG_VERSION"),
        escape(&origin.target),
        label("server", origin.declared.server.line()),
        label("notes", origin.declared.notes_line())
    );
    family(&mut text, "bareflight_info", "This program and its target.", "gauge");
    line(&mut text, "bareflight_info", &info, 1.0);
    if let Some(live) = live {
        of_live(&mut text, live);
    }
    of_points(&mut text, points);
    text
}

fn of_live(text: &mut String, live: &Live) {
    let Live { label, snapshot, in_flight } = live;
    let labels = format!("{{point=\"{}\"}}", escape(label));
    let counters = [
        ("submitted", "Requests submitted at this point.", snapshot.submitted),
        ("ended", "Of these, ended, in whatever way.", snapshot.ended),
        ("failed", "Of these, failed or timed out.", snapshot.failed),
        ("output_tokens", "Output tokens so far at this point.", snapshot.output_tokens),
    ];
    for (name, help, value) in counters {
        let name = format!("bareflight_live_{name}_total");
        family(text, &name, help, "counter");
        line(text, &name, &labels, value as f64);
    }
    family(text, "bareflight_live_in_flight", "Requests in flight.", "gauge");
    line(text, "bareflight_live_in_flight", &labels, f64::from(*in_flight));
    let latencies = [
        ("ttft", "Time to first token, approximate.", [snapshot.ttft_p50, snapshot.ttft_p99]),
        ("itl", "Inter-token latency, approximate.", [snapshot.itl_p50, snapshot.itl_p99]),
    ];
    for (name, help, values) in latencies {
        let name = format!("bareflight_live_{name}_seconds");
        family(text, &name, help, "gauge");
        for (quantile, value) in ["0.5", "0.99"].into_iter().zip(values) {
            let labels = format!("{{point=\"{}\",quantile=\"{quantile}\"}}", escape(label));
            if let Some(seconds) = value.map(Nanos::as_secs_f64) {
                line(text, &name, &labels, seconds);
            }
        }
    }
}

fn of_points(text: &mut String, points: &[PointReport]) {
    if points.is_empty() {
        return;
    }
    let point = |it: &PointReport| format!("point=\"{}\"", escape(&it.label));
    family(text, "bareflight_verdict", "1 for the verdict of each point.", "gauge");
    for it in points {
        let labels = format!("{{{},verdict=\"{}\"}}", point(it), json_word(&it.summary.verdict));
        line(text, "bareflight_verdict", &labels, 1.0);
    }
    family(text, "bareflight_requests", "Requests of each point, as they ended.", "gauge");
    for it in points {
        let counts = &it.summary.counts;
        for (state, count) in [("attempted", counts.attempted), ("completed", counts.completed)] {
            let labels = format!("{{{},state=\"{state}\"}}", point(it));
            line(text, "bareflight_requests", &labels, count as f64);
        }
    }
    family(text, "bareflight_warning", "1 for each warning code of a point.", "gauge");
    for it in points {
        for code in notes::codes_of(it) {
            let labels = format!("{{{},code=\"{code}\"}}", point(it));
            line(text, "bareflight_warning", &labels, 1.0);
        }
    }
    for rate in Rate::ALL {
        let definition = rate.definition();
        let values = points.iter().map(|it| (format!("{{{}}}", point(it)), it.summary.rate(rate)));
        of_metric(text, definition, &format!("bareflight_{}", definition.key), values);
    }
    for quantity in Quantity::ALL {
        let (name, factor) = base_unit(quantity.definition());
        let values = points.iter().flat_map(|it| {
            let all = it.summary.distribution(quantity);
            Percentile::ALL.into_iter().map(move |which| {
                let value = all.and_then(|all| all.percentiles.get(&which)).map(|it| it.value);
                let labels = format!(
                    "{{{},quantile=\"{}\"}}",
                    point(it),
                    f64::from(which.permille()) / 1_000.0
                );
                (labels, value.map(|value| value * factor))
            })
        });
        of_metric(text, quantity.definition(), &name, values);
    }
}

/// Prometheus wants seconds.
fn base_unit(definition: &Definition) -> (String, f64) {
    match definition.unit {
        Unit::Ms => (format!("bareflight_{}_seconds", definition.id), 1e-3),
        _ => (format!("bareflight_{}", definition.key), 1.0),
    }
}

fn of_metric(
    text: &mut String,
    definition: &Definition,
    name: &str,
    values: impl Iterator<Item = (String, Option<f64>)>,
) {
    let mut is_first = true;
    for (labels, value) in values {
        let Some(value) = value else { continue };
        if std::mem::take(&mut is_first) {
            family(text, name, definition.label, "gauge");
        }
        line(text, name, &labels, value);
    }
}

fn family(text: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a string cannot fail, here and below.
    let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: f64) {
    let _infallible = writeln!(text, "{name}{labels} {value}");
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_point_has_counters_and_quantiles_in_seconds() {
        let snapshot = Snapshot {
            submitted: 7,
            ttft_p50: Some(Nanos::from_millis(20)),
            ..Snapshot::default()
        };
        let live = Live { label: "concurrency \"8\"".to_owned(), snapshot, in_flight: 3 };
        let mut declared = Declared::default();
        declared.server.engine = Some("vLLM \"nightly\"".to_owned());
        let origin = Origin { target: "sim:x".into(), marks: vec![Mark::Simulated], declared };
        let text = render(&origin, &[], Some(&live));
        assert!(text.contains("marks=\"simulated\",server=\"vLLM \\\"nightly\\\"\"}"), "{text}");
        for wanted in [
            "bareflight_live_submitted_total{point=\"concurrency \\\"8\\\"\"} 7\n",
            "bareflight_live_in_flight{point=\"concurrency \\\"8\\\"\"} 3\n",
            "quantile=\"0.5\"} 0.02\n",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!text.contains("0.99"), "what is not known is left out: {text}");
    }
}
