//! Suite of the features that no default build has: `trtllm` on an installation of TensorRT-LLM that is made of our simulated
//! executor, `parquet`, and `mpi`.
//!
//! `tests/features.sh` makes the installation and starts these tests: one build has all three, since each costs minutes.

#[path = "../support/mod.rs"]
mod support;

mod first_hour;
mod installation;
mod mpi;
mod parquet;
mod probe_gpu;
mod ranks;
