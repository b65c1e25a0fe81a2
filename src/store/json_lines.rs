//! JSON lines, read back to the end of the file or to the first line that is not one.

use std::io::{self, BufRead};

use serde::de::DeserializeOwned;

/// Why a file of lines cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// The file itself.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line.
    #[error("line {line} is none that this version of bareflight has written: {error}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

/// Reads all lines back. `may_be_torn` says that the writer may have been killed: a last line that is cut short is then
/// left out.
///
/// # Errors
/// At the first line that cannot be read.
pub fn read_all<Line: DeserializeOwned>(
    from: impl BufRead,
    may_be_torn: bool,
) -> Result<Vec<Line>, LinesError> {
    let mut read = Vec::new();
    let mut lines = from.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        match serde_json::from_str(&line?) {
            Ok(line) => read.push(line),
            Err(_) if may_be_torn && lines.peek().is_none() => break,
            Err(error) => return Err(LinesError::Line { line: index + 1, error }),
        }
    }
    Ok(read)
}
