//! Readiness of a launched server: one look at whether it can be asked.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::experiment::launch::preset::ReadyWhen;
use crate::network::plain_get;

/// Longest time of one look.
const LOOK: Duration = Duration::from_secs(2);
/// Where most servers say that they are still loading.
const HEALTH: &str = "/health";
/// Servers answer with it while they load.
const UNAVAILABLE: u16 = 503;

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is ready.
    Ready,
    /// It is not, as these words say.
    NotYet(String),
}

/// Looks again and again; remembers what of the log was read.
#[derive(Debug)]
pub struct Watcher<'a> {
    when: &'a ReadyWhen,
    log: &'a Path,
    read: u64,
    /// The end of what was read: a text may come in two writes.
    tail: Vec<u8>,
}

impl<'a> Watcher<'a> {
    /// `when` has its placeholders filled in.
    pub fn new(when: &'a ReadyWhen, log: &'a Path) -> Self {
        Self { when, log, read: 0, tail: Vec::new() }
    }

    /// Leaves out what the log holds of an earlier start.
    #[must_use]
    pub fn after(self, bytes: u64) -> Self {
        Self { read: bytes, ..self }
    }

    /// One look.
    pub fn look(&mut self) -> Seen {
        match self.when {
            ReadyWhen::Answers { port, path } => answers(port, path),
            ReadyWhen::Listens(port) => listens(port),
            ReadyWhen::Says(text) => match self.says(text.as_bytes()) {
                Ok(true) => Seen::Ready,
                Ok(false) => Seen::NotYet(format!("its log does not hold `{text}`")),
                Err(error) => Seen::NotYet(format!("its log cannot be read: {error}")),
            },
        }
    }

    fn says(&mut self, text: &[u8]) -> io::Result<bool> {
        let mut log = File::open(self.log)?;
        log.seek(SeekFrom::Start(self.read))?;
        let mut new = std::mem::take(&mut self.tail);
        self.read += log.read_to_end(&mut new)? as u64;
        let found = memchr::memmem::find(&new, text).is_some();
        let kept = new.len().saturating_sub(text.len());
        self.tail = new.split_off(kept);
        Ok(found)
    }
}

/// Whether anybody listens at a port of loopback.
pub fn is_open(port: &str) -> bool {
    let address = port.parse().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
    address.is_ok_and(|address| TcpStream::connect_timeout(&address, LOOK).is_ok())
}

fn answers(port: &str, path: &str) -> Seen {
    match plain_get::get(&format!("127.0.0.1:{port}"), path, LOOK) {
        Ok(answer) if answer.is_success() => Seen::Ready,
        Ok(answer) => Seen::NotYet(format!("{path} is answered with status {}", answer.status)),
        Err(error) => Seen::NotYet(format!("{path}: {error}")),
    }
}

/// A port may be open while a model is still loading: whoever says so at [`HEALTH`] is believed, and whoever has no such path or
/// speaks no HTTP is ready.
fn listens(port: &str) -> Seen {
    let Ok(number) = port.parse::<u16>() else {
        return Seen::NotYet(format!("`{port}` is no port"));
    };
    let address = SocketAddr::from(([127, 0, 0, 1], number));
    if let Err(error) = TcpStream::connect_timeout(&address, LOOK) {
        return Seen::NotYet(format!("port {port}: {error}"));
    }
    match plain_get::get(&format!("127.0.0.1:{port}"), HEALTH, LOOK) {
        Ok(answer) if answer.status == UNAVAILABLE => {
            Seen::NotYet(format!("{HEALTH} is answered with status {UNAVAILABLE}"))
        }
        Ok(_) | Err(_) => Seen::Ready,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_text_of_the_log_is_found_even_where_it_came_in_two_writes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("server.log");
        let when = ReadyWhen::Says("startup complete".into());
        let mut watcher = Watcher::new(&when, &path);
        assert!(matches!(watcher.look(), Seen::NotYet(_)), "no log so far");
        let mut log = File::create(&path).expect("a log");
        let mut look_after = |text: &str| {
            log.write_all(text.as_bytes()).expect("written");
            watcher.look() == Seen::Ready
        };
        assert!(!look_after("loading\nstart"));
        assert!(!look_after("up comp"));
        assert!(look_after("lete\n"));
    }

    #[test]
    fn an_open_port_is_ready_unless_it_says_that_it_is_loading() {
        let answer_with = |answer: &'static [u8]| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("bound").port().to_string();
            let server = std::thread::spawn(move || {
                let (first, _) = listener.accept().expect("the look at the port");
                drop(first);
                let (mut second, _) = listener.accept().expect("the look at the path");
                let mut request = [0; 512];
                let _count = second.read(&mut request).expect("a request");
                second.write_all(answer).expect("an answer");
            });
            let seen = listens(&port);
            server.join().expect("no panic");
            seen
        };
        assert_eq!(
            answer_with(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            Seen::Ready
        );
        assert_eq!(answer_with(b"no http"), Seen::Ready);
        let loading = b"HTTP/1.1 503 Loading\r\nContent-Length: 0\r\n\r\n";
        assert!(matches!(answer_with(loading), Seen::NotYet(_)));
        assert!(matches!(listens("1"), Seen::NotYet(_)));
    }
}
