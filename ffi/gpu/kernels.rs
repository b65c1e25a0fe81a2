//! Kernels of the probe, compiled by the driver: fill, read, nothing.

use std::ffi::{CStr, CString, c_void};
use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};

use super::buffer::Buffer;
use super::{Gpu, told};
use crate::ffi::cuda::CudaError;

/// The driver reads up to the zero.
const SOURCE: &str = concat!(include_str!("kernels.ptx"), "\0");

/// Threads of a block, and blocks for each multiprocessor: together as many threads as one holds.
const THREADS: u32 = 256;
const BLOCKS_EACH: u32 = 8;

/// Which bits of a hashed word stay, and which are set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits {
    pub(super) keep: u32,
    pub(super) set: u32,
}

/// The kernels in a GPU's context.
#[derive(Debug)]
pub(super) struct Kernels {
    module: sys::CUmodule,
    fill: sys::CUfunction,
    read: sys::CUfunction,
    nothing: sys::CUfunction,
    context: Arc<CudaContext>,
}

impl Kernels {
    pub(super) fn load(context: &Arc<CudaContext>) -> Result<Self, CudaError> {
        context.bind_to_thread().map_err(told("cuCtxSetCurrent"))?;
        // SAFETY: the text ends with a zero, and a context is current.
        let module = unsafe { result::module::load_data(SOURCE.as_ptr().cast()) }
            .map_err(told("cuModuleLoadData"))?;
        let function = |name: &CStr| {
            // SAFETY: the module was just loaded and is unloaded only with the kernels.
            unsafe { result::module::get_function(module, CString::from(name)) }
                .map_err(told("cuModuleGetFunction"))
        };
        let (fill, read, nothing) =
            (function(c"bf_fill"), function(c"bf_read"), function(c"bf_nothing"));
        Ok(Self {
            module,
            fill: fill?,
            read: read?,
            nothing: nothing?,
            context: Arc::clone(context),
        })
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: it was loaded once and is unloaded once; every launch was waited for.
        self.context.record_err(unsafe { result::module::unload(self.module) });
    }
}

impl Gpu {
    /// Writes hashed words over a whole buffer, and waits.
    pub(super) fn fill(&self, buffer: &Buffer, bits: Bits) -> Result<(), CudaError> {
        // Another GPU's context may be current, where memory was just allocated.
        self.context.bind_to_thread().map_err(told("cuCtxSetCurrent"))?;
        let (mut at, mut words) = (buffer.at, buffer.bytes as u64 / 4);
        let Bits { mut keep, mut set } = bits;
        let parameters = [
            (&raw mut at).cast(),
            (&raw mut words).cast(),
            (&raw mut keep).cast(),
            (&raw mut set).cast(),
        ];
        // SAFETY: the parameters are those of `bf_fill`, which writes so many words into a buffer that holds as many.
        unsafe { self.launch(self.kernels.fill, self.whole(), parameters)? };
        self.wait()
    }

    /// Enqueues one reading of a whole buffer.
    pub(super) fn read(&self, buffer: &Buffer, sink: &Buffer) -> Result<(), CudaError> {
        let (mut at, mut groups, mut into) = (buffer.at, buffer.bytes as u64 / 64, sink.at);
        let parameters = [(&raw mut at).cast(), (&raw mut groups).cast(), (&raw mut into).cast()];
        // SAFETY: the parameters are those of `bf_read`, which reads so many groups of 64 bytes and may write four.
        unsafe { self.launch(self.kernels.read, self.whole(), parameters) }
    }

    /// Enqueues a kernel that does nothing.
    pub(super) fn nothing(&self) -> Result<(), CudaError> {
        // SAFETY: `bf_nothing` takes nothing.
        unsafe { self.launch(self.kernels.nothing, (1, 1), []) }
    }

    /// Blocks and threads that fill the GPU.
    const fn whole(&self) -> (u32, u32) {
        (self.multiprocessors * BLOCKS_EACH, THREADS)
    }

    /// # Safety
    /// The parameters must be those of the kernel; the driver copies them before this returns.
    unsafe fn launch<const N: usize>(
        &self,
        kernel: sys::CUfunction,
        (blocks, threads): (u32, u32),
        mut parameters: [*mut c_void; N],
    ) -> Result<(), CudaError> {
        let (grid, block, stream) = ((blocks, 1, 1), (threads, 1, 1), self.stream.cu_stream());
        // SAFETY: what the caller promises; the stream is this GPU's.
        unsafe { result::launch_kernel(kernel, grid, block, 0, stream, &mut parameters) }
            .map_err(told("cuLaunchKernel"))
    }
}
