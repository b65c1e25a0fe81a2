//! HOT PATH. Kernel receive stamps, converted to the clock of all other stamps.
//!
//! The kernel stamps arriving packets on the wall clock (`SO_TIMESTAMPING`, RX software). The wall clock's offset
//! is measured again at least every [`REMEASURE`] while something is read, now and then while nothing is, and whenever a
//! stamp looks odd, so that slewing (at most 500 ppm) shifts a stamp by at most 25 µs and a step of the clock is noticed by
//! the two offsets around it. A stamp in the future, or one from before a step was noticed, gives way to our own.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use crate::clock::{MonoNs, Nanos, WallOffset, wall_offset};
use crate::record::request_record::StampSource;

/// How long an offset of the wall clock is trusted.
pub const REMEASURE: Nanos = Nanos::from_millis(50);
/// A lag above this may be a step of the wall clock, and is checked.
const ODD_LAG: Nanos = Nanos::from_millis(1);
/// What two measured offsets may differ by at least without a step.
const STEP: Nanos = Nanos::from_micros(200);
/// The clock is slewed by at most one part in so many: 500 ppm.
const SLEW: i64 = 2_000;

/// When the bytes of one read arrived, and how late our own thread was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadStamp {
    /// The kernel's stamp where there is one, else the instant right after the read.
    pub at: MonoNs,
    /// The instant right after the read − `at`.
    pub lag_ns: u32,
    /// Source of `at`.
    pub source: StampSource,
}

impl ReadStamp {
    fn ours(seen: MonoNs) -> Self {
        Self { at: seen, lag_ns: 0, source: StampSource::User }
    }
}

/// Turns kernel stamps into [`ReadStamp`]s. One per thread.
#[derive(Debug, Clone, Copy)]
struct Converter {
    offset: WallOffset,
    /// When the latest step was noticed: stamps from before may be of either side of it.
    step_noticed: Option<MonoNs>,
}

impl Converter {
    fn start() -> Self {
        Self { offset: wall_offset(), step_noticed: None }
    }

    /// `wall` is the kernel's stamp in nanoseconds of `CLOCK_REALTIME`, `seen` the instant right after the read.
    #[inline]
    fn convert(&mut self, wall: i64, seen: MonoNs) -> ReadStamp {
        if seen - self.offset.at > REMEASURE {
            self.measure();
        }
        let lag = self.lag(wall, seen);
        if lag >= Nanos(-self.offset.error.0) && lag <= ODD_LAG && self.step_noticed.is_none() {
            return Self::stamp(seen, lag);
        }
        self.convert_oddity(wall, seen)
    }

    /// Measures the offset anew, and notes a step since it was measured last.
    fn measure(&mut self) {
        let before = self.offset;
        self.offset = wall_offset();
        let moved = (self.offset.ahead.0 - before.ahead.0).abs();
        let slewed = (self.offset.at - before.at).0 / SLEW;
        if moved > STEP.0 + slewed {
            self.step_noticed = Some(self.offset.at);
        }
    }

    fn lag(&self, wall: i64, seen: MonoNs) -> Nanos {
        Nanos(seen.0 - (wall - self.offset.ahead.0))
    }

    #[cold]
    fn convert_oddity(&mut self, wall: i64, seen: MonoNs) -> ReadStamp {
        self.measure();
        let lag = self.lag(wall, seen);
        // Slewing can make a stamp look a few microseconds younger than the read; it cannot do more.
        if lag < Nanos(-STEP.0) {
            return ReadStamp::ours(seen);
        }
        if self.step_noticed.is_some_and(|noticed| seen - lag < noticed) {
            return ReadStamp::ours(seen);
        }
        // Stamps come in order: the next ones are from after the step as well.
        self.step_noticed = None;
        Self::stamp(seen, lag)
    }

    #[inline]
    fn stamp(seen: MonoNs, lag: Nanos) -> ReadStamp {
        let lag = lag.max(Nanos::ZERO);
        let lag_ns = u32::try_from(lag.0).unwrap_or(u32::MAX);
        ReadStamp { at: seen - lag, lag_ns, source: StampSource::Kernel }
    }
}

