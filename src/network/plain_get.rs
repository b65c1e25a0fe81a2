//! Plain GET over HTTP/1.1: one short request on a connection of its own, with a time limit, on the caller's thread.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime;

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
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
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(limit, ask(authority, path)).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")))
        })
    })
}

async fn ask(authority: &str, path: &str) -> io::Result<Answer> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (mut requests, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "text/plain")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    // It ends with the runtime at the latest; what goes wrong in it is told by the answer.
    tokio::spawn(connection);
    let response = requests.send_request(request).await.map_err(broken)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Answer { status, body: body.to_bytes() })
}

fn broken(error: hyper::Error) -> io::Error {
    let kind =
        if error.is_parse() { io::ErrorKind::InvalidData } else { io::ErrorKind::BrokenPipe };
    io::Error::new(kind, format!("no answer of HTTP came: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
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
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ab\ncd"[..]));
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
