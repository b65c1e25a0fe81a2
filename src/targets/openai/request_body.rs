//! Bytes of one request, written ahead of its instant by the thread that draws prompts.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde_json::Value;

use crate::clock::MonoNs;
use crate::load::plan::Shot;
use crate::network::proxy::Proxy;
use crate::request::exchange::Exchange;
use crate::request::spec::{Beside, Prompt, RequestSpec};
use crate::request::{Failure, FailureKind, Prepared, RequestId};
use crate::settings::served::{BodyField, OutputTokenField};
use crate::targets::Prepare;
use crate::targets::openai::address::Address;
use crate::targets::openai::decided::{beside_the_run, two_of_a_run};
use crate::targets::openai::options::{ConnectionPolicy, Endpoint, OpenAiOptions, PromptAs};

/// Headers that the exchange itself decides.
const OURS: [&str; 4] = ["content-length", "transfer-encoding", "connection", "accept-encoding"];

/// A request as bytes.
#[derive(Debug, Clone)]
pub struct Message {
    /// `POST`, or `GET` for the list of models.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Head and body as HTTP/1.1 puts them on the wire.
    pub wire: Bytes,
    /// Where in `wire` the body begins.
    pub body_at: usize,
}

/// A request for the client thread that sends it.
#[derive(Debug)]
pub struct Outgoing {
    /// Which request.
    pub id: RequestId,
    /// What to send.
    pub message: Arc<Message>,
    /// Tokens asked for.
    pub max_tokens: u32,
    /// Vectors or scores that the answer must hold, where it holds any.
    pub expects: Option<u32>,
    /// Tokens come as they are made.
    pub streaming: bool,
    /// When it was submitted.
    pub handed_over: MonoNs,
}

/// Error in the options. The message names the option and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BadRequestOption {
    /// A header that HTTP does not allow.
    #[error("the header `{0}` cannot be sent: its name or value is not allowed in HTTP")]
    Header(String),
    /// Two keys.
    #[error(
        "the header `{0}` and `--api-key-env` or `--api-key-file` are two keys for one request: leave one of them out"
    )]
    TwoKeys(String),
    /// A header that would break the exchange.
    #[error("the header `{0}` is set by the connection itself; leave it out")]
    OurHeader(String),
    /// A body parameter that the run decides.
    #[error(
        "the member `{field}` of `--extra-inputs` is decided by the run, and its numbers would be about something else: {remedy}"
    )]
    Decided {
        /// As it is called in a request.
        field: &'static str,
        /// The flag that decides it.
        remedy: String,
    },
    /// Neither has a rerank.
    #[error(
        "documents to rerank cannot be token ids: leave `--prompts ids` out and give `--tokenizer FILE`"
    )]
    RerankIds,
    /// Chat has no token ids.
    #[error(
        "chat prompts cannot be token ids: give `--endpoint completions`, or `--prompts text` and `--tokenizer FILE`"
    )]
    ChatIds,
}

/// Writes requests.
#[derive(Debug, Clone)]
pub struct RequestWriter {
    endpoint: Endpoint,
    prompt_as: PromptAs,
    path: String,
    /// Headers as a map, for HTTP/2.
    headers: HeaderMap,
    /// Headers as lines, for HTTP/1.1.
    header_lines: String,
    /// What stands before a path in HTTP/1.1: the server's origin where a proxy reads it, else nothing.
    before_path: String,
    model: Option<String>,
    ignore_eos: bool,
    min_tokens: bool,
    output_token_field: OutputTokenField,
    omit: Vec<BodyField>,
    running_usage: bool,
    extra: serde_json::Map<String, Value>,
}

