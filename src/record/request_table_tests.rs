//! Tests of the table of requests, event by event.

use super::*;
use crate::record::request_record::{FinishReason, OtherCounts};

const ID: RequestId = RequestId(7);

fn submitted_at(at: i64) -> RequestTable {
    let planned = PlannedRequest {
        id: ID,
        phase: Phase::Measure,
        prompt_tokens: 1,
        requested_tokens: 1,
        workload: None,
    };
    let sources = Sources { stamps: StampSource::Kernel, tokens: TokenSource::Ids };
    let mut table = RequestTable::open(&[planned], sources, None);
    let at = MonoNs(at);
    let asked = Asked { streaming: true, whole_length: true };
    table.note(&Event::Submitted { id: ID, intended: at, ready: at, at, asked });
    table
}

#[test]
fn a_request_that_left_later_than_it_was_handed_over_counts_from_there() {
    let mut table = submitted_at(100);
    table.note(&Event::Sent { id: ID, at: MonoNs(140) });
    let phase = table.close(Nanos::ZERO);
    let record = &phase.records.requests()[0];
    assert_eq!((record.intended, record.submit), (Some(MonoNs(100)), Some(MonoNs(140))));
}

#[test]
fn stamps_and_counts_that_differ_from_the_default_are_kept_with_their_request() {
    let mut table = submitted_at(100);
    table.told().stamps_of(ID, StampSource::User);
    table.told().recounted(ID, 5);
    table.told().prompt_count(ID, 9);
    table.told().cached_count(ID, 4);
    let ending = Ending::Completed(FinishReason::Length);
    table.note(&Event::End { id: ID, at: MonoNs(200), ending });
    let phase = table.close(Nanos::ZERO);
    let record = &phase.records.requests()[0];
    assert_eq!(record.stamp_source, StampSource::User);
    assert_eq!(
        record.other_counts,
        OtherCounts { recounted: Some(5), prompt: Some(9), cached: Some(4) }
    );
}

/// The record and the deliveries of a request that got these `(ns, tokens)`.
fn delivered(events: &[(i64, u32)]) -> (RequestRecord, Vec<(i64, u32)>) {
    let mut table = submitted_at(100);
    for (at, tokens) in events {
        let (at, hash) = (MonoNs(*at), TokenHash::EMPTY);
        table.note(&Event::Delivery { id: ID, at, tokens: *tokens, hash, pull_lag: 0 });
    }
    let phase = table.close(Nanos::ZERO);
    let (record, arrivals) = phase.records.iter().next().unwrap();
    (record.clone(), arrivals.iter().map(|it| (it.at.0, it.tokens)).collect())
}

#[test]
fn what_arrives_at_one_instant_is_one_delivery() {
    let (record, deliveries) =
        delivered(&[(5_000, 1), (5_000, 2), (5_007, 1), (90_000, 4), (90_999, 4), (91_000, 1)]);
    assert_eq!(deliveries, [(5_000, 4), (90_000, 8), (91_000, 1)]);
    assert_eq!((record.first_tokens, record.output_tokens), (4, 13));
    assert_eq!(
        (record.first_token, record.last_token),
        (Some(MonoNs(5_000)), Some(MonoNs(91_000)))
    );
}

#[test]
fn an_empty_delivery_right_before_the_first_token_is_the_same_instant() {
    let (record, deliveries) = delivered(&[(5_000, 0), (5_001, 3), (9_000, 0)]);
    assert_eq!(deliveries, [(5_000, 3), (9_000, 0)]);
    assert_eq!((record.first_token, record.first_tokens), (Some(MonoNs(5_000)), 3));
}

#[test]
fn stamps_that_run_backwards_are_kept_as_they_are() {
    assert_eq!(delivered(&[(5_000, 1), (4_900, 1)]).1, [(5_000, 1), (4_900, 1)]);
}
