//! Words of a command line as a POSIX shell takes them: every command that is suggested has its words from here.

use std::path::Path;

/// As a shell takes it for one word: as it stands where it holds only plain letters and these, else in quotation marks.
pub fn quoted(word: &str, also_plain: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c) || also_plain.contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A path as one word of a command that somebody may paste.
pub fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_otherwise_is_in_quotation_marks() {
        assert_eq!(quoted("--a=b,c", ""), "--a=b,c");
        assert_eq!(quoted("", ""), "''");
        assert_eq!(quoted("it's", ""), r"'it'\''s'");
        assert_eq!(quoted("{port}", ""), "'{port}'");
        assert_eq!(quoted("{port}", "{}"), "{port}");
    }
}
