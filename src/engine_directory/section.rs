//! Typed access to JSON sections, with errors that name the path of a key.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A key that stands in the way of reading a file; the caller adds the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key that must be there is not.
    #[error("the key `{0}` is missing")]
    Missing(String),
    /// A key holds another kind of value.
    #[error("the key `{key}` cannot be read: {why}")]
    Wrong {
        /// The path of the key, with dots.
        key: String,
        /// What was found, and what was expected.
        why: String,
    },
}

/// One object of a file, and its path from the top.
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    /// The whole file; `None` where it is no object.
    pub(super) fn top(value: &'a Value) -> Option<Self> {
        value.as_object().map(|fields| Self { path: String::new(), fields })
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A value that is neither absent nor `null`: many builds write the one for the other.
    fn present(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Whether a key is there and not `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.present(name).is_some()
    }

    /// An object that may be absent.
    pub(super) fn maybe_section(&self, name: &str) -> Result<Option<Self>, KeyError> {
        let path = self.key(name);
        match self.present(name) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self { path, fields })),
            Some(_) => Err(KeyError::Wrong { key: path, why: "an object is expected".into() }),
        }
    }

    /// An object that must be there.
    pub(super) fn section(&self, name: &str) -> Result<Self, KeyError> {
        self.maybe_section(name)?.ok_or_else(|| KeyError::Missing(self.key(name)))
    }

    /// A value that may be absent.
    pub(super) fn maybe<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, KeyError> {
        let read = |value: &Value| {
            T::deserialize(value)
                .map_err(|error| KeyError::Wrong { key: self.key(name), why: error.to_string() })
        };
        self.present(name).map(read).transpose()
    }

    /// A value that must be there.
    pub(super) fn need<T: DeserializeOwned>(&self, name: &str) -> Result<T, KeyError> {
        self.maybe(name)?.ok_or_else(|| KeyError::Missing(self.key(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_that_is_missing_is_named_with_its_path() {
        let value = json!({"pretrained_config": {"mapping": {"tp_size": null}}});
        let top = Section::top(&value).unwrap();
        let mapping = top.section("pretrained_config").unwrap().section("mapping").unwrap();
        let error = mapping.need::<u32>("tp_size").unwrap_err();
        assert_eq!(error, KeyError::Missing("pretrained_config.mapping.tp_size".into()));
        assert_eq!(
            top.section("build_config").unwrap_err().to_string(),
            "the key `build_config` is missing"
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_no_absent_value() {
        let value = json!({"build_config": {"max_batch_size": "many"}, "version": 3});
        let top = Section::top(&value).unwrap();
        let build = top.section("build_config").unwrap();
        let error = build.maybe::<u32>("max_batch_size").unwrap_err().to_string();
        assert!(
            error.contains("`build_config.max_batch_size`") && error.contains("many"),
            "{error}"
        );
        assert!(top.section("version").unwrap_err().to_string().contains("an object is expected"));
        assert!(Section::top(&json!([1])).is_none());
    }
}
