//! Session over a draft and a target executor: a poller thread for each, and the requests between them.
//!
//! Endings and failures on the draft engine's side are sent by the target's poller, which alone owns the sink: the events of
//! one request come from one thread, in order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{MonoNs, now};
use crate::ffi::engine::{Delivery, Engine, EngineError, Poller, Sequences};
use crate::load::plan::Shot;
use crate::record::event::Ending;
use crate::record::request_record::{EngineTimes, EngineUse};
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::executor::drafted::request::{DraftedRequest, EngineCall, Next, Side};
use crate::targets::executor::kv_events::ExecutorKvEvents;
use crate::targets::executor::open_executors::{CLOSE_WITHIN, OpenExecutors};
use crate::targets::executor::polling::poll_until_closed;
use crate::targets::executor::request::{PerRequest, WordLists, head_of};
use crate::targets::executor::response::{ending_of, failure_in, times_of, use_of};
use crate::targets::executor::session::{close_unfinished, drained, hand_over};
use crate::targets::executor::statistics::ExecutorStatistics;
use crate::targets::mpi_job::JobEnd;
use crate::targets::{Drain, EngineStatistics, KvEvents, Session};
use crate::threads::Own;

/// How long one poll may block; also the delay of an ending that the draft engine reports.
const POLL_US: u32 = 5_000;

/// Open requests of both engines, and messages from the draft's poller to the target's.
#[derive(Default)]
struct DraftedRequests {
    open: Mutex<HashMap<RequestId, DraftedRequest>>,
    messages: Mutex<Vec<DraftMessage>>,
    /// The first exception of a cancel.
    cancel_error: Mutex<Option<String>>,
}

/// A message from the draft's poller to the target's.
enum DraftMessage {
    /// A request is over.
    Ended(RequestId, MonoNs, Ended),
    /// The draft engine as a whole has failed.
    Broken(String),
}

/// How a request ended, with output and counts that were held back until then.
struct Ended {
    output: Vec<u32>,
    report: (EngineTimes, EngineUse),
    end: Result<Ending, Failure>,
}

impl DraftedRequests {
    fn open(&self) -> MutexGuard<'_, HashMap<RequestId, DraftedRequest>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn messages(&self) -> MutexGuard<'_, Vec<DraftMessage>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_cancel_error(&self, side: Side, error: &EngineError) {
        let mut first = self.cancel_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| told_by(side, error.to_string()));
    }

    fn take_cancel_error(&self) -> Option<String> {
        self.cancel_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Removes a request and returns how it ended.
    fn close(&self, id: RequestId, end: Result<Ending, Failure>) -> Option<Ended> {
        let mut request = self.open().remove(&id)?;
        Some(Ended { output: request.take_output(true), report: request.engine_report(), end })
    }
}

/// Handles of one thread on both engines, and the open requests.
struct EnginePair {
    draft: Engine,
    target: Engine,
    requests: Arc<DraftedRequests>,
}

impl EnginePair {
    fn for_another_thread(&self) -> Self {
        Self {
            draft: self.draft.for_another_thread(),
            target: self.target.for_another_thread(),
            requests: Arc::clone(&self.requests),
        }
    }

    fn engine(&self, side: Side) -> &Engine {
        match side {
            Side::Draft => &self.draft,
            Side::Target => &self.target,
        }
    }

    /// Sends a call to its engine, and cancels it at once if the request was cancelled between two calls.
    fn send(&self, id: RequestId, call: &EngineCall) -> Result<(), Failure> {
        hand_over(self.engine(call.side), call.head, &call.tokens).map_err(|failure| {
            let Failure { kind, message } = failure;
            Failure::new(kind, told_by(call.side, message))
        })?;
        if self.requests.open().get(&id).is_some_and(DraftedRequest::is_cancelled) {
            self.cancel_on(call.side, call.head.id);
        }
        Ok(())
    }

    fn cancel_on(&self, side: Side, executor_id: u64) {
        if let Err(error) = self.engine(side).cancel(executor_id) {
            self.requests.note_cancel_error(side, &error);
        }
    }

    /// Continues a request; returns its end if it is over.
    fn continue_request(&self, id: RequestId, next: Next) -> Option<Ended> {
        match next {
            Next::Call(call) => {
                let failure = self.send(id, &call).err()?;
                self.requests.close(id, Err(failure))
            }
            Next::End(ending) => self.requests.close(id, Ok(ending)),
        }
    }
}

