//! What do targets across a network share? Threads, sockets with kernel receive stamps, TLS, and kept secrets.
//!
//! Nothing here knows a protocol above TLS: an HTTP or gRPC client of any kind sits on [`connect::Stream`], and
//! asks [`stamp::LastRead`] when the bytes it was just given had arrived.

pub mod connect;
pub mod secret;
pub mod socket;
pub mod stamp;
pub mod thread;
pub mod tls;
