//! gRPC framing over HTTP/2, server side: messages, statuses, trailers.

use std::fmt::Write;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Frame;
use prost::Message;

use crate::serve::kserve::response::put_message;
use crate::serve::refusal::Refusal;

/// Longest message of a client: a prompt of a million ids, or so.
const LONGEST: usize = 16 << 20;
/// How long a client may take over the one message of a call.
const MESSAGE_TIME: Duration = Duration::from_secs(30);

/// Status of a call: gRPC's code and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    code: u16,
    message: String,
}

impl Status {
    /// All is well.
    pub const OK: Self = Self { code: 0, message: String::new() };

    fn new(code: u16, message: &str) -> Self {
        Self { code, message: message.to_owned() }
    }

    /// There is no such model.
    pub fn not_found(message: &str) -> Self {
        Self::new(5, message)
    }

    /// There is no such call.
    pub fn unimplemented(message: &str) -> Self {
        Self::new(12, message)
    }

    /// The message cannot be understood.
    pub fn invalid(message: &str) -> Self {
        Self::new(3, message)
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.message
    }

    fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(self.code));
        if !self.message.is_empty() {
            let message = HeaderValue::from_str(&percent_encoded(&self.message));
            trailers.insert("grpc-message", message.expect("what is left is printable ASCII"));
        }
        trailers
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::QueueFull(_) => 8,
            Refusal::Stopping => 14,
            Refusal::Unauthorized => 16,
            Refusal::UnknownModel { .. } => 5,
            Refusal::Invalid { .. } | Refusal::TooLong { .. } => 3,
            Refusal::Engine(_) => 13,
        };
        Self::new(code, &refusal.to_string())
    }
}

/// gRPC sends messages as printable ASCII; other bytes as `%XX`.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | 0..0x20 | 0x7f.. => {
                // Writing to a string cannot fail.
                let _infallible = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A response of one message.
pub fn respond(message: &impl Message) -> Response {
    let mut bytes = BytesMut::new();
    put_message(&mut bytes, message);
    let frames = [Ok(Frame::data(bytes.freeze())), Ok(Frame::trailers(Status::OK.trailers()))];
    respond_frames(tokio_stream::iter(frames))
}

/// A response of frames that come as they are made.
pub fn respond_frames(
    frames: impl tokio_stream::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>>
    + Send
    + 'static,
) -> Response {
    response(Body::new(UnsyncBoxBody::new(http_body_util::StreamBody::new(frames))))
}

/// The frame that ends a stream.
pub fn last_frame(status: &Status) -> Frame<Bytes> {
    Frame::trailers(status.trailers())
}

/// A response of no message.
pub fn respond_status(status: &Status) -> Response {
    let mut response = response(Body::empty());
    response.headers_mut().extend(status.trailers());
    response
}

/// Messages of a client, one after the other.
#[derive(Debug)]
pub struct Messages {
    body: Body,
    buffer: BytesMut,
}

impl Messages {
    /// Of the body of a call.
    pub fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new() }
    }

    /// The next message; `None` when the client has closed its side.
    ///
    /// # Errors
    /// When the stream breaks, or holds no message.
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                }
                Some(Err(error)) => return Err(Status::new(1, &error.to_string())),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::invalid("the stream ended within a message")),
            }
        }
    }

    fn take<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        let Some(([compressed, length @ ..], rest)) = self.buffer.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if *compressed != 0 {
            return Err(Status::unimplemented("messages are not to be compressed"));
        }
        if length > LONGEST {
            let message = format!("a message of {length} bytes; {LONGEST} are the most");
            return Err(Status::new(8, &message));
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.buffer.advance(5);
        let message = M::decode(self.buffer.split_to(length).freeze());
        message.map(Some).map_err(|error| Status::invalid(&error.to_string()))
    }
}

/// The one message of a call.
///
/// # Errors
/// As [`Messages::next`], and when it does not come.
pub async fn read_one<M: Message + Default>(body: Body) -> Result<M, Status> {
    let mut messages = Messages::new(body);
    match tokio::time::timeout(MESSAGE_TIME, messages.next()).await {
        Ok(message) => message?.ok_or_else(|| Status::invalid("a message is missing")),
        Err(_) => Err(Status::new(4, "the message did not come in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::triton::kserve::ModelRequest;

    fn body(chunks: &[&[u8]]) -> Messages {
        let frames: Vec<_> = chunks
            .iter()
            .map(|chunk| {
                Ok::<_, std::convert::Infallible>(Frame::data(Bytes::copy_from_slice(chunk)))
            })
            .collect();
        let frames = http_body_util::StreamBody::new(tokio_stream::iter(frames));
        Messages::new(Body::new(frames))
    }

    fn all(mut messages: Messages) -> Result<Vec<String>, Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut names = Vec::new();
            while let Some(message) = messages.next::<ModelRequest>().await? {
                names.push(message.name);
            }
            Ok(names)
        })
    }

    fn message(name: &str) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        put_message(&mut bytes, &ModelRequest { name: name.into(), version: String::new() });
        bytes.to_vec()
    }

    #[test]
    fn a_message_that_is_cut_off_or_compressed_or_too_long_is_refused() {
        let one = message("a");
        assert_eq!(all(body(&[&one[..one.len() - 1]])).unwrap_err().code, 3);
        let mut compressed = one.clone();
        compressed[0] = 1;
        assert_eq!(all(body(&[&compressed])).unwrap_err().code, 12);
        assert_eq!(all(body(&[&[0, 0xff, 0, 0, 0]])).unwrap_err().code, 8);
        assert_eq!(all(body(&[&[0, 0, 0, 0, 2, 0xff, 0xff]])).unwrap_err().code, 3);
    }

    #[test]
    fn messages_are_found_however_the_bytes_were_cut() {
        let bytes = [message("a"), message("b"), message("")].concat();
        for cut in 0..bytes.len() {
            let (front, back) = bytes.split_at(cut);
            assert_eq!(all(body(&[front, back])).unwrap(), ["a", "b", ""], "{cut}");
        }
    }

    #[test]
    fn words_of_a_status_are_ascii_and_percent_encoded() {
        assert_eq!(percent_encoded("100 % − é\n"), "100 %25 %E2%88%92 %C3%A9%0A");
    }
}
