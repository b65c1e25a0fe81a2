//! Version of a launched server: what its program prints when it is asked, within a time limit.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::experiment::launch::guard::{Ended, Order};
use crate::experiment::launch::guarded::Guarded;

/// Longest time of the question, unless the server itself takes longer to load.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two looks whether the server is still loading.
const STEP: Duration = Duration::from_millis(200);
/// Longest line that is a version.
const LONGEST: usize = 200;

/// Asks with a command line, under a guard of its own: what takes a question for a start is ended with all that it has started.
/// Whoever loads for minutes may take as long to print a version.
pub fn ask(
    argv: &[String],
    env: &[(String, String)],
    said: &Path,
    is_loading: &AtomicBool,
) -> Option<String> {
    if argv.is_empty() {
        return None;
    }
    let order =
        Order { argv: argv.to_vec(), env: env.to_vec(), log: said.to_owned(), patience_ms: 0 };
    let guarded = Guarded::start(&order).ok()?;
    let begun = Instant::now();
    let ended = loop {
        let ended = guarded.wait_for_the_end(STEP);
        let is_over = begun.elapsed() > LIMIT && !is_loading.load(Ordering::Relaxed);
        if ended.is_some() || is_over {
            break ended;
        }
    };
    guarded.stop();
    let text = fs::read_to_string(said).ok();
    // It was made for this question.
    let _left_behind = fs::remove_file(said);
    (ended == Some(Ended::Code(0))).then_some(())?;
    version_in(&text?)
}

/// A line that says so, else the last one with a digit: libraries like to greet before it.
fn version_in(text: &str) -> Option<String> {
    let has_number = |line: &&str| line.bytes().any(|byte| byte.is_ascii_digit());
    let numbered = || text.lines().rev().map(str::trim).filter(has_number);
    let says_so = |line: &&str| line.to_lowercase().starts_with("version");
    let line = numbered().find(says_so).or_else(|| numbered().next())?;
    Some(line.chars().take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_with_a_number_is_the_version() {
        let said = "loading plugins\nWARNING: no GPU\nvllm 0.11.2\n\n";
        assert_eq!(version_in(said).as_deref(), Some("vllm 0.11.2"));
        assert_eq!(version_in("usage: serve"), None);
    }

    #[test]
    fn a_line_that_says_version_is_it_whatever_follows() {
        let said = "version: 0.1.0 (build 1, commit 7e4c0a9)\nbuilt with GNU 11.4.0 for Linux\n";
        assert_eq!(version_in(said).as_deref(), Some("version: 0.1.0 (build 1, commit 7e4c0a9)"));
    }
}
