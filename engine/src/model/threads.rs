//! Number of compute threads. candle reads it from the environment once per process; this file reads and checks it.
//!
//! candle 0.11 runs its CPU kernels on a pool of its own whose size is `CANDLE_NUM_THREADS`, else `RAYON_NUM_THREADS`, else
//! the physical cores, read when the first kernel runs. There is no call to set it, so a program that wants another number
//! sets [`thread_environment`] before it starts a thread, or starts itself again with it.

use candle_core::utils::{barrier_pool, get_num_threads};

use crate::error::OpenError;

const CANDLE: &str = "CANDLE_NUM_THREADS";
const RAYON: &str = "RAYON_NUM_THREADS";

/// The environment that makes this engine compute with `threads` threads, to be set before the process computes anything.
pub fn thread_environment(threads: usize) -> [(&'static str, String); 2] {
    [(CANDLE, threads.to_string()), (RAYON, threads.to_string())]
}

/// Default number of threads: that of the environment, else all physical cores but one, which is left to
/// the load generator, and at least 1.
pub fn default_threads() -> usize {
    if std::env::var_os(CANDLE).is_some() || std::env::var_os(RAYON).is_some() {
        return expected();
    }
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    allowed.min(get_num_threads()).saturating_sub(1).max(1)
}

/// Number of threads that candle will use, without starting its pool.
pub(crate) fn expected() -> usize {
    std::env::var(CANDLE)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|&threads| threads > 0)
        .unwrap_or_else(get_num_threads)
}

/// Number of threads that candle uses; starts its pool. Refuses where the caller asked for another number.
pub(crate) fn settle(asked: Option<usize>) -> Result<usize, OpenError> {
    let actual = barrier_pool().n_workers() + 1;
    match asked {
        Some(asked) if asked != actual => Err(OpenError::Threads { asked, actual }),
        _ => Ok(actual),
    }
}
