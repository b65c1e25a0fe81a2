//! Settings that all served targets share, as given on the command line.

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bareflight_engine::tokenizers::Tokenizer;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::clock::Nanos;
use crate::network::proxy::Proxy;
use crate::network::secret::ApiKey;
use crate::network::tls::TlsOptions;
use crate::settings::served::{ServedEndpoint, ServedSettings};
use crate::targets::openai::address::Origin;
use crate::targets::openai::options::{
    ConnectionPolicy, Endpoint, HttpVersion, OpenAiOptions, PromptAs, Timeouts,
};
use crate::targets::triton::address::{Address, Protocol};
use crate::targets::triton::options::{AskOptions, CountTokens, StreamUse, TritonOptions};
use crate::targets::triton::tensor_roles::decided_by;
use crate::targets::triton_c::TritonCOptions;
use crate::targets::{TargetError, triton};
use crate::workload::PromptKind;

impl ServedSettings {
    fn unusable(name: &str, reason: impl ToString) -> TargetError {
        TargetError::Unusable { name: name.to_owned(), reason: reason.to_string() }
    }

    /// Further parameters as an object.
    fn extra(&self, name: &str) -> Result<Map<String, Value>, TargetError> {
        let Some(text) = &self.extra_inputs else { return Ok(Map::new()) };
        serde_json::from_str(text).map_err(|error| {
            let reason = format!("`--extra-inputs` is no JSON object ({error}): {text}");
            Self::unusable(name, reason)
        })
    }

    fn tls(&self) -> TlsOptions {
        TlsOptions { ca_file: self.ca_file.clone(), insecure: self.insecure }
    }

    /// Options of an OpenAI-compatible server at `url`.
    ///
    /// # Errors
    /// When a key, a header or the extra inputs cannot be read.
    pub fn openai(&self, url: &str) -> Result<OpenAiOptions, TargetError> {
        let name = format!("openai:{url}");
        let tokenizer = self.read_tokenizer(&name)?;
        let proxy = match Origin::parse(url) {
            Ok(server) => self.proxy(&name, &server.host, server.https)?,
            // Said where the URL is used.
            Err(_) => None,
        };
        Ok(OpenAiOptions {
            proxy,
            endpoint: match self.endpoint {
                ServedEndpoint::Chat => Endpoint::Chat,
                ServedEndpoint::Completions => Endpoint::Completions,
                ServedEndpoint::Embeddings => Endpoint::Embeddings,
                ServedEndpoint::Rerank => Endpoint::Rerank,
            },
            model: self.model.clone(),
            api_key: self.api_key(&name)?,
            headers: self.split_headers(&name)?,
            extra_inputs: self.extra(&name)?,
            same_in_all: Some(self.same_in_all),
            ignore_eos: self.ignore_eos,
            min_tokens: true,
            output_token_field: self.output_token_field,
            omit: self.omit.clone(),
            timeouts: self.openai_timeouts(),
            threads: self.threads(),
            prompt_as: match self.prompts {
                Some(PromptKind::Text) => PromptAs::Text,
                Some(PromptKind::Ids) | None => PromptAs::Ids,
            },
            connection: if self.fresh_connections {
                ConnectionPolicy::Fresh
            } else {
                ConnectionPolicy::Pool
            },
            http: if self.http2 { HttpVersion::Http2 } else { HttpVersion::Auto },
            tls: self.tls(),
            tokenizer: tokenizer.map(|tokenizer| {
                let count = move |text: &str| count_tokens(&tokenizer, text);
                Arc::new(count) as Arc<dyn Fn(&str) -> usize + Send + Sync>
            }),
            ..OpenAiOptions::new(url)
        })
    }

    /// The proxy that the environment names for this host, unless it is not to be used.
    fn proxy(&self, name: &str, host: &str, https: bool) -> Result<Option<Proxy>, TargetError> {
        if self.no_proxy {
            return Ok(None);
        }
        let variable = |variable: &str| std::env::var(variable).ok();
        Proxy::on_the_way_to(host, https, variable).map_err(|error| Self::unusable(name, error))
    }

    fn threads(&self) -> NonZeroU16 {
        self.client_threads.and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
    }

    fn openai_timeouts(&self) -> Timeouts {
        let default = Timeouts::default();
        Timeouts {
            connect: self.connect_timeout.map_or(default.connect, duration),
            first_token: self.first_token_timeout.map_or(default.first_token, duration),
            idle: self.idle_timeout.map_or(default.idle, duration),
            total: None,
        }
    }

    fn triton_timeouts(&self) -> triton::options::Timeouts {
        let default = triton::options::Timeouts::default();
        triton::options::Timeouts {
            connect: self.connect_timeout.map_or(default.connect, duration),
            first_response: self.first_token_timeout.map_or(default.first_response, duration),
            idle: self.idle_timeout.map_or(default.idle, duration),
        }
    }