thread_local! {
    static CONVERTER: Cell<Option<Converter>> = const { Cell::new(None) };
}

/// Measures the wall clock's offset for this thread, which has read nothing for a while: the less time lies between two
/// measurements, the smaller a step is noticed.
pub fn measure_wall_clock() {
    let mut converter = CONVERTER.get().unwrap_or_else(Converter::start);
    converter.measure();
    CONVERTER.set(Some(converter));
}

/// The stamp of a read that was over at `seen`, where the kernel's stamp is `wall` (nanoseconds of `CLOCK_REALTIME`).
#[inline]
pub fn stamp_of(wall: Option<i64>, seen: MonoNs) -> ReadStamp {
    let Some(wall) = wall else { return ReadStamp::ours(seen) };
    let mut converter = CONVERTER.get().unwrap_or_else(Converter::start);
    let stamp = converter.convert(wall, seen);
    CONVERTER.set(Some(converter));
    stamp
}

/// The stamp of the latest read of one socket, for the client above the protocol that read it.
#[derive(Debug)]
pub struct LastRead {
    /// The kernel's stamp as it was given, on the wall clock; `i64::MIN` where the read had none.
    wall: AtomicI64,
    at: AtomicI64,
    lag_ns: AtomicU32,
    by_kernel: AtomicBool,
}

impl Default for LastRead {
    /// The stamp of a connection that has read nothing.
    fn default() -> Self {
        Self {
            wall: AtomicI64::new(i64::MIN),
            at: AtomicI64::new(i64::MIN),
            lag_ns: AtomicU32::new(0),
            by_kernel: AtomicBool::new(false),
        }
    }
}

impl LastRead {
    /// Notes a read that was over at `seen`. Several reads of one segment have the same stamp of the kernel, and then the
    /// same stamp here, whatever was measured of the wall clock meanwhile.
    #[inline]
    pub fn note(&self, wall: Option<i64>, seen: MonoNs) {
        let before = self.wall.swap(wall.unwrap_or(i64::MIN), Ordering::Relaxed);
        if wall.is_some_and(|wall| wall == before) && self.by_kernel.load(Ordering::Relaxed) {
            let lag = seen.0 - self.at.load(Ordering::Relaxed);
            self.lag_ns.store(u32::try_from(lag).unwrap_or(u32::MAX), Ordering::Relaxed);
        } else {
            self.set(stamp_of(wall, seen));
        }
    }

    /// Whether nothing was read yet, or the latest read has the kernel's stamp.
    #[inline]
    pub fn may_be_by_kernel(&self) -> bool {
        self.by_kernel.load(Ordering::Relaxed) || self.at.load(Ordering::Relaxed) == i64::MIN
    }

    /// Written by the socket, right after a read. Reader and socket are polled by one thread, so the three fields
    /// belong together. Bytes of one connection arrive in order: measuring the offset anew can move a stamp by
    /// some nanoseconds, and must not move it before the one that came first.
    #[inline]
    fn set(&self, stamp: ReadStamp) {
        let at = stamp.at.0.max(self.at.load(Ordering::Relaxed));
        self.at.store(at, Ordering::Relaxed);
        self.lag_ns.store(stamp.lag_ns, Ordering::Relaxed);
        self.by_kernel.store(stamp.source == StampSource::Kernel, Ordering::Relaxed);
    }