impl RequestWriter {
    /// From checked options.
    ///
    /// # Errors
    /// When some option cannot become a request.
    pub fn new(options: &OpenAiOptions, address: &Address) -> Result<Self, BadRequestOption> {
        if options.endpoint == Endpoint::Chat && options.prompt_as == PromptAs::Ids {
            return Err(BadRequestOption::ChatIds);
        }
        if options.endpoint == Endpoint::Rerank && options.prompt_as == PromptAs::Ids {
            return Err(BadRequestOption::RerankIds);
        }
        let headers = headers_of(options, address)?;
        let mut header_lines = String::new();
        for (name, value) in &headers {
            let value = value.to_str().map_err(|_| BadRequestOption::Header(name.to_string()))?;
            // Writing to a string cannot fail.
            let _infallible = write!(header_lines, "{name}: {value}\r\n");
        }
        let mut writer = Self {
            endpoint: options.endpoint,
            prompt_as: options.prompt_as,
            path: address.path.clone(),
            headers,
            header_lines,
            before_path: String::new(),
            model: options.model.clone(),
            ignore_eos: options.ignore_eos,
            min_tokens: options.min_tokens,
            output_token_field: options.output_token_field,
            omit: options.omit.clone(),
            running_usage: false,
            extra: serde_json::Map::new(),
        };
        let in_all = writer.alike(&two_of_a_run(options.same_in_all));
        writer.extra = beside_the_run(options, &in_all)?;
        Ok(writer)
    }

    /// Members that both have alike.
    fn alike(&self, [one, other]: &[Shot; 2]) -> serde_json::Map<String, Value> {
        let members = |shot| -> serde_json::Map<String, Value> {
            let body = self.body(shot).expect("it has a prompt and documents in every form");
            serde_json::from_slice(&body).expect("a body is a JSON object")
        };
        let (mut alike, other) = (members(one), members(other));
        alike.retain(|name, value| other.get(name) == Some(value));
        alike
    }

    /// Sets the model's name.
    pub fn name_model(&mut self, model: String) {
        self.model = Some(model);
    }

    /// Requests go to a proxy that passes them on.
    pub fn ask_through(&mut self, proxy: &Proxy, address: &Address) {
        self.before_path = format!("http://{}", address.origin.host_header());
        self.header_lines.push_str(&proxy.authorization_line());
    }

    /// Asks for the usage so far in each chunk, of a server that is known to take the question.
    pub fn ask_for_running_usage(&mut self) {
        self.running_usage = true;
    }

    /// Asks for it no more.
    pub fn leave_out_running_usage(&mut self) {
        self.running_usage = false;
    }

    /// Whether it is asked for.
    pub const fn asks_for_running_usage(&self) -> bool {
        self.running_usage
    }

    /// Whether it could be: in a stream, where `--omit` does not leave `stream_options` out.
    pub fn may_ask_for_running_usage(&self, shot: &Shot) -> bool {
        shot.request.streaming && self.endpoint.has_output() && self.sends(BodyField::StreamOptions)
    }

