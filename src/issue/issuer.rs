//! HOT PATH. Issuer: sends each shot at its instant, enforces time-outs, and waits for the last answers.
//!
//! One thread plays the shots of a plan against a session: pacing is data, stopping is a flag, and every latency is
//! taken from the intended instant as well. A shot that is late is sent late and never skipped.

use std::collections::VecDeque;
use std::ops::Range;

use crate::clock::{self, MonoNs, Nanos};
use crate::issue::shots::{Look, Shots};
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::load::plan::Shot;
use crate::record::event::{Ending, Event};
use crate::record::gate::Gate;
use crate::record::request_record::NotSentReason;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::Session;

/// How a plan is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// When shots leave.
    pub load: Load,
    /// No shot leaves later than this after the start; `None` plays all shots.
    pub duration: Option<Nanos>,
    /// Longest time from submit to end of one request; it is then cancelled and counts as timed out.
    pub timeout: Nanos,
    /// How long answers are awaited after the duration or an interrupt, before what is open is cancelled.
    pub drain: Nanos,
}

/// How the playing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Played {
    /// The instant that intended arrivals count from.
    pub start: MonoNs,
    /// When the last request had ended or was given up.
    pub end: MonoNs,
    /// Someone asked for the end before the plan was done.
    pub interrupted: bool,
    /// Every shot was sent before the duration was over: a longer plan was needed.
    pub ran_out: bool,
}

/// Between "go" and the first shot, so that the first one is not late.
const LEAD: Nanos = Nanos::from_micros(500);
/// How long a cancelled request may take to say that it has ended.
const CANCEL_GRACE: Nanos = Nanos::from_millis(5_000);
/// Between two looks for a shot that has not been drawn yet.
const DRAW_LOOK: Nanos = Nanos::from_micros(50);
/// Longest sleep without a look at the stop flag.
const LOOK_UP: Nanos = Nanos::from_millis(50);

/// Plays `shots` against `session` and returns when every one of them has ended or been given up.
pub fn play(
    shots: &mut Shots<'_>,
    pace: &Pace,
    session: &mut dyn Session,
    sink: &mut Sink,
    gate: &Gate,
    stop: &Stop,
) -> Played {
    gate.wake_this_thread();
    gate.forget_freed();
    let start = clock::now() + LEAD;
    let mut issuer = Issuer {
        session,
        sink,
        gate,
        stop,
        timeout: pace.timeout,
        start,
        // Room for every request, so that nothing grows while requests are sent.
        deadlines: Deadlines::of(shots),
        cancelled: VecDeque::with_capacity(shots.len()),
        is_cut_off: false,
    };
    let until = pace.duration.map_or(MonoNs(i64::MAX), |span| start + span);
    let sent = issuer.send_all(shots, &pace.load, until);
    let cut_off = sent < shots.len() && issuer.is_cut_off;
    let draining = gate.tool().map(|tool| tool.phase("drain"));
    let interrupted = cut_off || (stop.is_asked() && sent < shots.len());
    let why_unsent = issuer.why_unsent(interrupted);
    issuer.fail_open_if_broken(shots.ids(sent));
    let patience =
        if pace.duration.is_some() || interrupted { pace.drain } else { Nanos(i64::MAX) };
    issuer.drain(&shots.ids(sent), patience, pace.drain);
    drop(draining);
    let end = clock::now();
    issuer.leave_unsent(shots, sent, why_unsent);
    let ran_out = pace.duration.is_some() && sent == shots.len() && end < until && !interrupted;
    Played { start, end, interrupted: interrupted || stop.is_asked(), ran_out }
}

/// The slots of a loop that is closed or capped: unused ones first, then freed ones.
struct Slots {
    unused: u32,
}

struct Issuer<'a> {
    session: &'a mut dyn Session,
    sink: &'a mut Sink,
    gate: &'a Gate,
    stop: &'a Stop,
    timeout: Nanos,
    start: MonoNs,
    deadlines: Deadlines,
    /// Asked to end; given up at the instant.
    cancelled: VecDeque<(MonoNs, RequestId)>,
    /// A shot could not be drawn: no later one is sent.
    is_cut_off: bool,
}

/// The deadlines of sent requests, whose ids follow one another.
struct Deadlines {
    first: RequestId,
    /// In order of submission, which is the order of deadlines.
    instants: VecDeque<MonoNs>,
}

