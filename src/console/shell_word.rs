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

/// The same where the shell puts in its variables, as it did where the word was written.
pub fn quoted_for_variables(word: &str) -> String {
    if !has_variable(word) {
        return quoted(word, "");
    }
    let mut text = String::from("\"");
    for letter in word.chars() {
        if matches!(letter, '"' | '\\' | '`') {
            text.push('\\');
        }
        text.push(letter);
    }
    text + "\""
}

/// Whether a variable of a shell stands in it, such as `$NAME` or `${NAME:-8}`.
pub fn has_variable(word: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '{';
    word.split('$').skip(1).any(|rest| rest.starts_with(begins))
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

    #[test]
    fn a_shells_variables_stay_open_to_it_and_nothing_else_does() {
        assert_eq!(quoted_for_variables("$MODEL"), "\"$MODEL\"");
        assert_eq!(quoted_for_variables("D(${ISL:-8},`x`)"), "\"D(${ISL:-8},\\`x\\`)\"");
        assert_eq!(quoted_for_variables("D(8,8)"), "'D(8,8)'");
        assert_eq!(quoted_for_variables("5$"), "'5$'");
    }
}
