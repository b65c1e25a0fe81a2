//! Choice of the GPUs that are watched: automatic, all, none, or by UUID.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum GpuChoice {
    /// Those that an engine in this process runs on, and none for other targets.
    #[default]
    Auto,
    /// Every GPU of this machine.
    All,
    /// None.
    None,
    /// These.
    Uuids(Vec<String>),
}

/// A choice that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no GPU: give `auto`, `all`, `none`, or UUIDs as `nvidia-smi -L` prints them (`GPU-…`), with commas"
)]
pub struct GpuChoiceError(String);

impl FromStr for GpuChoice {
    type Err = GpuChoiceError;

    fn from_str(text: &str) -> Result<Self, GpuChoiceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            list => {
                let uuids: Vec<String> =
                    list.split(',').map(|uuid| uuid.trim().to_owned()).collect();
                let all_are = uuids.iter().all(|uuid| uuid.starts_with("GPU-"));
                if all_are { Ok(Self::Uuids(uuids)) } else { Err(GpuChoiceError(text.to_owned())) }
            }
        }
    }
}

impl TryFrom<String> for GpuChoice {
    type Error = GpuChoiceError;
    fn try_from(text: String) -> Result<Self, GpuChoiceError> {
        text.parse()
    }
}

impl From<GpuChoice> for String {
    fn from(choice: GpuChoice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for GpuChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::All => f.write_str("all"),
            Self::None => f.write_str("none"),
            Self::Uuids(uuids) => f.write_str(&uuids.join(",")),
        }
    }
}
