//! NVIDIA's driver library, found at run time; each function is looked up when it is needed.

mod devices;
mod profiler;

use std::ffi::{CStr, c_int};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libloading::Library;

#[cfg(feature = "cuda")]
pub(super) use devices::written;
pub use devices::{Device, DeviceMemory};
pub use profiler::ProfilerSwitch;

/// The driver package installs this name.
const NAME: &str = "libcuda.so.1";

/// Error of the driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// No library, or one without a function.
    #[error(
        "NVIDIA's driver library `{0}` cannot be used ({1}): install the driver, start a container with `--gpus all`, \
         or name the library with `--cuda-library`"
    )]
    Library(String, String),
    /// A function refused.
    #[error("{0} failed with CUDA error {1}: {remedy}", remedy = remedy(*.1))]
    Call(&'static str, i32),
    /// No cuBLASLt, or one without a function.
    #[error(
        "cuBLASLt cannot be used ({0}): install CUDA's libraries, or put the folder of `libcublasLt.so` into \
         `LD_LIBRARY_PATH`"
    )]
    NoMatrices(String),
    /// A function of cuBLASLt refused.
    #[error("{0} failed with cuBLAS status {1}")]
    Matrices(&'static str, i32),
    /// cuBLASLt does not multiply such matrices on this GPU.
    #[error("cuBLASLt does not multiply such matrices on this GPU")]
    NoSuchMatrices,
}

/// What to do about a code of the driver: those of a machine that is not set up have a cause each.
const fn remedy(code: i32) -> &'static str {
    match code {
        34 => {
            "a toolkit's stub was loaded in place of the driver's library: take the folder `stubs` out of `LD_LIBRARY_PATH`"
        }
        100 => {
            "no GPU is shown: start a container with `--gpus all`, and look at `CUDA_VISIBLE_DEVICES`"
        }
        802 => {
            "the GPUs' NVLink fabric is not ready: `systemctl status nvidia-fabricmanager` on the host, whose version must be \
             the driver's"
        }
        803 | 804 => {
            "the driver is older than this CUDA: install a newer one, or take an older container"
        }
        _ => "`nvidia-smi` says how the driver is",
    }
}

/// Every GPU that the process may see, by the library that is named, else by the system's. No context is made.
///
/// # Errors
/// When there is no library, or the driver refuses.
pub fn visible_devices(library: Option<&Path>) -> Result<Vec<Device>, CudaError> {
    #[cfg(feature = "cuda")]
    if library.is_none() {
        return super::gpu::devices();
    }
    Driver::load(library)?.devices()
}

/// Free memory of one of them.
///
/// # Errors
/// When there is no library, or the driver refuses, as it does where not even a context has room.
pub fn device_memory(library: Option<&Path>, ordinal: u32) -> Result<DeviceMemory, CudaError> {
    #[cfg(feature = "cuda")]
    if library.is_none() {
        return super::gpu::memory(ordinal);
    }
    Driver::load(library)?.memory(ordinal)
}

/// The driver's library, loaded. A clone is another handle on the same one.
#[derive(Debug, Clone)]
pub struct Driver {
    library: Arc<Library>,
    path: PathBuf,
}

impl Driver {
    /// Loads the library, the system's own or the one that is named. No function is called yet.
    ///
    /// # Errors
    /// When there is none.
    pub fn load(named: Option<&Path>) -> Result<Self, CudaError> {
        let path = named.unwrap_or(Path::new(NAME));
        // SAFETY: the driver's own library, or one that the user vouches for; its initialisers run as in every CUDA program.
        let library = unsafe { Library::new(path) }
            .map_err(|error| CudaError::Library(path.display().to_string(), error.to_string()))?;
        Ok(Self { library: Arc::new(library), path: path.to_owned() })
    }

    /// One of its functions.
    ///
    /// # Errors
    /// When the library does not have it.
    ///
    /// # Safety
    /// `F` must be the type of the function of that name, which the driver API keeps for ever.
    unsafe fn function<F: Copy>(&self, name: &CStr) -> Result<F, CudaError> {
        // SAFETY: what the caller promises.
        let found = unsafe { self.library.get::<F>(name.to_bytes_with_nul()) };
        found
            .map(|function| *function)
            .map_err(|error| CudaError::Library(self.path.display().to_string(), error.to_string()))
    }

    /// Makes the driver ready; repeated calls have no effect.
    fn initialise(&self) -> Result<(), CudaError> {
        type Init = unsafe extern "C" fn(u32) -> c_int;
        // SAFETY: the type is `cuInit`'s, and 0 is the only value that it takes.
        unsafe { checked("cuInit", self.function::<Init>(c"cuInit")?(0)) }
    }

    /// A GPU's handle, by its place among those that the process may see.
    fn handle(&self, ordinal: u32) -> Result<c_int, CudaError> {
        type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
        let mut device = 0;
        // SAFETY: the type is `cuDeviceGet`'s, which writes one whole number.
        unsafe {
            let get = self.function::<Get>(c"cuDeviceGet")?;
            checked("cuDeviceGet", get(&raw mut device, ordinal as c_int))?;
        }
        Ok(device)
    }
}

fn checked(name: &'static str, code: c_int) -> Result<(), CudaError> {
    if code == 0 { Ok(()) } else { Err(CudaError::Call(name, code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_a_machine_that_is_not_set_up_has_a_remedy_of_its_own() {
        for (code, named) in [
            (34, "LD_LIBRARY_PATH"),
            (100, "--gpus all"),
            (802, "nvidia-fabricmanager"),
            (803, "driver is older"),
            (999, "nvidia-smi"),
        ] {
            let message = CudaError::Call("cuInit", code).to_string();
            assert!(message.contains(named) && message.contains(&code.to_string()), "{message}");
        }
    }

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let error = Driver::load(Some(Path::new("/nowhere/libcuda.so"))).expect_err("none");
        let message = error.to_string();
        assert!(
            message.contains("/nowhere/libcuda.so") && message.contains("--cuda-library"),
            "{message}"
        );
    }

    #[test]
    fn a_function_that_the_library_lacks_is_named() {
        let libc = Driver::load(Some(Path::new("libc.so.6"))).expect("every system has one");
        let error = libc.devices().expect_err("no driver").to_string();
        assert!(error.contains("libc.so.6") && error.contains("cuInit"), "{error}");
    }
}
