//! Echo of a launched server's log on standard error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::console::{self, streams};
use crate::threads::Own;

/// Between two looks at the log.
const PERIOD: Duration = Duration::from_millis(200);

/// A thread that shows new lines until it is let go.
#[derive(Debug)]
pub struct Echo {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Starts to show a log that is there, without its first bytes, which are of an earlier start.
    ///
    /// # Errors
    /// When the log cannot be opened or the thread not be started.
    pub fn start(log: &Path, without: u64) -> io::Result<Self> {
        let mut lines = BufReader::new(File::open(log)?);
        lines.seek(SeekFrom::Start(without))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let show = move || {
            let mut line = Vec::new();
            loop {
                // Before the last look, so that nothing is missed.
                let is_last = over.load(Ordering::Acquire);
                while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                    if !line.ends_with(b"\n") && !is_last {
                        break;
                    }
                    let text = std::mem::take(&mut line);
                    let text = String::from_utf8_lossy(&text);
                    let shown = format_args!("server: {}", text.trim_end());
                    let _closed = console::write_line(&mut *streams::notices(), shown);
                }
                if is_last {
                    return;
                }
                thread::park_timeout(PERIOD);
            }
        };
        let thread = Own::ServerLog.builder().spawn(show)?;
        Ok(Self { is_over, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _panicked = thread.join();
        }
    }
}
