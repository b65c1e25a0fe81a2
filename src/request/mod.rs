//! Requests: id, specification, terms, prepared form, limits, failure.

pub mod exchange;
pub mod failure;
pub mod id;
pub mod limits;
pub mod prepared;
pub mod spec;
pub mod terms;

pub use failure::{Failure, FailureKind};
pub use id::RequestId;
pub use limits::Limits;
pub use prepared::Prepared;
