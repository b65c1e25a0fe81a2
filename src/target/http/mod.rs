//! What do servers over HTTP have in common, whatever they serve? The events of a stream, and what a refusal says.

pub mod refusal;
pub mod sse;
