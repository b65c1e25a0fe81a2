//! HTTP/2 connection that carries several responses at once.
//!
//! Uses hyper over a socket that reads once per poll: the task of a response runs between two reads of its
//! connection, so that the stamp of the latest read is the stamp of its frames.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;

use crate::clock::Nanos;
use crate::network::stamp::{LastRead, ReadStamp};
use crate::network::stream::Stream;
use crate::network::unprocessed::is_unprocessed;
use crate::request::{Failure, FailureKind};
use crate::targets::openai::http1::BodyState;

/// Responses on one connection at a time; one more opens another connection.
pub const STREAMS_PER_CONNECTION: u32 = 64;
/// Never adaptive: h2 allows few small frames to pile up under a small window, and ends the connection.
const CONNECTION_WINDOW: u32 = 16 << 20;
const STREAM_WINDOW: u32 = 4 << 20;

/// Spawns on the runtime of the calling thread.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl<F> hyper::rt::Executor<F> for OnThisThread
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// One connection.
#[derive(Debug, Clone)]
pub struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    last: Arc<LastRead>,
    streams: Rc<Cell<u32>>,
    /// How long it took to open ahead of its first request.
    opened: Rc<Cell<Option<Nanos>>>,
    /// Whether a request of this phase has told it.
    is_told: Rc<Cell<bool>>,
}

/// Why there is no response head.
#[derive(Debug)]
pub struct NoAnswer {
    /// What happened.
    pub failure: Failure,
    /// The server did not process the request.
    pub is_unprocessed: bool,
}

/// A response being read; counts as one of its connection's streams until dropped.
#[derive(Debug)]
pub struct Http2Body {
    incoming: Incoming,
    last: Arc<LastRead>,
    _stream: OneStream,
}

#[derive(Debug)]
struct OneStream(Rc<Cell<u32>>);

impl Drop for OneStream {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Http2 {
    /// Speaks HTTP/2 over a new connection.
    ///
    /// # Errors
    /// [`FailureKind::Connect`] when the server does not.
    pub async fn start(mut stream: Stream) -> Result<Self, Failure> {
        stream.read_once_per_poll();
        let last = Arc::clone(stream.last_read());
        let (sender, connection) = Builder::new(OnThisThread)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| {
                Failure::new(FailureKind::Connect, format!("no HTTP/2: {}", message_of(&error)))
            })?;
        tokio::task::spawn_local(async move {
            // Every response on the connection fails with the same message, so dropping it here loses nothing.
            let _told_to_each_answer = connection.await;
        });
        let (streams, opened, is_told) = (Rc::default(), Rc::default(), Rc::default());
        Ok(Self { sender, last, streams, opened, is_told })
    }

    /// It was opened ahead of the request that will use it, which took so long.
    pub fn opened_ahead(&self, took: Nanos) {
        self.opened.set(Some(took));
    }

    /// How long it took to open ahead; told once in a phase, to the first request that uses it.
    pub fn tell_opened(&self) -> Option<Nanos> {
        if self.is_told.replace(true) { None } else { self.opened.get() }
    }

    /// A phase begins.
    pub fn tell_again(&self) {
        self.is_told.set(false);
    }

    /// Whether one more response fits on this connection.
    pub fn has_room(&self) -> bool {
        !self.is_closed() && self.streams.get() < STREAMS_PER_CONNECTION
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether a request failed since its connection ended, and not it alone.
    pub async fn goes_away(&self) -> bool {
        // One that ends says so when its task is over; one that stays takes the next request.
        self.sender.clone().ready().await.is_err()
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// [`FailureKind::Disconnected`] with hyper's message.
    pub async fn ask(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap, Http2Body), NoAnswer> {
        self.streams.set(self.streams.get() + 1);
        let stream = OneStream(Rc::clone(&self.streams));
        let response = self.sender.send_request(request).await.map_err(|error| NoAnswer {
            is_unprocessed: is_unprocessed(&error),
            failure: Failure::new(FailureKind::Disconnected, message_of(&error)),
        })?;
        let (head, incoming) = response.into_parts();
        let body = Http2Body { incoming, last: self.last, _stream: stream };
        Ok((head.status, head.headers, body))
    }
}

impl Http2Body {
    /// When the bytes consumed last had arrived.
    pub fn stamp(&self) -> ReadStamp {
        self.last.get()
    }

    /// Whether the body has ended.
    pub fn has_ended(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// Waits for data, and hands all that is there to `take`.
    ///
    /// # Errors
    /// The outer one with a message, when the connection or stream broke; the inner one is what `take` returns.
    pub async fn read_and_drain(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Result<BodyState, Failure>, String> {
        let incoming = &mut self.incoming;
        let mut has_data = false;
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut *incoming).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        let Some(data) = frame.data_ref() else { continue };
                        has_data = true;
                        if let Err(failure) = take(data) {
                            return Poll::Ready(Ok(Err(failure)));
                        }
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(Ok(BodyState::Done))),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(message_of(&error))),
                    Poll::Pending if has_data => return Poll::Ready(Ok(Ok(BodyState::Open))),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }
}

/// hyper's message with those of its sources.
fn message_of(error: &hyper::Error) -> String {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(beneath) = source {
        message = format!("{message}: {beneath}");
        source = beneath.source();
    }
    message
}
