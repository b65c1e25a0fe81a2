//! THE LINE. The only unsafe code, and the only Rust that knows C++. See `README.md` beside this file.
#![allow(unsafe_code, missing_docs)]

mod bridge;
pub mod cuda;
pub mod engine;
pub mod nvtx;
pub mod triton;
