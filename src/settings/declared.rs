//! What the user says of a run and nothing measures: facts of the server, and notes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the user says; it goes into every artefact as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Declared {
    /// Of the server.
    pub server: ServerFacts,
    /// Anything else, by name.
    pub notes: BTreeMap<String, String>,
}

/// Facts of a server that it does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerFacts {
    /// Its engine, e.g. `vLLM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The version of the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Which GPUs it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_type: Option<String>,
    /// How many: rates per GPU and costs are taken over them where the target does not know its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_count: Option<u32>,
}

impl Declared {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The notes in one line; `None` where there is none.
    pub fn notes_line(&self) -> Option<String> {
        let notes = self.notes.iter().map(|(name, text)| format!("{name}={text}"));
        let line = notes.collect::<Vec<_>>().join(", ");
        (!line.is_empty()).then_some(line)
    }
}

impl ServerFacts {
    /// `vLLM 0.11 on 8 × H100`, or as much of it as was said; `None` where nothing was.
    pub fn line(&self) -> Option<String> {
        let engine = [self.engine.as_deref(), self.version.as_deref()];
        let engine = engine.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let gpus = match (self.gpu_count, &self.gpu_type) {
            (Some(count), Some(kind)) => format!("{count} × {kind}"),
            (Some(1), None) => "1 GPU".to_owned(),
            (Some(count), None) => format!("{count} GPUs"),
            (None, Some(kind)) => kind.clone(),
            (None, None) => String::new(),
        };
        match (engine.is_empty(), gpus.is_empty()) {
            (true, true) => None,
            (false, true) => Some(engine),
            (true, false) => Some(gpus),
            (false, false) => Some(format!("{engine} on {gpus}")),
        }
    }
}

/// One note: `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyValue {
    /// Its name.
    pub key: String,
    /// What it says.
    pub value: String,
}

/// A text that is no note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no note: write `KEY=VALUE`, with a key of letters, digits, `_`, `-` and `.`")]
pub struct NoteError(String);

impl FromStr for KeyValue {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let wrong = || NoteError(text.to_owned());
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if key.is_empty() || !key.chars().all(is_plain) || value.chars().any(char::is_control) {
            return Err(wrong());
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl TryFrom<String> for KeyValue {
    type Error = NoteError;

    fn try_from(text: String) -> Result<Self, NoteError> {
        text.parse()
    }
}

impl From<KeyValue> for String {
    fn from(note: KeyValue) -> Self {
        note.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_a_plain_key_and_any_value() {
        let note: KeyValue = "ticket=A = B".parse().expect("a note");
        assert_eq!((note.key.as_str(), note.value.as_str()), ("ticket", "A = B"));
        for text in ["ticket", "=x", "a b=c", "a=b\nc"] {
            assert!(text.parse::<KeyValue>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_is_told_as_far_as_it_was_said() {
        let facts = |engine: &str, count| ServerFacts {
            engine: Some(engine.to_owned()).filter(|it| !it.is_empty()),
            gpu_count: count,
            ..ServerFacts::default()
        };
        assert_eq!(facts("vLLM", Some(8)).line().as_deref(), Some("vLLM on 8 GPUs"));
        assert_eq!(facts("", Some(1)).line().as_deref(), Some("1 GPU"));
        assert_eq!(facts("", None).line(), None);
    }
}
