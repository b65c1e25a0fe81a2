//! Link between the process that leads a load and one of its workers: whole frames, in order, both ways.
//!
//! A frame is its length in 4 bytes (little-endian), its kind in one, and its content. Whatever can carry frames can carry a
//! load: sockets do here.

use std::io::{self, Read, Write};

/// The end that sends.
pub trait Outbox: Send {
    /// Sends a frame.
    ///
    /// # Errors
    /// When the other side is gone.
    fn send(&mut self, kind: u8, content: &[u8]) -> io::Result<()>;
}

/// The end that receives.
pub trait Inbox: Send {
    /// Waits for a frame and puts its content into `content`; returns its kind.
    ///
    /// # Errors
    /// When the other side is gone.
    fn receive(&mut self, content: &mut Vec<u8>) -> io::Result<u8>;
}

/// Both ends.
pub struct Link {
    /// To the other side.
    pub outbox: Box<dyn Outbox>,
    /// From it.
    pub inbox: Box<dyn Inbox>,
}

/// Longer frames are none of ours.
const MOST_BYTES: u32 = 1 << 30;

/// Frames over a stream of bytes.
struct Stream<S>(S);

impl<S: Write + Send> Outbox for Stream<S> {
    fn send(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        let mut head = [0; 5];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4] = kind;
        self.0.write_all(&head)?;
        self.0.write_all(content)?;
        self.0.flush()
    }
}

impl<S: Read + Send> Inbox for Stream<S> {
    fn receive(&mut self, content: &mut Vec<u8>) -> io::Result<u8> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let [l0, l1, l2, l3, kind] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length > MOST_BYTES {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        content.resize(length as usize, 0);
        self.0.read_exact(content)?;
        Ok(kind)
    }
}

impl Link {
    /// Over two ends of a stream.
    pub fn over(reads: impl Read + Send + 'static, writes: impl Write + Send + 'static) -> Self {
        Self { outbox: Box::new(Stream(writes)), inbox: Box::new(Stream(reads)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn frames_arrive_whole_and_in_order_and_an_end_is_an_error() {
        let (here, there) = UnixStream::pair().expect("sockets");
        let mut link = Link::over(there.try_clone().expect("a socket"), there);
        // A link that is dropped in parts would hold its socket open.
        let Link { mut outbox, inbox } = Link::over(here.try_clone().expect("a socket"), here);
        drop(inbox);
        let long = vec![7; 300_000];
        let sent = long.clone();
        let thread = std::thread::spawn(move || {
            outbox.send(1, b"").expect("it is read");
            outbox.send(2, &sent).expect("it is read");
        });
        let mut content = vec![1];
        assert_eq!(link.inbox.receive(&mut content).expect("a frame"), 1);
        assert!(content.is_empty());
        assert_eq!(link.inbox.receive(&mut content).expect("a frame"), 2);
        assert_eq!(content, long);
        thread.join().expect("it sent");
        assert!(link.inbox.receive(&mut content).is_err());
    }
}
