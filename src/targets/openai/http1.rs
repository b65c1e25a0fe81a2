//! HOT PATH. HTTP/1.1 exchange in which each byte of the response keeps its arrival stamp.
//!
//! `httparse`, hyper's parser, parses the head. The body is read by our own code: a client library hands out frames
//! after it has read further, and the stamp of a frame would be that of a later read. Here every byte of one read is
//! consumed before the next read begins.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::io::AsyncWrite;

use crate::clock::{MonoNs, Nanos, now};
use crate::network::stamp::{LastRead, ReadStamp};
use crate::network::stream::Stream;
use crate::network::unprocessed::IDLE_RACE;
use crate::request::{Failure, FailureKind};
use crate::targets::openai::framing::{BadFraming, Framing};

const BUFFER: usize = 16 << 10;
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 128;
/// How a TLS server answers to what is no TLS.
const TLS_ALERT: &[u8] = &[21, 3];
/// What follows the length in the frame that a server begins HTTP/2 with: settings, no flags, of the connection itself.
const HTTP2_SETTINGS: &[u8] = &[4, 0, 0, 0, 0, 0];

/// One connection, and where its current exchange stands.
#[derive(Debug)]
pub struct Http1 {
    stream: Stream,
    last: Arc<LastRead>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were read and not consumed.
    unread: std::ops::Range<usize>,
    /// Each read ends where a chunk does.
    reads_by_chunk: bool,
    framing: Framing,
    keeps_alive: bool,
    /// How long it took to open ahead of its first request.
    opened: Option<Nanos>,
    /// Whether a request of this phase has told it.
    is_told: bool,
    /// When the current request was written.
    written: MonoNs,
}

/// Why there is no response head.
#[derive(Debug)]
pub enum NoHead {
    /// The connection was closed before the request was written, or too soon after to have been worked on: the server
    /// was closing the idle connection.
    IdleRace(String),
    /// The connection was closed after the request had been written, without a byte of a response.
    Dropped(String),
    /// Anything else.
    Failed(Failure),
}

/// State of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyState {
    /// More is to come.
    Open,
    /// It has ended.
    Done,
}

/// Judges a connection that was closed so long after the request had been written.
fn no_response(message: String, after: Nanos) -> NoHead {
    if after <= IDLE_RACE { NoHead::IdleRace(message) } else { NoHead::Dropped(message) }
}

impl From<BadFraming> for Failure {
    fn from(BadFraming(what): BadFraming) -> Self {
        Self::new(FailureKind::Malformed, format!("the answer is no HTTP: {what}"))
    }
}

impl Http1 {
    /// A new connection.
    pub fn new(stream: Stream) -> Self {
        let last = Arc::clone(stream.last_read());
        let buffer = vec![0; BUFFER];
        let (unread, framing) = (0..0, Framing::Done);
        Self {
            stream,
            last,
            buffer,
            unread,
            reads_by_chunk: true,
            framing,
            keeps_alive: true,
            opened: None,
            is_told: false,
            written: MonoNs(0),
        }
    }

    /// A new connection that was opened ahead of the request that will use it, which took so long.
    pub fn ahead(stream: Stream, took: Nanos) -> Self {
        Self { opened: Some(took), ..Self::new(stream) }
    }

    /// How long it took to open ahead; told once in a phase, to the first request that uses it.
    pub fn tell_opened(&mut self) -> Option<Nanos> {
        if std::mem::replace(&mut self.is_told, true) { None } else { self.opened }
    }

    /// A phase begins.
    pub fn tell_again(&mut self) {
        self.is_told = false;
    }

    /// Whether another exchange can follow on this connection.
    pub fn is_reusable(&self) -> bool {
        self.keeps_alive && self.framing.is_done() && self.unread.is_empty()
    }

    /// Whether the body of the current response has ended.
    pub fn has_ended(&self) -> bool {
        self.framing.is_done()
    }

