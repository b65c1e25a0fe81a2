//! TCP listeners: one accept loop per port, HTTP/1.1 and HTTP/2, graceful shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Requests that one HTTP/2 connection may have open: the limit on requests is elsewhere, and is answered with an error message.
const MOST_STREAMS: u32 = 1 << 16;
/// After a failed accept (no file descriptors are left, say).
const BREATHE: Duration = Duration::from_millis(20);

/// Signals shutdown to connections, and counts those that are left.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// No more connections, and those that there are end with the answer that they are at.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// When every connection is gone, or time is up.
    pub async fn done(&self, within: Duration) {
        // Time being up is an end like the other.
        let _either_way = tokio::time::timeout(within, self.0.closed()).await;
    }
}

/// Binds a port.
///
/// # Errors
/// The system's.
pub async fn bind(host: &str, port: u16) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((host, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Accepts connections until closing begins.
pub async fn accept(listener: TcpListener, router: Router, closing: Shutdown) {
    let mut closes = closing.0.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closes.wait_for(|closing| *closing) => return,
        };
        match accepted {
            Ok((socket, _)) => {
                tokio::spawn(converse(socket, router.clone(), closing.0.subscribe()));
            }
            Err(_) => tokio::time::sleep(BREATHE).await,
        }
    }
}

async fn converse(socket: TcpStream, router: Router, mut closes: watch::Receiver<bool>) {
    // Where the system refuses, tokens come late in bunches, and that is all.
    let _late = socket.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    builder
        .http2()
        .max_concurrent_streams(MOST_STREAMS)
        .max_pending_accept_reset_streams(MOST_STREAMS as usize)
        .max_local_error_reset_streams(None);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // However a connection ends, what was asked over it is dropped, which cancels it.
        _ended = connection.as_mut() => return,
        _ = closes.wait_for(|closing| *closing) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended = connection.await;
}
