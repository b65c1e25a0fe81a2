//! Start of workers on this machine, each with a socket of its own to the leading process.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;

use super::SOCKET;
use super::calls::Listening;
use crate::clock::{self, Nanos};
use crate::host;
use crate::issue::stop::Stop;
use crate::issue::workers::link::Link;
use crate::issue::workers::message::Order;
use crate::issue::workers::remote_worker::RemoteWorker;
use crate::issue::workers::{Role, Workers, WorkersError};
use crate::load::plan::Slice;
use crate::settings::Resolved;
use crate::store::run_directory::RunDirectory;
use crate::targets::mpi_job;

/// How long a process may take to call.
const CALL: Nanos = Nanos::from_millis(60_000);
/// Between two looks whether it has.
const LOOK: Nanos = Nanos::from_millis(5);

/// Starts so many workers, or awaits their calls, and waits until each has opened the target to play plans of these hashes. What
/// those that are started here write on standard error goes into files of the run.
///
/// # Errors
/// When a process cannot be started, refuses or ends, or would play another plan.
pub fn start(
    resolved: &Resolved,
    workers: u32,
    plans: &[String],
    directory: &RunDirectory,
    calls: Option<&Listening>,
    stop: Stop,
) -> Result<Workers, WorkersError> {
    let sockets = SocketFolder::make()?;
    let (news_to, news) = channel();
    let mut calling = Vec::new();
    for worker in 0..calls.map_or(workers, Listening::started) {
        let socket = sockets.0.join(worker.to_string());
        let listener = UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        let log = directory.file(&log_name(worker));
        calling.push((listener, process(&socket, &log)?));
    }
    let mut all = Vec::new();
    for (number, (listener, mut process)) in calling.into_iter().enumerate() {
        let log = directory.file(&log_name(number as u32));
        let stream =
            await_call(&listener, &mut process).map_err(|error| WorkersError::Refused {
                number: number + 1,
                workers: workers as usize,
                words: format!("{error}; it wrote: {}", words_of(&log)),
            })?;
        let link = Link::over(stream.try_clone()?, stream);
        all.push(RemoteWorker::new(number, link, Some(process), news_to.clone())?);
    }
    if let Some(calls) = calls {
        for stream in calls.gather(workers, resolved.quiet, &stop)? {
            let link = Link::over(stream.try_clone()?, stream);
            all.push(RemoteWorker::new(all.len(), link, None, news_to.clone())?);
        }
    }
    let begin = |slice: Slice| Order::Begin {
        target: resolved.target.clone(),
        seed: resolved.workload.seed,
        slice,
    };
    Workers::open(Role::Workers, all, news, begin, plans, stop)
}

/// Removes the files of workers that have written nothing.
pub fn remove_empty_logs(workers: u32, directory: &RunDirectory) {
    for log in (0..workers).map(|worker| directory.file(&log_name(worker))) {
        if fs::metadata(&log).is_ok_and(|facts| facts.len() == 0) {
            // An empty file says nothing wrong.
            let _stays = fs::remove_file(&log);
        }
    }
}

/// The file of what a worker writes on standard error.
fn log_name(worker: u32) -> String {
    format!("worker-{}.log", worker + 1)
}

pub(super) fn words_of(log: &Path) -> String {
    let words = fs::read_to_string(log).unwrap_or_default();
    let words = words.trim();
    if words.is_empty() { "nothing".to_owned() } else { words.to_owned() }
}

/// This program again, as it was typed. Ctrl-C goes to the leading process alone, which passes it on.
fn process(socket: &Path, log: &Path) -> io::Result<Child> {
    let mut command = host::this_program()?;
    command.args(host::arguments().into_iter().skip(1)).env(SOCKET, socket);
    apart(command, log)
}

/// Starts a process that has nothing of the terminal.
pub(super) fn apart(mut command: Command, log: &Path) -> io::Result<Child> {
    // It is no rank of an MPI job, even where this process is one.
    for name in mpi_job::variables() {
        command.env_remove(name);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(log)?)
        .process_group(0)
        .spawn()
}

/// Waits until the process has called, or has ended.
pub(super) fn await_call(listener: &UnixListener, process: &mut Child) -> io::Result<UnixStream> {
    let give_up = clock::now() + CALL;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if let Some(status) = process.try_wait()? {
            return Err(io::Error::other(format!("its process ended with {status}")));
        }
        if clock::now() > give_up {
            let _has_ended_meanwhile = process.kill();
            return Err(io::Error::other("it does not call"));
        }
        clock::sleep(LOOK);
    }
}

/// A folder that this user alone can enter; removed when every worker has called.
pub(super) struct SocketFolder(pub(super) PathBuf);

impl SocketFolder {
    pub(super) fn make() -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("bareflight-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for SocketFolder {
    fn drop(&mut self) {
        // It holds nothing, and lies where the system clears up.
        let _stays = fs::remove_dir_all(&self.0);
    }
}
