//! HOT PATH. Dispatcher between protocols and engine: one task that submits requests and distributes output.
//!
//! ```text
//! protocols ── Command ──► dispatcher ── submit, cancel ──► session (any in-process target)
//!     ▲                     ▲  │                              │
//!     └── ResponsePart ─────│──┘        sink: ring of events ◄┘
//!                           └── woken ─────────┘
//! ```
//! The engine's side allocates nothing and takes no lock per token: it puts ids into a ring and wakes this thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::task::Wake;
use std::time::Duration;

use rtrb::Consumer;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::clock::{MonoNs, Nanos, now};
use crate::issue::stop::Stop;
use crate::load::plan::Shot;
use crate::record::event::{Ending, Event, FewIds};
use crate::record::gate::Gate;
use crate::record::request_record::{EngineTimes, EngineUse};
use crate::record::sink::{SideMessage, Sink};
use crate::request::RequestId;
use crate::request::spec::RequestSpec;
use crate::request::{Failure, FailureKind};
use crate::serve::admission::{Admission, Command, Completion, RequestSerial, ResponsePart};
use crate::serve::metrics::Metrics;
use crate::serve::refusal::Refusal;
use crate::targets::{Drain, Session, Target, TargetError};

/// How often it looks whether the server is to end.
const LOOK: Duration = Duration::from_millis(50);
/// How long the engine may take over cancels at the end.
const CANCEL_TIME: Nanos = Nanos::from_millis(5_000);

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

/// A request that the engine has.
struct Running {
    serial: RequestSerial,
    pieces: UnboundedSender<ResponsePart>,
    asked: MonoNs,
    /// The latest output.
    last: Option<MonoNs>,
    /// Output tokens that may still come.
    left: u32,
    stops_at_end_token: bool,
    streaming: bool,
    times: Option<EngineTimes>,
    used: Option<EngineUse>,
}

/// The engine, and the requests that wait for it.
pub struct Dispatcher {
    session: Box<dyn Session>,
    gate: Arc<Gate>,
    side_messages: Receiver<SideMessage>,
    rings: Vec<Consumer<Event>>,
    message: HashMap<RequestId, String>,
    running: Vec<Option<Running>>,
    woken: Arc<Woken>,
    /// Ids that end an output unless they are ignored.
    end_ids: Vec<u32>,
    admission: Arc<Admission>,
    metrics: Arc<Metrics>,
}

/// How serving ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServeOutcome {
    /// It was asked to, and everything had ended; or else what had not.
    Stopped(Drain),
    /// The engine as a whole answers no more.
    EngineBroke(String),
}

impl Dispatcher {
    /// Opens the target: weights are loaded, and from then on it can be asked.
    ///
    /// # Errors
    /// When the target cannot be opened.
    pub fn open(
        target: Box<dyn Target>,
        end_ids: Vec<u32>,
        admission: Arc<Admission>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TargetError> {
        let capacity = admission.capacity();
        let gate = Arc::new(Gate::new(capacity, 1));
        let woken = Arc::new(Woken(Notify::new()));
        let (side_channel, side_messages) = channel();
        let waker = Arc::clone(&woken).into();
        let sink = Sink::to_server(Arc::clone(&gate), side_channel, Arc::default(), waker);
        let session = target.open(sink)?;
        Ok(Self {
            session,
            gate,
            side_messages,
            rings: Vec::new(),
            message: HashMap::new(),
            running: (0..capacity).map(|_| None).collect(),
            woken,
            end_ids,
            admission,
            metrics,
        })
    }

    /// Serves until it is asked to stop, then lets what runs go on for `grace`, and cancels the rest.
    pub async fn run(
        mut self,
        mut commands: UnboundedReceiver<Command>,
        stop: Stop,
        grace: Nanos,
    ) -> ServeOutcome {
        let woken = Arc::clone(&self.woken);
        let mut look = tokio::time::interval(LOOK);
        let mut ending: Option<MonoNs> = None;
        let mut cancelled = false;
        loop {
            tokio::select! {
                biased;
                () = woken.0.notified() => self.hand_out(),
                Some(command) = commands.recv() => self.take(command),
                _ = look.tick() => {}
            }
            if let Some(message) = self.gate.broken() {
                let message = message.to_owned();
                self.fail_all(&message);
                return ServeOutcome::EngineBroke(message);
            }
            if ending.is_none() && stop.is_asked() {
                self.admission.close();
                ending = Some(now() + grace);
            }
            let Some(until) = ending else { continue };
            if self.admission.active_requests() == 0 {
                break;
            }
            if now() >= until && !cancelled {
                cancelled = true;
                self.cancel_all();
            }
            if now() >= until + CANCEL_TIME {
                break;
            }
        }
        let left = self.admission.active_requests();
        let drain = self.session.finish(now());
        ServeOutcome::Stopped(match (drain, left) {
            (Drain::Clean, 1..) => Drain::Forced(format!("{left} requests did not end")),
            (drain, _) => drain,
        })
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Submit { slot, serial, request, pieces } => {
                self.submit(slot, serial, *request, pieces);
            }
            Command::Cancel { slot, serial } => {
                let runs = self.running[slot.0 as usize].as_ref();
                if runs.is_some_and(|running| running.serial == serial) {
                    self.metrics.cancelled();
                    self.session.cancel(slot);
                }
            }
        }
    }

