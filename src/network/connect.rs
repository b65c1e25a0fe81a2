//! Connector: one resolved server, TCP or TLS, and a failure that names the step that failed.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::network::socket::StampedSocket;
use crate::network::stamp::LastRead;
use crate::request::{Failure, FailureKind};

/// Where to connect, and how. Names are resolved once, so that no request waits for a name server.
#[derive(Debug, Clone)]
pub struct Connector {
    shown: String,
    addresses: Vec<SocketAddr>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    timeout: Duration,
}

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
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<_> = (bare, port)
            .to_socket_addrs()
            .map_err(|error| {
                Failure::new(FailureKind::Connect, format!("cannot resolve `{host}`: {error}"))
            })?
            .collect();
        let shown = format!("{host}:{port}");
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(bare.to_owned()).map_err(|error| {
                    Failure::new(FailureKind::Tls, format!("`{host}`: {error}"))
                })?;
                Some((config, name))
            }
        };
        Ok(Self { shown, addresses, tls, timeout })
    }

    /// How long connecting may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether every address is this machine's own loopback.
    pub fn is_loopback(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().is_loopback())
    }

    /// Connects, through TLS where it is configured.
    ///
    /// # Errors
    /// [`FailureKind::Connect`] or [`FailureKind::Tls`].
    pub async fn connect(&self) -> Result<Stream, Failure> {
        tokio::time::timeout(self.timeout, self.connect_in_any_time()).await.unwrap_or_else(|_| {
            let message = format!("no connection to {} within {:?}", self.shown, self.timeout);
            Err(Failure::new(FailureKind::Connect, message))
        })
    }

    async fn connect_in_any_time(&self) -> Result<Stream, Failure> {
        let socket = self.connect_tcp().await?;
        let Some((config, name)) = &self.tls else { return Ok(Stream::Plain(socket)) };
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket);
        match handshake.await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => {
                let message = format!("TLS handshake with {}: {error}", self.shown);
                Err(Failure::new(FailureKind::Tls, message))
            }
        }
    }

    async fn connect_tcp(&self) -> Result<StampedSocket, Failure> {
        let mut last = None;
        for &address in &self.addresses {
            match StampedSocket::connect(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some((address, error)),
            }
        }
        Err(match last {
            Some((address, error)) => {
                Failure::new(kind_of(&error), format!("{} ({address}): {error}", self.shown))
            }
            None => Failure::new(FailureKind::Connect, format!("{} has no address", self.shown)),
        })
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

/// A connection, with or without TLS.
#[derive(Debug)]
pub enum Stream {
    /// Bytes as they are.
    Plain(StampedSocket),
    /// Bytes inside TLS records; a stamp is that of the read that completed the record.
    Tls(Box<TlsStream<StampedSocket>>),
}

impl Stream {
    fn socket(&self) -> &StampedSocket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// See [`StampedSocket::read_once_per_poll`].
    pub fn read_once_per_poll(&mut self) {
        match self {
            Self::Plain(socket) => socket.read_once_per_poll(),
            Self::Tls(stream) => stream.get_mut().0.read_once_per_poll(),
        }
    }

    /// The stamp of the latest read.
    pub fn last_read(&self) -> &Arc<LastRead> {
        self.socket().last_read()
    }

    /// Whether an idle connection can carry another request.
    pub fn is_quiet(&self) -> bool {
        self.socket().is_quiet()
    }

    /// Whether the TLS handshake settled on HTTP/2.
    pub fn settled_on_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Reads what is there into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// The error of the system or of TLS.
    #[inline]
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.poll_receive(cx, buffer),
            Self::Tls(stream) => {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut **stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
