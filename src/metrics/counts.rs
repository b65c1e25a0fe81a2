//! Counts of requests by how they ended.

use crate::clock::{MonoNs, Nanos};
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::{Ended, Observed, ObservedPoint, Output};
use crate::metrics::per_request::tpot_ms;
use crate::metrics::summary::{Counts, HeldAfterCancel, PartCounts, PromptSurplus};
use crate::record::oddity::Oddity;
use crate::record::request_record::{NotSentReason, Opened, Part, TokenSource};

/// Counts the requests of a run.
pub fn of(point: &ObservedPoint, facts: &RunFacts) -> Counts {
    let mut counts = Counts { planned: facts.planned, ..Counts::default() };
    let (mut tokens, mut unsuccessful) = (0.0, 0.0);
    let mut chunks = Chunks::default();
    counts.failure_messages.clone_from(&point.failure_messages);
    for unsent in &facts.unsent {
        count_unsent(&mut counts, unsent.reason, unsent.requests);
        counts.attempted += if is_asked_for(unsent.reason) { unsent.requests } else { 0 };
    }
    for record in point.all() {
        match record.part {
            Part::Measured => {
                count_outcome(&mut counts, record);
                count_tokens(&mut counts, record);
                count_oddities(&mut counts, record);
                chunks.add(record, facts.streaming);
                counts.without_tpot +=
                    u64::from(record.ended.is_completed() && tpot_ms(record).is_none());
            }
            Part::Ramp => counts.ramp.add(record),
            Part::Tail => counts.tail.add(record),
        }
        match record.output() {
            Output::Deliveries { .. } if record.holds_another_count() => {
                counts.token_count_differs += u64::from(record.part == Part::Measured);
            }
            Output::Unknown => counts.deliveries_missing += 1,
            Output::Deliveries { .. } | Output::Nothing | Output::Once(_) => {}
        }
        if let Some(held) = record.held_after_cancel() {
            counts.cancelled_still_running.add(held);
        }
        let in_window = record.tokens_in_window(facts.window);
        tokens += in_window;
        if record.ended.is_completed() {
            let ended_inside = record.end().is_some_and(|end| facts.window.holds(end));
            counts.completed_in_window += u64::from(ended_inside);
        } else {
            unsuccessful += in_window;
        }
    }
    counts.tokens_per_chunk = chunks.tokens_each();
    counts.prompt_surplus = prompt_surplus(point.requests());
    counts.output_tokens_in_window = tokens.round() as u64;
    counts.unsuccessful_tokens_in_window = unsuccessful.round() as u64;
    counts
}

fn prompt_surplus(requests: &[Observed]) -> Option<PromptSurplus> {
    let completed = requests.iter().filter(|request| request.ended.is_completed());
    let more =
        |it: &Observed| Some(i64::from(it.other_counts.prompt?) - i64::from(it.planned_prompt()?));
    let mut surplus: Vec<i64> = completed.filter_map(more).collect();
    surplus.sort_unstable();
    let median = *surplus.get(surplus.len().saturating_sub(1) / 2)?;
    Some(PromptSurplus {
        requests: surplus.len() as u64,
        tokens: median,
        alike: surplus.iter().filter(|tokens| **tokens == median).count() as u64,
    })
}

impl HeldAfterCancel {
    fn add(&mut self, held: Nanos) {
        self.requests += 1;
        self.total_s += held.as_secs_f64();
        self.max_s = self.max_s.max(held.as_secs_f64());
    }
}

impl PartCounts {
    fn add(&mut self, record: &Observed) {
        self.sent += 1;
        self.completed += u64::from(record.ended.is_completed());
    }
}

/// What deliveries held where nothing counted the tokens of each, and how many tokens these were.
#[derive(Default)]
struct Chunks {
    held: u64,
    tokens: u64,
}

impl Chunks {
    fn add(&mut self, record: &Observed, streaming: bool) {
        if record.ended.is_completed()
            && record.is_streamed(streaming)
            && record.token_source != TokenSource::Ids
            && matches!(record.output(), Output::Deliveries { .. })
        {
            self.held += u64::from(record.held());
            self.tokens += u64::from(record.output_tokens);
        }
    }

