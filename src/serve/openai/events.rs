//! HOT PATH. Server-sent events of a streamed response; constant parts are encoded once.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::{Body, Frame};
use serde_json::{Value, json};

use crate::record::request_record::EngineUse;
use crate::serve::admission::{Completion, ResponseHandle, ResponsePart};
use crate::serve::openai::error_response;
use crate::serve::openai::response_state::{Endpoint, ResponseState, finish_word, timing};
use crate::serve::refusal::Refusal;

/// Room for one event; more is made where several come at once.
const ROOM: usize = 512;

/// A stream of events, written as it is asked for. Dropping it cancels the request.
#[derive(Debug)]
pub struct Events {
    answer: ResponseHandle,
    state: ResponseState,
    form: Form,
    pieces: Vec<ResponsePart>,
    text: String,
    ids: Vec<u32>,
    has_begun: bool,
    over: bool,
}

/// The parts of an event around its text.
#[derive(Debug)]
struct Form {
    /// With the role, in a chat.
    first: Bytes,
    before: Bytes,
    after: &'static [u8],
}

impl Form {
    fn new(state: &ResponseState) -> Self {
        let mut head = state.head(true).to_string();
        head.truncate(head.len() - 1);
        let before =
            |delta: &str| Bytes::from(format!("data: {head},\"choices\":[{{\"index\":0,{delta}"));
        match state.endpoint {
            Endpoint::Chat => Self {
                first: before("\"delta\":{\"role\":\"assistant\",\"content\":"),
                before: before("\"delta\":{\"content\":"),
                after: b"},\"logprobs\":null,\"finish_reason\":",
            },
            Endpoint::Completions => Self {
                first: before("\"text\":"),
                before: before("\"text\":"),
                after: b",\"logprobs\":null,\"finish_reason\":",
            },
        }
    }
}

impl Events {
    /// Of an answer that the engine has begun to work on.
    pub fn new(answer: ResponseHandle, state: ResponseState) -> Self {
        let form = Form::new(&state);
        Self {
            answer,
            state,
            form,
            pieces: Vec::new(),
            text: String::new(),
            ids: Vec::new(),
            has_begun: false,
            over: false,
        }
    }

    /// Writes all pieces that are there.
    fn write(&mut self) -> Bytes {
        let mut out = BytesMut::with_capacity(ROOM);
        let mut pieces = std::mem::take(&mut self.pieces);
        for piece in pieces.drain(..) {
            match piece {
                ResponsePart::Accepted => {}
                ResponsePart::Output { ids, is_last, .. } => {
                    self.output(ids.as_slice(), is_last, &mut out);
                }
                ResponsePart::End(end) => self.end(end, &mut out),
            }
        }
        self.pieces = pieces;
        out.freeze()
    }

    #[inline]
    fn output(&mut self, ids: &[u32], is_last: bool, out: &mut BytesMut) {
        self.state.tokens += ids.len() as u32;
        self.state.text.push(ids, &mut self.text);
        self.ids.extend_from_slice(ids);
        // Ids are sent at once where they are wanted, with or without text. The last tokens come with the `finish_reason`.
        if !is_last && (!self.text.is_empty() || self.state.options.return_token_ids) {
            self.event(None, out);
        }
    }

    /// One event with the text and ids that are due, and the end where it is the last with text.
    fn event(&mut self, end: Option<Finish>, out: &mut BytesMut) {
        let before = if self.has_begun { &self.form.before } else { &self.form.first };
        out.reserve(before.len() + 2 * self.text.len() + ROOM / 2);
        out.put_slice(before);
        write_json(out, &self.text);
        out.put_slice(self.form.after);
        match &end {
            Some(finish) => write_json(out, finish.reason),
            None => out.put_slice(b"null"),
        }
        if self.state.options.return_token_ids {
            out.put_slice(b",\"token_ids\":");
            write_json(out, &self.ids);
            if let Some(prompt) = self.state.prompt_ids.take() {
                out.put_slice(b",\"prompt_token_ids\":");
                write_json(out, &prompt);
            }
        }
        out.put_slice(b"}]");
        if let Some(timing) = end.and_then(|finish| finish.timing) {
            out.put_slice(b",\"x-bareflight-timing\":");
            write_json(out, &timing);
        }
        out.put_slice(b"}\n\n");
        self.has_begun = true;
        self.text.clear();
        self.ids.clear();
    }

    fn end(&mut self, end: Completion, out: &mut BytesMut) {
        self.over = true;
        match end.how {
            Ok(reason) => {
                self.state.text.finish(&mut self.text);
                let timing = end.times.map(timing);
                self.event(Some(Finish { reason: finish_word(reason), timing }), out);
                self.usage(end.used, out);
            }
            Err(refusal) => put_event(out, &error_response::error_object(&shown(refusal))),
        }
        out.put_slice(b"data: [DONE]\n\n");
    }

    /// The event with the usage, where it was asked for.
    fn usage(&self, used: Option<EngineUse>, out: &mut BytesMut) {
        if self.state.options.include_usage {
            let mut usage = self.state.head(true);
            usage["choices"] = json!([]);
            usage["usage"] = self.state.usage(used);
            put_event(out, &usage);
        }
    }
}

/// How an output ended.
struct Finish {
    reason: &'static str,
    /// The engine's stamps.
    timing: Option<Value>,
}

/// In a stream that is cancelled from our side, the reason is always the same.
fn shown(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Stopping => {
            Refusal::Engine("the server was shut down before the output was complete".into())
        }
        other => other,
    }
}

fn write_json(out: &mut BytesMut, value: &(impl serde::Serialize + ?Sized)) {
    serde_json::to_writer(out.writer(), value).expect("text and numbers have a JSON form");
}

fn put_event(out: &mut BytesMut, value: &Value) {
    out.put_slice(b"data: ");
    write_json(out, value);
    out.put_slice(b"\n\n");
}

impl Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let events = self.get_mut();
        while !events.over {
            ready!(events.answer.poll_few(context, &mut events.pieces));
            let bytes = events.write();
            // A token without text of its own is no event.
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}
