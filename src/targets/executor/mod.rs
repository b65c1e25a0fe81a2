//! How is an executor driven, whichever library it comes from? Sessions over one of them or over two, and what it says of
//! itself.

mod answered;
mod asked;
mod drafted;
mod engines;
mod kv_events;
mod polling;
mod session;
mod statistics;

pub use asked::PerRequest;
pub(in crate::targets) use asked::sequences;
pub use drafted::{NO_DRAFTS, Verifier, go_together};
pub use engines::Engines;
