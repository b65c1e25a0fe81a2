//! Session over a Triton core: submits shots, and stops the core.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::clock::{MonoNs, Nanos, now, sleep};
use crate::ffi::triton::{Core, Deliver, Input, Parameter, Request};
use crate::load::plan::Shot;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::answer::Answer;
use crate::targets::triton::in_flight::{Flight, InFlight, Rules};
use crate::targets::triton::kserve::{Choice, ENABLE_EMPTY_FINAL, ModelInferRequest};
use crate::targets::triton::request::Form;
use crate::targets::triton_c::book::{Book, Note, failure_of};
use crate::targets::{Drain, Session};

/// A core under load. Dropped without `finish`, it ends what is open and stops the core all the same.
pub struct CoreSession {
    form: Form,
    keep_text: bool,
    deliver: Deliver,
    running: Option<Running>,
}

/// What ends with the session.
struct Running {
    core: Arc<Core>,
    notes: Sender<Note>,
    thread: JoinHandle<usize>,
}

/// How long the core may take to let go of its last request after it has stopped.
const LET_GO: Nanos = Nanos::from_millis(3_000);

impl CoreSession {
    /// Starts the thread that keeps the book.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(core: Arc<Core>, form: Form, rules: Rules, sink: Sink) -> std::io::Result<Self> {
        let (notes, inbox) = channel();
        let keep_text = rules.count_tokens.is_some();
        let book =
            Book { in_flight: InFlight::new(sink, Arc::new(rules)), handles: HashMap::new() };
        let thread = std::thread::Builder::new()
            .name("bf-triton-c".into())
            .spawn(move || book.keep(&inbox))?;
        let responses = notes.clone();
        let deliver: Deliver = Arc::new(move |response| {
            // A book that is closed has ended every request.
            let _closed = responses.send(Note::Response(now(), response));
        });
        Ok(Self { form, keep_text, deliver, running: Some(Running { core, notes, thread }) })
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it is taken only when the session ends")
    }

    fn note(&self, note: Note) -> Result<(), Failure> {
        let closed = |_| Failure::new(FailureKind::ShutDown, "the session's thread has ended");
        self.running().notes.send(note).map_err(closed)
    }
}

impl Session for CoreSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        let handed_over = now();
        let request = request_of(self.form.message(shot)?, shot.id);
        let answer = Answer::new(self.form.contract(), self.keep_text);
        let prompt = shot.request.prompt.clone();
        let flight = Flight::new(prompt, shot.request.output.max_tokens, answer, handed_over);
        // Before the call: the first response may come before it returns.
        self.note(Note::Begin(shot.id, Box::new(flight)))?;
        match self.running().core.infer(request, &self.deliver) {
            Ok(handle) => self.note(Note::Accepted(shot.id, handle)),
            Err(error) => {
                self.note(Note::Refused(shot.id))?;
                Err(failure_of(&error))
            }
        }
    }

    fn cancel(&mut self, id: RequestId) {
        // A thread that is gone has ended all its requests.
        let _gone = self.note(Note::Cancel(id));
    }

    fn finish(mut self: Box<Self>, by: MonoNs) -> Drain {
        let running = self.running.take().expect("a session is finished once");
        running.end(by)
    }
}

impl Drop for CoreSession {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _nobody_asks = running.end(MonoNs(0));
        }
    }
}

impl Running {
    fn end(self, by: MonoNs) -> Drain {
        let Self { core, notes, thread } = self;
        let _gone = notes.send(Note::Finish(by));
        let left = thread.join();
        match (left, let_go(core)) {
            (Err(_panic), _) => Drain::Forced("the session's thread panicked".into()),
            (Ok(0), Ok(())) => Drain::Clean,
            (Ok(0), Err(words)) => Drain::Forced(words),
            (Ok(left), _) => {
                Drain::Forced(format!("{left} requests were still open and were cancelled"))
            }
        }
    }
}

/// Stops the core, waits for its last callback, and deletes it on this thread: the core joins its own threads, so that
/// it must never be deleted by one of its callbacks.
fn let_go(core: Arc<Core>) -> Result<(), String> {
    let stopped = core.stop();
    let patience = now() + LET_GO;
    while Arc::strong_count(&core) > 1 {
        if now() > patience {
            // A request that the core never gave back keeps this core, unused, until the process ends.
            std::mem::forget(core);
            return Err("the core still held requests after it was stopped".into());
        }
        sleep(Nanos::from_millis(1));
    }
    stopped.map_err(|error| format!("the core did not stop cleanly: {error}"))
}

/// The same request for the C API.
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
        Choice::String(words) => Parameter::Text(words),
    }
}
