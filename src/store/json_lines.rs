//! How is a file of JSON lines read back? To its end, or to the first line that is none of ours.

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

/// Reads all lines back.
///
/// # Errors
/// At the first line that cannot be read.
pub fn read_all<Line: DeserializeOwned>(from: impl BufRead) -> Result<Vec<Line>, LinesError> {
    let read = |(index, line): (usize, io::Result<String>)| {
        serde_json::from_str(&line?).map_err(|error| LinesError::Line { line: index + 1, error })
    };
    from.lines().enumerate().map(read).collect()
}
