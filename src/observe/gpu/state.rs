//! State of a GPU before a run, for the doctor and the manifest.

use std::fs;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, TemperatureSensor, TemperatureThreshold,
};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use serde::{Deserialize, Serialize};

use crate::observe::gpu::library::{Driver, NvmlUnavailable};
use crate::observe::gpu::over_window::Watched;
use crate::observe::gpu::sample::Throttle;

/// One GPU as it was found; what it does not tell is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuState {
    /// Which GPU.
    #[serde(flatten)]
    pub gpu: Watched,
    /// Architecture, as `9.0`.
    pub compute_capability: Option<String>,
    /// Memory in all.
    pub memory_bytes: Option<u64>,
    /// Memory that is free.
    pub memory_free_bytes: Option<u64>,
    /// Power limit in force.
    pub power_cap_w: Option<f64>,
    /// Power limit as delivered.
    pub power_default_w: Option<f64>,
    /// Clock of the multiprocessors now.
    pub sm_mhz: Option<u32>,
    /// Highest clock of the multiprocessors.
    pub sm_max_mhz: Option<u32>,
    /// Clock of the multiprocessors that was set for applications.
    pub applications_sm_mhz: Option<u32>,
    /// The same, as delivered.
    pub default_applications_sm_mhz: Option<u32>,
    /// Temperature now.
    pub temperature_c: Option<u32>,
    /// Temperature at which clocks are lowered.
    pub slowdown_c: Option<u32>,
    /// What holds clocks down now.
    pub throttle: Vec<Throttle>,
    /// Clocks are limited by a setting of the user's.
    pub clocks_set: Option<bool>,
    /// The driver stays loaded while nobody uses the GPU.
    pub persistence: Option<bool>,
    /// Memory errors are corrected.
    pub ecc: Option<bool>,
    /// Memory errors that could not be corrected since the driver was loaded.
    pub uncorrected_errors: Option<u64>,
    /// It is cut into instances.
    pub mig: Option<bool>,
    /// Processes that compute on it, with the memory they hold.
    pub processes: Vec<(u32, Option<u64>)>,
    /// NUMA node that it hangs on.
    pub numa_node: Option<u32>,
}

/// All GPUs of a machine and what drives them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Library and versions.
    pub driver: Driver,
    /// Every GPU.
    pub gpus: Vec<GpuState>,
}

impl Machine {
    /// Asks every GPU.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn read(nvml: &Nvml, driver: Driver) -> Result<Self, NvmlUnavailable> {
        let failed = |error: NvmlError| NvmlUnavailable::Driver(error.to_string());
        let count = nvml.device_count().map_err(failed)?;
        let gpus = (0..count)
            .map(|index| nvml.device_by_index(index).and_then(|gpu| GpuState::read(&gpu)))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        Ok(Self { driver, gpus })
    }
}

impl GpuState {
    fn read(device: &Device<'_>) -> Result<Self, NvmlError> {
        let memory = device.memory_info().ok();
        let watts = |milliwatts: u32| f64::from(milliwatts) / 1e3;
        let reasons = device.current_throttle_reasons().ok();
        let bus = device.pci_info().ok().map(|pci| pci.bus_id);
        Ok(Self {
            gpu: Watched { uuid: device.uuid()?, name: device.name()? },
            compute_capability: device
                .cuda_compute_capability()
                .ok()
                .map(|version| format!("{}.{}", version.major, version.minor)),
            memory_bytes: memory.as_ref().map(|memory| memory.total),
            memory_free_bytes: memory.as_ref().map(|memory| memory.free),
            power_cap_w: device.enforced_power_limit().ok().map(watts),
            power_default_w: device.power_management_limit_default().ok().map(watts),
            sm_mhz: device.clock_info(Clock::SM).ok(),
            sm_max_mhz: device.max_clock_info(Clock::SM).ok(),
            applications_sm_mhz: device.applications_clock(Clock::SM).ok(),
            default_applications_sm_mhz: device.default_applications_clock(Clock::SM).ok(),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
            slowdown_c: device.temperature_threshold(TemperatureThreshold::Slowdown).ok(),
            clocks_set: reasons
                .map(|reasons| reasons.contains(ThrottleReasons::APPLICATIONS_CLOCKS_SETTING)),
            throttle: reasons.map(Throttle::of).unwrap_or_default(),
            persistence: device.is_in_persistent_mode().ok(),
            ecc: device.is_ecc_enabled().ok().map(|ecc| ecc.currently_enabled),
            uncorrected_errors: device
                .total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)
                .ok(),
            mig: device.mig_mode().ok().map(|mode| mode.current != 0),
            processes: processes(device),
            numa_node: bus.and_then(|bus| numa_node(&bus)),
        })
    }
}

fn processes(device: &Device<'_>) -> Vec<(u32, Option<u64>)> {
    let running = device.running_compute_processes().unwrap_or_default();
    let memory = |used: UsedGpuMemory| match used {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    };
    running.into_iter().map(|process| (process.pid, memory(process.used_gpu_memory))).collect()
}

/// The library writes `00000000:1B:00.0`, the kernel `0000:1b:00.0`.
fn numa_node(bus_id: &str) -> Option<u32> {
    let bus_id = bus_id.to_ascii_lowercase();
    let short = bus_id.get(bus_id.len().checked_sub(12)?..)?;
    let text = fs::read_to_string(format!("/sys/bus/pci/devices/{short}/numa_node")).ok()?;
    // A machine with one node says -1.
    text.trim().parse().ok()
}
