//! Session over I/O threads: distributes commands among them, and each has its own sink.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::clock::{MonoNs, now};
use crate::load::plan::Shot;
use crate::network::socket::StampKeeper;
use crate::network::stamp::measure_wall_clock;
use crate::network::thread;
use crate::network::thread::NetThread;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::address::Protocol;
use crate::targets::triton::encoded::{Encoded, Encoder};
use crate::targets::triton::generate::Generate;
use crate::targets::triton::in_flight::{InFlightTable, SessionSettings};
use crate::targets::triton::in_flight_request::{Carrier, InFlightRequest, Streaming};
use crate::targets::triton::options::TritonOptions;
use crate::targets::triton::output_counter::OutputCounter;
use crate::targets::triton::request::RequestTemplate;
use crate::targets::triton::streams::Streams;
use crate::targets::{Drain, Prepare, Session};
use crate::threads::Own;

/// A command to an I/O thread.
pub enum IoCommand {
    /// Send a request.
    Send(Box<NewRequest>),
    /// Cancel a request.
    Cancel(RequestId),
    /// Wait for open requests until then, cancel the rest, and stop.
    Finish(MonoNs),
}

/// A request that is ready to be written.
pub struct NewRequest {
    id: RequestId,
    request: InFlightRequest,
    encoded: Encoded,
}

/// Client of one protocol.
pub enum Transport {
    /// gRPC.
    Streams(Streams),
    /// HTTP.
    Generate(Generate),
}

impl Transport {
    async fn open(
        options: &TritonOptions,
        template: Arc<RequestTemplate>,
        table: SharedTable,
    ) -> Result<Self, Failure> {
        Ok(match options.address.protocol {
            Protocol::Grpc => Self::Streams(Streams::open(options, template, table).await?),
            Protocol::HttpGenerate => Self::Generate(Generate::open(options, &template, table)?),
        })
    }

    fn send(&self, id: RequestId, encoded: Encoded) {
        match (self, encoded) {
            (Self::Streams(streams), Encoded::Message(message)) => streams.send(id, message),
            (Self::Generate(generate), Encoded::Body(body)) => generate.send(id, body),
            (Self::Streams(_), Encoded::Body(_)) | (Self::Generate(_), Encoded::Message(_)) => {
                unreachable!("the session writes what its own protocol sends")
            }
        }
    }

    fn cancelled(&self, id: RequestId, carrier: &Carrier) {
        match self {
            Self::Streams(streams) => streams.cancelled(id, carrier),
            // The connection is dropped with the task.
            Self::Generate(_) => {}
        }
    }
}

/// The in-flight table of a thread, shared by its tasks.
pub type SharedTable = Rc<RefCell<InFlightTable>>;

/// A Triton server under load.
pub struct TritonSession {
    encoder: Encoder,
    keep_text: bool,
    threads: Vec<IoThread>,
    _keeper: StampKeeper,
}

struct IoThread {
    commands: UnboundedSender<IoCommand>,
    handle: NetThread<usize>,
}

/// How often timeouts are checked: a few times per limit.
fn timeout_check_interval(options: &TritonOptions) -> Duration {
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
        template: RequestTemplate,
        settings: SessionSettings,
        sink: &Sink,
        keeper: StampKeeper,
    ) -> Result<Self, Failure> {
        let template = Arc::new(template);
        let settings = Arc::new(settings);
        let mut threads = Vec::new();
        for number in 0..options.io_threads.get() {
            let table = InFlightTable::new(sink.for_another_thread(), Arc::clone(&settings));
            threads.push(IoThread::start(number, options.clone(), Arc::clone(&template), table)?);
        }
        Ok(Self {
            keep_text: settings.count_tokens.is_some(),
            encoder: Encoder { template, protocol: options.address.protocol },
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
        template: Arc<RequestTemplate>,
        table: InFlightTable,
    ) -> Result<Self, Failure> {
        let (commands, inbox) = unbounded_channel();
        let (connected, outcome) = oneshot::channel();
        let handle = thread::spawn(Own::Triton.numbered(number), move || async move {
            let table = Rc::new(RefCell::new(table));
            let transport = match Transport::open(&options, template, Rc::clone(&table)).await {
                Ok(transport) => transport,
                Err(failure) => {
                    // If the receiver is gone, the opener has panicked.
                    let _opener_is_gone = connected.send(Err(failure));
                    return 0;
                }
            };
            let _opener_is_gone = connected.send(Ok(()));
            tokio::task::spawn_local(watch_timeouts(
                Rc::clone(&table),
                timeout_check_interval(&options),
            ));
            run_commands(inbox, transport, table).await
        })
        .map_err(|error| Failure::new(FailureKind::Connect, format!("no thread: {error}")))?;
        match outcome.blocking_recv() {
            Ok(Ok(())) => Ok(Self { commands, handle }),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::new(FailureKind::Connect, "the thread ended while connecting")),
        }
    }
}

/// Fails requests that exceed a time limit, as long as the thread lives.
async fn watch_timeouts(table: SharedTable, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        measure_wall_clock();
        table.borrow_mut().fail_idle(now());
    }
}

/// Runs commands until [`IoCommand::Finish`]; returns how many requests had to be cancelled.
async fn run_commands(
    mut inbox: UnboundedReceiver<IoCommand>,
    transport: Transport,
    table: SharedTable,
) -> usize {
    while let Some(command) = inbox.recv().await {
        match command {
            IoCommand::Send(new_request) => {
                let NewRequest { id, request, encoded } = *new_request;
                table.borrow_mut().insert(id, request);
                transport.send(id, encoded);
            }
            IoCommand::Cancel(id) => {
                let carrier = table.borrow_mut().cancel(id, now());
                if let Some(carrier) = carrier {
                    transport.cancelled(id, &carrier);
                }
            }
            IoCommand::Finish(by) => {
                wait_until_empty(&table, by).await;
                break;
            }
        }
    }
    // A statement of its own, so that the borrow ends before the table is dropped.
    let mut open = table.borrow_mut();
    open.cancel_all(now())
}

/// Waits until no request is open.
async fn wait_until_empty(table: &SharedTable, by: MonoNs) {
    const POLL: Duration = Duration::from_millis(1);
    while !table.borrow().is_empty() && now() < by {
        tokio::time::sleep(POLL).await;
    }
}

impl Session for TritonSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        let handed_over = now();
        let encoded = self.encoder.request_of(shot)?;
        let model_io = self.encoder.template.model_io();
        let output = OutputCounter::new(model_io, self.keep_text);
        let prompt = shot.request.prompt.clone();
        let request =
            InFlightRequest::new(prompt, shot.request.output.max_tokens, output, handed_over)
                .streamed(Streaming::of(shot.request.streaming, model_io.decoupled));
        let new_request = Box::new(NewRequest { id: shot.id, request, encoded });
        self.thread(shot.id)
            .commands
            .send(IoCommand::Send(new_request))
            .map_err(|_| Failure::new(FailureKind::ShutDown, "the client's thread has ended"))
    }

    fn preparer(&self) -> Option<Box<dyn Prepare>> {
        Some(Box::new(self.encoder.clone()))
    }

    fn cancel(&mut self, id: RequestId) {
        // A thread that is gone has ended all its requests.
        let _gone = self.thread(id).commands.send(IoCommand::Cancel(id));
    }

    fn finish(self: Box<Self>, by: MonoNs) -> Drain {
        for thread in &self.threads {
            let _gone = thread.commands.send(IoCommand::Finish(by));
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
