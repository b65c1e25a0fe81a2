//! Memory of a GPU, and of the host where a GPU reaches it without a copy between; both freed when they are dropped.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};

use super::told;
use crate::ffi::cuda::CudaError;

/// Memory of a GPU. It is allocated plainly and not from a pool, so that a peer reaches it.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) at: sys::CUdeviceptr,
    pub(super) bytes: usize,
    context: Arc<CudaContext>,
}

impl Buffer {
    pub(super) fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, CudaError> {
        context.bind_to_thread().map_err(told("cuCtxSetCurrent"))?;
        // SAFETY: a context is current; nothing is read before it is written.
        let at = unsafe { result::malloc_sync(bytes) }.map_err(told("cuMemAlloc"))?;
        Ok(Self { at, bytes, context: Arc::clone(context) })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: it was allocated once, is freed once, and the driver waits for work that uses it.
        self.context.record_err(unsafe { result::free_sync(self.at) });
    }
}

/// Memory of the host that is locked in place.
#[derive(Debug)]
pub(super) struct HostBuffer {
    at: *mut c_void,
    bytes: usize,
    context: Arc<CudaContext>,
}

impl HostBuffer {
    pub(super) fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, CudaError> {
        context.bind_to_thread().map_err(told("cuCtxSetCurrent"))?;
        // SAFETY: a context is current.
        let at = unsafe { result::malloc_host(bytes, 0) }.map_err(told("cuMemHostAlloc"))?;
        // SAFETY: the driver has just allocated so many bytes there. Pages are touched before they are timed.
        unsafe { at.cast::<u8>().write_bytes(1, bytes) };
        Ok(Self { at, bytes, context: Arc::clone(context) })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes, written when they were allocated, and freed only with `self`.
        unsafe { std::slice::from_raw_parts(self.at.cast::<u8>(), self.bytes) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.at.cast::<u8>(), self.bytes) }
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: it was allocated once and is freed once; every copy was waited for.
        self.context.record_err(unsafe { result::free_host(self.at) });
    }
}
