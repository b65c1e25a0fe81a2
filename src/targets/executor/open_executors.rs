//! Executors that are open, with their poller threads: closed in order and within a stated time, whatever the library does.
//!
//! An executor's shutdown runs all that waits in its queue, so that it can take as long as the backlog. What is not closed in
//! time, or throws meanwhile, is left as it is: its destructor never runs, and the process ends without the library's
//! handlers ([`is_left_open`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{MonoNs, Nanos, now, sleep};
use crate::ffi::engine::Engine;
use crate::targets::Drain;
use crate::targets::mpi_job::JobEnd;
use crate::threads::Own;

/// How long pollers and executors may take to end.
pub const CLOSE_WITHIN: Nanos = Nanos::from_millis(10_000);
/// Between two looks at a thread that is about to end.
const LOOK: Nanos = Nanos::from_millis(1);

/// An executor of this process was left as it is.
static LEFT_OPEN: AtomicBool = AtomicBool::new(false);

/// Whether an executor was left as it is: its threads still run, so that the process has to end without exit handlers.
pub fn is_left_open() -> bool {
    LEFT_OPEN.load(Ordering::Acquire)
}

/// Ends with a poll's message, or when the session closes.
pub(super) type PollerThread = JoinHandle<Result<(), String>>;

/// Open executors of one session.
pub(super) struct OpenExecutors {
    /// In the order in which they are closed.
    pub engines: Vec<Engine>,
    /// What polls them.
    pub pollers: Vec<PollerThread>,
    /// Tells the pollers to end.
    pub closing: Arc<AtomicBool>,
    /// The job's end from outside.
    pub job_end: JobEnd,
}

impl OpenExecutors {
    /// Ends the pollers, then shuts the executors down, both together within `within`.
    pub(super) fn close(self, within: Nanos) -> Drain {
        if self.job_end.has_come() {
            // The executors wait for a rank that is gone; closing them would block as well.
            self.leave();
            return Drain::Forced(JobEnd::MESSAGE.into());
        }
        let by = now() + within;
        self.closing.store(true, Ordering::Release);
        let Self { engines, pollers, .. } = self;
        let polled = pollers.into_iter().map(|poller| join_by(poller, by)).collect::<Vec<_>>();
        let closed = shut_down_by(&engines, by, within);
        if closed.is_err() {
            leave(&engines);
        }
        match closed.err().into_iter().chain(polled.into_iter().filter_map(Result::err)).next() {
            None => Drain::Clean,
            Some(message) => Drain::Forced(message),
        }
    }

    fn leave(&self) {
        leave(&self.engines);
    }
}

/// Keeps a handle on each for ever, so that no destructor runs.
fn leave(engines: &[Engine]) {
    LEFT_OPEN.store(true, Ordering::Release);
    for engine in engines {
        std::mem::forget(engine.for_another_thread());
    }
}

/// Waits for a poller's end.
fn join_by(poller: PollerThread, by: MonoNs) -> Result<(), String> {
    while !poller.is_finished() {
        if now() >= by {
            return Err("its poller thread is still inside a call of the executor".into());
        }
        sleep(LOOK);
    }
    poller.join().unwrap_or_else(|_| Err("a poller thread panicked".into()))
}

/// Shuts executors down one after the other, on a thread that is left behind where it takes too long.
fn shut_down_by(engines: &[Engine], by: MonoNs, within: Nanos) -> Result<(), String> {
    let handles: Vec<Engine> = engines.iter().map(Engine::for_another_thread).collect();
    let (ended, wait) = sync_channel(1);
    Own::Closing
        .builder()
        .spawn(move || {
            let closed = handles.iter().try_for_each(Engine::close);
            // After its time nobody waits any more.
            let _nobody_waits = ended.send(closed);
        })
        .map_err(|error| format!("the thread that shuts it down cannot be started: {error}"))?;
    let left = Duration::from_nanos(u64::try_from((by - now()).0).unwrap_or(0));
    match wait.recv_timeout(left) {
        Ok(closed) => closed.map_err(|error| format!("its shutdown threw: {error}")),
        Err(RecvTimeoutError::Disconnected) => Err("the thread that shuts it down panicked".into()),
        Err(RecvTimeoutError::Timeout) => Err(format!(
            "its shutdown, which first runs all that waits in its queue, was not over after {} s: it was left as it was, \
             without its destructor",
            within.as_secs_f64()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::engine::EngineSettings;
    use crate::targets::executor::request::plain_head;
    use crate::targets::sim::wire_config;

    fn opened(profile: &str) -> OpenExecutors {
        let config = wire_config(profile, &EngineSettings::default());
        OpenExecutors {
            engines: vec![Engine::open_simulated(&config).expect("a profile")],
            pollers: Vec::new(),
            closing: Arc::default(),
            job_end: JobEnd::default(),
        }
    }

    fn message(drain: Drain) -> String {
        match drain {
            Drain::Forced(message) => message,
            Drain::Clean => panic!("it closed cleanly"),
        }
    }

    #[test]
    fn an_executor_that_has_nothing_to_do_closes_cleanly() {
        assert_eq!(opened("null").close(CLOSE_WITHIN), Drain::Clean);
    }

    #[test]
    fn a_backlog_that_takes_longer_than_its_time_leaves_the_executor_as_it_is() {
        // One request at a time, each of an hour.
        let executors = opened("explicit,base_us=3600000000,max_batch_size=1");
        for id in 0..2 {
            let refused = executors.engines[0].submit_batch(&[plain_head(id, 1, 1)], &[5]);
            assert!(refused.expect("it is open").is_empty());
        }
        let words = message(executors.close(Nanos::from_millis(50)));
        assert!(words.contains("was not over after 0.05 s"), "{words}");
        assert!(is_left_open());
    }

    #[test]
    fn a_shutdown_that_throws_is_told_whatever_it_throws() {
        for (profile, expected) in [
            ("null,throw_at_shutdown=1", "simulated exception of the call shutdown"),
            ("null,throw_at_shutdown=1,throw_int=1", "not a std::exception, of type int"),
        ] {
            let words = message(opened(profile).close(CLOSE_WITHIN));
            assert!(words.contains("its shutdown threw") && words.contains(expected), "{words}");
        }
    }

    #[test]
    fn a_poller_that_never_ends_is_not_waited_for_beyond_the_time() {
        let mut executors = opened("null");
        let (hold, held) = std::sync::mpsc::channel::<()>();
        executors.pollers.push(std::thread::spawn(move || {
            let _ends_with_the_test = held.recv();
            Ok(())
        }));
        let words = message(executors.close(Nanos::from_millis(20)));
        assert!(words.contains("poller thread") || words.contains("was not over"), "{words}");
        drop(hold);
    }
}
