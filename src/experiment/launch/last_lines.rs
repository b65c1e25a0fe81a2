//! Last lines of a log, as an error shows them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Lines of the log in an error.
const LAST_LINES: usize = 15;
/// Characters of a line.
const LONGEST: usize = 400;

/// The last lines of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastLines {
    path: PathBuf,
    lines: Vec<String>,
}

impl LastLines {
    /// As they are now.
    pub fn of(path: &Path) -> Self {
        let text = end_of(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        Self { path: path.to_owned(), lines: last.iter().map(|line| shown(line)).collect() }
    }
}

/// Nothing that a terminal would obey, and of a long line its end.
fn shown(line: &str) -> String {
    let plain: Vec<char> =
        line.chars().filter(|letter| *letter == '\t' || !letter.is_control()).collect();
    let cut = plain.len().saturating_sub(LONGEST);
    let mark = if cut == 0 { "" } else { "…" };
    format!("{mark}{}", plain[cut..].iter().collect::<String>())
}

fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    const A_FEW_SCREENS: u64 = 64 << 10;
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(A_FEW_SCREENS)))?;
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    Ok(text)
}

impl std::fmt::Display for LastLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        if self.lines.is_empty() {
            return write!(f, "its log `{path}` is empty");
        }
        write!(f, "the end of its log `{path}`:")?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_left_out_and_of_a_long_line_the_end_is_shown() {
        assert_eq!(shown("\u{1b}[31mout of\tmemory\u{7}"), "[31mout of\tmemory");
        let long = format!("{}end", "x".repeat(10_000));
        let short = shown(&long);
        assert!(short.starts_with("…x") && short.ends_with("xend"), "{short}");
        assert_eq!(short.chars().count(), LONGEST + 1);
    }
}
