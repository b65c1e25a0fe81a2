//! Guard of a launched server: a small process between this program and the server, which ends the server with everything that
//! it has started, however this program ends.
//!
//! The guard is this program again, called with [`GUARD`]. It adopts what the server leaves behind (subreaper), hears of this
//! program's end by the end of its standard input, and starts the server through a third call (`SERVER`), which asks the kernel
//! for SIGKILL should the guard itself be killed, and then becomes the server. It prints a line of JSON for each thing that
//! happens ([`Report`]).

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, kill_process_group,
    set_child_subreaper, set_parent_process_death_signal, wait,
};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use crate::clock::{Nanos, now};
use crate::console::{keeper, streams};
use crate::ffi::signals;
use crate::host;
use crate::threads;

/// First argument of a guard.
pub const GUARD: &str = "guard-of-a-launched-server";
/// First argument of what becomes the server; the second is the guard's process id, the others the server's command line.
const SERVER: &str = "become-a-launched-server";

/// What a guard is asked to start, as one line of JSON on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Command line.
    pub argv: Vec<String>,
    /// Variables beside those that are inherited.
    pub env: Vec<(String, String)>,
    /// Where standard output and standard error go.
    pub log: PathBuf,
    /// How long is waited after each signal, in milliseconds.
    pub patience_ms: u64,
}

/// What a guard says, each as one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// There is a process, the leader of a group.
    Started {
        /// Its process id.
        pid: i32,
    },
    /// There is none.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// The process that was started has ended; what it has started may still be there.
    Exited(Ended),
    /// Nothing of it is there any more.
    Gone {
        /// The last signal that was needed; none where it had ended by itself.
        signal: Option<StopSignal>,
        /// From the wish that it ends.
        after_ms: u64,
    },
    /// Processes that even SIGKILL did not end in time.
    Left {
        /// Their ids.
        pids: Vec<i32>,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Ended {
    fn of(status: WaitStatus) -> Self {
        match status.terminating_signal() {
            Some(signal) => Self::Signal(signal),
            None => Self::Code(status.exit_status().unwrap_or(-1)),
        }
    }

    /// Whether it says that all went well.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match signal_hook::low_level::signal_name(number) {
                Some(name) => write!(f, "signal {name}"),
                None => write!(f, "signal {number}"),
            },
        }
    }
}

/// Signals that end a server, the gentlest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    /// As Ctrl-C: to the server's own group.
    #[serde(rename = "SIGINT")]
    Interrupt,
    /// To everything that it has started.
    #[serde(rename = "SIGTERM")]
    Terminate,
    /// The same; nobody can ignore it.
    #[serde(rename = "SIGKILL")]
    Kill,
}

impl StopSignal {
    const IN_TURN: [Self; 3] = [Self::Interrupt, Self::Terminate, Self::Kill];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::Kill => "SIGKILL",
        }
    }

    fn number(self) -> Signal {
        match self {
            Self::Interrupt => Signal::INT,
            Self::Terminate => Signal::TERM,
            Self::Kill => Signal::KILL,
        }
    }
}

/// Runs this process as a guard, as what becomes the server, or as the keeper of a terminal, where its arguments say so; the code to end with.
pub fn run_as_asked(arguments: impl IntoIterator<Item = OsString>) -> Option<u8> {
    let arguments: Vec<OsString> = arguments.into_iter().skip(1).collect();
    let (first, rest) = arguments.split_first()?;
    let outcome = if first == GUARD {
        guard()
    } else if first == keeper::KEEPER {
        keeper::keep()
    } else if first == SERVER {
        match become_server(rest) {
            Ok(never) => match never {},
            Err(error) => Err(error),
        }
    } else {
        return None;
    };
    Some(match outcome {
        Ok(()) => 0,
        Err(error) => {
            // Standard error of what becomes the server is its log.
            let _nowhere_left = writeln!(io::stderr(), "bareflight: {error}");
            127
        }
    })
}

/// Signals that end a program or tell it of its children, as a server expects to find them.
const EXPECTED: [i32; 5] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCHLD];

/// A shell without a terminal starts what it puts into the background with SIGINT and SIGQUIT ignored, `nohup` ignores SIGHUP, and
/// whoever started this program may have blocked signals: the server would inherit it all, and what should stop it would not.
/// Its group is not that of a terminal. SIGPIPE is mended by the standard library.
fn expect_signals() -> io::Result<()> {
    for signal in EXPECTED {
        // What a program handles is as at its beginning in the one that it becomes.
        signal_hook::flag::register(signal, Arc::default())?;
    }
    signals::block_none()
}

