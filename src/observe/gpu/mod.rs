//! GPU telemetry through NVIDIA's management library (NVML), loaded at run time where present.
//!
//! Samples are taken on a thread of their own and kept raw (`gpu.jsonl`); what they come to over a window is a pure
//! function of them.

pub mod chosen;
pub mod energy;
pub mod known;
pub mod library;
pub mod over_window;
pub mod peaks;
pub mod sample;
pub mod sampler;
pub mod state;
