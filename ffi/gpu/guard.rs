//! Presence of CUDA's libraries and of each function that is called in them: cudarc panics where one is missing.

use std::ffi::c_int;
use std::sync::OnceLock;

use cudarc::driver::sys::{self, CUevent};
use libloading::Library;

use crate::ffi::cuda::CudaError;

/// Functions of the driver that are called here, by cudarc or directly.
pub(super) const DRIVER: [&str; 35] = [
    "cuInit",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetUuid_v2",
    "cuDeviceTotalMem_v2",
    "cuDeviceGetAttribute",
    "cuDeviceCanAccessPeer",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuCtxEnablePeerAccess",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventSynchronize",
    ELAPSED,
    "cuEventDestroy_v2",
    "cuMemGetInfo_v2",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyPeerAsync",
    "cuModuleLoadData",
    "cuModuleGetFunction",
    "cuModuleUnload",
    "cuLaunchKernel",
];

/// Functions of cuBLASLt that are called here, by cudarc.
pub(super) const MATRICES: [&str; 12] = [
    "cublasLtCreate",
    "cublasLtDestroy",
    "cublasLtMatrixLayoutCreate",
    "cublasLtMatrixLayoutDestroy",
    "cublasLtMatmulDescCreate",
    "cublasLtMatmulDescSetAttribute",
    "cublasLtMatmulDescDestroy",
    "cublasLtMatmulPreferenceCreate",
    "cublasLtMatmulPreferenceSetAttribute",
    "cublasLtMatmulPreferenceDestroy",
    "cublasLtMatmulAlgoGetHeuristic",
    "cublasLtMatmul",
];

/// Of this function every driver has the first form; cudarc calls the second, which drivers before CUDA 12.8 lack.
const ELAPSED: &str = "cuEventElapsedTime";

/// The driver's library is there, under a name by which cudarc finds it, with all functions.
///
/// # Errors
/// With what is missing.
pub(super) fn driver() -> Result<(), CudaError> {
    static FOUND: OnceLock<Result<(), CudaError>> = OnceLock::new();
    let lacking = |why| CudaError::Library("libcuda.so.1".into(), why);
    FOUND.get_or_init(|| present(&["cuda", "nvcuda"], &DRIVER).map_err(lacking)).clone()
}

/// The same for cuBLASLt.
///
/// # Errors
/// With what is missing.
pub(super) fn matrices() -> Result<(), CudaError> {
    static FOUND: OnceLock<Result<(), CudaError>> = OnceLock::new();
    FOUND.get_or_init(|| present(&["cublasLt"], &MATRICES).map_err(CudaError::NoMatrices)).clone()
}

/// Looks where cudarc will look, in its order: the first library that loads must have every function.
fn present(stems: &[&str], functions: &[&str]) -> Result<(), String> {
    let mut first_error = None;
    for name in stems.iter().flat_map(|stem| cudarc::get_lib_name_candidates(stem)) {
        // SAFETY: the driver's own libraries, whose initialisers run as in every CUDA program.
        match unsafe { Library::new(&name) } {
            Ok(library) => return complete(library, &name, functions),
            Err(error) => first_error = first_error.or(Some(error.to_string())),
        }
    }
    Err(first_error.unwrap_or_else(|| "there is no name to look for".to_owned()))
}

fn complete(library: Library, name: &str, functions: &[&str]) -> Result<(), String> {
    let lacks = |function: &&&str| {
        // SAFETY: it is only asked for and not called.
        unsafe { library.get::<unsafe extern "C" fn()>(function.as_bytes()) }.is_err()
    };
    let missing: Vec<&str> = functions.iter().filter(lacks).copied().collect();
    // It stays loaded, so that cudarc finds this very one.
    std::mem::forget(library);
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("`{name}` lacks {}", missing.join(", ")))
}

/// Milliseconds between two events that have both happened.
///
/// # Errors
/// When the driver refuses.
pub(super) fn elapsed_ms(from: CUevent, to: CUevent) -> Result<f64, CudaError> {
    type Elapsed = unsafe extern "C" fn(*mut f32, CUevent, CUevent) -> c_int;
    driver()?;
    let mut ms = 0_f32;
    // SAFETY: the library is there, as was just seen; the type is `cuEventElapsedTime`'s, which writes one number.
    let code = unsafe {
        let found = sys::culib().get::<Elapsed>(ELAPSED.as_bytes());
        let elapsed =
            found.map_err(|error| CudaError::Library("libcuda.so.1".into(), error.to_string()))?;
        elapsed(&raw mut ms, from, to)
    };
    if code == 0 { Ok(f64::from(ms)) } else { Err(CudaError::Call(ELAPSED, code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_an_error_and_no_panic() {
        let error = present(&["bareflight-no-such-library"], &["f"]).expect_err("none");
        assert!(error.contains("bareflight-no-such-library"), "{error}");
    }

    #[test]
    fn a_function_that_a_library_lacks_is_named() {
        // SAFETY: the C library, which this process has loaded already.
        let libc = unsafe { Library::new("libc.so.6") }.expect("every system has one");
        let error = complete(libc, "libc.so.6", &["malloc", "cuInit"]).expect_err("no driver");
        assert_eq!(error, "`libc.so.6` lacks cuInit");
    }
}
