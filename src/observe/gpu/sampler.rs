//! GPU sampler: a thread that samples ten times a second, from before a run until after its window.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nvml_wrapper::{Device, Nvml};

use crate::clock::{self, MonoNs, Nanos};
use crate::observe::gpu::chosen;
use crate::observe::gpu::library::{self, Driver, NvmlUnavailable};
use crate::observe::gpu::over_window::Watched;
use crate::observe::gpu::sample::GpuSample;
use crate::observe::gpu::state::Machine;
use crate::settings::gpu_choice::GpuChoice;
use crate::threads::Own;

/// Time between two samples of one GPU.
const PERIOD: Nanos = Nanos::from_millis(100);

/// The GPUs of an experiment.
#[derive(Debug)]
pub struct Telemetry {
    nvml: Arc<Nvml>,
    /// Which library answers.
    pub driver: Driver,
    /// Those that are watched.
    pub watched: Vec<Watched>,
}

/// The last sample of each GPU, for a look while a run goes on.
#[derive(Debug, Default)]
pub struct LatestSamples {
    /// Those that are watched.
    pub watched: Vec<Watched>,
    samples: Mutex<Vec<GpuSample>>,
}

impl LatestSamples {
    /// In the order of the GPUs that answer.
    pub fn read(&self) -> Vec<GpuSample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a thread has just sampled.
    pub fn publish(&self, samples: &[GpuSample]) {
        samples.clone_into(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Of these GPUs, none of which has been sampled.
    pub fn of(watched: Vec<Watched>) -> Self {
        Self { watched, samples: Mutex::default() }
    }
}

/// A thread that samples.
#[derive(Debug)]
pub struct SamplingThread {
    latest: Arc<LatestSamples>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<GpuSample>>,
}

impl Telemetry {
    /// Finds the GPUs to watch; `None` where there are none and none were asked for.
    ///
    /// # Errors
    /// When GPUs or a library that were named are not there.
    pub fn begin(
        choice: &GpuChoice,
        library: Option<&std::path::Path>,
        in_process: bool,
    ) -> Result<Option<Self>, NvmlUnavailable> {
        let is_asked_for =
            library.is_some() || matches!(choice, GpuChoice::All | GpuChoice::Uuids(_));
        if *choice == GpuChoice::None || (!is_asked_for && !in_process) {
            return Ok(None);
        }
        let (nvml, driver) = match library::load(library) {
            Ok(loaded) => loaded,
            Err(_) if !is_asked_for => return Ok(None),
            Err(error) => return Err(error),
        };
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let there = chosen::all(&nvml)?;
        let uuids = chosen::resolve(choice, there, visible.as_deref(), in_process)?;
        let watched: Vec<Watched> = uuids
            .into_iter()
            .map(|uuid| {
                let name = nvml.device_by_uuid(uuid.as_str()).and_then(|gpu| gpu.name());
                Watched { uuid, name: name.unwrap_or_else(|_| "unnamed GPU".into()) }
            })
            .collect();
        Ok((!watched.is_empty()).then(|| Self { nvml: Arc::new(nvml), driver, watched }))
    }

    /// In which state the GPUs of this machine are now.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn machine(&self) -> Result<Machine, NvmlUnavailable> {
        Machine::read(&self.nvml, self.driver.clone())
    }

    /// Starts to sample; returns once every GPU was asked a first time.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(&self) -> std::io::Result<SamplingThread> {
        let stop = Arc::new(AtomicBool::new(false));
        let (nvml, watched, stopped) =
            (Arc::clone(&self.nvml), self.watched.clone(), Arc::clone(&stop));
        let latest = Arc::new(LatestSamples::of(self.watched.clone()));
        let published = Arc::clone(&latest);
        let (first, first_is_taken) = mpsc::sync_channel::<()>(1);
        let work = move || {
            let devices: Vec<(u32, Device<'_>)> = (0..)
                .zip(&watched)
                .filter_map(|(index, gpu)| {
                    Some((index, nvml.device_by_uuid(gpu.uuid.as_str()).ok()?))
                })
                .collect();
            let mut samples = Vec::new();
            let mut due = clock::now();
            let mut first = Some(first);
            loop {
                // The order matters: a sample is taken after the stop was seen, so that it lies behind the window.
                let is_last = stopped.load(Ordering::Acquire);
                let before = samples.len();
                samples
                    .extend(devices.iter().map(|(index, device)| GpuSample::read(*index, device)));
                published.publish(&samples[before..]);
                drop(first.take());
                if is_last {
                    return samples;
                }
                due = (due + PERIOD).max(clock::now());
                clock::sleep_until(due);
            }
        };
        let thread = Own::Gpu.builder().spawn(work)?;
        // It ends by the thread's dropping its side, after its first samples.
        let _dropped: Result<(), mpsc::RecvError> = first_is_taken.recv();
        Ok(SamplingThread { latest, stop, thread })
    }
}

impl SamplingThread {
    /// Where its last samples can be read.
    pub fn latest(&self) -> Arc<LatestSamples> {
        Arc::clone(&self.latest)
    }

    /// Takes a last sample at or after `until`, and hands out all of them in order of time.
    ///
    /// # Panics
    /// When the sampling thread has panicked, which would be a fault of this program.
    pub fn finish(self, until: MonoNs) -> Vec<GpuSample> {
        // A signal ends a sleep early.
        while clock::now() < until {
            clock::sleep_until(until);
        }
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the sampling thread does not panic")
    }
}
