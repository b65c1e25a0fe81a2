//! Words of a command line, quoted as in a shell, without a shell.

use std::str::Chars;

/// Why a text is no command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCommand {
    /// A quotation mark without its partner.
    #[error("`--launch`: a quotation mark of `{0}` is not closed")]
    Unclosed(String),
    /// Only a shell knows these.
    #[error(
        "`--launch` starts a program and no shell, and `{0}` is a shell's: leave it out, or write `sh -c '…'`"
    )]
    Shell(String),
    /// Only a shell fills it in.
    #[error(
        "`--launch` starts a program and no shell, and `{0}` is for a shell to fill in: write out what it stands for, or the whole command \
         as `sh -c '…'`"
    )]
    Expansion(String),
    /// A variable before the program.
    #[error("`--launch` starts a program, and `{0}` is a variable: set it with `--env {0}`")]
    Variable(String),
    /// Nothing.
    #[error("`--launch` needs a command line, or a preset such as `vllm`")]
    Empty,
}

/// Takes a command line apart.
///
/// # Errors
/// When a quotation mark is not closed, or a shell would be needed.
pub fn split(text: &str) -> Result<Vec<String>, NoCommand> {
    let words = read(text)?;
    // What a shell is given as its command is filled in by that shell.
    let of_a_shell =
        words.iter().position(|word| word.text == "-c").filter(|_| starts_a_shell(&words));
    let others = words.iter().enumerate().filter(|(at, _)| of_a_shell.is_none_or(|c| *at != c + 1));
    if let Some((_, word)) = others.into_iter().find(|(_, word)| word.is_for_a_shell) {
        return Err(NoCommand::Expansion(word.text.clone()));
    }
    let words: Vec<String> = words.into_iter().map(|word| word.text).collect();
    check(&words)?;
    Ok(words)
}

fn starts_a_shell(words: &[Word]) -> bool {
    let program = words.first().and_then(|word| word.text.rsplit('/').next());
    program.is_some_and(|program| matches!(program, "sh" | "bash" | "dash" | "zsh"))
}

/// The words of a text, with lines joined and comments left out; nothing is said of what they mean. A line that ends a command is the
/// word `;`, unless a flag follows it: somebody forgot to say that it goes on.
///
/// # Errors
/// When a quotation mark is not closed.
pub fn split_as_a_shell(text: &str) -> Result<Vec<String>, NoCommand> {
    let mut words: Vec<String> = Vec::new();
    let mut is_line_over = false;
    for word in read(text)? {
        if is_line_over && !word.text.starts_with('-') {
            words.push(";".to_owned());
        }
        is_line_over = word.ends_line;
        words.push(word.text);
    }
    Ok(words)
}

/// A word, and whether a shell would put something else in its place.
#[derive(Debug, Default)]
struct Word {
    text: String,
    is_for_a_shell: bool,
    /// It is the last one of its line, which does not go on.
    ends_line: bool,
}

impl Word {
    /// A letter outside of single quotation marks, and what comes behind it.
    fn push(&mut self, letter: char, mut behind: Chars<'_>) {
        let begins_name = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '{' | '(');
        self.is_for_a_shell |= letter == '$' && behind.next().is_some_and(begins_name);
        self.text.push(letter);
    }
}

fn read(text: &str) -> Result<Vec<Word>, NoCommand> {
    let mut words: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    let mut letters = text.chars();
    let unclosed = || NoCommand::Unclosed(text.to_owned());
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(unclosed)? {
                        '\'' => break,
                        inside => word.text.push(inside),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(unclosed)? {
                        '"' => break,
                        '\\' => word.text.extend(escaped(letters.next().ok_or_else(unclosed)?)),
                        inside => word.push(inside, letters.clone()),
                    }
                }
            }
            '\\' => match letters.next().ok_or_else(unclosed)? {
                // The next line goes on.
                '\n' => {}
                escaped => word.get_or_insert_default().text.push(escaped),
            },
            '#' if word.is_none() => {
                letters.by_ref().find(|letter| *letter == '\n');
                end_line(&mut words);
            }
            '~' if word.is_none() => {
                let is_home = letters.clone().next().is_none_or(|c| c == '/' || c.is_whitespace());
                word =
                    Some(Word { text: "~".to_owned(), is_for_a_shell: is_home, ends_line: false });
            }
            space if space.is_whitespace() => {
                words.extend(word.take());
                if space == '\n' {
                    end_line(&mut words);
                }
            }
            other => word.get_or_insert_default().push(other, letters.clone()),
        }
    }
    words.extend(word);
    Ok(words)
}

fn end_line(words: &mut [Word]) {
    if let Some(last) = words.last_mut() {
        last.ends_line = true;
    }
}

/// Within double quotation marks a backslash stays, unless it stands before one of two characters.
fn escaped(letter: char) -> impl Iterator<Item = char> {
    let keeps = !matches!(letter, '"' | '\\');
    keeps.then_some('\\').into_iter().chain([letter])
}

fn check(words: &[String]) -> Result<(), NoCommand> {
    const OF_SHELLS: [&str; 10] = ["|", "||", "&", "&&", ";", ">", ">>", "<", "2>&1", "&>"];
    let Some(program) = words.first() else { return Err(NoCommand::Empty) };
    if let Some(word) = words.iter().find(|word| OF_SHELLS.contains(&word.as_str())) {
        return Err(NoCommand::Shell(word.clone()));
    }
    match program.split_once('=') {
        Some((name, _)) if !name.contains('/') => Err(NoCommand::Variable(program.clone())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_in_a_shell() {
        let text = r#"vllm serve 'a b' --x "c \"d\" \n" e\ f '' --json '{"a": 1}'"#;
        let expected =
            ["vllm", "serve", "a b", "--x", r#"c "d" \n"#, "e f", "", "--json", r#"{"a": 1}"#];
        assert_eq!(split(text).expect("words"), expected);
    }

    #[test]
    fn lines_that_go_on_are_one_and_comments_are_none() {
        let text = "vllm serve \\\n  m --x a#b # the model\n  --y 1";
        assert_eq!(split(text).expect("words"), ["vllm", "serve", "m", "--x", "a#b", "--y", "1"]);
    }

    #[test]
    fn what_needs_a_shell_is_refused_with_what_to_write_instead() {
        for (text, remedy) in [
            ("a | b", "sh -c"),
            ("a && b", "sh -c"),
            ("a > log", "sh -c"),
            ("A=1 b", "--env A=1"),
            ("~/bin/server", "`~/bin/server` is for a shell to fill in"),
            ("a $HOME/m", "`$HOME/m` is for a shell to fill in"),
            ("a \"x ${M:-m}\"", "sh -c"),
            ("sh \"$M\" -c x", "sh -c"),
            ("a --x $(nproc)", "sh -c"),
            ("a 'b", "not closed"),
            ("a \"b", "not closed"),
            (" ", "command line"),
        ] {
            let error = split(text).expect_err(text).to_string();
            assert!(error.contains(remedy), "{text}: {error}");
        }
        for text in [
            "sh -c 'a | b $HOME'",
            r#"/bin/bash -c "a $M --port {port}""#,
            r"a \$HOME",
            "a --cost 5$ a~b ~x",
            "a '~/x'",
        ] {
            assert!(split(text).is_ok(), "{text}");
        }
    }
}
