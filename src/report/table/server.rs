//! Console line of a server's own metrics.

use crate::metrics::definition::Unit;
use crate::observe::server_metrics::over_window::ServerUse;
use crate::report::figures::{figure, with_unit};

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
        parts.push("no answer within the window: these are the closest to it".into());
    }
    if told.unanswered > 0 {
        parts.push(format!("{} questions without an answer", told.unanswered));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

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
