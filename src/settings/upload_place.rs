//! Place that a run directory is uploaded to: `s3://bucket/prefix`, `gs://…`, `az://…`, `oci://bucket@namespace/prefix`, `file:///folder`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A place for run directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadPlace {
    /// Who keeps it.
    pub storage: Storage,
    /// What the names of all objects begin with, without a slash at either end.
    pub prefix: String,
}

/// Who keeps what is uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// Amazon S3, or what speaks like it.
    S3 {
        /// Its bucket.
        bucket: String,
    },
    /// Google Cloud Storage.
    Google {
        /// Its bucket.
        bucket: String,
    },
    /// Azure Blob Storage.
    Azure {
        /// The container of the account that the environment names.
        container: String,
    },
    /// Oracle Object Storage.
    Oracle {
        /// Its bucket.
        bucket: String,
        /// The tenancy's namespace.
        namespace: String,
    },
    /// A folder of this machine or of a file system that it has mounted.
    Folder(PathBuf),
}

const FORMS: &str = "write `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, `oci://BUCKET@NAMESPACE/PREFIX` or \
     `file:///FOLDER`";

/// A text that is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadPlaceError {
    /// It has no scheme.
    #[error("`{0}` is no place to upload to: {FORMS}")]
    NoUrl(String),
    /// Nobody here knows its scheme.
    #[error("`{0}://` is not known here: {FORMS}")]
    Scheme(String),
    /// The bucket is missing.
    #[error("`{0}` names no bucket or container: {FORMS}")]
    NoContainer(String),
    /// A secret may be in it.
    #[error(
        "an address of `--upload` has no user or key in it, since it is kept in files: leave it out and set the variables of the \
         cloud, e.g. `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`"
    )]
    UserInside,
    /// Only objects are named.
    #[error(
        "`{0}` has `?` or `#` in it: name bucket and prefix alone, and set regions and endpoints in the environment"
    )]
    Query(String),
    /// Oracle's buckets belong to namespaces.
    #[error(
        "`{0}` has no namespace: write `oci://BUCKET@NAMESPACE/PREFIX`, as `oci os ns get` names it"
    )]
    NoNamespace(String),
    /// It would depend on where the program is started.
    #[error("`{0}` is no whole path: write `file:///` and the path from the root")]
    Relative(String),
}

impl FromStr for UploadPlace {
    type Err = UploadPlaceError;

    fn from_str(text: &str) -> Result<Self, UploadPlaceError> {
        let own = || text.to_owned();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(UploadPlaceError::NoUrl(own()));
        };
        if scheme == "file" {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            return match path.strip_prefix('/') {
                Some(_) => {
                    let storage = Storage::Folder(PathBuf::from(path));
                    Ok(Self { storage, prefix: String::new() })
                }
                None => Err(UploadPlaceError::Relative(own())),
            };
        }
        let (container, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix =
            prefix.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let storage = match scheme {
            "s3" | "s3a" => Storage::S3 { bucket: container.to_owned() },
            "gs" | "gcs" => Storage::Google { bucket: container.to_owned() },
            "az" | "azure" => Storage::Azure { container: container.to_owned() },
            "oci" => {
                let (bucket, namespace) = container.split_once('@').unwrap_or((container, ""));
                if namespace.is_empty() {
                    return Err(UploadPlaceError::NoNamespace(own()));
                }
                Storage::Oracle { bucket: bucket.to_owned(), namespace: namespace.to_owned() }
            }
            _ => return Err(UploadPlaceError::Scheme(scheme.to_owned())),
        };
        let container = storage.container();
        if container.contains(['@', ':']) {
            return Err(UploadPlaceError::UserInside);
        }
        if rest.contains(['?', '#']) {
            return Err(UploadPlaceError::Query(own()));
        }
        if container.is_empty() {
            return Err(UploadPlaceError::NoContainer(own()));
        }
        Ok(Self { storage, prefix })
    }
}

impl Storage {
    fn container(&self) -> &str {
        match self {
            Self::S3 { bucket } | Self::Google { bucket } | Self::Oracle { bucket, .. } => bucket,
            Self::Azure { container } => container,
            Self::Folder(_) => "",
        }
    }

    /// Whether it is reached over the network, which takes the feature `upload`.
    pub fn is_cloud(&self) -> bool {
        !matches!(self, Self::Folder(_))
    }
}

impl UploadPlace {
    /// The name of an object below the prefix.
    pub fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }
}

impl fmt::Display for UploadPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.storage {
            Storage::S3 { bucket } => write!(f, "s3://{bucket}")?,
            Storage::Google { bucket } => write!(f, "gs://{bucket}")?,
            Storage::Azure { container } => write!(f, "az://{container}")?,
            Storage::Oracle { bucket, namespace } => write!(f, "oci://{bucket}@{namespace}")?,
            Storage::Folder(path) => write!(f, "file://{}", path.display())?,
        }
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl TryFrom<String> for UploadPlace {
    type Error = UploadPlaceError;

    fn try_from(text: String) -> Result<Self, UploadPlaceError> {
        text.parse()
    }
}

impl From<UploadPlace> for String {
    fn from(place: UploadPlace) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_as_it_is_typed_without_needless_slashes() {
        for (text, shown) in [
            ("s3://b", "s3://b"),
            ("s3://b/", "s3://b"),
            ("s3a://b/a//b/", "s3://b/a/b"),
            ("gcs://b/a", "gs://b/a"),
            ("az://c/a", "az://c/a"),
            ("oci://b@n/a", "oci://b@n/a"),
            ("file:///tmp/x", "file:///tmp/x"),
            ("file://localhost/tmp/x", "file:///tmp/x"),
        ] {
            let place: UploadPlace = text.parse().expect(text);
            assert_eq!(place.to_string(), shown);
            assert_eq!(shown.parse(), Ok(place));
        }
        let place: UploadPlace = "s3://b/a".parse().expect("a place");
        assert_eq!(place.key("run/x.csv"), "a/run/x.csv");
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_forms_or_the_reason() {
        for (text, named) in [
            ("bucket/x", "s3://BUCKET"),
            ("ftp://h/x", "`ftp://`"),
            ("s3://", "no bucket"),
            ("s3://key:secret@b/x", "AWS_ACCESS_KEY_ID"),
            ("gs://b?x=y", "`?`"),
            ("oci://b/x", "NAMESPACE"),
            ("file://x/y", "file:///"),
        ] {
            let error = text.parse::<UploadPlace>().expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
            assert!(!error.contains("secret@"), "{error}");
        }
    }
}
