//! HOT PATH. Ramp and tail: the load before the first shot that counts and behind the last one.

use std::collections::VecDeque;

use super::slots::{Free, Slots};
use super::{DRAW_LOOK, Issuer, LEAD, Leave};
use crate::clock::{self, MonoNs, Nanos};
use crate::issue::pace::{Pace, RampPace};
use crate::issue::shots::{Lane, Look, Shots};
use crate::load::plan::{Shot, ShotFacts};

impl Issuer<'_> {
    pub(super) fn begin_tail(&mut self, pace: &Pace) {
        let patience = if pace.duration.is_some() { pace.drain } else { Nanos(i64::MAX) };
        self.tail_until = Some(MonoNs(clock::now().0.saturating_add(patience.0)));
    }

    /// The first shots of a ramp, which are sent when their slots are due while others take the place of ended ones.
    pub(super) fn take_first(&mut self, shots: &mut Shots<'_>, count: usize) -> VecDeque<Shot> {
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
    pub(super) fn ramp_closed(
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

    /// Sends arrivals until enough requests have ended; the instant of the arrival behind the last one, `None` if the end was
    /// asked for.
    pub(super) fn ramp_open(
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
    pub(super) fn tail_open(&mut self, shots: &mut Shots<'_>, slots: &mut Option<Slots>) {
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

    /// Sends the supply until there is a reason to end.
    pub(super) fn send_fill(
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
}
