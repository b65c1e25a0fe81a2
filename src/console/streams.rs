//! Standard output and standard error of a process whose engine writes to both: results and notices keep the true ones, and
//! what the engine writes goes to a file.
//!
//! The engine's side of both streams is the file itself and no pipe: nothing has to read it, and what was written before a crash
//! is there afterwards.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::console::terminal::{self, Stream};
use crate::host;

/// The streams as they were, once an engine's are apart from them.
static TRUE: OnceLock<True> = OnceLock::new();

struct True {
    results: File,
    notices: File,
    log: Mutex<Option<Log>>,
}

/// Where the engine's lines are: in memory at first, then in a file with a name.
struct Log {
    file: File,
    path: Option<PathBuf>,
}

/// From now on whatever an engine writes to either stream is kept, in memory until [`keep_engine_log`] names a file.
///
/// # Errors
/// When the system cannot duplicate a stream.
pub fn capture_engine_log() -> io::Result<()> {
    let log = File::from(memfd_create("engine.log", MemfdFlags::CLOEXEC)?);
    if set_apart(Some(Log { file: log.try_clone()?, path: None }))? {
        redirect(&log)?;
        show_panics();
    }
    Ok(())
}

/// From now on whatever an engine writes to standard output goes to standard error.
///
/// # Errors
/// When the system cannot duplicate a stream.
pub fn engine_log_to_standard_error() -> io::Result<()> {
    if set_apart(None)? {
        dup2_stdout(io::stderr())?;
    }
    Ok(())
}

/// Whether the streams have only now been set apart.
fn set_apart(log: Option<Log>) -> io::Result<bool> {
    io::stdout().flush()?;
    let results = match host::results() {
        Some(held) => held.try_clone()?,
        None => File::from(io::stdout().as_fd().try_clone_to_owned()?),
    };
    let notices = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    Ok(TRUE.set(True { results, notices, log: Mutex::new(log) }).is_ok())
}

fn redirect(log: &File) -> io::Result<()> {
    dup2_stdout(log)?;
    dup2_stderr(log)?;
    Ok(())
}

/// Rust reports a panic on descriptor 2, which must be the true one then.
fn show_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(it) = TRUE.get() {
            // There is no other place to report to.
            let _lost = dup2_stderr(&it.notices);
        }
        report(panic);
    }));
}

/// Keeps a captured log in this file from now on, with what was written before; does nothing where none is captured.
///
/// # Errors
/// When the file cannot be made or written.
pub fn keep_engine_log(path: &Path) -> io::Result<()> {
    let Some(it) = TRUE.get() else { return Ok(()) };
    let mut log = it.log.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(log) = log.as_mut() else { return Ok(()) };
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    redirect(&file)?;
    file.write_all(&end_of(&log.file, u64::MAX)?)?;
    *log = Log { file, path: Some(path.to_owned()) };
    Ok(())
}

/// The last lines of a captured log, fit for a terminal, and its file, where there are any.
pub fn last_engine_lines(most: usize) -> Option<(Option<PathBuf>, Vec<String>)> {
    const A_SCREEN: u64 = 16 << 10;
    let log = TRUE.get()?.log.lock().unwrap_or_else(PoisonError::into_inner);
    let log = log.as_ref()?;
    let text = String::from_utf8_lossy(&end_of(&log.file, A_SCREEN).ok()?).into_owned();
    let lines: Vec<String> = text.lines().map(shown).collect();
    let last = lines[lines.len().saturating_sub(most)..].to_vec();
    (!last.is_empty()).then(|| (log.path.clone(), last))
}

/// A line as a terminal may have it: nothing that would move its cursor, and no longer than a few of its rows.
fn shown(line: &str) -> String {
    const LONGEST: usize = 400;
    let plain = line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c });
    let mut kept: String = plain.take(LONGEST).collect();
    if line.chars().nth(LONGEST).is_some() {
        kept.push('…');
    }
    kept
}

fn end_of(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(most);
    let mut bytes = vec![0; (length - from) as usize];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

/// What is written while a view has the terminal waits; everything else goes on.
struct Waiting<W> {
    stream: Stream,
    to: W,
}

impl<W: Write> Write for Waiting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if terminal::keep(self.stream, bytes) { Ok(bytes.len()) } else { self.to.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Where results are printed.
pub fn results() -> Box<dyn Write> {
    if is_terminal_for_results() {
        Box::new(Waiting { stream: Stream::Results, to: results_now() })
    } else {
        results_now()
    }
}

/// Whether a person looks at results.
pub fn is_terminal_for_results() -> bool {
    match (TRUE.get(), host::results()) {
        (Some(it), _) => it.results.is_terminal(),
        (None, Some(held)) => held.is_terminal(),
        (None, None) => io::stdout().is_terminal(),
    }
}

/// Whether results could not be written since their reader has gone: the other end of a pipe, or a terminal that has closed,
/// which is no terminal any more and still a device.
pub fn nobody_reads_results(error: &io::Error) -> bool {
    let is_device = || {
        let kind = results_file().and_then(|file| file.metadata()).map(|it| it.file_type());
        kind.is_ok_and(|kind| kind.is_char_device())
    };
    let is_gone = || error.raw_os_error() == Some(Errno::IO.raw_os_error());
    error.kind() == io::ErrorKind::BrokenPipe || (is_gone() && is_device())
}

/// The stream of results for something that wants a descriptor.
///
/// # Errors
/// When the system cannot duplicate it.
pub fn results_file() -> io::Result<File> {
    match (TRUE.get(), host::results()) {
        (Some(it), _) => it.results.try_clone(),
        (None, Some(held)) => held.try_clone(),
        (None, None) => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
    }
}

fn results_now() -> Box<dyn Write> {
    match (TRUE.get(), host::results()) {
        (Some(it), _) => Box::new(&it.results),
        (None, Some(held)) => Box::new(held),
        (None, None) => Box::new(io::stdout().lock()),
    }
}

/// Where a person is told what goes on.
pub fn notices() -> Box<dyn Write + Send> {
    Box::new(Waiting { stream: Stream::Notices, to: notices_now() })
}

fn notices_now() -> Box<dyn Write + Send> {
    match TRUE.get() {
        Some(it) => Box::new(&it.notices),
        None => Box::new(io::stderr()),
    }
}

/// Whether a person looks at notices.
pub fn is_terminal() -> bool {
    TRUE.get().map_or_else(|| io::stderr().is_terminal(), |it| it.notices.is_terminal())
}

/// The same stream for something that wants a descriptor of its own.
///
/// # Errors
/// When the system cannot duplicate it.
pub fn notices_file() -> io::Result<File> {
    match TRUE.get() {
        Some(it) => it.notices.try_clone(),
        None => Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?)),
    }
}

/// The same stream for a process that this one starts.
///
/// # Errors
/// When the system cannot duplicate it.
pub fn notices_of_a_child() -> io::Result<Stdio> {
    notices_file().map(Stdio::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_cannot_move_the_cursor_and_a_long_one_is_cut() {
        assert_eq!(shown("a\tb \u{1b}[2J\0c"), "a\tb \u{fffd}[2J\u{fffd}c");
        let long = shown(&"ä".repeat(70_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (401, true));
    }
}
