//! Host program: where results go, and how the program is started again, where another program holds this library.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::Command;
use std::sync::OnceLock;

/// The version of this program, without its revision.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The program that holds this library, where it is not the plain one.
#[derive(Debug)]
pub struct HostProgram {
    /// What was typed; the program's own name is the first word.
    pub arguments: Vec<OsString>,
    /// Words that start it again; arguments follow them.
    pub command: Vec<OsString>,
    /// Where results go: its standard output belongs to its engines.
    pub results: File,
}

static HOST: OnceLock<HostProgram> = OnceLock::new();

/// Names the program that holds this library; the first one stands.
pub fn install(host: HostProgram) {
    let _the_first_one_stands = HOST.set(host);
}

/// What was typed; the program's own name is the first word.
pub fn arguments() -> Vec<OsString> {
    HOST.get().map_or_else(|| std::env::args_os().collect(), |host| host.arguments.clone())
}

/// A command that starts this program again; arguments follow.
///
/// # Errors
/// When it cannot find itself.
pub fn this_program() -> io::Result<Command> {
    let Some((program, first)) = HOST.get().and_then(|host| host.command.split_first()) else {
        return Ok(Command::new(std::env::current_exe()?));
    };
    let mut command = Command::new(program);
    command.args(first);
    Ok(command)
}

/// Whether another program holds this library.
pub fn is_held() -> bool {
    HOST.get().is_some()
}

/// Where results go, where another program holds this library.
pub fn results() -> Option<&'static File> {
    HOST.get().map(|host| &host.results)
}
