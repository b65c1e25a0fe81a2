//! The engine's end of a session: what an adapter said becomes events, and a breach of its contract a named failure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::clock::{MonoNs, now};
use crate::record::event::Ending;
use crate::record::request_record::{EngineTimes, EngineUse, FinishReason};
use crate::record::sink::Sink;
use crate::request::{Failure, FailureKind, RequestId};
use crate::targets::python::desk::{Desk, Orders, Stage};

/// What the engine's thread holds.
#[derive(Debug)]
pub struct EngineEnd {
    desk: Arc<Desk>,
    sink: Sink,
    states: Vec<State>,
    /// Output of requests that want all of it at their end.
    held: HashMap<u32, Vec<u32>>,
    /// Which of them do, before they are started.
    to_hold: HashSet<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Open,
    Ended,
}

/// One step of an engine, as its adapter said it.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// When it returned, on the monotonic clock.
    pub at: MonoNs,
    /// The requests with output.
    pub ids: &'a [u32],
    /// Tokens of each; empty for one token each.
    pub counts: &'a [u32],
    /// All tokens, request by request.
    pub tokens: &'a [u32],
}

/// What an engine says of a request when it is over.
#[derive(Debug, Clone, Copy, Default)]
pub struct ToldAtEnd {
    /// Its own stamps.
    pub times: Option<EngineTimes>,
    /// Its own counts.
    pub counts: Option<EngineUse>,
}

impl EngineEnd {
    /// The engine's end of `desk`.
    pub fn new(desk: Arc<Desk>, sink: Sink) -> Self {
        let states = vec![State::Unknown; sink.room()];
        Self { desk, sink, states, held: HashMap::new(), to_hold: HashSet::new() }
    }

    /// The desk, where orders are taken.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Notes what was taken from the desk, before it is done.
    pub fn note_taken(&mut self, orders: &Orders) {
        for request in orders.prepare.iter().filter(|request| !request.streaming) {
            self.to_hold.insert(request.index);
        }
        for index in &orders.added {
            if let Some(state) = self.states.get_mut(*index as usize) {
                *state = State::Open;
            }
            if self.to_hold.remove(index) {
                self.held.insert(*index, Vec::new());
            }
        }
    }

    /// Passes on the output of one step.
    ///
    /// # Errors
    /// When the adapter broke its contract: the target has failed with the words that are returned.
    pub fn deliver(&mut self, step: Step<'_>) -> Result<(), String> {
        let Step { at, ids, counts, tokens } = step;
        let total =
            if counts.is_empty() { ids.len() } else { counts.iter().map(|n| *n as usize).sum() };
        if total != tokens.len() || !(counts.is_empty() || counts.len() == ids.len()) {
            return self.breach(format!(
                "a step has {} requests, {} counts and {} tokens: counts must add up to the tokens",
                ids.len(),
                counts.len(),
                tokens.len()
            ));
        }
        let mut rest = tokens;
        for (i, id) in ids.iter().enumerate() {
            let count = counts.get(i).map_or(1, |count| *count as usize);
            let (own, others) = rest.split_at(count);
            rest = others;
            match self.state(*id) {
                State::Open if self.held.is_empty() => {
                    self.sink.output(RequestId(*id), at, own.iter().copied());
                }
                State::Open => self.output_or_hold(*id, at, own),
                State::Unknown => {
                    return self.breach(format!("output of request {id}, which it was not given"));
                }
                State::Ended => {
                    return self.breach(format!("output of request {id} after its end"));
                }
            }
        }
        Ok(())
    }

    fn output_or_hold(&mut self, id: u32, at: MonoNs, tokens: &[u32]) {
        match self.held.get_mut(&id) {
            Some(held) => held.extend_from_slice(tokens),
            None => self.sink.output(RequestId(id), at, tokens.iter().copied()),
        }
    }

    fn state(&self, id: u32) -> State {
        self.states.get(id as usize).copied().unwrap_or(State::Unknown)
    }

    /// A request is over: `reason` is `length`, `stop`, `stop_word`, `cancelled`, `timed_out`, or the engine's words of an error
    /// after `error:`.
    ///
    /// # Errors
    /// When the adapter broke its contract: the target has failed with the words that are returned.
    pub fn end(
        &mut self,
        id: u32,
        at: MonoNs,
        reason: &str,
        told: ToldAtEnd,
    ) -> Result<(), String> {
        match self.state(id) {
            State::Open => {}
            State::Unknown => {
                return self.breach(format!("the end of request {id}, which it was not given"));
            }
            State::Ended => {
                // It is counted as a stray, as everywhere.
                self.sink.end(RequestId(id), at, Ending::Completed(FinishReason::Unknown));
                return self.breach(format!("a second end of request {id}"));
            }
        }
        let ending = match reason {
            "length" => Ending::Completed(FinishReason::Length),
            "stop" => Ending::Completed(FinishReason::EndToken),
            "stop_word" => Ending::Completed(FinishReason::StopWords),
            "cancelled" => Ending::Cancelled,
            "timed_out" => Ending::TimedOut,
            other => match other.strip_prefix("error:") {
                Some(words) => {
                    self.fail(id, Failure::new(FailureKind::Engine, words.trim()));
                    return Ok(());
                }
                None => return self.breach(format!(
                    "the reason `{other}` for the end of request {id}: use length, stop, stop_word, cancelled, timed_out or error:WORDS"
                )),
            },
        };
        self.states[id as usize] = State::Ended;
        if let Some(held) = self.held.remove(&id) {
            self.sink.output(RequestId(id), at, held.into_iter());
        }
        if let Some(times) = told.times {
            self.sink.engine_times(RequestId(id), times);
        }
        if let Some(counts) = told.counts {
            self.sink.engine_use(RequestId(id), counts);
        }
        self.sink.end(RequestId(id), at, ending);
        Ok(())
    }