impl Deadlines {
    fn of(shots: &Shots<'_>) -> Self {
        let first = RequestId(shots.ids(0).start);
        Self { first, instants: VecDeque::with_capacity(shots.len()) }
    }

    fn front(&self) -> Option<(MonoNs, RequestId)> {
        self.instants.front().map(|at| (*at, self.first))
    }

    fn pop_front(&mut self) {
        self.instants.pop_front();
        self.first.0 += 1;
    }
}

impl Issuer<'_> {
    /// Whether no further shot may be sent: the end was asked for, or the target is gone.
    fn is_over(&self) -> bool {
        self.stop.is_asked() || self.gate.broken().is_some()
    }

    /// Sends shots until the plan, the time or the user's patience ends; returns how many were sent.
    fn send_all(&mut self, shots: &mut Shots<'_>, load: &Load, until: MonoNs) -> usize {
        let start = self.start;
        clock::wait_precisely_until(start);
        match *load {
            Load::Batch => self.send_while(shots, |_, shot| Some(Leave::at(intended(shot, start)))),
            Load::Closed { concurrency } => {
                let mut slots = Slots { unused: concurrency };
                self.send_while(shots, |issuer, _| {
                    issuer.await_slot(&mut slots, until).map(|free| Leave::at(free.max(start)))
                })
            }
            Load::Open { max_in_flight: None, .. } => self.send_while(shots, |issuer, shot| {
                let intended = intended(shot, start);
                issuer.await_instant(intended).then_some(Leave::at(intended))
            }),
            Load::Open { max_in_flight: Some(cap), .. } => {
                let mut slots = Slots { unused: cap };
                self.send_while(shots, |issuer, shot| {
                    let intended = intended(shot, start);
                    if !issuer.await_instant(intended) {
                        return None;
                    }
                    let free = issuer.await_slot(&mut slots, until)?;
                    Some(Leave { intended, ready: intended.max(free) })
                })
            }
        }
    }

    fn send_while(
        &mut self,
        shots: &mut Shots<'_>,
        mut next: impl FnMut(&mut Self, &Shot) -> Option<Leave>,
    ) -> usize {
        for sent in 0..shots.len() {
            if self.is_over() {
                return sent;
            }
            let Some(shot) = self.await_shot(shots) else { return sent };
            let Some(leave) = next(self, shot) else { return sent };
            self.fire(shot, leave);
        }
        shots.len()
    }

    /// The next shot; `None` when it cannot be drawn or the end was asked for.
    #[inline]
    fn await_shot<'s>(&mut self, shots: &'s mut Shots<'_>) -> Option<&'s Shot> {
        loop {
            match shots.look() {
                Look::Ready => return shots.take(),
                Look::NotDrawn if self.is_over() => return None,
                Look::NotDrawn => {
                    let now = clock::now();
                    self.enforce_deadlines(now);
                    self.gate.wait(now + DRAW_LOOK);
                }
                Look::End => {
                    self.is_cut_off = true;
                    return None;
                }
            }
        }
    }

    #[inline]
    fn fire(&mut self, shot: &Shot, leave: Leave) {
        let id = shot.id;
        self.gate.open(id);
        let Leave { intended, ready } = leave;
        let at = clock::now();
        // Before the call, so that the recorder never meets an end whose submission it has not seen.
        self.sink.push_blocking(Event::Submitted { id, intended, ready, at });
        let refused = self.session.submit(shot).err();
        self.deadlines.instants.push_back(at + self.timeout);
        if let Some(failure) = refused {
            self.sink.fail(id, clock::now(), failure);
        }
    }

    /// Waits for the instant; `false` if the end was asked for meanwhile.
    fn await_instant(&mut self, instant: MonoNs) -> bool {
        loop {
            let now = clock::now();
            if instant - now <= LOOK_UP {
                self.enforce_deadlines(now);
                clock::wait_precisely_until(instant);
                return true;
            }
            if self.is_over() {
                return false;
            }
            self.enforce_deadlines(now);
            clock::sleep_until(now + Nanos(LOOK_UP.0 / 2));
        }
    }

    /// Waits for a free slot and says since when it is free; `None` when time is over or the end was asked for.
    fn await_slot(&mut self, slots: &mut Slots, until: MonoNs) -> Option<MonoNs> {
        if slots.unused > 0 {
            slots.unused -= 1;
            return Some(self.start);
        }
        loop {
            let now = clock::now();
            if now >= until || self.is_over() {
                return None;
            }
            if let Some(freed) = self.gate.take_freed() {
                return Some(freed);
            }
            self.enforce_deadlines(now);
            self.gate.wait(until.min(self.next_look(now)));
        }
    }

    fn next_look(&self, now: MonoNs) -> MonoNs {
        let deadline = self.deadlines.front().map_or(MonoNs(i64::MAX), |(at, _)| at);
        deadline.min(now + LOOK_UP)
    }

    /// Cancels what has taken too long, and gives up what did not even answer the cancel.
    fn enforce_deadlines(&mut self, now: MonoNs) {
        while let Some((deadline, id)) = self.deadlines.front() {
            if self.gate.is_open(id) {
                if deadline > now {
                    break;
                }
                self.sink.push_blocking(Event::TimedOut { id, at: now });
                self.cancel(id, now);
            }
            self.deadlines.pop_front();
        }
        while let Some(&(give_up, id)) = self.cancelled.front() {
            if give_up > now {
                break;
            }
            self.cancelled.pop_front();
            if self.gate.abandon(id, now) {
                let ending = Ending::Failed(FailureKind::Unanswered);
                self.sink.push_blocking(Event::End { id, at: now, ending });
            }
        }
    }

    fn cancel(&mut self, id: RequestId, now: MonoNs) {
        self.session.cancel(id);
        self.cancelled.push_back((now + CANCEL_GRACE, id));
    }

    /// Why what is left is not sent, as things stand when sending ends; `None` for the load's own end.
    fn why_unsent(&self, interrupted: bool) -> Option<NotSentReason> {
        match self.gate.broken() {
            Some(_) => Some(NotSentReason::TargetFailed),
            None => interrupted.then_some(NotSentReason::Interrupted),
        }
    }

    /// Notes what was never sent, when all that was sent is over: there may be far more of it than a ring holds, and the
    /// recorder that reads it would leave the targets' rings to fill.
    fn leave_unsent(&mut self, shots: &Shots<'_>, sent: usize, why: Option<NotSentReason>) {
        for shot in shots.facts().skip(sent) {
            let own_end = match shot.intended {
                Some(_) => NotSentReason::Missed,
                None => NotSentReason::NotReached,
            };
            let (reason, intended) =
                (why.unwrap_or(own_end), shot.intended.map(|after| self.start + after));
            self.sink.push_blocking_uncounted(Event::NotSent { id: shot.id, intended, reason });
        }
    }

    /// A target that answers no more has failed everything that is open.
    fn fail_open_if_broken(&mut self, sent: Range<u32>) {
        let Some(words) = self.gate.broken() else { return };
        for id in sent.map(RequestId).filter(|id| self.gate.is_open(*id)) {
            let failure = Failure::new(FailureKind::Engine, words);
            self.sink.fail(id, clock::now(), failure);
        }
    }

    /// Waits for open requests; after `patience`, or after `after_stop` once the end was asked for, cancels them.
    fn drain(&mut self, sent: &Range<u32>, patience: Nanos, after_stop: Nanos) {
        let mut give_up = MonoNs(clock::now().0.saturating_add(patience.0));
        let mut stop_seen = patience == after_stop;
        let mut cancelled_all = false;
        while self.gate.in_flight() > 0 {
            let now = clock::now();
            self.fail_open_if_broken(sent.clone());
            self.enforce_deadlines(now);
            if !stop_seen && self.stop.is_asked() {
                stop_seen = true;
                give_up = now + after_stop;
            }
            if now >= give_up && !cancelled_all {
                cancelled_all = true;
                for id in sent.clone().map(RequestId).filter(|id| self.gate.is_open(*id)) {
                    self.cancel(id, now);
                }
            }
            self.gate.wait(self.next_look(now));
        }
    }
}

/// When a shot should leave, and the earliest instant at which it may.
#[derive(Clone, Copy)]
struct Leave {
    intended: MonoNs,
    ready: MonoNs,
}

impl Leave {
    fn at(instant: MonoNs) -> Self {
        Self { intended: instant, ready: instant }
    }
}

fn intended(shot: &Shot, start: MonoNs) -> MonoNs {
    start + shot.intended.unwrap_or(Nanos::ZERO)
}

#[cfg(test)]
#[path = "issuer_tests.rs"]
mod tests;
