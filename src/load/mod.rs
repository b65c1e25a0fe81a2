//! WHEN it is asked: arrival processes, the plan, the issuer, and the gate that closes the loop.

pub mod plan;
