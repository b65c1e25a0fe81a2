//! One sample of one GPU; values that it does not report are absent.

use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::NVML_FI_DEV_POWER_INSTANT;
use serde::{Deserialize, Serialize};

use crate::clock::{self, MonoNs};

/// One reading of one GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuSample {
    /// Which GPU, as its place in the list of those that are watched.
    pub gpu: u32,
    /// When: between the first and the last question.
    #[serde(rename = "t_ns")]
    pub at: MonoNs,
    /// Watts: of this instant, or on drivers that do not tell it a mean over about a second.
    pub power_w: Option<f64>,
    /// Joules since the driver was loaded.
    pub energy_j: Option<f64>,
    /// Clock of the multiprocessors, MHz.
    pub sm_mhz: Option<u32>,
    /// Clock of the memory, MHz.
    pub memory_mhz: Option<u32>,
    /// Degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Memory in use by all processes.
    pub memory_used_bytes: Option<u64>,
    /// Share of time in which a kernel ran, 0 to 1.
    pub gpu_utilisation: Option<f64>,
    /// Share of time in which memory was read or written, 0 to 1.
    pub memory_utilisation: Option<f64>,
    /// What holds the clocks down.
    pub throttle: Vec<Throttle>,
}

/// What holds clocks down against the user's will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// The power limit.
    PowerCap,
    /// Heat, noticed by software.
    SoftwareThermal,
    /// Heat, noticed by hardware.
    HardwareThermal,
    /// The power supply.
    PowerBrake,
    /// Another reason of the hardware's: heat, power or a fast trigger.
    HardwareSlowdown,
    /// Another GPU in the same group.
    SyncBoost,
}

impl Throttle {
    const ALL: [(Self, ThrottleReasons); 6] = [
        (Self::PowerCap, ThrottleReasons::SW_POWER_CAP),
        (Self::SoftwareThermal, ThrottleReasons::SW_THERMAL_SLOWDOWN),
        (Self::HardwareThermal, ThrottleReasons::HW_THERMAL_SLOWDOWN),
        (Self::PowerBrake, ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN),
        (Self::HardwareSlowdown, ThrottleReasons::HW_SLOWDOWN),
        (Self::SyncBoost, ThrottleReasons::SYNC_BOOST),
    ];

    /// Those in a set. Idleness and clocks that the user has set are no throttling.
    pub fn of(reasons: ThrottleReasons) -> Vec<Self> {
        let reported = Self::ALL.into_iter().filter(|(_, bit)| reasons.contains(*bit));
        reported.map(|(throttle, _)| throttle).collect()
    }

    /// As printed.
    pub const fn label(self) -> &'static str {
        match self {
            Self::PowerCap => "the power cap",
            Self::SoftwareThermal | Self::HardwareThermal => "heat",
            Self::PowerBrake => "the power supply",
            Self::HardwareSlowdown => "the hardware",
            Self::SyncBoost => "another GPU of its group",
        }
    }
}

impl GpuSample {
    /// Asks now.
    pub fn read(gpu: u32, device: &Device<'_>) -> Self {
        let memory = device.memory_info().ok();
        let utilisation = device.utilization_rates().ok();
        let share = |percent: u32| f64::from(percent) / 100.0;
        let at = clock::now();
        Self {
            gpu,
            power_w: power_w(device),
            energy_j: device.total_energy_consumption().ok().map(|mj| mj as f64 / 1e3),
            at,
            sm_mhz: device.clock_info(Clock::SM).ok(),
            memory_mhz: device.clock_info(Clock::Memory).ok(),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
            memory_used_bytes: memory.map(|memory| memory.used),
            gpu_utilisation: utilisation.as_ref().map(|both| share(both.gpu)),
            memory_utilisation: utilisation.as_ref().map(|both| share(both.memory)),
            throttle: device.current_throttle_reasons().map(Throttle::of).unwrap_or_default(),
        }
    }
}

/// Since Ampere the plain reading is a mean over a second; the field is the instant's.
fn power_w(device: &Device<'_>) -> Option<f64> {
    let fields = device.field_values_for(&[FieldId(NVML_FI_DEV_POWER_INSTANT)]).ok();
    let instant = fields.and_then(|fields| match fields.into_iter().next()?.ok()?.value.ok()? {
        SampleValue::U32(milliwatts) => Some(f64::from(milliwatts)),
        SampleValue::U64(milliwatts) => Some(milliwatts as f64),
        SampleValue::I64(milliwatts) => Some(milliwatts as f64),
        SampleValue::F64(milliwatts) => Some(milliwatts),
    });
    let milliwatts = instant.or_else(|| device.power_usage().ok().map(f64::from));
    milliwatts.map(|milliwatts| milliwatts / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idleness_and_clocks_of_the_users_own_choice_are_no_throttling() {
        let calm = ThrottleReasons::GPU_IDLE | ThrottleReasons::APPLICATIONS_CLOCKS_SETTING;
        assert_eq!(Throttle::of(calm), []);
        let hot = calm | ThrottleReasons::SW_POWER_CAP | ThrottleReasons::HW_THERMAL_SLOWDOWN;
        assert_eq!(Throttle::of(hot), [Throttle::PowerCap, Throttle::HardwareThermal]);
    }
}
