//! Version of a launched server: what its program prints when it is asked, within a time limit.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::experiment::launch::guard::{Ended, Order};
use crate::experiment::launch::guarded::Guarded;

/// Longest time of the question.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest line that is a version.
const LONGEST: usize = 200;

/// Asks with a command line, under a guard of its own: what takes a question for a start is ended with all that it has started.
pub fn ask(argv: &[String], env: &[(String, String)], said: &Path) -> Option<String> {
    if argv.is_empty() {
        return None;
    }
    let order =
        Order { argv: argv.to_vec(), env: env.to_vec(), log: said.to_owned(), patience_ms: 0 };
    let guarded = Guarded::start(&order).ok()?;
    let ended = guarded.wait_for_the_end(LIMIT);
    guarded.stop();
    let text = fs::read_to_string(said).ok();
    // It was made for this question.
    let _left_behind = fs::remove_file(said);
    (ended == Some(Ended::Code(0))).then_some(())?;
    version_in(&text?)
}

/// The last line with a digit; libraries like to greet before it.
fn version_in(text: &str) -> Option<String> {
    let is_version = |line: &&str| line.bytes().any(|byte| byte.is_ascii_digit());
    let line = text.lines().rev().map(str::trim).find(is_version)?;
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
}