    fn split_headers(&self, name: &str) -> Result<Vec<(String, String)>, TargetError> {
        let split = |header: &String| {
            let (field, value) = header.split_once(':').ok_or_else(|| {
                Self::unusable(name, "`--header` wants `Name: value`, with a colon")
            })?;
            Ok((field.trim().to_owned(), value.trim().to_owned()))
        };
        self.headers.iter().map(split).collect()
    }

    /// Options of a Triton server at `HOST:PORT/MODEL`.
    ///
    /// # Errors
    /// When the address names no model, or the extra inputs cannot be read.
    pub fn triton(&self, place: &str) -> Result<TritonOptions, TargetError> {
        let name = format!("triton:{place}");
        let address: Address = place.parse().map_err(|error| Self::unusable(&name, error))?;
        let mut options = TritonOptions::new(address);
        options.tls = self.tls();
        let (host, tls) = (options.address.host.clone(), options.address.tls);
        options.proxy = self.proxy(&name, &host, tls)?;
        options.timeouts = self.triton_timeouts();
        options.io_threads = self.threads();
        self.grpc_streams(&name, &mut options)?;
        options.headers = self.header_map(&name)?;
        options.asking = self.asking(&name)?;
        Ok(options)
    }

    /// How requests share streams and connections, which the HTTP endpoints do not have.
    fn grpc_streams(&self, name: &str, options: &mut TritonOptions) -> Result<(), TargetError> {
        let given = [
            ("--triton-streams", self.triton_streams),
            ("--triton-connections", self.triton_connections),
        ];
        let over_http = options.address.protocol == Protocol::HttpGenerate;
        if let Some((flag, _)) = given.into_iter().find(|(_, count)| over_http && count.is_some()) {
            let reason = format!(
                "`{flag}` is about gRPC: name the gRPC port as `triton:HOST:PORT/MODEL`, or leave the flag out"
            );
            return Err(Self::unusable(name, reason));
        }
        if let Some(streams) = self.triton_streams.and_then(NonZeroU16::new) {
            options.streams = StreamUse::Shared(streams);
        }
        if let Some(connections) = self.triton_connections.and_then(NonZeroU16::new) {
            options.channels = connections;
        }
        Ok(())
    }

    /// Key and further headers, which gRPC calls metadata.
    fn header_map(&self, name: &str) -> Result<HeaderMap, TargetError> {
        let mut headers = HeaderMap::new();
        for (field, text) in self.header_lines(name)? {
            let bad = || {
                Self::unusable(
                    name,
                    format!(
                        "the header `{field}` cannot be sent: its name or value is not allowed in HTTP"
                    ),
                )
            };
            let known = HeaderName::from_bytes(field.as_bytes()).map_err(|_| bad())?;
            let mut value = HeaderValue::from_str(&text).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.append(known, value);
        }
        Ok(headers)
    }

    /// Key and further headers as they are sent. Their values are secrets.
    ///
    /// # Errors
    /// When the key cannot be read, or a header is none.
    pub fn header_lines(&self, name: &str) -> Result<Vec<(String, String)>, TargetError> {
        let key = self.api_key(name)?.map(|key| ("authorization".to_owned(), key.bearer()));
        Ok(key.into_iter().chain(self.split_headers(name)?).collect())
    }

    fn api_key(&self, name: &str) -> Result<Option<ApiKey>, TargetError> {
        let key = match (&self.api_key_env, &self.api_key_file) {
            (Some(variable), _) => Some(ApiKey::from_variable(variable)),
            (None, Some(path)) => Some(ApiKey::from_file(path)),
            (None, None) => None,
        };
        key.transpose().map_err(|error| Self::unusable(name, error))
    }

    /// Options of a Triton core in this process, for `REPOSITORY/MODEL`.
    ///
    /// # Errors
    /// When the repository holds no such model, or the extra inputs cannot be read.
    pub fn triton_c(&self, place: &str) -> Result<TritonCOptions, TargetError> {
        let mut options = TritonCOptions::new(place)?;
        options.library.clone_from(&self.triton_library);
        options.backends.clone_from(&self.triton_backends);
        options.timeouts = self.triton_timeouts();
        options.asking = self.asking(&format!("triton-c:{place}"))?;
        Ok(options)
    }

    /// Settings of every request to a Triton model, over the network or in process.
    fn asking(&self, name: &str) -> Result<AskOptions, TargetError> {
        let count_tokens = self.read_tokenizer(name)?.map(|tokenizer| {
            let count = move |text: &str| count_tokens(&tokenizer, text) as u32;
            Arc::new(count) as CountTokens
        });
        let extra_inputs = self.extra(name)?;
        let decided = extra_inputs
            .keys()
            .find_map(|field| Some((field, decided_by(field, self.ignore_eos)?)));
        if let Some((field, by)) = decided {
            let reason = format!(
                "the input `{field}` of `--extra-inputs` is decided by the run, and its numbers would be about something else: {by}"
            );
            return Err(Self::unusable(name, reason));
        }
        Ok(AskOptions { extra_inputs, count_tokens, ..AskOptions::default() })
    }

