//! HTML section of GPU telemetry: power, clocks and temperature over a point, with ramp and tail shaded.

use crate::metrics::summary::Summary;
use crate::observe::gpu::over_window::{GpuOverWindow, GpuSlice};
use crate::report::html::plot::{Series, shade};
use crate::report::html::point::{course_chart, line};

/// Empty where no GPU was watched.
pub(super) fn section(summary: &Summary) -> String {
    let told = summary.gpu.as_ref();
    told.map_or_else(String::new, |told| plots(&told.gpus, summary.window_s.unwrap_or(0.0)))
}

/// What no GPU tells is left out.
fn plots(gpus: &[GpuOverWindow], window_s: f64) -> String {
    let plot = |title: &str, unit: &str, value: fn(&GpuSlice) -> Option<f64>| {
        let series = (0..).zip(gpus).map(|(index, gpu)| of_one(gpu, index, gpus.len(), value));
        let series: Vec<Series> = series.filter(|series| series.points.len() > 1).collect();
        course_chart(title, unit, series).figure_beside((0.0, window_s))
    };
    let plots = [
        plot("Power of the GPUs", "W", |slice| slice.power_w),
        plot("Clock of the multiprocessors", "MHz", |slice| slice.sm_mhz),
        plot("Temperature of the GPUs", "°C", |slice| slice.temperature_c),
    ]
    .concat();
    if plots.is_empty() { plots } else { format!("<div class=\"plots three\">\n{plots}</div>\n") }
}

fn of_one(
    gpu: &GpuOverWindow,
    index: usize,
    of: usize,
    value: fn(&GpuSlice) -> Option<f64>,
) -> Series {
    let values = gpu.over_time.iter().map(|slice| (slice.t_s, value(slice)));
    line(&format!("GPU {index}"), &shade(index, of), values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{MonoNs, Window};
    use crate::observe::gpu::library::Driver;
    use crate::observe::gpu::over_window::{GpuUse, Watched};

    /// So many GPUs of this course.
    fn gpus(count: usize, course: &[GpuSlice]) -> Vec<GpuOverWindow> {
        let driver =
            Driver { library: "libnvidia-ml.so.1".into(), named: false, version: None, cuda: None };
        let watched: Vec<Watched> = (0..count)
            .map(|index| Watched { uuid: format!("GPU-{index}"), name: "NVIDIA H200".into() })
            .collect();
        let window = Window { start: MonoNs(0), end: MonoNs(1) };
        let mut told = GpuUse::of(driver, &watched, &[], window).gpus;
        for gpu in &mut told {
            gpu.over_time = course.to_vec();
        }
        told
    }

    fn at(t_s: f64) -> GpuSlice {
        GpuSlice { t_s, power_w: Some(300.0), sm_mhz: Some(1_980.0), temperature_c: None }
    }

    #[test]
    fn ramp_and_tail_are_shaded_and_each_gpu_has_a_line() {
        let drawn = plots(&gpus(2, &[at(-0.5), at(0.5), at(1.5)]), 1.0);
        assert_eq!(drawn.matches("<figure>").count(), 2, "power and clock: {drawn}");
        assert_eq!(drawn.matches("class=\"margin\"").count(), 4, "{drawn}");
        assert_eq!(drawn.matches("class=\"line\"").count(), 4, "{drawn}");
        assert!(drawn.contains("GPU 0") && drawn.contains("GPU 1"), "{drawn}");
    }

    #[test]
    fn without_a_course_nothing_is_drawn() {
        assert_eq!(plots(&gpus(1, &[]), 1.0), "");
        assert_eq!(plots(&[], 1.0), "");
    }
}
