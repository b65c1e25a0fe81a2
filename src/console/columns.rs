//! Columns of the terminal that results are printed on, within what can be read.

use std::sync::OnceLock;

use rustix::termios::tcgetwinsize;

use crate::console::streams;

/// Narrower than this, tables are unreadable.
pub const NARROWEST: usize = 60;
/// Wider than this, lines are.
pub const WIDEST: usize = 120;
/// Where nobody says.
pub const USUAL: usize = 100;

/// What results are laid out for, once the program has looked at its terminal.
static RESULTS: OnceLock<usize> = OnceLock::new();

/// Lays results out for the terminal that they are printed on; for a file or a pipe they stay as they are everywhere.
pub fn fit_results_to_terminal() {
    if streams::is_terminal_for_results() {
        let seen = streams::results_file().ok().and_then(|it| tcgetwinsize(it).ok());
        let seen = seen.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        // Once is enough: a terminal that is resized later keeps what is printed.
        let _was_set = RESULTS.set(within_bounds(told().or(seen)));
    }
}

/// Columns for results.
pub fn of_results() -> usize {
    RESULTS.get().copied().unwrap_or(USUAL)
}

/// What `COLUMNS` says.
pub fn told() -> Option<usize> {
    std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok())
}

/// A width that can be read.
pub fn within_bounds(columns: Option<usize>) -> usize {
    columns.unwrap_or(USUAL).clamp(NARROWEST, WIDEST)
}