    /// Headers for HTTP/2, which has no `Host` and no `Connection`.
    pub fn http2_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.remove(HOST);
        headers.remove(CONNECTION);
        headers
    }

    /// A request without a body.
    pub fn get(&self, path: &str) -> Message {
        let (before, lines) = (&self.before_path, &self.header_lines);
        let wire = format!("GET {before}{path} HTTP/1.1\r\n{lines}\r\n").into_bytes();
        let body_at = wire.len();
        Message { method: Method::GET, path: path.to_owned(), wire: wire.into(), body_at }
    }

    /// The request that asks for a shot.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when the shot has no prompt of the kind that is sent.
    pub fn post(&self, shot: &Shot) -> Result<Message, Failure> {
        let body = self.body(shot)?;
        let (before, path, lines) = (&self.before_path, &self.path, &self.header_lines);
        let length = body.len();
        let head =
            format!("POST {before}{path} HTTP/1.1\r\n{lines}content-length: {length}\r\n\r\n");
        let mut wire = head.into_bytes();
        let body_at = wire.len();
        wire.extend_from_slice(&body);
        Ok(Message { method: Method::POST, path: path.clone(), wire: wire.into(), body_at })
    }

    /// The same, where it was prepared as it was then.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub fn message_of(&self, shot: &Shot) -> Result<Arc<Message>, Failure> {
        shot.prepared.get().map_or_else(|| self.post(shot).map(Arc::new), Ok)
    }

    fn body(&self, shot: &Shot) -> Result<Vec<u8>, Failure> {
        let request = &shot.request;
        let room = match &request.beside {
            Beside::Images(urls) => urls.iter().map(|url| url.len() + 64).sum(),
            Beside::Nothing | Beside::Texts(_) | Beside::Exchanges(_) => 0,
        };
        let room = 256 + 6 * request.prompt_tokens() as usize + room;
        let mut body = Object::new(&self.extra, room);
        if let Some(model) = self.model.as_ref().filter(|_| self.sends(BodyField::Model)) {
            body.put("model", model);
        }
        self.put_prompt(&mut body, shot)?;
        if self.endpoint.has_output() {
            self.put_output(&mut body, shot);
        }
        Ok(body.close())
    }

    /// Whether a member is not among those that are left out.
    fn sends(&self, field: BodyField) -> bool {
        !self.omit.contains(&field)
    }

    fn put_prompt(&self, body: &mut Object<'_>, shot: &Shot) -> Result<(), Failure> {
        let RequestSpec { prompt, beside, .. } = &shot.request;
        match (self.endpoint, beside, self.prompt_as) {
            (Endpoint::Chat, Beside::Images(urls), _) => {
                let of_url = |url| Part::Image { image_url: ImageUrl { url } };
                let images = urls.iter().map(|url| of_url(url));
                let parts: Vec<Part<'_>> =
                    [Part::Text { text: text_of(prompt)? }].into_iter().chain(images).collect();
                body.put("messages", &[ChatMessage { role: "user", content: &parts[..] }]);
            }
            (Endpoint::Chat, Beside::Exchanges(before), _) => {
                let mut messages = Vec::with_capacity(2 * before.len() + 1);
                for Exchange { asked, answered } in before.iter() {
                    messages.push(ChatMessage { role: "user", content: text_of(asked)? });
                    messages.push(ChatMessage { role: "assistant", content: text_of(answered)? });
                }
                messages.push(ChatMessage { role: "user", content: text_of(prompt)? });
                body.put("messages", &messages);
            }
            (Endpoint::Chat, _, _) => {
                body.put("messages", &[ChatMessage { role: "user", content: text_of(prompt)? }]);
            }
            (Endpoint::Completions, _, PromptAs::Ids) => body.put("prompt", &prompt.ids[..]),
            (Endpoint::Completions, _, PromptAs::Text) => body.put("prompt", text_of(prompt)?),
            (Endpoint::Embeddings, Beside::Texts(others), PromptAs::Ids) => {
                let all = std::iter::once(prompt).chain(others.iter()).map(|it| &it.ids[..]);
                body.put("input", &all.collect::<Vec<_>>());
            }
            (Endpoint::Embeddings, Beside::Texts(others), PromptAs::Text) => {
                let all = std::iter::once(prompt).chain(others.iter()).map(text_of);
                body.put("input", &all.collect::<Result<Vec<_>, _>>()?);
            }
            (Endpoint::Embeddings, _, PromptAs::Ids) => body.put("input", &prompt.ids[..]),
            (Endpoint::Embeddings, _, PromptAs::Text) => body.put("input", text_of(prompt)?),
            (Endpoint::Rerank, Beside::Texts(documents), _) => {
                body.put("query", text_of(prompt)?);
                let documents = documents.iter().map(text_of);
                body.put("documents", &documents.collect::<Result<Vec<_>, _>>()?);
            }
            (Endpoint::Rerank, _, _) => {
                let message =
                    "this request has no documents to rerank: ask with `--scenario R(doc,query)`";
                return Err(Failure::new(FailureKind::Refused, message));
            }
        }
        Ok(())
    }

    /// How many vectors or scores an answer must hold; `None` where it is text, or the server was asked for the best alone.
    pub fn expects(&self, shot: &Shot) -> Option<u32> {
        match (self.endpoint, &shot.request.beside) {
            (Endpoint::Embeddings, Beside::Texts(others)) => Some(1 + others.len() as u32),
            (Endpoint::Embeddings, _) => Some(1),
            (Endpoint::Rerank, Beside::Texts(documents)) if !self.extra.contains_key("top_n") => {
                Some(documents.len() as u32)
            }
            _ => None,
        }
    }

    fn put_output(&self, body: &mut Object<'_>, shot: &Shot) {
        let (output, sampling) = (&shot.request.output, &shot.request.sampling);
        body.put(self.output_token_field.name(), &output.max_tokens);
        if self.min_tokens && output.min_tokens > 0 && self.sends(BodyField::MinTokens) {
            body.put("min_tokens", &output.min_tokens);
        }
        if self.ignore_eos && output.ignore_eos && self.sends(BodyField::IgnoreEos) {
            body.put("ignore_eos", &true);
        }
        if self.sends(BodyField::Temperature) {
            body.put("temperature", &sampling.temperature.unwrap_or(0.0));
        }
        if let Some(top_p) = sampling.top_p.filter(|_| self.sends(BodyField::TopP)) {
            body.put("top_p", &top_p);
        }
        if let Some(top_k) = sampling.top_k.filter(|_| self.sends(BodyField::TopK)) {
            body.put("top_k", &top_k);
        }
        if sampling.temperature.is_some() && self.sends(BodyField::Seed) {
            body.put("seed", &sampling.seed);
        }
        body.put("stream", &shot.request.streaming);
        if shot.request.streaming && self.sends(BodyField::StreamOptions) {
            let continuous_usage_stats = self.running_usage.then_some(true);
            let options = StreamOptions { include_usage: true, continuous_usage_stats };
            body.put("stream_options", &options);
        }
    }
}

