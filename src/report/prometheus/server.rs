//! Answers to Prometheus while a run goes on: one thread, one page, HTTP/1.1 without keep-alive.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

use super::{Live, Origin, render};
use crate::record::live::LiveSnapshot;
use crate::report::PointReport;
use crate::report::background_thread::BackgroundThread;
use crate::threads::Own;

/// Longest time that one who asks may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The phase that runs.
struct Phase {
    label: String,
    live: Arc<LiveSnapshot>,
    in_flight: Box<dyn Fn() -> u32 + Send>,
}

#[derive(Default)]
struct State {
    origin: Origin,
    points: Vec<PointReport>,
    phase: Option<Phase>,
}

/// Answers until it is dropped.
pub struct Exporter {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    _thread: BackgroundThread<oneshot::Sender<()>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Exporter {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the address cannot be had, or no thread.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let state = Arc::<Mutex<State>>::default();
        let (over, is_over) = oneshot::channel();
        let shown = Arc::clone(&state);
        let thread = BackgroundThread::start(Own::Prometheus, over, move || {
            runtime.block_on(answer_until(is_over, listener, &shown));
        })?;
        Ok(Self { state, address, _thread: thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A target is about to be measured.
    pub fn begun(&self, origin: Origin) {
        lock(&self.state).origin = origin;
    }

    /// A phase begins.
    pub fn phase(
        &self,
        label: &str,
        live: Arc<LiveSnapshot>,
        in_flight: impl Fn() -> u32 + Send + 'static,
    ) {
        let in_flight = Box::new(in_flight);
        lock(&self.state).phase = Some(Phase { label: label.to_owned(), live, in_flight });
    }

    /// The phase is over.
    pub fn phase_over(&self) {
        lock(&self.state).phase = None;
    }

    /// A point was measured.
    pub fn measured(&self, point: PointReport) {
        lock(&self.state).points.push(point);
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one who asks after the other until it is told to end.
async fn answer_until(
    mut over: oneshot::Receiver<()>,
    listener: TcpListener,
    state: &Mutex<State>,
) {
    loop {
        tokio::select! {
            // Whoever holds the other end has ended.
            _ = &mut over => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request, state)) });
                let served = http1::Builder::new()
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                // Whoever hangs up, or takes too long, has no use for an answer.
                let _answered = tokio::time::timeout(PATIENCE, served).await;
            }
        }
    }
}

fn answer(request: &Request<Incoming>, state: &Mutex<State>) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics" | "/") => (StatusCode::OK, page(state)),
        (&Method::GET, _) => (StatusCode::NOT_FOUND, "the metrics are at /metrics\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "ask with GET /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn page(state: &Mutex<State>) -> String {
    let state = lock(state);
    let live = state.phase.as_ref().map(|phase| Live {
        label: phase.label.clone(),
        snapshot: phase.live.read(),
        in_flight: (phase.in_flight)(),
    });
    render(&state.origin, &state.points, live.as_ref())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn asked(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    #[test]
    fn it_answers_metrics_and_nothing_else() {
        let exporter = Exporter::start(([127, 0, 0, 1], 0).into()).expect("a port");
        exporter.begun(Origin { target: "sim:x".into(), ..Origin::default() });
        exporter.phase("concurrency 8", Arc::default(), || 5);
        let text = asked(exporter.address(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("bareflight_live_in_flight{point=\"concurrency 8\"} 5"), "{text}");
        exporter.phase_over();
        let text = asked(exporter.address(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.contains("target=\"sim:x\"") && !text.contains("live"), "{text}");
        let text = asked(exporter.address(), "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 404"), "{text}");
        let text = asked(exporter.address(), "POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 405"), "{text}");
    }
}
