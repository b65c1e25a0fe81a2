//! GPU telemetry summarised over a window: energy, power, clocks, throttling. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Window};
use crate::observe::gpu::energy::{self, EnergySource};
use crate::observe::gpu::library::Driver;
use crate::observe::gpu::sample::{GpuSample, Throttle};

/// Most slices of the course of a point.
const SLICES: usize = 120;

/// A GPU that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Its UUID.
    pub uuid: String,
    /// Its product name.
    pub name: String,
}

/// What all watched GPUs did over the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuUse {
    /// Library that reported it.
    pub driver: Driver,
    /// Each GPU, in the order in which they were chosen.
    pub gpus: Vec<GpuOverWindow>,
    /// Energy of all of them; `None` where it is not valid.
    pub energy_j: Option<f64>,
    /// Whether the energy of every GPU is known over the whole window.
    pub energy_valid: bool,
    /// Why it is not, one sentence per GPU.
    pub energy_reasons: Vec<String>,
}

/// What one GPU did over the window; means are over samples within it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuOverWindow {
    /// Which GPU.
    #[serde(flatten)]
    pub gpu: Watched,
    /// Samples in the window.
    pub samples: u64,
    /// Energy over the window.
    pub energy_j: Option<f64>,
    /// Its source.
    pub energy_from: Option<EnergySource>,
    /// Mean power.
    pub power_mean_w: Option<f64>,
    /// Largest power.
    pub power_max_w: Option<f64>,
    /// Mean clock of the multiprocessors.
    pub sm_mean_mhz: Option<f64>,
    /// Smallest clock of the multiprocessors.
    pub sm_min_mhz: Option<f64>,
    /// Highest temperature.
    pub temperature_max_c: Option<f64>,
    /// Most memory in use, by all processes.
    pub memory_used_max_bytes: Option<u64>,
    /// Mean share of time in which a kernel ran.
    pub utilisation_mean: Option<f64>,
    /// Share of samples in which clocks were held down, by reason; reasons that never occurred are left out.
    pub throttled: BTreeMap<Throttle, f64>,
    /// Share of samples in which clocks were held down for any reason; `None` without samples.
    pub throttled_share: Option<f64>,
    /// The course of the point, with what lies before and behind the window. Runs of older versions have none.
    #[serde(default)]
    pub over_time: Vec<GpuSlice>,
}

/// What one GPU did in one slice of time, on average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GpuSlice {
    /// Its middle in seconds, from the start of the window: below 0 in the ramp.
    pub t_s: f64,
    /// Power in watts.
    pub power_w: Option<f64>,
    /// Clock of the multiprocessors, MHz.
    pub sm_mhz: Option<f64>,
    /// Degrees Celsius.
    pub temperature_c: Option<f64>,
}

impl GpuUse {
    /// From all samples, in order of time.
    pub fn of(driver: Driver, watched: &[Watched], samples: &[GpuSample], window: Window) -> Self {
        let mut energy_reasons = Vec::new();
        let gpus: Vec<GpuOverWindow> = (0..)
            .zip(watched)
            .map(|(index, gpu)| {
                let own: Vec<GpuSample> =
                    samples.iter().filter(|sample| sample.gpu == index).cloned().collect();
                let energy = energy::over(&own, window);
                if let Err(reason) = &energy {
                    energy_reasons.push(format!("{}: {reason}", gpu.uuid));
                }
                let inside: Vec<&GpuSample> = own.iter().filter(|s| window.holds(s.at)).collect();
                let energy = energy.ok();
                GpuOverWindow {
                    energy_j: energy.map(|energy| energy.joules),
                    energy_from: energy.map(|energy| energy.from),
                    over_time: slices(&own, window.start),
                    ..GpuOverWindow::without_energy(gpu.clone(), &inside)
                }
            })
            .collect();
        let energy_valid = !gpus.is_empty() && energy_reasons.is_empty();
        let energy_j = energy_valid.then(|| gpus.iter().filter_map(|gpu| gpu.energy_j).sum());
        Self { driver, gpus, energy_j, energy_valid, energy_reasons }
    }

