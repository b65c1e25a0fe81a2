//! Timed connections and HTTP exchanges with a server.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::clock::{self, Nanos};
use crate::network::tls;
use crate::network::tls::TlsOptions;
use crate::targets::openai::address::{Address as OpenAiAddress, Origin};
use crate::targets::openai::framing::Framing;
use crate::targets::openai::options::Endpoint;
use crate::targets::triton::address::{Address as TritonAddress, Protocol};

/// Connections that are made and closed again.
const CONNECTS: usize = 10;
/// Questions on one connection. Linux acknowledges the first few at once, on purpose, and delays from then on.
const QUESTIONS: usize = 30;
const TIMEOUT: Duration = Duration::from_secs(5);
const LARGEST_HEAD: usize = 64 << 10;

/// Which server is asked, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// As shown, without anything secret.
    pub shown: String,
    host: String,
    port: u16,
    tls: bool,
    /// What is asked over HTTP/1.1; `None` where the server speaks something else and is only connected to.
    path: Option<String>,
}

/// What was seen of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkFacts {
    /// Which server.
    pub place: String,
    /// Every address of it is this machine's own.
    pub loopback: bool,
    /// How long connecting took, each time; without TLS.
    pub connects: Vec<Nanos>,
    /// Questions and answers on one connection, in order.
    pub exchanges: Vec<Exchange>,
    /// Status of the last answer.
    pub status: Option<u16>,
    /// The server closed the connection after an answer.
    pub closed_by_server: bool,
    /// Why nothing could be seen.
    pub failure: Option<String>,
}

/// One question and its answer; both spans from the first byte written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Until the first bytes of the answer.
    pub first_byte: Nanos,
    /// Until its last.
    pub complete: Nanos,
}

/// Why a text names no server that can be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServerAddressError(String);

impl ServerAddress {
    /// Of an OpenAI-compatible server, or any other that speaks HTTP/1.1.
    ///
    /// # Errors
    /// When it is no URL.
    pub fn http(url: &str) -> Result<Self, ServerAddressError> {
        // A URL may name any endpoint; the list of models lies beside each.
        let endpoints =
            [Endpoint::Chat, Endpoint::Completions, Endpoint::Embeddings, Endpoint::Rerank];
        let read = |endpoint| OpenAiAddress::parse(url, endpoint);
        let address = endpoints
            .into_iter()
            .find_map(|endpoint| read(endpoint).ok())
            .map_or_else(|| read(Endpoint::Chat), Ok)
            .map_err(|error| ServerAddressError(error.to_string()))?;
        let OpenAiAddress { origin, models_path, .. } = address;
        let scheme = origin.scheme();
        let Origin { host, port, https } = origin;
        let without_query = models_path.split('?').next().unwrap_or_default();
        let shown = format!("{scheme}://{host}:{port}{without_query}");
        Ok(Self { shown, host, port, tls: https, path: Some(models_path) })
    }

    /// Of a Triton server.
    ///
    /// # Errors
    /// When it is no address of one.
    pub fn triton(place: &str) -> Result<Self, ServerAddressError> {
        let address: TritonAddress =
            place.parse().map_err(|error: <TritonAddress as std::str::FromStr>::Err| {
                ServerAddressError(error.to_string())
            })?;
        let path = match address.protocol {
            Protocol::Grpc => None,
            Protocol::HttpGenerate => Some("/v2/health/ready".to_owned()),
        };
        Ok(Self {
            shown: format!("{}{}", address.origin(), path.as_deref().unwrap_or_default()),
            host: address.host,
            port: address.port,
            tls: address.tls,
            path,
        })
    }
}

impl NetworkFacts {
    /// Connects and sends requests; takes some seconds where no server answers.
    pub fn gather(place: &ServerAddress) -> Self {
        let mut facts = Self {
            place: place.shown.clone(),
            loopback: false,
            connects: Vec::new(),
            exchanges: Vec::new(),
            status: None,
            closed_by_server: false,
            failure: None,
        };
        facts.failure = facts.look_at(place).err();
        facts
    }

    fn look_at(&mut self, place: &ServerAddress) -> Result<(), String> {
        let bare = place.host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<SocketAddr> = (bare, place.port)
            .to_socket_addrs()
            .map_err(|error| format!("the name does not resolve: {error}"))?
            .collect();
        self.loopback = addresses.iter().all(|address| address.ip().is_loopback());
        let address = reachable(&addresses)?;
        for _ in 0..CONNECTS {
            let start = clock::now();
            connect(address)?;
            self.connects.push(clock::now() - start);
        }
        let Some(path) = &place.path else { return Ok(()) };
        let mut stream = connect(address)?;
        if !place.tls {
            return self.ask(&mut stream, place, path);
        }
        let config = tls::client_config(&TlsOptions { ca_file: None, insecure: true }, &[])
            .map_err(|error| error.to_string())?;
        self.ask(&mut over_tls(config, bare, stream)?, place, path)
    }

    fn ask(
        &mut self,
        stream: &mut (impl Read + Write),
        place: &ServerAddress,
        path: &str,
    ) -> Result<(), String> {
        let (host, port) = (&place.host, place.port);
        let question = format!("GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\naccept: */*\r\n\r\n");
        for _ in 0..QUESTIONS {
            let start = clock::now();
            let written = stream.write_all(question.as_bytes()).and_then(|()| stream.flush());
            let answer = match written.map_err(|error| error.to_string()) {
                Ok(()) => read_answer(stream, start),
                Err(sentence) => Err(sentence),
            };
            match answer {
                Ok((exchange, status, closes)) => {
                    self.exchanges.push(exchange);
                    self.status = Some(status);
                    self.closed_by_server = closes;
                }
                Err(_) if !self.exchanges.is_empty() => self.closed_by_server = true,
                Err(sentence) => return Err(sentence),
            }
            if self.closed_by_server {
                break;
            }
        }
        Ok(())
    }
}

