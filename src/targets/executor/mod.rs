//! Sessions over executors of any library: one alone or a draft and a target, with their statistics and KV cache
//! events.

mod drafted;
mod engines;
mod kv_events;
mod open_executors;
mod polling;
mod request;
mod response;
mod session;
mod statistics;

pub use drafted::{NO_DRAFTS, Verifier, combined_limits};
pub use engines::Engines;
pub use open_executors::{CLOSE_WITHIN, is_left_open};
pub use request::PerRequest;
pub(in crate::targets) use request::sequences;
