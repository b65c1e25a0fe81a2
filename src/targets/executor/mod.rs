//! Sessions over executors of any library: one alone or a draft and a target, with their statistics and KV cache
//! events.

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