    /// The tokenizer that was named; `None` where none was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_tokenizer(&self, name: &str) -> Result<Option<Tokenizer>, TargetError> {
        let Some(path) = &self.tokenizer else { return Ok(None) };
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.clone() };
        Tokenizer::from_file(&file).map(Some).map_err(|error| {
            let reason = format!("`--tokenizer {}` cannot be read: {error}", shown(&file));
            Self::unusable(name, reason)
        })
    }
}

/// A span that a user typed; never negative.
fn duration(span: Nanos) -> Duration {
    Duration::from_nanos(span.0.max(0).unsigned_abs())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A text that the tokenizer cannot encode counts 0 tokens, which shows as a mismatch with the server's count.
fn count_tokens(tokenizer: &Tokenizer, text: &str) -> usize {
    tokenizer.encode_fast(text, false).map_or(0, |encoding| encoding.get_ids().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::served::SameInAll;
    use crate::targets::openai::OpenAiTarget;
    use crate::workload::SamplingPolicy;

    #[test]
    fn a_tensor_that_a_flag_decides_is_refused_with_that_flag() {
        let asked = |extra: &str, ignore_eos| {
            let extra_inputs = Some(extra.to_owned());
            ServedSettings { extra_inputs, ignore_eos, ..Default::default() }.asking("triton:h/m")
        };
        for (field, flag) in [
            ("max_tokens", "--scenario"),
            ("request_output_len", "--scenario"),
            ("streaming", "--no-streaming"),
            ("runtime_top_k", "--top-k"),
            ("random_seed", "--seed"),
            ("end_id", "--stop-at-eos"),
            ("sampling_param_temperature", "--temperature"),
        ] {
            let refused = asked(&format!(r#"{{"{field}":1}}"#), true).expect_err(field).to_string();
            assert!(refused.contains(flag) && refused.contains(field), "{refused}");
        }
        assert!(asked(r#"{"end_id":2,"pad_id":2}"#, false).is_ok(), "the model's own end token");
        assert!(asked(r#"{"beam_width":2,"lora_task_id":1}"#, true).is_ok());
    }

    #[test]
    fn a_member_that_says_the_same_as_the_run_is_taken_and_another_value_is_not() {
        let run = ServedSettings {
            model: Some("m".into()),
            endpoint: ServedEndpoint::Completions,
            ignore_eos: true,
            same_in_all: SameInAll {
                streaming: true,
                sampling: SamplingPolicy { temperature: Some(0.7), ..Default::default() },
                min_tokens: 0,
            },
            ..Default::default()
        };
        let written = |extra: &str| {
            let extra_inputs = Some(extra.to_owned());
            let served = ServedSettings { extra_inputs, ..run.clone() };
            let target = OpenAiTarget::new(served.openai("http://127.0.0.1:9").expect(extra));
            target.map(drop).map_err(|error| error.to_string())
        };
        for same in [
            r#"{"ignore_eos":true,"stream":true,"temperature":0.7,"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"n":1,"min_tokens":0}"#,
        ] {
            assert_eq!(written(same), Ok(()));
        }
        for (other, named) in [
            (r#"{"ignore_eos":false}"#, "--stop-at-eos"),
            (r#"{"stream":false}"#, "--no-streaming"),
            (r#"{"temperature":1}"#, "--temperature"),
            (r#"{"model":"other"}"#, "--model"),
            (r#"{"n":2}"#, "leave it out"),
            (r#"{"min_tokens":4}"#, "--min-tokens"),
            (r#"{"ignore_eos":1}"#, "--stop-at-eos"),
        ] {
            let refused = written(other).expect_err(other);
            assert!(refused.contains(named), "{refused}");
        }
    }

    #[test]
    fn what_is_no_json_object_or_no_header_is_refused_by_name() {
        let extra = ServedSettings { extra_inputs: Some("[1]".into()), ..Default::default() };
        let error = extra.openai("http://h").expect_err("a list").to_string();
        assert!(error.contains("--extra-inputs"), "{error}");
        let header = ServedSettings { headers: vec!["no colon".into()], ..Default::default() };
        let error = header.openai("http://h").expect_err("no colon").to_string();
        assert!(error.contains("--header"), "{error}");
        let tokenizer =
            ServedSettings { tokenizer: Some("none.json".into()), ..Default::default() };
        let error = tokenizer.openai("http://h").expect_err("no file").to_string();
        assert!(error.contains("none.json"), "{error}");
    }
}