    fn submit(
        &mut self,
        slot: RequestId,
        serial: RequestSerial,
        request: RequestSpec,
        pieces: UnboundedSender<ResponsePart>,
    ) {
        let asked = now();
        let prompt = request.prompt.tokens();
        let shot = Shot::new(slot, request);
        self.gate.open(slot);
        if let Err(failure) = self.session.submit(&shot) {
            self.gate.close(slot, now());
            self.refuse(slot, &pieces, failure);
            return;
        }
        self.metrics.accepted(prompt);
        // The client may be gone; its cancel is then on the way.
        let _gone = pieces.send(ResponsePart::Accepted);
        let output = shot.request.output;
        let running = Running {
            serial,
            pieces,
            asked,
            last: None,
            left: output.max_tokens,
            stops_at_end_token: !output.ignore_eos,
            streaming: shot.request.streaming,
            times: None,
            used: None,
        };
        self.running[slot.0 as usize] = Some(running);
    }

    fn refuse(&self, slot: RequestId, pieces: &UnboundedSender<ResponsePart>, failure: Failure) {
        let refusal = Refusal::from(failure);
        self.metrics.rejected();
        let _gone = pieces.send(ResponsePart::End(Completion {
            how: Err(refusal),
            times: None,
            used: None,
        }));
        self.admission.release(slot);
    }

    /// Hands out everything that the engine has put into its rings.
    fn hand_out(&mut self) {
        self.read_side_messages();
        for ring in 0..self.rings.len() {
            while let Ok(event) = self.rings[ring].pop() {
                match event {
                    Event::Ids { id, at, ids } => self.output(id, at, ids),
                    Event::Times(id, times) => {
                        if let Some(running) = self.running[id.0 as usize].as_mut() {
                            running.times = Some(times.unpack());
                        }
                    }
                    Event::Use(id, used) => {
                        if let Some(running) = self.running[id.0 as usize].as_mut() {
                            running.used = Some(used);
                        }
                    }
                    Event::End { id, at, ending } => self.end(id, at, ending),
                    // Events of a measuring harness only.
                    Event::Submitted { .. }
                    | Event::Sent { .. }
                    | Event::NotSent { .. }
                    | Event::TimedOut { .. }
                    | Event::CancelAsked { .. }
                    | Event::Delivery { .. } => {}
                }
            }
        }
    }

    #[inline]
    fn output(&mut self, id: RequestId, at: MonoNs, ids: FewIds) {
        let Some(running) = self.running[id.0 as usize].as_mut() else { return };
        let tokens = ids.as_slice().len() as u64;
        match running.last {
            None if running.streaming => self.metrics.first_output(at - running.asked, tokens),
            None => self.metrics.whole_output(tokens),
            // Of what came at one instant, or all at once, there is no gap.
            Some(last) if last == at || !running.streaming => self.metrics.tokens(tokens),
            Some(last) => self.metrics.output(at - last, tokens),
        }
        running.last = Some(at);
        running.left = running.left.saturating_sub(tokens as u32);
        let ends = |id: &u32| running.stops_at_end_token && self.end_ids.contains(id);
        let is_last = running.left == 0 || ids.as_slice().last().is_some_and(ends);
        // The client may be gone; its cancel is then on the way.
        let _gone = running.pieces.send(ResponsePart::Output { at, ids, is_last });
    }

    fn end(&mut self, id: RequestId, at: MonoNs, ending: Ending) {
        let Some(running) = self.running[id.0 as usize].take() else { return };
        let how = match ending {
            Ending::Completed(reason) => Ok(reason),
            Ending::Cancelled => Err(Refusal::Stopping),
            Ending::TimedOut => {
                let message = "the engine ended it after the time that it was allotted";
                Err(Failure::new(FailureKind::Engine, message).into())
            }
            Ending::Failed(kind) => {
                self.read_side_messages();
                let message = self.message.remove(&id).unwrap_or_default();
                Err(Failure::new(kind, message).into())
            }
        };
        self.metrics.ended(running.last.is_some(), &ending, at - running.asked);
        let (times, used) = (running.times, running.used);
        // As above.
        let _gone = running.pieces.send(ResponsePart::End(Completion { how, times, used }));
        self.admission.release(id);
    }

    fn read_side_messages(&mut self) {
        while let Ok(side_message) = self.side_messages.try_recv() {
            match side_message {
                SideMessage::Ring(ring) => self.rings.push(ring),
                SideMessage::FailureMessage(id, message) => {
                    self.message.insert(id, message);
                }
                // What only a report needs.
                SideMessage::TokenCount(..)
                | SideMessage::TokenMismatch { .. }
                | SideMessage::PromptCount(..)
                | SideMessage::CachedCount(..)
                | SideMessage::StampsOf(..)
                | SideMessage::Connection(..)
                | SideMessage::Odd(..)
                | SideMessage::Stamps(_)
                | SideMessage::Tokens(_) => {}
            }
        }
    }

    fn cancel_all(&mut self) {
        for slot in 0..self.running.len() {
            if self.running[slot].is_some() {
                self.session.cancel(RequestId(slot as u32));
            }
        }
    }

    fn fail_all(&mut self, message: &str) {
        self.admission.close();
        for running in self.running.iter_mut().filter_map(Option::take) {
            let how = Err(Refusal::Engine(message.to_owned()));
            let _gone =
                running.pieces.send(ResponsePart::End(Completion { how, times: None, used: None }));
        }
    }
}
