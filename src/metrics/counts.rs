//! How did requests end, and does it add up?

use crate::clock::MonoNs;
use crate::metrics::facts::RunFacts;
use crate::metrics::per_request::{Output, tpot_ms};
use crate::metrics::summary::Counts;
use crate::record::request_record::{Arrival, NotSentReason, Outcome, Records, RequestRecord};

/// Counts the requests of a run.
pub fn of(records: &Records, facts: &RunFacts) -> Counts {
    let mut counts = Counts { planned: facts.planned, ..Counts::default() };
    let (mut tokens, mut unsuccessful) = (0.0, 0.0);
    for (record, arrivals) in records.iter() {
        count_outcome(&mut counts, record);
        count_tokens(&mut counts, record);
        let output = Output::of(record, arrivals);
        match output {
            Output::Deliveries { .. } if holds_another_count(record, arrivals) => {
                counts.token_count_differs += 1;
            }
            Output::Unknown => counts.deliveries_missing += 1,
            Output::Deliveries { .. } | Output::Nothing | Output::Once(_) => {}
        }
        let in_window: f64 =
            output.tokens().filter(|(at, _)| facts.window.holds(*at)).map(|(_, n)| n).sum();
        tokens += in_window;
        if record.outcome.is_completed() {
            let ended_inside = record.end.is_some_and(|end| facts.window.holds(end));
            counts.completed_in_window += u64::from(ended_inside);
            counts.without_tpot += u64::from(tpot_ms(record).is_none());
        } else {
            unsuccessful += in_window;
        }
    }
    counts.output_tokens_in_window = tokens.round() as u64;
    counts.unsuccessful_tokens_in_window = unsuccessful.round() as u64;
    counts
}

/// Who counted, and who counted otherwise.
fn count_tokens(counts: &mut Counts, record: &RequestRecord) {
    if record.outcome.is_completed() {
        *counts.token_sources.entry(record.token_source).or_default() += 1;
    }
    let others = record.other_counts;
    counts.token_mismatches +=
        u64::from(others.recounted.is_some_and(|count| count != record.output_tokens));
    counts.prompt_token_mismatches +=
        u64::from(others.prompt.is_some_and(|count| count != record.prompt_tokens));
}

fn holds_another_count(record: &RequestRecord, arrivals: &[Arrival]) -> bool {
    let held: u64 = arrivals.iter().map(|arrival| u64::from(arrival.tokens)).sum();
    held != u64::from(record.output_tokens)
}

fn count_outcome(counts: &mut Counts, record: &RequestRecord) {
    counts.submitted += u64::from(record.submit.is_some());
    counts.attempted += u64::from(is_attempted(record));
    match &record.outcome {
        Outcome::Completed(_) => counts.completed += 1,
        Outcome::Failed(failure) => {
            counts.failed += 1;
            *counts.failed_by_kind.entry(failure.kind).or_default() += 1;
            counts.failure_words.entry(failure.kind).or_insert_with(|| failure.message.clone());
        }
        Outcome::Cancelled => counts.cancelled += 1,
        Outcome::TimedOut => counts.timed_out += 1,
        Outcome::NotSent(reason) => {
            counts.not_sent += 1;
            match reason {
                NotSentReason::NotReached => counts.not_reached += 1,
                NotSentReason::Missed => counts.missed += 1,
                NotSentReason::Interrupted => counts.interrupted += 1,
                NotSentReason::TargetFailed => counts.target_failed += 1,
            }
        }
    }
}

/// Whether a request belongs into the denominator of the good fraction. A shot that a closed loop never reached was
/// never asked for, and one behind an interrupt neither; one that was due and not sent was, and so was one that a target
/// never got because it had failed as a whole.
pub fn is_attempted(record: &RequestRecord) -> bool {
    !matches!(
        record.outcome,
        Outcome::NotSent(NotSentReason::NotReached | NotSentReason::Interrupted)
    )
}

/// Requests whose stamps contradict their outcome or each other: a completed one without an end, one that was not sent
/// with a submission, or stamps that run backwards.
pub fn contradictions(records: &Records) -> u64 {
    let contradicts = |record: &RequestRecord| {
        let stamps = [record.submit, record.first_token, record.last_token, record.end];
        let ends_as_said = match record.outcome {
            Outcome::Completed(_) => record.submit.is_some() && record.end.is_some(),
            Outcome::NotSent(_) => stamps.iter().all(Option::is_none),
            Outcome::Failed(_) | Outcome::Cancelled | Outcome::TimedOut => record.submit.is_some(),
        };
        let reached: Vec<MonoNs> = stamps.into_iter().flatten().collect();
        !ends_as_said || !reached.is_sorted()
    };
    let runs_backwards = |arrivals: &[Arrival]| !arrivals.is_sorted_by_key(|arrival| arrival.at);
    records
        .iter()
        .filter(|(record, arrivals)| contradicts(record) || runs_backwards(arrivals))
        .count() as u64
}

/// Requests that appear more than once.
pub fn duplicates(records: &Records) -> u64 {
    let mut ids: Vec<_> = records.requests().iter().map(|record| record.id).collect();
    ids.sort_unstable();
    ids.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
}
