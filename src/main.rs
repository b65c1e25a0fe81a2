//! Entry point of the plain program.
use std::process::ExitCode;

use bareflight::cli::program;
use bareflight::experiment::launch::guard;

fn main() -> ExitCode {
    match guard::run_as_asked(std::env::args_os()) {
        Some(code) => ExitCode::from(code),
        None => program::main().end_process(),
    }
}
