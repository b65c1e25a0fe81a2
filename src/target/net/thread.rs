//! Where does async code live? On threads of the target's own, each with a single-threaded runtime.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

/// Runs a future, and whatever it spawns locally, on a thread of its own. Tasks that are left when the future is
/// done are dropped before the thread ends.
///
/// # Errors
/// When the system gives no thread or no event queue.
pub fn spawn<F, Fut, T>(name: &str, start: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T>,
    T: Send + 'static,
{
    let runtime = runtime()?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || LocalSet::new().block_on(&runtime, start()))
}

/// Runs a future to its end while the caller waits. On a thread of its own, so that it works under any caller.
///
/// # Errors
/// When the system gives no thread or no event queue, or the future panicked.
pub fn wait_for<F, Fut, T>(name: &str, start: F) -> io::Result<T>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T>,
    T: Send + 'static,
{
    spawn(name, start)?.join().map_err(|_| io::Error::other(format!("thread `{name}` panicked")))
}
