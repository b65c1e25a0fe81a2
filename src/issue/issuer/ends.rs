//! HOT PATH. Ends that the harness brings about: time-outs, the drain, and what was never sent.

use std::collections::VecDeque;
use std::ops::Range;

use super::Issuer;
use crate::clock::{self, MonoNs, Nanos};
use crate::issue::shots::Shots;
use crate::record::event::{Ending, Event};
use crate::record::gate::Gate;
use crate::record::request_record::NotSentReason;
use crate::request::{Failure, FailureKind, RequestId};

/// Ids of the shots that count and were sent, looked at in order until each has ended.
pub(super) struct Counted(pub(super) Range<u32>);

impl Counted {
    pub(super) fn none(shots: &Shots<'_>) -> Self {
        Self(shots.ids(0))
    }

    pub(super) fn have_ended(&mut self, gate: &Gate) -> bool {
        while !self.0.is_empty() && !gate.is_open(RequestId(self.0.start)) {
            self.0.start += 1;
        }
        self.0.is_empty()
    }
}

/// Ids of everything that may have been sent.
pub(super) struct SentIds {
    pub(super) counted: Range<u32>,
    pub(super) fill: Range<u32>,
}

impl SentIds {
    pub(super) fn open(&self, gate: &Gate) -> impl Iterator<Item = RequestId> {
        let all = self.counted.clone().chain(self.fill.clone());
        all.map(RequestId).filter(|id| gate.is_open(*id))
    }
}

/// The deadlines of sent requests.
pub(super) struct Deadlines {
    /// In order of submission, which is the order of deadlines.
    pub(super) instants: VecDeque<MonoNs>,
    pub(super) ids: VecDeque<RequestId>,
}

impl Deadlines {
    /// Room for every request, so that nothing grows while requests are sent.
    pub(super) fn of(shots: &Shots<'_>) -> Self {
        let room = shots.len() + shots.fill_len();
        Self { instants: VecDeque::with_capacity(room), ids: VecDeque::with_capacity(room) }
    }

    pub(super) fn push(&mut self, at: MonoNs, id: RequestId) {
        self.instants.push_back(at);
        self.ids.push_back(id);
    }

    pub(super) fn front(&self) -> Option<(MonoNs, RequestId)> {
        self.instants.front().copied().zip(self.ids.front().copied())
    }

    pub(super) fn pop_front(&mut self) {
        self.instants.pop_front();
        self.ids.pop_front();
    }
}

impl Issuer<'_> {
    /// Cancels what has taken too long, and gives up what did not even answer the cancel.
    pub(super) fn enforce_deadlines(&mut self, now: MonoNs) {
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

    pub(super) fn cancel(&mut self, id: RequestId, now: MonoNs) {
        // Before the call, as with a submission.
        self.sink.push_blocking(Event::CancelAsked { id, at: now });
        self.session.cancel(id);
        self.cancelled.push_back((now + self.graces.cancelled, id));
    }

    /// Why what is left is not sent, as things stand when sending ends; `None` for the load's own end.
    pub(super) fn why_unsent(&self, shortened: bool) -> Option<NotSentReason> {
        match self.gate.broken() {
            Some(_) => Some(NotSentReason::TargetFailed),
            // What has shown enough was not meant to be played to its end.
            None if self.stop.is_enough() && !self.stop.is_asked() => {
                Some(NotSentReason::NotReached)
            }
            None => shortened.then_some(NotSentReason::Interrupted),
        }
    }

    /// Notes what was never sent, when all that was sent is over: there may be far more of it than a ring holds, and the
    /// recorder that reads it would leave the targets' rings to fill.
    pub(super) fn leave_unsent(
        &mut self,
        shots: &Shots<'_>,
        sent: usize,
        why: Option<NotSentReason>,
    ) {
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
    pub(super) fn fail_open_if_broken(&mut self, sent: &SentIds) {
        let Some(words) = self.gate.broken() else { return };
        for id in sent.open(self.gate) {
            let failure = Failure::new(FailureKind::Engine, words);
            self.sink.fail(id, clock::now(), failure);
        }
    }

    /// Waits for open requests; after `patience`, or after `after_stop` once the end was asked for, cancels them.
    pub(super) fn drain(&mut self, sent: &SentIds, patience: Nanos, after_stop: Nanos) {
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
