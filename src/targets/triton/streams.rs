//! HOT PATH. Requests over gRPC: one stream per request, or a few that all requests share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::{Status, Streaming};

use crate::clock::now;
use crate::network::stamp::LastRead;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::call::{failure_of, stream, unary};
use crate::targets::triton::connect::{Link, connector};
use crate::targets::triton::in_flight::Carrier;
use crate::targets::triton::kserve::{ModelInferRequest, ModelInferResponse, StreamResponse, path};
use crate::targets::triton::options::{StreamUse, TritonOptions};
use crate::targets::triton::request::Form;
use crate::targets::triton::response::{Reading, is_final};
use crate::targets::triton::session::Book;

/// How long a stream may take to close after its request has ended. Dropping it earlier would reset it.
const CLOSING: Duration = Duration::from_secs(2);

/// The connections and streams of one thread.
pub struct Streams {
    links: Vec<Rc<Lane>>,
    shared: Option<Rc<RefCell<Vec<SharedStream>>>>,
    turn: Cell<usize>,
    form: Arc<Form>,
    book: Book,
}

/// A connection, and how many calls are on it.
struct Lane {
    link: Link,
    calls: Cell<u32>,
}

/// One call on a lane; counts itself off when it is over, even if it is aborted.
struct OnLane(Rc<Lane>);

impl OnLane {
    fn enter(lane: &Rc<Lane>) -> Self {
        lane.calls.set(lane.calls.get() + 1);
        Self(Rc::clone(lane))
    }
}

impl Drop for OnLane {
    fn drop(&mut self) {
        self.0.calls.set(self.0.calls.get() - 1);
    }
}

/// A stream that carries many requests; opened when the first one comes, and again after it broke.
struct SharedStream {
    /// No other stream of the thread has it, so that what broke with one is never blamed on the next.
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
        form: Arc<Form>,
        book: Book,
    ) -> Result<Self, Failure> {
        let connector = connector(options, b"h2")?;
        let mut links = Vec::new();
        for _ in 0..options.channels.get().div_ceil(options.io_threads.get()) {
            let link = Link::open(options, connector.clone()).await?;
            links.push(Rc::new(Lane { link, calls: Cell::new(0) }));
        }
        let shared = match options.streams {
            StreamUse::Shared(count) if form.contract().decoupled => {
                let streams = (0..count.get()).map(|_| SharedStream { number: 0, requests: None });
                Some(Rc::new(RefCell::new(streams.collect())))
            }
            StreamUse::Shared(_) | StreamUse::PerRequest => None,
        };
        Ok(Self { links, shared, turn: Cell::new(0), form, book })
    }

    /// Sends a request on its way.
    pub fn send(&self, id: RequestId, message: ModelInferRequest) {
        if let Some(shared) = &self.shared {
            self.send_shared(shared, id, message);
            return;
        }
        let lane = self.quietest_lane();
        let call = OnLane::enter(lane);
        let book = Rc::clone(&self.book);
        let task = if self.form.contract().decoupled {
            tokio::task::spawn_local(stream_one(call, book, id, message))
        } else {
            tokio::task::spawn_local(infer_one(call, book, id, message))
        };
        self.book.borrow_mut().carried_by(id, Carrier::Task(Some(task.abort_handle())));
    }

    /// A request was given up. On a shared stream only the model itself can be told.
    pub fn cancelled(&self, id: RequestId, carrier: &Carrier) {
        let (Carrier::Shared(number), Some(shared)) = (carrier, &self.shared) else { return };
        let streams = shared.borrow();
        let stream = streams.iter().find(|stream| stream.number == *number);
        let requests = stream.and_then(|stream| stream.requests.as_ref());
        if let (Some(requests), Some(stop)) = (requests, self.form.stop_message(id)) {
            // A stream that has broken has ended its requests.
            let _broken = requests.send(stop);
        }
    }

    fn quietest_lane(&self) -> &Rc<Lane> {
        self.links
            .iter()
            .min_by_key(|lane| lane.calls.get())
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
            let call = OnLane::enter(self.quietest_lane());
            stream.number = turn;
            let (book, shared) = (Rc::clone(&self.book), Rc::clone(shared));
            tokio::task::spawn_local(stream_many(call, book, shared, turn, queue));
            requests
        });
        let mut book = self.book.borrow_mut();
        book.carried_by(id, Carrier::Shared(stream.number));
        book.sent(id, now());
        if requests.send(message).is_err() {
            let words = "the shared stream had just ended";
            book.fail(id, now(), Failure::new(FailureKind::Disconnected, words));
        }
    }
}

