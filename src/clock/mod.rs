//! Clock: monotonic and wall time, precise waiting. The only place that reads time.
//!
//! All instants are nanoseconds of `CLOCK_MONOTONIC`, the clock that `std::chrono::steady_clock` reads on
//! Linux, so stamps taken in C++ by the engine subtract directly from ours.

mod window;

use std::fmt;
use std::ops::{Add, Sub};

use rustix::thread::{ClockId as SleepClock, clock_nanosleep_absolute};
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

pub use window::Window;

/// An instant: nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MonoNs(pub i64);

/// A span of time in nanoseconds; negative when the later instant came first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From microseconds.
    pub const fn from_micros(us: i64) -> Self {
        Self(us * 1_000)
    }

    /// From milliseconds.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms * 1_000_000)
    }

    /// From seconds; saturates, and is meant for values a user typed.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1e9).round() as i64)
    }

    /// As milliseconds, the unit of every printed latency.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// As seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.unsigned_abs() {
            0..1_000 => write!(f, "{} ns", self.0),
            1_000..1_000_000 => write!(f, "{:.1} µs", self.0 as f64 / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.1} ms", self.0 as f64 / 1e6),
            _ => write!(f, "{:.1} s", self.0 as f64 / 1e9),
        }
    }
}

impl Sub for MonoNs {
    type Output = Nanos;
    fn sub(self, earlier: Self) -> Nanos {
        Nanos(self.0 - earlier.0)
    }
}

impl Add<Nanos> for MonoNs {
    type Output = Self;
    fn add(self, span: Nanos) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Nanos> for MonoNs {
    type Output = Self;
    fn sub(self, span: Nanos) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

fn nanos_of(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Now, on the clock of every stamp.
#[inline]
pub fn now() -> MonoNs {
    MonoNs(nanos_of(clock_gettime(ClockId::Monotonic)))
}

/// Now, as a bare number, for an engine that is given its clock as a function.
pub fn now_ns() -> i64 {
    now().0
}

/// CPU time that the whole process has used.
pub fn process_cpu() -> Nanos {
    Nanos(nanos_of(clock_gettime(ClockId::ProcessCPUTime)))
}

/// CPU time that the calling thread has used.
pub fn thread_cpu() -> Nanos {
    Nanos(nanos_of(clock_gettime(ClockId::ThreadCPUTime)))
}

/// Wall-clock time, for naming runs and manifests only: no measurement is taken from it.
pub fn utc_now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// How far the wall clock is ahead of the clock of every stamp, for stamps that the kernel takes on the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallOffset {
    /// `CLOCK_REALTIME` − `CLOCK_MONOTONIC`.
    pub ahead: Nanos,
    /// The true offset at `at` lies within this much of `ahead`.
    pub error: Nanos,
    /// When it was measured.
    pub at: MonoNs,
}

/// Measures the wall clock's offset between two reads of the monotonic clock; a preempted attempt is repeated.
pub fn wall_offset() -> WallOffset {
    const GOOD: Nanos = Nanos(1_000);
    let attempt = || {
        let before = now();
        let wall = nanos_of(clock_gettime(ClockId::Realtime));
        let after = now();
        let half = Nanos((after - before).0 / 2);
        WallOffset { ahead: Nanos(wall - before.0 - half.0), error: half, at: after }
    };
    let mut best = attempt();
    for _ in 0..4 {
        if best.error <= GOOD {
            break;
        }
        let next = attempt();
        if next.error < best.error {
            best = next;
        }
    }
    best
}

/// How long before a deadline a precise wait stops sleeping and starts to spin.
///
/// A virtual machine wakes a sleeper some tens of microseconds late; the spin hides that.
pub const SPIN_MARGIN: Nanos = Nanos::from_micros(80);

/// Sleeps until `deadline` or a signal; may wake a scheduler tick late.
pub fn sleep_until(deadline: MonoNs) {
    let request = Timespec {
        tv_sec: deadline.0.div_euclid(1_000_000_000),
        tv_nsec: deadline.0.rem_euclid(1_000_000_000),
    };
    // An interrupted sleep (EINTR) is a wake-up like any other: every caller checks its condition again.
    let _woken_early = clock_nanosleep_absolute(SleepClock::Monotonic, &request);
}

/// Sleeps for about `span`.
pub fn sleep(span: Nanos) {
    sleep_until(now() + span);
}

/// Waits until `deadline` to within about a microsecond: sleeps, then spins the last [`SPIN_MARGIN`].
pub fn wait_precisely_until(deadline: MonoNs) {
    let wake = deadline - SPIN_MARGIN;
    if now() < wake {
        sleep_until(wake);
    }
    while now() < deadline {
        std::hint::spin_loop();
    }
}

/// Asks the kernel to wake this thread as exactly as it can (timer slack 1 ns instead of 50 µs).
///
/// # Errors
/// When the kernel refuses; sleeps are then coarser, which the schedule-lag check will show.
pub fn minimise_timer_slack() -> Result<(), std::io::Error> {
    let one = std::num::NonZeroU64::MIN;
    rustix::thread::set_current_timer_slack(Some(one)).map_err(std::io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precise_wait_never_ends_early() {
        let deadline = now() + Nanos::from_micros(300);
        wait_precisely_until(deadline);
        assert!(now() >= deadline);
    }

    #[test]
    fn the_wall_offset_is_known_to_within_its_own_error() {
        let first = wall_offset();
        let second = wall_offset();
        let drift = (second.ahead.0 - first.ahead.0).abs();
        let slew = (second.at - first.at).0 / 1_000;
        assert!(drift <= first.error.0 + second.error.0 + slew + 1_000, "{first:?} {second:?}");
    }

    #[test]
    fn spans_are_printed_in_the_unit_a_reader_expects() {
        assert_eq!(Nanos(12).to_string(), "12 ns");
        assert_eq!(Nanos(1_500).to_string(), "1.5 µs");
        assert_eq!(Nanos::from_millis(12).to_string(), "12.0 ms");
        assert_eq!(Nanos::from_secs_f64(2.0).to_string(), "2.0 s");
    }

    #[test]
    fn the_monotonic_clock_is_the_one_that_cxx_and_std_read() {
        let before = std::time::Instant::now();
        let a = now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let by_std = before.elapsed().as_nanos() as i64;
        let by_us = (now() - a).0;
        assert!((by_std - by_us).abs() < 2_000_000, "{by_std} against {by_us}");
    }
}
