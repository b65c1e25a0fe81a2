//! Experiments: preflight, calibration, sweeps, searches, comparisons and ladders.

pub mod artefacts;
pub mod between;
pub mod blocks;
pub mod calibrate;
pub mod cells;
mod client_rate;
pub mod collectors;
pub mod comparison_files;
mod early_end;
mod engines;
pub mod estimate;
mod gpu_watch;
pub mod interleave;
pub mod interrupt;
pub mod listening_log;
mod machine;
pub mod open_files;
pub mod point_runner;
pub mod preflight;
pub mod search;
pub mod served_child;
pub mod stored;
pub mod sweep;
pub mod tally;
pub mod warm_up;
mod workload_file;
