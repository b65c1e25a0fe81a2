//! gRPC connections: tonic over our own sockets, with HTTP/2 windows so wide that no response waits for one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::{HeaderMap, Uri};
use hyper_util::rt::TokioIo;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::network::connect::{Connector, Via};
use crate::network::proxy::Proxy;
use crate::network::stamp::{LastRead, ReadStamp};
use crate::network::stream::Stream;
use crate::network::tls::client_config;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::options::TritonOptions;

/// Bytes that one connection may receive ahead of us. Fixed: an adaptive window starts at 64 KiB, at which the h2
/// crate takes a burst of small token frames for an attack and closes the connection.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// The same for one stream.
const STREAM_WINDOW: u32 = 8 << 20;

/// Failure of connecting, carried through tonic's error type.
#[derive(Debug)]
pub struct ConnectFailure(pub Failure);

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ConnectFailure {}

/// Connector to the server of these options; resolves the name, once.
///
/// # Errors
/// [`FailureKind::Connect`] or [`FailureKind::Tls`].
pub fn connector(options: &TritonOptions, alpn: &[u8]) -> Result<Connector, Failure> {
    let address = &options.address;
    let tls = if address.tls {
        let config = client_config(&options.tls, &[alpn])
            .map_err(|error| Failure::new(FailureKind::Tls, error.to_string()))?;
        Some(config)
    } else {
        None
    };
    let tunnel = |proxy: &Proxy| Via::Tunnel(Arc::new(proxy.clone()));
    let via = options.proxy.as_ref().map_or(Via::Direct, tunnel);
    Connector::through(via, &address.host, address.port, tls, options.timeouts.connect)
}

/// Latest read of the current connection of a channel.
#[derive(Debug, Clone, Default)]
pub struct ChannelReads(Arc<Mutex<Arc<LastRead>>>);

impl ChannelReads {
    /// The current connection's. Looked up once per call, not per message.
    pub fn current(&self) -> Arc<LastRead> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The latest read, for a call with only one response.
    pub fn stamp(&self) -> ReadStamp {
        self.current().get()
    }
}

/// A channel whose calls carry the user's headers.
#[derive(Debug, Clone)]
pub struct HeadedChannel {
    channel: Channel,
    headers: Arc<HeaderMap>,
}

impl Service<http::Request<Body>> for HeadedChannel {
    type Response = <Channel as Service<http::Request<Body>>>::Response;
    type Error = <Channel as Service<http::Request<Body>>>::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.channel, cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        for (name, value) in &*self.headers {
            request.headers_mut().append(name.clone(), value.clone());
        }
        Service::call(&mut self.channel, request)
    }
}

/// A gRPC channel that reconnects when it has to.
#[derive(Debug, Clone)]
pub struct Link {
    /// For calls.
    pub channel: HeadedChannel,
    /// When its bytes arrive.
    pub reads: ChannelReads,
}

impl Link {
    /// Connects now, and again later if the connection is lost. Call it on a thread of [`crate::network::thread`].
    ///
    /// # Errors
    /// When there is no connection to be made.
    pub async fn open(options: &TritonOptions, connector: Connector) -> Result<Self, Failure> {
        let reads = ChannelReads::default();
        let dial = Dial { connector, reads: reads.clone() };
        let endpoint = Endpoint::from_shared(options.address.origin())
            .map_err(|error| Failure::new(FailureKind::Connect, error.to_string()))?
            .http2_adaptive_window(false)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .executor(OnThisThread);
        let channel = endpoint.connect_with_connector(dial).await.map_err(|error| {
            crate::targets::triton::call::failure_of(&tonic::Status::from_error(Box::new(error)))
        })?;
        let headers = Arc::new(options.headers.clone());
        Ok(Self { channel: HeadedChannel { channel, headers }, reads })
    }
}

/// Puts tonic's tasks into the same queue as ours: a task woken by a read then runs before the next read.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>> for OnThisThread {
    fn execute(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        // The calls on it see its end.
        let _detached = tokio::task::spawn_local(task);
    }
}

/// Makes the connections of one channel.
#[derive(Debug, Clone)]
struct Dial {
    connector: Connector,
    reads: ChannelReads,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Stream>;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { connector, reads } = self.clone();
        Box::pin(async move {
            let mut stream = connector.connect().await.map_err(ConnectFailure)?;
            stream.read_once_per_poll();
            *reads.0.lock().unwrap_or_else(PoisonError::into_inner) =
                Arc::clone(stream.last_read());
            Ok(TokioIo::new(stream))
        })
    }
}
