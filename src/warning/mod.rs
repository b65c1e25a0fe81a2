//! Warning codes: a stable number for every check, warning and note, with what it means, why it matters and what helps.

pub mod document;
mod table;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use table::{Code, Entry, Source, entries};

/// Names less alike than this are not taken for a slip of the keyboard.
const ALIKE: f64 = 0.75;

impl Code {
    /// What is known of it.
    pub fn entry(self) -> &'static Entry {
        let mut all = entries();
        let Some(entry) = all.nth(self as usize) else { unreachable!("every code has an entry") };
        entry
    }

    /// `W005`.
    pub fn number(self) -> &'static str {
        self.entry().number
    }

    /// Every code, in the order of numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        entries().map(|entry| entry.code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// A text that is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no warning code `{given}`{}: {}", meant.as_deref().unwrap_or_default(), list())]
pub struct UnknownCode {
    given: String,
    meant: Option<String>,
}

fn list() -> String {
    let codes: Vec<String> =
        entries().map(|entry| format!("{} {}", entry.number, entry.name)).collect();
    format!("codes are {}", codes.join(", "))
}

impl FromStr for Code {
    type Err = UnknownCode;

    /// By number or by name, whatever the case: `W005`, `w5`, `headroom`.
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let typed = text.trim().to_lowercase().replace(['_', '-'], " ");
        let number = typed.strip_prefix('w').and_then(|digits| digits.parse::<u16>().ok());
        let is_it = |entry: &&'static Entry| {
            let own = entry.number[1..].parse::<u16>().ok();
            (number.is_some() && own == number) || entry.name.to_lowercase() == typed
        };
        if let Some(entry) = entries().find(is_it) {
            return Ok(entry.code);
        }
        let alike = |entry: &Entry| strsim::jaro_winkler(&entry.name.to_lowercase(), &typed);
        let nearest = entries().max_by(|a, b| alike(a).total_cmp(&alike(b)));
        let meant = nearest
            .filter(|entry| number.is_none() && alike(entry) >= ALIKE)
            .map(|entry| format!(", did you mean {} `{}`?", entry.number, entry.name));
        Err(UnknownCode { given: text.to_owned(), meant })
    }
}

impl TryFrom<String> for Code {
    type Error = UnknownCode;

    fn try_from(text: String) -> Result<Self, UnknownCode> {
        text.parse()
    }
}

impl From<Code> for String {
    fn from(code: Code) -> Self {
        code.number().to_owned()
    }
}

/// Something that a reader should know, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which kind of thing it is.
    pub code: Code,
    /// What was seen, in plain words.
    pub text: String,
}

impl Note {
    /// A note of that code.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// What is said of those that came up although they were denied, each in a sentence that names its code.
    pub fn denied(raised: impl IntoIterator<Item = Self>, codes: &[Code]) -> Vec<String> {
        let raised = raised.into_iter().filter(|note| codes.contains(&note.code));
        raised
            .map(|Self { code, text }| format!("{code} {} is denied: {text}", code.entry().name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_entry_at_its_place_and_a_number_of_its_own() {
        for (place, entry) in entries().enumerate() {
            assert_eq!(entry.code as usize, place, "{}: out of place", entry.number);
            assert!(entry.number.starts_with('W') && entry.number.len() == 4, "{}", entry.number);
            for text in [entry.means, entry.why, entry.remedy] {
                assert!(!text.is_empty() && !text.ends_with('.'), "{}: {text}", entry.number);
            }
        }
        let all: Vec<&Entry> = entries().collect();
        for pair in all.windows(2) {
            assert!(pair[0].number < pair[1].number, "{} is not in order", pair[1].number);
        }
        let mut names: Vec<&str> = entries().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len(), "a name is used twice");
    }

    #[test]
    fn a_code_is_read_by_number_or_name_and_an_unknown_one_is_refused_with_the_list() {
        for text in ["W005", "w005", "W5", "headroom", "HEADROOM"] {
            assert_eq!(text.parse(), Ok(Code::Headroom), "{text}");
        }
        assert_eq!("schedule_lag".parse(), Ok(Code::ScheduleLag));
        let said = "W998".parse::<Code>().expect_err("none").to_string();
        assert!(said.contains("W998") && said.contains("W005 headroom"), "{said}");
        let said = "hedroom".parse::<Code>().expect_err("none").to_string();
        assert!(said.contains("did you mean W005 `headroom`?"), "{said}");
    }

    #[test]
    fn a_code_is_its_number_in_files() {
        assert_eq!(serde_json::to_string(&Code::Headroom).expect("JSON"), "\"W005\"");
        assert_eq!(serde_json::from_str::<Code>("\"W005\"").expect("read"), Code::Headroom);
    }
}
