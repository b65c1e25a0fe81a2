//! Draft-target speculative decoding with two executors, and rounds between them.

mod fit;
mod request;
mod session;

pub use fit::{NO_DRAFTS, Verifier, combined_limits};
pub use session::DraftedSession;
