//! Side of a comparison in another environment: its own bareflight opens the engine and plays whole blocks when it is told.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use super::link_log::SharedOutbox;
use super::start::{SocketFolder, apart, await_call, words_of};
use super::worker::{Worker, begin};
use crate::experiment::blocks;
use crate::issue::stop::Stop;
use crate::issue::workers::link::Link;
use crate::issue::workers::message::{Order, SideJob, next_order};
use crate::issue::workers::remote_worker::RemoteWorker;
use crate::issue::workers::{Role, Workers, WorkersError};
use crate::load::plan::Slice;
use crate::settings::Resolved;
use crate::settings::gpu_choice::GpuChoice;
use crate::store::run_directory::{RunDirectory, file};
use crate::targets::python::interpreter::Interpreter;
use crate::targets::{python, registry};

/// Tells a process that it plays a side, and where the leading process listens.
const SOCKET: &str = "BAREFLIGHT_SIDE";

/// Starts the process that plays a side, and waits until it has opened its engine.
///
/// # Errors
/// When it cannot be started, refuses or ends, or would play another plan.
pub fn start_side(
    resolved: &Resolved,
    job: &SideJob,
    plans: &[String],
    directory: &RunDirectory,
    stop: Stop,
) -> Result<Workers, WorkersError> {
    let python = resolved.engine.python.as_deref().unwrap_or_else(|| Path::new("python"));
    let who = format!("the child process of `{}`", python.display());
    let sockets = SocketFolder::make()?;
    let socket = sockets.0.join("side");
    let listener = UnixListener::bind(&socket)?;
    listener.set_nonblocking(true)?;
    let log = directory.file(file::CHILD_LOG);
    let mut program = Interpreter::new(python).program();
    program.env(SOCKET, &socket);
    let refused = |error: io::Error| WorkersError::Child {
        who: who.clone(),
        words: format!("{error}; it wrote: {}", words_of(&log)),
    };
    let mut process = apart(program, &log).map_err(refused)?;
    let stream = await_call(&listener, &mut process).map_err(refused)?;
    let (news_to, news) = channel();
    let link = Link::over(stream.try_clone()?, stream);
    let worker = RemoteWorker::new(0, link, Some(process), news_to)?;
    let begin = |_| Order::BeginSide(Box::new(job.clone()));
    Workers::open(Role::Child(who), vec![worker], news, begin, plans, stop)
}

/// The socket of the leading process, where this process was started to play a side.
pub fn side_of_this_process() -> Option<PathBuf> {
    std::env::var_os(SOCKET).map(PathBuf::from)
}

/// Plays a side until it is told to close the engine. `resolve` makes settings of a text.
///
/// # Errors
/// When the leading process cannot be reached. What else stands in the way is told to that process, which tells the user.
pub fn play_side(
    socket: &Path,
    resolve: impl Fn(&str) -> Result<Resolved, String>,
) -> io::Result<()> {
    let stream = UnixStream::connect(socket)?;
    let Link { outbox, mut inbox } = Link::over(stream.try_clone()?, stream);
    let outbox = SharedOutbox::new(outbox);
    let Order::BeginSide(job) = next_order(&mut *inbox)? else {
        return Err(io::Error::other("the leading process does not begin a side"));
    };
    begin(inbox, &outbox, |outbox, stop| open(&job, &resolve, outbox, stop))
}

/// Opens the engine of the own side, with the plans that follow from all of them.
fn open(
    job: &SideJob,
    resolve: &impl Fn(&str) -> Result<Resolved, String>,
    outbox: &SharedOutbox,
    stop: &Stop,
) -> Result<Worker, String> {
    let mut sides = Vec::new();
    let mut named = Vec::new();
    for (number, told) in job.sides.iter().enumerate() {
        let mut side = resolve(&told.settings)?;
        if number == job.own {
            // This is that environment.
            side.engine.python = None;
        }
        // A server that was started for the comparison listens where the leading process knows.
        let is_there = python::adapter_of(&side.target).is_some() || side.launch.is_some();
        let is_elsewhere = number != job.own && is_there;
        named.push(if is_elsewhere {
            told.described.clone().into_named(&side.served)
        } else {
            registry::describe(&side.target, &side.engine, &side.served)
                .map_err(|error| error.to_string())?
        });
        sides.push(side);
    }
    let drawn =
        blocks::draw(&mut sides, &mut named, job.blocks).map_err(|error| error.to_string())?;
    if job.own >= sides.len() {
        return Err(format!("there is no side {} of {}", job.own, sides.len()));
    }
    let (own, target) = (sides.swap_remove(job.own), named.swap_remove(job.own).target);
    let own = Resolved { gpu_telemetry: GpuChoice::None, ..own };
    let whole = Slice { worker: 0, workers: 1 };
    Worker::with(own, whole, target, drawn.plans, outbox, stop)
}
