//! Live figures to a collector: one thread reads the recorder's snapshot every few seconds and posts it.

use std::env;
use std::fmt;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::message::{
    CUMULATIVE, Data, ExportMetricsServiceRequest, KeyValue, Metric, NumberDataPoint, Sum, gauge,
    metric, request, text,
};
use super::push::{WHILE_RUNNING, post_or_tell};
use super::unix_ns;
use crate::clock::Nanos;
use crate::record::live::{LiveSnapshot, Snapshot};
use crate::report::background_thread::BackgroundThread;
use crate::settings::otlp_address::OtlpAddress;
use crate::threads::Own;

/// How often, unless `OTEL_METRIC_EXPORT_INTERVAL` says otherwise.
const INTERVAL: Duration = Duration::from_secs(5);

/// The phase that runs.
struct Phase {
    label: String,
    since: u64,
    live: Arc<LiveSnapshot>,
    in_flight: Box<dyn Fn() -> u32 + Send>,
}

#[derive(Default)]
struct State {
    resource: Vec<KeyValue>,
    phase: Option<Phase>,
}

/// Posts until it is dropped.
pub struct LivePusher {
    state: Arc<Mutex<State>>,
    _thread: BackgroundThread<Sender<()>>,
}

impl fmt::Debug for LivePusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LivePusher").finish_non_exhaustive()
    }
}

impl LivePusher {
    /// Begins to post.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(address: OtlpAddress) -> io::Result<Self> {
        let given = env::var("OTEL_METRIC_EXPORT_INTERVAL").ok().and_then(|it| it.parse().ok());
        let interval = given.map_or(INTERVAL, Duration::from_millis);
        let state = Arc::<Mutex<State>>::default();
        let (over, is_over) = channel::<()>();
        let shown = Arc::clone(&state);
        let thread = BackgroundThread::start(Own::Otlp, over, move || {
            while is_over.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let message = lock(&shown).message();
                if let Some(message) = message {
                    post_or_tell(&address, &message, WHILE_RUNNING);
                }
            }
        })?;
        Ok(Self { state, _thread: thread })
    }

    /// A target is about to be measured.
    pub fn begun(&self, resource: Vec<KeyValue>) {
        lock(&self.state).resource = resource;
    }

    /// A phase begins.
    pub fn phase(
        &self,
        label: &str,
        live: Arc<LiveSnapshot>,
        in_flight: impl Fn() -> u32 + Send + 'static,
    ) {
        let (label, since, in_flight) = (label.to_owned(), unix_ns(), Box::new(in_flight));
        lock(&self.state).phase = Some(Phase { label, since, live, in_flight });
    }

    /// The phase is over.
    pub fn phase_over(&self) {
        lock(&self.state).phase = None;
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn message(&self) -> Option<ExportMetricsServiceRequest> {
        let phase = self.phase.as_ref()?;
        let metrics = metrics(&phase.label, phase.since, &phase.live.read(), (phase.in_flight)());
        Some(request(self.resource.clone(), metrics))
    }
}

/// Figures of the phase that runs: approximate, as the progress line has them.
fn metrics(label: &str, since: u64, snapshot: &Snapshot, in_flight: u32) -> Vec<Metric> {
    let point = |value: f64, more: Option<KeyValue>| NumberDataPoint {
        start_time_unix_nano: since,
        time_unix_nano: unix_ns(),
        as_double: Some(value),
        attributes: std::iter::once(text("bareflight.point", label)).chain(more).collect(),
    };
    let mut metrics: Vec<Metric> = [
        ("submitted", "Requests submitted at this point", "{request}", snapshot.submitted),
        ("ended", "Of these, ended, in whatever way", "{request}", snapshot.ended),
        ("failed", "Of these, failed or timed out", "{request}", snapshot.failed),
        ("output_tokens", "Output tokens so far at this point", "{token}", snapshot.output_tokens),
    ]
    .into_iter()
    .map(|(name, words, unit, value)| {
        let sum = Sum {
            data_points: vec![point(value as f64, None)],
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        };
        metric(&format!("bareflight.live.{name}"), words, unit, Data::Sum(sum))
    })
    .collect();
    let flying = vec![point(f64::from(in_flight), None)];
    metrics.push(gauge("bareflight.live.in_flight", "Requests in flight", "{request}", flying));
    for (name, words, values) in [
        ("ttft", "Time to first token, approximate", [snapshot.ttft_p50, snapshot.ttft_p99]),
        ("itl", "Inter-token latency, approximate", [snapshot.itl_p50, snapshot.itl_p99]),
        ("latency", "Request latency, approximate", [snapshot.latency_p50, snapshot.latency_p99]),
    ] {
        let known = ["0.5", "0.99"].into_iter().zip(values.map(|it| it.map(Nanos::as_secs_f64)));
        let points: Vec<NumberDataPoint> = known
            .filter_map(|(quantile, value)| Some(point(value?, Some(text("quantile", quantile)))))
            .collect();
        if !points.is_empty() {
            metrics.push(gauge(&format!("bareflight.live.{name}"), words, "s", points));
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_yet_is_left_out() {
        let snapshot = Snapshot {
            submitted: 7,
            ttft_p50: Some(Nanos::from_millis(20)),
            ..Snapshot::default()
        };
        let metrics = metrics("concurrency 8", 1, &snapshot, 3);
        let names: Vec<&str> = metrics.iter().map(|it| it.name.as_str()).collect();
        assert!(names.contains(&"bareflight.live.ttft"), "{names:?}");
        assert!(!names.contains(&"bareflight.live.itl"), "{names:?}");
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert_eq!(sum.data_points[0].as_double, Some(7.0));
    }
}
