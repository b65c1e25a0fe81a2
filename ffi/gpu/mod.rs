//! GPUs through cudarc: their properties and memory, and work that is timed by the GPU's own events. See `README.md` one folder up.

mod buffer;
mod guard;
mod kernels;
mod matrices;
mod properties;
mod work;

use std::sync::Arc;

use cudarc::driver::result::DriverError;
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, sys};

use super::cuda::CudaError;
use kernels::Kernels;

pub use matrices::Arithmetic;
pub use properties::{devices, memory};
pub use work::{Direction, Work};

/// A GPU with a context, a stream of its own and the kernels of the probe.
#[derive(Debug)]
pub struct Gpu {
    /// Of which GPU. It goes last, after everything that lies in the context.
    kernels: Kernels,
    from: CudaEvent,
    to: CudaEvent,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
    multiprocessors: u32,
}

impl Gpu {
    /// The GPU at this place among those that the process may see.
    ///
    /// # Errors
    /// When the driver is not there, lacks a function, or refuses.
    pub fn open(ordinal: u32) -> Result<Self, CudaError> {
        const TIMED: sys::CUevent_flags = sys::CUevent_flags::CU_EVENT_DEFAULT;
        guard::driver()?;
        let context =
            CudaContext::new(ordinal as usize).map_err(told("cuDevicePrimaryCtxRetain"))?;
        let stream = context.new_stream().map_err(told("cuStreamCreate"))?;
        let event = || context.new_event(Some(TIMED)).map_err(told("cuEventCreate"));
        let (from, to) = (event()?, event()?);
        let multiprocessors = properties::multiprocessors(&context)?;
        let kernels = Kernels::load(&context)?;
        Ok(Self { kernels, from, to, stream, context, multiprocessors })
    }

    /// Memory that is free now, in bytes.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn free_bytes(&self) -> Result<u64, CudaError> {
        let (free, _) = self.context.mem_get_info().map_err(told("cuMemGetInfo"))?;
        Ok(free as u64)
    }

    /// Milliseconds between the begin and the end of what `enqueue` puts on the stream, by the GPU's own clock. Waits for it.
    fn timed(&self, enqueue: impl FnOnce() -> Result<(), CudaError>) -> Result<f64, CudaError> {
        self.context.bind_to_thread().map_err(told("cuCtxSetCurrent"))?;
        self.from.record(&self.stream).map_err(told("cuEventRecord"))?;
        let enqueued = enqueue();
        self.to.record(&self.stream).map_err(told("cuEventRecord"))?;
        // Whatever was enqueued ends before anything that it uses is freed.
        self.to.synchronize().map_err(told("cuEventSynchronize"))?;
        enqueued?;
        guard::elapsed_ms(self.from.cu_event(), self.to.cu_event())
    }

    /// Waits for everything on the stream.
    fn wait(&self) -> Result<(), CudaError> {
        self.stream.synchronize().map_err(told("cuStreamSynchronize"))
    }
}

/// The driver's word as an error of ours. Its number is taken as it is: a newer driver may know more codes than cudarc.
fn told(function: &'static str) -> impl FnOnce(DriverError) -> CudaError {
    move |error| CudaError::Call(function, error.0 as i32)
}
