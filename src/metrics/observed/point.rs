//! Observations of all requests of a point, and what their deliveries come to together.

use std::collections::BTreeMap;

use crate::clock::{MonoNs, Nanos, Window};
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::{Delivered, Observed, Output};
use crate::metrics::over_time::{Cuts, slice_length};
use crate::metrics::plot_samples::{GapMap, GapMapBuilder};
use crate::metrics::point_records::{PointRecords, RecordsError};
use crate::metrics::pooled::{Pooled, PooledGaps, TimeBlocks};
use crate::record::request_record::{Outcome, Part};
use crate::request::FailureKind;

/// All requests of a point, and what their deliveries come to together.
#[derive(Debug)]
pub struct ObservedPoint {
    requests: Vec<Observed>,
    /// Of these, the first ones that count.
    measured: usize,
    /// The message of the first failure of each kind, measured requests before those of ramp and tail.
    pub failure_messages: BTreeMap<FailureKind, String>,
    /// Output tokens in each slice of the window.
    pub slice_tokens: Vec<f64>,
    /// Whether a delivery with tokens lies in each of `MOMENTS` equal parts of the window.
    pub heard: Vec<bool>,
    /// Gaps of completed requests.
    pub pooled: Pooled,
    /// The same over time.
    pub gap_map: GapMap,
}

/// Parts of a window in which a target is heard of or not, for the check of stability.
const MOMENTS: i64 = 1_000;

/// These parts.
pub fn moments(window: Window) -> Cuts {
    Cuts::new(window, Nanos(window.span().0.max(0) / MOMENTS + 1))
}

/// Tokens in each cut of the window, and the pooled gaps, while deliveries come.
struct Together {
    slices: Cuts,
    moments: Cuts,
    slice_tokens: Vec<f64>,
    heard: Vec<bool>,
    gaps: PooledGaps,
    gap_map: GapMapBuilder,
}

impl Together {
    fn new(window: Window, (first, last): (MonoNs, MonoNs)) -> Self {
        let (slices, moments) = (Cuts::new(window, slice_length(window.span())), moments(window));
        Self {
            slice_tokens: vec![0.0; slices.count()],
            heard: vec![false; moments.count()],
            slices,
            moments,
            gaps: PooledGaps::new(TimeBlocks::between(first, last)),
            gap_map: GapMapBuilder::new(window, first, last),
        }
    }

    fn tokens(&mut self, at: MonoNs, tokens: f64) {
        if let Some(index) = self.slices.index(at) {
            self.slice_tokens[index] += tokens;
        }
        if let Some(index) = self.moments.index(at) {
            self.heard[index] = true;
        }
    }
}

impl ObservedPoint {
    /// Reads the records of a point: requests once, deliveries once, and once more where a count by somebody else than the
    /// deliveries says how many tokens a delivery stands for.
    ///
    /// # Errors
    /// When records cannot be read.
    pub fn read(records: &dyn PointRecords, facts: &RunFacts) -> Result<Self, RecordsError> {
        let mut requests = Vec::with_capacity(records.len());
        let mut failure_messages = BTreeMap::new();
        records.requests(&mut |record| {
            if let Outcome::Failed(failure) = &record.outcome {
                failure_messages.entry(failure.kind).or_insert_with(|| failure.message.clone());
            }
            requests.push(Observed::of(record));
        })?;
        let measured = requests.partition_point(|request| request.part == Part::Measured);
        if requests[measured..].iter().any(|request| request.part == Part::Measured) {
            return Err(RecordsError(
                "a measured request stands behind one of ramp or tail".into(),
            ));
        }
        let together = read_deliveries(records, &mut requests, facts, |_| 1.0)?;
        let mut together = if requests.iter().any(Observed::holds_another_count) {
            let scales: Vec<f64> = requests
                .iter()
                .map(|request| match request.output() {
                    Output::Deliveries { scale } => scale,
                    // What a delivery held then counts for nothing.
                    _ => 0.0,
                })
                .collect();
            for request in &mut requests {
                request.delivered = Delivered::NOTHING;
            }
            drop(together);
            read_deliveries(records, &mut requests, facts, |place| scales[place])?
        } else {
            together
        };
        for request in &requests {
            if let Output::Once(at) = request.output() {
                together.tokens(at, f64::from(request.output_tokens));
            }
        }
        Ok(Self {
            requests,
            measured,
            failure_messages,
            slice_tokens: together.slice_tokens,
            heard: together.heard,
            pooled: together.gaps.finish(),
            gap_map: together.gap_map.finish(),
        })
    }

    /// Whether any answer was streamed, where that was asked for: also where none completed.
    pub fn is_streamed(&self, asked: bool) -> bool {
        let mut completed = self.requests().iter().filter(|it| it.ended.is_completed()).peekable();
        asked && (completed.peek().is_none() || completed.any(|it| it.is_streamed(asked)))
    }

    /// Every measured request, in the order of the plan.
    pub fn requests(&self) -> &[Observed] {
        &self.requests[..self.measured]
    }

    /// The same, and behind them those of ramp and tail.
    pub fn all(&self) -> &[Observed] {
        &self.requests
    }
}

/// From the first token of all to the last.
fn time_of_output(requests: &[Observed]) -> (MonoNs, MonoNs) {
    let first = requests.iter().filter_map(Observed::first_token).min();
    let last = requests.iter().filter_map(Observed::last_token).max();
    (first.unwrap_or(MonoNs(0)), last.or(first).unwrap_or(MonoNs(0)))
}

fn read_deliveries(
    records: &dyn PointRecords,
    requests: &mut [Observed],
    facts: &RunFacts,
    scale: impl Fn(usize) -> f64,
) -> Result<Together, RecordsError> {
    let mut together = Together::new(facts.window, time_of_output(requests));
    records.deliveries(&mut |place, arrival| {
        // A file of deliveries that names more requests than there are is refused where it is read.
        let Some(request) = requests.get_mut(place) else { return };
        let gap = request.delivered.add(arrival, facts.window);
        let tokens = f64::from(arrival.tokens) * scale(place);
        if tokens > 0.0 && request.output_tokens > 0 {
            together.tokens(arrival.at, tokens);
            let counts = request.part == Part::Measured && request.ended.is_completed();
            if let Some(gap) = gap.filter(|_| facts.streaming && counts) {
                together.gaps.add(gap, tokens, arrival.at);
                together.gap_map.add(gap, tokens, arrival.at);
            }
        }
    })?;
    Ok(together)
}
