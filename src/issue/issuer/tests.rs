//! Tests of the issuer, with a scripted session.

use std::sync::Arc;

use super::*;
use crate::issue::pace::{Graces, RampPace};
use crate::load::Arrivals;
use crate::load::course::Tail;
use crate::load::stages::{LoadStage, StageList, Stages, StagesOf};
use crate::record::event::{Ending, TokenHash};
use crate::record::recorder::{PhaseRecords, Recorder};
use crate::record::request_record::{FinishReason, NotSentReason, Outcome, Part, RequestRecord};
use crate::record::request_table::PlannedRequest;
use crate::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use crate::request::{Failure, FailureKind};
use crate::targets::Drain;
use crate::workload::DEFAULT_PRIORITY;
use crate::workload::seeds::Phase;

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
    /// The oldest one each time that so many are open.
    OldestAt(usize),
    /// The user asks for the end at this request.
    UserStopsAt(u32),
}

struct Scripted {
    answers: Answers,
    open: std::collections::VecDeque<RequestId>,
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
            Answers::OldestAt(count) => {
                self.open.push_back(shot.id);
                if self.open.len() >= count {
                    let oldest = self.open.pop_front().expect("one was just put in");
                    self.answer(oldest);
                }
            }
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
        let open_ends = matches!(self.answers, Answers::WhenCancelled | Answers::OldestAt(_));
        if open_ends {
            self.sink.end(id, clock::now(), Ending::Cancelled);
        }
    }

    fn finish(self: Box<Self>, _by: MonoNs) -> Drain {
        Drain::Clean
    }
}

