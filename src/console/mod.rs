//! Lines on standard error, each in one write: ranks of an MPI job share the terminal, and pieces of two lines would mix.

pub mod streams;
pub mod terminal;

use std::fmt;
use std::io::{self, Write};

/// Writes `bareflight: ` and the message as one line. An error of the terminal stops nothing: there is no place left to
/// report it to.
pub fn print_notice(message: fmt::Arguments<'_>) {
    let _closed = write_line(&mut *streams::notices(), format_args!("bareflight: {message}"));
}

/// Formats the line first and hands it to `to` in one call.
///
/// # Errors
/// Those of the writer.
pub fn write_line(to: &mut dyn Write, line: fmt::Arguments<'_>) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes())
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
}
