//! Specifications of models and of the machines they run on: parameters, bytes, bandwidth, arithmetic.

pub mod figures;
mod gpu;
mod measured;
mod memory;

pub use figures::{
    Arithmetic, ExpertFigures, MachineFigures, MachineOrigin, ModelFigures, PeakFlops,
    RooflineFacts,
};
pub use measured::{MeasuredGpu, MeasuredPeer};
pub use memory::GpuMemory;
