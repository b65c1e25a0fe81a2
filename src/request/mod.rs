//! Requests: id, specification, terms, limits, failure.

pub mod failure;
pub mod id;
pub mod limits;
pub mod spec;
pub mod terms;

pub use failure::{Failure, FailureKind};
pub use id::RequestId;
pub use limits::Limits;
