//! Peaks of this machine's GPUs, measured: memory, matrices, copies, launches; in builds with the feature `cuda`.
//!
//! The work lies in `ffi/gpu/`; how often it is repeated and what its times come to is decided here, in pure functions.

#[cfg(feature = "cuda")]
mod probe;
#[cfg(any(feature = "cuda", test))]
mod timing;

use std::path::Path;

use crate::ffi::cuda::CudaError;
use crate::specs::MeasuredGpu;

/// Why nothing could be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeaksError {
    /// The feature is off.
    #[error(
        "this build cannot measure a GPU: `--probe-gpu` needs the feature `cuda`, so build it with \
         `cargo build --release --features cuda` (`--features trtllm` has it too)"
    )]
    NotBuilt,
    /// There is no driver, or it lacks a function.
    #[error(
        "NVIDIA's driver library `libcuda.so.1` cannot be used ({0}): install a driver, start the container with \
         `--gpus all`, or put the library's folder into `LD_LIBRARY_PATH`"
    )]
    NoDriver(String),
    /// CUDA refuses.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// There is nothing to measure.
    #[error("CUDA shows no GPU to this process: `echo \"$CUDA_VISIBLE_DEVICES\"; nvidia-smi -L`")]
    NoGpu,
    /// The thread that watches clocks could not be started.
    #[error("clocks cannot be watched beside the measurement: {0}")]
    Watch(String),
}

/// Whether this build measures GPUs.
///
/// # Errors
/// With the feature that is missing.
pub const fn check() -> Result<(), PeaksError> {
    if cfg!(feature = "cuda") { Ok(()) } else { Err(PeaksError::NotBuilt) }
}

/// Measures every GPU that CUDA shows to this process, one after the other; less than 10 s in all. NVML, the system's own or the
/// named one, tells clocks meanwhile.
///
/// # Errors
/// When this build has no CUDA, or none of the GPUs can be opened.
#[cfg(feature = "cuda")]
pub fn measure(nvml_library: Option<&Path>) -> Result<Vec<MeasuredGpu>, PeaksError> {
    probe::measure(nvml_library)
}

/// The same without CUDA.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cuda"))]
pub fn measure(_nvml_library: Option<&Path>) -> Result<Vec<MeasuredGpu>, PeaksError> {
    Err(PeaksError::NotBuilt)
}
