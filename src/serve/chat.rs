//! Chat templates: messages of a conversation rendered into one prompt.

use std::collections::BTreeMap;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

use minijinja::{Environment, ErrorKind, context};
use serde::{Deserialize, Serialize};

use crate::serve::refusal::Refusal;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: String,
    /// Text of the message.
    pub content: String,
}

/// How messages are put together.
#[derive(Debug)]
pub enum ChatTemplate {
    /// The contents in their order, one a line, nothing around them: a single message is a prompt of exactly its text.
    /// For models that were never taught roles.
    Plain,
    /// The model's own, in Jinja as Hugging Face's tokenizers have it. It writes special tokens itself.
    OfModel(Box<ModelTemplate>),
}

/// A model's template, compiled, and the special tokens that it may write, by their names.
#[derive(Debug)]
pub struct ModelTemplate {
    jinja: Environment<'static>,
    tokens: BTreeMap<String, String>,
}

/// Its name among the templates of its environment.
const CHAT: &str = "chat";

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the chat template in `{}` cannot be used: {reason}; name another with `--chat-template FILE`, or `plain` for none",
    file.display()
)]
pub struct BadTemplate {
    file: PathBuf,
    reason: String,
}

/// The part of `tokenizer_config.json` that is about chats.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    chat_template: Option<Templates>,
    /// `bos_token` and its like are among them.
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

impl TokenizerConfig {
    /// What templates may write is there, if only as nothing.
    fn tokens(self) -> BTreeMap<String, String> {
        let needed = ["bos_token", "eos_token"].map(|name| (name.to_owned(), String::new()));
        let named = self.rest.into_iter().filter(|(name, _)| name.ends_with("_token"));
        let special_tokens = named.filter_map(|(name, token)| {
            Some((name, token.get("content").unwrap_or(&token).as_str()?.to_owned()))
        });
        needed.into_iter().chain(special_tokens).collect()
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Several(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl ChatTemplate {
    /// The template in a model's folder: `chat_template.jinja`, or else in `tokenizer_config.json`; plain where there is
    /// neither.
    ///
    /// # Errors
    /// When there is one that cannot be read, or that is no template.
    pub fn of_folder(folder: &Path) -> Result<Self, BadTemplate> {
        let apart = folder.join("chat_template.jinja");
        if apart.exists() {
            return Self::of_file(&apart, Some(folder));
        }
        let (file, mut config) = read_config(folder)?;
        let Some(templates) = config.chat_template.take() else { return Ok(Self::Plain) };
        let source = default_of(templates).map_err(|names| {
            bad(&file, format!("none of its templates ({}) is called `default`", names.join(", ")))
        })?;
        ModelTemplate::compile(&file, source, config).map(Self::of_model)
    }

    /// The template in a file of its own, with the special tokens of the model in `folder`.
    ///
    /// # Errors
    /// When it cannot be read, or is no template.
    pub fn of_file(file: &Path, folder: Option<&Path>) -> Result<Self, BadTemplate> {
        let source = std::fs::read_to_string(file).map_err(|error| bad(file, error))?;
        let config = match folder {
            Some(folder) => read_config(folder)?.1,
            None => TokenizerConfig::default(),
        };
        ModelTemplate::compile(file, source, config).map(Self::of_model)
    }

    fn of_model(template: ModelTemplate) -> Self {
        Self::OfModel(Box::new(template))
    }

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
            Self::OfModel(template) => template.render(messages).map(|text| (text, false)),
        }
    }
}

impl ModelTemplate {
    fn compile(file: &Path, source: String, config: TokenizerConfig) -> Result<Self, BadTemplate> {
        let mut jinja = Environment::new();
        // As Hugging Face's `apply_chat_template` sets Jinja up, except for its clock: a prompt is the same every day.
        jinja.set_trim_blocks(true);
        jinja.set_lstrip_blocks(true);
        // Templates are written for Python, and call methods of its strings and lists.
        jinja.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        let refuse = |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        };
        jinja.add_function("raise_exception", refuse);
        jinja.add_template_owned(CHAT, source).map_err(|error| bad(file, error))?;
        Ok(Self { jinja, tokens: config.tokens() })
    }

    fn render(&self, messages: &[Message]) -> Result<String, Refusal> {
        let known = context! {
            messages => messages,
            add_generation_prompt => true,
            // There are none here, which templates ask for as `none`.
            tools => (),
            documents => (),
            ..minijinja::Value::from_serialize(&self.tokens)
        };
        let rendered = self.jinja.get_template(CHAT).and_then(|template| template.render(known));
        rendered.map_err(|error| {
            let message = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            let message = format!("the model's chat template refuses this conversation: {message}");
            Refusal::field("messages", message)
        })
    }
}

/// A model without the file has no template and no special tokens to write.
fn read_config(folder: &Path) -> Result<(PathBuf, TokenizerConfig), BadTemplate> {
    let file = folder.join("tokenizer_config.json");
    let config = match std::fs::read(&file) {
        Err(error) if error.kind() == NotFound => TokenizerConfig::default(),
        Err(error) => return Err(bad(&file, error)),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| bad(&file, error))?,
    };
    Ok((file, config))
}

fn bad(file: &Path, reason: impl std::fmt::Display) -> BadTemplate {
    BadTemplate { file: file.to_owned(), reason: reason.to_string() }
}

