//! Suite of the feature `trtllm`: the program on an installation of TensorRT-LLM that is made of our simulated executor.
//!
//! `tests/features.sh` makes the installation and starts these tests.

#[path = "../support/mod.rs"]
mod support;

mod first_hour;
mod installation;
mod probe_gpu;
mod ranks;
