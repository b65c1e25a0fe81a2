//! How do shots reach the core, and how does it stop?

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::clock::{MonoNs, Nanos, now, sleep};
use crate::ffi::triton::{Core, Deliver, Input, Parameter, Request};
use crate::load::plan::{RequestId, Shot};
use crate::record::sink::Sink;
use crate::target::triton::answer::Answer;
use crate::target::triton::in_flight::{Flight, InFlight, Rules};
use crate::target::triton::kserve::{Choice, ENABLE_EMPTY_FINAL, ModelInferRequest};
use crate::target::triton::request::Form;
use crate::target::triton_c::book::{Book, Note, failure_of};
use crate::target::{Drain, Failure, FailureKind, Session};

/// A core under load.
pub struct CoreSession {
    core: Arc<Core>,
    form: Form,
    keep_text: bool,
    notes: Sender<Note>,
    deliver: Deliver,
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
        Ok(Self { core, form, keep_text, notes, deliver, thread })
    }

    fn note(&self, note: Note) -> Result<(), Failure> {
        self.notes
            .send(note)
            .map_err(|_| Failure::new(FailureKind::ShutDown, "the session's thread has ended"))
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
        match self.core.infer(request, &self.deliver) {
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

    fn finish(self: Box<Self>, by: MonoNs) -> Drain {
        let _gone = self.note(Note::Finish(by));
        let Self { core, notes, deliver, thread, .. } = *self;
        drop((notes, deliver));
        let Ok(left) = thread.join() else {
            return Drain::Forced("the session's thread panicked".into());
        };
        let stopped = core.stop();
        let patience = now() + LET_GO;
        while Arc::strong_count(&core) > 1 && now() < patience {
            sleep(Nanos::from_millis(1));
        }
        if Arc::strong_count(&core) > 1 {
            // Deleting the core under a request that still runs would crash; a core that outlives the run does not.
            std::mem::forget(core);
            return Drain::Forced("the core still holds requests after it was stopped".into());
        }
        match (left, stopped) {
            (0, Ok(())) => Drain::Clean,
            (0, Err(error)) => Drain::Forced(format!("the core did not stop cleanly: {error}")),
            (left, _) => Drain::Forced(format!("{left} requests were still open and were cancelled")),
        }
    }
}

/// The same request for the C API.
fn request_of(message: ModelInferRequest, id: RequestId) -> Request {
    let inputs = message.inputs.into_iter().zip(message.raw_input_contents);
    Request {
        model: message.model_name,
        version: super::ANY_VERSION,
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
