//! Merge of the records of a phase that several workers play: the same batches for the same log as one process has.

use std::io;

use super::message::RecordsPart;
use crate::clock::{MonoNs, Nanos};
use crate::issue::shots::{Lane, Look, Shots};
use crate::load::plan::ShotFacts;
use crate::record::live::{LiveLatency, Snapshot};
use crate::record::log::{Batch, RecordLog};
use crate::record::recorder::PhaseRecords;
use crate::record::request_record::{
    EngineTimes, NotSentReason, Outcome, Part, Records, RequestRecord,
};
use crate::request::RequestId;

/// The records of one phase while workers play it.
pub(super) struct Merge {
    first: u32,
    /// Requests that count.
    counted: usize,
    /// Which request has a record, by place.
    has_record: Vec<bool>,
    /// What is planned, by place of those that count.
    planned: Vec<ShotFacts>,
    log: Option<Box<dyn RecordLog>>,
    log_error: Option<io::Error>,
    /// What no log has taken.
    unlogged: Batch,
    submissions: Option<(MonoNs, MonoNs)>,
    last_end: Option<MonoNs>,
    live: Snapshot,
    latencies: [LiveLatency; 3],
    /// Shots that were taken out of the queues, by lane, so that the drawing thread goes on.
    taken: [usize; 2],
    /// Shots that count and were sent, up to the last one.
    counted_seen: usize,
    /// Shots of ramp and tail that have a record, up to the last one.
    fill_seen: usize,
}

impl Merge {
    pub(super) fn begin(shots: &Shots<'_>, log: Option<Box<dyn RecordLog>>) -> Self {
        let counted = shots.len();
        let first = shots.facts().next().or_else(|| shots.fill_facts_of(0));
        Self {
            first: first.map_or(0, |shot| shot.id.0),
            counted,
            has_record: vec![false; counted + shots.fill_len()],
            planned: shots.facts().collect(),
            log,
            log_error: None,
            unlogged: Batch::default(),
            submissions: None,
            last_end: None,
            live: Snapshot { part: Part::Ramp, ..Snapshot::default() },
            latencies: [LiveLatency::new(), LiveLatency::new(), LiveLatency::new()],
            taken: [0; 2],
            counted_seen: 0,
            fill_seen: 0,
        }
    }

    /// Takes records of a worker whose clock is ahead of ours by so much.
    pub(super) fn take(&mut self, part: RecordsPart, ahead: Nanos) {
        let mut batch = Batch::default();
        for (id, mut arrival) in part.deliveries {
            let Some(place) = self.place(id) else { continue };
            arrival.at = arrival.at - ahead;
            self.live.output_tokens += u64::from(arrival.tokens);
            batch.deliveries.push((place as u32, arrival));
        }
        for mut record in part.ended {
            let Some(place) = self.place(record.id).filter(|place| !self.has_record[*place]) else {
                continue;
            };
            self.has_record[place] = true;
            if let Some(fill) = place.checked_sub(self.counted) {
                self.fill_seen = self.fill_seen.max(fill + 1);
            } else if record.submit.is_some() {
                self.counted_seen = self.counted_seen.max(place + 1);
            }
            shift(&mut record, ahead);
            self.note(&record);
            batch.ended.push(record);
        }
        self.write(batch);
    }

    fn place(&self, id: RequestId) -> Option<usize> {
        let place = id.0.checked_sub(self.first)? as usize;
        (place < self.has_record.len()).then_some(place)
    }

