//! What did the GPUs do meanwhile? NVIDIA's management library, found at run time; a machine without it is no fault.
//!
//! Samples are taken on a thread of their own and kept raw (`gpu.jsonl`); what they come to over a window is a pure
//! function of them.

pub mod chosen;
pub mod energy;
pub mod known;
pub mod library;
pub mod over_window;
pub mod sample;
pub mod sampler;
pub mod state;
