//! Desk between a session and its engine's thread: orders in, state of the thread and statistics out.
//!
//! The engine's thread is woken only where it sleeps. Where its engine is busy it looks here between two steps.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{MonoNs, now};

/// A request that is to be made ready.
#[derive(Debug, Clone, PartialEq)]
pub struct ToPrepare {
    /// Its id in the records.
    pub index: u32,
    /// Its prompt.
    pub prompt: Arc<[u32]>,
    /// At most so many tokens are asked for.
    pub max_tokens: u32,
    /// Everything else that is asked, a JSON object.
    pub terms: String,
    /// Output comes as it is made; else all of it at the end.
    pub streaming: bool,
}

/// What the engine's thread is asked to do, in this order.
#[derive(Debug, Default, PartialEq)]
pub struct Orders {
    /// Make these ready.
    pub prepare: Vec<ToPrepare>,
    /// Start these.
    pub added: Vec<u32>,
    /// End these early.
    pub cancelled: Vec<u32>,
    /// Close the engine.
    pub stop: bool,
}

impl Orders {
    fn is_empty(&self) -> bool {
        self.prepare.is_empty() && self.added.is_empty() && self.cancelled.is_empty() && !self.stop
    }
}

/// How far the engine's thread has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stage {
    /// It loads the engine.
    #[default]
    Opening,
    /// It takes orders.
    Open,
    /// It has ended; the words say why, where that was not asked for.
    Ended(Option<String>),
}

/// Events of the KV cache that one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvLook {
    /// The look before.
    pub since: MonoNs,
    /// This one.
    pub at: MonoNs,
    /// Each event is a JSON object.
    pub events: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    orders: Orders,
    stage: Stage,
    /// Requests that were to be made ready and are.
    prepared: u64,
    ordered: u64,
    /// The engine's thread waits in [`Desk::take`].
    sleeps: bool,
    iterations: Vec<String>,
    kv_looks: Vec<KvLook>,
    /// The last look at events of the KV cache, or when the engine was open.
    kv_looked: Option<MonoNs>,
    /// What the engine said of itself when it was open, a JSON object.
    facts: Option<String>,
}

/// Shared by a session, its preparer, its statistics and the engine's thread.
#[derive(Debug, Default)]
pub struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    /// Orders that wait, so that a look at an empty desk takes no lock.
    waiting: AtomicU32,
    /// The engine works on requests: its thread does not sleep.
    busy: AtomicBool,
}

