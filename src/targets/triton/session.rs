//! Session over I/O threads: distributes commands among them, and each has its own sink.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::clock::{MonoNs, now};
use crate::load::plan::Shot;
use crate::network::socket::StampKeeper;
use crate::network::thread;
use crate::network::thread::NetThread;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::address::Protocol;
use crate::targets::triton::answer::Answer;
use crate::targets::triton::generate::Generate;
use crate::targets::triton::in_flight::{Carrier, Flight, InFlight, Rules};
use crate::targets::triton::kserve::ModelInferRequest;
use crate::targets::triton::options::TritonOptions;
use crate::targets::triton::request::Form;
use crate::targets::triton::streams::Streams;
use crate::targets::{Drain, Session};

/// What a thread is told.
pub enum Order {
    /// Send a request.
    Send(Box<Outgoing>),
    /// End a request early.
    Cancel(RequestId),
    /// Wait for open requests until then, end the others, and stop.
    Finish(MonoNs),
}

/// A request that is ready to be written.
pub struct Outgoing {
    id: RequestId,
    flight: Flight,
    written: Written,
}

/// A request in the protocol's words.
pub enum Written {
    /// For gRPC.
    Message(ModelInferRequest),
    /// For a generate endpoint.
    Body(Bytes),
}

/// What a thread sends through.
pub enum Transport {
    /// gRPC.
    Streams(Streams),
    /// HTTP.
    Generate(Generate),
}

impl Transport {
    async fn open(options: &TritonOptions, form: Arc<Form>, book: Book) -> Result<Self, Failure> {
        Ok(match options.address.protocol {
            Protocol::Grpc => Self::Streams(Streams::open(options, form, book).await?),
            Protocol::HttpGenerate => Self::Generate(Generate::open(options, &form, book)?),
        })
    }

    fn send(&self, id: RequestId, written: Written) {
        match (self, written) {
            (Self::Streams(streams), Written::Message(message)) => streams.send(id, message),
            (Self::Generate(generate), Written::Body(body)) => generate.send(id, body),
            (Self::Streams(_), Written::Body(_)) | (Self::Generate(_), Written::Message(_)) => {
                unreachable!("the session writes what its own protocol sends")
            }
        }
    }

    fn cancelled(&self, id: RequestId, carrier: &Carrier) {
        match self {
            Self::Streams(streams) => streams.cancelled(id, carrier),
            // Its connection is dropped with its task.
            Self::Generate(_) => {}
        }
    }
}

/// The open requests of a thread, shared by its tasks.
pub type Book = Rc<RefCell<InFlight>>;

/// A Triton server under load.
pub struct TritonSession {
    form: Arc<Form>,
    keep_text: bool,
    protocol: Protocol,
    threads: Vec<IoThread>,
    _keeper: StampKeeper,
}

struct IoThread {
    orders: UnboundedSender<Order>,
    handle: NetThread<usize>,
}

