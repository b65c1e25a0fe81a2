//! Repetition of a piece of work within its share of time, and the rate that its times come to.

use std::collections::BTreeMap;

use crate::clock::{MonoNs, Nanos};
use crate::observe::gpu::sample::{GpuSample, Throttle};

/// Time for all pieces of work on all GPUs together. What else a probe does (contexts, memory, compilation) takes a few seconds.
const ALL: Nanos = Nanos::from_millis(6_000);
/// Batches that a share of time is cut into.
const BATCHES: f64 = 8.0;
/// Fewer say nothing of their middle.
const FEWEST_BATCHES: usize = 3;
/// Launches of one batch at most, whatever the time of one is said to be.
const MOST_REPEATS: f64 = 100_000.0;

/// How long one piece of work may take, of `pieces` on each of `gpus`.
pub(super) fn share(gpus: usize, pieces: usize) -> Nanos {
    let parts = (gpus * pieces).max(1);
    Nanos(ALL.0 / i64::try_from(parts).unwrap_or(i64::MAX))
}

/// Milliseconds that one repetition takes, where `run` does so many in a row and tells their time by the GPU's clock.
///
/// The first runs alone and warms up; the second tells how many make a batch. Then batches run until the share is used up by
/// the GPU's clock or the host's, `now`. The middle one of the later half counts: clocks have risen, or fallen, by then.
pub(super) fn middle_ms<E>(
    share: Nanos,
    now: &dyn Fn() -> MonoNs,
    run: &mut dyn FnMut(u32) -> Result<f64, E>,
) -> Result<f64, E> {
    let began = now();
    run(1)?;
    let once = run(1)?.max(1e-6);
    let repeats = (share.as_millis_f64() / BATCHES / once).clamp(1.0, MOST_REPEATS) as u32;
    let (mut each, mut spent) = (Vec::new(), 0.0);
    loop {
        let ms = run(repeats)?;
        each.push(ms / f64::from(repeats));
        spent += ms;
        let is_used_up = spent >= share.as_millis_f64() || now() - began >= share;
        if is_used_up && each.len() >= FEWEST_BATCHES {
            let later = each.split_off(each.len() / 2);
            return Ok(middle(later));
        }
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Units per second at so many milliseconds for `units`; `None` where no time has passed, which is no measurement.
pub(super) fn rate(units: f64, ms: f64) -> Option<f64> {
    (ms > 0.0 && ms.is_finite()).then(|| units / ms * 1e3)
}

/// Operations of a product of two square matrices: a multiplication and an addition for each pair.
pub(super) fn product_operations(side: usize) -> f64 {
    2.0 * (side as f64).powi(3)
}

/// Rows of a square matrix whose three of at most two bytes a value fit into a sixteenth of the free memory each, up to 8 192.
pub(super) fn side(free_bytes: u64) -> usize {
    [8_192, 4_096, 2_048]
        .into_iter()
        .find(|side| 2 * side * side <= free_bytes as usize / 16)
        .unwrap_or(1_024)
}

/// Bytes that are read or copied: as many as are far more than a cache holds, and no more than an eighth of what is free.
pub(super) fn bytes(free_bytes: u64) -> usize {
    const MOST: u64 = 1 << 30;
    const GROUP: u64 = 64;
    ((free_bytes / 8).min(MOST) / GROUP * GROUP).max(GROUP) as usize
}

/// The clock in the middle of what was seen of one GPU between two instants, and everything that held it down. Where nothing was
/// seen between them, what was seen next.
pub(super) fn clocks(
    samples: &[GpuSample],
    gpu: u32,
    (from, to): (MonoNs, MonoNs),
) -> (Option<u32>, Vec<String>) {
    let later = || samples.iter().filter(|it| it.gpu == gpu && it.at >= from);
    let to = later().map(|it| it.at).next().map_or(to, |first| first.max(to));
    let seen = || later().filter(move |it| it.at <= to);
    let mut clocks: Vec<u32> = seen().filter_map(|sample| sample.sm_mhz).collect();
    clocks.sort_unstable();
    let held: BTreeMap<Throttle, &str> =
        seen().flat_map(|it| &it.throttle).map(|it| (*it, it.label())).collect();
    let mut held: Vec<String> = held.into_values().map(str::to_owned).collect();
    held.dedup();
    (clocks.get(clocks.len() / 2).copied(), held)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "the figures are chosen so that results are exact")]

    use std::cell::Cell;

    use super::*;

    const SHARE: Nanos = Nanos::from_millis(80);

    /// What comes of work whose repetition takes so many milliseconds in each call, the last for ever; and all repeats.
    fn played(each: &[f64]) -> (f64, Vec<u32>) {
        let mut calls = Vec::new();
        let ms = middle_ms::<()>(SHARE, &|| MonoNs(0), &mut |times| {
            let ms = each[calls.len().min(each.len() - 1)];
            calls.push(times);
            Ok(ms * f64::from(times))
        });
        (ms.expect("it ran"), calls)
    }

    #[test]
    fn a_share_of_time_is_filled_with_batches_after_one_to_warm_up_and_one_to_try() {
        let (ms, calls) = played(&[50.0, 1.0]);
        assert_eq!(ms, 1.0);
        assert_eq!(calls, [1, 1, 10, 10, 10, 10, 10, 10, 10, 10]);
    }

    #[test]
    fn work_that_is_longer_than_its_share_still_runs_three_times() {
        assert_eq!(played(&[500.0]).1, [1, 1, 1, 1, 1]);
    }

    #[test]
    fn clocks_that_fall_under_load_count_and_those_before_do_not() {
        // Eight batches: the first at full clock, the rest throttled.
        let (ms, _) = played(&[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(ms, 2.0);
    }

    #[test]
    fn a_gpu_whose_clock_stands_still_ends_by_the_hosts() {
        let host = Cell::new(0);
        let now = || MonoNs(host.replace(host.get() + 10_000_000));
        let mut calls = 0;
        let ms = middle_ms::<()>(SHARE, &now, &mut |_| {
            calls += 1;
            Ok(0.0)
        });
        assert_eq!((ms, calls), (Ok(0.0), 10));
        assert_eq!(rate(1.0, 0.0), None);
    }

    #[test]
    fn an_error_ends_it_at_once() {
        let mut calls = 0;
        let ended = middle_ms(SHARE, &|| MonoNs(0), &mut |_| {
            calls += 1;
            if calls == 3 { Err("broken") } else { Ok(1.0) }
        });
        assert_eq!((ended, calls), (Err("broken"), 3));
    }

    #[test]
    fn rates_are_units_of_a_second() {
        assert_eq!(rate(4e9, 1.0), Some(4e12));
        // 8 192 rows: 1.1 × 10¹² operations; in 1 ms that is 1.1 PFLOP/s.
        assert_eq!(product_operations(8_192), 1_099_511_627_776.0);
        assert_eq!(rate(product_operations(1_000), 2.0), Some(1e12));
    }

    #[test]
    fn a_small_gpu_is_measured_with_less() {
        assert_eq!((bytes(140 << 30), side(140 << 30)), (1 << 30, 8_192));
        assert_eq!((bytes(1 << 30), side(1 << 30)), (128 << 20, 4_096));
        assert_eq!(bytes(1_000), 64);
        assert_eq!(side(0), 1_024);
    }

    #[test]
    fn eight_gpus_share_the_time_of_one() {
        assert_eq!(share(1, 10), Nanos::from_millis(600));
        assert_eq!(share(8, 10), Nanos::from_millis(75));
        assert_eq!(share(0, 0), ALL);
    }

    #[test]
    fn clocks_are_those_of_one_gpu_while_it_worked() {
        let sample = |gpu, at, mhz, throttle: &[Throttle]| GpuSample {
            gpu,
            at: MonoNs(at),
            power_w: None,
            energy_j: None,
            sm_mhz: Some(mhz),
            memory_mhz: None,
            temperature_c: None,
            memory_used_bytes: None,
            gpu_utilisation: None,
            memory_utilisation: None,
            throttle: throttle.to_vec(),
        };
        let heat = [Throttle::HardwareThermal, Throttle::SoftwareThermal];
        let samples = [
            sample(0, 1, 300, &[]),
            sample(0, 5, 1_980, &[Throttle::PowerCap]),
            sample(0, 6, 1_700, &heat),
            sample(0, 7, 1_800, &[]),
            sample(1, 6, 900, &[Throttle::PowerBrake]),
        ];
        let (mhz, held) = clocks(&samples, 0, (MonoNs(2), MonoNs(9)));
        assert_eq!(mhz, Some(1_800));
        assert_eq!(held, ["the power cap", "heat"]);
        assert_eq!(clocks(&samples, 2, (MonoNs(0), MonoNs(9))), (None, Vec::new()));
        // Work that is shorter than the time between two samples has the next one.
        assert_eq!(clocks(&samples, 0, (MonoNs(2), MonoNs(3))).0, Some(1_980));
    }
}