/// One look of a thread that waits for a request to be made ready.
const LOOK: Duration = Duration::from_millis(1);

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before the lock is let go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, add: impl FnOnce(&mut State)) {
        let mut state = self.state();
        add(&mut state);
        self.waiting.fetch_add(1, Ordering::Release);
        let sleeps = state.sleeps;
        drop(state);
        if sleeps {
            self.changed.notify_all();
        }
    }

    /// Asks for a request to be made ready, and waits until it is, unless the engine is busy. `false` where the thread did
    /// not do it within `patience`.
    pub fn prepare(&self, request: ToPrepare, patience: Duration) -> bool {
        let mut ticket = 0;
        self.order(|state| {
            state.orders.prepare.push(request);
            state.ordered += 1;
            ticket = state.ordered;
        });
        let until = Instant::now() + patience;
        let mut state = self.state();
        while state.prepared < ticket && !matches!(state.stage, Stage::Ended(_)) {
            if self.busy.load(Ordering::Acquire) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            state = self.wait(state, LOOK);
        }
        true
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Asks for a request to be made ready and started, where it could not be made ready before.
    pub fn prepare_and_add(&self, request: ToPrepare) {
        self.order(|state| {
            state.orders.added.push(request.index);
            state.orders.prepare.push(request);
            state.ordered += 1;
        });
    }

    /// Asks for a request to be started.
    pub fn add(&self, index: u32) {
        self.order(|state| state.orders.added.push(index));
    }

    /// Asks for a request to be ended early.
    pub fn cancel(&self, index: u32) {
        self.order(|state| state.orders.cancelled.push(index));
    }

    /// Asks for the engine to be closed, and waits until it is, or until `patience` is over: then `None`.
    pub fn close(&self, patience: Duration) -> Option<Result<(), String>> {
        self.order(|state| state.orders.stop = true);
        match self.wait_for(patience, |stage| matches!(stage, Stage::Ended(_)))? {
            Stage::Ended(Some(why)) => Some(Err(why)),
            Stage::Opening | Stage::Open | Stage::Ended(None) => Some(Ok(())),
        }
    }

    /// Waits until the engine is open.
    ///
    /// # Errors
    /// When its thread has ended, in its words.
    pub fn wait_until_open(&self) -> Result<(), String> {
        loop {
            match self.wait_for(Duration::from_secs(3600), |stage| *stage != Stage::Opening) {
                None | Some(Stage::Opening) => {}
                Some(Stage::Open) => return Ok(()),
                Some(Stage::Ended(why)) => {
                    return Err(why.unwrap_or_else(|| "its thread ended without a word".into()));
                }
            }
        }
    }

    fn wait_for(&self, patience: Duration, is: impl Fn(&Stage) -> bool) -> Option<Stage> {
        let until = Instant::now() + patience;
        let mut state = self.state();
        while !is(&state.stage) {
            let left = until.checked_duration_since(Instant::now())?;
            state = self.wait(state, left);
        }
        Some(state.stage.clone())
    }

    /// What the engine said of itself when it was open, a JSON object.
    pub fn facts(&self) -> Option<String> {
        self.state().facts.clone()
    }

    /// Statistics since the last call.
    pub fn take_iterations(&self) -> Vec<String> {
        std::mem::take(&mut self.state().iterations)
    }

    /// Events of the KV cache since the last call.
    pub fn take_kv_looks(&self) -> Vec<KvLook> {
        std::mem::take(&mut self.state().kv_looks)
    }

    /// Whether orders wait.
    #[inline]
    pub fn has_orders(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// For the engine's thread: all orders that wait. With nothing to do and no order it sleeps for up to `time`; a time of zero
    /// says that the engine is busy.
    pub fn take(&self, time: Duration) -> Orders {
        self.busy.store(time.is_zero(), Ordering::Release);
        if time.is_zero() && !self.has_orders() {
            return Orders::default();
        }
        let mut state = self.state();
        if state.orders.is_empty() && !time.is_zero() {
            state.sleeps = true;
            state = self.wait(state, time);
            state.sleeps = false;
        }
        self.waiting.store(0, Ordering::Release);
        std::mem::take(&mut state.orders)
    }

    /// For the engine's thread: so many more requests are ready.
    pub fn note_prepared(&self, requests: usize) {
        self.state().prepared += requests as u64;
        self.changed.notify_all();
    }

    /// For the engine's thread: it is open, and says this of itself.
    pub fn note_open(&self, facts: Option<String>) {
        let mut state = self.state();
        state.facts = facts;
        state.kv_looked = Some(now());
        drop(state);
        self.note_stage(Stage::Open);
    }

    /// For the engine's thread: how far it has come. An end stands.
    pub fn note_stage(&self, stage: Stage) {
        let mut state = self.state();
        if !matches!(state.stage, Stage::Ended(_)) {
            state.stage = stage;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// For the engine's thread: statistics, each a JSON object.
    pub fn note_iterations(&self, texts: Vec<String>) {
        self.state().iterations.extend(texts);
    }

    /// For the engine's thread: what a look at events of the KV cache found, each a JSON object.
    pub fn note_kv_events(&self, events: Vec<String>) {
        let at = now();
        let mut state = self.state();
        let since = state.kv_looked.replace(at).unwrap_or(at);
        if !events.is_empty() {
            state.kv_looks.push(KvLook { since, at, events });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(index: u32) -> ToPrepare {
        let prompt = Arc::from([1, 2]);
        ToPrepare { index, prompt, max_tokens: 3, terms: "{}".into(), streaming: true }
    }

    #[test]
    fn orders_are_taken_once_and_in_one_piece() {
        let desk = Desk::default();
        desk.prepare_and_add(request(0));
        desk.cancel(0);
        assert!(desk.has_orders());
        let taken = desk.take(Duration::ZERO);
        assert_eq!((taken.prepare.len(), taken.added, taken.cancelled), (1, vec![0], vec![0]));
        assert!(!desk.has_orders());
        assert_eq!(desk.take(Duration::ZERO), Orders::default());
    }

    #[test]
    fn a_preparer_waits_for_an_idle_engine_and_not_for_a_busy_one() {
        let desk = Arc::new(Desk::default());
        let engine = std::thread::spawn({
            let desk = Arc::clone(&desk);
            move || {
                loop {
                    let taken = desk.take(Duration::from_secs(60)).prepare.len();
                    desk.note_prepared(taken);
                    if taken > 0 {
                        return taken;
                    }
                }
            }
        });
        assert!(desk.prepare(request(0), Duration::from_secs(60)));
        assert_eq!(engine.join().expect("no panic"), 1);
        desk.take(Duration::ZERO);
        assert!(desk.prepare(request(1), Duration::from_secs(60)), "it is busy");
        assert_eq!(desk.take(Duration::ZERO).prepare.len(), 1);
    }

    #[test]
    fn events_of_the_kv_cache_lie_between_the_look_before_and_their_own() {
        let desk = Desk::default();
        let before = now();
        desk.note_open(None);
        desk.note_kv_events(Vec::new());
        let between = now();
        desk.note_kv_events(vec!["{}".into()]);
        let looks = desk.take_kv_looks();
        let [look] = &looks[..] else { panic!("the empty look is none: {looks:?}") };
        assert!(before <= look.since && look.since <= between && between <= look.at, "{look:?}");
        assert_eq!(desk.take_kv_looks(), []);
    }

    #[test]
    fn a_thread_that_never_prepares_costs_no_more_than_the_patience() {
        assert!(!Desk::default().prepare(request(0), Duration::from_millis(1)));
    }

    #[test]
    fn an_engine_that_has_ended_stays_ended_and_its_words_reach_whoever_opens_or_closes() {
        let desk = Desk::default();
        desk.note_stage(Stage::Ended(Some("no memory".into())));
        desk.note_stage(Stage::Open);
        assert_eq!(desk.wait_until_open(), Err("no memory".into()));
        assert_eq!(desk.close(Duration::ZERO), Some(Err("no memory".into())));
        assert!(desk.prepare(request(0), Duration::from_secs(60)), "nobody waits for the dead");
        assert_eq!(Desk::default().close(Duration::ZERO), None);
    }
}
