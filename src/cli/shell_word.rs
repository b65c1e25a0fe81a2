//! Words of a command line as a POSIX shell takes them.

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
