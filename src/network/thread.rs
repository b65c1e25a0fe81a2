//! Threads for async code, each with a single-threaded tokio runtime.

use std::future::Future;
use std::io;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default())
}

/// A thread that runs a future.
#[derive(Debug)]
pub struct NetThread<T>(JoinHandle<Option<T>>);

impl<T> NetThread<T> {
    /// Waits for its end; `None` if it panicked.
    pub fn join(self) -> Option<T> {
        self.0.join().ok().flatten()
    }
}

/// Runs a future, and whatever it spawns locally, on a thread of its own. Tasks that are left when the future is
/// done are dropped before the thread ends.
///
/// # Errors
/// When the system gives no thread or no event queue.
pub fn spawn<F, Fut, T>(thread: thread::Builder, start: F) -> io::Result<NetThread<T>>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T>,
    T: Send + 'static,
{
    let (built, is_built) = channel();
    // A local runtime can only be made on its own thread, and costs less per wake-up than a set of local tasks.
    let run = move || {
        let (runtime, outcome) = match runtime() {
            Ok(runtime) => (Some(runtime), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let _asker_is_gone = built.send(outcome);
        // `start` may already spawn, and so runs inside.
        runtime.map(|runtime| runtime.block_on(async { start().await }))
    };
    let thread = thread.spawn(run)?;
    is_built.recv().map_err(io::Error::other)??;
    Ok(NetThread(thread))
}

/// Runs a future to its end while the caller waits. On a thread of its own, so that it works under any caller.
///
/// # Errors
/// When the system gives no thread or no event queue, or the future panicked.
pub fn wait_for<F, Fut, T>(thread: thread::Builder, start: F) -> io::Result<T>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T>,
    T: Send + 'static,
{
    let thread = spawn(thread, start)?;
    let name = thread.0.thread().name().unwrap_or_default().to_owned();
    thread.join().ok_or_else(|| io::Error::other(format!("thread `{name}` panicked")))
}
