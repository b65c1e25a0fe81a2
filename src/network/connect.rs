//! Connector: one resolved server or the proxy before it, TCP or TLS, and a failure that names the step that failed.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::clock::{Nanos, now};
use crate::network::proxy::Proxy;
use crate::network::socket::StampedSocket;
use crate::network::stream::Stream;
use crate::request::{Failure, FailureKind};

/// Where to connect, and how. Names are resolved once, so that no request waits for a name server, unless each connection is to
/// begin from nothing.
#[derive(Debug, Clone)]
pub struct Connector {
    shown: String,
    addresses: Arc<[Place]>,
    lookup: Nanos,
    /// Host and port that each connection resolves anew; `None` where the addresses stand.
    each_time: Option<(String, u16)>,
    /// How many connections were begun: each begins with the address after that of the one before.
    begun: Arc<AtomicUsize>,
    via: Via,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    timeout: Duration,
}

/// One address, and whether it refused the connection that was tried last.
#[derive(Debug)]
struct Place {
    address: SocketAddr,
    refuses: AtomicBool,
}

/// What stands between us and the server.
#[derive(Debug, Clone, Default)]
pub enum Via {
    /// Nothing.
    #[default]
    Direct,
    /// A proxy that reads each request and passes it on: its target is then a whole URL.
    Forward(Arc<Proxy>),
    /// A proxy that makes a tunnel and reads nothing.
    Tunnel(Arc<Proxy>),
}

/// Longest answer of a proxy to `CONNECT`.
const MAX_PROXY_ANSWER: usize = 16 << 10;

/// How long one address has before the next is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

impl Connector {
    /// Resolves `host`. With a TLS configuration, `host` is also the name that the certificate must carry.
    ///
    /// # Errors
    /// [`FailureKind::Connect`] for a name that does not resolve, [`FailureKind::Tls`] for one that no certificate can
    /// carry.
    pub fn new(
        host: &str,
        port: u16,
        tls: Option<Arc<ClientConfig>>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        Self::through(Via::Direct, host, port, tls, timeout)
    }

    /// The same through a proxy, whose name is then resolved in place of the server's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn through(
        via: Via,
        host: &str,
        port: u16,
        tls: Option<Arc<ClientConfig>>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let (asked, port_asked) = place_of(&via, host, port);
        let (addresses, lookup) =
            resolved(asked, port_asked).map_err(|failure| via.explain(failure))?;
        let shown = format!("{host}:{port}");
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(bare(host).to_owned()).map_err(|error| {
                    Failure::new(FailureKind::Tls, format!("`{host}`: {error}"))
                })?;
                Some((config, name))
            }
        };
        let (each_time, begun) = (None, Arc::default());
        Ok(Self { shown, addresses, lookup, each_time, begun, via, tls, timeout })
    }

    /// The same, where each connection resolves the name anew, as a client does that has just been started. An address has no name
    /// to resolve.
    #[must_use]
    pub fn resolving_each_time(self, host: &str, port: u16) -> Self {
        let (asked, port_asked) = place_of(&self.via, host, port);
        let is_name = bare(asked).parse::<IpAddr>().is_err();
        let each_time = is_name.then(|| (bare(asked).to_owned(), port_asked));
        Self { each_time, ..self }
    }

    /// How long the name took to resolve; nothing where an address was given.
    pub fn lookup(&self) -> Nanos {
        self.lookup
    }

    /// How long connecting may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether every address is this machine's own loopback.
    pub fn is_loopback(&self) -> bool {
        let is_direct = matches!(self.via, Via::Direct);
        is_direct && self.addresses.iter().all(|place| place.address.ip().is_loopback())
    }

    /// Connects, through TLS where it is configured.
    ///
    /// # Errors
    /// [`FailureKind::Connect`] or [`FailureKind::Tls`].
    pub async fn connect(&self) -> Result<Stream, Failure> {
        tokio::time::timeout(self.timeout, self.connect_in_any_time()).await.unwrap_or_else(|_| {
            let hint = if self.tls.is_some() {
                "; a port that speaks no TLS may stay silent so: is it http://?"
            } else {
                ""
            };
            let message = format!(
                "no connection to {} within {:?}, which `--connect-timeout` sets{hint}",
                self.shown, self.timeout
            );
            Err(Failure::new(FailureKind::Connect, message))
        })
    }

    async fn connect_in_any_time(&self) -> Result<Stream, Failure> {
        let mut socket = self.connect_tcp().await?;
        if let Via::Tunnel(proxy) = &self.via {
            self.open_tunnel(&mut socket, proxy).await?;
        }
        let Some((config, name)) = &self.tls else { return Ok(Stream::Plain(socket)) };
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket);
        match handshake.await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => {
                let remedy = tls_remedy(&error);
                let message = format!("TLS handshake with {}: {error}{remedy}", self.shown);
                Err(Failure::new(FailureKind::Tls, message))
            }
        }
    }

    async fn connect_tcp(&self) -> Result<StampedSocket, Failure> {
        let mut waiting = self.in_turn(self.addresses_now().await?).into_iter();
        let mut attempts = JoinSet::new();
        let mut last = None;
        loop {
            if let Some(address) = waiting.next() {
                attempts.spawn(async move { (address, StampedSocket::connect(address).await) });
            } else if attempts.is_empty() {
                break;
            }
            let next = attempts.join_next();
            let ended = if waiting.len() > 0 {
                tokio::time::timeout(STAGGER, next).await.unwrap_or_default()
            } else {
                next.await
            };
            let Some(Ok((address, outcome))) = ended else { continue };
            if let Some(place) = self.place(address) {
                place.refuses.store(outcome.is_err(), Ordering::Relaxed);
            }
            match outcome {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some((address, error)),
            }
        }
        let by = match &self.via {
            Via::Direct => String::new(),
            Via::Forward(proxy) | Via::Tunnel(proxy) => {
                format!(" through the proxy that `{}` names", proxy.variable)
            }
        };
        Err(match last {
            Some((address, error)) => {
                let words = format!("{}{by} ({address}): {error}", self.shown);
                self.via.explain(Failure::new(kind_of(&error), words))
            }
            None => Failure::new(FailureKind::Connect, format!("{} has no address", self.shown)),
        })
    }

    /// The addresses of this connection: those that were found once, or what the name says now.
    async fn addresses_now(&self) -> Result<Vec<SocketAddr>, Failure> {
        let Some((host, port)) = &self.each_time else {
            return Ok(self.addresses.iter().map(|place| place.address).collect());
        };
        match tokio::net::lookup_host((host.as_str(), *port)).await {
            Ok(found) => Ok(found.collect()),
            Err(error) => Err(unresolved(host, &error)),
        }
    }

    /// What is remembered of an address.
    fn place(&self, address: SocketAddr) -> Option<&Place> {
        self.addresses.iter().find(|place| place.address == address)
    }

    /// Addresses in the order in which this connection tries them: connections share the load, and an address that refused
    /// comes last.
    fn in_turn(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let first = self.begun.fetch_add(1, Ordering::Relaxed);
        let count = addresses.len().max(1);
        addresses.rotate_left(first % count);
        let refuses = |at: &SocketAddr| {
            self.place(*at).is_some_and(|place| place.refuses.load(Ordering::Relaxed))
        };
        addresses.sort_by_key(refuses);
        addresses
    }

    async fn open_tunnel(&self, socket: &mut StampedSocket, proxy: &Proxy) -> Result<(), Failure> {
        let failed = |what: String| {
            let message = format!("the proxy {proxy} makes no tunnel to {}: {what}", self.shown);
            self.via.explain(Failure::new(FailureKind::Connect, message))
        };
        let (place, line) = (&self.shown, proxy.authorization_line());
        let ask = format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n{line}\r\n");
        socket.write_all(ask.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
        let mut answer = Vec::new();
        // Byte by byte: what follows the head is no longer the proxy's.
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = socket.read_u8().await.map_err(|error| failed(error.to_string()))?;
            answer.push(byte);
            if answer.len() > MAX_PROXY_ANSWER {
                return Err(failed("its answer never ends".to_owned()));
            }
        }
        let text = String::from_utf8_lossy(&answer);
        let first = text.lines().next().unwrap_or_default();
        let status = first.split(' ').nth(1).unwrap_or_default();
        if status.starts_with('2') { Ok(()) } else { Err(failed(format!("it says `{first}`"))) }
    }
}

