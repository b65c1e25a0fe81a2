//! HOT PATH. Issuer: sends each shot at its instant, enforces time-outs, and waits for the last answers.
//!
//! One thread plays the shots of a plan against a session: pacing is data, stopping is a flag, and every latency is
//! taken from the intended instant as well. A shot that is late is sent late and never skipped.

mod ends;
mod ramp;
mod slots;

use std::collections::VecDeque;

use self::ends::{Counted, Deadlines, SentIds};
use self::slots::{Slots, StagedSlots};
use crate::clock::{self, MonoNs, Nanos};
use crate::issue::pace::{DRAW_LOOK, Graces, LOOK_UP, Pace, Played};
use crate::issue::shots::{Lane, Look, Shots};
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::load::course::Tail;
use crate::load::plan::Shot;
use crate::record::event::Event;
use crate::record::gate::Gate;
use crate::record::oddity::Asked;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::targets::Session;

/// Between "go" and the first shot, so that the first one is not late.
const LEAD: Nanos = Nanos::from_micros(500);

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
    let mut issuer = Issuer {
        session,
        sink,
        gate,
        stop,
        timeout: pace.timeout,
        graces: pace.graces,
        given_up: 0,
        start: clock::now(),
        ended_before: gate.ended(),
        deadlines: Deadlines::of(shots),
        cancelled: VecDeque::with_capacity(shots.len() + shots.fill_len()),
        counted: Counted::none(shots),
        fill_taken: 0,
        until: MonoNs(i64::MAX),
        tail_until: None,
        is_cut_off: false,
        ramp_ran_out: false,
    };
    let sent = issuer.send_all(shots, pace);
    let cut_off = sent < shots.len() && issuer.is_cut_off;
    let draining = gate.tool().map(|tool| tool.phase("drain"));
    let interrupted = cut_off || (stop.is_asked() && sent < shots.len());
    let shortened = interrupted || stop.is_enough();
    let why_unsent = issuer.why_unsent(shortened);
    let ids = SentIds { counted: shots.ids(sent), fill: shots.fill_ids() };
    issuer.fail_open_if_broken(&ids);
    let patience = match issuer.tail_until {
        Some(until) if clock::now() >= until => Nanos::ZERO,
        _ if pace.duration.is_some() || shortened => pace.drain,
        _ => Nanos(i64::MAX),
    };
    let all_counted_ended = issuer.counted.have_ended(gate).then(clock::now);
    issuer.drain(&ids, patience, pace.drain);
    drop(draining);
    let end = clock::now();
    issuer.leave_unsent(shots, sent, why_unsent);
    let is_early = all_counted_ended.unwrap_or(end) < issuer.until;
    let ran_out = pace.duration.is_some() && sent == shots.len() && is_early && !interrupted;
    Played {
        start: issuer.start,
        end,
        interrupted: interrupted || stop.is_asked(),
        ran_out,
        ramp_ran_out: issuer.ramp_ran_out,
        given_up: issuer.given_up,
    }
}

struct Issuer<'a> {
    session: &'a mut dyn Session,
    sink: &'a mut Sink,
    gate: &'a Gate,
    stop: &'a Stop,
    timeout: Nanos,
    graces: Graces,
    given_up: u64,
    /// What intended instants count from: of the ramp, then of the shots that count.
    start: MonoNs,
    /// Requests that the session had ended before.
    ended_before: u64,
    deadlines: Deadlines,
    /// Asked to end; given up at the instant.
    cancelled: VecDeque<(MonoNs, RequestId)>,
    counted: Counted,
    /// Shots that ramp and tail have taken.
    fill_taken: usize,
    /// No shot that counts leaves later.
    until: MonoNs,
    /// While the tail is sent, its last instant.
    tail_until: Option<MonoNs>,
    /// A shot could not be drawn: no later one is sent.
    is_cut_off: bool,
    ramp_ran_out: bool,
}

