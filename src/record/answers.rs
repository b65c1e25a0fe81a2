//! Answers of a run that are kept while they come, since later prompts repeat them. Only where a conversation asks for it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::request::RequestId;

/// What one request was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its ids, where the target tells them.
    pub ids: Vec<u32>,
    /// Its text, where the target tells that.
    pub text: String,
    /// It came to its end.
    pub is_complete: bool,
}

/// Answers by request, until they are taken.
#[derive(Debug, Default)]
pub struct Answers(Mutex<HashMap<RequestId, Answer>>);

impl Answers {
    /// More ids of an answer.
    pub fn add_ids(&self, id: RequestId, ids: &[u32]) {
        self.with(id, |answer| answer.ids.extend_from_slice(ids));
    }

    /// All text of an answer.
    pub fn set_text(&self, id: RequestId, text: String) {
        self.with(id, |answer| answer.text = text);
    }

    /// The answer is over.
    pub fn end(&self, id: RequestId, is_complete: bool) {
        self.with(id, |answer| answer.is_complete = is_complete);
    }

    /// What there is of an answer, once.
    pub fn take(&self, id: RequestId) -> Answer {
        self.all().remove(&id).unwrap_or_default()
    }

    fn with(&self, id: RequestId, change: impl FnOnce(&mut Answer)) {
        change(self.all().entry(id).or_default());
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, Answer>> {
        // Whoever panicked had no half-made change in hand.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
