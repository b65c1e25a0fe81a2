//! Client thread: its connections, its in-flight requests, and their timeouts.
//!
//! A client thread has its own connections, its own sink and its own single-threaded runtime. It shares nothing, so it
//! locks nothing. A request is in `in_flight` from its start to its end. Completion, cancel and timeout all remove it
//! from there first, and only the one that removed it reports the ending. So each request ends exactly once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::AbortHandle;

use crate::clock::{MonoNs, Nanos, now};
use crate::network::secret::ApiKey;
use crate::network::stamp::{ReadStamp, measure_wall_clock};
use crate::record::event::Ending;
use crate::record::oddity::Oddity;
use crate::record::request_record::{ConnectionUse, StampSource};
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::openai::options::{CountTokens, Timeouts};
use crate::targets::openai::remedy::Remedies;
use crate::targets::openai::request_body::Outgoing;
use crate::targets::openai::response_progress::Output;
use crate::targets::openai::response_reader::ResponseReader;
use crate::targets::openai::running_usage::RunningUsage;
use crate::targets::openai::send_request::{Completed, Phase, RequestProgress, send_request};
use crate::targets::openai::transport::{Route, Transport};

/// Settings that all client threads of a session share.
#[derive(Clone)]
pub struct ClientSettings {
    /// How to reach the server.
    pub route: Arc<Route>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Counts tokens of the output.
    pub tokenizer: Option<CountTokens>,
    /// Redacted from every message of the server.
    pub api_key: Option<ApiKey>,
    /// What to do about refusals.
    pub remedies: Arc<Remedies>,
    /// What is known of the counts beside the chunks of a stream.
    pub usage: RunningUsage,
    /// Stamps come from the kernel unless a request says otherwise.
    pub kernel_stamps: bool,
    /// The server runs on this host, so its stamps are on our clock, and they are wanted.
    pub takes_engine_stamps: bool,
}

/// A command from the issuing thread to a client thread.
#[derive(Debug)]
pub enum ClientCommand {
    /// Send a request.
    Send(Box<Outgoing>),
    /// Open as many connections as so many requests in flight need, and say so.
    Connect(usize, Sender<()>),
    /// Cancel a request.
    Cancel(RequestId),
    /// Wait for in-flight requests until then, cancel the rest, and stop.
    Finish(MonoNs),
}

/// State of one client thread.
pub struct ClientThread {
    settings: ClientSettings,
    transport: Transport,
    sink: RefCell<Sink>,
    in_flight: RefCell<HashMap<RequestId, RequestTask>>,
    /// Readers of completed responses, kept to reuse their memory.
    spare: RefCell<Vec<ResponseReader>>,
    /// The latest stream went on after `[DONE]` for longer than a moment.
    closes_late: Cell<bool>,
    empty: Notify,
}

struct RequestTask {
    task: AbortHandle,
    progress: Rc<RequestProgress>,
}

/// Runs a client thread until [`ClientCommand::Finish`]; returns how many requests it had to cancel.
pub async fn run(
    settings: ClientSettings,
    sink: Sink,
    mut commands: UnboundedReceiver<ClientCommand>,
) -> usize {
    let client = Rc::new(ClientThread {
        transport: Transport::new(Arc::clone(&settings.route)),
        sink: RefCell::new(sink),
        in_flight: RefCell::default(),
        spare: RefCell::default(),
        closes_late: Cell::new(false),
        empty: Notify::new(),
        settings,
    });
    tokio::task::spawn_local(watch_timeouts(Rc::clone(&client)));
    let by = loop {
        match commands.recv().await {
            Some(ClientCommand::Send(outgoing)) => client.send(*outgoing),
            Some(ClientCommand::Connect(in_flight, ready)) => {
                client.transport.open_ahead(in_flight).await;
                // Whoever asked may be gone.
                let _nobody_waits = ready.send(());
            }
            Some(ClientCommand::Cancel(id)) => client.cancel(id),
            Some(ClientCommand::Finish(by)) => break by,
            // The session was dropped without `finish`: nobody waits for the in-flight requests.
            None => break now(),
        }
    };
    client.drain(by).await
}

