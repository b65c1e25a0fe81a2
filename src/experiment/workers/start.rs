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

use super::{PLACE, Place};
use crate::clock::{self, Nanos};
use crate::host;
use crate::issue::crew::link::Link;
use crate::issue::crew::member::Member;
use crate::issue::crew::message::Order;
use crate::issue::crew::{Crew, CrewError, Role};
use crate::issue::stop::Stop;
use crate::load::plan::Slice;
use crate::settings::Resolved;
use crate::store::run_directory::RunDirectory;

/// How long a process may take to call.
const CALL: Nanos = Nanos::from_millis(60_000);
/// Between two looks whether it has.
const LOOK: Nanos = Nanos::from_millis(5);

/// Starts so many workers, which play plans of these hashes, and waits until each has opened the target. What they write on
/// standard error goes into files of the run.
///
/// # Errors
/// When a process cannot be started, refuses or ends, or would play another plan.
pub fn start(
    resolved: &Resolved,
    workers: u32,
    plans: &[String],
    directory: &RunDirectory,
    stop: Stop,
) -> Result<Crew, CrewError> {
    let sockets = SocketFolder::make()?;
    let (news_to, news) = channel();
    let mut calling = Vec::new();
    for worker in 0..workers {
        let place =
            Place { slice: Slice { worker, workers }, socket: sockets.0.join(worker.to_string()) };
        let listener = UnixListener::bind(&place.socket)?;
        listener.set_nonblocking(true)?;
        let log = directory.file(&log_name(worker));
        calling.push((listener, process(&place, &log)?));
    }
    let mut members = Vec::new();
    for (number, (listener, mut process)) in calling.into_iter().enumerate() {
        let log = directory.file(&log_name(number as u32));
        let stream = await_call(&listener, &mut process).map_err(|error| CrewError::Refused {
            number: number + 1,
            workers: workers as usize,
            words: format!("{error}; it wrote: {}", words_of(&log)),
        })?;
        let link = Link::over(stream.try_clone()?, stream);
        members.push(Member::new(number, link, Some(process), news_to.clone())?);
    }
    let (target, seed) = (resolved.target.clone(), resolved.workload.seed);
    Crew::open(Role::Workers, members, news, &Order::Begin { target, seed }, plans, stop)
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
fn process(place: &Place, log: &Path) -> io::Result<Child> {
    let mut program = host::this_program()?;
    program.args(host::arguments().into_iter().skip(1)).env(PLACE, place.text());
    apart(program, log)
}

/// Starts a process that has nothing of the terminal.
pub(super) fn apart(mut program: Command, log: &Path) -> io::Result<Child> {
    program
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
