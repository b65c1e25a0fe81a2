//! Raw reader, the lower bound of a client's cost: reads the same bytes and discards them. One thread, one task per
//! connection, one stamp per read.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bareflight::clock::{Nanos, now};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::client::{Asked, Seen, body};
use crate::server::{LAST_BYTES, TEXT_MARK};

const BUFFER: usize = 16 << 10;

/// Asks everything that was asked for, over as many connections as requests may be open.
pub fn read_all(address: &str, asked: &Asked) -> io::Result<Vec<Seen>> {
    let to: SocketAddr = address.parse().map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let head: Arc<str> = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n"
    )
    .into();
    runtime.block_on(async {
        let asked = *asked;
        let readers: Vec<_> = (0..asked.concurrency)
            .map(|number| tokio::spawn(read_share(to, Arc::clone(&head), asked, number)))
            .collect();
        let mut seen = Vec::with_capacity(asked.requests as usize);
        for reader in readers {
            seen.extend(reader.await.map_err(io::Error::other)??);
        }
        Ok(seen)
    })
}

/// Every `concurrency`-th request, from `number` on.
async fn read_share(
    to: SocketAddr,
    head: Arc<str>,
    asked: Asked,
    number: u32,
) -> io::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    if number >= asked.requests {
        return Ok(seen);
    }
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    for id in (number..asked.requests).step_by(asked.concurrency as usize) {
        let id = asked.first_id + id;
        let body = body(id, asked.tokens);
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        seen.push(read_one(&mut stream, &mut buffer, id, request.as_bytes()).await?);
    }
    Ok(seen)
}

async fn read_one(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    id: u32,
    request: &[u8],
) -> io::Result<Seen> {
    let sent = now();
    if stream.try_write(request)? != request.len() {
        return Err(io::Error::other("a request did not fit into an empty socket"));
    }
    let mut first = None;
    let mut tail = [0; LAST_BYTES.len()];
    while tail != *LAST_BYTES {
        let count = read(stream, buffer).await?;
        let at = now();
        let bytes = &buffer[..count];
        if first.is_none() && memchr::memmem::find(bytes, TEXT_MARK).is_some() {
            first = Some(at);
        }
        let kept = tail.len().min(count);
        tail.rotate_left(kept);
        let from = tail.len() - kept;
        tail[from..].copy_from_slice(&bytes[count - kept..]);
    }
    let first = first.ok_or_else(|| io::Error::other("an answer without a token"))?;
    Ok(Seen { id, sent, first, arrivals: Vec::new(), pull_lag: Nanos::ZERO, by_kernel: false })
}

/// At least one byte. Not `try_read`, which asks an emptied socket once more before it waits.
async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(buffer);
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await?;
    match buffer.filled().len() {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
