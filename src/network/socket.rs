//! HOT PATH. TCP socket whose reads carry the kernel's receive stamp: `recvmsg` below every protocol.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, TimestampingFlag, recv, recvmsg, setsockopt, sockopt,
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::now;
use crate::network::stamp::LastRead;

/// Room for one `SCM_TIMESTAMPING` message (64 bytes), aligned as the kernel's headers are.
#[repr(align(16))]
struct Control([u8; 128]);

/// A TCP connection that notes the arrival of every read in its [`LastRead`].
#[derive(Debug)]
pub struct StampedSocket {
    stream: TcpStream,
    last: Arc<LastRead>,
    /// Hand out one read per poll, so that the consumer of the bytes runs before the next read moves the stamp.
    one_read_per_poll: bool,
    has_read: bool,
}

impl StampedSocket {
    /// Connects with `TCP_NODELAY` and asks the kernel for receive stamps.
    ///
    /// # Errors
    /// The system's error. A kernel that takes no stamps is no error: reads then carry our own stamps.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let _stamped_by_ourselves_where_refused = ask_for_kernel_stamps(&stream);
        let last = Arc::new(LastRead::default());
        Ok(Self { stream, last, one_read_per_poll: false, has_read: false })
    }

    /// For protocols that carry several answers at once: at most one read each time the connection is polled.
    pub fn read_once_per_poll(&mut self) {
        self.one_read_per_poll = true;
    }

    /// The stamp of the latest read.
    pub fn last_read(&self) -> &Arc<LastRead> {
        &self.last
    }

    /// Reads what is there into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// The system's error.
    #[inline]
    pub fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let mut received = None;
            let tried = self.stream.try_io(Interest::READABLE, || {
                let count = self.receive(buffer)?;
                received = Some(count);
                if count > 0 && count < buffer.len() {
                    // A short read emptied the socket. Saying so here saves the second system call that would only
                    // have found it empty; the end of the stream stays ready all the same.
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match (received, tried) {
                (Some(count), _) => return Poll::Ready(Ok(count)),
                (None, Err(error)) if is_passing(&error) => {}
                (None, Err(error)) => return Poll::Ready(Err(error)),
                (None, Ok(())) => {}
            }
        }
    }

    #[inline]
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut control = Control([0; 128]);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let fd = self.stream.as_raw_fd();
        let message = recvmsg::<()>(fd, &mut parts, Some(&mut control.0), flags)?;
        let seen = now();
        let mut wall = None;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmTimestampsns(stamps) = part {
                let at = stamps.system.tv_sec() * 1_000_000_000 + stamps.system.tv_nsec();
                wall = (at != 0).then_some(at);
            }
        }
        self.last.note(wall, seen);
        Ok(message.bytes)
    }

    /// Whether an idle connection can carry another request: open, and nothing unasked-for has arrived.
    pub fn is_quiet(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.stream.as_raw_fd(), &mut [0_u8], flags) == Err(Errno::EWOULDBLOCK)
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Asks for the kernel's receive stamps.
///
/// # Errors
/// When the system does not know them.
fn ask_for_kernel_stamps(stream: &impl AsFd) -> io::Result<()> {
    let wanted = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
    setsockopt(stream, sockopt::Timestamping, &wanted).map_err(io::Error::from)
}

impl AsyncRead for StampedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.one_read_per_poll && std::mem::take(&mut self.has_read) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let unfilled = buffer.initialize_unfilled();
        let count = ready!(self.poll_receive(cx, unfilled))?;
        buffer.advance(count);
        self.has_read = true;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StampedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Keeps the kernel's receive stamps switched on, and knows whether they work.
///
/// The kernel stamps packets only while some socket asks for it, and switches it on with a delay: without a keeper
/// the first bytes of a session would come without a stamp.
#[derive(Debug)]
pub struct StampKeeper {
    _asking: Option<std::net::TcpStream>,
    works: bool,
}

impl StampKeeper {
    /// Tries on loopback whether the kernel stamps what arrives.
    pub fn start() -> Self {
        match Self::try_on_loopback() {
            Ok((asking, works)) => Self { _asking: Some(asking), works },
            Err(_no_loopback_or_no_such_option) => Self { _asking: None, works: false },
        }
    }

    /// Whether reads will carry the kernel's stamps.
    pub fn works(&self) -> bool {
        self.works
    }

    fn try_on_loopback() -> io::Result<(std::net::TcpStream, bool)> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let reader = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (mut writer, _) = listener.accept()?;
        ask_for_kernel_stamps(&reader)?;
        for _ in 0..50 {
            writer.write_all(b".")?;
            if Self::read_one_is_stamped(&reader)? {
                return Ok((reader, true));
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok((reader, false))
    }

    fn read_one_is_stamped(reader: &std::net::TcpStream) -> io::Result<bool> {
        let mut control = Control([0; 128]);
        let mut byte = [0_u8];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let fd = reader.as_raw_fd();
        let message = recvmsg::<()>(fd, &mut parts, Some(&mut control.0), MsgFlags::empty())?;
        Ok(message.cmsgs()?.any(|part| matches!(part, ControlMessageOwned::ScmTimestampsns(_))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Nanos, sleep};
    use crate::record::request_record::StampSource;

    async fn read_late(late: Nanos) -> (crate::clock::MonoNs, Arc<LastRead>, usize) {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let socket = StampedSocket::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"token").unwrap();
        let sent = now();
        sleep(late);
        let mut bytes = [0_u8; 64];
        let count = std::future::poll_fn(|cx| socket.poll_receive(cx, &mut bytes)).await.unwrap();
        (sent, Arc::clone(socket.last_read()), count)
    }

    #[test]
    fn bytes_read_late_carry_the_instant_of_their_arrival() {
        let keeper = StampKeeper::start();
        let late = Nanos::from_millis(200);
        let read = move || async move { read_late(late).await };
        let (sent, last, count) =
            crate::network::thread::wait_for(crate::threads::other("late"), read).unwrap();
        assert_eq!(count, 5);
        let stamp = last.get();
        if keeper.works() {
            assert_eq!(stamp.source, StampSource::Kernel);
            // Nearer to the write than to the read, however long a busy machine took over it.
            assert!(i64::from(stamp.lag_ns) > late.0 / 2, "{stamp:?}");
            assert!((stamp.at - sent).0 < late.0 / 2, "{stamp:?}");
        } else {
            assert_eq!((stamp.source, stamp.lag_ns), (StampSource::User, 0));
        }
    }
}
