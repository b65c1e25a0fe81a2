//! Bounded inbox between callers and the loop: one lock, and a condition that wakes an idle loop.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::error::SubmitError;
use crate::request::Request;

/// A request and when it was submitted.
pub(crate) struct Arrival {
    pub request: Request,
    pub arrival_ns: i64,
}

pub(crate) struct Inbox {
    limit: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    arrivals: Vec<Arrival>,
    cancels: Vec<u64>,
    /// Accepted and not ended.
    live: HashSet<u64>,
    /// Accepted and not admitted: in `arrivals`, or waiting inside the loop.
    queued: usize,
    open: Open,
}

#[derive(Default)]
enum Open {
    #[default]
    Yes,
    ShutDown,
    Failed(String),
}

impl Inbox {
    pub(crate) fn new(limit: usize) -> Inbox {
        Inbox { limit, state: Mutex::default(), wake: Condvar::new() }
    }

    pub(crate) fn submit(&self, arrival: Arrival) -> Result<(), SubmitError> {
        let mut state = self.lock();
        match &state.open {
            Open::Yes => {}
            Open::ShutDown => return Err(SubmitError::ShutDown),
            Open::Failed(message) => {
                return Err(SubmitError::Failed { message: message.clone() });
            }
        }
        if state.queued >= self.limit {
            return Err(SubmitError::QueueFull { limit: self.limit });
        }
        let id = arrival.request.id;
        if !state.live.insert(id) {
            return Err(SubmitError::IdInUse { id });
        }
        state.queued += 1;
        state.arrivals.push(arrival);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    pub(crate) fn cancel(&self, id: u64) {
        let mut state = self.lock();
        if state.live.contains(&id) {
            state.cancels.push(id);
            drop(state);
            self.wake.notify_one();
        }
    }

    pub(crate) fn shut_down(&self) {
        let mut state = self.lock();
        if matches!(state.open, Open::Yes) {
            state.open = Open::ShutDown;
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Makes `submit` return `Failed` from now on.
    pub(crate) fn fail(&self, message: &str) {
        self.lock().open = Open::Failed(message.to_string());
    }

    /// Takes everything since the last call; false when the engine is to end. Waits for something if `idle`.
    pub(crate) fn take(
        &self,
        idle: bool,
        arrivals: &mut Vec<Arrival>,
        cancels: &mut Vec<u64>,
    ) -> bool {
        let mut state = self.lock();
        while idle
            && matches!(state.open, Open::Yes)
            && state.arrivals.is_empty()
            && state.cancels.is_empty()
        {
            state = self.wake.wait(state).expect("no code panics while it holds the inbox");
        }
        arrivals.append(&mut state.arrivals);
        cancels.append(&mut state.cancels);
        matches!(state.open, Open::Yes)
    }

    /// A waiting request was admitted.
    pub(crate) fn admitted(&self) {
        self.lock().queued -= 1;
    }

    /// A request has ended: its id is free again. `queued`: it ended before it was admitted.
    pub(crate) fn ended(&self, id: u64, queued: bool) {
        let mut state = self.lock();
        state.live.remove(&id);
        // A cancel that came too late must not hit the next request with this id.
        state.cancels.retain(|&cancelled| cancelled != id);
        state.queued -= usize::from(queued);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the inbox")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_that_came_too_late_does_not_hit_the_next_request_with_its_id() {
        let inbox = Inbox::new(4);
        let submit =
            || inbox.submit(Arrival { request: Request::greedy(7, [1], 1), arrival_ns: 0 });
        let (mut arrivals, mut cancels) = (Vec::new(), Vec::new());
        submit().unwrap();
        inbox.take(false, &mut arrivals, &mut cancels);
        inbox.admitted();
        inbox.cancel(7);
        inbox.ended(7, false);
        submit().unwrap();
        inbox.take(false, &mut arrivals, &mut cancels);
        assert_eq!((arrivals.len(), cancels), (2, vec![]));
    }
}
