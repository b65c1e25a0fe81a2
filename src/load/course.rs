//! Course of a loop around its measured requests: the ramp before them, the tail after them, and the window of its rates.

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Nanos, Window};
use crate::load::{Arrivals, Load};

/// What is sent around the measured requests, without a pause between. The default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Before them.
    pub ramp: Ramp,
    /// After them.
    pub tail: Tail,
}

/// Requests that bring a loop to its stationary state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ramp {
    /// The first request is a measured one.
    #[default]
    None,
    /// A closed loop starts its slots over one mean latency, as the warm-up saw it; a ramp ends when as many requests
    /// have ended as are in flight.
    Estimated,
    /// A closed loop starts its slots over this time; an open one sends for this time.
    Over(Nanos),
}

/// Requests that keep the load up behind the measured ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// The last request is a measured one.
    #[default]
    None,
    /// Until the last measured request has ended.
    UntilMeasuredEnd,
}

/// What rates are taken over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// From the first to the last measured submission, between ramp and tail.
    #[default]
    Steady,
    /// From the first submission to the last end, without ramp and tail, as other benchmarks report.
    Whole,
}

impl Course {
    /// Of a load whose rates are taken over such a window; a batch and a replay have neither ramp nor tail.
    pub fn of(load: &Load, window: WindowKind, ramp: Option<Nanos>) -> Self {
        let loops = !is_whole(load);
        let steady = loops && window == WindowKind::Steady;
        Self {
            ramp: match ramp.filter(|_| loops) {
                Some(Nanos::ZERO) => Ramp::None,
                Some(span) => Ramp::Over(span),
                None if steady => Ramp::Estimated,
                None => Ramp::None,
            },
            tail: if steady { Tail::UntilMeasuredEnd } else { Tail::None },
        }
    }

    /// Whether all that is sent is measured.
    pub fn is_plain(self) -> bool {
        self == Self::default()
    }
}

impl WindowKind {
    /// Of a load: a batch and a trace have no steady state.
    #[must_use]
    pub const fn of(self, load: &Load) -> Self {
        match load {
            Load::Batch | Load::Open { arrivals: Arrivals::Replay, .. } => Self::Whole,
            Load::Closed { .. } | Load::Open { .. } => self,
        }
    }
}

/// A batch has no steady state, and a trace is played as it is.
const fn is_whole(load: &Load) -> bool {
    matches!(load, Load::Batch | Load::Open { arrivals: Arrivals::Replay, .. })
}

/// The window of the rates, from the first and the last measured submission and the last end of a measured request; `None`
/// where no request was submitted.
///
/// Submissions of which there is one span no time: the window is then that request's life.
pub fn window_of(
    kind: WindowKind,
    submissions: Option<(MonoNs, MonoNs)>,
    last_end: Option<MonoNs>,
) -> Option<Window> {
    let (start, last) = submissions?;
    let end = match kind {
        WindowKind::Steady if last > start => last,
        // The window does not hold its own end; the last request does belong to it.
        WindowKind::Steady | WindowKind::Whole => last_end.unwrap_or(last) + Nanos(1),
    };
    Some(Window { start, end })
}