/// How often open requests are looked at: a few times per timeout.
fn look_every(options: &TritonOptions) -> Duration {
    let shortest = options.timeouts.idle.min(options.timeouts.first_response);
    (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}

impl TritonSession {
    /// Connects, on as many threads as asked for.
    ///
    /// # Errors
    /// When a thread cannot connect.
    pub fn open(
        options: &TritonOptions,
        form: Form,
        rules: Rules,
        sink: &Sink,
        keeper: StampKeeper,
    ) -> Result<Self, Failure> {
        let form = Arc::new(form);
        let rules = Arc::new(rules);
        let mut threads = Vec::new();
        for number in 0..options.io_threads.get() {
            let book = InFlight::new(sink.for_another_thread(), Arc::clone(&rules));
            threads.push(IoThread::start(number, options.clone(), Arc::clone(&form), book)?);
        }
        Ok(Self {
            keep_text: rules.count_tokens.is_some(),
            protocol: options.address.protocol,
            form,
            threads,
            _keeper: keeper,
        })
    }

    fn thread(&self, id: RequestId) -> &IoThread {
        &self.threads[id.0 as usize % self.threads.len()]
    }
}

impl IoThread {
    fn start(
        number: u16,
        options: TritonOptions,
        form: Arc<Form>,
        book: InFlight,
    ) -> Result<Self, Failure> {
        let (orders, inbox) = unbounded_channel();
        let (connected, outcome) = oneshot::channel();
        let handle = thread::spawn(&format!("bf-triton-{number}"), move || async move {
            let book = Rc::new(RefCell::new(book));
            let transport = match Transport::open(&options, form, Rc::clone(&book)).await {
                Ok(transport) => transport,
                Err(failure) => {
                    // The opener reads it, or has panicked.
                    let _opener_is_gone = connected.send(Err(failure));
                    return 0;
                }
            };
            let _opener_is_gone = connected.send(Ok(()));
            tokio::task::spawn_local(look_after(Rc::clone(&book), look_every(&options)));
            obey(inbox, transport, book).await
        })
        .map_err(|error| Failure::new(FailureKind::Connect, format!("no thread: {error}")))?;
        match outcome.blocking_recv() {
            Ok(Ok(())) => Ok(Self { orders, handle }),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::new(FailureKind::Connect, "the thread ended while connecting")),
        }
    }
}

/// Fails requests for which nothing comes, for as long as the thread lives.
async fn look_after(book: Book, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        book.borrow_mut().fail_idle(now());
    }
}

/// Carries out orders until told to finish; returns how many requests had to be ended by force.
async fn obey(mut inbox: UnboundedReceiver<Order>, transport: Transport, book: Book) -> usize {
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Send(outgoing) => {
                let Outgoing { id, flight, written } = *outgoing;
                book.borrow_mut().begin(id, flight);
                transport.send(id, written);
            }
            Order::Cancel(id) => {
                let carrier = book.borrow_mut().cancel(id, now());
                if let Some(carrier) = carrier {
                    transport.cancelled(id, &carrier);
                }
            }
            Order::Finish(by) => {
                until_empty(&book, by).await;
                break;
            }
        }
    }
    // A statement of its own, so that the borrow ends before the book does.
    let mut open = book.borrow_mut();
    open.cancel_all(now())
}

/// Waits for the last answers.
async fn until_empty(book: &Book, by: MonoNs) {
    const LOOK: Duration = Duration::from_millis(1);
    while !book.borrow().is_empty() && now() < by {
        tokio::time::sleep(LOOK).await;
    }
}

impl Session for TritonSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        let handed_over = now();
        let written = match self.protocol {
            Protocol::Grpc => Written::Message(self.form.message(shot)?),
            Protocol::HttpGenerate => Written::Body(self.form.json(shot)?),
        };
        let answer = Answer::new(self.form.contract(), self.keep_text);
        let prompt = shot.request.prompt.clone();
        let flight = Flight::new(prompt, shot.request.output.max_tokens, answer, handed_over);
        let outgoing = Box::new(Outgoing { id: shot.id, flight, written });
        self.thread(shot.id)
            .orders
            .send(Order::Send(outgoing))
            .map_err(|_| Failure::new(FailureKind::ShutDown, "the client's thread has ended"))
    }

    fn cancel(&mut self, id: RequestId) {
        // A thread that is gone has ended all its requests.
        let _gone = self.thread(id).orders.send(Order::Cancel(id));
    }

    fn finish(self: Box<Self>, by: MonoNs) -> Drain {
        for thread in &self.threads {
            let _gone = thread.orders.send(Order::Finish(by));
        }
        let mut left = 0;
        let mut panicked = 0;
        for thread in self.threads {
            match thread.handle.join() {
                Some(open) => left += open,
                None => panicked += 1,
            }
        }
        match (left, panicked) {
            (0, 0) => Drain::Clean,
            (left, 0) => {
                Drain::Forced(format!("{left} requests were still open and were cancelled"))
            }
            (_, panicked) => Drain::Forced(format!("{panicked} threads of the client panicked")),
        }
    }
}
