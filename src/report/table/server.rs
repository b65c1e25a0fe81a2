//! Console line and table of a server's own metrics.

use crate::metrics::definition::Unit;
use crate::observe::server_metrics::over_window::ServerUse;
use crate::report::PointReport;
use crate::report::figures::{self, ABSENT, figure, with_unit};
use crate::report::table::lines::{plain_table, printed};

/// What it told, as parts of a sentence; what it did not tell is left out.
pub(super) fn parts(told: &ServerUse) -> Vec<String> {
    let share = |value: f64| with_unit(value, Unit::Fraction);
    let level = |mean: Option<f64>, most: Option<f64>, name: &str| {
        let (mean, most) = mean.zip(most)?;
        Some(format!("{} {name}, {} at most", figure(mean), figure(most)))
    };
    let held = told.kv_used_mean.zip(told.kv_used_max);
    let mut parts: Vec<String> = [
        level(told.running_mean, told.running_max, "running"),
        level(told.waiting_mean, told.waiting_max, "waiting"),
        told.queue_mean_ms.map(|ms| format!("{} ms in the queue", figure(ms))),
        held.map(|(mean, most)| format!("KV cache {} held, {} at most", share(mean), share(most))),
        told.prefix_hit_rate.map(|rate| format!("prefix cache hit {}", share(rate))),
        told.preemptions.map(|count| format!("{count} preemptions")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if told.answers == 0 {
        parts.push("no answer within the window".into());
    }
    if told.unanswered > 0 {
        parts.push(format!("{} questions without an answer", told.unanswered));
    }
    parts
}

/// One line for each point; empty where no server told anything.
pub(super) fn by_point(points: &[PointReport]) -> String {
    let told: Vec<(&str, &ServerUse)> = points
        .iter()
        .filter_map(|point| Some((point.label.as_str(), point.summary.server.as_ref()?)))
        .collect();
    let Some((_, first)) = told.first() else { return String::new() };
    let own = format!("{}'s metrics", first.server);
    let mut table = plain_table(&[
        own.as_str(),
        "running\nmean/max",
        "waiting\nmean/max",
        "queue, ms\nmean",
        "KV cache\nmean/max",
        "prefix\nhits",
        "preempted",
    ]);
    for (label, told) in &told {
        table.add_row(row(label, told));
    }
    format!("\n{}", printed(&table))
}

fn row(label: &str, told: &ServerUse) -> Vec<String> {
    let share = |value: Option<f64>| {
        value.map_or_else(|| ABSENT.to_owned(), |value| with_unit(value, Unit::Fraction))
    };
    let pair = |mean: Option<f64>, most: Option<f64>, show: &dyn Fn(Option<f64>) -> String| match (
        mean, most,
    ) {
        (None, None) => ABSENT.to_owned(),
        both => format!("{}/{}", show(both.0), show(both.1)),
    };
    vec![
        label.to_owned(),
        pair(told.running_mean, told.running_max, &figures::maybe),
        pair(told.waiting_mean, told.waiting_max, &figures::maybe),
        figures::maybe(told.queue_mean_ms),
        pair(told.kv_used_mean, told.kv_used_max, &share),
        share(told.prefix_hit_rate),
        figures::maybe(told.preemptions),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_marks_what_was_not_told() {
        let told =
            ServerUse { kv_used_mean: Some(0.5), kv_used_max: Some(0.75), ..ServerUse::default() };
        let row = row("concurrency 2", &told);
        assert_eq!(row[0], "concurrency 2");
        assert!(row[4].contains("50") && row[4].contains("/75"), "{row:?}");
        assert!(row[1] == ABSENT && row[6] == ABSENT, "{row:?}");
    }

    #[test]
    fn what_a_server_did_not_tell_is_left_out() {
        let mut told = ServerUse {
            server: "vLLM".into(),
            answers: 4,
            running_mean: Some(3.0),
            running_max: Some(4.0),
            ..ServerUse::default()
        };
        assert_eq!(parts(&told), ["3.00 running, 4.00 at most"]);
        told.preemptions = Some(2.0);
        told.unanswered = 1;
        let text = parts(&told).join(" · ");
        assert!(text.ends_with("2 preemptions · 1 questions without an answer"), "{text}");
    }
}