/// Becomes the server; it dies with the guard.
fn become_server(arguments: &[OsString]) -> io::Result<Infallible> {
    let [guard, program, rest @ ..] = arguments else {
        return Err(io::Error::other("a launched server needs a command line"));
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The guard may have died before the kernel was asked.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if parent.as_deref() != guard.to_str() {
        return Err(io::Error::other("the guard of the launched server has ended"));
    }
    expect_signals()?;
    let error = Command::new(program).args(rest).exec();
    let program = program.display();
    Err(io::Error::new(error.kind(), format!("`{program}` cannot be started: {error}")))
}

/// What wakes a guard.
enum Event {
    /// Whoever launched the server wants its end, or has ended.
    EndWanted,
    /// A child has ended, the server itself or something that it has left behind.
    Reaped(Pid, WaitStatus),
    /// Nothing is left.
    NobodyLeft,
}

fn guard() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    let mut order = String::new();
    // One line and no byte more: the rest is read for its end.
    io::stdin().lock().read_line(&mut order)?;
    let order: Order = serde_json::from_str(&order)?;
    let (tell, events) = channel();
    hear_signals(tell.clone())?;
    // Where whoever started this program ignores it, the kernel would tell nobody how a child has ended.
    signal_hook::flag::register(SIGCHLD, Arc::default())?;
    let leader = match start(&order) {
        Ok(pid) => pid,
        Err(error) => {
            say(&Report::NotStarted { reason: error.to_string() });
            return Ok(());
        }
    };
    say(&Report::Started { pid: leader.as_raw_nonzero().get() });
    let of_stdin = tell.clone();
    spawn("guard-input", move || {
        // Whatever comes, and however it ends, there is nothing to read but the end.
        let _until_the_end = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _guard_has_ended = of_stdin.send(Event::EndWanted);
    })?;
    spawn("guard-children", move || reap(&tell))?;
    Tree { leader, is_leader_there: true, patience: Duration::from_millis(order.patience_ms) }
        .watch(&events);
    Ok(())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    threads::other(name).spawn(run).map(drop)
}

/// Signals to the guard itself mean the same as the end of its input.
fn hear_signals(tell: Sender<Event>) -> io::Result<()> {
    let (mut signals, wake) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
    }
    spawn("guard-signals", move || {
        let mut byte = [0];
        while signals.read_exact(&mut byte).is_ok() {
            if tell.send(Event::EndWanted).is_err() {
                return;
            }
        }
    })
}

/// Starts the server as the leader of a group, from the main thread: its end would end the server.
fn start(order: &Order) -> io::Result<Pid> {
    let log = OpenOptions::new().create(true).append(true).open(&order.log)?;
    let child = host::this_program()?
        .args([SERVER, &std::process::id().to_string()])
        .args(&order.argv)
        .envs(order.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a process without id"))
}

/// Reaps children until there is none, which is when nothing of the server is left: the guard adopts what loses its parent.
fn reap(tell: &Sender<Event>) {
    loop {
        let event = match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => Event::Reaped(pid, status),
            Ok(None) | Err(Errno::INTR) => continue,
            Err(_) => {
                let _guard_has_ended = tell.send(Event::NobodyLeft);
                return;
            }
        };
        if tell.send(event).is_err() {
            return;
        }
    }
}

/// The server with everything that it has started.
struct Tree {
    leader: Pid,
    is_leader_there: bool,
    patience: Duration,
}

impl Tree {
    /// Until nothing of it is left, or nothing helps.
    fn watch(mut self, events: &Receiver<Event>) {
        loop {
            match events.recv() {
                Ok(Event::Reaped(pid, status)) => self.reaped(pid, status),
                Ok(Event::NobodyLeft) => return say(&Report::Gone { signal: None, after_ms: 0 }),
                Ok(Event::EndWanted) | Err(_) => return self.end(events),
            }
        }
    }

    fn reaped(&mut self, pid: Pid, status: WaitStatus) {
        if pid == self.leader {
            self.is_leader_there = false;
            say(&Report::Exited(Ended::of(status)));
        }
    }

