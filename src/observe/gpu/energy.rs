//! Energy of a GPU over a window: from its counter, or else integrated from power samples.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::clock::Window;
use crate::observe::gpu::sample::GpuSample;

/// The counter moves in steps, and over short windows it may not move at all.
const COUNTER_NEEDS: Nanos = Nanos::from_millis(10_000);
/// Between samples further apart than this, the energy is unknown.
pub const MAX_GAP: Nanos = Nanos::from_millis(1_000);

/// What a GPU took over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Energy {
    /// In all.
    pub joules: f64,
    /// Its source.
    pub from: EnergySource,
}

/// Source of an energy value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergySource {
    /// The GPU's own counter, its steps joined by straight lines at the edges of the window.
    Counter,
    /// Power, joined by straight lines.
    Power,
}

/// Why there is no energy value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnergyUnavailable {
    /// No window.
    #[error("the window has no length")]
    NoWindow,
    /// Samples begin late or end early.
    #[error("samples do not reach from the start of the window to its end")]
    NotCovered,
    /// Too long without a sample.
    #[error("{} without a sample, where {} are allowed", .0, MAX_GAP)]
    Gap(Nanos),
    /// The GPU reports neither.
    #[error("the GPU reports neither its energy nor its power")]
    NotTold,
}

/// Energy of one GPU, from its samples in order of time.
///
/// # Errors
/// The reason why there is none.
pub fn over(samples: &[GpuSample], window: Window) -> Result<Energy, EnergyUnavailable> {
    if window.seconds().is_none() {
        return Err(EnergyUnavailable::NoWindow);
    }
    let covering = covering(samples, window).ok_or(EnergyUnavailable::NotCovered)?;
    let gaps = covering.windows(2).map(|pair| pair[1].at - pair[0].at);
    if let Some(gap) = gaps.filter(|gap| *gap > MAX_GAP).max() {
        return Err(EnergyUnavailable::Gap(gap));
    }
    if window.span() >= COUNTER_NEEDS
        && let Some(joules) = by_counter(covering, window)
    {
        return Ok(Energy { joules, from: EnergySource::Counter });
    }
    let joules = by_power(covering, window).ok_or(EnergyUnavailable::NotTold)?;
    Ok(Energy { joules, from: EnergySource::Power })
}

/// From the last sample at or before the start to the first at or after the end.
fn covering(samples: &[GpuSample], window: Window) -> Option<&[GpuSample]> {
    let first = samples.iter().rposition(|sample| sample.at <= window.start)?;
    let last = samples.iter().position(|sample| sample.at >= window.end)?;
    samples.get(first..=last)
}

/// `None` where a reading is missing, or the counter stood still or went back.
fn by_counter(covering: &[GpuSample], window: Window) -> Option<f64> {
    let points: Vec<(f64, f64)> = points(covering, window, |sample| sample.energy_j)?;
    let at_start = value_at(&points, 0.0)?;
    let at_end = value_at(&points, window.span().as_secs_f64())?;
    Some(at_end - at_start).filter(|joules| *joules > 0.0)
}

fn by_power(covering: &[GpuSample], window: Window) -> Option<f64> {
    let points: Vec<(f64, f64)> = points(covering, window, |sample| sample.power_w)?;
    let seconds = window.span().as_secs_f64();
    let edges = [(0.0, value_at(&points, 0.0)?), (seconds, value_at(&points, seconds)?)];
    let inside = points.iter().copied().filter(|(at, _)| 0.0 < *at && *at < seconds);
    let course: Vec<(f64, f64)> =
        std::iter::once(edges[0]).chain(inside).chain(std::iter::once(edges[1])).collect();
    Some(
        course
            .windows(2)
            .map(|pair| (pair[1].0 - pair[0].0) * f64::midpoint(pair[0].1, pair[1].1))
            .sum(),
    )
}

/// Seconds from the start of the window, and the value; `None` where one is missing.
fn points(
    covering: &[GpuSample],
    window: Window,
    value: impl Fn(&GpuSample) -> Option<f64>,
) -> Option<Vec<(f64, f64)>> {
    covering
        .iter()
        .map(|sample| Some(((sample.at - window.start).as_secs_f64(), value(sample)?)))
        .collect()
}

