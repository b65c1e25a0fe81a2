//! Properties and free memory of the GPUs that CUDA shows to this process.

use std::sync::Arc;

use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
use cudarc::driver::{CudaContext, result};

use super::{guard, told};
use crate::ffi::cuda::{CudaError, Device, DeviceMemory, written};

/// Every GPU that the process may see. No context is made.
///
/// # Errors
/// When the driver is not there, lacks a function, or refuses.
pub fn devices() -> Result<Vec<Device>, CudaError> {
    guard::driver()?;
    result::init().map_err(told("cuInit"))?;
    let count = result::device::get_count().map_err(told("cuDeviceGetCount"))?;
    (0..count.unsigned_abs()).map(device).collect()
}

fn device(ordinal: u32) -> Result<Device, CudaError> {
    let handle = result::device::get(ordinal as i32).map_err(told("cuDeviceGet"))?;
    let uuid = result::device::get_uuid(handle).map_err(told("cuDeviceGetUuid"))?;
    let attribute = |which| {
        // SAFETY: the handle is the driver's own.
        unsafe { result::device::get_attribute(handle, which) }
            .map_err(told("cuDeviceGetAttribute"))
    };
    // SAFETY: as above.
    let bytes = unsafe { result::device::total_mem(handle) }.map_err(told("cuDeviceTotalMem"))?;
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(Device {
        ordinal,
        uuid: written(uuid.bytes.map(|byte| byte as u8)),
        name: result::device::get_name(handle).map_err(told("cuDeviceGetName"))?,
        memory_bytes: bytes as u64,
        compute_capability: format!("{major}.{minor}"),
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?
            .unsigned_abs(),
    })
}

/// Memory of a GPU now. That needs a context: one is made for the query, unless there is one, and given back.
///
/// # Errors
/// When the driver refuses, as it does where not even a context has room.
pub fn memory(ordinal: u32) -> Result<DeviceMemory, CudaError> {
    guard::driver()?;
    let context = CudaContext::new(ordinal as usize).map_err(told("cuDevicePrimaryCtxRetain"))?;
    let (free, total) = context.mem_get_info().map_err(told("cuMemGetInfo"))?;
    drop(context);
    // SAFETY: no context is always one; that which was given back must not stay this thread's.
    unsafe { result::ctx::set_current(std::ptr::null_mut()) }.map_err(told("cuCtxSetCurrent"))?;
    Ok(DeviceMemory { free_bytes: free as u64, total_bytes: total as u64 })
}

/// Multiprocessors of an opened GPU.
pub(super) fn multiprocessors(context: &Arc<CudaContext>) -> Result<u32, CudaError> {
    let count = context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    Ok(count.map_err(told("cuDeviceGetAttribute"))?.unsigned_abs())
}
