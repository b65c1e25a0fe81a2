//! HOT PATH. Requests over gRPC: one stream per request, or a few that all requests share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::{Status, Streaming};

use crate::clock::now;
use crate::network::stamp::LastRead;
use crate::network::unprocessed::{SENT_AGAIN_AT_MOST, is_unprocessed};
use crate::record::request_record::ConnectionUse;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::call::{failure_of, stream, unary};
use crate::targets::triton::connect::{Link, connector};
use crate::targets::triton::in_flight_request::Carrier;
use crate::targets::triton::kserve::{ModelInferRequest, ModelInferResponse, StreamResponse, path};
use crate::targets::triton::options::{StreamUse, TritonOptions};
use crate::targets::triton::request::RequestTemplate;
use crate::targets::triton::response::{Reading, is_final};
use crate::targets::triton::session::SharedTable;

/// How long a stream may take to close after its request has ended. Dropping it earlier would reset it.
const CLOSING: Duration = Duration::from_secs(2);

/// The connections and streams of one thread.
pub struct Streams {
    connections: Vec<Rc<GrpcConnection>>,
    shared: Option<Rc<RefCell<Vec<SharedStream>>>>,
    turn: Cell<usize>,
    template: Arc<RequestTemplate>,
    table: SharedTable,
}

/// A connection and the number of its open calls.
struct GrpcConnection {
    link: Link,
    calls: Cell<u32>,
}

/// Counts one call on a connection, until dropped, even if the call is aborted.
struct CallGuard(Rc<GrpcConnection>);

impl CallGuard {
    fn enter(connection: &Rc<GrpcConnection>) -> Self {
        connection.calls.set(connection.calls.get() + 1);
        Self(Rc::clone(connection))
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.0.calls.set(self.0.calls.get() - 1);
    }
}

/// A stream that carries many requests; opened when the first one comes, and again after it broke.
struct SharedStream {
    /// Unique in the thread, so that the failure of one stream never ends requests of its successor.
    number: usize,
    requests: Option<UnboundedSender<ModelInferRequest>>,
}

impl Streams {
    /// Connects this thread's share of the channels.
    ///
    /// # Errors
    /// When a connection cannot be made.
    pub async fn open(
        options: &TritonOptions,
        template: Arc<RequestTemplate>,
        table: SharedTable,
    ) -> Result<Self, Failure> {
        let connector = connector(options, b"h2")?;
        let mut connections = Vec::new();
        for _ in 0..options.channels.get().div_ceil(options.io_threads.get()) {
            let link = Link::open(options, connector.clone()).await?;
            connections.push(Rc::new(GrpcConnection { link, calls: Cell::new(0) }));
        }
        let shared = match options.streams {
            StreamUse::Shared(count) if template.model_io().decoupled => {
                let streams = (0..count.get()).map(|_| SharedStream { number: 0, requests: None });
                Some(Rc::new(RefCell::new(streams.collect())))
            }
            StreamUse::Shared(_) | StreamUse::PerRequest => None,
        };
        Ok(Self { connections, shared, turn: Cell::new(0), template, table })
    }

    /// Sends a request.
    pub fn send(&self, id: RequestId, message: ModelInferRequest) {
        if let Some(shared) = &self.shared {
            self.send_shared(shared, id, message);
            return;
        }
        let connection = self.least_loaded_connection();
        let call = CallGuard::enter(connection);
        let table = Rc::clone(&self.table);
        let task = if self.template.model_io().decoupled {
            tokio::task::spawn_local(stream_one(call, table, id, message))
        } else {
            tokio::task::spawn_local(infer_one(call, table, id, message))
        };
        self.table.borrow_mut().carried_by(id, Carrier::Task(Some(task.abort_handle())));
    }

    /// A request was cancelled. On a shared stream it can only be cancelled by a stop request to the model.
    pub fn cancelled(&self, id: RequestId, carrier: &Carrier) {
        let (Carrier::Shared(number), Some(shared)) = (carrier, &self.shared) else { return };
        let streams = shared.borrow();
        let stream = streams.iter().find(|stream| stream.number == *number);
        let requests = stream.and_then(|stream| stream.requests.as_ref());
        if let (Some(requests), Some(stop)) = (requests, self.template.stop_message(id)) {
            // A stream that has broken has ended its requests.
            let _broken = requests.send(stop);
        }
    }

    fn least_loaded_connection(&self) -> &Rc<GrpcConnection> {
        self.connections
            .iter()
            .min_by_key(|connection| connection.calls.get())
            .expect("at least one channel is opened")
    }

    fn send_shared(
        &self,
        shared: &Rc<RefCell<Vec<SharedStream>>>,
        id: RequestId,
        message: ModelInferRequest,
    ) {
        let mut streams = shared.borrow_mut();
        let turn = self.turn.get();
        self.turn.set(turn + 1);
        let place = turn % streams.len();
        let stream = &mut streams[place];
        let requests = stream.requests.get_or_insert_with(|| {
            let (requests, queue) = unbounded_channel();
            let call = CallGuard::enter(self.least_loaded_connection());
            stream.number = turn;
            let (table, shared) = (Rc::clone(&self.table), Rc::clone(shared));
            tokio::task::spawn_local(stream_many(call, table, shared, turn, queue));
            requests
        });
        let mut table = self.table.borrow_mut();
        table.carried_by(id, Carrier::Shared(stream.number));
        table.sent(id, now());
        if requests.send(message).is_err() {
            let message = "the shared stream had just ended";
            table.fail(id, now(), Failure::new(FailureKind::Disconnected, message));
        }
    }
}

