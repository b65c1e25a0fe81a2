//! Conversation so far: what was asked and answered before, and the prompt that it makes of what is asked now.

use std::sync::Arc;

use crate::request::spec::{Beside, Prompt};

/// A question and its answer, as a later prompt repeats them.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// What was asked, without what had been said before.
    pub asked: Prompt,
    /// What was answered.
    pub answered: Prompt,
}

/// What stands between two sayings where no template puts anything.
const BETWEEN: &str = "\n";

/// The prompt of a turn with all that was said before it: as messages where the target takes them, else as one.
pub fn with_history(before: &[Exchange], asked: Prompt, as_messages: bool) -> (Prompt, Beside) {
    if before.is_empty() {
        return (asked, Beside::Nothing);
    }
    if as_messages {
        return (asked, Beside::Exchanges(before.into()));
    }
    let said = before.iter().flat_map(|it| [&it.asked, &it.answered]).chain([&asked]);
    let is_text = asked.text.is_some();
    let ids = said.clone().flat_map(|prompt| prompt.ids.iter().copied()).collect();
    let text = is_text.then(|| {
        let texts: Vec<&str> = said.filter_map(|prompt| prompt.text.as_deref()).collect();
        Arc::from(texts.join(BETWEEN))
    });
    (Prompt { ids, text }, Beside::Nothing)
}
