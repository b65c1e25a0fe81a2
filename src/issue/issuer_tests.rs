//! Tests of the issuer, with a scripted session.

use std::sync::Arc;

use super::*;
use crate::load::Arrivals;
use crate::record::event::TokenHash;
use crate::record::recorder::{PhaseRecords, Recorder};
use crate::record::request_record::{FinishReason, Outcome, RequestRecord};
use crate::record::request_table::PlannedRequest;
use crate::request::spec::{OutputSpec, Prompt, RequestSpec, Sampling};
use crate::targets::Drain;
use crate::workload::DEFAULT_PRIORITY;

/// What the target under test does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Answers {
    /// One token, at once.
    AtOnce,
    /// Only when it is cancelled.
    WhenCancelled,
    /// Not even then.
    Never,
    /// Refused on the spot.
    Refuses,
    /// The target as a whole dies at this request.
    DiesAt(u32),
    /// The user asks for the end at this request.
    UserStopsAt(u32),
}

struct Scripted {
    answers: Answers,
    sink: Sink,
    stop: Stop,
}

impl Scripted {
    fn answer(&mut self, id: RequestId) {
        self.sink.delivery(id, clock::now(), 1, TokenHash::of(std::iter::once(7)));
        self.sink.end(id, clock::now(), Ending::Completed(FinishReason::Length));
    }
}

impl Session for Scripted {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        match self.answers {
            Answers::AtOnce => self.answer(shot.id),
            Answers::Refuses => return Err(Failure::new(FailureKind::QueueFull, "full")),
            Answers::DiesAt(id) if shot.id.0 == id => self.sink.fail_target("out of memory"),
            Answers::WhenCancelled | Answers::Never | Answers::DiesAt(_) => {}
            Answers::UserStopsAt(id) => {
                if shot.id.0 == id {
                    self.stop.ask();
                }
                self.answer(shot.id);
            }
        }
        Ok(())
    }

    fn cancel(&mut self, id: RequestId) {
        if self.answers == Answers::WhenCancelled {
            self.sink.end(id, clock::now(), Ending::Cancelled);
        }
    }

    fn finish(self: Box<Self>, _by: MonoNs) -> Drain {
        Drain::Clean
    }
}

fn shots(intended: impl IntoIterator<Item = Option<Nanos>>) -> Vec<Shot> {
    let request = RequestSpec {
        prompt: Prompt { ids: Arc::from([1_u32]), text: None },
        output: OutputSpec { max_tokens: 1, min_tokens: 0, ignore_eos: true },
        sampling: Sampling::greedy(0),
        streaming: true,
        priority: DEFAULT_PRIORITY,
        adapter: None,
        terms: Arc::default(),
    };
    (0..)
        .zip(intended)
        .map(|(id, intended)| Shot { id: RequestId(id), intended, request: request.clone() })
        .collect()
}

fn closed(concurrency: u32) -> Pace {
    Pace {
        load: Load::Closed { concurrency },
        duration: None,
        timeout: Nanos::from_millis(60_000),
        drain: Nanos::from_millis(50),
    }
}

fn open(max_in_flight: Option<u32>) -> Pace {
    Pace {
        load: Load::Open { arrivals: Arrivals::Constant, rate: 1.0, max_in_flight },
        ..closed(1)
    }
}

fn played(answers: Answers, shots: &[Shot], pace: &Pace) -> (Played, PhaseRecords) {
    let recorder = Recorder::start().expect("a thread");
    let gate = Arc::new(Gate::new(shots.len(), 64));
    let mut sink = recorder.sink(&gate);
    let stop = Stop::never();
    let mut session = Scripted { answers, sink: recorder.sink(&gate), stop: stop.clone() };
    let planned = shots.iter().map(|shot| PlannedRequest {
        id: shot.id,
        prompt_tokens: 1,
        requested_tokens: 1,
    });
    recorder.begin(planned.collect(), None);
    let mut shots = Shots::ready(shots);
    let played = play(&mut shots, pace, &mut session, &mut sink, &gate, &stop);
    (played, recorder.end())
}

fn outcomes(phase: &PhaseRecords) -> Vec<&Outcome> {
    phase.records.requests().iter().map(|record| &record.outcome).collect()
}

fn lag(record: &RequestRecord) -> Nanos {
    record.submit.expect("was sent") - record.ready.expect("was sent")
}