impl Via {
    /// The failure to find whoever is asked first; a proxy's variable is named, since nobody typed that name.
    fn explain(&self, failure: Failure) -> Failure {
        match self {
            Self::Direct => failure,
            Self::Forward(proxy) | Self::Tunnel(proxy) => {
                let (words, variable) = (&failure.message, proxy.variable);
                let message = format!(
                    "{words}; `{variable}` names it as a proxy: mend that, or go to the server itself with `--no-proxy`"
                );
                Failure::new(failure.kind, message)
            }
        }
    }
}

/// Without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whose name is resolved: the server's, or that of the proxy before it.
fn place_of<'a>(via: &'a Via, host: &'a str, port: u16) -> (&'a str, u16) {
    match via {
        Via::Direct => (host, port),
        Via::Forward(proxy) | Via::Tunnel(proxy) => (&proxy.host, proxy.port),
    }
}

fn unresolved(host: &str, error: &io::Error) -> Failure {
    Failure::new(FailureKind::Connect, format!("cannot resolve `{host}`: {error}"))
}

/// The addresses of a name, and how long it took to find them.
fn resolved(host: &str, port: u16) -> Result<(Arc<[Place]>, Nanos), Failure> {
    let bare = bare(host);
    let begun = now();
    let found = (bare, port).to_socket_addrs().map_err(|error| unresolved(host, &error))?;
    let is_address = bare.parse::<IpAddr>().is_ok();
    let lookup = if is_address { Nanos::ZERO } else { now() - begun };
    let place = |address| Place { address, refuses: AtomicBool::new(false) };
    Ok((found.map(place).collect(), lookup))
}

/// What to do about a failed handshake, where its error says what is the matter.
fn tls_remedy(error: &io::Error) -> &'static str {
    use rustls::{CertificateError, Error as TlsError, InvalidMessage};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match inner {
        Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "; what answers there speaks no TLS: write http:// in place of https://"
        }
        Some(TlsError::InvalidCertificate(CertificateError::Other(other)))
            if other.to_string().contains("CaUsedAsEndEntity") =>
        {
            "; the server shows a certificate of an authority as its own: give the server one that is signed by it and has \
             `CA:FALSE`, or `--insecure` to trust any"
        }
        // The signature is bad where an authority was made anew under its old name.
        Some(TlsError::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => {
            "; name the certificate of who signed it with `--ca-file`, or give `--insecure` to trust any"
        }
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "; name the server as its certificate does, or give `--insecure` to trust any",
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "; it closed the connection instead: if it speaks no TLS, write http:// in place of https://"
        }
        _ => "",
    }
}

/// Whose limit stood in the way of a connection: ours, or something between here and the server.
fn kind_of(error: &io::Error) -> FailureKind {
    const OURS: [Errno; 6] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::ADDRNOTAVAIL,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::AGAIN,
    ];
    match Errno::from_io_error(error) {
        Some(code) if OURS.contains(&code) => FailureKind::OwnLimit,
        _ => FailureKind::Connect,
    }
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
