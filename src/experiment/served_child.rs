//! Server process of a ladder: `bareflight serve` as a child process, started and ended with its rungs.

use std::io::{BufRead, BufReader, PipeReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use serde::Deserialize;

use crate::clock::{Nanos, now};
use crate::console;
use crate::console::streams;
use crate::host;
use crate::issue::stop::Stop;
use crate::threads::Own;

/// How long it may take to end after it was asked to.
const PATIENCE: Nanos = Nanos::from_millis(20_000);

/// Between two looks whether the user still waits for it.
const LOOK: Duration = Duration::from_millis(50);

/// Names the process whose end is the server's end.
const SERVED_FOR: &str = "BAREFLIGHT_SERVED_FOR";

/// Lets a server end with the ladder that has started it, however that ends; does nothing for any other server.
///
/// # Errors
/// When the kernel refuses, or the ladder has ended already.
pub fn end_with_parent() -> std::io::Result<()> {
    let Ok(parent) = std::env::var(SERVED_FOR) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have ended before the kernel was asked.
    match getppid() {
        Some(now) if now.as_raw_nonzero().to_string() == parent => Ok(()),
        _ => Err(std::io::Error::other("whoever started this server has ended")),
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It could not be started.
    #[error("`bareflight serve` cannot be started: {0}")]
    Start(#[from] std::io::Error),
    /// It ended, or said something else than that it is ready.
    #[error("`bareflight serve` did not become ready{said}; its engine's log is `{}`", log.display())]
    NotReady {
        /// What it said, as the rest of a sentence.
        said: String,
        /// Where its engine's lines are.
        log: PathBuf,
    },
    /// The user did not want to wait for it.
    #[error("interrupted while `bareflight serve` was loading its engine; it was stopped")]
    Interrupted,
}

/// What it says of itself when it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ready {
    /// `http://127.0.0.1:PORT`.
    pub openai: String,
    /// `127.0.0.1:PORT`.
    pub grpc: String,
    /// Its process.
    pub pid: u32,
}

/// A running server; ended when it is let go.
#[derive(Debug)]
pub struct Server {
    child: Child,
    ready: Ready,
}

impl Server {
    /// Starts this very program as a server with these settings, on free ports of loopback, and waits until it is ready.
    /// It is told of the readiness through a pipe of their own: what an engine writes to its streams goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started or ends before it is ready, what it said then being on standard error; and when the user
    /// wants the end meanwhile.
    pub fn start(settings: &Path, log: &Path, stop: &Stop) -> Result<Self, ServerError> {
        let (told, tell) = std::io::pipe()?;
        // The child keeps it open under the same number.
        fcntl_setfd(&tell, FdFlags::empty()).map_err(std::io::Error::from)?;
        let child = host::this_program()?
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--grpc-port", "0", "--config"])
            .arg(settings)
            .arg("--engine-log-file")
            .arg(log)
            .args(["--ready-file", &format!("/dev/fd/{}", tell.as_raw_fd())])
            .env(SERVED_FOR, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(streams::notices_of_a_child()?)
            // Ctrl-C is for whoever holds it, who then ends it.
            .process_group(0)
            .spawn()?;
        let unready = Ready { openai: String::new(), grpc: String::new(), pid: 0 };
        let mut server = Self { child, ready: unready };
        // So that the end of the child is the end of the pipe.
        drop(tell);
        let Some(line) = first_line(told, stop)? else {
            // It is loading and would look for a signal only after that.
            server.child.kill()?;
            return Err(ServerError::Interrupted);
        };
        server.ready = serde_json::from_str(&line).map_err(|_| {
            let line = line.trim();
            let said = if line.is_empty() { String::new() } else { format!("; it said: `{line}`") };
            ServerError::NotReady { said, log: log.to_owned() }
        })?;
        Ok(server)
    }

    /// Where it can be asked.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }
}

/// What is said first; `None` where the end is asked for before.
fn first_line(told: PipeReader, stop: &Stop) -> std::io::Result<Option<String>> {
    let (tell, said) = sync_channel(1);
    Own::Ready.builder().spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(told).read_line(&mut line).map(|_| line);
        // After an interrupt nobody waits any more.
        let _nobody_waits = tell.send(read);
    })?;
    loop {
        match said.recv_timeout(LOOK) {
            Ok(line) => return line.map(Some),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(std::io::Error::other("the thread that waits for it panicked"));
            }
            Err(RecvTimeoutError::Timeout) if stop.is_asked() => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            // It may have ended by itself.
            let _gone = kill_process(pid, Signal::TERM);
        }
        let until = now() + PATIENCE;
        while now() < until {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        console::print_notice(format_args!("the server did not end in time and is killed"));
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