/// Sends a request, and again as long as the server says that it did not process it.
async fn until_it_is_processed<T>(
    table: &SharedTable,
    id: RequestId,
    message: ModelInferRequest,
    ask: impl AsyncFn(ModelInferRequest) -> Result<T, Status>,
) -> Result<T, Status> {
    let mut cost = ConnectionUse::NOTHING;
    loop {
        // The contents of its tensors are shared.
        match ask(message.clone()).await {
            Err(status) if cost.resent < SENT_AGAIN_AT_MOST && is_unprocessed(&status) => {
                cost.resent += 1;
                table.borrow_mut().connection_of(id, cost);
            }
            answer => return answer,
        }
    }
}

/// One request, one response.
async fn infer_one(call: CallGuard, table: SharedTable, id: RequestId, message: ModelInferRequest) {
    let link = &call.0.link;
    if !table.borrow_mut().sent(id, now()) {
        return;
    }
    let ask = |message| unary(link.channel.clone(), path::MODEL_INFER, message);
    let reply: Result<ModelInferResponse, Status> =
        until_it_is_processed(&table, id, message, ask).await;
    let stamp = link.reads.stamp();
    let mut table = table.borrow_mut();
    match reply.as_ref().map(Reading::of) {
        Ok(Ok(reading)) => table.response(id, stamp, &Reading { is_final: true, ..reading }),
        Ok(Err(message)) => table.fail(id, stamp.at, Failure::new(FailureKind::Malformed, message)),
        Err(status) => table.fail(id, now(), failure_of(status)),
    }
}

/// One request with a stream of its own, closed on our side as soon as it is written.
async fn stream_one(
    call: CallGuard,
    table: SharedTable,
    id: RequestId,
    message: ModelInferRequest,
) {
    let link = &call.0.link;
    if !table.borrow_mut().sent(id, now()) {
        return;
    }
    let ask = |message| {
        let only = tokio_stream::once(message);
        stream(link.channel.clone(), path::MODEL_STREAM_INFER, only)
    };
    let mut responses: Streaming<StreamResponse> =
        match until_it_is_processed(&table, id, message, ask).await {
            Ok(responses) => responses,
            Err(status) => {
                table.borrow_mut().fail(id, now(), failure_of(&status));
                return;
            }
        };
    let reads = link.reads.current();
    loop {
        match responses.message().await {
            Ok(Some(response)) => {
                if take(&table, id, &reads, &response) {
                    break;
                }
            }
            Ok(None) => {
                table.borrow_mut().stream_over(id, reads.get().at);
                return;
            }
            Err(status) => {
                table.borrow_mut().fail(id, now(), failure_of(&status));
                return;
            }
        }
    }
    let _closed_or_dropped = tokio::time::timeout(CLOSING, drain(responses)).await;
}

/// Reads to the end of a stream whose request has ended.
async fn drain(mut responses: Streaming<StreamResponse>) {
    while let Ok(Some(_late)) = responses.message().await {}
}

/// Handles one response; returns whether it was the last.
#[inline]
fn take(table: &SharedTable, id: RequestId, reads: &LastRead, response: &StreamResponse) -> bool {
    let stamp = reads.get();
    let mut table = table.borrow_mut();
    let infer = response.infer_response.as_ref();
    if !response.error_message.is_empty() {
        table.error_message(id, stamp.at, &response.error_message, infer.is_some_and(is_final));
        return true;
    }
    match infer.map(Reading::of) {
        Some(Ok(reading)) => {
            table.response(id, stamp, &reading);
            reading.is_final
        }
        Some(Err(message)) => {
            table.fail(id, stamp.at, Failure::new(FailureKind::Malformed, message));
            true
        }
        None => {
            let message = "a stream response held neither an error nor a response";
            table.fail(id, stamp.at, Failure::new(FailureKind::Malformed, message));
            true
        }
    }
}

/// Many requests on one stream; a response is matched to its request by id.
async fn stream_many(
    call: CallGuard,
    table: SharedTable,
    shared: Rc<RefCell<Vec<SharedStream>>>,
    number: usize,
    queue: UnboundedReceiver<ModelInferRequest>,
) {
    let link = &call.0.link;
    let messages = tokio_stream::wrappers::UnboundedReceiverStream::new(queue);
    let failure = match stream(link.channel.clone(), path::MODEL_STREAM_INFER, messages).await {
        Ok(responses) => read_many(&table, number, &link.reads.current(), responses).await,
        Err(status) => Some(failure_of(&status)),
    };
    // The request half may still look open, but requests sent into it would never get a response.
    for stream in shared.borrow_mut().iter_mut().filter(|stream| stream.number == number) {
        stream.requests = None;
    }
    let at = now();
    let orphans = table.borrow().on_stream(number);
    let mut table = table.borrow_mut();
    for id in orphans {
        match &failure {
            Some(failure) => table.fail(id, at, failure.clone()),
            None => table.stream_over(id, at),
        }
    }
}

async fn read_many(
    table: &SharedTable,
    number: usize,
    reads: &LastRead,
    mut responses: Streaming<StreamResponse>,
) -> Option<Failure> {
    loop {
        match responses.message().await {
            Ok(Some(response)) => {
                let named =
                    response.infer_response.as_ref().and_then(|infer| infer.id.parse().ok());
                let id = match named {
                    Some(id) => Some(RequestId(id)),
                    None => table.borrow().oldest_unanswered(number),
                };
                if let Some(id) = id {
                    take(table, id, reads, &response);
                }
            }
            Ok(None) => return None,
            Err(status) => return Some(failure_of(&status)),
        }
    }
}