/// The first address that takes a connection.
fn reachable(addresses: &[SocketAddr]) -> Result<SocketAddr, String> {
    let mut last = "the name has no address".to_owned();
    for &address in addresses {
        match connect(address) {
            Ok(_) => return Ok(address),
            Err(sentence) => last = sentence,
        }
    }
    Err(last)
}

/// With `TCP_NODELAY`, as every target connects.
fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let made = TcpStream::connect_timeout(&address, TIMEOUT).and_then(|stream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(stream)
    });
    made.map_err(|error| format!("{address}: {error}"))
}

/// Certificates are not judged: nothing secret is sent, and a self-signed server can be as slow as any other.
fn over_tls(
    config: Arc<ClientConfig>,
    host: &str,
    stream: TcpStream,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connection = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
    Ok(StreamOwned::new(connection, stream))
}

/// Spans, status, and whether the server closes now.
fn read_answer(
    stream: &mut impl Read,
    start: clock::MonoNs,
) -> Result<(Exchange, u16, bool), String> {
    let mut bytes = Vec::new();
    let mut first_byte = None;
    let (mut framing, mut at, status, closes) = loop {
        if read_more(stream, &mut bytes)? == 0 {
            return Err("the server closed the connection instead of answering".into());
        }
        first_byte.get_or_insert_with(|| clock::now() - start);
        if let Some(head) = read_head(&bytes)? {
            break head;
        }
        if bytes.len() > LARGEST_HEAD {
            return Err("the head of the answer has no end: is this an HTTP server?".into());
        }
    };
    loop {
        while framing.next(&bytes, &mut at).map_err(|bad| bad.0.to_owned())?.is_some() {}
        if framing.is_done() {
            break;
        }
        bytes.clear();
        at = 0;
        if read_more(stream, &mut bytes)? == 0 {
            break;
        }
    }
    let complete = clock::now() - start;
    let first_byte = first_byte.unwrap_or(complete);
    Ok((Exchange { first_byte, complete }, status, closes || !framing.is_done()))
}

fn read_more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> Result<usize, String> {
    let mut part = [0; 16 << 10];
    // A process that was stopped and goes on finds its timed reads interrupted.
    let read = loop {
        match stream.read(&mut part) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => break read,
        }
    };
    let count = read.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("no answer within {TIMEOUT:?}")
        }
        _ => error.to_string(),
    })?;
    bytes.extend_from_slice(&part[..count]);
    Ok(count)
}

/// Where the body begins and how it ends; `None` while the head is not whole.
fn read_head(bytes: &[u8]) -> Result<Option<(Framing, usize, u16, bool)>, String> {
    let mut room = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut room);
    let parsed =
        response.parse(bytes).map_err(|error| format!("it does not speak HTTP/1.1: {error}"))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let mut headers = HeaderMap::new();
    for line in response.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line.value)) {
            headers.append(name, value);
        }
    }
    let code = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = code.ok_or("the status is no number of HTTP")?;
    let framing = Framing::of(status, &headers).map_err(|bad| bad.0.to_owned())?;
    let closes = headers
        .get(header::CONNECTION)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    Ok(Some((framing, length, status.as_u16(), closes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    /// Answers every question on every connection, head and body in writes of their own.
    fn server(nodelay: bool, head: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("accepted");
                stream.set_nodelay(nodelay).expect("set");
                let mut lines = BufReader::new(stream.try_clone().expect("cloned")).lines();
                while let Some(Ok(line)) = lines.next() {
                    let answered = line.is_empty().then(|| {
                        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"{}"))
                    });
                    if answered.is_some_and(|written| written.is_err()) {
                        break;
                    }
                }
            }
        });
        format!("http://{address}")
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";

    fn gather(url: &str) -> NetworkFacts {
        NetworkFacts::gather(&ServerAddress::http(url).expect("a URL"))
    }

    #[test]
    fn nagle_at_the_server_against_our_delayed_acknowledgement_is_seen_as_forty_milliseconds() {
        let facts = gather(&server(false, OK));
        assert_eq!((facts.failure.as_deref(), facts.status), (None, Some(200)));
        // Where our own read was late, less of the wait lies behind it; twice what the check asks for is left on any machine.
        let slow = facts.exchanges.iter().filter(|e| e.complete.0 - e.first_byte.0 > 30_000_000);
        assert!(slow.count() >= QUESTIONS / 5, "{:?}", facts.exchanges);
    }

    #[test]
    fn every_question_is_answered_and_every_connection_timed() {
        let facts = gather(&server(true, OK));
        assert_eq!((facts.exchanges.len(), facts.connects.len()), (QUESTIONS, CONNECTS));
        assert!(facts.loopback && !facts.closed_by_server);
    }

    #[test]
    fn a_server_that_says_it_closes_is_asked_once() {
        let head = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 2\r\n\r\n";
        let facts = gather(&server(true, head));
        assert_eq!((facts.exchanges.len(), facts.closed_by_server), (1, true));
        assert_eq!(facts.status, Some(404));
    }

    #[test]
    fn what_is_no_http_or_not_there_is_a_failure_with_words() {
        let facts = gather(&server(true, "220 mail.example ready\r\n\r\n"));
        assert!(facts.failure.is_some_and(|sentence| sentence.contains("HTTP")));
        // A port that the system gives to nobody who asks for any.
        assert!(gather("http://127.0.0.1:1").failure.is_some());
    }
}
