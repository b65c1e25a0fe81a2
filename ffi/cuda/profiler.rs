//! Start and stop of an attached profiler, through the driver, on a thread that has the GPU's context.

use std::ffi::{c_int, c_void};
use std::path::Path;

use super::{CudaError, Driver, checked};

type Retain = unsafe extern "C" fn(*mut *mut c_void, c_int) -> c_int;
type SetCurrent = unsafe extern "C" fn(*mut c_void) -> c_int;
type Switch = unsafe extern "C" fn() -> c_int;

/// The driver, ready to switch a profiler that is attached to this process.
#[derive(Debug, Clone)]
pub struct ProfilerSwitch {
    /// Keeps the library loaded, and so both functions.
    driver: Driver,
    start: Switch,
    stop: Switch,
}

impl ProfilerSwitch {
    /// Loads the driver's library, the system's own or the one that is named, and looks for its functions.
    ///
    /// # Errors
    /// When there is none, or it lacks a function.
    pub fn load(named: Option<&Path>) -> Result<Self, CudaError> {
        let driver = Driver::load(named)?;
        // SAFETY: both functions take nothing and return a code.
        let (start, stop) =
            unsafe { (driver.function(c"cuProfilerStart")?, driver.function(c"cuProfilerStop")?) };
        Ok(Self { driver, start, stop })
    }

    /// Makes the first visible GPU's context, which the engine uses too, that of this thread: the switch wants one.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn bind_to_this_thread(&self) -> Result<(), CudaError> {
        self.driver.initialise()?;
        let device = self.driver.handle(0)?;
        let mut context = std::ptr::null_mut();
        // SAFETY: the types are those of the driver API; the pointer is to a local that outlives the call, and the context
        // that is retained is the process's own, which lives as long as it does.
        unsafe {
            let retain = self.driver.function::<Retain>(c"cuDevicePrimaryCtxRetain")?;
            let set_current = self.driver.function::<SetCurrent>(c"cuCtxSetCurrent")?;
            checked("cuDevicePrimaryCtxRetain", retain(&raw mut context, device))?;
            checked("cuCtxSetCurrent", set_current(context))
        }
    }

    /// Starts the profiler.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn start(&self) -> Result<(), CudaError> {
        // SAFETY: a function without arguments, of a library that `self` keeps loaded.
        checked("cuProfilerStart", unsafe { (self.start)() })
    }

    /// Stops the profiler.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn stop(&self) -> Result<(), CudaError> {
        // SAFETY: as in `start`.
        checked("cuProfilerStop", unsafe { (self.stop)() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_without_the_functions_is_refused() {
        let error = ProfilerSwitch::load(Some(Path::new("libc.so.6"))).expect_err("no driver");
        assert!(error.to_string().contains("cuProfilerStart"), "{error}");
    }
}
