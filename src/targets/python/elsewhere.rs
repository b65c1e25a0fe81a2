//! Engine that another process opens: what is known of it here.

use serde::{Deserialize, Serialize};

use crate::record::sink::Sink;
use crate::settings::served::ServedSettings;
use crate::targets::named::{Named, Tokens};
use crate::targets::python::target::with_tokenizer_of;
use crate::targets::{Session, Target, TargetError, TargetInfo, python};

/// What one process tells another of an engine that is not opened where it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// What it is.
    pub info: TargetInfo,
    /// Ids with a meaning of their own.
    pub special_ids: Vec<u32>,
}

impl Described {
    /// A target that plans can be drawn for.
    pub fn into_named(self, served: &ServedSettings) -> Named {
        let adapter = python::named_adapter(&self.info.name);
        let served = with_tokenizer_of(adapter.map_or("", |it| it.model), served);
        let tokens = Tokens::named(&self.info.name, &served, None);
        Named::new(Elsewhere(self.info), self.special_ids, tokens)
    }
}

/// It answers nothing.
struct Elsewhere(TargetInfo);

impl Target for Elsewhere {
    fn describe(&self) -> &TargetInfo {
        &self.0
    }

    fn open(self: Box<Self>, _sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        let reason = "another process opens it".to_owned();
        Err(TargetError::Unusable { name: self.0.name, reason })
    }
}
