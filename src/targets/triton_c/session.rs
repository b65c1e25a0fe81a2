//! Session over a Triton core: submits shots, and stops the core.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::clock::{MonoNs, Nanos, now, sleep, sleep_until};
use crate::ffi::triton::{Core, Deliver, Input, Parameter, Request};
use crate::load::plan::Shot;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::address::Protocol;
use crate::targets::triton::encoded::{Encoded, Encoder};
use crate::targets::triton::in_flight::{InFlightTable, SessionSettings};
use crate::targets::triton::in_flight_request::{InFlightRequest, Streaming};
use crate::targets::triton::kserve::{Choice, ENABLE_EMPTY_FINAL, ModelInferRequest};
use crate::targets::triton::output_counter::OutputCounter;
use crate::targets::triton::request::RequestTemplate;
use crate::targets::triton_c::SETTLING;
use crate::targets::triton_c::event_thread::{EventThread, TableMessage, failure_of};
use crate::targets::{Drain, Prepare, Session};
use crate::threads::Own;

/// A core under load. Dropped without `finish`, it ends what is open and stops the core all the same.
pub struct CoreSession {
    /// The C API takes the tensors of a gRPC message.
    encoder: Encoder,
    keep_text: bool,
    deliver: Deliver,
    running: Option<Running>,
}

/// Core and event thread; both end with the session.
struct Running {
    core: Arc<Core>,
    /// When its models had been loaded.
    loaded: MonoNs,
    messages: Sender<TableMessage>,
    thread: JoinHandle<usize>,
}

/// How long the core may take to release its last request after it was stopped.
const RELEASE_TIMEOUT: Nanos = Nanos::from_millis(3_000);

impl CoreSession {
    /// Starts the thread that owns the sink and the in-flight table.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        core: Arc<Core>,
        template: RequestTemplate,
        settings: SessionSettings,
        sink: Sink,
    ) -> std::io::Result<Self> {
        let (messages, inbox) = channel();
        let keep_text = settings.count_tokens.is_some();
        let event_thread = EventThread {
            in_flight: InFlightTable::new(sink, Arc::new(settings)),
            handles: HashMap::new(),
        };
        let thread = Own::TritonC.builder().spawn(move || event_thread.run(&inbox))?;
        let responses = messages.clone();
        let deliver: Deliver = Arc::new(move |response| {
            // A thread that has ended has ended all its requests.
            let _thread_is_gone = responses.send(TableMessage::Response(now(), response));
        });
        let encoder = Encoder { template: Arc::new(template), protocol: Protocol::Grpc };
        Ok(Self {
            encoder,
            keep_text,
            deliver,
            running: Some(Running { core, loaded: now(), messages, thread }),
        })
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it is taken only when the session ends")
    }

    fn send(&self, message: TableMessage) -> Result<(), Failure> {
        let closed = |_| Failure::new(FailureKind::ShutDown, "the session's thread has ended");
        self.running().messages.send(message).map_err(closed)
    }
}

impl Session for CoreSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        let handed_over = now();
        let Encoded::Message(message) = self.encoder.request_of(shot)? else {
            unreachable!("the encoder is for gRPC")
        };
        let request = request_of(message, shot.id);
        let model_io = self.encoder.template.model_io();
        let counter = OutputCounter::new(model_io, self.keep_text);
        let prompt = shot.request.prompt.clone();
        let in_flight =
            InFlightRequest::new(prompt, shot.request.output.max_tokens, counter, handed_over)
                .streamed(Streaming::of(shot.request.streaming, model_io.decoupled));
        // Before the call: the first response may come before it returns.
        self.send(TableMessage::Begin(shot.id, Box::new(in_flight)))?;
        match self.running().core.infer(request, &self.deliver) {
            Ok(handle) => self.send(TableMessage::Accepted(shot.id, handle)),
            Err(error) => {
                self.send(TableMessage::Refused(shot.id))?;
                Err(failure_of(&error))
            }
        }
    }

    fn preparer(&self) -> Option<Box<dyn Prepare>> {
        Some(Box::new(self.encoder.clone()))
    }

    fn cancel(&mut self, id: RequestId) {
        // A thread that is gone has ended all its requests.
        let _gone = self.send(TableMessage::Cancel(id));
    }

    fn finish(mut self: Box<Self>, by: MonoNs) -> Drain {
        let running = self.running.take().expect("a session is finished once");
        running.end(by)
    }
}

impl Drop for CoreSession {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _not_reported = running.end(MonoNs(0));
        }
    }
}

impl Running {
    fn end(self, by: MonoNs) -> Drain {
        let Self { core, loaded, messages, thread } = self;
        let _gone = messages.send(TableMessage::Finish(by));
        let left = thread.join();
        sleep_until(loaded + SETTLING);
        match (left, stop_core(core)) {
            (Err(_panic), _) => Drain::Forced("the session's thread panicked".into()),
            (Ok(0), Ok(())) => Drain::Clean,
            (Ok(0), Err(message)) => Drain::Forced(message),
            (Ok(left), _) => {
                Drain::Forced(format!("{left} requests were still open and were cancelled"))
            }
        }
    }
}

/// Stops the core, waits for its last callback, and deletes it on this thread: the core joins its own threads, so that
/// it must never be deleted by one of its callbacks.
fn stop_core(core: Arc<Core>) -> Result<(), String> {
    let stopped = core.stop();
    let give_up_at = now() + RELEASE_TIMEOUT;
    while Arc::strong_count(&core) > 1 {
        if now() > give_up_at {
            // The core never released a request: it is leaked, unused, until the process ends.
            std::mem::forget(core);
            return Err("the core still held requests after it was stopped".into());
        }
        sleep(Nanos::from_millis(1));
    }
    stopped.map_err(|error| format!("the core did not stop cleanly: {error}"))
}

/// Converts a request to the C API.
fn request_of(message: ModelInferRequest, id: RequestId) -> Request {
    let inputs = message.inputs.into_iter().zip(message.raw_input_contents);
    Request {
        model: message.model_name,
        version: crate::targets::triton_c::ANY_VERSION,
        id: id.0,
        inputs: inputs
            .map(|(head, content)| Input {
                name: head.name,
                datatype: head.datatype,
                shape: head.shape,
                content,
            })
            .collect(),
        outputs: message.outputs.into_iter().map(|output| output.name).collect(),
        parameters: message
            .parameters
            .into_iter()
            // The C API always says which response is the last.
            .filter(|entry| entry.key != ENABLE_EMPTY_FINAL)
            .filter_map(|entry| Some((entry.key, parameter_of(entry.value?.choice?))))
            .collect(),
    }
}

fn parameter_of(choice: Choice) -> Parameter {
    match choice {
        Choice::Bool(flag) => Parameter::Flag(flag),
        Choice::Int64(number) => Parameter::Whole(number),
        Choice::Uint64(number) => Parameter::Whole(number as i64),
        Choice::Double(number) => Parameter::Number(number),
        Choice::String(text) => Parameter::Text(text),
    }
}