/// The template for chats without tools, or the names of what there is.
fn default_of(templates: Templates) -> Result<String, Vec<String>> {
    match templates {
        Templates::One(template) => Ok(template),
        Templates::Several(mut several) => {
            match several.iter().position(|one| one.name == "default") {
                Some(at) => Ok(several.swap_remove(at).template),
                None => Err(several.into_iter().map(|one| one.name).collect()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.into(), content: content.into() }
    }

    fn folder(config: &serde_json::Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        folder
    }

    #[test]
    fn a_template_that_is_no_template_is_refused_with_its_file() {
        let broken = folder(&serde_json::json!({ "chat_template": "{% for %}" }));
        let error = ChatTemplate::of_folder(broken.path()).expect_err("broken").to_string();
        assert!(error.contains("tokenizer_config.json") && error.contains("plain"), "{error}");
        let no_json = tempfile::tempdir().unwrap();
        std::fs::write(no_json.path().join("tokenizer_config.json"), "{").unwrap();
        assert!(ChatTemplate::of_folder(no_json.path()).is_err());
        let missing = ChatTemplate::of_file(Path::new("/nowhere.jinja"), None).expect_err("none");
        assert!(missing.to_string().contains("/nowhere.jinja"), "{missing}");
    }

    #[test]
    fn templates_without_a_default_are_refused_with_their_names() {
        let named = folder(&serde_json::json!({
            "chat_template": [{ "name": "tool_use", "template": "x" }, { "name": "rag", "template": "y" }],
        }));
        let error = ChatTemplate::of_folder(named.path()).expect_err("no default").to_string();
        assert!(error.contains("tool_use, rag") && error.contains("--chat-template"), "{error}");
    }

    #[test]
    fn what_templates_of_models_use_is_there() {
        let source = "{% for message in messages %}\
            {% if message.role == 'skip' %}{% continue %}{% endif %}\
            {{ message.content | tojson }}{{ '|' if loop.nextitem is defined }}\
            {% endfor %}{% if tools is not none %}tools{% endif %}{{ unk_token }}{{ strftime_now is defined }}";
        let folder = folder(
            &serde_json::json!({ "chat_template": source, "unk_token": { "content": "<u>" } }),
        );
        let template = ChatTemplate::of_folder(folder.path()).unwrap();
        let messages = [message("user", "a\"b"), message("skip", "no"), message("user", "c")];
        let (text, _) = template.render(&messages).unwrap();
        assert_eq!(text, "\"a\\\"b\"|\"c\"<u>False");
    }

    #[test]
    fn a_template_may_refuse_a_conversation_in_its_own_words() {
        let strict =
            "{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}{% endif %}";
        let folder = folder(&serde_json::json!({ "chat_template": strict }));
        let template = ChatTemplate::of_folder(folder.path()).unwrap();
        let refusal = template.render(&[message("system", "s")]).expect_err("no user").to_string();
        assert!(refusal.contains("user first"), "{refusal}");
        assert!(template.render(&[]).is_err());
    }

    #[test]
    fn a_template_written_for_python_is_rendered_as_there() {
        // ChatML, with what templates like to use: methods of strings, namespaces, and blocks on lines of their own.
        let source = "{% set seen = namespace(system=false) %}\n\
            {% for message in messages %}\n\
            {% if message['role'] == 'system' %}{% set seen.system = true %}{% endif %}\n\
            {{ '<|im_start|>' + message.role + '\\n' + message.content.strip() + '<|im_end|>\\n' }}\
            {% endfor %}\n\
            {% if add_generation_prompt %}{{ bos_token ~ seen.system }}<|im_start|>assistant\n{% endif %}";
        let folder = folder(&serde_json::json!({
            "chat_template": [{ "name": "tool_use", "template": "x" }, { "name": "default", "template": source }],
            "bos_token": { "content": "<s>" },
        }));
        let template = ChatTemplate::of_folder(folder.path()).unwrap();
        let (text, special) = template.render(&[message("user", " hi ")]).unwrap();
        assert_eq!(text, "<|im_start|>user\nhi<|im_end|>\n<s>False<|im_start|>assistant\n");
        assert!(!special, "the template writes special tokens itself");
    }

    #[test]
    fn a_template_of_its_own_file_goes_before_the_config_and_takes_its_tokens() {
        let folder = folder(&serde_json::json!({ "chat_template": "old", "eos_token": "</s>" }));
        let file = folder.path().join("chat_template.jinja");
        std::fs::write(&file, "{{ messages[0].content }}{{ eos_token }}").unwrap();
        let template = ChatTemplate::of_folder(folder.path()).unwrap();
        assert_eq!(template.render(&[message("user", "hi")]).unwrap().0, "hi</s>");
        let alone = ChatTemplate::of_file(&file, None).unwrap();
        assert_eq!(alone.render(&[message("user", "hi")]).unwrap().0, "hi");
    }

    #[test]
    fn without_a_template_one_message_is_a_prompt_of_its_text() {
        let empty = tempfile::tempdir().unwrap();
        let template = ChatTemplate::of_folder(empty.path()).unwrap();
        let one = template.render(&[message("user", "a b")]).unwrap();
        assert_eq!(one, ("a b".to_owned(), true));
        let two = template.render(&[message("system", "s"), message("user", "u")]).unwrap();
        assert_eq!(two.0, "s\nu");
    }
}