    fn tokens_each(&self) -> Option<f64> {
        (self.held > 0).then(|| self.tokens as f64 / self.held as f64)
    }
}

fn count_oddities(counts: &mut Counts, record: &Observed) {
    for oddity in record.oddities.iter() {
        let odd = counts.oddities.entry(oddity).or_default();
        odd.requests += 1;
        odd.output_tokens += u64::from(record.output_tokens);
        odd.requested_tokens += u64::from(record.requested_tokens);
    }
}

/// Who counted, and who counted otherwise.
fn count_tokens(counts: &mut Counts, record: &Observed) {
    if record.ended.is_completed() && !record.oddities.has(Oddity::Uncounted) {
        *counts.token_sources.entry(record.token_source).or_default() += 1;
    }
    counts.resent += u64::from(record.connection.resent);
    let inside = matches!(record.connection.opened, Some(Opened::Inside(_)));
    counts.connected_inside += u64::from(inside);
    let others = record.other_counts;
    counts.token_mismatches +=
        u64::from(others.recounted.is_some_and(|count| count != record.output_tokens));
    let counted_twice = others.prompt.zip(record.planned_prompt());
    counts.prompt_token_mismatches +=
        u64::from(counted_twice.is_some_and(|(told, planned)| told != planned));
}

fn count_outcome(counts: &mut Counts, record: &Observed) {
    counts.submitted += u64::from(record.submit().is_some());
    counts.attempted += u64::from(is_attempted(record));
    match record.ended {
        Ended::Completed => counts.completed += 1,
        Ended::Failed(kind) => {
            counts.failed += 1;
            *counts.failed_by_kind.entry(kind).or_default() += 1;
        }
        Ended::Cancelled => counts.cancelled += 1,
        Ended::TimedOut => counts.timed_out += 1,
        Ended::NotSent(reason) => count_unsent(counts, reason, 1),
    }
}

fn count_unsent(counts: &mut Counts, reason: NotSentReason, requests: u64) {
    counts.not_sent += requests;
    *match reason {
        NotSentReason::NotReached => &mut counts.not_reached,
        NotSentReason::Missed => &mut counts.missed,
        NotSentReason::Interrupted => &mut counts.interrupted,
        NotSentReason::TargetFailed => &mut counts.target_failed,
        NotSentReason::WorkerLost => &mut counts.worker_lost,
    } += requests;
}

/// Whether a request belongs into the denominator of the good fraction. A shot that a closed loop never reached was
/// never asked for, and one behind an interrupt or of a lost worker neither; one that was due and not sent was, and so was one that a target
/// never got because it had failed as a whole.
pub fn is_attempted(record: &Observed) -> bool {
    match record.ended {
        Ended::NotSent(reason) => is_asked_for(reason),
        _ => true,
    }
}

/// The same of one that was not sent.
const fn is_asked_for(reason: NotSentReason) -> bool {
    match reason {
        NotSentReason::Missed | NotSentReason::TargetFailed => true,
        NotSentReason::NotReached | NotSentReason::Interrupted | NotSentReason::WorkerLost => false,
    }
}

/// Requests whose stamps contradict their outcome or each other: a completed one without an end, one that was not sent
/// with a submission, or stamps that run backwards.
pub fn contradictions(point: &ObservedPoint) -> u64 {
    let contradicts = |record: &Observed| {
        let stamps = [record.submit(), record.first_token(), record.last_token(), record.end()];
        let ends_as_said = match record.ended {
            Ended::Completed => record.submit().is_some() && record.end().is_some(),
            Ended::NotSent(_) => stamps.iter().all(Option::is_none),
            Ended::Failed(_) | Ended::Cancelled | Ended::TimedOut => record.submit().is_some(),
        };
        let reached: Vec<MonoNs> = stamps.into_iter().flatten().collect();
        !ends_as_said || !reached.is_sorted()
    };
    let requests = point.all().iter();
    requests.filter(|record| contradicts(record) || record.runs_backwards()).count() as u64
}

/// Requests that appear more than once.
pub fn duplicates(point: &ObservedPoint) -> u64 {
    let mut ids: Vec<_> = point.all().iter().map(|record| record.id).collect();
    ids.sort_unstable();
    ids.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
}
