//! GPU monitoring of each point: samples into `gpu.jsonl`, their summary into the health of the point.

use std::fs::File;
use std::io::{BufWriter, Write};

use serde::Serialize;

use crate::clock::Window;
use crate::experiment::sweep::ExperimentError;
use crate::observe::gpu::library::NvmlUnavailable;
use crate::observe::gpu::over_window::GpuUse;
use crate::observe::gpu::sample::GpuSample;
use crate::observe::gpu::sampler::{SamplingThread, Telemetry};
use crate::observe::gpu::state::Machine;
use crate::settings::Resolved;
use crate::store::run_directory::{RunDirectory, file};
use crate::targets::registry::Abilities;

/// The GPUs of an experiment and the file that their samples go to.
pub struct GpuWatch {
    telemetry: Telemetry,
    lines: BufWriter<File>,
}

/// One line of `gpu.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    point: u32,
    uuid: &'a str,
    #[serde(flatten)]
    sample: &'a GpuSample,
}

/// Finds the GPUs to watch while a target with these abilities runs; `None` where there are none and none were asked for.
///
/// # Errors
/// When GPUs or a library that were named are not there.
pub fn find(resolved: &Resolved, target: Abilities) -> Result<Option<Telemetry>, NvmlUnavailable> {
    let library = resolved.nvml_library.as_deref();
    Telemetry::begin(&resolved.gpu_telemetry, library, target.local_gpus)
}

impl GpuWatch {
    /// Makes the file that samples go to.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(telemetry: Telemetry, directory: &RunDirectory) -> Result<Self, ExperimentError> {
        let lines = File::create(directory.file(file::GPU)).map_err(ExperimentError::GpuSamples)?;
        Ok(Self { telemetry, lines: BufWriter::new(lines) })
    }

    /// The GPUs, for another folder.
    pub fn into_telemetry(self) -> Telemetry {
        self.telemetry
    }

    /// In which state the GPUs of this machine are now.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn machine(&self) -> Result<Machine, ExperimentError> {
        Ok(self.telemetry.machine()?)
    }

    /// Starts to sample.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(&self) -> Result<SamplingThread, ExperimentError> {
        self.telemetry.start().map_err(ExperimentError::GpuSamples)
    }

    /// Ends the sampling of a point behind its window, and writes every sample; what they come to stands where they cannot be
    /// written.
    pub fn finish(
        &mut self,
        sampling: SamplingThread,
        point: u32,
        window: Window,
    ) -> (GpuUse, Result<(), ExperimentError>) {
        let samples = sampling.finish(window.end);
        let written = self.write(point, &samples).map_err(ExperimentError::GpuSamples);
        let Telemetry { driver, watched, .. } = &self.telemetry;
        (GpuUse::of(driver.clone(), watched, &samples, window), written)
    }

    fn write(&mut self, point: u32, samples: &[GpuSample]) -> std::io::Result<()> {
        for sample in samples {
            let watched = self.telemetry.watched.get(sample.gpu as usize);
            let uuid = watched.map_or("", |gpu| &gpu.uuid);
            writeln!(self.lines, "{}", serde_json::to_string(&Line { point, uuid, sample })?)?;
        }
        self.lines.flush()
    }
}
