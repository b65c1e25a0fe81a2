//! Playing a plan: drawing ahead, the issuer, phases, and the request to stop.

pub mod conversations;
pub mod drawing;
pub mod issuer;
pub mod live_phase;
pub mod pace;
pub mod phase;
pub mod shots;
pub mod stop;
pub mod workers;
