//! Long waits for a core: how often a thread that latencies depend on was ready to run for long before it ran.
//!
//! The kernel adds a wait to its counter when it is over, so that a look every few milliseconds tells long waits from many short
//! ones. Waits between two looks count as one; that of the thread that fared worst counts.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use crate::clock::{self, MonoNs, Nanos};
use crate::threads::Own;

/// Time between two looks.
const PERIOD: Nanos = Nanos::from_millis(10);
/// Looks between two counts of the process's threads.
const LOOKS_TO_A_COUNT: usize = 10;
/// Counts between two searches for new threads, where their number stays the same.
const COUNTS_TO_A_SEARCH: usize = 10;
/// Waits are counted from these lengths on, in milliseconds.
const LENGTHS_MS: [f64; 19] = [
    0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0,
    200.0, 500.0,
];

/// How often threads waited long for a core.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LongWaits {
    /// How long they were watched.
    pub seconds: f64,
    /// In ascending order of the length; lengths that did not occur are left out.
    pub counts: Vec<LongWait>,
}

/// Waits of a length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LongWait {
    /// Their length or more, in milliseconds.
    pub at_least_ms: f64,
    /// How many there were.
    pub times: u64,
}

impl LongWaits {
    /// Of waits in any order.
    fn of(waits_ms: &[f64], seconds: f64) -> Self {
        let count = |at_least_ms: f64| LongWait {
            at_least_ms,
            times: waits_ms.iter().filter(|wait| **wait >= at_least_ms).count() as u64,
        };
        let counts = LENGTHS_MS.into_iter().map(count).filter(|it| it.times > 0).collect();
        Self { seconds, counts }
    }

    /// How many were at least so long, or a little longer: lengths between two that are counted are rounded up.
    pub fn times(&self, at_least_ms: f64) -> u64 {
        let of_the_length = self.counts.iter().find(|count| count.at_least_ms >= at_least_ms);
        of_the_length.map_or(0, |count| count.times)
    }
}

/// A thread that looks at how long others wait.
#[derive(Debug)]
pub struct Watching {
    stop: Arc<AtomicBool>,
    start: MonoNs,
    thread: JoinHandle<Vec<f64>>,
}

impl Watching {
    /// Begins to watch the threads that `find` names; it is asked again where threads come or go, and now and then.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(find: fn() -> Vec<u32>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut watched = Watched::default();
        watched.search(find);
        let work = move || watched.look_until(&stopped, find);
        let thread = Own::LongWaits.builder().spawn(work)?;
        Ok(Self { stop, start: clock::now(), thread })
    }

    /// What was seen since the start; `None` where the thread has panicked, which is no sight of no waits.
    pub fn finish(self) -> Option<LongWaits> {
        self.stop.store(true, Ordering::Relaxed);
        let waits = self.thread.join().ok()?;
        Some(LongWaits::of(&waits, (clock::now() - self.start).as_secs_f64().max(1e-9)))
    }
}

/// Threads whose counters are open.
#[derive(Debug, Default)]
struct Watched {
    threads: HashMap<u32, Counter>,
}

#[derive(Debug)]
struct Counter {
    file: File,
    waited_ns: u64,
}

