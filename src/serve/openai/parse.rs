//! Parser of completion and chat requests: each field is honoured, without effect, or refused by name.

use serde_json::{Map, Value};

use crate::request::spec::Sampling;
use crate::serve::chat::Message;
use crate::serve::openai::body::{Element, ParsedBody};
use crate::serve::openai::response_state::Endpoint;
use crate::serve::refusal::Refusal;
use crate::serve::service::{ParsedRequest, Service};

/// Options of the response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseOptions {
    /// Event by event.
    pub stream: bool,
    /// With a last event that holds the usage.
    pub include_usage: bool,
    /// With the ids of each piece of text.
    pub return_token_ids: bool,
}

/// `/v1/completions` stops after so many tokens by default, as OpenAI's does.
const COMPLETION_TOKENS: u32 = 16;

/// Fields that would change the answer in ways that no engine here can: refused unless they ask for nothing.
const CANNOT: [&str; 15] = [
    "stop",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "presence_penalty",
    "frequency_penalty",
    "echo",
    "suffix",
    "tools",
    "functions",
    "audio",
    "prompt_logprobs",
    "stop_token_ids",
    "bad_words",
    "min_p",
];

/// Reads a request.
///
/// # Errors
/// The first field that cannot be honoured.
pub fn read(
    service: &Service,
    endpoint: Endpoint,
    asked: ParsedBody,
) -> Result<(ParsedRequest, ResponseOptions), Refusal> {
    let fields = Fields(&asked.rest);
    check_model(service, &fields)?;
    refuse_what_cannot_be(&fields)?;
    let (prompt, prompt_field) = match endpoint {
        Endpoint::Chat => (chat_prompt(service, &fields)?, "messages"),
        Endpoint::Completions => {
            let special = fields.flag("add_special_tokens")?.unwrap_or(true);
            (prompt_ids(service, asked.prompt, special)?, "prompt")
        }
    };
    let options = options(&fields)?;
    let newer = fields.whole("max_completion_tokens")?;
    let older = fields.whole("max_tokens")?;
    let unsaid = (endpoint == Endpoint::Completions).then_some(COMPLETION_TOKENS);
    let parsed = ParsedRequest {
        prompt,
        prompt_field,
        max_tokens: newer.or(older).or(unsaid),
        max_tokens_field: if newer.is_some() { "max_completion_tokens" } else { "max_tokens" },
        min_tokens: fields.whole("min_tokens")?.unwrap_or(0),
        ignore_eos: fields.flag("ignore_eos")?.unwrap_or(false),
        sampling: sampling(&fields)?,
        streaming: options.stream,
    };
    Ok((parsed, options))
}

fn check_model(service: &Service, fields: &Fields<'_>) -> Result<(), Refusal> {
    match fields.get("model") {
        None => Ok(()),
        Some(Value::String(name)) if *name == service.model => Ok(()),
        Some(Value::String(name)) => {
            Err(Refusal::UnknownModel { asked: name.clone(), served: service.model.clone() })
        }
        Some(_) => Err(Refusal::field("model", "`model` is a text")),
    }
}

fn refuse_what_cannot_be(fields: &Fields<'_>) -> Result<(), Refusal> {
    for name in CANNOT {
        if fields.get(name).is_some_and(|value| !asks_for_nothing(value)) {
            let message = format!("this engine has no `{name}`: leave it out");
            return Err(Refusal::field(name, message));
        }
    }
    for name in ["n", "best_of", "repetition_penalty"] {
        if fields.get(name).is_some_and(|value| value.as_f64() != Some(1.0)) {
            let message = format!("`{name}` can only be 1 here: ask several times instead");
            return Err(Refusal::field(name, message));
        }
    }
    let format = fields.get("response_format").and_then(|format| format.get("type"));
    if format.is_some_and(|kind| kind != "text") {
        let message = "this engine cannot be held to a format: leave `response_format` out";
        return Err(Refusal::field("response_format", message));
    }
    Ok(())
}

fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

fn options(fields: &Fields<'_>) -> Result<ResponseOptions, Refusal> {
    let stream = fields.flag("stream")?.unwrap_or(false);
    let options = fields.get("stream_options");
    if options.is_some() && !stream {
        let message = "`stream_options` belongs to a stream: add `\"stream\": true`";
        return Err(Refusal::field("stream_options", message));
    }
    let include_usage = match options.map(|options| options.get("include_usage")) {
        None | Some(None | Some(Value::Null)) => false,
        Some(Some(Value::Bool(flag))) => *flag,
        Some(Some(_)) => return Err(wrong("stream_options.include_usage", "true or false")),
    };
    let return_token_ids = fields.flag("return_token_ids")?.unwrap_or(false);
    Ok(ResponseOptions { stream, include_usage, return_token_ids })
}

