//! How is a profiler told when to look? The few functions of NVIDIA's driver that switch it, found at run time.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;

use libloading::Library;

/// The driver package installs this name.
const NAME: &str = "libcuda.so.1";

/// Why a profiler cannot be switched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// No library, or one without these functions.
    #[error("NVIDIA's driver library `{0}` cannot be used ({1})")]
    Library(String, String),
    /// A function refused.
    #[error("{0} failed with CUDA error {1}")]
    Call(&'static str, i32),
}

type Init = unsafe extern "C" fn(u32) -> c_int;
type DeviceGet = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
type Retain = unsafe extern "C" fn(*mut *mut std::ffi::c_void, c_int) -> c_int;
type SetCurrent = unsafe extern "C" fn(*mut std::ffi::c_void) -> c_int;
type Switch = unsafe extern "C" fn() -> c_int;

/// The driver, ready to switch a profiler that is attached to this process.
#[derive(Debug, Clone)]
pub struct ProfilerSwitch {
    library: Arc<Library>,
    start: Switch,
    stop: Switch,
}

impl ProfilerSwitch {
    /// Loads the driver's library, the system's own or the one that is named, and looks for its functions.
    ///
    /// # Errors
    /// When there is none, or it lacks a function.
    pub fn load(named: Option<&Path>) -> Result<Self, CudaError> {
        let path = named.unwrap_or(Path::new(NAME));
        let failed = |error: libloading::Error| {
            CudaError::Library(path.display().to_string(), error.to_string())
        };
        // SAFETY: the driver's own library, or one that the user vouches for; its initialisers run as in every CUDA program.
        let library = Arc::new(unsafe { Library::new(path) }.map_err(failed)?);
        // SAFETY: the signatures are those of the CUDA driver API, which keeps them for ever.
        let (start, stop) = unsafe {
            (
                *library.get::<Switch>(b"cuProfilerStart\0").map_err(failed)?,
                *library.get::<Switch>(b"cuProfilerStop\0").map_err(failed)?,
            )
        };
        Ok(Self { library, start, stop })
    }

    /// Makes the first visible GPU's context, which the engine uses too, that of this thread: the switch wants one.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn bind_to_this_thread(&self) -> Result<(), CudaError> {
        let missing =
            |error: libloading::Error| CudaError::Library(NAME.to_owned(), error.to_string());
        let mut device = 0;
        let mut context = std::ptr::null_mut();
        // SAFETY: signatures as above; both pointers are to locals that outlive the calls, and the context that is
        // retained is the process's own, which lives as long as it does.
        unsafe {
            let init = *self.library.get::<Init>(b"cuInit\0").map_err(missing)?;
            let get = *self.library.get::<DeviceGet>(b"cuDeviceGet\0").map_err(missing)?;
            let retain =
                *self.library.get::<Retain>(b"cuDevicePrimaryCtxRetain\0").map_err(missing)?;
            let set_current =
                *self.library.get::<SetCurrent>(b"cuCtxSetCurrent\0").map_err(missing)?;
            checked("cuInit", init(0))?;
            checked("cuDeviceGet", get(&raw mut device, 0))?;
            checked("cuDevicePrimaryCtxRetain", retain(&raw mut context, device))?;
            checked("cuCtxSetCurrent", set_current(context))
        }
    }

    /// From now on the profiler looks.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn start(&self) -> Result<(), CudaError> {
        // SAFETY: a function without arguments, of a library that `self` keeps loaded.
        checked("cuProfilerStart", unsafe { (self.start)() })
    }

    /// From now on it does not.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn stop(&self) -> Result<(), CudaError> {
        // SAFETY: as in `start`.
        checked("cuProfilerStop", unsafe { (self.stop)() })
    }
}

fn checked(name: &'static str, code: c_int) -> Result<(), CudaError> {
    if code == 0 { Ok(()) } else { Err(CudaError::Call(name, code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let error = ProfilerSwitch::load(Some(Path::new("/nowhere/libcuda.so"))).expect_err("none");
        assert!(error.to_string().contains("/nowhere/libcuda.so"), "{error}");
    }

    #[test]
    fn a_library_without_the_functions_is_refused() {
        let error = ProfilerSwitch::load(Some(Path::new("libc.so.6"))).expect_err("no driver");
        assert!(error.to_string().contains("cuProfilerStart"), "{error}");
    }
}
