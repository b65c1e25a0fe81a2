//! Console line of GPU telemetry.

use crate::observe::gpu::energy::EnergySource;
use crate::observe::gpu::over_window::{GpuOverWindow, GpuUse};
use crate::report::figures::figure;

/// Each watched GPU, as a part of a sentence.
pub(super) fn parts(gpus: &GpuUse) -> Vec<String> {
    gpus.gpus.iter().map(of_one).collect()
}

fn of_one(gpu: &GpuOverWindow) -> String {
    let with =
        |value: Option<f64>, unit: &str| value.map(|value| format!("{} {unit}", figure(value)));
    let energy = gpu.energy_j.zip(gpu.energy_from).map(|(joules, from)| {
        let from = match from {
            EnergySource::Counter => "by its counter",
            EnergySource::Power => "by its power",
        };
        format!("{} J {from}", figure(joules))
    });
    let figures = [
        with(gpu.power_mean_w, "W"),
        energy,
        with(gpu.sm_mean_mhz, "MHz"),
        with(gpu.temperature_max_c, "°C at most"),
        with(gpu.utilisation_mean.map(|share| share * 100.0), "% busy"),
    ];
    let known: Vec<String> = figures.into_iter().flatten().collect();
    let known =
        if known.is_empty() { "not one sample in the window".into() } else { known.join(", ") };
    format!("{} ({}): {known}", gpu.gpu.name, gpu.gpu.uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::gpu::over_window::Watched;
    use std::collections::BTreeMap;

    #[test]
    fn what_a_gpu_did_not_tell_is_left_out_and_not_zero() {
        let mut gpu = GpuOverWindow {
            gpu: Watched { uuid: "GPU-a".into(), name: "NVIDIA H200".into() },
            samples: 0,
            energy_j: None,
            energy_from: None,
            power_mean_w: None,
            power_max_w: None,
            sm_mean_mhz: None,
            sm_min_mhz: None,
            temperature_max_c: None,
            memory_used_max_bytes: None,
            utilisation_mean: None,
            throttled: BTreeMap::new(),
            throttled_share: None,
            over_time: Vec::new(),
        };
        assert_eq!(of_one(&gpu), "NVIDIA H200 (GPU-a): not one sample in the window");
        (gpu.energy_j, gpu.energy_from) = (Some(120.0), Some(EnergySource::Counter));
        gpu.sm_mean_mhz = Some(1_500.0);
        assert_eq!(of_one(&gpu), "NVIDIA H200 (GPU-a): 120.0 J by its counter, 1500 MHz");
    }
}
