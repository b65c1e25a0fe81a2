//! A server that writes HTTP/2 frame by frame, for what a library does not do of itself: it refuses streams, or goes away.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// Its stream is refused.
    Refused,
    /// The connection goes away, and the last stream that it looked at was the one before.
    GoesAway,
    /// The same, and this stream was looked at.
    LookedAtAndGone,
}

/// A running server, and how many requests have reached it.
pub struct FrameServer {
    pub address: SocketAddr,
    pub requests: Arc<AtomicUsize>,
}

/// Decides on each request, by its number from 0; an answer is a head with `head` as its fields and these bytes.
pub fn start(
    head: &'static [u8],
    body: Vec<u8>,
    fate: impl Fn(usize) -> Fate + Send + Sync + 'static,
) -> FrameServer {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let requests = Arc::new(AtomicUsize::new(0));
    let (count, fate) = (Arc::clone(&requests), Arc::new(fate));
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (count, fate, body) = (Arc::clone(&count), Arc::clone(&fate), body.clone());
            // A client that has gone is no fault of the test's.
            thread::spawn(move || serve(socket, head, &body, &count, &*fate));
        }
    });
    FrameServer { address, requests }
}

fn serve(
    mut socket: TcpStream,
    head: &[u8],
    body: &[u8],
    count: &AtomicUsize,
    fate: &dyn Fn(usize) -> Fate,
) -> std::io::Result<()> {
    socket.read_exact(&mut [0; PREFACE])?;
    write_frame(&mut socket, SETTINGS, 0, 0, &[])?;
    let mut fates = HashMap::new();
    loop {
        let mut begin = [0; 9];
        socket.read_exact(&mut begin)?;
        let length = u32::from_be_bytes([0, begin[0], begin[1], begin[2]]);
        let (kind, flags) = (begin[3], begin[4]);
        let stream = u32::from_be_bytes([begin[5], begin[6], begin[7], begin[8]]);
        let mut content = vec![0; length as usize];
        socket.read_exact(&mut content)?;
        if kind == SETTINGS && flags & ACK == 0 {
            write_frame(&mut socket, SETTINGS, ACK, 0, &[])?;
        }
        if kind == HEADERS {
            fates.insert(stream, fate(count.fetch_add(1, Ordering::SeqCst)));
        }
        let Some(fate) = fates.get(&stream).filter(|_| flags & END_STREAM != 0) else { continue };
        match fate {
            Fate::Answered => {
                write_frame(&mut socket, HEADERS, END_HEADERS, stream, head)?;
                write_frame(&mut socket, DATA, END_STREAM, stream, body)?;
            }
            Fate::Refused => {
                write_frame(&mut socket, RESET, 0, stream, &REFUSED_STREAM.to_be_bytes())?;
            }
            Fate::GoesAway => return go_away(socket, stream.saturating_sub(2)),
            Fate::LookedAtAndGone => return go_away(socket, stream),
        }
    }
}

/// Names the last stream that was looked at, and reads what is on its way, so that nothing is reset.
fn go_away(mut socket: TcpStream, last: u32) -> std::io::Result<()> {
    write_frame(&mut socket, GO_AWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())?;
    socket.shutdown(std::net::Shutdown::Write)?;
    std::io::copy(&mut socket, &mut std::io::sink()).map(drop)
}

fn write_frame(
    socket: &mut TcpStream,
    kind: u8,
    flags: u8,
    stream: u32,
    content: &[u8],
) -> std::io::Result<()> {
    let mut frame = (content.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(content);
    socket.write_all(&frame)
}