fn shots(intended: impl IntoIterator<Item = Option<Nanos>>) -> Vec<Shot> {
    let request = RequestSpec {
        beside: Beside::Nothing,
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
        .map(|(id, intended)| Shot::new(RequestId(id), request.clone()).intended(intended))
        .collect()
}

fn closed(concurrency: u32) -> Pace {
    Pace {
        load: Load::Closed { concurrency },
        ramp: None,
        tail: Tail::None,
        stages: None,
        duration: None,
        timeout: Nanos::from_millis(60_000),
        drain: Nanos::from_millis(50),
        graces: Graces { cancelled: Nanos::from_millis(80), stuck: Nanos::from_millis(60_000) },
        begin_at: None,
    }
}

fn open(max_in_flight: Option<u32>) -> Pace {
    Pace {
        load: Load::Open { arrivals: Arrivals::Constant, rate: 1.0, max_in_flight },
        ..closed(1)
    }
}

fn played(answers: Answers, shots: &[Shot], pace: &Pace) -> (Played, PhaseRecords) {
    played_around(answers, shots, &[], pace)
}

/// The same with a supply for ramp and tail.
fn played_around(
    answers: Answers,
    shots: &[Shot],
    fill: &[Shot],
    pace: &Pace,
) -> (Played, PhaseRecords) {
    let recorder = Recorder::start().expect("a thread");
    let gate = Arc::new(Gate::new(shots.len() + fill.len(), 64));
    let mut sink = recorder.sink(&gate);
    let stop = Stop::never();
    let mut session = Scripted {
        answers,
        open: std::collections::VecDeque::new(),
        sink: recorder.sink(&gate),
        stop: stop.clone(),
    };
    let planned = |phase| {
        move |shot: &Shot| PlannedRequest {
            id: shot.id,
            phase,
            prompt_tokens: 1,
            requested_tokens: 1,
            workload: None,
        }
    };
    let counted = shots.iter().map(planned(Phase::Measure));
    recorder.begin(counted.chain(fill.iter().map(planned(Phase::Fill))).collect(), None);
    let mut shots = Shots::ready_with_fill(shots, fill);
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
    let pace = Pace { duration: Some(Nanos::from_millis(10)), ..closed(2) };
    let (played, phase) = played(Answers::Never, &shots([None, None]), &pace);
    // The end of the drain cancelled them, whatever the target makes of it.
    assert_eq!(outcomes(&phase), [&Outcome::Cancelled, &Outcome::Cancelled]);
    assert_eq!(played.given_up, 2);
    for record in phase.records.requests() {
        let held = record.end.zip(record.cancel_asked).map(|(end, asked)| end - asked);
        assert!(held.is_some_and(|held| held >= pace.graces.cancelled), "{held:?}");
    }
}

#[test]
fn a_target_that_holds_every_slot_with_cancelled_requests_and_ends_none_has_failed() {
    let graces = Graces { stuck: Nanos::from_millis(120), ..closed(2).graces };
    let pace = Pace { timeout: Nanos::from_millis(10), graces, ..closed(2) };
    let (played, phase) = played(Answers::Never, &shots([None; 4]), &pace);
    let unsent = Outcome::NotSent(NotSentReason::TargetFailed);
    assert_eq!(outcomes(&phase), [&Outcome::TimedOut, &Outcome::TimedOut, &unsent, &unsent]);
    // 10 ms until they are cancelled, 80 until they are given up, 120 more until the target is.
    assert!(
        played.end - played.start >= Nanos::from_millis(210),
        "{:?}",
        played.end - played.start
    );
    assert!(!played.interrupted && played.given_up == 2);
}

#[test]
fn a_closed_loop_does_not_refill_the_slot_of_a_request_that_the_target_has_not_ended() {
    let timeout = Nanos::from_millis(10);
    // Longer than a cancelled request may take until it is given up.
    let pace = Pace { duration: Some(Nanos::from_millis(500)), timeout, ..closed(1) };
    let (_, phase) = played(Answers::Never, &shots([None; 2]), &pace);
    let unsent = Outcome::NotSent(NotSentReason::NotReached);
    assert_eq!(outcomes(&phase), [&Outcome::TimedOut, &unsent]);
    let record = &phase.records.requests()[0];
    let held = record.end.zip(record.cancel_asked).map(|(end, asked)| end - asked);
    assert!(held.is_some_and(|held| held >= pace.graces.cancelled), "{held:?}");
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

/// Shots that count, and a supply behind them.
fn shots_and_fill(counted: usize, fill: usize) -> (Vec<Shot>, Vec<Shot>) {
    let mut all = shots(vec![None; counted + fill]);
    let behind = all.split_off(counted);
    (all, behind)
}

fn of_part(phase: &PhaseRecords, part: Part) -> Vec<&RequestRecord> {
    phase.records.requests().iter().filter(|record| record.part == part).collect()
}

#[test]
fn a_ramp_lasts_until_as_many_requests_have_ended_as_there_are_slots_and_a_tail_until_the_last_one_that_counts()
 {
    let (counted, fill) = shots_and_fill(5, 40);
    let pace = Pace {
        ramp: Some(RampPace { over: None, at_most: 20, then: None }),
        tail: Tail::UntilMeasuredEnd,
        // So that what is open behind the last one is cancelled soon.
        duration: Some(Nanos::from_millis(60_000)),
        ..closed(3)
    };
    let (played, phase) = played_around(Answers::OldestAt(3), &counted, &fill, &pace);
    assert!(!played.interrupted && !played.ramp_ran_out);
    // Three start, and each further one ends one.
    assert_eq!(of_part(&phase, Part::Ramp).len(), 5);
    let measured = of_part(&phase, Part::Measured);
    assert!(measured.iter().all(|record| record.outcome.is_completed()));
    assert_eq!(measured.len(), 5);
    // Two more end the last two that count.
    let tail = of_part(&phase, Part::Tail);
    assert_eq!(tail.len(), 2);
    let last_end = measured.iter().filter_map(|record| record.end).max();
    assert!(tail.iter().all(|record| record.submit <= last_end));
    assert_eq!(phase.records.requests().len(), 12, "what was not needed leaves no record");
    let submits = measured.iter().filter_map(|record| record.submit);
    assert_eq!(phase.submissions, submits.clone().min().zip(submits.max()));
    assert_eq!(phase.last_end, last_end);
}

#[test]
fn the_slots_of_a_ramp_start_one_after_another_over_its_span() {
    let (counted, fill) = shots_and_fill(4, 400);
    let span = Nanos::from_millis(40);
    let ramp = Some(RampPace { over: Some(span), at_most: 300, then: None });
    let pace = Pace { ramp, timeout: Nanos::from_millis(80), ..closed(4) };
    let (_, phase) = played_around(Answers::WhenCancelled, &counted, &fill, &pace);
    let ramp = of_part(&phase, Part::Ramp);
    let starts: Vec<MonoNs> = ramp[..4].iter().filter_map(|record| record.intended).collect();
    for (slot, at) in (0..).zip(&starts) {
        assert_eq!(*at, starts[0] + Nanos(slot * span.0 / 4));
    }
    assert_eq!(of_part(&phase, Part::Measured).len(), 4);
}

#[test]
fn an_open_loop_goes_on_through_ramp_and_tail_with_the_gaps_of_its_arrivals() {
    let gap = Nanos::from_millis(2);
    let at = |index: i64| Some(Nanos(index * gap.0));
    let counted = shots((0..4).map(at));
    let fill: Vec<Shot> = (0..30)
        .map(|index| Shot {
            id: RequestId(4 + index),
            intended: at(index.into()),
            ..counted[0].clone()
        })
        .collect();
    let pace = Pace {
        ramp: Some(RampPace { over: None, at_most: 15, then: None }),
        tail: Tail::UntilMeasuredEnd,
        duration: Some(Nanos::from_millis(10_000)),
        ..open(None)
    };
    let (_, phase) = played_around(Answers::OldestAt(3), &counted, &fill, &pace);
    let (ramp, tail) = (of_part(&phase, Part::Ramp), of_part(&phase, Part::Tail));
    // At each arrival two are open, and the third ends one: two have ended when four were sent.
    assert_eq!((ramp.len(), tail.len()), (4, 2));
    let mut intended: Vec<MonoNs> =
        phase.records.requests().iter().filter_map(|record| record.intended).collect();
    intended.sort_unstable();
    assert_eq!(intended.len(), 10);
    assert!(intended.windows(2).all(|pair| pair[1] - pair[0] == gap), "{intended:?}");
}

#[test]
fn a_target_that_dies_or_a_user_that_stops_in_the_ramp_leaves_what_counts_unsent() {
    for (answers, reason) in [
        (Answers::DiesAt(5), NotSentReason::TargetFailed),
        // Of the supply 4 to 7 start slots; this one takes the place of the first that ends.
        (Answers::UserStopsAt(8), NotSentReason::Interrupted),
    ] {
        let (counted, fill) = shots_and_fill(4, 40);
        let ramp = Some(RampPace { over: Some(Nanos::from_millis(500)), at_most: 20, then: None });
        let pace = Pace { ramp, tail: Tail::UntilMeasuredEnd, ..closed(4) };
        let (_, phase) = played_around(answers, &counted, &fill, &pace);
        let measured = of_part(&phase, Part::Measured);
        assert_eq!(measured.len(), 4);
        assert!(measured.iter().all(|record| record.outcome == Outcome::NotSent(reason)));
        assert!(of_part(&phase, Part::Tail).is_empty());
    }
}

#[test]
fn a_ramp_that_uses_up_its_supply_is_told() {
    let (counted, fill) = shots_and_fill(4, 40);
    let over = Some(Nanos::from_millis(60_000));
    let pace = Pace { ramp: Some(RampPace { over, at_most: 10, then: None }), ..closed(2) };
    let (played, phase) = played_around(Answers::AtOnce, &counted, &fill, &pace);
    assert!(played.ramp_ran_out);
    assert_eq!(of_part(&phase, Part::Measured).len(), 4);
}

#[test]
fn a_closed_loop_in_stages_has_as_many_in_flight_as_the_stage_has_slots() {
    // Long enough that a busy machine sends in a stage what is due in it.
    let first = Nanos::from_millis(500);
    let stage = |span, slots: u64| LoadStage { span, millionths: slots * 1_000_000 };
    let last = Nanos::from_millis(60);
    let list = StageList::try_from(vec![stage(first, 1), stage(first, 3), stage(last, 0)]);
    let list = list.expect("stages");
    let stages = Some(Stages { of: StagesOf::Concurrency, list });
    let pace = Pace { stages, duration: Some(list.span()), ..closed(3) };
    // None ends before it is cancelled, so that those in flight are all that were sent.
    let (played, phase) = played(Answers::WhenCancelled, &shots([None; 10]), &pace);
    let submitted: Vec<Nanos> = phase
        .records
        .requests()
        .iter()
        .filter_map(|record| record.submit.map(|at| at - played.start))
        .collect();
    assert_eq!(submitted.len(), 3, "{submitted:?}");
    assert!(submitted[0] < first, "{submitted:?}");
    assert!(submitted[1..].iter().all(|at| *at >= first), "{submitted:?}");
}