impl Issuer<'_> {
    /// Whether no further shot may be sent: the end was asked for, enough was shown, the target is gone, or the tail has done its work.
    fn is_over(&mut self) -> bool {
        self.stop.is_asked()
            || self.stop.is_enough()
            || self.gate.broken().is_some()
            || self
                .tail_until
                .is_some_and(|until| self.has_tail_done_its_work() || clock::now() >= until)
    }

    /// Whether every request that counts has ended, those of other processes too.
    fn has_tail_done_its_work(&mut self) -> bool {
        self.counted.have_ended(self.gate) && self.stop.have_others_ended()
    }

    /// Sends shots until the plan, the time or the user's patience ends; returns how many that count were sent.
    fn send_all(&mut self, shots: &mut Shots<'_>, pace: &Pace) -> usize {
        match pace.load {
            Load::Batch => {
                self.begin(pace);
                self.send_counted(shots, |issuer, shot| {
                    Some(Leave::at(intended(shot, issuer.start)))
                })
            }
            Load::Closed { concurrency } => self.send_closed(shots, pace, concurrency),
            Load::Open { max_in_flight, .. } => self.send_open(shots, pace, max_in_flight),
        }
    }

    /// Waits for an instant that is soon, from which intended ones count.
    fn begin(&mut self, pace: &Pace) {
        // An instant that was agreed and has passed makes shots late, which their records say.
        self.start = pace.begin_at.unwrap_or_else(|| clock::now() + LEAD);
        self.measure_from(self.start, pace);
        clock::wait_precisely_until(self.start);
    }

    /// Shots that count are due, and their time is up, from this instant on.
    fn measure_from(&mut self, start: MonoNs, pace: &Pace) {
        self.start = start;
        self.until = pace.duration.map_or(MonoNs(i64::MAX), |span| start + span);
    }

    fn send_closed(&mut self, shots: &mut Shots<'_>, pace: &Pace, slots: u32) -> usize {
        let first = match pace.ramp {
            Some(ramp) => self.take_first(shots, ramp.at_most.min(slots as usize)),
            None => VecDeque::new(),
        };
        self.begin(pace);
        let mut free = Slots::at_once(self.gate.unheld(slots), self.start);
        if let Some(ramp) = pace.ramp {
            let _marked = self.gate.tool().map(|tool| tool.phase("ramp"));
            free.spread_over(ramp.over.unwrap_or(Nanos::ZERO));
            if !self.ramp_closed(shots, ramp, first, slots, &mut free) {
                return 0;
            }
            self.measure_from(clock::now(), pace);
        }
        let start = self.start;
        if let Some(stages) = pace.stages {
            let mut staged = StagedSlots::new(&stages.list, start);
            return self.send_counted(shots, |issuer, _| {
                issuer.await_staged_slot(&mut staged).map(Leave::at)
            });
        }
        let sent = self.send_counted(shots, |issuer, _| {
            let until = issuer.until;
            let since = issuer.await_slot(&mut free, until)?.since();
            Some(Leave::at(since.max(start)))
        });
        if pace.tail == Tail::UntilMeasuredEnd && !self.is_over() {
            let _marked = self.gate.tool().map(|tool| tool.phase("tail"));
            self.begin_tail(pace);
            self.send_fill(shots, |issuer, _| {
                let since = issuer.await_slot(&mut free, MonoNs(i64::MAX))?.since();
                Some(Leave::at(since))
            });
        }
        sent
    }

    fn send_open(&mut self, shots: &mut Shots<'_>, pace: &Pace, cap: Option<u32>) -> usize {
        self.begin(pace);
        let mut slots = cap.map(|cap| Slots::at_once(self.gate.unheld(cap), self.start));
        if let Some(ramp) = pace.ramp {
            let _marked = self.gate.tool().map(|tool| tool.phase("ramp"));
            let begun = self.start;
            let Some(next) = self.ramp_open(shots, ramp, &mut slots) else { return 0 };
            self.measure_from(ramp.then.map_or(next, |span| begun + span), pace);
        }
        let start = self.start;
        let sent = self.send_counted(shots, |issuer, shot| {
            let until = issuer.until;
            issuer.await_arrival(intended(shot, start), &mut slots, until)
        });
        if pace.tail == Tail::UntilMeasuredEnd && !self.is_over() {
            let _marked = self.gate.tool().map(|tool| tool.phase("tail"));
            self.begin_tail(pace);
            self.tail_open(shots, &mut slots);
        }
        sent
    }

    /// Waits for an arrival and, under a cap, for a slot.
    fn await_arrival(
        &mut self,
        intended: MonoNs,
        slots: &mut Option<Slots>,
        until: MonoNs,
    ) -> Option<Leave> {
        if !self.await_instant(intended) {
            return None;
        }
        let Some(slots) = slots else { return Some(Leave::at(intended)) };
        let free = self.await_slot(slots, until)?.since();
        Some(Leave { intended, ready: intended.max(free) })
    }

    /// Sends the shots that count; returns how many were sent.
    fn send_counted(
        &mut self,
        shots: &mut Shots<'_>,
        mut next: impl FnMut(&mut Self, &Shot) -> Option<Leave>,
    ) -> usize {
        for sent in 0..shots.len() {
            if self.is_over() {
                return sent;
            }
            let Some(shot) = self.await_shot(shots, Lane::Counted) else { return sent };
            let Some(leave) = next(self, shot) else { return sent };
            self.fire(shot, leave);
            self.counted.0.end += 1;
        }
        shots.len()
    }

    /// The next shot of the supply; `None` when there is none or the end was asked for.
    #[inline]
    fn await_fill<'s>(&mut self, shots: &'s mut Shots<'_>) -> Option<&'s Shot> {
        if self.fill_taken >= shots.fill_len() {
            return None;
        }
        let shot = self.await_shot(shots, Lane::Fill)?;
        self.fill_taken += 1;
        Some(shot)
    }

    /// Requests that have ended since the beginning.
    fn ended(&self) -> u64 {
        self.gate.ended() - self.ended_before
    }

    /// The next shot; `None` when it cannot be drawn or the end was asked for.
    #[inline]
    fn await_shot<'s>(&mut self, shots: &'s mut Shots<'_>, lane: Lane) -> Option<&'s Shot> {
        loop {
            match shots.look(lane) {
                Look::Ready => return shots.take(lane),
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
        let asked = asked_of(shot);
        self.sink.push_blocking(Event::Submitted { id, intended, ready, at, asked });
        let refused = self.session.submit(shot).err();
        self.deadlines.push(at + self.timeout, id);
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

fn asked_of(shot: &Shot) -> Asked {
    let request = &shot.request;
    let may_end = request.terms.stop_words.is_some() || request.terms.allotted.is_some();
    Asked { streaming: request.streaming, whole_length: request.output.ignore_eos && !may_end }
}

#[cfg(test)]
mod tests;
