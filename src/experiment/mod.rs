//! SEVERAL runs: what is asked at each point of load, one after another, on one opened target.

pub mod artefacts;
pub mod calibrate;
mod gpu_watch;
pub mod manifest;
pub mod phase;
pub mod preflight;
pub mod rig;
pub mod sweep;
