//! Networking that served targets share: threads, sockets with kernel receive stamps, TLS, secrets, and server-sent
//! events.
//!
//! Nothing here knows a protocol above TLS: an HTTP or gRPC client of any kind sits on [`stream::Stream`], and
//! asks [`stamp::LastRead`] when the bytes it was just given had arrived.

pub mod base64;
pub mod connect;
pub mod plain_get;
pub mod proxy;
pub mod refusal;
pub mod secret;
pub mod socket;
pub mod sse;
pub mod stamp;
pub mod stream;
pub mod thread;
pub mod tls;
pub mod unprocessed;
