//! Plain GET over HTTP/1.1: one short request on a connection of its own, with a time limit, on the caller's thread.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::clock::{Nanos, now};

/// Longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;
const MAX_HEADERS: usize = 64;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Asks `host:port` for a path.
///
/// # Errors
/// When there is no connection, no whole answer within the limit, or an answer that is no HTTP.
pub fn get(authority: &str, path: &str, limit: Duration) -> io::Result<Answer> {
    let until = now() + Nanos(limit.as_nanos() as i64);
    let left = || match until - now() {
        Nanos(left) if left > 0 => Ok(Duration::from_nanos(left.unsigned_abs())),
        _ => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"))),
    };
    let mut stream = connect(authority, &left)?;
    stream.set_write_timeout(Some(left()?))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        if let Some(answer) = whole(&bytes)? {
            return Ok(answer);
        }
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part) {
            Ok(0) => return at_the_end(&bytes),
            Ok(count) if bytes.len() + count > MAX_ANSWER => {
                return Err(malformed("it is too long"));
            }
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(left()?),
            Err(error) => return Err(error),
        }
    }
}

fn connect(authority: &str, left: &dyn Fn() -> io::Result<Duration>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("`{authority}` is no address"));
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left()?) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer is no HTTP: {why}"))
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilTheEnd,
}

struct Head {
    status: u16,
    framing: Framing,
    length: usize,
}

fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| malformed(&error.to_string()))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let value = |name: &str| {
        let header = response.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let framing = match (value("transfer-encoding"), value("content-length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        (_, Some(length)) => {
            Framing::Length(length.parse().map_err(|_| malformed("its length is no number"))?)
        }
        (_, None) => Framing::UntilTheEnd,
    };
    Ok(Some(Head { status: response.code.unwrap_or(0), framing, length }))
}

/// The answer, once it is all there.
fn whole(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(Head { status, framing, length }) = head(bytes)? else { return Ok(None) };
    let body = &bytes[length..];
    Ok(match framing {
        Framing::Length(count) => {
            body.get(..count).map(|body| Answer { status, body: body.to_vec() })
        }
        Framing::Chunked => unchunked(body)?.map(|body| Answer { status, body }),
        Framing::UntilTheEnd => None,
    })
}

fn at_the_end(bytes: &[u8]) -> io::Result<Answer> {
    match head(bytes)? {
        Some(Head { status, framing: Framing::UntilTheEnd, length }) => {
            Ok(Answer { status, body: bytes[length..].to_vec() })
        }
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection ended before the answer",
        )),
    }
}

/// A chunked body, once its last chunk is there.
fn unchunked(mut bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let parsed =
            httparse::parse_chunk_size(bytes).map_err(|_| malformed("a chunk has no size"))?;
        let httparse::Status::Complete((start, size)) = parsed else { return Ok(None) };
        let size = usize::try_from(size).map_err(|_| malformed("a chunk is too long"))?;
        if size == 0 {
            return Ok(Some(body));
        }
        let end = start.saturating_add(size);
        let Some(chunk) = bytes.get(start..end) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(rest) = bytes.get(end + 2..) else { return Ok(None) };
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection with these bytes and closes it.
    fn answered(bytes: &'static [u8]) -> io::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let authority = listener.local_addr()?.to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let count = stream.read(&mut request).expect("a request");
            stream.write_all(bytes).expect("an answer");
            request[..count].to_vec()
        });
        let answer = get(&authority, "/metrics", Duration::from_secs(20));
        let request = server.join().expect("no panic");
        assert!(request.starts_with(b"GET /metrics HTTP/1.1\r\n"));
        answer
    }

    #[test]
    fn every_framing_gives_the_same_body() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab\ncdXX"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=1\r\n\ncd\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\nab\ncd",
        ] {
            let answer = answered(bytes).expect("an answer");
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ab\ncd"[..]));
        }
    }

    #[test]
    fn a_cut_answer_and_what_is_no_http_are_errors() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"",
        ] {
            assert!(answered(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
