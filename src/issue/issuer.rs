//! HOT PATH. Issuer: sends each shot at its instant, enforces time-outs, and waits for the last answers.
//!
//! One thread plays the shots of a plan against a session: pacing is data, stopping is a flag, and every latency is
//! taken from the intended instant as well. A shot that is late is sent late and never skipped.

use std::collections::VecDeque;
use std::ops::Range;

use crate::clock::{self, MonoNs, Nanos};
use crate::issue::shots::{Lane, Look, Shots};
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::load::course::Tail;
use crate::load::plan::{Shot, ShotFacts};
use crate::record::event::{Ending, Event};
use crate::record::gate::Gate;
use crate::record::oddity::Asked;
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
    /// What brings the load to its steady state before the first shot that counts; `None` sends that one first.
    pub ramp: Option<RampPace>,
    /// What is sent behind the last shot that counts.
    pub tail: Tail,
    /// No shot that counts leaves later than this after the first one; `None` plays all of them.
    pub duration: Option<Nanos>,
    /// Longest time from submit to end of one request; it is then cancelled and counts as timed out.
    pub timeout: Nanos,
    /// How long answers are awaited after the duration or an interrupt, before what is open is cancelled.
    pub drain: Nanos,
    /// How long a target may go on with what it was asked to end.
    pub graces: Graces,
}

/// How long a target may go on with what it was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graces {
    /// A cancelled request, before it is given up.
    pub cancelled: Nanos,
    /// Every slot with requests that were given up, before the target is.
    pub stuck: Nanos,
}

impl Graces {
    /// Those of every run.
    pub const OF_RUNS: Self =
        Self { cancelled: Nanos::from_millis(5_000), stuck: Nanos::from_millis(60_000) };
}

/// How a ramp is played. It ends when as many requests have ended as are in flight, and not before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RampPace {
    /// A closed loop starts its slots over this time, at once without it; an open loop sends for so long, without it until
    /// enough requests have ended.
    pub over: Option<Nanos>,
    /// Requests at most.
    pub at_most: usize,
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
    /// The ramp had used up its supply before it was over.
    pub ramp_ran_out: bool,
    /// Requests, of ramp and tail too, that the target went on with after a cancel for as long as it may, and longer.
    pub given_up: u64,
}

/// Between "go" and the first shot, so that the first one is not late.
const LEAD: Nanos = Nanos::from_micros(500);
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

/// The slots of a loop that is closed or capped: unused ones first, each when it is due, then freed ones.
struct Slots {
    unused: u32,
    /// When the next unused one is due, and how long after it the one behind.
    due: MonoNs,
    gap: Nanos,
    /// One that was found free and not used.
    held: Option<MonoNs>,
    /// Since when every slot belongs to a request that was given up.
    stuck: Option<MonoNs>,
}

impl Slots {
    fn at_once(slots: u32, start: MonoNs) -> Self {
        Self { unused: slots, due: start, gap: Nanos::ZERO, held: None, stuck: None }
    }

    fn spread_over(&mut self, span: Nanos) {
        self.gap = Nanos(span.0 / i64::from(self.unused.max(1)));
    }
}

/// A slot that may be used, and since when.
#[derive(Clone, Copy)]
enum Free {
    /// For the first time.
    Unused(MonoNs),
    /// Since its request ended.
    Freed(MonoNs),
}

impl Free {
    const fn since(self) -> MonoNs {
        match self {
            Self::Unused(at) | Self::Freed(at) => at,
        }
    }
}

/// Ids of the shots that count and were sent, looked at in order until each has ended.
struct Counted(Range<u32>);

impl Counted {
    fn none(shots: &Shots<'_>) -> Self {
        Self(shots.ids(0))
    }

    fn have_ended(&mut self, gate: &Gate) -> bool {
        while !self.0.is_empty() && !gate.is_open(RequestId(self.0.start)) {
            self.0.start += 1;
        }
        self.0.is_empty()
    }
}

/// Ids of everything that may have been sent.
struct SentIds {
    counted: Range<u32>,
    fill: Range<u32>,
}