    /// A request was refused by the adapter or its engine.
    pub fn refuse(&mut self, id: u32, words: &str) {
        self.fail(id, Failure::new(FailureKind::Refused, words));
    }

    fn fail(&mut self, id: u32, failure: Failure) {
        if self.state(id) == State::Open {
            self.states[id as usize] = State::Ended;
            self.held.remove(&id);
            self.sink.fail(RequestId(id), now(), failure);
        }
    }

    /// Whether a request was started and has not ended.
    pub fn is_open(&self, id: u32) -> bool {
        self.state(id) == State::Open
    }

    /// The adapter broke its contract: the whole target has failed.
    fn breach(&mut self, what: String) -> Result<(), String> {
        let words = format!("the adapter broke its contract: {what}");
        self.sink.fail_target(words.as_str());
        Err(words)
    }

    /// The engine as a whole has failed.
    pub fn failed(&mut self, words: &str) {
        self.sink.fail_target(words);
    }

    /// The engine's thread has ended; the words say why, where that was not asked for.
    pub fn ended(&mut self, why: Option<String>) {
        self.desk.note_stage(Stage::Ended(why));
    }
}

impl Drop for EngineEnd {
    /// A thread that is gone without a word must not be waited for.
    fn drop(&mut self) {
        self.desk.note_stage(Stage::Ended(Some("its thread ended without a word".into())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::event::Event;
    use crate::record::gate::Gate;
    use crate::record::sink::SideMessage;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    fn end_of_two() -> (EngineEnd, rtrb::Consumer<Event>, Arc<Gate>) {
        let gate = Arc::new(Gate::new(2, 2));
        let (side_channel, side_messages) = channel();
        let sink = Sink::new(Arc::clone(&gate), side_channel, Arc::default());
        let Ok(SideMessage::Ring(ring)) = side_messages.recv() else {
            panic!("the ring is announced first")
        };
        let mut end = EngineEnd::new(Arc::default(), sink);
        gate.open(RequestId(0));
        end.desk().add(0);
        let orders = end.desk().take(Duration::ZERO);
        end.note_taken(&orders);
        (end, ring, gate)
    }

    fn step<'a>(ids: &'a [u32], counts: &'a [u32], tokens: &'a [u32]) -> Step<'a> {
        Step { at: now(), ids, counts, tokens }
    }

    #[test]
    fn output_of_a_step_is_shared_out_by_its_counts() {
        let (mut end, mut ring, gate) = end_of_two();
        end.deliver(step(&[0], &[3], &[7, 8, 9])).expect("sound");
        end.deliver(step(&[0], &[], &[7])).expect("sound");
        end.end(0, now(), "length", ToldAtEnd::default()).expect("sound");
        assert!(matches!(ring.pop(), Ok(Event::Delivery { tokens: 3, .. })));
        assert!(matches!(ring.pop(), Ok(Event::Delivery { tokens: 1, .. })));
        assert!(matches!(ring.pop(), Ok(Event::End { .. })));
        assert_eq!((gate.in_flight(), gate.broken()), (0, None));
    }

    #[test]
    fn a_breach_of_the_contract_fails_the_target_and_names_it() {
        type Breach = fn(&mut EngineEnd) -> Result<(), String>;
        let breaches: [(&str, Breach); 6] = [
            ("a second end of request 0", |end| {
                end.end(0, now(), "length", ToldAtEnd::default())?;
                end.end(0, now(), "length", ToldAtEnd::default())
            }),
            ("output of request 0 after its end", |end| {
                end.end(0, now(), "length", ToldAtEnd::default())?;
                end.deliver(step(&[0], &[], &[1]))
            }),
            ("output of request 1, which it was not given", |end| {
                end.deliver(step(&[1], &[], &[1]))
            }),
            ("the end of request 9, which it was not given", |end| {
                end.end(9, now(), "stop", ToldAtEnd::default())
            }),
            ("counts must add up", |end| end.deliver(step(&[0], &[2], &[1]))),
            ("the reason `why`", |end| end.end(0, now(), "why", ToldAtEnd::default())),
        ];
        for (words, breach) in breaches {
            let (mut end, _ring, gate) = end_of_two();
            let said = breach(&mut end).expect_err(words);
            assert!(said.contains(words), "{said}");
            assert_eq!(gate.broken(), Some(said.as_str()));
        }
    }

    #[test]
    fn a_refused_request_fails_alone() {
        let (mut end, _ring, gate) = end_of_two();
        end.refuse(0, "too long");
        assert_eq!((gate.in_flight(), gate.broken(), end.is_open(0)), (0, None, false));
    }
}
