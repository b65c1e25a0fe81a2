//! A server that speaks HTTP/2, through TLS or not: hyper's, since a hand-written one would prove little.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

/// A running server, and how many connections it has had.
pub struct Http2Server {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

/// Events, each so much after the one before; the last one may be missing its end.
struct Events {
    left: std::collections::VecDeque<String>,
    gap: Duration,
    next: Pin<Box<Sleep>>,
    breaks: bool,
}

impl Body for Events {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        std::task::ready!(self.next.as_mut().poll(cx));
        let at = self.next.deadline() + self.gap;
        self.next.as_mut().reset(at);
        match self.left.pop_front() {
            Some(event) => Poll::Ready(Some(Ok(Frame::data(format!("data: {event}\n\n").into())))),
            None if self.breaks => {
                Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
            }
            None => Poll::Ready(None),
        }
    }
}

/// Takes connections, counts them, and gives each to `take`, which may spawn tasks.
fn listening(take: impl Fn(tokio::net::TcpStream) + Send + 'static) -> Http2Server {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.set_nonblocking(true).expect("a socket option");
    let address = listener.local_addr().expect("a bound socket has an address");
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("an event queue").block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                take(socket);
            }
        });
    });
    Http2Server { address, connections }
}

/// Answers every request with these events.
pub fn start(
    tls: Option<Arc<ServerConfig>>,
    events: Vec<String>,
    gap: Duration,
    breaks: bool,
) -> Http2Server {
    listening(move |socket| {
        let (tls, events) = (tls.clone(), events.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(socket, events, gap, breaks).await,
                Some(config) => {
                    let accepting = tokio_rustls::TlsAcceptor::from(config).accept(socket);
                    if let Ok(stream) = accepting.await {
                        serve(stream, events, gap, breaks).await;
                    }
                }
            }
        });
    })
}

/// Answers so many requests over each connection, which is dropped when the next one comes.
pub fn start_that_drops(events: Vec<String>, answered: usize) -> Http2Server {
    listening(move |socket| {
        tokio::spawn(serve_some(socket, events.clone(), answered));
    })
}

async fn serve_some(socket: tokio::net::TcpStream, events: Vec<String>, answered: usize) {
    let (asked, over) = (AtomicUsize::new(0), Arc::new(tokio::sync::Notify::new()));
    let ends = Arc::clone(&over);
    let answer = service_fn(move |_: http::Request<Incoming>| {
        let is_over = asked.fetch_add(1, Ordering::SeqCst) >= answered;
        let next = Box::pin(sleep_until(Instant::now()));
        let body = Events { left: events.clone().into(), gap: Duration::ZERO, next, breaks: false };
        let ends = Arc::clone(&ends);
        async move {
            if is_over {
                ends.notify_one();
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new(body))
        }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    tokio::select! {
        _closed = server.serve_connection(TokioIo::new(socket), answer) => {}
        () = over.notified() => {}
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    events: Vec<String>,
    gap: Duration,
    breaks: bool,
) {
    let answer = service_fn(move |request: http::Request<Incoming>| {
        assert_eq!(request.version(), http::Version::HTTP_2);
        let next = Box::pin(sleep_until(Instant::now() + gap));
        let body = Events { left: events.clone().into(), gap, next, breaks };
        let response = Response::builder().header("content-type", "text/event-stream").body(body);
        async move { Ok::<_, Infallible>(response.expect("a fixed head")) }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // The client closes when the test is over.
    let _closed = server.serve_connection(TokioIo::new(stream), answer).await;
}
