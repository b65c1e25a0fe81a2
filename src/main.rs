//! Entry point of the plain program.

use std::process::ExitCode;

fn main() -> ExitCode {
    bareflight::cli::program::main().end_process()
}
