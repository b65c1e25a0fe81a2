//! HOT PATH. Slots of a loop that is closed or capped, and the wait for a free one.

use super::{Issuer, LOOK_UP};
use crate::clock::{self, MonoNs, Nanos};
use crate::load::stages::StageList;

/// The slots of a loop that is closed or capped: unused ones first, each when it is due, then freed ones.
pub(super) struct Slots {
    pub(super) unused: u32,
    /// When the next unused one is due, and how long after it the one behind.
    pub(super) due: MonoNs,
    pub(super) gap: Nanos,
    /// One that was found free and not used.
    pub(super) held: Option<MonoNs>,
    /// Since when every slot belongs to a request that was given up.
    pub(super) stuck: Option<MonoNs>,
}

impl Slots {
    pub(super) fn at_once(slots: u32, start: MonoNs) -> Self {
        Self { unused: slots, due: start, gap: Nanos::ZERO, held: None, stuck: None }
    }

    pub(super) fn spread_over(&mut self, span: Nanos) {
        self.gap = Nanos(span.0 / i64::from(self.unused.max(1)));
    }
}

/// A slot that may be used, and since when.
#[derive(Clone, Copy)]
pub(super) enum Free {
    /// For the first time.
    Unused(MonoNs),
    /// Since its request ended.
    Freed(MonoNs),
}

impl Free {
    pub(super) const fn since(self) -> MonoNs {
        match self {
            Self::Unused(at) | Self::Freed(at) => at,
        }
    }
}

/// Slots of a closed loop in stages: how many there are follows from the time.
pub(super) struct StagedSlots {
    list: StageList,
    start: MonoNs,
    /// The last instant at which one became free.
    freed: MonoNs,
}

impl StagedSlots {
    pub(super) const fn new(list: &StageList, start: MonoNs) -> Self {
        Self { list: *list, start, freed: start }
    }
}

impl Issuer<'_> {
    /// Waits until fewer requests are in flight than the stage has slots, and says since when; `None` when the stages are over or
    /// the end was asked for. A stage with fewer slots lets requests of the one before end.
    pub(super) fn await_staged_slot(&mut self, slots: &mut StagedSlots) -> Option<MonoNs> {
        loop {
            let now = clock::now();
            while let Some(freed) = self.gate.take_freed() {
                slots.freed = freed;
            }
            let (stage, ends) = slots.list.at(now - slots.start)?;
            if self.is_over() {
                return None;
            }
            let taken = self.gate.in_flight() + self.gate.held();
            if f64::from(taken) < stage.level().floor() {
                let begins = slots.start + Nanos(ends.0 - stage.span.0);
                return Some(begins.max(slots.freed).min(now));
            }
            self.enforce_deadlines(now);
            self.gate.wait(self.next_look(now).min(slots.start + ends));
        }
    }

    /// Waits for a free slot; `None` when time is over or the end was asked for.
    pub(super) fn await_slot(&mut self, slots: &mut Slots, until: MonoNs) -> Option<Free> {
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
    pub(super) fn fail_if_stuck(&self, slots: &mut Slots, now: MonoNs) {
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

    pub(super) fn next_look(&self, now: MonoNs) -> MonoNs {
        let deadline = self.deadlines.front().map_or(MonoNs(i64::MAX), |(at, _)| at);
        deadline.min(now + LOOK_UP)
    }
}
