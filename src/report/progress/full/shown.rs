//! What one frame of the full view shows, and how it follows from the phase that runs.

use std::collections::VecDeque;

use crate::clock::{MonoNs, Nanos, now};
use crate::issue::live_phase::LivePhase;
use crate::load::Load;
use crate::metrics::Summary;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::Verdict;
use crate::observe::gpu::sample::GpuSample;
use crate::record::backpressure::Waited;
use crate::record::live::Snapshot;
use crate::record::request_record::Part;
use crate::report::progress::{Look, Recent, Totals};

/// A frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) targets: String,
    pub(super) phase: Option<PhaseShown>,
    pub(super) points: Vec<PointRow>,
    pub(super) notices: Vec<String>,
    pub(super) is_stopping: bool,
}

/// Of the phase that runs, or has just ended.
#[derive(Debug, Clone)]
pub(super) struct PhaseShown {
    pub(super) label: String,
    pub(super) load: Load,
    pub(super) totals: Totals,
    pub(super) look: Look,
    pub(super) waited: Waited,
    pub(super) gpus: Vec<(String, GpuSample)>,
    pub(super) history: History,
}

/// The last looks, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) requests_per_s: VecDeque<u64>,
    pub(super) tokens_per_s: VecDeque<u64>,
    pub(super) in_flight: VecDeque<u64>,
}

impl History {
    /// Looks of a minute.
    const LOOKS: usize = 240;

    pub(super) fn push(&mut self, requests_per_s: f64, tokens_per_s: f64, in_flight: u32) {
        for (series, value) in [
            (&mut self.requests_per_s, requests_per_s.round() as u64),
            (&mut self.tokens_per_s, tokens_per_s.round() as u64),
            (&mut self.in_flight, u64::from(in_flight)),
        ] {
            series.push_back(value);
            while series.len() > Self::LOOKS {
                series.pop_front();
            }
        }
    }
}

/// A point that was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PointRow {
    pub(super) label: String,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) requests_per_s: Option<f64>,
    pub(super) tokens_per_s: Option<f64>,
    pub(super) ttft_ms: Option<(f64, f64)>,
    pub(super) itl_ms: Option<(f64, f64)>,
    pub(super) verdict: Verdict,
}

impl PointRow {
    pub(super) fn of(label: &str, summary: &Summary) -> Self {
        let pair = |quantity| {
            let at = |which| summary.percentile(quantity, which).map(|it| it.value);
            at(Percentile::P50).zip(at(Percentile::P99))
        };
        let counts = &summary.counts;
        Self {
            label: label.to_owned(),
            completed: counts.completed,
            failed: counts.attempted.saturating_sub(counts.completed),
            requests_per_s: summary.rate(Rate::RequestThroughput),
            tokens_per_s: summary.rate(Rate::OutputThroughput),
            ttft_ms: pair(Quantity::Ttft),
            itl_ms: pair(Quantity::Itl),
            verdict: summary.verdict,
        }
    }
}

/// The phase that runs, looked at again and again.
#[derive(Debug)]
pub(super) struct Running {
    label: String,
    totals: Totals,
    live: LivePhase,
    waited_before: Waited,
    recent: Recent,
    before: Option<Snapshot>,
    history: History,
    last: Option<PhaseShown>,
    is_over: bool,
}

impl Running {
    pub(super) fn begin(label: &str, totals: Totals, live: LivePhase) -> Self {
        Self {
            label: label.to_owned(),
            totals,
            waited_before: live.backpressure.so_far(),
            live,
            recent: Recent::default(),
            before: None,
            history: History::default(),
            last: None,
            is_over: false,
        }
    }

    /// Takes the last look: the recorder goes on to another phase.
    pub(super) fn freeze(&mut self) {
        self.look();
        self.is_over = true;
    }

    /// The phase as it stands.
    pub(super) fn look(&mut self) -> PhaseShown {
        match &self.last {
            Some(last) if self.is_over => last.clone(),
            _ => {
                let shown = self.look_now();
                self.last = Some(shown.clone());
                shown
            }
        }
    }

    fn look_now(&mut self) -> PhaseShown {
        let snapshot = self.live.snapshot.read();
        let in_flight = self.live.in_flight.now();
        let at = now();
        self.recent.push(at, &snapshot);
        self.note(&snapshot, in_flight);
        let gpus = self.live.gpus.as_ref().map_or_else(Vec::new, |latest| {
            let name = |sample: &GpuSample| latest.watched.get(sample.gpu as usize);
            let named =
                |sample| (name(&sample).map_or(String::new(), |it| it.name.clone()), sample);
            latest.read().into_iter().map(named).collect()
        });
        PhaseShown {
            label: self.label.clone(),
            load: self.live.load,
            totals: self.totals,
            look: Look {
                elapsed: snapshot.since.map_or(Nanos::ZERO, |since| at - since),
                in_flight,
                speed: self.recent.speed(),
                snapshot,
            },
            waited: self.live.backpressure.so_far() - self.waited_before,
            gpus,
            history: self.history.clone(),
        }
    }

    /// Rates between two snapshots, by their own stamps.
    fn note(&mut self, snapshot: &Snapshot, in_flight: u32) {
        let before = self.before.get_or_insert_with(|| snapshot.clone());
        let span = |from: Option<MonoNs>, to: Option<MonoNs>| Some((to? - from?).as_secs_f64());
        let Some(seconds) = span(before.at, snapshot.at).filter(|seconds| *seconds > 0.0) else {
            return;
        };
        let per_s = |less: u64, more: u64| more.saturating_sub(less) as f64 / seconds;
        let requests = per_s(before.ended, snapshot.ended);
        let tokens = per_s(before.output_tokens, snapshot.output_tokens);
        self.history.push(requests, tokens, in_flight);
        self.before = Some(snapshot.clone());
    }
}

impl PhaseShown {
    /// Until the phase ends by the nearer of its bounds, at the pace so far; `None` before requests that count have ended, or where
    /// only time will tell.
    pub(super) fn left(&self) -> Option<Nanos> {
        let seen = &self.look.snapshot;
        if seen.part != Part::Measured {
            return None;
        }
        let elapsed = self.look.elapsed.as_secs_f64();
        let by_time = self.totals.duration.map(|span| span.as_secs_f64() - elapsed);
        let ended = seen.measured_ended as f64;
        let ahead = self.totals.requests.saturating_sub(seen.measured_ended) as f64;
        let by_requests = (ended > 0.0).then(|| ahead * elapsed / ended);
        let nearer = match (by_time, by_requests) {
            (Some(time), Some(requests)) => Some(time.min(requests)),
            (time, requests) => time.or(requests),
        };
        nearer.map(|seconds| Nanos::from_secs_f64(seconds.max(0.0)))
    }
}
