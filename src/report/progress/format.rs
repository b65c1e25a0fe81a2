//! Text of the progress display: counts, rates, live latencies.

use crate::clock::Nanos;
use crate::record::request_record::Part;
use crate::report::figures::figure;
use crate::report::progress::{Look, Totals};

impl Look {
    /// How much of the phase is over, from 0 to 1: by requests or by time, whichever will end it first.
    pub(super) fn share(&self, totals: Totals) -> f64 {
        let by_requests = self.snapshot.measured_ended as f64 / totals.requests.max(1) as f64;
        let by_time = totals.duration.filter(|duration| *duration > Nanos::ZERO);
        let by_time = by_time.map(|duration| self.elapsed.as_secs_f64() / duration.as_secs_f64());
        by_time.map_or(by_requests, |share| share.max(by_requests)).clamp(0.0, 1.0)
    }

    /// `120/200 requests · 12.3 req/s · 456 tok/s · 8 in flight`.
    pub(super) fn counts(&self, totals: Totals) -> String {
        let mut parts = vec![match totals.duration {
            Some(duration) => format!(
                "{:.0}/{} s · {} requests",
                self.elapsed.as_secs_f64(),
                figure_of_seconds(duration),
                self.snapshot.measured_ended
            ),
            None => format!("{}/{} requests", self.snapshot.measured_ended, totals.requests),
        }];
        match self.snapshot.part {
            Part::Ramp | Part::Tail if self.snapshot.since.is_some() => {
                parts.insert(0, self.snapshot.part.word().to_owned());
            }
            Part::Ramp | Part::Measured | Part::Tail => {}
        }
        if let Some(speed) = self.speed {
            parts.push(format!("{} req/s", figure(speed.requests_per_s)));
            if !self.answers_without_tokens() {
                parts.push(format!("{} tok/s", figure(speed.tokens_per_s)));
            }
        }
        parts.push(format!("{} in flight", self.in_flight));
        if self.snapshot.failed > 0 {
            parts.push(format!("{} FAILED", self.snapshot.failed));
        }
        parts.join(" · ")
    }

    /// Whether requests complete and none has brought a token, as embeddings do: nothing is then said of tokens.
    pub(super) fn answers_without_tokens(&self) -> bool {
        self.snapshot.output_tokens == 0 && self.snapshot.latency_p50.is_some()
    }

    /// `live: TTFT p50 12.3 p99 45.6 ms · ITL p50 1.2 p99 3.4 ms`: approximate, and said so.
    pub(super) fn latencies(&self) -> String {
        let seen = &self.snapshot;
        if self.answers_without_tokens()
            && let Some((p50, p99)) = seen.latency_p50.zip(seen.latency_p99)
        {
            let (p50, p99) = (figure(p50.as_millis_f64()), figure(p99.as_millis_f64()));
            return format!("live: latency p50 {p50} p99 {p99} ms");
        }
        let pair = |name: &str, p50: Option<Nanos>, p99: Option<Nanos>| {
            let (p50, p99) = (p50?.as_millis_f64(), p99?.as_millis_f64());
            Some(format!("{name} p50 {} p99 {} ms", figure(p50), figure(p99)))
        };
        let pairs: Vec<String> =
            [pair("TTFT", seen.ttft_p50, seen.ttft_p99), pair("ITL", seen.itl_p50, seen.itl_p99)]
                .into_iter()
                .flatten()
                .collect();
        if pairs.is_empty() {
            "live: no token yet".to_owned()
        } else {
            format!("live: {}", pairs.join(" · "))
        }
    }
}

/// As typed: `30`, `0.5`.
fn figure_of_seconds(span: Nanos) -> String {
    span.as_secs_f64().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MonoNs;
    use crate::record::live::Snapshot;
    use crate::report::progress::Speed;

    fn look() -> Look {
        Look {
            snapshot: Snapshot {
                since: Some(MonoNs(0)),
                submitted: 128,
                ended: 120,
                failed: 2,
                measured_ended: 120,
                part: Part::Measured,
                output_tokens: 4_800,
                ttft_p50: Some(Nanos(12_340_000)),
                ttft_p99: Some(Nanos(45_600_000)),
                itl_p50: None,
                itl_p99: None,
                latency_p50: Some(Nanos(60_000_000)),
                latency_p99: Some(Nanos(90_000_000)),
                ..Snapshot::default()
            },
            elapsed: Nanos::from_secs_f64(9.6),
            in_flight: 8,
            speed: Some(Speed { submitted_per_s: 13.0, requests_per_s: 12.5, tokens_per_s: 500.0 }),
        }
    }

    #[test]
    fn failures_are_shown_as_soon_as_there_are_any() {
        let totals = Totals { requests: 200, duration: None };
        let words = look().counts(totals);
        assert_eq!(words, "120/200 requests · 12.50 req/s · 500.0 tok/s · 8 in flight · 2 FAILED");
    }

    #[test]
    fn ramp_and_tail_are_named_and_do_not_count() {
        let totals = Totals { requests: 200, duration: None };
        let mut tail = look();
        (tail.snapshot.part, tail.snapshot.measured_ended) = (Part::Tail, 90);
        assert!(tail.counts(totals).starts_with("tail · 90/200 requests · "));
    }

    #[test]
    fn a_latency_that_nobody_has_seen_is_left_out_and_the_others_are_called_live() {
        assert_eq!(look().latencies(), "live: TTFT p50 12.34 p99 45.60 ms");
    }

    #[test]
    fn of_answers_without_tokens_such_as_embeddings_nothing_is_said_of_tokens() {
        let mut embeddings = look();
        let seen = &mut embeddings.snapshot;
        (seen.output_tokens, seen.ttft_p50, seen.ttft_p99) = (0, None, None);
        assert_eq!(embeddings.latencies(), "live: latency p50 60.00 p99 90.00 ms");
        let words = embeddings.counts(Totals { requests: 200, duration: None });
        assert!(words.contains("req/s") && !words.contains("tok/s"), "{words}");
        // Before the first answer nobody knows what will come.
        embeddings.snapshot.latency_p50 = None;
        assert_eq!(embeddings.latencies(), "live: no token yet");
    }

    #[test]
    fn a_phase_is_as_far_as_the_end_that_is_nearer() {
        let share = |requests, seconds: Option<f64>| {
            look().share(Totals { requests, duration: seconds.map(Nanos::from_secs_f64) })
        };
        assert!((share(200, None) - 0.6).abs() < 1e-9);
        assert!((share(100_000, Some(12.0)) - 0.8).abs() < 1e-9);
        assert!((share(10, Some(12.0)) - 1.0).abs() < 1e-9);
        assert!((share(0, None) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn where_time_ends_the_phase_it_is_time_that_is_shown() {
        let totals = Totals { requests: 9_999, duration: Some(Nanos::from_secs_f64(30.0)) };
        assert!(look().counts(totals).starts_with("10/30 s · 120 requests · "));
    }
}
