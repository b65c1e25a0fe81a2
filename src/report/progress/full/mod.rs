//! Full view of a run: the terminal drawn four times a second from published snapshots, until it is dropped.
//!
//! Its thread lives from the first phase to the end, so that keys are heard in pauses, too. No hot thread knows of it.

mod ansi;
mod draw;
mod panels;
mod shown;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::Terminal;
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use signal_hook::consts::SIGINT;
use signal_hook::low_level;

use self::ansi::Ansi;
use self::shown::{PointRow, Running, Shown};
use crate::clock::{Nanos, now};
use crate::console;
use crate::console::terminal;
use crate::issue::live_phase::LivePhase;
use crate::metrics::Summary;
use crate::report::progress::Totals;
use crate::threads;

/// Between two frames.
const FRAME: Nanos = Nanos::from_millis(250);
/// Between two looks at the keyboard.
const KEYS: Duration = Duration::from_millis(50);
/// Notices that are kept on the screen.
const NOTICES: usize = 5;

/// A view that has the whole terminal, until it is dropped.
#[derive(Debug)]
pub struct FullView {
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is known of the experiment beside the snapshots.
#[derive(Debug, Default)]
struct State {
    targets: Vec<String>,
    running: Option<Running>,
    points: Vec<PointRow>,
    is_stopping: bool,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FullView {
    /// Takes the terminal and begins to draw.
    ///
    /// # Errors
    /// When the terminal cannot be taken or a thread not be started.
    pub fn start(targets: Vec<String>) -> io::Result<Self> {
        terminal::take()?;
        let state = Arc::new(Mutex::new(State { targets, ..State::default() }));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, is_over) = (Arc::clone(&state), Arc::clone(&over));
        let spawned = threads::other("progress").spawn(move || draw_until(&is_over, &seen));
        match spawned {
            Ok(thread) => Ok(Self { state, over, thread: Some(thread) }),
            Err(error) => {
                terminal::release();
                Err(error)
            }
        }
    }

    /// A target that is measured, too.
    pub fn also(&self, target: &str) {
        lock(&self.state).targets.push(target.to_owned());
    }

    /// A phase begins.
    pub fn phase(&self, label: &str, totals: Totals, live: &LivePhase) {
        lock(&self.state).running = Some(Running::begin(label, totals, live.clone()));
    }

    /// The phase is over; its last figures stay until the next one begins.
    pub fn phase_over(&self) {
        if let Some(running) = &mut lock(&self.state).running {
            running.freeze();
        }
    }

    /// A point was measured.
    pub fn measured(&self, label: &str, summary: &Summary) {
        lock(&self.state).points.push(PointRow::of(label, summary));
    }
}

impl Drop for FullView {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let panicked = self.thread.take().is_some_and(|thread| {
            thread.thread().unpark();
            thread.join().is_err()
        });
        terminal::release();
        if panicked {
            console::print_notice(format_args!(
                "the full view ended early; results do not depend on it"
            ));
        }
    }
}

/// Steps behind every other thread in the system's queue: those that measure come first.
const NICENESS: i32 = 10;

fn draw_until(over: &AtomicBool, state: &Mutex<State>) {
    // Linux keeps niceness for each thread. Without it a frame only costs what it costs.
    let _refused = setpriority_process(Some(gettid()), NICENESS);
    let Ok(mut screen) = Terminal::new(Ansi::new(std::env::var_os("NO_COLOR").is_none())) else {
        return;
    };
    while !over.load(Ordering::Acquire) {
        let until = now() + FRAME;
        let shown = lock(state).shown();
        // A terminal that is gone has no reader; the run goes on.
        let _gone = screen.draw(|frame| draw::draw(frame, &shown));
        while now() < until && !over.load(Ordering::Acquire) {
            if terminal::keys().iter().any(|key| matches!(key, b'q' | b'Q')) {
                lock(state).is_stopping = true;
                stop_as_an_interrupt_does();
            }
            std::thread::park_timeout(KEYS);
        }
    }
}

/// `q` is Ctrl-C, so that a second one ends the program, too.
fn stop_as_an_interrupt_does() {
    if let Err(error) = low_level::raise(SIGINT) {
        console::print_notice(format_args!("`q` stops nothing ({error}): press Ctrl-C"));
    }
}

impl State {
    fn shown(&mut self) -> Shown {
        Shown {
            targets: self.targets.join(" · "),
            phase: self.running.as_mut().map(Running::look),
            points: self.points.clone(),
            notices: terminal::last_notices(NOTICES),
            is_stopping: self.is_stopping,
        }
    }
}
