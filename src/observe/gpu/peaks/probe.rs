//! The probe: every GPU that CUDA shows, one piece of work after the other, with clocks watched meanwhile.

use std::path::Path;

use crate::clock::{self, MonoNs, Nanos};
use crate::ffi::cuda::{CudaError, Device};
use crate::ffi::gpu::{Arithmetic, Direction, Gpu, Work, devices};
use crate::observe::gpu::peaks::PeaksError;
use crate::observe::gpu::peaks::timing::{
    bytes, clocks, middle_ms, product_operations, rate, share, side,
};
use crate::observe::gpu::sampler::{SamplingThread, Telemetry};
use crate::settings::gpu_choice::GpuChoice;
use crate::specs::{MeasuredGpu, MeasuredPeer};

/// Reading, copying, to and from the host, to a peer, two products, two ways of launching.
const PIECES: usize = 9;
/// Memory of the host that is locked for its copies.
const HOST_BYTES: usize = 256 << 20;

/// From and to.
type Span = (MonoNs, MonoNs);

/// A GPU while it is measured.
struct Subject {
    share: Nanos,
    missing: Vec<String>,
}

/// Measures every GPU that CUDA shows.
///
/// # Errors
/// When CUDA is not there, or none of the GPUs can be opened.
pub(super) fn measure(nvml_library: Option<&Path>) -> Result<Vec<MeasuredGpu>, PeaksError> {
    let shown = devices().map_err(|error| match error {
        CudaError::Library(_, why) => PeaksError::NoDriver(why),
        other => other.into(),
    })?;
    if shown.is_empty() {
        return Err(PeaksError::NoGpu);
    }
    let gpus: Vec<Gpu> =
        shown.iter().map(|device| Gpu::open(device.ordinal)).collect::<Result<_, _>>()?;
    let watch = Watch::begin(nvml_library)?;
    let mut all = Vec::new();
    for place in 0..gpus.len() {
        let began = clock::now();
        let (mut found, multiplied) = of_one(&shown, &gpus, place);
        found.took_s = (clock::now() - began).as_secs_f64();
        all.push((found, multiplied));
    }
    Ok(watch.end(all))
}

/// What one GPU does, and when it multiplied.
fn of_one(shown: &[Device], gpus: &[Gpu], place: usize) -> (MeasuredGpu, Span) {
    let (device, gpu) = (&shown[place], &gpus[place]);
    let mut on = Subject { share: share(gpus.len(), PIECES), missing: Vec::new() };
    let free = gpu.free_bytes().unwrap_or_else(|error| {
        on.missing.push(format!("sizes that fit the free memory: {error}"));
        device.memory_bytes / 16
    });
    let (moved, side) = (bytes(free), side(free));
    let (twice, hosted) = (2.0 * moved as f64, moved.min(HOST_BYTES));
    let operations = product_operations(side);
    let mut found = MeasuredGpu {
        uuid: device.uuid.clone(),
        name: device.name.clone(),
        at: clock::utc_now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        read_bytes_per_s: on.rate("read", moved as f64, gpu.reading(moved)),
        copy_bytes_per_s: on.rate("copy", twice, gpu.copying(moved)),
        from_host_bytes_per_s: on.rate(
            "from the host",
            hosted as f64,
            gpu.transferring(Direction::ToDevice, hosted),
        ),
        to_host_bytes_per_s: on.rate(
            "to the host",
            hosted as f64,
            gpu.transferring(Direction::ToHost, hosted),
        ),
        launch_us: on.microseconds("launch", gpu.launching()),
        launch_and_wait_us: on.microseconds("launch and wait", gpu.launching_and_waiting()),
        ..MeasuredGpu::default()
    };
    let began = clock::now();
    let (bfloat16, float8) = (Arithmetic::BFloat16, Arithmetic::Float8);
    found.bfloat16_flops = on.rate("BF16", operations, gpu.multiplying(bfloat16, side));
    found.float8_flops = on.rate("FP8", operations, gpu.multiplying(float8, side));
    let multiplied = (began, clock::now());
    // Each to the next one; the last to the first.
    let next = (place + 1) % gpus.len();
    if next != place {
        let to = &gpus[next];
        let rate = on.rate("to the next GPU", moved as f64, gpu.sending(to, moved));
        found.peers = rate
            .map(|bytes_per_s| MeasuredPeer {
                uuid: shown[next].uuid.clone(),
                bytes_per_s,
                direct: gpu.reaches(to).unwrap_or(false),
            })
            .into_iter()
            .collect();
    }
    found.missing = on.missing;
    (found, multiplied)
}

impl Subject {
    /// Units per second; `None` with a note where it could not be measured.
    fn rate(&mut self, what: &str, units: f64, work: Result<Work<'_>, CudaError>) -> Option<f64> {
        let ms = self.ms(what, work)?;
        let found = rate(units, ms);
        if found.is_none() {
            self.missing.push(format!("{what}: the GPU's clock stood still"));
        }
        found
    }

    fn microseconds(&mut self, what: &str, work: Work<'_>) -> Option<f64> {
        self.ms(what, Ok(work)).map(|ms| ms * 1e3)
    }

    fn ms(&mut self, what: &str, work: Result<Work<'_>, CudaError>) -> Option<f64> {
        let timed = work
            .and_then(|mut work| middle_ms(self.share, &clock::now, &mut |times| work.run(times)));
        timed.map_err(|error| self.missing.push(format!("{what}: {error}"))).ok()
    }
}

/// NVML beside the work, where there is one.
struct Watch(Option<(Telemetry, SamplingThread)>);

impl Watch {
    fn begin(library: Option<&Path>) -> Result<Self, PeaksError> {
        let watch = |error: &dyn ToString| PeaksError::Watch(error.to_string());
        let telemetry = match Telemetry::begin(&GpuChoice::All, library, true) {
            Ok(found) => found,
            Err(error) if library.is_some() => return Err(watch(&error)),
            // Rates are as good without clocks beside them; that they lack is noted with each GPU.
            Err(_) => None,
        };
        let Some(telemetry) = telemetry else { return Ok(Self(None)) };
        let thread = telemetry.start().map_err(|error| watch(&error))?;
        Ok(Self(Some((telemetry, thread))))
    }

    /// Adds driver and clocks to what was measured of each GPU.
    fn end(self, all: Vec<(MeasuredGpu, Span)>) -> Vec<MeasuredGpu> {
        let watched = self.0.map(|(telemetry, thread)| (telemetry, thread.finish(clock::now())));
        let seen = |mut gpu: MeasuredGpu, multiplied| {
            let Some((telemetry, samples)) = &watched else {
                gpu.missing.push("clocks: there is no NVML".to_owned());
                return gpu;
            };
            gpu.driver.clone_from(&telemetry.driver.version);
            let place = telemetry.watched.iter().position(|it| it.uuid == gpu.uuid);
            if let Some(place) = place {
                (gpu.sm_mhz, gpu.throttled_by) = clocks(samples, place as u32, multiplied);
            }
            if gpu.sm_mhz.is_none() {
                gpu.missing.push("clocks: NVML does not tell them of this GPU".to_owned());
            }
            gpu
        };
        all.into_iter().map(|(gpu, multiplied)| seen(gpu, multiplied)).collect()
    }
}