    fn note(&mut self, record: &RequestRecord) {
        self.live.ended += u64::from(!matches!(record.outcome, Outcome::NotSent(_)));
        let is_failed = matches!(record.outcome, Outcome::Failed(_) | Outcome::TimedOut);
        self.live.failed += u64::from(is_failed);
        if record.part == Part::Measured {
            self.live.measured_ended += u64::from(record.submit.is_some());
            self.last_end = self.last_end.max(record.end);
            if let Some(at) = record.submit {
                let (first, last) = self.submissions.unwrap_or((at, at));
                self.submissions = Some((first.min(at), last.max(at)));
                self.live.part = Part::Measured;
            }
        }
        if let Some(at) = record.submit {
            self.live.since = Some(self.live.since.map_or(at, |since| since.min(at)));
        }
        let [ttft, itl, latency] = &mut self.latencies;
        let Some(submit) = record.submit.filter(|_| record.outcome.is_completed()) else { return };
        if let Some(first) = record.first_token {
            ttft.record(first - submit, 1);
            let later = record.output_tokens.saturating_sub(record.first_tokens);
            if let Some(last) = record.last_token.filter(|_| later > 0) {
                itl.record(Nanos((last - first).0 / i64::from(later)), later);
            }
        }
        if let Some(end) = record.end {
            latency.record(end - submit, 1);
        }
    }

    /// As a recorder does: a log that fails is not asked again, and the rest stays in memory.
    fn write(&mut self, mut batch: Batch) {
        if batch.is_empty() {
            return;
        }
        if let Some(log) = self.log.as_mut() {
            match log.write(self.first, &batch) {
                Ok(()) => return,
                Err(error) => {
                    log.report(&error);
                    self.log_error = Some(error);
                    self.log = None;
                }
            }
        }
        self.unlogged.append(&mut batch);
    }

    /// Takes shots that workers have drawn for themselves, so that the thread that writes `plan.csv` goes on, as far as they have
    /// been sent; whether that thread is still behind.
    pub(super) fn keep_drawing(&mut self, shots: &mut Shots<'_>) -> bool {
        let mut is_behind = false;
        for (lane, wanted) in [(Lane::Counted, self.counted_seen), (Lane::Fill, self.fill_seen)] {
            let taken = &mut self.taken[lane as usize];
            while *taken < wanted && shots.look(lane) == Look::Ready {
                drop(shots.take_away(lane));
                *taken += 1;
            }
            is_behind |= *taken < wanted && shots.look(lane) == Look::NotDrawn;
        }
        is_behind
    }

    /// For a live view.
    pub(super) fn snapshot(&self, submitted: u64) -> Snapshot {
        let [ttft, itl, latency] = &self.latencies;
        Snapshot {
            submitted,
            ttft_p50: ttft.quantile(0.5),
            ttft_p99: ttft.quantile(0.99),
            itl_p50: itl.quantile(0.5),
            itl_p99: itl.quantile(0.99),
            latency_p50: latency.quantile(0.5),
            latency_p99: latency.quantile(0.99),
            ..self.live.clone()
        }
    }

    /// Requests that count and of which no worker has told.
    pub(super) fn without_record(&self) -> usize {
        self.has_record[..self.counted].iter().filter(|has_record| !**has_record).count()
    }

    /// Gives every request that counts and of which no worker told a record: its worker was lost.
    pub(super) fn end(mut self, late_events: u64, recorder_cpu: Nanos) -> PhaseRecords {
        let mut batch = Batch::default();
        for place in 0..self.counted {
            if self.has_record[place] {
                continue;
            }
            let shot = self.planned[place];
            batch.ended.push(RequestRecord {
                outcome: Outcome::NotSent(NotSentReason::WorkerLost),
                workload: shot.workload,
                ..RequestRecord::planned(shot.id, shot.prompt_tokens, shot.output_tokens)
            });
        }
        self.write(batch);
        PhaseRecords {
            planned: self.has_record.len(),
            records: Records::of_batch(self.first, self.unlogged),
            late_events,
            last_end: self.last_end,
            submissions: self.submissions,
            log_error: self.log_error,
            recorder_cpu,
        }
    }
}

