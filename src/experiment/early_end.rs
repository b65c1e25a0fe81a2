//! Early end of a point: windows that agree, or a rate that is found to be too high, seen while requests end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::load::Load;
use crate::load::plan::Plan;
use crate::metrics::RunFacts;
use crate::metrics::measurement_windows::MeasurementWindows;
use crate::metrics::saturation::Saturation;
use crate::record::request_record::{Part, RequestRecord};
use crate::settings::Resolved;
use crate::settings::window_rule::WindowRule;

/// What may end a point before its time.
#[derive(Debug, Clone)]
pub(super) struct EarlyEnd(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    windows: Option<MeasurementWindows>,
    saturation: Option<Saturation>,
    /// Of a warm-up, whose records no file keeps.
    ended: Vec<RequestRecord>,
}

impl EarlyEnd {
    /// Of a point; `None` where nothing but its own end was asked for.
    pub(super) fn of(resolved: &Resolved, plan: &Plan) -> Option<Self> {
        let rate = match plan.load() {
            Load::Open { rate, .. } => Some(rate),
            Load::Closed { .. } | Load::Batch => None,
        };
        let seen = Seen {
            windows: resolved.windows.map(MeasurementWindows::new),
            saturation: rate.filter(|_| resolved.stop_when_saturated).map(Saturation::new),
            ended: Vec::new(),
        };
        let is_any = seen.windows.is_some() || seen.saturation.is_some();
        is_any.then(|| Self(Arc::new(Mutex::new(seen))))
    }

    /// Of a warm-up that ends as soon as windows agree.
    pub(super) fn when_stable(rule: WindowRule) -> Self {
        let windows = Some(MeasurementWindows::new(rule));
        Self(Arc::new(Mutex::new(Seen { windows, saturation: None, ended: Vec::new() })))
    }

    /// Where no windows have agreed, in words.
    pub(super) fn why_not_stable(&self) -> Option<String> {
        let seen = self.lock();
        let outcome = seen.windows.as_ref()?.outcome();
        let (count, seconds) = (outcome.windows.len(), outcome.rule.interval.as_secs_f64());
        (!outcome.stable).then(|| {
            format!("the warm-up ended unstable: of {count} windows of {seconds} s no three in a row agreed")
        })
    }

    /// Adds a request that has ended; whether the point is to end.
    pub(super) fn add(&self, record: &RequestRecord) -> bool {
        let (Some(submit), Some(end)) = (record.submit, record.end) else { return false };
        if !record.outcome.is_completed() {
            return false;
        }
        let mut seen = self.lock();
        let measured = record.part == Part::Measured;
        let windows = seen.windows.as_mut().filter(|_| measured);
        let stable = windows.is_some_and(|it| it.add(submit, end));
        let intended = record.intended.unwrap_or(submit);
        stable | seen.saturation.as_mut().is_some_and(|it| it.add(intended, end))
    }

    /// The same, and keeps the record.
    pub(super) fn keep(&self, record: &RequestRecord) -> bool {
        self.lock().ended.push(record.clone());
        self.add(record)
    }

    /// The records that were kept.
    pub(super) fn take_kept(&self) -> Vec<RequestRecord> {
        std::mem::take(&mut self.lock().ended)
    }

    /// Writes down what was seen.
    pub(super) fn note(&self, facts: &mut RunFacts) {
        let seen = self.lock();
        facts.windows = seen.windows.as_ref().map(MeasurementWindows::outcome);
        facts.saturated = seen.saturation.as_ref().and_then(Saturation::found);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
