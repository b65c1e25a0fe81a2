//! A `bareflight serve` that tests talk to, and the least of an HTTP client.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest that anything here may take; the machine is shared.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A server of its own process, on ports of its own. It dies with the test.
pub struct Serving {
    process: Child,
    /// `http://127.0.0.1:PORT`.
    pub openai: String,
    /// `127.0.0.1:PORT`.
    pub grpc: String,
    /// The line that it printed.
    pub ready: Value,
}

/// `bareflight serve` on any free ports.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["serve", "--port", "0", "--grpc-port", "0"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Serving {
    pub fn start(arguments: &[&str]) -> Self {
        let (told, tell) = std::io::pipe().expect("a pipe");
        rustix::io::fcntl_setfd(&tell, rustix::io::FdFlags::empty()).expect("open");
        let mut command = command(arguments);
        command.args(["--ready-file", &format!("/dev/fd/{}", tell.as_raw_fd())]);
        let mut process = command.spawn().expect("the binary starts");
        drop(tell);
        let mut line = String::new();
        BufReader::new(told).read_line(&mut line).expect("it says something");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut words = String::new();
            let errors = process.stderr.as_mut().expect("errors are piped");
            errors.read_to_string(&mut words).expect("text");
            panic!("{error}: {line:?}\n{words}")
        });
        let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
        Self { openai: text("openai"), grpc: text("grpc"), ready, process }
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    }

    /// Its exit code, once it has ended by itself.
    pub fn exit_code(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn address(&self) -> &str {
        self.openai.trim_start_matches("http://")
    }

    /// Sends a request and gives the connection, of which nothing has been read.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let length = body.len();
        let host = self.address();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        stream
    }

    pub fn get(&self, path: &str) -> Answer {
        Answer::read(self.send("GET", path, "", ""))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::read(self.send("POST", path, "", &body.to_string()))
    }

    /// The value of a metric that has no labels, or these.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in:\n{text}"));
        line.rsplit(' ').next().expect("a value").parse().expect("a number")
    }

    /// Waits until a metric has reached a value.
    pub fn wait_for(&self, name: &str, value: f64) {
        let began = Instant::now();
        while self.metric(name) < value {
            assert!(began.elapsed() < PATIENCE, "{name} never reached {value}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("the answer ends");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (head, rest) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let headers: HashMap<_, _> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let chunked = headers.get("transfer-encoding").is_some_and(|kind| kind == "chunked");
        let body = if chunked { unchunked(rest) } else { rest.to_owned() };
        Self { status: status.parse().expect("a number"), headers, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data of each event of a stream; the last is `[DONE]`, which is left out.
    pub fn events(&self) -> Vec<Value> {
        let mut events: Vec<_> = self.body.split_terminator("\n\n").collect();
        assert_eq!(events.pop(), Some("data: [DONE]"), "{}", self.body);
        let read = |event: &str| {
            let data = event.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {event}"));
            serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"))
        };
        events.into_iter().map(read).collect()
    }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n").expect("a chunk's length");
        let length = usize::from_str_radix(length, 16).expect("hexadecimal");
        if length == 0 {
            return body;
        }
        body.push_str(&after[..length]);
        rest = &after[length + 2..];
    }
}
