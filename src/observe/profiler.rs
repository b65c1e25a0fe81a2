//! Profiler control: a thread that starts and stops capture in one window of each measured point.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::clock::{self, MonoNs, Nanos};
use crate::ffi::cuda::{CudaError, ProfilerSwitch};
use crate::ffi::nvtx;
use crate::threads::Own;

/// How often the thread looks whether its point has ended.
const NAP: Nanos = Nanos::from_millis(10);
/// What NVIDIA's profilers leave in the environment of the program that they watch.
const TRACES: [&str; 3] = ["NSYS_PROFILING_SESSION_ID", "CUDA_INJECTION64_PATH", nvtx::VARIABLE];

/// Whether a profiler watches this process, as far as the environment shows.
pub fn is_attached() -> bool {
    TRACES.iter().any(|name| std::env::var_os(name).is_some())
}

/// A profiler that can be switched, and when.
#[derive(Debug)]
pub struct Profiler {
    switch: ProfilerSwitch,
    from: Nanos,
    to: Nanos,
}

/// A point during which the profiler is switched.
#[derive(Debug)]
pub struct Profiling {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<bool, CudaError>>,
}

impl Profiler {
    /// Finds the switch; `from` and `to` count from the start of each point.
    ///
    /// # Errors
    /// When there is no driver.
    pub fn new(from: Nanos, to: Nanos, library: Option<&Path>) -> Result<Self, CudaError> {
        Ok(Self { switch: ProfilerSwitch::load(library)?, from, to })
    }

    /// Waits for the window on a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn begin(&self) -> std::io::Result<Profiling> {
        let ended = Arc::new(AtomicBool::new(false));
        let (switch, point_ended) = (self.switch.clone(), Arc::clone(&ended));
        let start = clock::now();
        let (from, to) = (start + self.from, start + self.to);
        let work = move || {
            switch.bind_to_this_thread()?;
            if !wait_until(from, &point_ended) {
                return Ok(false);
            }
            switch.start()?;
            wait_until(to, &point_ended);
            switch.stop()?;
            Ok(true)
        };
        let thread = Own::Profiler.builder().spawn(work)?;
        Ok(Profiling { ended, thread })
    }
}

impl Profiling {
    /// Ends the window, if it still lasts; whether there was one.
    ///
    /// # Errors
    /// When the driver refused to switch.
    ///
    /// # Panics
    /// When the thread has panicked, which would be a fault of this program.
    pub fn finish(self) -> Result<bool, CudaError> {
        self.ended.store(true, Ordering::Release);
        self.thread.join().expect("the profiler's thread does not panic")
    }
}

/// Whether the instant came before the end of the point.
fn wait_until(due: MonoNs, ended: &AtomicBool) -> bool {
    while clock::now() < due {
        if ended.load(Ordering::Acquire) {
            return false;
        }
        clock::sleep_until(due.min(clock::now() + NAP));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_point_ends_the_wait() {
        let ended = AtomicBool::new(true);
        assert!(!wait_until(clock::now() + Nanos::from_millis(60_000), &ended));
        assert!(wait_until(clock::now(), &ended));
    }
}
