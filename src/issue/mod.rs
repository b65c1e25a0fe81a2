//! Playing a plan: the issuer, phases, and the request to stop.

pub mod issuer;
pub mod phase;
pub mod stop;