    /// The GPU whose clocks were held down in most samples, with its share.
    pub fn most_throttled(&self) -> Option<(&GpuOverWindow, f64)> {
        let shares = self.gpus.iter().filter_map(|gpu| Some((gpu, gpu.throttled_share?)));
        shares.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

impl GpuOverWindow {
    fn without_energy(gpu: Watched, inside: &[&GpuSample]) -> Self {
        let all = |value: fn(&GpuSample) -> Option<f64>| -> Vec<f64> {
            inside.iter().filter_map(|sample| value(sample)).collect()
        };
        let power = all(|sample| sample.power_w);
        let clock = all(|sample| sample.sm_mhz.map(f64::from));
        let heat = all(|sample| sample.temperature_c.map(f64::from));
        let count = inside.len() as f64;
        let mut throttled: BTreeMap<Throttle, f64> = BTreeMap::new();
        for reason in inside.iter().flat_map(|sample| &sample.throttle) {
            *throttled.entry(*reason).or_default() += 1.0 / count;
        }
        let held = inside.iter().filter(|sample| !sample.throttle.is_empty()).count() as f64;
        Self {
            gpu,
            samples: inside.len() as u64,
            energy_j: None,
            energy_from: None,
            power_mean_w: mean(&power),
            power_max_w: power.iter().copied().reduce(f64::max),
            sm_mean_mhz: mean(&clock),
            sm_min_mhz: clock.into_iter().reduce(f64::min),
            temperature_max_c: heat.into_iter().reduce(f64::max),
            memory_used_max_bytes: inside.iter().filter_map(|s| s.memory_used_bytes).max(),
            utilisation_mean: mean(&all(|sample| sample.gpu_utilisation)),
            throttled,
            throttled_share: (!inside.is_empty()).then(|| held / count),
            over_time: Vec::new(),
        }
    }
}

/// Samples in equal numbers, each number of them as one slice.
fn slices(samples: &[GpuSample], start: MonoNs) -> Vec<GpuSlice> {
    let each = samples.len().div_ceil(SLICES).max(1);
    let slice = |chunk: &[GpuSample]| {
        let all = |value: fn(&GpuSample) -> Option<f64>| -> Option<f64> {
            mean(&chunk.iter().filter_map(value).collect::<Vec<f64>>())
        };
        let (first, last) = (chunk.first()?, chunk.last()?);
        let since = |sample: &GpuSample| (sample.at - start).as_secs_f64();
        Some(GpuSlice {
            t_s: f64::midpoint(since(first), since(last)),
            power_w: all(|sample| sample.power_w),
            sm_mhz: all(|sample| sample.sm_mhz.map(f64::from)),
            temperature_c: all(|sample| sample.temperature_c.map(f64::from)),
        })
    };
    samples.chunks(each).filter_map(slice).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::gpu::energy::tests::{sample, window};

    fn driver() -> Driver {
        Driver { library: "libnvidia-ml.so.1".into(), named: false, version: None, cuda: None }
    }

    fn watched(uuids: &[&str]) -> Vec<Watched> {
        let named = |uuid: &&str| Watched { uuid: (*uuid).to_owned(), name: "NVIDIA H200".into() };
        uuids.iter().map(named).collect()
    }

    #[test]
    fn energy_of_all_is_valid_only_where_that_of_each_is_known() {
        let mut samples: Vec<_> = (0..=20).map(|i| sample(i * 100, 100.0, 0.0)).collect();
        let one = GpuUse::of(driver(), &watched(&["GPU-a"]), &samples, window(500, 1_500));
        assert!(one.energy_valid);
        assert!((one.energy_j.expect("valid") - 100.0).abs() < 1e-6);
        let late = (10..=20).map(|i| GpuSample { gpu: 1, ..sample(i * 100, 100.0, 0.0) });
        samples.extend(late);
        let two = GpuUse::of(driver(), &watched(&["GPU-a", "GPU-b"]), &samples, window(500, 1_500));
        assert_eq!((two.energy_valid, two.energy_j), (false, None));
        assert_eq!(two.energy_reasons.len(), 1);
        assert!(two.energy_reasons[0].starts_with("GPU-b: "), "{:?}", two.energy_reasons);
        assert!(two.gpus[0].energy_j.is_some());
    }

    #[test]
    fn only_samples_inside_the_window_count_for_means_and_throttling() {
        let mut samples: Vec<_> = (0..=20).map(|i| sample(i * 100, 100.0, 0.0)).collect();
        samples[0].throttle = vec![Throttle::PowerCap];
        samples[6].throttle = vec![Throttle::PowerCap, Throttle::HardwareThermal];
        samples[6].sm_mhz = Some(900);
        let seen = GpuUse::of(driver(), &watched(&["GPU-a"]), &samples, window(500, 1_500));
        let gpu = &seen.gpus[0];
        assert_eq!((gpu.samples, gpu.sm_min_mhz), (10, Some(900.0)));
        assert_eq!(
            gpu.throttled,
            BTreeMap::from([(Throttle::PowerCap, 0.1), (Throttle::HardwareThermal, 0.1)])
        );
        assert_eq!(seen.most_throttled().map(|(_, share)| share), Some(0.1));
    }

    #[test]
    fn the_course_of_a_point_begins_before_its_window_and_ends_behind_it() {
        let samples: Vec<_> = (0..=20).map(|i| sample(i * 100, 100.0, 0.0)).collect();
        let seen = GpuUse::of(driver(), &watched(&["GPU-a"]), &samples, window(500, 1_500));
        let slices = &seen.gpus[0].over_time;
        assert_eq!(slices.len(), 21);
        assert!((slices[0].t_s + 0.5).abs() < 1e-9 && (slices[20].t_s - 1.5).abs() < 1e-9);
        assert_eq!(slices[0].power_w, Some(100.0));
    }

    #[test]
    fn a_long_run_has_no_more_slices_than_a_plot_can_show() {
        let samples: Vec<_> = (0..36_000).map(|i| sample(i * 100, 100.0, 0.0)).collect();
        let seen = GpuUse::of(driver(), &watched(&["GPU-a"]), &samples, window(0, 3_600_000));
        assert_eq!(seen.gpus[0].over_time.len(), SLICES);
        assert!((seen.gpus[0].over_time[0].t_s - 14.95).abs() < 1e-9);
    }

    #[test]
    fn no_gpu_is_no_energy_and_not_none_at_all() {
        let nothing = GpuUse::of(driver(), &[], &[], window(0, 1_000));
        assert_eq!((nothing.energy_valid, nothing.energy_j), (false, None));
        let unseen = GpuUse::of(driver(), &watched(&["GPU-a"]), &[], window(0, 1_000));
        assert_eq!(unseen.gpus[0].power_mean_w, None);
        assert_eq!(unseen.most_throttled(), None);
    }
}
