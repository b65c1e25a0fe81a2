//! Event thread of a Triton core: turns callbacks into events. Callbacks only stamp and hand over.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::clock::{MonoNs, now};
use crate::ffi::triton::{CoreError, Handle, Output, Response};
use crate::network::stamp::ReadStamp;
use crate::record::request_record::StampSource;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::in_flight::{Flight, InFlight};
use crate::targets::triton::kserve::{ModelInferResponse, OutputTensor};
use crate::targets::triton::response::Reading;

/// What the thread is told.
pub enum Note {
    /// A request is about to go into the core.
    Begin(RequestId, Box<Flight>),
    /// The core took it.
    Accepted(RequestId, Handle),
    /// The core refused it; whoever submitted it says so.
    Refused(RequestId),
    /// A response came at that instant.
    Response(MonoNs, Response),
    /// End it early.
    Cancel(RequestId),
    /// Wait for open requests until then, end the others, and stop.
    Finish(MonoNs),
}

/// The open requests, and the handles that cancel them.
pub struct Book {
    pub in_flight: InFlight,
    pub handles: HashMap<RequestId, Handle>,
}

/// How often requests are looked at for which nothing comes.
const LOOK: Duration = Duration::from_millis(50);

impl Book {
    /// Takes notes until told to finish; returns how many requests had to be ended by force.
    pub fn keep(mut self, notes: &Receiver<Note>) -> usize {
        let mut finish_by = None;
        let mut looked = now();
        loop {
            match notes.recv_timeout(LOOK) {
                Ok(Note::Finish(by)) => finish_by = Some(by),
                Ok(note) => self.take(note),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => finish_by = Some(MonoNs(0)),
            }
            let at = now();
            // By the clock, since requests that move would else keep those that do not from being seen.
            if (at - looked).0 > LOOK.as_nanos() as i64 {
                looked = at;
                self.in_flight.fail_idle(at);
                self.cancel_forgotten();
            }
            if finish_by.is_some_and(|by| self.in_flight.is_empty() || at >= by) {
                return self.end_all();
            }
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Begin(id, flight) => self.in_flight.begin(id, *flight),
            Note::Accepted(id, handle) => {
                self.handles.insert(id, handle);
                // It may have ended before this note came: in the core, or only here.
                if !self.in_flight.is_open(id) {
                    self.cancel_in_core(id);
                }
            }
            Note::Refused(id) => self.in_flight.forget(id),
            Note::Response(at, response) => self.response(at, response),
            Note::Cancel(id) => {
                self.in_flight.cancel(id, now());
                self.cancel_in_core(id);
            }
            // Seen by the loop.
            Note::Finish(_) => {}
        }
    }

    fn response(&mut self, at: MonoNs, response: Response) {
        let id = RequestId(response.id);
        match response.outputs {
            Ok(outputs) => {
                let message = message_of(outputs);
                let stamp = ReadStamp { at, lag_ns: 0, source: StampSource::Engine };
                match Reading::of(&message) {
                    Ok(reading) => {
                        let reading = Reading { is_final: response.is_final, ..reading };
                        self.in_flight.response(id, stamp, &reading);
                    }
                    Err(words) => {
                        self.in_flight.fail(id, at, Failure::new(FailureKind::Malformed, words));
                        self.cancel_in_core(id);
                    }
                }
            }
            Err(error) => self.in_flight.fail(id, at, failure_of(&error)),
        }
        if response.is_final {
            self.handles.remove(&id);
        }
    }

    /// For a request that has ended here: its answer is wanted no more.
    fn cancel_in_core(&mut self, id: RequestId) {
        if let Some(handle) = self.handles.remove(&id) {
            // A core that cannot cancel runs it to its end, which is awaited when the core stops.
            let _runs_on = handle.cancel();
        }
    }

    /// Requests that were failed here, for silence, and still run in the core.
    fn cancel_forgotten(&mut self) {
        let forgotten: Vec<_> =
            self.handles.keys().copied().filter(|id| !self.in_flight.is_open(*id)).collect();
        for id in forgotten {
            self.cancel_in_core(id);
        }
    }

    fn end_all(&mut self) -> usize {
        let left = self.in_flight.cancel_all(now());
        self.cancel_forgotten();
        left
    }
}

/// Outputs in the shape that responses of a server have.
fn message_of(outputs: Vec<Output>) -> ModelInferResponse {
    let mut message = ModelInferResponse::default();
    for Output { name, datatype, shape, content } in outputs {
        message.outputs.push(OutputTensor { name, datatype, shape });
        message.raw_output_contents.push(content.into());
    }
    message
}

/// The failure of a request with which the core or a backend ended it.
pub fn failure_of(error: &CoreError) -> Failure {
    let kind = match error.code {
        CoreError::INVALID_ARGUMENT | CoreError::UNSUPPORTED => FailureKind::Refused,
        CoreError::NOT_FOUND => FailureKind::NotFound,
        CoreError::UNAVAILABLE => FailureKind::QueueFull,
        _ => FailureKind::Engine,
    };
    Failure::new(kind, &error.words)
}