impl SentIds {
    fn open(&self, gate: &Gate) -> impl Iterator<Item = RequestId> {
        let all = self.counted.clone().chain(self.fill.clone());
        all.map(RequestId).filter(|id| gate.is_open(*id))
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

/// The deadlines of sent requests.
struct Deadlines {
    /// In order of submission, which is the order of deadlines.
    instants: VecDeque<MonoNs>,
    ids: VecDeque<RequestId>,
}

impl Deadlines {
    /// Room for every request, so that nothing grows while requests are sent.
    fn of(shots: &Shots<'_>) -> Self {
        let room = shots.len() + shots.fill_len();
        Self { instants: VecDeque::with_capacity(room), ids: VecDeque::with_capacity(room) }
    }

    fn push(&mut self, at: MonoNs, id: RequestId) {
        self.instants.push_back(at);
        self.ids.push_back(id);
    }

    fn front(&self) -> Option<(MonoNs, RequestId)> {
        self.instants.front().copied().zip(self.ids.front().copied())
    }

    fn pop_front(&mut self) {
        self.instants.pop_front();
        self.ids.pop_front();
    }
}

impl Issuer<'_> {
    /// Whether no further shot may be sent: the end was asked for, enough was shown, the target is gone, or the tail has done its work.
    fn is_over(&mut self) -> bool {
        self.stop.is_asked()
            || self.stop.is_enough()
            || self.gate.broken().is_some()
            || self
                .tail_until
                .is_some_and(|until| self.counted.have_ended(self.gate) || clock::now() >= until)
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
        self.start = clock::now() + LEAD;
        self.measure_from(self.start, pace);
        clock::wait_precisely_until(self.start);
    }

    /// Shots that count are due, and their time is up, from this instant on.
    fn measure_from(&mut self, start: MonoNs, pace: &Pace) {
        self.start = start;
        self.until = pace.duration.map_or(MonoNs(i64::MAX), |span| start + span);
    }

    fn begin_tail(&mut self, pace: &Pace) {
        let patience = if pace.duration.is_some() { pace.drain } else { Nanos(i64::MAX) };
        self.tail_until = Some(MonoNs(clock::now().0.saturating_add(patience.0)));
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

    /// The first shots of a ramp, which are sent when their slots are due while others take the place of ended ones.
    fn take_first(&mut self, shots: &mut Shots<'_>, count: usize) -> VecDeque<Shot> {
        let mut first = VecDeque::with_capacity(count);
        while first.len() < count && self.fill_taken < shots.fill_len() {
            match shots.look(Lane::Fill) {
                Look::Ready => {
                    first.extend(shots.take_away(Lane::Fill));
                    self.fill_taken += 1;
                }
                Look::NotDrawn if self.is_over() => break,
                Look::NotDrawn => self.gate.wait(clock::now() + DRAW_LOOK),
                Look::End => break,
            }
        }
        first
    }

    /// Starts each slot when it is due, and keeps those busy whose request has ended, until as many have ended as there are
    /// slots; `false` if the end was asked for.
    fn ramp_closed(
        &mut self,
        shots: &mut Shots<'_>,
        ramp: RampPace,
        mut first: VecDeque<Shot>,
        slots: u32,
        free: &mut Slots,
    ) -> bool {
        loop {
            if self.is_over() {
                return false;
            }
            let Some(slot) = self.await_slot(free, MonoNs(i64::MAX)) else { return false };
            let is_up = free.unused == 0 && self.ended() >= u64::from(slots);
            match slot {
                Free::Unused(since) => {
                    let Some(shot) = first.pop_front() else { return !self.is_over() };
                    self.fire(&shot, Leave::at(since));
                }
                Free::Freed(since) if is_up || self.fill_taken >= ramp.at_most => {
                    self.ramp_ran_out = !is_up;
                    free.held = Some(since);
                    return true;
                }
                Free::Freed(since) => {
                    let Some(shot) = self.await_fill(shots) else { return !self.is_over() };
                    self.fire(shot, Leave::at(since));
                }
            }
        }
    }

    fn send_open(&mut self, shots: &mut Shots<'_>, pace: &Pace, cap: Option<u32>) -> usize {
        self.begin(pace);
        let mut slots = cap.map(|cap| Slots::at_once(self.gate.unheld(cap), self.start));
        if let Some(ramp) = pace.ramp {
            let _marked = self.gate.tool().map(|tool| tool.phase("ramp"));
            let Some(next) = self.ramp_open(shots, ramp, &mut slots) else { return 0 };
            self.measure_from(next, pace);
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

    /// Sends arrivals until enough requests have ended; the instant of the arrival behind the last one, `None` if the end was
    /// asked for.
    fn ramp_open(
        &mut self,
        shots: &mut Shots<'_>,
        ramp: RampPace,
        slots: &mut Option<Slots>,
    ) -> Option<MonoNs> {
        let start = self.start;
        loop {
            let next = shots.fill_facts_of(self.fill_taken).and_then(|shot| shot.intended);
            let Some(at) = next.map(|after| start + after) else {
                return Some(clock::now() + LEAD);
            };
            let is_long = |span| at - start >= span;
            if ramp.over.is_some_and(is_long) {
                return Some(at);
            }
            if self.fill_taken >= ramp.at_most {
                self.ramp_ran_out = true;
                return Some(at);
            }
            if !self.await_instant(at) || self.is_over() {
                return None;
            }
            let ended = self.ended();
            if ramp.over.is_none() && ended >= u64::from(self.gate.in_flight().max(1)) {
                return Some(at);
            }
            let shot = self.await_fill(shots)?;
            let leave = self.await_arrival(at, slots, MonoNs(i64::MAX))?;
            self.fire(shot, leave);
        }
    }

    /// Goes on with arrivals behind the last one that counts, with the gaps of the supply.
    fn tail_open(&mut self, shots: &mut Shots<'_>, slots: &mut Option<Slots>) {
        let after = |shot: Option<ShotFacts>| shot.and_then(|shot| shot.intended);
        let last = after(shots.len().checked_sub(1).map(|last| shots.facts_of(last)));
        let before = after(shots.fill_facts_of(self.fill_taken));
        let Some((last, before)) = last.zip(before) else { return };
        let begins = self.start + last;
        while let Some(gone) = after(shots.fill_facts_of(self.fill_taken + 1)) {
            let at = begins + Nanos(gone.0 - before.0);
            if !self.await_instant(at) || self.is_over() {
                return;
            }
            let Some(shot) = self.await_fill(shots) else { return };
            let Some(leave) = self.await_arrival(at, slots, MonoNs(i64::MAX)) else { return };
            self.fire(shot, leave);
        }
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

    /// Sends the supply until there is a reason to end.
    fn send_fill(
        &mut self,
        shots: &mut Shots<'_>,
        mut next: impl FnMut(&mut Self, &Shot) -> Option<Leave>,
    ) {
        while !self.is_over() {
            let Some(shot) = self.await_fill(shots) else { return };
            let Some(leave) = next(self, shot) else { return };
            self.fire(shot, leave);
        }
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

    /// Waits for a free slot; `None` when time is over or the end was asked for.
    fn await_slot(&mut self, slots: &mut Slots, until: MonoNs) -> Option<Free> {
        if let Some(since) = slots.held.take() {
            return Some(Free::Freed(since));
        }
        loop {
            let now = clock::now();
            let mut next = self.next_look(now).min(until);
            if slots.unused > 0 {
                let due = slots.due;
                if due <= now {
                    slots.unused -= 1;
                    slots.due = due + slots.gap;
                    return Some(Free::Unused(due));
                }
                next = next.min(due);
            }
            if now >= until || self.is_over() {
                return None;
            }
            if let Some(freed) = self.gate.take_freed() {
                slots.stuck = None;
                return Some(Free::Freed(freed));
            }
            self.enforce_deadlines(now);
            self.fail_if_stuck(slots, now);
            self.gate.wait(next);
        }
    }

    /// A target that holds every slot with requests that it was asked to end, and ends none of them, takes no more.
    fn fail_if_stuck(&self, slots: &mut Slots, now: MonoNs) {
        let held = self.gate.held();
        let is_stuck = slots.unused == 0 && held > 0 && self.gate.in_flight() == 0;
        slots.stuck = is_stuck.then(|| slots.stuck.unwrap_or(now));
        if slots.stuck.is_some_and(|since| now - since >= self.graces.stuck) {
            self.gate.fail_target(format!(
                "every slot belongs to a cancelled request ({held} of them), and the target has ended none in {} s",
                self.graces.stuck.as_secs_f64()
            ));
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
            if self.gate.abandon(id) {
                // It was cancelled, or its time was up; that the target did not say so changes neither.
                self.given_up += 1;
                self.sink.push_blocking(Event::End { id, at: now, ending: Ending::Cancelled });
            }
        }
    }

    fn cancel(&mut self, id: RequestId, now: MonoNs) {
        // Before the call, as with a submission.
        self.sink.push_blocking(Event::CancelAsked { id, at: now });
        self.session.cancel(id);
        self.cancelled.push_back((now + self.graces.cancelled, id));
    }

    /// Why what is left is not sent, as things stand when sending ends; `None` for the load's own end.
    fn why_unsent(&self, shortened: bool) -> Option<NotSentReason> {
        match self.gate.broken() {
            Some(_) => Some(NotSentReason::TargetFailed),
            None => shortened.then_some(NotSentReason::Interrupted),
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
    fn fail_open_if_broken(&mut self, sent: &SentIds) {
        let Some(words) = self.gate.broken() else { return };
        for id in sent.open(self.gate) {
            let failure = Failure::new(FailureKind::Engine, words);
            self.sink.fail(id, clock::now(), failure);
        }
    }

    /// Waits for open requests; after `patience`, or after `after_stop` once the end was asked for, cancels them.
    fn drain(&mut self, sent: &SentIds, patience: Nanos, after_stop: Nanos) {
        let mut give_up = MonoNs(clock::now().0.saturating_add(patience.0));
        let mut stop_seen = patience == after_stop;
        let mut cancelled_all = false;
        while self.gate.in_flight() > 0 {
            let now = clock::now();
            self.fail_open_if_broken(sent);
            self.enforce_deadlines(now);
            if !stop_seen && (self.stop.is_asked() || self.stop.is_enough()) {
                stop_seen = true;
                give_up = now + after_stop;
            }
            if now >= give_up && !cancelled_all {
                cancelled_all = true;
                for id in sent.open(self.gate) {
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

fn asked_of(shot: &Shot) -> Asked {
    let request = &shot.request;
    let may_end = request.terms.stop_words.is_some() || request.terms.allotted.is_some();
    Asked { streaming: request.streaming, whole_length: request.output.ignore_eos && !may_end }
}

#[cfg(test)]
#[path = "issuer_tests.rs"]
mod tests;
