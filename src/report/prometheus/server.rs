//! Answers to Prometheus while a run goes on: one thread, one page, HTTP/1.1 without keep-alive.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Live, render};
use crate::record::live::LiveSnapshot;
use crate::report::PointReport;

/// How often the thread looks for somebody who asks.
const LOOK: Duration = Duration::from_millis(20);
/// Longest time that one who asks may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest request.
const LONGEST: usize = 8_192;

/// The phase that runs.
struct Phase {
    label: String,
    live: Arc<LiveSnapshot>,
    in_flight: Box<dyn Fn() -> u32 + Send>,
}

#[derive(Default)]
struct State {
    target: String,
    points: Vec<PointReport>,
    phase: Option<Phase>,
}

/// Answers until it is dropped.
pub struct Exporter {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
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
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::<Mutex<State>>::default();
        let over = Arc::new(AtomicBool::new(false));
        let (shown, is_over) = (Arc::clone(&state), Arc::clone(&over));
        let thread = std::thread::Builder::new()
            .name("bf-prometheus".to_owned())
            .spawn(move || answer_until(&is_over, &listener, &shown))?;
        Ok(Self { state, address, over, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A target is about to be measured.
    pub fn begun(&self, target: &str) {
        target.clone_into(&mut lock(&self.state).target);
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

impl Drop for Exporter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing left to say.
            let _ended = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer_until(over: &AtomicBool, listener: &TcpListener, state: &Mutex<State>) {
    while !over.load(Ordering::Acquire) {
        match listener.accept() {
            // Whoever hangs up has no use for an answer.
            Ok((stream, _)) => drop(answer(stream, state)),
            Err(_) => std::thread::park_timeout(LOOK),
        }
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut asked = Vec::new();
    let mut piece = [0; 1_024];
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") && asked.len() < LONGEST {
        match stream.read(&mut piece)? {
            0 => break,
            read => asked.extend_from_slice(&piece[..read]),
        }
    }
    let first = String::from_utf8_lossy(&asked);
    let mut words = first.split_whitespace();
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/metrics" | "/")) => ("200 OK", page(state)),
        (Some("GET"), _) => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "ask with GET /metrics\n".to_owned()),
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

fn page(state: &Mutex<State>) -> String {
    let state = lock(state);
    let live = state.phase.as_ref().map(|phase| Live {
        label: phase.label.clone(),
        snapshot: phase.live.read(),
        in_flight: (phase.in_flight)(),
    });
    render(&state.target, &state.points, live.as_ref())
}

#[cfg(test)]
mod tests {
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
        exporter.begun("sim:x");
        exporter.phase("concurrency 8", Arc::default(), || 5);
        let text = asked(exporter.address(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("bareflight_live_in_flight{point=\"concurrency 8\"} 5"), "{text}");
        exporter.phase_over();
        let text = asked(exporter.address(), "GET / HTTP/1.1\r\n\r\n");
        assert!(text.contains("target=\"sim:x\"") && !text.contains("live"), "{text}");
        let text = asked(exporter.address(), "GET /x HTTP/1.1\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 404"), "{text}");
        let text = asked(exporter.address(), "POST /metrics HTTP/1.1\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 405"), "{text}");
    }
}