/// The request of a delivery, if the delivery belongs to its current call.
fn current<'a>(
    open: &'a mut HashMap<RequestId, DraftedRequest>,
    side: Side,
    delivery: &Delivery,
) -> Option<(RequestId, &'a mut DraftedRequest)> {
    let id = RequestId(delivery.id as u32);
    let request = open.get_mut(&id).filter(|request| request.place() == (side, delivery.id))?;
    Some((id, request))
}

/// Two executors that are driven together.
pub struct DraftedSession {
    engines: EnginePair,
    per_request: PerRequest,
    drafts: u32,
    word_lists: WordLists,
    has_kv_events: bool,
    /// `None` once it is closed.
    open: Option<OpenExecutors>,
}

impl Drop for DraftedSession {
    /// On every path that does not finish it, an error's above all.
    fn drop(&mut self) {
        close_unfinished(self.open.take());
    }
}

impl DraftedSession {
    /// Starts the poller threads of both engines; up to `drafts` tokens are proposed in each round.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        (draft, target): (Engine, Engine),
        drafts: u32,
        per_request: PerRequest,
        job_end: JobEnd,
        sink: Sink,
    ) -> std::io::Result<Self> {
        let engines = EnginePair { draft, target, requests: Arc::default() };
        let closing = Arc::new(AtomicBool::new(false));
        let spawn = |own: Own, run: Box<dyn FnOnce() -> Result<(), String> + Send>| {
            own.builder().spawn(run)
        };
        let (closed, ended) = (Arc::clone(&closing), job_end.clone());
        let (poller, mine) = (engines.draft.poller(), engines.for_another_thread());
        let of_draft =
            spawn(Own::Drafts, Box::new(move || pump_drafts(poller, &mine, &closed, &ended)))?;
        let (closed, ended) = (Arc::clone(&closing), job_end.clone());
        let (poller, mine) = (engines.target.poller(), engines.for_another_thread());
        let of_target =
            spawn(Own::Poller, Box::new(move || pump_target(poller, &mine, sink, &closed, &ended)))
                // Stops the other poller.
                .inspect_err(|_| closing.store(true, Ordering::Release))?;
        let open = OpenExecutors {
            engines: vec![engines.draft.for_another_thread(), engines.target.for_another_thread()],
            pollers: vec![of_draft, of_target],
            closing,
            job_end,
        };
        Ok(Self {
            engines,
            per_request,
            drafts,
            word_lists: WordLists::default(),
            has_kv_events: false,
            open: Some(open),
        })
    }

    /// The same session; the target may keep events of its KV cache.
    #[must_use]
    pub fn with_kv_events(mut self, has_kv_events: bool) -> Self {
        self.has_kv_events = has_kv_events;
        self
    }
}

impl Session for DraftedSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        let terms = &shot.request.terms;
        self.word_lists.update(terms, |stop, bad| {
            // Only the target ends an output at stop words. Bad words need not be drafted.
            self.engines.draft.set_words(&Sequences::default(), bad)?;
            self.engines.target.set_words(stop, bad)
        })?;
        let prompt = shot.request.prompt.ids.iter().map(|id| *id as i32).collect();
        let (head, begun) = (head_of(shot, self.per_request), now());
        let mut request = DraftedRequest::new(head, prompt, Arc::clone(terms), self.drafts, begun);
        let Next::Call(call) = request.begin(begun) else {
            return Err(Failure::new(FailureKind::Refused, "no time is allotted to it"));
        };
        self.engines.requests.open().insert(shot.id, request);
        self.engines.send(shot.id, &call).inspect_err(|_| {
            self.engines.requests.open().remove(&shot.id);
        })
    }

    fn cancel(&mut self, id: RequestId) {
        let place = self.engines.requests.open().get_mut(&id).map(|request| {
            request.cancel();
            request.place()
        });
        if let Some((side, executor_id)) = place {
            self.engines.cancel_on(side, executor_id);
        }
    }

    fn statistics(&self) -> Option<Box<dyn EngineStatistics>> {
        let engine = self.engines.target.for_another_thread();
        Some(Box::new(ExecutorStatistics::new(engine)))
    }

    fn kv_events(&self) -> Option<Box<dyn KvEvents>> {
        let engine = self.has_kv_events.then(|| self.engines.target.for_another_thread())?;
        Some(Box::new(ExecutorKvEvents::new(engine)))
    }

    fn finish(mut self: Box<Self>, _by: MonoNs) -> Drain {
        // Requests that are open at `by` are the executors', which end them in `CLOSE_WITHIN` or are left.
        let drain = self.open.take().map_or(Drain::Clean, |open| open.close(CLOSE_WITHIN));
        drained(drain, self.engines.requests.take_cancel_error())
    }
}