impl Watched {
    fn look_until(mut self, stop: &AtomicBool, find: fn() -> Vec<u32>) -> Vec<f64> {
        let (mut waits, mut searches) = (Vec::new(), Searches::default());
        let mut next = clock::now();
        for look in 1.. {
            next = next.max(clock::now() - PERIOD) + PERIOD;
            clock::sleep_until(next);
            let longest = self.look();
            if longest >= LENGTHS_MS[0] {
                waits.push(longest);
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if look % LOOKS_TO_A_COUNT == 0 && searches.is_due(count_of_threads()) {
                self.search(find);
            }
        }
        waits
    }

    /// Adds threads that are new, with what they have waited so far.
    fn search(&mut self, find: fn() -> Vec<u32>) {
        for id in find() {
            if self.threads.contains_key(&id) {
                continue;
            }
            // One that has ended since has no file.
            let Ok(file) = File::open(format!("/proc/self/task/{id}/schedstat")) else { continue };
            let Some(waited_ns) = waited_ns(&file) else { continue };
            self.threads.insert(id, Counter { file, waited_ns });
        }
    }

    /// The longest wait since the last look, in milliseconds. A thread that has ended is forgotten.
    fn look(&mut self) -> f64 {
        let mut longest = 0;
        self.threads.retain(|_, counter| {
            let Some(now) = waited_ns(&counter.file) else { return false };
            longest = longest.max(now.saturating_sub(counter.waited_ns));
            counter.waited_ns = now;
            true
        });
        longest as f64 / 1e6
    }
}

/// When to search for new threads. A search reads the names of all, of which an engine's process may have hundreds.
#[derive(Debug, Default)]
struct Searches {
    /// As they were counted last.
    threads: u64,
    /// One that had just started may not have had its name yet.
    once_more: bool,
    /// Counts until the next search in any case: one may have started for one that has ended, or have got another name.
    counts_left: usize,
}

impl Searches {
    fn is_due(&mut self, threads: u64) -> bool {
        let has_changed = threads != self.threads;
        let is_due = has_changed || self.once_more || self.counts_left == 0;
        self.counts_left = if is_due { COUNTS_TO_A_SEARCH } else { self.counts_left } - 1;
        (self.threads, self.once_more) = (threads, has_changed);
        is_due
    }
}

/// The links of the folder of threads, which grow with each; one call, however many there are. Zero where nothing is told.
fn count_of_threads() -> u64 {
    fs::metadata("/proc/self/task").map_or(0, |folder| folder.nlink())
}

/// The second number of `schedstat`: nanoseconds for which the thread was ready to run and did not.
fn waited_ns(schedstat: &File) -> Option<u64> {
    let mut text = [0; 96];
    let length = schedstat.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..length]).ok()?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn waits_are_counted_from_their_length_on() {
        let waits = LongWaits::of(&[0.25, 4.0, 4.0, 12.0], 2.0);
        // From 4 ms on, those of 5 ms are known.
        let lengths = [0.1, 0.2, 0.25, 3.0, 4.0, 11.0, 12.0, 600.0];
        assert_eq!(lengths.map(|ms| waits.times(ms)), [4, 4, 3, 3, 1, 0, 0, 0]);
    }

    #[test]
    fn nothing_that_waits_long_is_told_in_few_bytes() {
        assert_eq!(LongWaits::of(&[], 1.0), LongWaits { seconds: 1.0, counts: Vec::new() });
    }

    #[test]
    fn names_are_read_where_threads_come_or_go_and_else_once_a_second() {
        let mut searches = Searches::default();
        let mut searched = |counts: &[u64]| -> Vec<usize> {
            let dues = counts.iter().map(|threads| searches.is_due(*threads));
            dues.enumerate().filter(|(_, is_due)| *is_due).map(|(at, _)| at).collect()
        };
        assert_eq!(searched(&[7; 25]), [0, 1, 11, 21]);
        // Both a thread that comes and one that goes, and once more, since names come late.
        assert_eq!(searched(&[7, 8, 8, 8, 7, 7, 7]), [1, 2, 4, 5]);
        // Nothing is told of their number: still once a second.
        assert_eq!(searched(&[0; 22]), [0, 1, 11, 21]);
    }

    #[test]
    fn a_thread_that_comes_is_counted() {
        // Other tests end threads, but hardly so many.
        let before = count_of_threads();
        let threads: Vec<_> = (0..200).map(|_| thread::spawn(thread::park)).collect();
        assert!(count_of_threads() >= before + 100, "{before}");
        for it in threads {
            it.thread().unpark();
            it.join().expect("it ends");
        }
    }

    #[test]
    fn threads_that_share_cores_are_seen_to_wait_long() {
        static IDS: std::sync::Mutex<Vec<u32>> = std::sync::Mutex::new(Vec::new());
        let cores = thread::available_parallelism().expect("Linux tells").get();
        let spin = || {
            IDS.lock().unwrap().push(rustix::thread::gettid().as_raw_nonzero().get() as u32);
            let start = clock::thread_cpu();
            while clock::thread_cpu().0 - start.0 < 60_000_000 {}
        };
        let watching = Watching::start(|| IDS.lock().unwrap().clone()).expect("a thread starts");
        let spinning: Vec<_> = (0..3 * cores).map(|_| thread::spawn(spin)).collect();
        for thread in spinning {
            thread.join().expect("spins and ends");
        }
        let waits = watching.finish().expect("it has looked");
        assert!(waits.times(1.0) > 0, "{waits:?}");
    }
}
