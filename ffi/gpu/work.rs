//! Work that a probe repeats: reading, copying, multiplying, launching.

use std::ffi::c_int;

use cudarc::driver::{result, sys};

use super::buffer::{Buffer, HostBuffer};
use super::kernels::Bits;
use super::matrices::{Arithmetic, Product};
use super::{Gpu, told};
use crate::ffi::cuda::CudaError;

/// Every bit by chance.
const NOISE: Bits = Bits { keep: u32::MAX, set: 0 };
/// Peer access was switched on before.
const ALREADY: u32 = 704;

/// Between a GPU and its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the host.
    ToDevice,
    /// To the host.
    ToHost,
}

/// One piece of work, ready to be repeated.
pub struct Work<'a> {
    gpu: &'a Gpu,
    once: Box<dyn FnMut() -> Result<(), CudaError> + 'a>,
}

impl Work<'_> {
    /// Does it so many times in a row, and waits; milliseconds by the GPU's clock.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn run(&mut self, times: u32) -> Result<f64, CudaError> {
        let Self { gpu, once } = self;
        gpu.timed(|| (0..times).try_for_each(|_| once()))
    }
}

impl Gpu {
    fn work<'a>(&'a self, once: impl FnMut() -> Result<(), CudaError> + 'a) -> Work<'a> {
        Work { gpu: self, once: Box::new(once) }
    }

    /// Reads so many bytes of its own memory, a multiple of 64.
    ///
    /// # Errors
    /// When there is no room.
    pub fn reading(&self, bytes: usize) -> Result<Work<'_>, CudaError> {
        let (buffer, sink) = (Buffer::new(&self.context, bytes)?, Buffer::new(&self.context, 64)?);
        self.fill(&buffer, NOISE)?;
        Ok(self.work(move || self.read(&buffer, &sink)))
    }

    /// Copies so many bytes within its own memory: as many are read as are written.
    ///
    /// # Errors
    /// When there is no room.
    pub fn copying(&self, bytes: usize) -> Result<Work<'_>, CudaError> {
        let (from, to) = (Buffer::new(&self.context, bytes)?, Buffer::new(&self.context, bytes)?);
        self.fill(&from, NOISE)?;
        Ok(self.work(move || {
            // SAFETY: both buffers are of this size, on this GPU, and live until the stream was waited for.
            unsafe { result::memcpy_dtod_async(to.at, from.at, bytes, self.stream.cu_stream()) }
                .map_err(told("cuMemcpyDtoDAsync"))
        }))
    }

    /// Copies so many bytes between it and memory of the host that is locked in place.
    ///
    /// # Errors
    /// When there is no room.
    pub fn transferring(&self, direction: Direction, bytes: usize) -> Result<Work<'_>, CudaError> {
        let mut host = HostBuffer::new(&self.context, bytes)?;
        let buffer = Buffer::new(&self.context, bytes)?;
        self.fill(&buffer, NOISE)?;
        let stream = self.stream.cu_stream();
        // SAFETY: both sides are of this size and live until the stream was waited for.
        Ok(self.work(move || match direction {
            Direction::ToDevice => {
                unsafe { result::memcpy_htod_async(buffer.at, host.bytes(), stream) }
                    .map_err(told("cuMemcpyHtoDAsync"))
            }
            Direction::ToHost => {
                unsafe { result::memcpy_dtoh_async(host.bytes_mut(), buffer.at, stream) }
                    .map_err(told("cuMemcpyDtoHAsync"))
            }
        }))
    }

    /// Whether it reaches the memory of another GPU without its host.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn reaches(&self, other: &Self) -> Result<bool, CudaError> {
        let mut can: c_int = 0;
        let (own, others) = (self.context.cu_device(), other.context.cu_device());
        // SAFETY: both are the driver's own handles; it writes one whole number.
        let found = unsafe { sys::cuDeviceCanAccessPeer(&raw mut can, own, others) };
        found.result().map_err(told("cuDeviceCanAccessPeer"))?;
        Ok(can != 0)
    }

    /// Copies so many bytes to another GPU: directly where that can be, else through the host.
    ///
    /// # Errors
    /// When there is no room, or the driver refuses.
    pub fn sending<'a>(&'a self, other: &'a Self, bytes: usize) -> Result<Work<'a>, CudaError> {
        if self.reaches(other)? {
            self.context.bind_to_thread().map_err(told("cuCtxSetCurrent"))?;
            // SAFETY: the other GPU's context lives as long as `other`.
            let switched = unsafe { sys::cuCtxEnablePeerAccess(other.context.cu_ctx(), 0) };
            match switched.result() {
                Err(error) if error.0 as u32 != ALREADY => {
                    return Err(told("cuCtxEnablePeerAccess")(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let (from, to) = (Buffer::new(&self.context, bytes)?, Buffer::new(&other.context, bytes)?);
        self.fill(&from, NOISE)?;
        let (own, others) = (self.context.cu_ctx(), other.context.cu_ctx());
        Ok(self.work(move || {
            // SAFETY: both buffers are of this size, in these contexts, and live until the stream was waited for.
            unsafe {
                result::memcpy_peer_async(
                    others,
                    to.at,
                    own,
                    from.at,
                    bytes,
                    self.stream.cu_stream(),
                )
            }
            .map_err(told("cuMemcpyPeerAsync"))
        }))
    }

    /// Multiplies two square matrices of so many rows.
    ///
    /// # Errors
    /// When cuBLASLt is not there, does not know such matrices on this GPU, or there is no room.
    pub fn multiplying(&self, arithmetic: Arithmetic, side: usize) -> Result<Work<'_>, CudaError> {
        let product = Product::new(self, arithmetic, side)?;
        Ok(self.work(move || product.multiply()))
    }

    /// Launches a kernel that does nothing, one after another.
    pub fn launching(&self) -> Work<'_> {
        self.work(|| self.nothing())
    }

    /// The same, and waits for each.
    pub fn launching_and_waiting(&self) -> Work<'_> {
        self.work(|| self.nothing().and_then(|()| self.wait()))
    }
}
