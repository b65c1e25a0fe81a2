//! Thread that shows figures elsewhere while a run goes on: told to end, and awaited, when it is dropped.

use std::io;
use std::thread::JoinHandle;

use crate::threads::Own;

/// A thread that ends when the other end of `S`, a sender, is gone.
pub struct BackgroundThread<S> {
    over: Option<S>,
    thread: Option<JoinHandle<()>>,
}

impl<S> BackgroundThread<S> {
    /// Starts it; `work` returns soon after `over` was dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(own: Own, over: S, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let thread = own.builder().spawn(work)?;
        Ok(Self { over: Some(over), thread: Some(thread) })
    }
}

impl<S> Drop for BackgroundThread<S> {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing left to say.
            let _ended = thread.join();
        }
    }
}
