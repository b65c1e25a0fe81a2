//! Prometheus metrics of the server: counters and histograms under vLLM's names.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::clock::Nanos;
use crate::record::event::Ending;
use crate::record::request_record::FinishReason;

/// Upper bounds in seconds, three to a decade, from 1 ms (100 µs between tokens) on.
const TTFT: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];
const INTER_TOKEN: [f64; 13] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
const E2E: [f64; 13] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

#[derive(Debug)]
struct Histogram<const N: usize> {
    bounds: [f64; N],
    /// Not cumulative; the last is above every bound.
    counts: [AtomicU64; N],
    above: AtomicU64,
    sum_ns: AtomicI64,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [f64; N]) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, counts, above: AtomicU64::new(0), sum_ns: AtomicI64::new(0) }
    }

    #[inline]
    fn note(&self, each: Nanos, times: u64) {
        let seconds = each.as_secs_f64();
        let place = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts.get(place).unwrap_or(&self.above).fetch_add(times, Relaxed);
        self.sum_ns.fetch_add(each.0 * times as i64, Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        head(text, name, help, "histogram");
        let mut so_far = 0;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            so_far += count.load(Relaxed);
            line(text, &format!("{name}_bucket{{le=\"{bound}\"}}"), so_far);
        }
        so_far += self.above.load(Relaxed);
        line(text, &format!("{name}_bucket{{le=\"+Inf\"}}"), so_far);
        line(text, &format!("{name}_sum"), Nanos(self.sum_ns.load(Relaxed)).as_secs_f64());
        line(text, &format!("{name}_count"), so_far);
    }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a string cannot fail, here and below.
    let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _infallible = writeln!(text, "{name} {value}");
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    waiting: AtomicI64,
    running: AtomicI64,
    accepted: AtomicU64,
    rejected: AtomicU64,
    length: AtomicU64,
    stop: AtomicU64,
    cancelled: AtomicU64,
    failed: AtomicU64,
    gone: AtomicU64,
    prompt_tokens: AtomicU64,
    generation_tokens: AtomicU64,
    /// Of requests that completed, in nanoseconds.
    completed_ns: AtomicI64,
    ttft: Histogram<14>,
    inter_token: Histogram<13>,
    e2e: Histogram<13>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            waiting: AtomicI64::default(),
            running: AtomicI64::default(),
            accepted: AtomicU64::default(),
            rejected: AtomicU64::default(),
            length: AtomicU64::default(),
            stop: AtomicU64::default(),
            cancelled: AtomicU64::default(),
            failed: AtomicU64::default(),
            gone: AtomicU64::default(),
            prompt_tokens: AtomicU64::default(),
            generation_tokens: AtomicU64::default(),
            completed_ns: AtomicI64::default(),
            ttft: Histogram::new(TTFT),
            inter_token: Histogram::new(INTER_TOKEN),
            e2e: Histogram::new(E2E),
        }
    }
}

/// Requests that are over, and how long they took all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Completed.
    pub completed: u64,
    /// From hand-over to end, in nanoseconds, summed over completed requests.
    pub completed_ns: u64,
    /// Failed or cancelled.
    pub failed: u64,
}

impl Metrics {
    /// A request was turned away, by us or by the engine.
    pub fn rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    /// The engine has taken a request.
    pub fn accepted(&self, prompt_tokens: u32) {
        self.accepted.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
        self.prompt_tokens.fetch_add(prompt_tokens.into(), Relaxed);
    }

    /// The client disconnected before the end.
    pub fn cancelled(&self) {
        self.gone.fetch_add(1, Relaxed);
    }

    /// The first output of a request, so long after it was handed over.
    #[inline]
    pub fn first_output(&self, after: Nanos, tokens: u64) {
        self.waiting.fetch_sub(1, Relaxed);
        self.running.fetch_add(1, Relaxed);
        self.generation_tokens.fetch_add(tokens, Relaxed);
        self.ttft.note(after, 1);
    }

    /// The output of a request that is not streamed: it has no first token of its own.
    #[inline]
    pub fn whole_output(&self, tokens: u64) {
        self.waiting.fetch_sub(1, Relaxed);
        self.running.fetch_add(1, Relaxed);
        self.tokens(tokens);
    }

    /// Output that came along with the output before.
    #[inline]
    pub fn tokens(&self, tokens: u64) {
        self.generation_tokens.fetch_add(tokens, Relaxed);
    }

    /// Further output, so long after the output before; several tokens share the gap evenly.
    #[inline]
    pub fn output(&self, after: Nanos, tokens: u64) {
        self.generation_tokens.fetch_add(tokens, Relaxed);
        self.inter_token.note(Nanos(after.0 / tokens.max(1) as i64), tokens);
    }