/// One request, one answer.
async fn infer_one(call: OnLane, book: Book, id: RequestId, message: ModelInferRequest) {
    let link = &call.0.link;
    if !book.borrow_mut().sent(id, now()) {
        return;
    }
    let reply: Result<ModelInferResponse, Status> =
        unary(link.channel.clone(), path::MODEL_INFER, message).await;
    let stamp = link.reads.stamp();
    let mut book = book.borrow_mut();
    match reply.as_ref().map(Reading::of) {
        Ok(Ok(reading)) => book.response(id, stamp, &Reading { is_final: true, ..reading }),
        Ok(Err(words)) => book.fail(id, stamp.at, Failure::new(FailureKind::Malformed, words)),
        Err(status) => book.fail(id, now(), failure_of(status)),
    }
}

/// One request with a stream of its own, closed on our side as soon as it is written.
async fn stream_one(call: OnLane, book: Book, id: RequestId, message: ModelInferRequest) {
    let link = &call.0.link;
    if !book.borrow_mut().sent(id, now()) {
        return;
    }
    let only = tokio_stream::once(message);
    let mut responses: Streaming<StreamResponse> =
        match stream(link.channel.clone(), path::MODEL_STREAM_INFER, only).await {
            Ok(responses) => responses,
            Err(status) => {
                book.borrow_mut().fail(id, now(), failure_of(&status));
                return;
            }
        };
    let reads = link.reads.current();
    loop {
        match responses.message().await {
            Ok(Some(response)) => {
                if take(&book, id, &reads, &response) {
                    break;
                }
            }
            Ok(None) => {
                book.borrow_mut().stream_over(id, reads.get().at);
                return;
            }
            Err(status) => {
                book.borrow_mut().fail(id, now(), failure_of(&status));
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

/// Takes one response in; whether it was the last.
#[inline]
fn take(book: &Book, id: RequestId, reads: &LastRead, response: &StreamResponse) -> bool {
    let stamp = reads.get();
    let mut book = book.borrow_mut();
    let infer = response.infer_response.as_ref();
    if !response.error_message.is_empty() {
        book.error_message(id, stamp.at, &response.error_message, infer.is_some_and(is_final));
        return true;
    }
    match infer.map(Reading::of) {
        Some(Ok(reading)) => {
            book.response(id, stamp, &reading);
            reading.is_final
        }
        Some(Err(words)) => {
            book.fail(id, stamp.at, Failure::new(FailureKind::Malformed, words));
            true
        }
        None => {
            let words = "a stream response held neither an error nor a response";
            book.fail(id, stamp.at, Failure::new(FailureKind::Malformed, words));
            true
        }
    }
}

/// Many requests on one stream; each response finds its request by its id.
async fn stream_many(
    call: OnLane,
    book: Book,
    shared: Rc<RefCell<Vec<SharedStream>>>,
    number: usize,
    queue: UnboundedReceiver<ModelInferRequest>,
) {
    let link = &call.0.link;
    let messages = tokio_stream::wrappers::UnboundedReceiverStream::new(queue);
    let failure = match stream(link.channel.clone(), path::MODEL_STREAM_INFER, messages).await {
        Ok(responses) => read_many(&book, number, &link.reads.current(), responses).await,
        Err(status) => Some(failure_of(&status)),
    };
    // The request half may still look open; what is sent into it would never be answered.
    for stream in shared.borrow_mut().iter_mut().filter(|stream| stream.number == number) {
        stream.requests = None;
    }
    let at = now();
    let orphans = book.borrow().on_stream(number);
    let mut book = book.borrow_mut();
    for id in orphans {
        match &failure {
            Some(failure) => book.fail(id, at, failure.clone()),
            None => book.stream_over(id, at),
        }
    }
}

async fn read_many(
    book: &Book,
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
                    None => book.borrow().oldest_unanswered(number),
                };
                if let Some(id) = id {
                    take(book, id, reads, &response);
                }
            }
            Ok(None) => return None,
            Err(status) => return Some(failure_of(&status)),
        }
    }
}