/// On the straight lines between points.
fn value_at(points: &[(f64, f64)], at: f64) -> Option<f64> {
    let after = points.iter().position(|(when, _)| *when >= at)?;
    let (t1, v1) = points[after];
    let Some(&(t0, v0)) = after.checked_sub(1).and_then(|before| points.get(before)) else {
        return Some(v1);
    };
    Some(if t1 > t0 { v0 + (v1 - v0) * (at - t0) / (t1 - t0) } else { v1 })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::MonoNs;

    pub(in crate::observe::gpu) fn sample(t_ms: i64, power_w: f64, energy_j: f64) -> GpuSample {
        GpuSample {
            gpu: 0,
            at: MonoNs(t_ms * 1_000_000),
            power_w: Some(power_w),
            energy_j: Some(energy_j),
            sm_mhz: Some(1_500),
            memory_mhz: Some(2_600),
            temperature_c: Some(50),
            memory_used_bytes: Some(1 << 30),
            gpu_utilisation: Some(0.5),
            memory_utilisation: Some(0.25),
            throttle: Vec::new(),
        }
    }

    pub(in crate::observe::gpu) fn window(start_ms: i64, end_ms: i64) -> Window {
        Window { start: MonoNs(start_ms * 1_000_000), end: MonoNs(end_ms * 1_000_000) }
    }

    /// A constant 200 W by the power reading, and 300 W by the counter, so that the two can be told apart.
    fn steady(until_ms: i64) -> Vec<GpuSample> {
        (0..=until_ms / 100).map(|i| sample(i * 100, 200.0, 30.0 * i as f64)).collect()
    }

    #[test]
    fn samples_that_do_not_reach_both_ends_tell_nothing() {
        assert_eq!(over(&steady(900), window(50, 1_000)), Err(EnergyUnavailable::NotCovered));
        assert_eq!(over(&steady(900)[1..], window(50, 800)), Err(EnergyUnavailable::NotCovered));
        assert_eq!(over(&[], window(0, 100)), Err(EnergyUnavailable::NotCovered));
        assert_eq!(over(&steady(900), window(100, 100)), Err(EnergyUnavailable::NoWindow));
    }

    #[test]
    fn a_gap_makes_energy_unknown_rather_than_guessed() {
        let mut samples = steady(4_000);
        samples.drain(10..25);
        assert_eq!(
            over(&samples, window(50, 3_950)),
            Err(EnergyUnavailable::Gap(Nanos::from_millis(1_600)))
        );
    }

    #[test]
    fn a_long_window_is_read_from_the_counter_to_within_its_edges() {
        let energy = over(&steady(12_000), window(50, 11_050)).expect("covered");
        assert_eq!(energy.from, EnergySource::Counter);
        assert!((energy.joules - 300.0 * 11.0).abs() < 1e-6, "{energy:?}");
    }

    #[test]
    fn a_short_window_is_read_from_power_and_so_is_one_whose_counter_stands_still() {
        let energy = over(&steady(4_000), window(150, 2_150)).expect("covered");
        assert_eq!(energy.from, EnergySource::Power);
        assert!((energy.joules - 400.0).abs() < 1e-6, "{energy:?}");
        let mut stuck = steady(12_000);
        for sample in &mut stuck {
            sample.energy_j = Some(7.0);
        }
        let energy = over(&stuck, window(0, 11_000)).expect("covered");
        assert_eq!(energy.from, EnergySource::Power);
        assert!((energy.joules - 2_200.0).abs() < 1e-6, "{energy:?}");
    }

    #[test]
    fn power_that_ramps_is_integrated_by_trapezoids() {
        let samples: Vec<_> = (0..=20).map(|i| sample(i * 100, 100.0 * i as f64, 0.0)).collect();
        // 0 W at 0 s, 2 000 W at 2 s: ½ · 1 s · (500 W + 1 500 W) between 0.5 s and 1.5 s.
        let energy = over(&samples, window(500, 1_500)).expect("covered");
        assert!((energy.joules - 1_000.0).abs() < 1e-6, "{energy:?}");
    }

    #[test]
    fn a_gpu_that_tells_nothing_has_no_energy() {
        let mut samples = steady(2_000);
        for sample in &mut samples {
            (sample.power_w, sample.energy_j) = (None, None);
        }
        assert_eq!(over(&samples, window(100, 1_900)), Err(EnergyUnavailable::NotTold));
    }
}
