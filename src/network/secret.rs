//! API key that can be sent but is never printed.

use std::fmt;
use std::path::Path;

/// An API key. It has no `Display`, and its `Debug` is always the same text.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// Error of reading an API key. The message names the place and the remedy, never the content.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// The environment variable is missing or empty.
    #[error("the environment variable `{0}` is not set or empty: export the API key in it")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("the API key file `{path}` cannot be read: {reason}")]
    NoFile {
        /// Which file.
        path: String,
        /// The system's error.
        reason: std::io::Error,
    },
    /// The value cannot be sent in a header.
    #[error("the API key from {0} is empty or holds characters that no HTTP header may carry")]
    Unusable(String),
}

impl ApiKey {
    /// Reads the key from an environment variable.
    ///
    /// # Errors
    /// When the variable is missing, or its value cannot be a header's.
    pub fn from_variable(name: &str) -> Result<Self, ApiKeyError> {
        let value = std::env::var(name).map_err(|_| ApiKeyError::NoVariable(name.to_owned()))?;
        if value.trim().is_empty() {
            return Err(ApiKeyError::NoVariable(name.to_owned()));
        }
        Self::checked(&value, || format!("`{name}`"))
    }

    /// Reads the key from the first line of a file.
    ///
    /// # Errors
    /// When the file cannot be read, or its first line cannot be a header's value.
    pub fn from_file(path: &Path) -> Result<Self, ApiKeyError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|reason| ApiKeyError::NoFile { path: shown.clone(), reason })?;
        Self::checked(text.lines().next().unwrap_or_default(), || format!("the file `{shown}`"))
    }

    fn checked(value: &str, place: impl Fn() -> String) -> Result<Self, ApiKeyError> {
        let key = value.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiKeyError::Unusable(place()));
        }
        Ok(Self(key.to_owned()))
    }

    /// The value of an `Authorization` header.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether `header` is the value of an `Authorization` header with this key. Every byte is compared, so that the time
    /// does not reveal where they differ.
    pub(crate) fn is_bearer(&self, header: &[u8]) -> bool {
        let wanted = self.bearer();
        let differing = wanted.bytes().zip(header).fold(0, |seen, (a, b)| seen | (a ^ b));
        wanted.len() == header.len() && differing == 0
    }

    /// `message` with every occurrence of the key redacted: servers often repeat a refused header.
    pub(crate) fn redact(&self, message: &str) -> String {
        message.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(not shown)")
    }
}

/// What mends it that a server wants a key, or another one.
pub const fn key_remedy(was_sent: bool) -> &'static str {
    if was_sent {
        "the key that was sent is not the one it wants: see `--api-key-env`"
    } else {
        "no key was sent: name the variable that holds it with `--api-key-env`, or a file with `--api-key-file`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_shows_itself() {
        let key = ApiKey::checked("sk-very-secret", String::new).unwrap();
        assert!(!format!("{key:?}").contains("secret"));
        assert_eq!(key.redact("bad key sk-very-secret!"), "bad key [key]!");
    }

    #[test]
    fn only_the_whole_key_opens() {
        let key = ApiKey::checked("sk-1", String::new).unwrap();
        assert!(key.is_bearer(b"Bearer sk-1"));
        for other in ["", "sk-1", "Bearer sk-", "Bearer sk-2", "Bearer sk-1 "] {
            assert!(!key.is_bearer(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_key_file_may_end_in_a_newline_and_an_empty_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-1\n").unwrap();
        assert_eq!(ApiKey::from_file(&path).unwrap().bearer(), "Bearer sk-1");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(ApiKey::from_file(&path), Err(ApiKeyError::Unusable(_))));
        assert!(ApiKey::from_file(&folder.path().join("none")).is_err());
        assert!(matches!(
            ApiKey::from_variable("BAREFLIGHT_NO_SUCH_VARIABLE"),
            Err(ApiKeyError::NoVariable(_))
        ));
    }
}
