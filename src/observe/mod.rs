//! Observation during a run: harness, host, GPUs, statistics of the engine.

pub mod collector;
pub mod gpu;
pub mod health;
pub mod host;
pub mod iterations;
pub mod kv_events;
pub mod long_waits;
pub mod probe;
pub mod process;
pub mod profiler;
pub mod server_metrics;