impl ClientThread {
    fn send(self: &Rc<Self>, outgoing: Outgoing) {
        let id = outgoing.id;
        let progress = Rc::new(RequestProgress::new(outgoing.handed_over));
        let task =
            tokio::task::spawn_local(send_request(Rc::clone(self), outgoing, Rc::clone(&progress)));
        let request = RequestTask { task: task.abort_handle(), progress };
        self.in_flight.borrow_mut().insert(id, request);
    }

    /// Removes a request. Only the caller that gets it may report its ending.
    fn remove(&self, id: RequestId) -> Option<RequestTask> {
        let mut in_flight = self.in_flight.borrow_mut();
        let request = in_flight.remove(&id);
        if in_flight.is_empty() {
            self.empty.notify_one();
        }
        request
    }

    fn cancel(&self, id: RequestId) {
        if let Some(request) = self.remove(id) {
            request.task.abort();
            self.note_connection(id, &request);
            self.sink.borrow_mut().end(id, now(), Ending::Cancelled);
        }
    }

    /// Says what the connection of a request cost, if anything.
    fn note_connection(&self, id: RequestId, request: &RequestTask) {
        let cost = request.progress.cost.get();
        if cost != ConnectionUse::NOTHING {
            self.sink.borrow_mut().connection_of(id, cost);
        }
    }

    async fn drain(&self, by: MonoNs) -> usize {
        while !self.in_flight.borrow().is_empty() && now() < by {
            let left = Duration::from_nanos((by - now()).0.max(0).unsigned_abs());
            let _empty_or_out_of_time = tokio::time::timeout(left, self.empty.notified()).await;
        }
        let left: Vec<_> = self.in_flight.borrow().keys().copied().collect();
        for &id in &left {
            self.cancel(id);
        }
        left.len()
    }

    /// Whether the latest stream went on after `[DONE]`, so that the end of the next one is not worth a wait.
    pub fn closes_late(&self) -> &Cell<bool> {
        &self.closes_late
    }

    /// The connections of this thread.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Counts tokens of the output.
    pub fn tokenizer(&self) -> Option<&CountTokens> {
        self.settings.tokenizer.as_ref()
    }

    /// A reader for the next response.
    pub fn take_reader(&self) -> ResponseReader {
        let mut answer = self.spare.borrow_mut().pop().unwrap_or_default();
        answer.restart(self.settings.usage);
        answer
    }

    /// Keeps a reader for the next response.
    pub fn give_back_reader(&self, answer: ResponseReader) {
        self.spare.borrow_mut().push(answer);
    }

    /// The first byte is about to be written.
    pub fn note_sent(&self, id: RequestId, at: MonoNs) {
        self.sink.borrow_mut().sent(id, at);
    }

    /// Output has arrived.
    #[inline]
    pub fn deliver(&self, id: RequestId, output: Output, stamp: ReadStamp) {
        let Output { tokens, hash } = output;
        self.sink.borrow_mut().delivery_seen_late(id, stamp.at, tokens, hash, stamp.lag_ns);
    }

    /// Reports what is odd about an answer.
    pub fn note(&self, id: RequestId, oddity: Oddity) {
        self.sink.borrow_mut().odd(id, oddity);
    }

    /// Reports a request whose stamps did not all come from the kernel, where that is the session's default.
    pub fn note_stamps(&self, id: RequestId, all_by_kernel: bool) {
        if self.settings.kernel_stamps && !all_by_kernel {
            self.sink.borrow_mut().stamps_of(id, StampSource::User);
        }
    }

