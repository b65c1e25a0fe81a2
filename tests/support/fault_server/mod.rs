//! A server that answers exactly as a test tells it to, byte by byte: threads, blocking sockets and no HTTP library.
//!
//! `FaultServer::start(|request, wire| …)` runs the closure for each request; what it writes to `wire` goes out as
//! it is. [`harness`] plays shots against it, and checks what is claimed of every target.

#![allow(dead_code)] // Each test binary uses a part of it.

pub mod harness;
pub mod http2;
pub mod http2_frames;
pub mod tls;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which request of the server it is, from 0.
    pub number: usize,
    /// Which connection it came over, from 0.
    pub connection: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the client sends JSON")
    }
}

/// What becomes of the connection after an answer.
pub enum Next {
    KeepAlive,
    Close,
    /// RST instead of FIN.
    Reset,
}

/// Both directions of a connection, through TLS or not.
pub trait Wire: Read + Write + Send {
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

type Answer = dyn Fn(&Request, &mut Out<'_>) -> Next + Send + Sync;

/// A running server; its threads end with the test's process.
pub struct FaultServer {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
}

impl FaultServer {
    pub fn start(answer: impl Fn(&Request, &mut Out<'_>) -> Next + Send + Sync + 'static) -> Self {
        Self::start_over(|socket| Some(Box::new(socket)), answer)
    }

    /// Where this listens.
    pub fn start_at(
        listener: TcpListener,
        answer: impl Fn(&Request, &mut Out<'_>) -> Next + Send + Sync + 'static,
    ) -> Self {
        Self::start_on(listener, |socket| Some(Box::new(socket)), answer)
    }

    /// With something between the socket and HTTP; a connection for which it gives `None` is closed.
    pub fn start_over(
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync + 'static,
        answer: impl Fn(&Request, &mut Out<'_>) -> Next + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        Self::start_on(listener, wrap, answer)
    }

    fn start_on(
        listener: TcpListener,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Wire>> + Send + Sync + 'static,
        answer: impl Fn(&Request, &mut Out<'_>) -> Next + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (log, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let (wrap, answer): (Arc<_>, Arc<Answer>) = (Arc::new(wrap), Arc::new(answer));
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (log, wrap, answer) =
                    (Arc::clone(&log), Arc::clone(&wrap), Arc::clone(&answer));
                thread::spawn(move || {
                    socket.set_nodelay(true).expect("a TCP option");
                    if let Some(mut wire) = wrap(socket) {
                        serve(&mut *wire, number, &log, &*answer);
                    }
                });
            }
        });
        Self { address, requests, connections }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no server thread panics while it holds the log").clone()
    }
}

fn serve(wire: &mut dyn Wire, connection: usize, log: &Mutex<Vec<Request>>, answer: &Answer) {
    while let Some(request) = read_request(wire, connection, log) {
        match answer(&request, &mut Out { wire }) {
            Next::KeepAlive => {}
            Next::Close => return,
            Next::Reset => {
                let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(wire.socket(), sockopt::Linger, &at_once).expect("a TCP option");
                return;
            }
        }
    }
}

/// `None` when the client has gone.
fn read_request(
    wire: &mut dyn Wire,
    connection: usize,
    log: &Mutex<Vec<Request>>,
) -> Option<Request> {
    let mut lines = Vec::new();
    // One byte at a time, so that nothing of a following request is taken.
    let mut reader = BufReader::with_capacity(1, wire);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers: Vec<_> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().expect("a number"))];
    reader.read_exact(&mut body).ok()?;
    let mut log = log.lock().expect("no server thread panics while it holds the log");
    let request = Request { method, path, headers, body, number: log.len(), connection };
    log.push(request.clone());
    Some(request)
}

/// Writes answers. A client that has gone is no fault of the test's.
pub struct Out<'a> {
    wire: &'a mut dyn Wire,
}

impl Out<'_> {
    /// Exactly these bytes; `false` when the client has gone.
    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write_all(bytes.as_ref()).and_then(|()| self.wire.flush()).is_ok()
    }

    /// A whole answer with a length.
    pub fn whole(&mut self, status: u16, headers: &str, body: &str) -> Next {
        let length = body.len();
        self.raw(format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}"));
        Next::KeepAlive
    }

    /// As [`Self::whole`], and JSON.
    pub fn json(&mut self, status: u16, body: &str) -> Next {
        self.whole(status, "content-type: application/json\r\n", body)
    }

    /// The head of a stream of events in chunks.
    pub fn stream_head(&mut self) {
        self.raw(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        );
    }

    /// One HTTP chunk.
    pub fn chunk(&mut self, bytes: &str) -> bool {
        self.raw(format!("{:x}\r\n{bytes}\r\n", bytes.len()))
    }

    /// One event in a chunk of its own.
    pub fn event(&mut self, data: &str) -> bool {
        self.chunk(&format!("data: {data}\n\n"))
    }

    /// The end of a chunked body.
    pub fn end(&mut self) -> Next {
        self.raw("0\r\n\r\n");
        Next::KeepAlive
    }

    /// A good streamed chat answer: a role, `tokens` tokens, a reason, a count, `[DONE]`.
    pub fn good(&mut self, tokens: usize) -> Next {
        self.stream_head();
        self.event(ROLE);
        for _ in 0..tokens {
            self.event(TOKEN);
        }
        self.event(LENGTH);
        self.event(&usage(tokens));
        self.event("[DONE]");
        self.end()
    }

    /// Keeps the connection open and says nothing until the client goes, at most ten seconds.
    pub fn silence(&mut self) -> Next {
        let socket = self.wire.socket();
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a TCP option");
        let is_interrupted = |read: &io::Error| read.kind() == io::ErrorKind::Interrupted;
        // A process that was stopped and goes on finds its timed reads interrupted.
        while self.wire.read(&mut [0]).as_ref().is_err_and(is_interrupted) {}
        Next::Close
    }
}

/// A Triton server whose model `m` takes and gives token ids, and answers each request over `generate_stream` like this.
pub fn generate_endpoint(
    answer: impl Fn(&Request, &mut Out<'_>) -> Next + Send + Sync + 'static,
) -> FaultServer {
    FaultServer::start(move |request, out| match request.path.as_str() {
        "/v2/models/m" => out.json(
            200,
            r#"{"name":"m","inputs":[{"name":"input_ids","datatype":"INT32","shape":[-1,-1]},
               {"name":"max_tokens","datatype":"INT32","shape":[-1,1]}],
               "outputs":[{"name":"output_ids","datatype":"INT32","shape":[-1,-1]}]}"#,
        ),
        "/v2/models/m/config" => {
            out.json(200, r#"{"model_transaction_policy":{"decoupled":true}}"#)
        }
        "/v2/models/m/generate_stream" => answer(request, out),
        _ => out.json(200, "{}"),
    })
}

pub const ROLE: &str = r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
pub const TOKEN: &str =
    r#"{"id":"c","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}"#;
pub const LENGTH: &str =
    r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;

pub fn usage(tokens: usize) -> String {
    format!(
        r#"{{"id":"c","choices":[],"usage":{{"prompt_tokens":3,"completion_tokens":{tokens}}}}}"#
    )
}

pub fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}
