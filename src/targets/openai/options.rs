//! Options of an OpenAI-compatible target.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::network::proxy::Proxy;
use crate::network::secret::ApiKey;
use crate::network::tls::TlsOptions;
use crate::settings::served::{BodyField, OutputTokenField, SameInAll};

/// The endpoint that requests go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/v1/chat/completions`: prompts are text, and the server's chat template is applied to them.
    #[default]
    Chat,
    /// `/v1/completions`: prompts are text or token ids.
    Completions,
    /// `/v1/embeddings`: no output tokens; the request latency is what is measured.
    Embeddings,
    /// `/v1/rerank`, as Cohere, Jina, vLLM and llama.cpp have it: no output tokens either.
    Rerank,
}

impl Endpoint {
    /// The path below `/v1`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
            Self::Rerank => "/rerank",
        }
    }

    /// Whether answers are text.
    pub const fn has_output(self) -> bool {
        match self {
            Self::Chat | Self::Completions => true,
            Self::Embeddings | Self::Rerank => false,
        }
    }
}

/// How prompts are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptAs {
    /// As text, which the server tokenises again.
    #[default]
    Text,
    /// As token ids, where the server takes them (not for chat).
    Ids,
}

/// Which connection carries a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionPolicy {
    /// One that is idle, else a new one.
    #[default]
    Pool,
    /// A new one for each request; connecting is part of its latency.
    Fresh,
}

/// HTTP version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpVersion {
    /// HTTP/2 where a TLS server offers it, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 with keep-alive.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// Time limits. Checked a few times per limit, so that no timer is set per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For connecting, TLS included.
    pub connect: Duration,
    /// From sending a request to its first token, whether or not the head of its response has come.
    pub first_token: Duration,
    /// Between outputs of a response. Comments and half events do not count as output.
    pub idle: Duration,
    /// For a whole request; `None` leaves that to the load.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_token: Duration::from_secs(600),
            idle: Duration::from_secs(120),
            total: None,
        }
    }
}

/// Counts the tokens of a whole output text.
pub type CountTokens = Arc<dyn Fn(&str) -> usize + Send + Sync>;

/// Options of an OpenAI-compatible target.
#[derive(Clone)]
pub struct OpenAiOptions {
    /// `http://host:port`, a base such as `https://host/v1`, or the whole URL of the endpoint.
    pub url: String,
    /// The endpoint that requests go to.
    pub endpoint: Endpoint,
    /// The model's name; the only one in `/v1/models` if left out.
    pub model: Option<String>,
    /// Sent as a bearer token.
    pub api_key: Option<ApiKey>,
    /// Further headers. Their values are never shown or stored.
    pub headers: Vec<(String, String)>,
    /// Further parameters of every request body.
    pub extra_inputs: Map<String, Value>,
    /// What every request of a run says alike, where they are of one.
    pub same_in_all: Option<SameInAll>,
    /// Send `ignore_eos` where the request asks for it. Strict servers refuse the field.
    pub ignore_eos: bool,
    /// Send `min_tokens` where the request asks for it. Strict servers refuse the field.
    pub min_tokens: bool,
    /// The member that bounds the output.
    pub output_token_field: OutputTokenField,
    /// Members that are left out.
    pub omit: Vec<BodyField>,
    /// How prompts are written.
    pub prompt_as: PromptAs,
    /// Which connection carries a request.
    pub connection: ConnectionPolicy,
    /// HTTP version.
    pub http: HttpVersion,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Trust in certificates.
    pub tls: TlsOptions,
    /// Take the stamps that a server on this host sends of its engine.
    pub engine_stamps: bool,
    /// The proxy on the way to the server.
    pub proxy: Option<Proxy>,
    /// Counts tokens of the output where the server does not, and checks the server's count where it does.
    pub tokenizer: Option<CountTokens>,
    /// Client threads.
    pub threads: NonZeroU16,
}

impl OpenAiOptions {
    /// The defaults for a server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            endpoint: Endpoint::default(),
            model: None,
            api_key: None,
            headers: Vec::new(),
            extra_inputs: Map::new(),
            same_in_all: None,
            ignore_eos: false,
            min_tokens: false,
            output_token_field: OutputTokenField::default(),
            omit: Vec::new(),
            prompt_as: PromptAs::default(),
            connection: ConnectionPolicy::default(),
            http: HttpVersion::default(),
            timeouts: Timeouts::default(),
            tls: TlsOptions::default(),
            engine_stamps: true,
            proxy: None,
            tokenizer: None,
            threads: NonZeroU16::MIN,
        }
    }

    /// These options for artefacts, without the key and header values.
    pub fn shown(&self) -> Value {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let seconds = |time: Duration| time.as_secs_f64();
        serde_json::json!({
            "endpoint": self.endpoint,
            "api_key": self.api_key.is_some(),
            "headers": names,
            "extra_inputs": self.extra_inputs,
            "ignore_eos": self.ignore_eos,
            "min_tokens": self.min_tokens,
            "output_token_field": self.output_token_field,
            "omit": self.omit,
            "prompt_as": self.prompt_as,
            "connection": self.connection,
            "http": self.http,
            "timeouts_s": {
                "connect": seconds(self.timeouts.connect),
                "first_token": seconds(self.timeouts.first_token),
                "idle": seconds(self.timeouts.idle),
                "total": self.timeouts.total.map(seconds),
            },
            "tls": {
                "ca_file": self.tls.ca_file.as_ref().map(|path| path.display().to_string()),
                "insecure": self.tls.insecure,
            },
            "proxy": self.proxy.as_ref().map(|proxy| {
                serde_json::json!({"url": proxy.to_string(), "named_by": proxy.variable})
            }),
            "retokenized": self.tokenizer.is_some(),
            "threads": self.threads,
        })
    }
}

impl fmt::Debug for OpenAiOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiOptions").field("shown", &self.shown()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_key_nor_a_headers_value_is_ever_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-hidden").unwrap();
        let mut options = OpenAiOptions::new("http://localhost");
        options.api_key = Some(ApiKey::from_file(&path).unwrap());
        options.headers.push(("x-token".to_owned(), "also-hidden".to_owned()));
        let shown = format!("{options:?}{}", options.shown());
        assert!(!shown.contains("hidden"), "{shown}");
        assert!(shown.contains("x-token"));
    }
}
