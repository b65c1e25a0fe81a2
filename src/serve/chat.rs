//! How does a conversation become one prompt?

use crate::serve::refusal::Refusal;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// How messages are put together.
#[derive(Debug)]
pub enum ChatTemplate {
    /// The contents in their order, one a line, nothing around them: a single message is a prompt of exactly its text.
    /// For models that were never taught roles.
    Plain,
}

impl ChatTemplate {
    /// The prompt's text, and whether the tokenizer is to put its own tokens around it.
    ///
    /// # Errors
    /// When the template refuses the conversation.
    pub fn render(&self, messages: &[Message]) -> Result<(String, bool), Refusal> {
        if messages.is_empty() {
            return Err(Refusal::field("messages", "a conversation has at least one message"));
        }
        match self {
            Self::Plain => {
                let contents: Vec<_> =
                    messages.iter().map(|message| message.content.as_str()).collect();
                Ok((contents.join("\n"), true))
            }
        }
    }
}
