//! Dataset configuration of genai-bench: a JSON file that names a file, its kind and its columns.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::choice::{FileKind, FileSource};
use super::open::has_extension;

/// What such a configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchDataset {
    /// The file and what it is.
    pub source: FileSource,
    /// `prompt_column`, where the kind has columns.
    pub prompt_column: Option<String>,
    /// `image_column`.
    pub image_column: Option<String>,
}

/// A configuration that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchConfigError {
    /// The configuration cannot be read.
    #[error("`{}` cannot be read: {why}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system or the parser said.
        why: String,
    },
    /// Something in it is missing or cannot be done here.
    #[error("`{}`: {why}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the remedy.
        why: String,
    },
}

impl BenchDataset {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When it cannot be read, or asks for what is not done here: a download, or a function of Python.
    pub fn read(path: &Path) -> Result<Self, BenchConfigError> {
        let unread = |why: String| BenchConfigError::Read { path: path.to_owned(), why };
        let text = fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
        let config: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| unread(format!("it is no JSON ({error})")))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::of(&config, folder)
            .map_err(|why| BenchConfigError::Content { path: path.to_owned(), why })
    }

    /// # Errors
    /// What is wrong with it.
    fn of(config: &Value, folder: &Path) -> Result<Self, String> {
        let source = config.get("source").filter(|it| it.is_object());
        let source = source.ok_or("`source` is missing: `{\"type\": \"file\", \"path\": …}`")?;
        let function = |name: &str| config.get(name).is_some_and(|it| !it.is_null());
        if function("prompt_lambda") {
            return Err("`prompt_lambda` is a function of Python, which is not run here: write its prompts to a file, one \
                        JSON object a line, and name their column with `prompt_column`"
                .to_owned());
        }
        let member = |name: &str| source.get(name).and_then(Value::as_str);
        let named = member("path").ok_or("`source.path` is missing")?;
        let found = found(named, folder);
        let kind = member("type").unwrap_or("file");
        let path = match (kind, found) {
            ("file" | "csv", Some(path)) if path.is_file() => path,
            ("file" | "csv", _) => return Err(format!("there is no file `{named}`")),
            ("huggingface", Some(path)) => local_copy(&path)?,
            ("huggingface", None) => {
                return Err(format!(
                    "`{named}` is on a hub, and nothing is downloaded here: put a copy of it on this machine and write its path"
                ));
            }
            (other, _) => {
                return Err(format!(
                    "`source.type` is `{other}`: `file`, `csv` and `huggingface` with a local copy are read here"
                ));
            }
        };
        let column = |name: &str| config.get(name).and_then(Value::as_str).map(str::to_owned);
        let kind = if kind == "csv" { FileKind::Csv } else { kind_of(&path)? };
        Ok(Self {
            source: FileSource { kind, path },
            prompt_column: column("prompt_column").filter(|_| kind.has_columns()),
            image_column: column("image_column").filter(|_| kind.has_columns()),
        })
    }
}

/// As it is named, or beside the configuration.
fn found(named: &str, folder: &Path) -> Option<PathBuf> {
    [PathBuf::from(named), folder.join(named)].into_iter().find(|path| path.exists())
}

/// The one file of a dataset's folder.
fn local_copy(path: &Path) -> Result<PathBuf, String> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let unread = |error: std::io::Error| format!("`{}` cannot be read: {error}", path.display());
    let entries = fs::read_dir(path).map_err(unread)?.flatten().map(|entry| entry.path());
    let files: Vec<PathBuf> = entries.filter(|file| kind_of(file).is_ok()).collect();
    match &files[..] {
        [only] => Ok(only.clone()),
        [] => Err(format!("`{}` holds no JSON, CSV, Parquet or text", path.display())),
        several => Err(format!(
            "`{}` holds {} files of data: name one of them as `source.path`",
            path.display(),
            several.len()
        )),
    }
}

/// The kind that a file's name says, compressed or not.
fn kind_of(path: &Path) -> Result<FileKind, String> {
    const NAMES: [(&str, FileKind); 6] = [
        ("csv", FileKind::Csv),
        ("jsonl", FileKind::Jsonl),
        ("ndjson", FileKind::Jsonl),
        ("json", FileKind::Json),
        ("txt", FileKind::Text),
        ("parquet", FileKind::Parquet),
    ];
    let named = NAMES.into_iter().find(|(name, _)| has_extension(path, name));
    named.map(|(_, kind)| kind).ok_or_else(|| {
        format!(
            "`{}` is no `.csv`, `.json`, `.jsonl`, `.txt` or `.parquet`: give it the name of what it is",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<BenchDataset, String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("a.csv", "q,x\nhi,1\n"), ("b.txt", "hi\n"), ("set/c.jsonl", "{}\n")] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let path = folder.path().join("config.json");
        fs::write(&path, config).expect("a file");
        BenchDataset::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_configuration_names_a_file_its_kind_and_its_columns() {
        for (config, kind, column) in [
            (
                r#"{"source": {"type": "file", "path": "a.csv"}, "prompt_column": "q"}"#,
                FileKind::Csv,
                Some("q"),
            ),
            (
                r#"{"source": {"type": "csv", "path": "a.csv"}, "prompt_column": "q"}"#,
                FileKind::Csv,
                Some("q"),
            ),
            (r#"{"source": {"type": "file", "path": "b.txt"}}"#, FileKind::Text, None),
            (
                r#"{"source": {"type": "huggingface", "path": "set", "huggingface_kwargs": {}}, "prompt_column": "p"}"#,
                FileKind::Jsonl,
                Some("p"),
            ),
        ] {
            let dataset = read(config).expect(config);
            assert_eq!(dataset.source.kind, kind, "{config}");
            assert_eq!(dataset.prompt_column.as_deref(), column, "{config}");
        }
    }

    #[test]
    fn what_is_not_done_here_is_refused_with_what_to_do_instead() {
        for (config, said) in [
            (
                r#"{"source": {"type": "file", "path": "a.csv"}, "prompt_lambda": "lambda x: x"}"#,
                "is not run here",
            ),
            (
                r#"{"source": {"type": "huggingface", "path": "org/set"}}"#,
                "nothing is downloaded here",
            ),
            (r#"{"source": {"type": "custom", "path": "a.csv"}}"#, "`custom`"),
            (r#"{"source": {"type": "file", "path": "no.csv"}}"#, "no file `no.csv`"),
            (r#"{"prompt_column": "q"}"#, "`source` is missing"),
            ("[", "no JSON"),
        ] {
            let refused = read(config).expect_err(config);
            assert!(refused.contains(said), "{refused}");
        }
    }
}
