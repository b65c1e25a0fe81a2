//! Object store of a cloud as a [`Store`].

use std::fs;
use std::path::Path;

use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStoreExt as _, PutPayload};
use tokio::runtime::{Builder, Runtime};

use super::open::{Opened, open};
use crate::settings::upload_place::UploadPlace;
use crate::upload::Patience;
use crate::upload::store::{Store, StoreError};

/// Parts are at least so large; S3 wants 5 MiB.
const PART: u64 = 8 << 20;
/// Parts of one file; S3 takes 10 000.
const MOST_PARTS: u64 = 9_000;
/// Longest words of a store that are shown.
const MOST_WORDS: usize = 400;

/// A store, and the runtime that its connections live on.
pub struct CloudStore {
    runtime: Runtime,
    opened: Opened,
}

impl CloudStore {
    pub fn new(place: &UploadPlace, patience: Patience) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self { runtime, opened: open(place, patience)? })
    }

    fn explained(&self, error: Error) -> StoreError {
        let is_denied =
            matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. });
        let words = in_short(&error.to_string());
        match error {
            _ if is_denied => StoreError::Denied { words, remedy: self.opened.remedy },
            Error::NotFound { .. } => StoreError::NotThere(words),
            // Without credentials anywhere, the last of the chain is asked: the machine itself.
            _ if words.contains("169.254.") || words.contains("metadata.google") => {
                StoreError::Denied {
                    words: format!("no credentials were found ({words})"),
                    remedy: self.opened.remedy,
                }
            }
            _ => StoreError::Failed(words),
        }
    }
}

/// The name of an object as it is: clouds take every letter, and a copy has the names of its files.
fn object_path(key: &str) -> Result<ObjectPath, StoreError> {
    ObjectPath::parse(key).map_err(|error| StoreError::Failed(error.to_string()))
}

/// In one line, and not for ever: a store answers with a page of XML, of which code and message say it all.
fn in_short(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = line.find("<?xml").or_else(|| line.find("<Error>"));
    let said = page.and_then(|page| Some((page, element(&line[page..], "Code")?)));
    let line = match said {
        Some((page, code)) => {
            let message = element(&line[page..], "Message").unwrap_or_default();
            format!("{}{code}: {message}", &line[..page])
        }
        None => line,
    };
    match line.char_indices().nth(MOST_WORDS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

fn element<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = page.split_once(&format!("<{name}>"))?;
    behind.split_once(&format!("</{name}>")).map(|(inside, _)| inside)
}

impl Store for CloudStore {
    fn part_bytes(&self, file_bytes: u64) -> Option<u64> {
        let part = file_bytes.div_ceil(MOST_PARTS).max(PART);
        (file_bytes > PART).then_some(part)
    }

    fn put_bytes(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (path, payload) = (object_path(key)?, PutPayload::from(bytes.to_vec()));
        let put = self.opened.objects.put(&path, payload);
        self.runtime.block_on(put).map(|_| ()).map_err(|error| self.explained(error))
    }

    fn put_file(&self, key: &str, path: &Path) -> Result<(), StoreError> {
        let bytes = fs::read(path).map_err(|error| StoreError::Unreadable(error.to_string()))?;
        self.put_bytes(key, &bytes)
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        let path = object_path(key)?;
        let removed = self.runtime.block_on(self.opened.objects.delete(&path));
        removed.map_err(|error| self.explained(error))
    }

    fn begin(&self, key: &str) -> Result<String, StoreError> {
        let path = object_path(key)?;
        let begun = self.runtime.block_on(self.opened.parts.create_multipart(&path));
        begun.map_err(|error| self.explained(error))
    }

    fn put_part(
        &self,
        key: &str,
        id: &str,
        index: usize,
        bytes: Vec<u8>,
    ) -> Result<String, StoreError> {
        let (path, id) = (object_path(key)?, id.to_owned());
        let put = self.opened.parts.put_part(&path, &id, index, PutPayload::from(bytes));
        let part = self.runtime.block_on(put).map_err(|error| self.explained(error))?;
        Ok(part.content_id)
    }

    fn finish(&self, key: &str, id: &str, parts: Vec<String>) -> Result<(), StoreError> {
        let (path, id) = (object_path(key)?, id.to_owned());
        let parts = parts
            .into_iter()
            .map(|content_id| object_store::multipart::PartId { content_id })
            .collect();
        let finished = self.opened.parts.complete_multipart(&path, &id, parts);
        self.runtime.block_on(finished).map(|_| ()).map_err(|error| self.explained(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_an_answer_becomes_a_line() {
        assert_eq!(in_short("a\n  <b>\n"), "a <b>");
        assert_eq!(in_short(&"ä".repeat(500)).chars().count(), MOST_WORDS + 1);
        let page = "403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>\n<Message>No right.</Message><Id>1</Id></Error>";
        assert_eq!(in_short(page), "403 Forbidden: AccessDenied: No right.");
    }

    #[test]
    fn an_object_has_the_name_of_its_file_whatever_letters_are_in_it() {
        let key = "lab/ünï code+100%~[1].csv";
        assert_eq!(object_path(key).expect("a name").as_ref(), key);
        assert!(object_path("lab/../x").is_err());
    }
}