/// Passes what the draft engine proposes to the target.
fn pump_drafts(
    poller: Poller,
    engines: &EnginePair,
    closing: &AtomicBool,
    job_end: &JobEnd,
) -> Result<(), String> {
    poll_until_closed(poller, POLL_US, closing, job_end, |poller| {
        for delivery in poller.last().deliveries.iter().filter(|delivery| delivery.is_final) {
            pass_on(poller, delivery, engines);
        }
    })
    .map_err(|message| told_by(Side::Draft, message))
    .inspect_err(|message| {
        engines.requests.messages().push(DraftMessage::Broken(message.clone()));
    })
}

/// A message of an executor; that of the draft engine names it.
fn told_by(side: Side, message: String) -> String {
    match side {
        Side::Draft => format!("the draft engine: {message}"),
        Side::Target => message,
    }
}

fn pass_on(poller: &Poller, delivery: &Delivery, engines: &EnginePair) {
    let batch = poller.last();
    let next = {
        let mut open = engines.requests.open();
        let Some((id, request)) = current(&mut open, Side::Draft, delivery) else { return };
        let next = if delivery.error >= 0 {
            let Failure { kind, message } = failure_in(poller, delivery);
            Err(Failure::new(kind, told_by(Side::Draft, message)))
        } else {
            let times = batch.ending(delivery).map(times_of).unwrap_or_default();
            Ok(request.drafted(batch.tokens(delivery), ending_of(delivery), times, now()))
        };
        (id, next)
    };
    let over = match next {
        (id, Ok(next)) => engines.continue_request(id, next).map(|over| (id, over)),
        (id, Err(failure)) => engines.requests.close(id, Err(failure)).map(|over| (id, over)),
    };
    if let Some((id, over)) = over {
        engines.requests.messages().push(DraftMessage::Ended(
            id,
            MonoNs(delivery.received_ns),
            over,
        ));
    }
}

/// Reports the tokens that the target accepts, and begins the next round.
fn pump_target(
    poller: Poller,
    engines: &EnginePair,
    mut sink: Sink,
    closing: &AtomicBool,
    job_end: &JobEnd,
) -> Result<(), String> {
    poll_until_closed(poller, POLL_US, closing, job_end, |poller| {
        for delivery in poller.last().deliveries.iter().filter(|delivery| delivery.is_final) {
            handle_delivery(poller, delivery, engines, &mut sink);
        }
        forward_draft_messages(&engines.requests, &mut sink);
    })
    .inspect_err(|message| sink.fail_target(message.as_str()))
}

fn handle_delivery(poller: &Poller, delivery: &Delivery, engines: &EnginePair, sink: &mut Sink) {
    let batch = poller.last();
    let at = MonoNs(delivery.received_ns);
    let (id, next, output) = {
        let mut open = engines.requests.open();
        let Some((id, request)) = current(&mut open, Side::Target, delivery) else { return };
        if delivery.error >= 0 {
            (id, Err(failure_in(poller, delivery)), Vec::new())
        } else {
            let ending = batch.ending(delivery);
            let times = ending.map(times_of).unwrap_or_default();
            let counts = ending.map(use_of).unwrap_or_default();
            let tokens = batch.tokens(delivery);
            let next = request.verified(tokens, ending_of(delivery), times, counts, now());
            (id, Ok(next), request.take_output(false))
        }
    };
    if !output.is_empty() {
        sink.output(id, at, output.into_iter());
    }
    let over = match next {
        Ok(next) => engines.continue_request(id, next),
        Err(failure) => engines.requests.close(id, Err(failure)),
    };
    if let Some(over) = over {
        report_end(id, at, over, sink);
    }
}

fn forward_draft_messages(requests: &DraftedRequests, sink: &mut Sink) {
    let messages = std::mem::take(&mut *requests.messages());
    for message in messages {
        match message {
            DraftMessage::Ended(id, at, over) => report_end(id, at, over, sink),
            DraftMessage::Broken(message) => sink.fail_target(message),
        }
    }
}

fn report_end(id: RequestId, at: MonoNs, ended: Ended, sink: &mut Sink) {
    let Ended { output, report: (times, counts), end } = ended;
    if !output.is_empty() {
        sink.output(id, at, output.into_iter());
    }
    match end {
        Ok(ending) => {
            sink.engine_times(id, times);
            sink.engine_use(id, counts);
            sink.end(id, at, ending);
        }
        Err(failure) => sink.fail(id, at, failure),
    }
}