#[test]
fn a_request_that_takes_too_long_is_cancelled_and_counts_as_timed_out() {
    let pace = Pace { timeout: Nanos::from_millis(20), ..closed(1) };
    let (_, phase) = played(Answers::WhenCancelled, &shots([None, None]), &pace);
    assert_eq!(outcomes(&phase), [&Outcome::TimedOut, &Outcome::TimedOut]);
}

#[test]
fn what_is_open_when_patience_ends_is_cancelled() {
    let pace = Pace { duration: Some(Nanos::from_millis(20)), ..closed(1) };
    let (_, phase) = played(Answers::WhenCancelled, &shots([None, None]), &pace);
    let not_reached = Outcome::NotSent(NotSentReason::NotReached);
    assert_eq!(outcomes(&phase), [&Outcome::Cancelled, &not_reached]);
}

#[test]
fn a_target_that_ignores_even_a_cancel_does_not_hold_the_run_for_ever() {
    let pace = Pace { duration: Some(Nanos::from_millis(10)), ..closed(1) };
    let (_, phase) = played(Answers::Never, &shots([None]), &pace);
    let Outcome::Failed(failure) = outcomes(&phase)[0] else { panic!("it failed") };
    assert_eq!(failure.kind, FailureKind::Unanswered);
}

#[test]
fn a_refused_request_has_failed_with_the_words_of_the_target() {
    let (_, phase) = played(Answers::Refuses, &shots([None]), &closed(1));
    let refusal = Outcome::Failed(Failure::new(FailureKind::QueueFull, "full"));
    assert_eq!(outcomes(&phase), [&refusal]);
}

#[test]
fn a_target_that_dies_ends_the_run_and_fails_what_was_open() {
    let (_, phase) = played(Answers::DiesAt(1), &shots([None; 4]), &closed(2));
    let dead = Outcome::Failed(Failure::new(FailureKind::Engine, "out of memory"));
    let unsent = Outcome::NotSent(NotSentReason::TargetFailed);
    assert_eq!(outcomes(&phase), [&dead, &dead, &unsent, &unsent]);
}

#[test]
fn when_the_user_asks_for_the_end_the_rest_is_noted_as_not_sent() {
    let (played, phase) = played(Answers::UserStopsAt(1), &shots([None; 4]), &closed(1));
    assert!(played.interrupted);
    let done = Outcome::Completed(FinishReason::Length);
    let unsent = Outcome::NotSent(NotSentReason::Interrupted);
    assert_eq!(outcomes(&phase), [&done, &done, &unsent, &unsent]);
}

#[test]
fn a_closed_loop_sends_every_shot_and_keeps_its_slots() {
    let (played, phase) = played(Answers::AtOnce, &shots([None; 200]), &closed(4));
    assert!(!played.interrupted && !played.ran_out);
    assert!(phase.records.requests().iter().all(|record| record.outcome.is_completed()));
}

#[test]
fn a_supply_that_ends_before_its_time_is_reported() {
    let pace = Pace { duration: Some(Nanos::from_millis(10_000)), ..closed(1) };
    let (played, _) = played(Answers::AtOnce, &shots([None; 3]), &pace);
    assert!(played.ran_out);
}

#[test]
fn in_an_open_loop_no_shot_leaves_before_its_instant_and_none_waits_for_answers() {
    let instants = [0, 3, 9, 12].map(|ms| Some(Nanos::from_millis(ms)));
    let pace = Pace { duration: Some(Nanos::from_millis(20)), ..open(None) };
    let (played, phase) = played(Answers::WhenCancelled, &shots(instants), &pace);
    for (record, instant) in phase.records.requests().iter().zip(instants) {
        assert_eq!(record.intended, instant.map(|after| played.start + after));
        assert!(lag(record) >= Nanos::ZERO);
        assert_eq!(record.outcome, Outcome::Cancelled);
    }
}

#[test]
fn under_a_cap_a_shot_waits_and_its_wait_is_not_the_harness_s_lag() {
    let pace = Pace { timeout: Nanos::from_millis(30), ..open(Some(1)) };
    let (_, phase) = played(Answers::WhenCancelled, &shots([Some(Nanos::ZERO); 2]), &pace);
    let second = &phase.records.requests()[1];
    let (intended, ready) = (second.intended.expect("known"), second.ready.expect("known"));
    assert!(ready - intended >= Nanos::from_millis(29), "{}", ready - intended);
    assert!(lag(second) < ready - intended);
}
