//! A command as it is pasted: in one text or in words, with variables and other programs around it.

use super::DIALECTS;
use super::draft::Draft;
use super::reader::Dialect;
use crate::experiment::launch::words::split_as_a_shell;

/// What a shell does with a command beside running it.
const OF_SHELLS: [&str; 9] = ["|", "||", "&", "&&", ";", ">", ">>", "2>", "2>&1"];
/// Start the program behind them, and change nothing of what it measures.
const STARTERS: [&str; 9] =
    ["env", "python", "python3", "-m", "exec", "time", "nohup", "bash", "sh"];

/// A command in its parts.
pub struct Pasted {
    /// Whose it is.
    pub dialect: &'static Dialect,
    /// What follows the program's name.
    pub flags: Vec<String>,
    /// It was a text that a shell reads, with variables in it.
    pub is_of_a_shell: bool,
    before: Vec<String>,
    behind: Vec<String>,
}

impl Pasted {
    /// Of words as a shell has made them, or of one text with the whole command.
    ///
    /// # Errors
    /// In a sentence, when it holds no command that is known.
    pub fn of(words: &[String]) -> Result<Self, String> {
        let (mut words, mut is_of_a_shell) = match words {
            [whole] if whole.contains(char::is_whitespace) => (split(whole)?, true),
            words => (words.to_vec(), false),
        };
        // What `bash -c` is to run is one word.
        if program_in(&words).is_none()
            && let Some(place) = words.iter().position(|word| is_for_a_shell(word))
            && let Some(inner) = words.get(place + 1).cloned()
        {
            words.splice(place.., split(&inner)?);
            is_of_a_shell = true;
        }
        let (dialect, begin, end) = program_in(&words).ok_or_else(|| unknown(&words))?;
        let of_shell = |word: &String| OF_SHELLS.iter().any(|it| word == it) || word.ends_with(';');
        let rest = words.split_off(end);
        words.truncate(begin);
        let cut = rest.iter().position(of_shell).unwrap_or(rest.len());
        let (flags, behind) = rest.split_at(cut);
        let mut flags = flags.to_vec();
        let mut behind = behind.to_vec();
        if let Some(last) = behind.first_mut().filter(|it| it.len() > 1 && it.ends_with(';')) {
            last.pop();
            flags.push(behind.remove(0));
        }
        Ok(Self { dialect, flags, before: words, behind, is_of_a_shell })
    }

    /// Says what stands around the command and is not carried over.
    pub fn leave_out_the_rest(&self, draft: &mut Draft) {
        let mut others = Vec::new();
        for word in &self.before {
            match word.split_once('=') {
                // A value may be a secret.
                Some((name, _)) if is_name(name) => {
                    draft.leave_out(
                        &format!("the variable {name}"),
                        "set it before our command where that needs it, too",
                    );
                }
                _ if STARTERS.contains(&file_name(word)) || is_for_a_shell(word) || word == ";" => {
                }
                _ => others.push(word.as_str()),
            }
        }
        if !others.is_empty() {
            draft.leave_out(&others.join(" "), "it stands before the command");
        }
        if !self.behind.is_empty() {
            draft.leave_out(&self.behind.join(" "), "it is for the shell behind the command");
        }
    }
}

fn split(text: &str) -> Result<Vec<String>, String> {
    split_as_a_shell(text).map_err(|_| format!("a quotation mark of `{text}` is not closed"))
}

/// `-c`, also among others as in `bash -lc`.
fn is_for_a_shell(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|letters| {
        letters.ends_with('c') && letters.chars().all(|letter| letter.is_ascii_lowercase())
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// The first command that is known, and where its name begins and ends; a path before it says nothing.
fn program_in(words: &[String]) -> Option<(&'static Dialect, usize, usize)> {
    let names: Vec<&str> = words.iter().map(|word| file_name(word)).collect();
    (0..names.len()).find_map(|at| {
        let found = DIALECTS.into_iter().flat_map(|dialect| {
            let begins = dialect.programs.iter().filter(|program| names[at..].starts_with(program));
            begins.map(move |program| (dialect, at, at + program.len()))
        });
        found.max_by_key(|(_, _, end)| *end)
    })
}

fn unknown(words: &[String]) -> String {
    let known: Vec<String> =
        DIALECTS.iter().flat_map(|it| it.programs).map(|it| it.join(" ")).collect();
    let known = known.join(", ");
    let is_name =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic() || "./~".contains(c));
    let said: Vec<&str> = words.iter().map(String::as_str).take_while(is_name).take(3).collect();
    match said.join(" ").trim() {
        "" => format!("there is no command behind `--`; known are {known}"),
        said => format!("`{said}` is no command that is known here; known are {known}"),
    }
}
