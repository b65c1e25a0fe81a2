//! Handle on a guard and on the process that it has started.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::{Nanos, now};
use crate::console::streams;
use crate::experiment::launch::guard::{Ended, GUARD, Order, Report, StopSignal};
use crate::host;
use crate::threads::Own;

/// How much longer than its spans a guard may take to end.
const GRACE: Duration = Duration::from_secs(20);

/// What is done when the process ends before it was asked to.
pub type OnDeath = Box<dyn FnOnce(Ended) + Send>;

/// A process under a guard; ended with all that it has started when it is let go.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    /// The guard lives as long as it is open.
    lifeline: Option<ChildStdin>,
    pid: i32,
    patience: Duration,
    life: Arc<Life>,
}

#[derive(Default)]
struct Life {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ended: Option<Ended>,
    end: Option<End>,
    /// The guard says nothing more.
    is_over: bool,
    /// Its end was asked for.
    is_stopping: bool,
    on_death: Option<OnDeath>,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Life").field("ended", &state.ended).field("end", &state.end).finish()
    }
}

/// How everything that the process has started came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Nothing of it is left.
    Gone {
        /// The last signal that was needed.
        signal: Option<StopSignal>,
        /// From the wish that it ends.
        after: Duration,
    },
    /// These outlived SIGKILL.
    Left(Vec<i32>),
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `is_so`, for as long as the limit allows.
    fn wait(&self, limit: Duration, is_so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, limit, |state| !is_so(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn note(&self, report: Report) {
        let mut state = self.lock();
        match report {
            Report::Exited(ended) => state.ended = Some(ended),
            Report::Gone { signal, after_ms } => {
                state.end = Some(End::Gone { signal, after: Duration::from_millis(after_ms) });
            }
            Report::Left { pids } => state.end = Some(End::Left(pids)),
            Report::Started { .. } | Report::NotStarted { .. } => {}
        }
        let death = state.death().filter(|_| !state.is_stopping);
        let duty = death.and_then(|ended| state.on_death.take().map(|duty| (duty, ended)));
        drop(state);
        self.changed.notify_all();
        if let Some((duty, ended)) = duty {
            duty(ended);
        }
    }
}

impl State {
    /// A process that ends well and leaves others behind has gone into the background.
    fn death(&self) -> Option<Ended> {
        self.ended.filter(|ended| !ended.is_success() || self.end.is_some())
    }
}

impl Guarded {
    /// Starts a process under a guard of its own.
    ///
    /// # Errors
    /// When either cannot be started.
    pub fn start(order: &Order) -> io::Result<Self> {
        let mut guard = host::this_program()?
            .arg(GUARD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(streams::notices_of_a_child()?)
            // Ctrl-C is for whoever holds it, who then ends it.
            .process_group(0)
            .spawn()?;
        let (lifeline, said) = (guard.stdin.take(), guard.stdout.take());
        let (Some(mut lifeline), Some(said)) = (lifeline, said) else {
            return Err(io::Error::other("the guard has no pipes"));
        };
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        lifeline.write_all(line.as_bytes())?;
        let mut said = BufReader::new(said);
        let pid = match next(&mut said) {
            Some(Report::Started { pid }) => pid,
            Some(Report::NotStarted { reason }) => {
                guard.wait()?;
                return Err(io::Error::other(reason));
            }
            _ => return Err(io::Error::other(format!("its guard ended: {}", guard.wait()?))),
        };
        let life = Arc::<Life>::default();
        let of_reader = Arc::clone(&life);
        Own::Launch.builder().spawn(move || listen(said, &of_reader))?;
        let patience = Duration::from_millis(order.patience_ms);
        Ok(Self { guard, lifeline: Some(lifeline), pid, patience, life })
    }

    /// The process, leader of a group.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// From now on does this when the process ends before it was asked to; at once where it has ended by now.
    pub fn at_death(&self, duty: OnDeath) {
        let mut state = self.life.lock();
        match state.death() {
            Some(ended) => {
                drop(state);
                duty(ended);
            }
            None => state.on_death = Some(duty),
        }
    }

    /// How the process ended, where it has, and is no more in the background.
    pub fn death(&self) -> Option<Ended> {
        let state = self.life.lock();
        // Without a guard nothing is known any more, and the process was killed with it.
        state.death().or(state.is_over.then_some(state.ended.unwrap_or(Ended::Signal(9))))
    }

    /// How the process itself ended, where it does within this time.
    pub fn wait_for_the_end(&self, limit: Duration) -> Option<Ended> {
        self.life.wait(limit, |state| state.ended.is_some() || state.is_over).ended
    }

    /// Ends everything that the process has started, and says how; nothing where the guard could not say it.
    pub fn stop(mut self) -> (Option<Ended>, Option<End>) {
        self.end()
    }

    fn end(&mut self) -> (Option<Ended>, Option<End>) {
        self.life.lock().is_stopping = true;
        // Whoever hears that its input is closed stops the server.
        drop(self.lifeline.take());
        let limit = self.patience * 3 + GRACE;
        let begun = now();
        let state = self.life.wait(limit, |state| state.is_over);
        let (ended, end, is_over) = (state.ended, state.end.clone(), state.is_over);
        drop(state);
        if !is_over {
            let _gone = self.guard.kill();
        }
        let _gone = self.guard.wait();
        // A guard that was killed has left the group behind.
        let group = Pid::from_raw(self.pid).filter(|_| end.is_none());
        if group.is_some_and(|group| kill_process_group(group, Signal::KILL).is_ok()) {
            return (
                ended,
                Some(End::Gone { signal: Some(StopSignal::Kill), after: span(now() - begun) }),
            );
        }
        (ended, end)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.lifeline.is_some() {
            self.end();
        }
    }
}

fn next(said: &mut BufReader<ChildStdout>) -> Option<Report> {
    let mut line = String::new();
    said.read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

fn listen(mut said: BufReader<ChildStdout>, life: &Life) {
    while let Some(report) = next(&mut said) {
        life.note(report);
    }
    life.lock().is_over = true;
    life.changed.notify_all();
}

fn span(nanos: Nanos) -> Duration {
    Duration::from_nanos(nanos.0.max(0).unsigned_abs())
}
