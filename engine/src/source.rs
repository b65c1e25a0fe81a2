//! Source of a model: a dummy of a named size, or a directory.

use std::path::PathBuf;
use std::str::FromStr;

use crate::error::OpenError;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// Seeded random weights of a named size; nothing is read.
    Dummy(DummySize),
    /// A Hugging Face model directory: `config.json`, `*.safetensors`, and `tokenizer.json` for text.
    Directory(PathBuf),
}

/// The sizes that dummy weights are made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DummySize {
    /// 0.2 M parameters, vocabulary 512: for tests.
    Pico,
    /// 5 M parameters, vocabulary 4096: made in milliseconds.
    Nano,
    /// 101 M parameters, vocabulary 16384: memory traffic like a real model, made in about a second.
    Small,
}

impl DummySize {
    pub const ALL: [DummySize; 3] = [DummySize::Pico, DummySize::Nano, DummySize::Small];

    pub fn name(self) -> &'static str {
        match self {
            DummySize::Pico => "dummy-pico",
            DummySize::Nano => "dummy-nano",
            DummySize::Small => "dummy-small",
        }
    }
}

impl FromStr for ModelSource {
    type Err = OpenError;

    /// `dummy-…` is a dummy size (`dummy-100m` is another name of `dummy-small`), everything else a directory.
    fn from_str(text: &str) -> Result<ModelSource, OpenError> {
        if text != "dummy" && !text.starts_with("dummy-") {
            return Ok(ModelSource::Directory(PathBuf::from(text)));
        }
        let size = match text {
            "dummy-100m" => Some(DummySize::Small),
            _ => DummySize::ALL.into_iter().find(|size| size.name() == text),
        };
        size.map(ModelSource::Dummy)
            .ok_or_else(|| OpenError::UnknownDummy { name: text.to_string(), known: known_names() })
    }
}

impl std::fmt::Display for ModelSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ModelSource::Dummy(size) => f.write_str(size.name()),
            ModelSource::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

fn known_names() -> String {
    DummySize::ALL.map(DummySize::name).join(", ")
        + ", dummy-100m (= dummy-small), or a model directory"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_dummy_name_is_refused_with_the_known_ones() {
        let error = "dummy-huge".parse::<ModelSource>().unwrap_err().to_string();
        assert!(error.contains("dummy-huge") && error.contains("dummy-nano"), "{error}");
    }

    #[test]
    fn every_dummy_name_parses_to_its_size_and_other_text_is_a_directory() {
        for size in DummySize::ALL {
            assert_eq!(size.name().parse::<ModelSource>().unwrap(), ModelSource::Dummy(size));
        }
        let directory = "models/dummy-nano".parse::<ModelSource>().unwrap();
        assert_eq!(directory, ModelSource::Directory("models/dummy-nano".into()));
    }
}