    /// Ends a request, unless a cancel or timeout has ended it.
    pub fn complete(
        &self,
        outgoing: &Outgoing,
        outcome: Result<Completed, Failure>,
        answer: &ResponseReader,
    ) {
        let id = outgoing.id;
        let Some(request) = self.remove(id) else { return };
        self.note_connection(id, &request);
        let mut sink = self.sink.borrow_mut();
        match outcome {
            Err(failure) => {
                let failure = self.settings.remedies.explain(failure);
                sink.fail(id, now(), self.without_key(failure));
            }
            Ok(Completed { at, closing }) => {
                let (tokens, source) = closing.tokens;
                sink.token_count(id, tokens, source);
                if let Some((usage, retokenized)) = closing.mismatch {
                    sink.token_mismatch(id, usage, retokenized);
                }
                if let Some(oddity) = closing.oddity {
                    sink.odd(id, oddity);
                }
                if let Some(prompt) = closing.prompt {
                    sink.prompt_count(id, prompt);
                }
                if let Some(cached) = closing.cached {
                    sink.cached_count(id, cached);
                }
                if let Some(times) = answer.times().filter(|_| self.settings.takes_engine_stamps) {
                    sink.engine_times(id, times);
                }
                sink.answer_text(id, || answer.text());
                sink.end(id, at, Ending::Completed(closing.finish));
            }
        }
    }

    fn without_key(&self, failure: Failure) -> Failure {
        match &self.settings.api_key {
            Some(key) => Failure { message: key.redact(&failure.message), ..failure },
            None => failure,
        }
    }

    /// Ends every request that has exceeded a time limit.
    fn end_overdue(&self) {
        let at = now();
        let overdue: Vec<_> = {
            let in_flight = self.in_flight.borrow();
            let late = |(id, request): (&RequestId, &RequestTask)| {
                Some((*id, self.check_timeouts(&request.progress, at)?))
            };
            in_flight.iter().filter_map(late).collect()
        };
        for (id, overdue_by) in overdue {
            let Some(request) = self.remove(id) else { continue };
            request.task.abort();
            self.note_connection(id, &request);
            let mut sink = self.sink.borrow_mut();
            match overdue_by {
                Overdue::Total => {
                    sink.timed_out(id, at);
                    sink.end(id, at, Ending::Cancelled);
                }
                Overdue::Failed(failure) => sink.fail(id, at, failure),
            }
        }
    }

    fn check_timeouts(&self, progress: &RequestProgress, at: MonoNs) -> Option<Overdue> {
        let Timeouts { first_token, idle, total, .. } = self.settings.timeouts;
        let exceeds =
            |span: Nanos, limit: Duration| span.0 > 0 && span.0 as u128 > limit.as_nanos();
        if total.is_some_and(|total| exceeds(at - progress.begun, total)) {
            return Some(Overdue::Total);
        }
        let (phase, since) = progress.phase();
        let silent = |limit: Duration, kind: FailureKind, what: &str, flag: &str| {
            let words = || format!("{what} within {limit:?}, which `{flag}` sets");
            exceeds(at - since, limit).then(|| Overdue::Failed(Failure::new(kind, words())))
        };
        match phase {
            Phase::Connecting => None,
            Phase::Waiting => {
                silent(first_token, FailureKind::Silent, "no first token", "--first-token-timeout")
            }
            Phase::Answering => {
                silent(idle, FailureKind::Idle, "no further output", "--idle-timeout")
            }
        }
    }
}

enum Overdue {
    Total,
    Failed(Failure),
}

/// Checks timeouts a few times per limit, so that no timer is set per token.
async fn watch_timeouts(client: Rc<ClientThread>) {
    let Timeouts { first_token, idle, total, .. } = client.settings.timeouts;
    let shortest = first_token.min(idle).min(total.unwrap_or(idle));
    let tick = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(250));
    loop {
        tokio::time::sleep(tick).await;
        measure_wall_clock();
        client.end_overdue();
    }
}