impl Prepare for RequestWriter {
    fn prepare(&mut self, shot: &Shot) -> Prepared {
        self.post(shot).map_or_else(|_| Prepared::default(), Prepared::new)
    }
}

fn text_of(prompt: &Prompt) -> Result<&str, Failure> {
    prompt.text.as_deref().ok_or_else(|| {
        let message = "this prompt has no text: send token ids to the completions endpoint";
        Failure::new(FailureKind::Refused, message)
    })
}

#[derive(Serialize)]
struct ChatMessage<'a, T: ?Sized> {
    role: &'a str,
    content: &'a T,
}

/// A part of a message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text {
        text: &'a str,
    },
    #[serde(rename = "image_url")]
    Image {
        image_url: ImageUrl<'a>,
    },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuous_usage_stats: Option<bool>,
}

/// A JSON object being written; it skips members that the user gave.
struct Object<'a> {
    bytes: Vec<u8>,
    extra: &'a serde_json::Map<String, Value>,
}

impl<'a> Object<'a> {
    fn new(extra: &'a serde_json::Map<String, Value>, room: usize) -> Self {
        let mut bytes = Vec::with_capacity(room);
        bytes.push(b'{');
        Self { bytes, extra }
    }

    fn put(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        if !self.extra.contains_key(name) {
            self.write(name, value);
        }
    }

    fn write(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        if self.bytes.len() > 1 {
            self.bytes.push(b',');
        }
        let written = serde_json::to_writer(&mut self.bytes, name).and_then(|()| {
            self.bytes.push(b':');
            serde_json::to_writer(&mut self.bytes, value)
        });
        written.expect("plain values have a JSON form, and a vector takes every byte");
    }

    fn close(mut self) -> Vec<u8> {
        let extra = self.extra;
        for (name, value) in extra {
            self.write(name, value);
        }
        self.bytes.push(b'}');
        self.bytes
    }
}

fn headers_of(options: &OpenAiOptions, address: &Address) -> Result<HeaderMap, BadRequestOption> {
    let bad = |name: &str| BadRequestOption::Header(name.to_owned());
    let value = |name: &str, text: &str| HeaderValue::from_str(text).map_err(|_| bad(name));
    let mut headers = HeaderMap::new();
    headers.insert(HOST, value("host", &address.origin.host_header())?);
    let agent = concat!("bareflight/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
    headers.insert("accept-encoding", HeaderValue::from_static("identity"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if options.connection == ConnectionPolicy::Fresh {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(key) = &options.api_key {
        let mut bearer = value("authorization", &key.bearer())?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    let mut given: Vec<HeaderName> = Vec::new();
    for (name, text) in &options.headers {
        if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            return Err(BadRequestOption::OurHeader(name.clone()));
        }
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad(name))?;
        let mut kept_secret = value(name, text)?;
        kept_secret.set_sensitive(true);
        if key == AUTHORIZATION && options.api_key.is_some() {
            return Err(BadRequestOption::TwoKeys(name.clone()));
        }
        // The first replaces ours of that name; who gives a name twice wants both.
        if given.contains(&key) {
            headers.append(key, kept_secret);
        } else {
            headers.insert(key.clone(), kept_secret);
            given.push(key);
        }
    }
    Ok(headers)
}

#[cfg(test)]
#[path = "request_body_tests.rs"]
mod tests;
