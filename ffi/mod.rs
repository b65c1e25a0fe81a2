//! The foreign function interface: the only unsafe code, and the only Rust that calls C, C++ or CUDA. See `README.md` beside
//! this file.
#![allow(unsafe_code, missing_docs)]

mod bridge;
pub mod cuda;
pub mod engine;
pub mod environment;
#[cfg(feature = "cuda")]
pub mod gpu;
pub mod nvtx;
pub mod signals;
pub mod triton;
