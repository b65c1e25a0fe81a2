//! GPUs that CUDA shows to this process, and their free memory.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Write as _;

use super::{CudaError, Driver, checked};

type Count = unsafe extern "C" fn(*mut c_int) -> c_int;
type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
type Uuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int;
type TotalMemory = unsafe extern "C" fn(*mut usize, c_int) -> c_int;
type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
type Retain = unsafe extern "C" fn(*mut *mut c_void, c_int) -> c_int;
type Release = unsafe extern "C" fn(c_int) -> c_int;
type Push = unsafe extern "C" fn(*mut c_void) -> c_int;
type Pop = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
type MemoryInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> c_int;

/// `CU_DEVICE_ATTRIBUTE_…`.
const MULTIPROCESSORS: c_int = 16;
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;

/// A GPU as CUDA shows it: what `CUDA_VISIBLE_DEVICES` hides is not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its place among those that the process may see.
    pub ordinal: u32,
    /// As the management library writes it: `GPU-…`.
    pub uuid: String,
    /// Its product name.
    pub name: String,
    /// Memory in all.
    pub memory_bytes: u64,
    /// Its architecture, as `9.0`.
    pub compute_capability: String,
    /// How many multiprocessors it has.
    pub multiprocessors: u32,
}

/// Memory of a GPU at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Free for new allocations.
    pub free_bytes: u64,
    /// Total.
    pub total_bytes: u64,
}

impl Driver {
    /// Every GPU that the process may see. No context is made.
    ///
    /// # Errors
    /// When the driver refuses, as it does where there is no GPU.
    pub fn devices(&self) -> Result<Vec<Device>, CudaError> {
        self.initialise()?;
        let mut count = 0;
        // SAFETY: the type is `cuDeviceGetCount`'s, which writes one whole number.
        unsafe {
            let get = self.function::<Count>(c"cuDeviceGetCount")?;
            checked("cuDeviceGetCount", get(&raw mut count))?;
        }
        (0..count.unsigned_abs()).map(|ordinal| self.device(ordinal)).collect()
    }

    fn device(&self, ordinal: u32) -> Result<Device, CudaError> {
        const LENGTH: usize = 256;
        let handle = self.handle(ordinal)?;
        let (mut name, mut uuid, mut bytes) = ([0_u8; LENGTH], [0_u8; 16], 0_usize);
        // SAFETY: the types are those of the driver API; every pointer is to a local that is of the stated length, and a
        // `CUuuid` is sixteen bytes.
        unsafe {
            let get_name = self.function::<Name>(c"cuDeviceGetName")?;
            let get_uuid = self.function::<Uuid>(c"cuDeviceGetUuid_v2")?;
            let get_memory = self.function::<TotalMemory>(c"cuDeviceTotalMem_v2")?;
            let into = name.as_mut_ptr().cast::<c_char>();
            checked("cuDeviceGetName", get_name(into, LENGTH as c_int, handle))?;
            checked("cuDeviceGetUuid", get_uuid(&raw mut uuid, handle))?;
            checked("cuDeviceTotalMem", get_memory(&raw mut bytes, handle))?;
        }
        let attribute = |which| self.attribute(which, handle);
        let (major, minor) = (attribute(CAPABILITY_MAJOR)?, attribute(CAPABILITY_MINOR)?);
        Ok(Device {
            ordinal,
            uuid: written(uuid),
            name: CStr::from_bytes_until_nul(&name)
                .map_or_else(|_| "unnamed GPU".to_owned(), |it| it.to_string_lossy().into_owned()),
            memory_bytes: bytes as u64,
            compute_capability: format!("{major}.{minor}"),
            multiprocessors: attribute(MULTIPROCESSORS)?.unsigned_abs(),
        })
    }

    fn attribute(&self, which: c_int, handle: c_int) -> Result<c_int, CudaError> {
        let mut value = 0;
        // SAFETY: the type is `cuDeviceGetAttribute`'s, which writes one whole number.
        unsafe {
            let get = self.function::<Attribute>(c"cuDeviceGetAttribute")?;
            checked("cuDeviceGetAttribute", get(&raw mut value, which, handle))?;
        }
        Ok(value)
    }

    /// Free memory of a GPU. That needs a context: one is made for the query, unless there is one.
    ///
    /// # Errors
    /// When the driver refuses, as it does where not even a context has room.
    pub fn memory(&self, ordinal: u32) -> Result<DeviceMemory, CudaError> {
        self.initialise()?;
        let context = Context::make_current(self, self.handle(ordinal)?)?;
        let (mut free, mut total) = (0_usize, 0_usize);
        // SAFETY: the type is `cuMemGetInfo`'s, which writes two sizes for the context that is this thread's now.
        unsafe {
            let get = self.function::<MemoryInfo>(c"cuMemGetInfo_v2")?;
            checked("cuMemGetInfo", get(&raw mut free, &raw mut total))?;
        }
        context.leave()?;
        Ok(DeviceMemory { free_bytes: free as u64, total_bytes: total as u64 })
    }
}

/// A GPU's own context while it is this thread's; given back in any case.
struct Context<'a> {
    driver: &'a Driver,
    /// `None` once it was given back.
    device: Option<c_int>,
    is_current: bool,
}

impl<'a> Context<'a> {
    fn make_current(driver: &'a Driver, device: c_int) -> Result<Self, CudaError> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: the types are those of the driver API; the pointer is to a local that outlives the call.
        unsafe {
            let retain = driver.function::<Retain>(c"cuDevicePrimaryCtxRetain")?;
            let push = driver.function::<Push>(c"cuCtxPushCurrent_v2")?;
            checked("cuDevicePrimaryCtxRetain", retain(&raw mut raw, device))?;
            let mut context = Self { driver, device: Some(device), is_current: false };
            checked("cuCtxPushCurrent", push(raw))?;
            context.is_current = true;
            Ok(context)
        }
    }

    /// Gives it back, and says where that failed.
    fn leave(mut self) -> Result<(), CudaError> {
        self.give_back()
    }

    fn give_back(&mut self) -> Result<(), CudaError> {
        let mut popped = std::ptr::null_mut();
        // SAFETY: the types are those of the driver API. What was pushed and retained once is popped and released once:
        // `leave` and `drop` both come here, and the second finds nothing left to do.
        unsafe {
            if std::mem::take(&mut self.is_current) {
                let pop = self.driver.function::<Pop>(c"cuCtxPopCurrent_v2")?;
                checked("cuCtxPopCurrent", pop(&raw mut popped))?;
            }
            if let Some(device) = self.device.take() {
                let release = self.driver.function::<Release>(c"cuDevicePrimaryCtxRelease_v2")?;
                checked("cuDevicePrimaryCtxRelease", release(device))?;
            }
        }
        Ok(())
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // After `leave` there is nothing to do; after another error, that error is reported.
        let _an_earlier_error_is_told = self.give_back();
    }
}

/// `GPU-8a3c1b2d-…`, in groups of 4, 2, 2, 2 and 6 bytes.
pub(in crate::ffi) fn written(uuid: [u8; 16]) -> String {
    let mut text = String::from("GPU");
    for (place, byte) in uuid.iter().enumerate() {
        let dash = if [0, 4, 6, 8, 10].contains(&place) { "-" } else { "" };
        let _infallible = write!(text, "{dash}{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_the_management_library_writes_it() {
        let bytes = std::array::from_fn(|place| 0x10 + place as u8);
        assert_eq!(written(bytes), "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f");
    }
}
