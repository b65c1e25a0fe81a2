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
use crate::targets::triton::in_flight::InFlightTable;
use crate::targets::triton::in_flight_request::InFlightRequest;
use crate::targets::triton::kserve::{ModelInferResponse, OutputTensor};
use crate::targets::triton::response::Reading;

/// A message to the event thread.
pub enum TableMessage {
    /// A request is about to go into the core.
    Begin(RequestId, Box<InFlightRequest>),
    /// The core took it.
    Accepted(RequestId, Handle),
    /// The core refused it; `submit` returns the failure.
    Refused(RequestId),
    /// A response came at that instant.
    Response(MonoNs, Response),
    /// End it early.
    Cancel(RequestId),
    /// Wait for open requests until then, end the others, and stop.
    Finish(MonoNs),
}

/// The open requests, and the handles that cancel them.
pub struct EventThread {
    pub in_flight: InFlightTable,
    pub handles: HashMap<RequestId, Handle>,
}

/// How often timeouts are checked.
const TIMEOUT_CHECK: Duration = Duration::from_millis(50);

impl EventThread {
    /// Handles messages until [`TableMessage::Finish`]; returns how many requests had to be cancelled.
    pub fn run(mut self, messages: &Receiver<TableMessage>) -> usize {
        let mut finish_by = None;
        let mut checked = now();
        loop {
            match messages.recv_timeout(TIMEOUT_CHECK) {
                Ok(TableMessage::Finish(by)) => finish_by = Some(by),
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => finish_by = Some(MonoNs(0)),
            }
            let at = now();
            // By the clock: messages of active requests must not postpone the check of silent ones.
            if (at - checked).0 > TIMEOUT_CHECK.as_nanos() as i64 {
                checked = at;
                self.in_flight.fail_idle(at);
                self.cancel_ended();
            }
            if finish_by.is_some_and(|by| self.in_flight.is_empty() || at >= by) {
                return self.end_all();
            }
        }
    }

    fn take(&mut self, message: TableMessage) {
        match message {
            TableMessage::Begin(id, request) => self.in_flight.insert(id, *request),
            TableMessage::Accepted(id, handle) => {
                self.handles.insert(id, handle);
                // It may have ended before this message came, in the core or only here.
                if !self.in_flight.is_open(id) {
                    self.cancel_in_core(id);
                }
            }
            TableMessage::Refused(id) => self.in_flight.remove(id),
            TableMessage::Response(at, response) => self.response(at, response),
            TableMessage::Cancel(id) => {
                self.in_flight.cancel(id, now());
                self.cancel_in_core(id);
            }
            // Handled by the loop.
            TableMessage::Finish(_) => {}
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
                    Err(message) => {
                        self.in_flight.fail(id, at, Failure::new(FailureKind::Malformed, message));
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

    /// For a request that has ended here and may still run in the core.
    fn cancel_in_core(&mut self, id: RequestId) {
        if let Some(handle) = self.handles.remove(&id) {
            // A core that cannot cancel runs it to its end; stopping the core waits for that.
            let _runs_on = handle.cancel();
        }
    }

    /// Cancels requests in the core that have ended here, by a timeout.
    fn cancel_ended(&mut self) {
        let ended: Vec<_> =
            self.handles.keys().copied().filter(|id| !self.in_flight.is_open(*id)).collect();
        for id in ended {
            self.cancel_in_core(id);
        }
    }

    fn end_all(&mut self) -> usize {
        let left = self.in_flight.cancel_all(now());
        self.cancel_ended();
        left
    }
}

/// Converts outputs to a response of the KServe protocol.
fn message_of(outputs: Vec<Output>) -> ModelInferResponse {
    let mut message = ModelInferResponse::default();
    for Output { name, datatype, shape, content } in outputs {
        message.outputs.push(OutputTensor { name, datatype, shape });
        message.raw_output_contents.push(content.into());
    }
    message
}

/// Converts an error of the core or a backend to the failure of a request.
pub fn failure_of(error: &CoreError) -> Failure {
    let kind = match error.code {
        CoreError::INVALID_ARGUMENT | CoreError::UNSUPPORTED => FailureKind::Refused,
        CoreError::NOT_FOUND => FailureKind::NotFound,
        CoreError::UNAVAILABLE => FailureKind::QueueFull,
        _ => FailureKind::Engine,
    };
    Failure::new(kind, &error.message)
}