    /// The latest read.
    #[inline]
    pub fn get(&self) -> ReadStamp {
        let by_kernel = self.by_kernel.load(Ordering::Relaxed);
        ReadStamp {
            at: MonoNs(self.at.load(Ordering::Relaxed)),
            lag_ns: self.lag_ns.load(Ordering::Relaxed),
            source: if by_kernel { StampSource::Kernel } else { StampSource::User },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    fn converter_at(at: MonoNs) -> Converter {
        Converter { offset: WallOffset { at, ..wall_offset() }, step_noticed: None }
    }

    #[test]
    fn a_kernel_stamp_lands_on_the_monotonic_clock() {
        let mut converter = converter_at(now());
        let seen = now();
        let wall = seen.0 + converter.offset.ahead.0 - 300_000;
        let stamp = converter.convert(wall, seen);
        assert_eq!((stamp.at, stamp.lag_ns), (seen - Nanos(300_000), 300_000));
        assert_eq!(stamp.source, StampSource::Kernel);
    }

    #[test]
    fn a_thread_that_slept_keeps_the_kernels_stamp() {
        let mut converter = converter_at(now());
        let seen = now();
        let stamp = converter.convert(seen.0 + converter.offset.ahead.0 - 30_000_000, seen);
        assert_eq!(stamp.source, StampSource::Kernel);
        assert!((29_900_000..30_100_000).contains(&stamp.lag_ns), "{stamp:?}");
    }

    #[test]
    fn a_stamp_is_never_later_than_the_read() {
        let mut converter = converter_at(now());
        let seen = now();
        let stamp = converter.convert(seen.0 + converter.offset.ahead.0 + 40_000, seen);
        assert_eq!((stamp.at, stamp.lag_ns), (seen, 0));
    }

    #[test]
    fn stamps_of_one_connection_never_go_back() {
        let last = LastRead::default();
        let first = ReadStamp::ours(now());
        last.set(first);
        last.set(ReadStamp { at: first.at - Nanos(4), lag_ns: 9, source: StampSource::Kernel });
        assert_eq!(last.get().at, first.at);
        assert_eq!(last.get().lag_ns, 9);
    }

    #[test]
    fn two_reads_of_one_segment_have_one_stamp() {
        let last = LastRead::default();
        let wall = now().0 + wall_offset().ahead.0;
        last.note(Some(wall), now());
        let first = last.get();
        let offset = wall_offset();
        let moved = WallOffset { ahead: Nanos(offset.ahead.0 - 70), ..offset };
        CONVERTER.set(Some(Converter { offset: moved, step_noticed: None }));
        last.note(Some(wall), now());
        assert_eq!(last.get().at, first.at);
        assert!(last.get().lag_ns >= first.lag_ns);
        last.note(Some(wall + 5_000), now());
        assert_ne!(last.get().at, first.at);
    }

    /// As it is after somebody has moved the wall clock by so much, since an offset was measured so long ago.
    fn stepped(by: Nanos, ago: Nanos) -> Converter {
        let offset = wall_offset();
        let before =
            WallOffset { ahead: Nanos(offset.ahead.0 - by.0), at: offset.at - ago, ..offset };
        Converter { offset: before, step_noticed: None }
    }

    #[test]
    fn a_step_of_the_wall_clock_gives_way_to_our_own_stamp_until_what_came_before_it_is_read() {
        let mut converter = stepped(Nanos::from_millis(1_000), Nanos::ZERO);
        let ahead = wall_offset().ahead.0;
        let seen = now();
        assert_eq!(converter.convert(seen.0 + ahead, seen), ReadStamp::ours(seen));
        let later = now() + Nanos::from_millis(1);
        let again = converter.convert(later.0 + ahead - 5_000, later);
        assert_eq!(again.source, StampSource::Kernel);
        assert!((0..100_000).contains(&again.lag_ns), "{again:?}");
    }

    #[test]
    fn a_step_while_nothing_was_read_spoils_only_what_came_before_it_was_noticed() {
        // Backwards, so that a stamp from before the step looks a little younger than it is, and in the past all the same.
        for step in [Nanos::from_millis(-3), Nanos::from_millis(3), Nanos::from_millis(500)] {
            let mut converter = stepped(step, Nanos::from_millis(200));
            let seen = now();
            // It arrived 4 ms before it was read, on the clock as it was then.
            let wall = seen.0 - 4_000_000 + converter.offset.ahead.0;
            assert_eq!(converter.convert(wall, seen), ReadStamp::ours(seen), "{step:?}");
        }
    }

    #[test]
    fn a_clock_that_is_slewed_for_long_has_not_been_set() {
        let by = Nanos::from_millis(4);
        let mut converter = stepped(by, Nanos::from_millis(10_000));
        let seen = now();
        let stamp = converter.convert(seen.0 + wall_offset().ahead.0 - 300_000, seen);
        assert_eq!(stamp.source, StampSource::Kernel);
    }
}