    /// Whether the server still keeps an idle connection.
    pub fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }

    /// When the bytes consumed last had arrived.
    #[inline]
    pub fn stamp(&self) -> ReadStamp {
        self.last.get()
    }

    /// Writes a request and reads the head of its response.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no HTTP.
    pub async fn ask(&mut self, request: &[u8]) -> Result<(StatusCode, HeaderMap), NoHead> {
        self.reads_by_chunk = true;
        // A server may respond and close before it has read everything. Its response explains more than our write error.
        let written = self.write_all(request).await;
        let sent = now();
        self.written = sent;
        match (self.head().await, written) {
            (Err(NoHead::Dropped(_)), Err(error)) => Err(NoHead::IdleRace(error.to_string())),
            (Err(NoHead::Dropped(message)), Ok(())) => Err(no_response(message, now() - sent)),
            (head, _) => head,
        }
    }

    /// Whether a head that came over a connection that was idle is of no request: a server says so that it ends an idle
    /// connection, and the request crosses it on the way. No server waits so short for a request.
    pub fn is_word_of_parting(&self, status: StatusCode) -> bool {
        status == StatusCode::REQUEST_TIMEOUT && self.stamp().at - self.written <= IDLE_RACE
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let stream = &mut self.stream;
            let count = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[count..];
        }
        let stream = &mut self.stream;
        poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
    }

    async fn head(&mut self) -> Result<(StatusCode, HeaderMap), NoHead> {
        loop {
            if let Some((status, headers)) = self.parse_head().map_err(NoHead::Failed)? {
                if status.is_informational() {
                    continue;
                }
                self.framing =
                    Framing::of(status, &headers).map_err(|b| NoHead::Failed(b.into()))?;
                self.keeps_alive &= self.framing != Framing::UntilClose;
                return Ok((status, headers));
            }
            let came_something = !self.unread.is_empty();
            let broken = match self.read().await {
                Ok(0) => "the server closed the connection".to_owned(),
                Ok(_) => continue,
                Err(error) => error.to_string(),
            };
            return Err(if came_something {
                let message = format!("in the head of the answer: {broken}");
                NoHead::Failed(Failure::new(FailureKind::Disconnected, message))
            } else {
                NoHead::Dropped(broken)
            });
        }
    }

    fn parse_head(&mut self) -> Result<Option<(StatusCode, HeaderMap)>, Failure> {
        let bytes = &self.buffer[self.unread.clone()];
        let no_http =
            |what: String| Failure::new(FailureKind::Malformed, format!("no HTTP answer: {what}"));
        let mut room = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut room);
        // A header that goes on in the next line, or has a space before its colon, is out of use, and some gateways still write it.
        let mut lenient = httparse::ParserConfig::default();
        lenient.allow_obsolete_multiline_headers_in_responses(true);
        lenient.allow_spaces_after_header_name_in_responses(true);
        let length = match lenient.parse_response(&mut head, bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(no_http("its head never ends".to_owned())),
            Err(_) if bytes.starts_with(TLS_ALERT) => {
                return Err(no_http(
                    "what answers there speaks TLS: write https:// in place of http://".to_owned(),
                ));
            }
            Err(_) if bytes.get(3..9) == Some(HTTP2_SETTINGS) => {
                return Err(no_http(
                    "what answers there speaks HTTP/2 alone: give `--http2`".to_owned(),
                ));
            }
            Err(error) => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
                return Err(no_http(format!("{error}: {start}")));
            }
        };
        let status = StatusCode::from_u16(head.code.unwrap_or_default())
            .map_err(|error| no_http(error.to_string()))?;
        let headers = headers_of(head.headers).map_err(|error| no_http(error.to_string()))?;
        self.keeps_alive = keeps_alive(head.version, &headers);
        self.unread.start += length;
        Ok(Some((status, headers)))
    }

    /// Passes every part of the body that has been read to `take`.
    ///
    /// # Errors
    /// When the bytes follow no framing, and what `take` returns.
    #[inline]
    pub fn drain_body(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<BodyState, Failure> {
        let bytes = &self.buffer[..self.unread.end];
        while let Some(part) = self.framing.next(bytes, &mut self.unread.start)? {
            take(part)?;
        }
        Ok(if self.framing.is_done() { BodyState::Done } else { BodyState::Open })
    }

    /// Lifts the limit on reads from now on.
    ///
    /// The kernel's stamp of a read is that of its last packet. Until the first token has come, each read therefore
    /// ends where a chunk of the body does: what has arrived behind the token while our thread had no core does not
    /// move the token's stamp, as far as the kernel kept the packets apart.
    #[inline]
    pub fn read_freely(&mut self) {
        self.reads_by_chunk = false;
    }

    /// Reads once more for the body.
    ///
    /// # Errors
    /// With a message, when the connection broke before the body's end.
    #[inline]
    pub async fn read_body(&mut self) -> Result<(), String> {
        match self.read().await {
            Ok(0) if self.framing == Framing::UntilClose => {
                self.framing = Framing::Done;
                Ok(())
            }
            Ok(0) => Err("the server closed the connection inside the answer".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[inline]
    async fn read(&mut self) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.buffer.len() {
            self.make_room();
        }
        let room = self.buffer.len() - self.unread.end;
        // Without the kernel's stamps a read has no stamp of its packets, and several short reads only cost time.
        let by_chunk = self.reads_by_chunk && self.last.may_be_by_kernel();
        let most = if by_chunk { self.framing.bytes_to_boundary() } else { room };
        let end = self.unread.end + most.min(room);
        let (stream, buffer) = (&mut self.stream, &mut self.buffer[self.unread.end..end]);
        let count = poll_fn(|cx| stream.poll_receive(cx, buffer)).await?;
        self.unread.end += count;
        Ok(count)
    }

    /// Only a head can leave bytes unconsumed.
    #[cold]
    fn make_room(&mut self) {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.unread.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
    }
}

fn headers_of(parsed: &[httparse::Header<'_>]) -> Result<HeaderMap, http::Error> {
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes())?;
        headers.append(name, header_value(header.value)?);
    }
    Ok(headers)
}

/// The value of a header; where it goes on in the next line, in one.
fn header_value(value: &[u8]) -> Result<HeaderValue, http::Error> {
    if !value.contains(&b'\n') {
        return Ok(HeaderValue::from_bytes(value)?);
    }
    let joined = value.split(|byte| matches!(byte, b'\r' | b'\n')).map(<[u8]>::trim_ascii);
    let joined: Vec<&[u8]> = joined.filter(|line| !line.is_empty()).collect();
    Ok(HeaderValue::from_bytes(&joined.join(&b' '))?)
}

fn keeps_alive(version: Option<u8>, headers: &HeaderMap) -> bool {
    let says = |word: &str| {
        let values = headers.get_all(header::CONNECTION).into_iter();
        values
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    if version == Some(0) { says("keep-alive") } else { !says("close") }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    use super::*;
    use crate::network::connect::Connector;
    use crate::network::socket::StampKeeper;

    const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

    /// Sends a head and three chunks before anything of it is read.
    fn serve_once(listener: &std::net::TcpListener) {
        let (mut stream, _) = listener.accept().unwrap();
        let _request = stream.read(&mut [0; 1024]).unwrap();
        let chunk = |letter: &str| format!("c8\r\n{}\r\n", letter.repeat(200));
        let all = [HEAD.to_owned(), chunk("a"), chunk("b"), chunk("c")].concat();
        stream.write_all(all.as_bytes()).unwrap();
    }

    async fn read_until_some_of_the_body_came(port: u16) -> Vec<u8> {
        let timeout = Duration::from_secs(20);
        let connector = Connector::new("127.0.0.1", port, None, timeout).unwrap();
        let mut connection = Http1::new(connector.connect().await.unwrap());
        let asking = connection.ask(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(asking.await.unwrap().0, StatusCode::OK);
        let mut got = Vec::new();
        while got.len() < 200 {
            connection.read_body().await.unwrap();
            let take = |part: &[u8]| {
                got.extend_from_slice(part);
                Ok(())
            };
            assert_eq!(connection.drain_body(take).unwrap(), BodyState::Open);
        }
        got
    }

    #[test]
    fn a_header_that_goes_on_in_the_next_line_is_one_line() {
        assert_eq!(header_value(b"a\r\n b\r\n\t c").unwrap(), "a b c");
        assert_eq!(header_value(b"plain").unwrap(), "plain");
    }

    #[test]
    fn only_a_connection_closed_within_ten_milliseconds_of_the_request_was_idle() {
        let judged = |ms| no_response(String::new(), Nanos::from_millis(ms));
        assert!(matches!(judged(0), NoHead::IdleRace(_)));
        assert!(matches!(judged(10), NoHead::IdleRace(_)));
        assert!(matches!(judged(11), NoHead::Dropped(_)), "the server may have worked on it");
    }

    #[test]
    fn until_reads_are_free_a_chunk_comes_without_a_byte_of_the_next() {
        // Without the kernel's stamps reads are not cut.
        let keeper = StampKeeper::start();
        if !keeper.works() {
            return;
        }
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || serve_once(&listener));
        let read = move || read_until_some_of_the_body_came(port);
        let got =
            crate::network::thread::wait_for(crate::threads::other("by-chunk"), read).unwrap();
        server.join().unwrap();
        assert_eq!(got, "a".repeat(200).as_bytes());
    }

    /// What a server says as it ends an idle connection, before it can have seen the request; whether that is a word of parting.
    async fn is_parting(port: u16, said: std::sync::mpsc::Receiver<()>) -> (StatusCode, bool) {
        let connector = Connector::new("127.0.0.1", port, None, Duration::from_secs(20)).unwrap();
        let mut connection = Http1::new(connector.connect().await.unwrap());
        said.recv().unwrap();
        let (status, _) = connection.ask(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        (status, connection.is_word_of_parting(status))
    }

    #[test]
    fn a_timeout_that_lay_there_before_the_request_is_a_word_of_parting_and_another_answer_is_none()
    {
        let keeper = StampKeeper::start();
        if !keeper.works() {
            return;
        }
        for (status, is_parting_word) in [(408, true), (503, false)] {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (says, said) = std::sync::mpsc::channel();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").unwrap();
                says.send(()).unwrap();
                // Until the client has gone.
                let _request = stream.read_to_end(&mut Vec::new());
            });
            let asked = move || is_parting(port, said);
            let (seen, is_parting) =
                crate::network::thread::wait_for(crate::threads::other("parting"), asked).unwrap();
            server.join().unwrap();
            assert_eq!((seen.as_u16(), is_parting), (status, is_parting_word));
        }
    }
}
