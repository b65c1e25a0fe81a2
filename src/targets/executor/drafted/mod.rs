//! How is a target engine driven together with an engine that drafts for it? Two executors, and rounds between them.

mod fit;
mod request;
mod session;

pub use fit::{NO_DRAFTS, Verifier, go_together};
pub use session::DraftedSession;
