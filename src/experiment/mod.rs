//! SEVERAL runs: what is asked at each point of load, one after another, on one opened target.

pub mod artefacts;
pub mod blocks;
pub mod calibrate;
pub mod comparison;
pub mod comparison_files;
mod engines;
mod gpu_watch;
pub mod interleave;
pub mod ladder;
mod machine;
pub mod manifest;
pub mod phase;
pub mod preflight;
pub mod rig;
pub mod scribes;
pub mod served_child;
pub mod stored;
pub mod sweep;
