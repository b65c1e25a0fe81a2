//! A real Triton server, from the wheel `nvidia-pytriton`.

use std::path::PathBuf;

use crate::python::{Script, environment};

/// A Triton that runs for as long as this process.
pub struct RealTriton {
    pub grpc: String,
    pub http: String,
    /// Requests whose cancellation the model has seen, one id a line.
    pub cancelled: PathBuf,
    _script: Script,
}

/// Lays out models and runs a server on them.
pub const SCRIPT: &str = "tests/network/triton_python/serve.py";

/// The interpreter of an environment that holds Triton.
pub fn python_with_triton() -> PathBuf {
    environment("triton")
}

impl RealTriton {
    /// Starts one whose models answer with this timing.
    pub fn start(ttft_ms: u32, itl_ms: u32) -> Self {
        let python = python_with_triton();
        let (ttft, itl) = (ttft_ms.to_string(), itl_ms.to_string());
        let script = Script::start(&python, SCRIPT, &["--ttft-ms", &ttft, "--itl-ms", &itl]);
        Self {
            grpc: script.field("grpc"),
            http: script.field("http"),
            cancelled: script.field("cancelled").into(),
            _script: script,
        }
    }
}