    fn end(&mut self, events: &Receiver<Event>) {
        let begun = now();
        for signal in StopSignal::IN_TURN {
            let until = now() + self.span_of(signal);
            self.send(signal);
            while now() < until {
                let left = Duration::from_nanos((until - now()).0.max(0).unsigned_abs());
                // What is started meanwhile gets the signal too.
                let span = if signal == StopSignal::Kill { left.min(MOMENT) } else { left };
                match events.recv_timeout(span) {
                    Ok(Event::NobodyLeft) => {
                        let after_ms = (now() - begun).as_millis_f64() as u64;
                        return say(&Report::Gone { signal: Some(signal), after_ms });
                    }
                    Ok(Event::Reaped(pid, status)) => {
                        self.reaped(pid, status);
                        if pid == self.leader {
                            // Nobody is left who would end what has left the group.
                            self.send_outside(signal);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) if signal == StopSignal::Kill => {
                        self.send(signal);
                    }
                    Ok(Event::EndWanted) | Err(_) => {}
                }
            }
        }
        say(&Report::Left { pids: members().into_iter().map(|(pid, _)| pid).collect() });
    }

    /// How long is waited after a signal. What SIGKILL ends may take a while to give its memory back.
    fn span_of(&self, signal: StopSignal) -> Nanos {
        let patience = Nanos(self.patience.as_nanos() as i64);
        match signal {
            StopSignal::Interrupt | StopSignal::Terminate => patience,
            StopSignal::Kill => patience.max(AFTER_KILL),
        }
    }

    /// SIGINT goes to the server's group, which knows how to end its workers; the others go to everything. What has left the
    /// group is asked too where the server itself has ended.
    fn send(&self, signal: StopSignal) {
        let leader = self.leader.as_raw_nonzero().get();
        let members = members();
        if members.iter().any(|(_, group)| *group == leader) {
            // It may have ended by itself, here and below.
            let _gone = kill_process_group(self.leader, signal.number());
        }
        if signal != StopSignal::Interrupt || !self.is_leader_there {
            self.send_outside(signal);
        }
    }

    /// To what has left the group.
    fn send_outside(&self, signal: StopSignal) {
        let leader = self.leader.as_raw_nonzero().get();
        for (pid, _) in members().into_iter().filter(|(_, group)| *group != leader) {
            let _gone = Pid::from_raw(pid).map(|pid| kill_process(pid, signal.number()));
        }
    }
}

/// Process ids below the guard, each with its group.
fn members() -> Vec<(i32, i32)> {
    let mut children: HashMap<i32, Vec<(i32, i32)>> = HashMap::new();
    for Relation { pid, parent, group } in relations() {
        children.entry(parent).or_default().push((pid, group));
    }
    let mut members = Vec::new();
    let mut unseen = vec![getpid().as_raw_nonzero().get()];
    while let Some(parent) = unseen.pop() {
        for (pid, group) in children.remove(&parent).unwrap_or_default() {
            unseen.push(pid);
            members.push((pid, group));
        }
    }
    members
}

/// How long SIGKILL has at least.
const AFTER_KILL: Nanos = Nanos::from_millis(10_000);
/// Between two looks at what SIGKILL has left.
const MOMENT: Duration = Duration::from_millis(100);

/// One process of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Relation {
    pid: i32,
    parent: i32,
    group: i32,
}

fn relations() -> Vec<Relation> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    let stats = folder.flatten().filter(|entry| {
        entry.file_name().to_str().is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
    });
    stats
        .filter_map(|entry| relation(&fs::read_to_string(entry.path().join("stat")).ok()?))
        .collect()
}

/// From a line of `/proc/PID/stat`, where the name in parentheses may hold anything.
fn relation(stat: &str) -> Option<Relation> {
    let pid = stat.split(' ').next()?.parse().ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(1);
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Relation { pid, parent, group })
}

/// Whoever should hear of it may have ended.
fn say(report: &Report) {
    if let Ok(mut line) = serde_json::to_string(report) {
        line.push('\n');
        // Python has pointed descriptor 1 elsewhere where it holds this program.
        let mut out = streams::results();
        let _nobody_hears = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_holds() {
        let read = relation("42 (a) b (c)) S 7 41 41 0 -1 4194304").expect("a process");
        assert_eq!(read, Relation { pid: 42, parent: 7, group: 41 });
        assert_eq!(relation(""), None);
    }

    #[test]
    fn an_end_is_told_by_code_or_by_the_name_of_its_signal() {
        assert_eq!(Ended::Code(7).to_string(), "exit code 7");
        assert_eq!(Ended::Signal(9).to_string(), "signal SIGKILL");
    }

    #[test]
    fn a_report_is_one_line_that_reads_back() {
        for report in [
            Report::Started { pid: 3 },
            Report::Exited(Ended::Signal(11)),
            Report::Gone { signal: Some(StopSignal::Kill), after_ms: 9 },
        ] {
            let line = serde_json::to_string(&report).expect("JSON");
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Report>(&line).expect("a report"), report);
        }
    }
}