    /// A request is over.
    pub fn ended(&self, had_output: bool, ending: &Ending, after: Nanos) {
        let state = if had_output { &self.running } else { &self.waiting };
        state.fetch_sub(1, Relaxed);
        let count = match ending {
            Ending::Completed(reason) => {
                self.e2e.note(after, 1);
                self.completed_ns.fetch_add(after.0, Relaxed);
                match reason {
                    FinishReason::EndToken | FinishReason::StopWords => &self.stop,
                    FinishReason::Length | FinishReason::Unknown | FinishReason::Other(_) => {
                        &self.length
                    }
                }
            }
            Ending::Cancelled | Ending::TimedOut => &self.cancelled,
            Ending::Failed(_) => &self.failed,
        };
        count.fetch_add(1, Relaxed);
    }

    /// Requests that are over.
    pub fn totals(&self) -> Totals {
        Totals {
            completed: self.length.load(Relaxed) + self.stop.load(Relaxed),
            completed_ns: self.completed_ns.load(Relaxed).unsigned_abs(),
            failed: self.failed.load(Relaxed) + self.cancelled.load(Relaxed),
        }
    }

    /// All of it in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(4096);
        for (name, help, value) in [
            ("num_requests_running", "Requests whose output has begun.", &self.running),
            ("num_requests_waiting", "Requests handed over, without output so far.", &self.waiting),
        ] {
            let name = format!("bareflight_{name}");
            head(&mut text, &name, help, "gauge");
            line(&mut text, &name, value.load(Relaxed));
        }
        for (name, help, value) in [
            ("requests", "Requests that the engine took.", &self.accepted),
            ("requests_rejected", "Requests turned away by limits or engine.", &self.rejected),
            ("requests_abandoned", "Requests whose client went away early.", &self.gone),
            ("prompt_tokens", "Prompt tokens of requests taken.", &self.prompt_tokens),
            ("generation_tokens", "Output tokens.", &self.generation_tokens),
        ] {
            let name = format!("bareflight_{name}_total");
            head(&mut text, &name, help, "counter");
            line(&mut text, &name, value.load(Relaxed));
        }
        let name = "bareflight_request_ends_total";
        head(&mut text, name, "Requests that are over, by how they ended.", "counter");
        for (reason, value) in [
            ("length", &self.length),
            ("stop", &self.stop),
            ("cancelled", &self.cancelled),
            ("failed", &self.failed),
        ] {
            line(&mut text, &format!("{name}{{reason=\"{reason}\"}}"), value.load(Relaxed));
        }
        let since = "from the hand-over to the engine";
        let (ttft, e2e) = (format!("First output, {since}."), format!("End of output, {since}."));
        self.ttft.write(&mut text, "bareflight_time_to_first_token_seconds", &ttft);
        let gaps = "Gap between outputs of a request, per token.";
        self.inter_token.write(&mut text, "bareflight_inter_token_latency_seconds", gaps);
        self.e2e.write(&mut text, "bareflight_e2e_request_latency_seconds", &e2e);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in:\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn a_request_is_waiting_then_running_then_over() {
        let metrics = Metrics::default();
        let gauges = || {
            let text = metrics.render();
            let gauge = |name| value(&text, &format!("bareflight_num_requests_{name}"));
            (gauge("waiting"), gauge("running"))
        };
        metrics.accepted(5);
        metrics.accepted(5);
        assert_eq!(gauges(), (2.0, 0.0));
        metrics.first_output(Nanos::from_millis(30), 1);
        assert_eq!(gauges(), (1.0, 1.0));
        metrics.ended(true, &Ending::Completed(FinishReason::Length), Nanos::from_millis(90));
        metrics.ended(false, &Ending::Cancelled, Nanos::from_millis(9));
        assert_eq!(gauges(), (0.0, 0.0));
        assert_eq!(metrics.totals(), Totals { completed: 1, completed_ns: 90_000_000, failed: 1 });
    }

    #[test]
    fn buckets_are_cumulative_and_a_gap_counts_once_per_token() {
        let metrics = Metrics::default();
        metrics.output(Nanos::from_millis(4), 1);
        metrics.output(Nanos::from_millis(30), 3);
        metrics.output(Nanos::from_millis(5_000), 1);
        let text = metrics.render();
        let at_most = |le: &str| {
            value(&text, &format!("bareflight_inter_token_latency_seconds_bucket{{le=\"{le}\"}}"))
        };
        assert_eq!((at_most("0.002"), at_most("0.005"), at_most("0.01")), (0.0, 1.0, 4.0));
        assert_eq!((at_most("1"), at_most("+Inf")), (4.0, 5.0));
        assert!((value(&text, "bareflight_inter_token_latency_seconds_sum") - 5.034).abs() < 1e-9);
    }
}