/// Turns the stamps of a clock that is ahead of ours into ours.
fn shift(record: &mut RequestRecord, ahead: Nanos) {
    if ahead == Nanos::ZERO {
        return;
    }
    let ours = |at: &mut Option<MonoNs>| *at = at.map(|at| at - ahead);
    let RequestRecord { intended, ready, submit, first_token, last_token, end, .. } = record;
    [intended, ready, submit, first_token, last_token, end].into_iter().for_each(ours);
    ours(&mut record.cancel_asked);
    if let Some(times) = &mut record.engine_times {
        let EngineTimes { arrival, first_scheduled, first_token, last_token } = times;
        [arrival, first_scheduled, first_token, last_token].into_iter().for_each(ours);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::Shot;
    use crate::record::request_record::{Arrival, FinishReason};
    use crate::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
    use crate::workload::DEFAULT_PRIORITY;
    use std::sync::{Arc, Mutex};

    fn shots(ids: std::ops::Range<u32>) -> Vec<Shot> {
        let request = RequestSpec {
            beside: Beside::Nothing,
            prompt: Prompt { ids: Arc::from([1_u32, 2]), text: None },
            output: OutputSpec { max_tokens: 4, min_tokens: 0, ignore_eos: true },
            sampling: Sampling::greedy(0),
            streaming: true,
            priority: DEFAULT_PRIORITY,
            adapter: None,
            terms: Arc::default(),
        };
        ids.map(|id| Shot::new(RequestId(id), request.clone())).collect()
    }

    fn ended(id: u32, submit: i64, end: i64) -> RequestRecord {
        RequestRecord {
            outcome: Outcome::Completed(FinishReason::Length),
            submit: Some(MonoNs(submit)),
            end: Some(MonoNs(end)),
            ..RequestRecord::planned(RequestId(id), 2, 4)
        }
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Seen>>);

    /// Ids of the requests that ended; place and stamp of each delivery.
    type Seen = (Vec<u32>, Vec<(u32, i64)>);

    impl RecordLog for Kept {
        fn write(&mut self, _first: u32, batch: &Batch) -> io::Result<()> {
            let mut kept = self.0.lock().expect("one thread");
            kept.0.extend(batch.ended.iter().map(|record| record.id.0));
            kept.1.extend(batch.deliveries.iter().map(|(place, it)| (*place, it.at.0)));
            Ok(())
        }
        fn report(&self, _error: &io::Error) {}
    }

    #[test]
    fn stamps_come_to_our_clock_and_every_request_that_counts_has_one_record() {
        let all = shots(10..13);
        let kept = Kept::default();
        let mut merge = Merge::begin(&Shots::ready(&all), Some(Box::new(kept.clone())));
        let arrival = Arrival { at: MonoNs(1_050), tokens: 1 };
        let part = RecordsPart {
            ended: vec![ended(12, 1_000, 1_100), ended(12, 1, 2), ended(99, 1, 2)],
            deliveries: vec![(RequestId(12), arrival), (RequestId(9), arrival)],
            ..RecordsPart::default()
        };
        merge.take(part, Nanos(1_000));
        merge.take(
            RecordsPart { ended: vec![ended(10, 50, 400)], ..RecordsPart::default() },
            Nanos(0),
        );
        let phase = merge.end(0, Nanos::ZERO);
        assert_eq!(phase.submissions, Some((MonoNs(0), MonoNs(50))));
        assert_eq!(phase.last_end, Some(MonoNs(400)));
        let kept = kept.0.lock().expect("one thread").clone();
        assert_eq!(kept, (vec![12, 10, 11], vec![(2, 50)]));
        assert!(phase.records.is_empty(), "a log has taken them");
    }

    #[test]
    fn what_a_lost_worker_did_not_tell_is_named_so() {
        let all = shots(0..4);
        let mut merge = Merge::begin(&Shots::ready(&all), None);
        let part = RecordsPart { ended: vec![ended(1, 5, 6)], ..RecordsPart::default() };
        merge.take(part, Nanos::ZERO);
        let phase = merge.end(0, Nanos::ZERO);
        let lost = Outcome::NotSent(NotSentReason::WorkerLost);
        let outcomes: Vec<_> =
            phase.records.requests().iter().map(|record| record.outcome == lost).collect();
        assert_eq!(outcomes, [true, false, true, true]);
    }
}
