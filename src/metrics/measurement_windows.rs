//! Measurement windows: throughput and latency of successive spans, and whether the last three agree.
//!
//! The rule is perf_analyzer's: of the last three windows the largest throughput is at most so many percent above the smallest,
//! and the largest mean latency as well.

use serde::{Deserialize, Serialize};

use crate::clock::MonoNs;
use crate::settings::window_rule::WindowRule;

/// So many windows in a row have to agree.
pub const AGREEING: usize = 3;
/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeasurementWindow {
    /// Requests that completed in it.
    pub completed: u64,
    /// The same per second.
    pub request_throughput_per_s: f64,
    /// Mean latency of these; `None` where there are none.
    pub latency_ms: Option<f64>,
}

/// What a run's windows came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowsOutcome {
    /// How they were cut.
    pub rule: WindowRule,
    /// In order.
    pub windows: Vec<MeasurementWindow>,
    /// The last three agree.
    pub stable: bool,
}

/// Windows of a run that goes on.
#[derive(Debug, Clone)]
pub struct MeasurementWindows {
    outcome: WindowsOutcome,
    /// When the window that is open began.
    begins: Option<MonoNs>,
    completed: u64,
    latencies_ms: f64,
}

impl MeasurementWindows {
    /// Before the first request.
    pub const fn new(rule: WindowRule) -> Self {
        let outcome = WindowsOutcome { rule, windows: Vec::new(), stable: false };
        Self { outcome, begins: None, completed: 0, latencies_ms: 0.0 }
    }

    /// Adds a completed request; whether the windows agree by now.
    pub fn add(&mut self, submit: MonoNs, end: MonoNs) -> bool {
        let mut begins = *self.begins.get_or_insert(submit);
        let interval = self.outcome.rule.interval;
        while end >= begins + interval && !self.outcome.stable {
            self.close();
            begins = begins + interval;
            self.begins = Some(begins);
        }
        self.completed += 1;
        self.latencies_ms += (end - submit).as_millis_f64();
        self.outcome.stable
    }

    fn close(&mut self) {
        let completed = std::mem::take(&mut self.completed);
        let latencies = std::mem::take(&mut self.latencies_ms);
        self.outcome.windows.push(MeasurementWindow {
            completed,
            request_throughput_per_s: completed as f64 / self.outcome.rule.interval.as_secs_f64(),
            latency_ms: (completed > 0).then(|| latencies / completed as f64),
        });
        self.outcome.stable = agree(&self.outcome.windows, self.outcome.rule.percent);
    }

    /// So far.
    pub fn outcome(&self) -> WindowsOutcome {
        self.outcome.clone()
    }
}

/// Whether the last three agree in throughput and latency.
fn agree(windows: &[MeasurementWindow], percent: f64) -> bool {
    let Some(from) = windows.len().checked_sub(AGREEING) else { return false };
    let within = |values: &mut dyn Iterator<Item = Option<f64>>| {
        let Some(values) = values.collect::<Option<Vec<f64>>>() else { return false };
        let most = values.iter().copied().fold(0.0, f64::max);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        least > 0.0 && most / least <= 1.0 + percent / 100.0
    };
    let last = &windows[from..];
    within(&mut last.iter().map(|window| Some(window.request_throughput_per_s)))
        && within(&mut last.iter().map(|window| window.latency_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;

    const SECOND: i64 = 1_000_000_000;

    /// So many requests a second with this latency in each window, one after the other.
    fn windows(of: &[(i64, i64)]) -> WindowsOutcome {
        let rule = WindowRule { interval: Nanos(SECOND), percent: 10.0 };
        let mut windows = MeasurementWindows::new(rule);
        for (index, (requests, latency_ms)) in of.iter().enumerate() {
            for request in 0..*requests {
                let at = index as i64 * SECOND + request * SECOND / requests + 1;
                let end = MonoNs(at);
                let submit = if index + request as usize == 0 {
                    MonoNs(1)
                } else {
                    MonoNs(at - latency_ms * 1_000_000)
                };
                windows.add(submit, end);
            }
        }
        windows.outcome()
    }

    #[test]
    fn three_windows_that_agree_in_throughput_and_latency_are_stable() {
        assert!(windows(&[(100, 5), (100, 5), (102, 5), (1, 5)]).stable);
        assert!(!windows(&[(100, 5), (100, 5), (1, 5)]).stable, "two are not enough");
        assert!(!windows(&[(100, 5), (100, 5), (120, 5), (1, 5)]).stable, "throughput rises");
        assert!(!windows(&[(100, 5), (100, 5), (100, 9), (1, 5)]).stable, "latency rises");
        assert!(
            windows(&[(100, 50), (50, 9), (100, 5), (101, 5), (99, 5), (1, 5)]).stable,
            "the last three count"
        );
    }

    #[test]
    fn a_window_in_which_nothing_completes_agrees_with_none() {
        let outcome = windows(&[(10, 5), (0, 5), (0, 5), (0, 5), (1, 5)]);
        assert_eq!(outcome.windows[1].latency_ms, None);
        assert!(!outcome.stable);
    }
}
