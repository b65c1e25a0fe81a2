//! Lines on standard error, each in one write: ranks of an MPI job share the terminal, and pieces of two lines would mix.

pub mod columns;
pub mod keeper;
pub mod shell_word;
pub mod streams;
pub mod terminal;

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether nothing is said here, since another process of the same job says it.
static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// Says nothing from now on, or again what there is to say.
pub fn be_silent(is_silent: bool) {
    IS_SILENT.store(is_silent, Ordering::Relaxed);
}

/// Whether nothing is said here.
pub fn is_silent() -> bool {
    IS_SILENT.load(Ordering::Relaxed)
}

/// Writes `bareflight: ` and the message as one line. An error of the terminal stops nothing: there is no place left to
/// report it to.
pub fn print_notice(message: fmt::Arguments<'_>) {
    if is_silent() {
        return;
    }
    let _closed = write_line(&mut *streams::notices(), format_args!("bareflight: {message}"));
}

/// Formats the line first and hands it to `to` in one call.
///
/// # Errors
/// Those of the writer.
pub fn write_line(to: &mut dyn Write, line: fmt::Arguments<'_>) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes())
}

/// An error and what caused it, in one line; a cause that the words before it hold already is not said again.
pub fn in_one_line(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what each call was given.
    #[derive(Default)]
    struct Calls(Vec<String>);

    impl Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_several_parts_reaches_the_writer_in_one_call() {
        let mut calls = Calls::default();
        write_line(&mut calls, format_args!("rank {} of {}", 1, 2)).expect("written");
        assert_eq!(calls.0, ["rank 1 of 2\n"]);
    }

    #[test]
    fn a_cause_is_said_once() {
        let error =
            anyhow::anyhow!("file exists").context("cannot be made (file exists): choose another");
        assert_eq!(in_one_line(&error), "cannot be made (file exists): choose another");
        assert_eq!(in_one_line(&anyhow::anyhow!("b").context("a")), "a: b");
    }
}