/// As in OpenAI's API: temperature 1 by default, and 0 for greedy decoding.
fn sampling(fields: &Fields<'_>) -> Result<Sampling, Refusal> {
    let seed = match fields.get("seed") {
        None => None,
        Some(seed) => {
            let whole = seed.as_u64().or_else(|| seed.as_i64().map(i64::cast_unsigned));
            Some(whole.ok_or_else(|| wrong("seed", "a whole number"))?)
        }
    };
    let temperature = fields.number("temperature", 0.0..=2.0)?.unwrap_or(1.0);
    if temperature == 0.0 {
        return Ok(Sampling::greedy(seed.unwrap_or(0)));
    }
    let seed = seed.unwrap_or_else(rand::random);
    let top_p = fields.number("top_p", f32::MIN_POSITIVE..=1.0)?.filter(|p| *p < 1.0);
    // −1 and 0 mean all.
    let top_k = match fields.get("top_k").map(Value::as_i64) {
        None | Some(Some(-1 | 0)) => None,
        Some(Some(k @ 1..)) => Some(k as u32),
        Some(_) => return Err(wrong("top_k", "a whole number, 0 or −1 for all")),
    };
    Ok(Sampling { temperature: Some(temperature), top_p, top_k, seed })
}

fn prompt_ids(
    service: &Service,
    prompt: Option<Element>,
    special: bool,
) -> Result<Vec<u32>, Refusal> {
    let several = "one prompt at a time: ask several times instead of with a list of prompts";
    match prompt {
        None => Err(Refusal::field("prompt", "a prompt is wanted: a text, or a list of token ids")),
        Some(Element::Text(text)) => Ok(service.text.encode(&text, special)?),
        Some(Element::Id(_)) => Err(wrong("prompt", "a text, or a list of token ids")),
        Some(Element::List(mut list)) => match list.first() {
            Some(Element::Text(_) | Element::List(_)) if list.len() == 1 => {
                prompt_ids(service, list.pop(), special)
            }
            Some(Element::Text(_) | Element::List(_)) => Err(Refusal::field("prompt", several)),
            Some(Element::Id(_)) | None => list
                .into_iter()
                .map(|element| match element {
                    Element::Id(id) => Ok(id),
                    _ => Err(wrong("prompt", "a text, or a list of token ids, not of both")),
                })
                .collect(),
        },
    }
}

fn chat_prompt(service: &Service, fields: &Fields<'_>) -> Result<Vec<u32>, Refusal> {
    let Some(Value::Array(list)) = fields.get("messages") else {
        return Err(wrong("messages", "a list of messages"));
    };
    let messages = list
        .iter()
        .enumerate()
        .map(|(at, message)| {
            let role = message.get("role").and_then(Value::as_str);
            let role = role.ok_or_else(|| wrong(&format!("messages.[{at}].role"), "a text"))?;
            let content = content(message.get("content")).ok_or_else(|| {
                wrong(&format!("messages.[{at}].content"), "text, or parts of it")
            })?;
            Ok(Message { role: role.to_owned(), content })
        })
        .collect::<Result<Vec<_>, Refusal>>()?;
    let (text, special) = service.template.render(&messages)?;
    Ok(service.text.encode(&text, special)?)
}

/// Text, or a list of parts that are all text.
fn content(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts
            .iter()
            .map(|part| match part.get("type").and_then(Value::as_str) {
                Some("text") => part.get("text")?.as_str(),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn wrong(field: &str, wanted: &str) -> Refusal {
    Refusal::field(field, format!("`{field}` is to be {wanted}"))
}

/// Fields by name; null is as good as absent.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let read = |value: &Value| value.as_bool().ok_or_else(|| wrong(name, "true or false"));
        self.get(name).map(read).transpose()
    }

    fn whole(&self, name: &str) -> Result<Option<u32>, Refusal> {
        let read = |value: &Value| {
            let whole = value.as_u64().and_then(|whole| u32::try_from(whole).ok());
            whole.ok_or_else(|| wrong(name, "a whole number, 0 or above"))
        };
        self.get(name).map(read).transpose()
    }

    fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<f32>,
    ) -> Result<Option<f32>, Refusal> {
        let read = |value: &Value| {
            let number = value.as_f64().map(|number| number as f32);
            number.filter(|number| range.contains(number)).ok_or_else(|| {
                wrong(name, &format!("a number from {} to {}", range.start(), range.end()))
            })
        };
        self.get(name).map(read).transpose()
    }
}
