//! HOT PATH. Kernel receive stamps, converted to the clock of all other stamps.
//!
//! The kernel stamps arriving packets on the wall clock (`SO_TIMESTAMPING`, RX software). The wall clock's offset
//! is measured again at least every [`REMEASURE`], and whenever a stamp looks odd, so that slewing (at most
//! 500 ppm) shifts a stamp by at most 25 µs and a step of the clock is noticed. A stamp in the future, or one that
//! a step has spoilt, gives way to our own.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use crate::clock::{MonoNs, Nanos, WallOffset, wall_offset};
use crate::record::request_record::StampSource;

/// How long an offset of the wall clock is trusted.
pub const REMEASURE: Nanos = Nanos::from_millis(50);
/// A lag above this may be a step of the wall clock, and is checked.
const ODD_LAG: Nanos = Nanos::from_millis(1);
/// More than the clock could have been slewed in between: it was set.
const STEP: Nanos = Nanos::from_micros(200);

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
#[derive(Debug)]
struct Converter {
    offset: WallOffset,
}

impl Converter {
    /// `wall` is the kernel's stamp in nanoseconds of `CLOCK_REALTIME`, `seen` the instant right after the read.
    #[inline]
    fn convert(&mut self, wall: i64, seen: MonoNs) -> ReadStamp {
        if seen - self.offset.at > REMEASURE {
            self.offset = wall_offset();
        }
        let lag = self.lag(wall, seen);
        if lag >= Nanos(-self.offset.error.0) && lag <= ODD_LAG {
            return Self::stamp(seen, lag);
        }
        self.convert_oddity(wall, seen)
    }

    fn lag(&self, wall: i64, seen: MonoNs) -> Nanos {
        Nanos(seen.0 - (wall - self.offset.ahead.0))
    }

    #[cold]
    fn convert_oddity(&mut self, wall: i64, seen: MonoNs) -> ReadStamp {
        let trusted = self.offset;
        self.offset = wall_offset();
        let moved = (self.offset.ahead.0 - trusted.ahead.0).abs();
        let lag = self.lag(wall, seen);
        // Slewing can make a stamp look a few microseconds younger than the read; it cannot do more.
        if moved > STEP.0 || lag < Nanos(-STEP.0) {
            return ReadStamp::ours(seen);
        }
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
    static OFFSET: Cell<Option<WallOffset>> = const { Cell::new(None) };
}

/// The stamp of a read that was over at `seen`, where the kernel's stamp is `wall` (nanoseconds of `CLOCK_REALTIME`).
#[inline]
pub fn stamp_of(wall: Option<i64>, seen: MonoNs) -> ReadStamp {
    let Some(wall) = wall else { return ReadStamp::ours(seen) };
    let mut converter = Converter { offset: OFFSET.get().unwrap_or_else(wall_offset) };
    let stamp = converter.convert(wall, seen);
    OFFSET.set(Some(converter.offset));
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
        Converter { offset: WallOffset { at, ..wall_offset() } }
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
        OFFSET.set(OFFSET.get().map(|it| WallOffset { ahead: Nanos(it.ahead.0 - 70), ..it }));
        last.note(Some(wall), now());
        assert_eq!(last.get().at, first.at);
        assert!(last.get().lag_ns >= first.lag_ns);
        last.note(Some(wall + 5_000), now());
        assert_ne!(last.get().at, first.at);
    }

    #[test]
    fn a_step_of_the_wall_clock_gives_way_to_our_own_stamp() {
        let mut converter = converter_at(now());
        // The offset in use is one second off, as it is right after somebody set the clock.
        converter.offset.ahead = Nanos(converter.offset.ahead.0 - 1_000_000_000);
        let seen = now();
        let stamp = converter.convert(seen.0 + wall_offset().ahead.0, seen);
        assert_eq!(stamp, ReadStamp::ours(seen));
        let again = converter.convert(seen.0 + wall_offset().ahead.0 - 5_000, seen);
        assert_eq!(again.source, StampSource::Kernel);
    }
}
