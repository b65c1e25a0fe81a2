//! Discovery of the served model and of the server's facts about it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::network::refusal::failure_of;
use crate::network::thread;
use crate::request::{Failure, FailureKind};
use crate::targets::bad_answer::Api;
use crate::targets::openai::request_body::Message;
use crate::targets::openai::transport::{Route, Transport, Way};
use crate::threads::Own;

/// An entry of `/v1/models`; some servers add the length of the longest sequence.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Model {
    /// The name that requests give.
    pub id: String,
    /// The kind of server, as some say.
    #[serde(default, deserialize_with = "if_it_fits")]
    owned_by: Option<String>,
    /// Longest prompt and output together.
    #[serde(default, deserialize_with = "if_it_fits")]
    max_model_len: Option<u32>,
    #[serde(default, deserialize_with = "if_it_fits")]
    meta: Option<Meta>,
    /// Token ids are below this, as our own server says.
    #[serde(default, rename = "x-bareflight-vocab-size", deserialize_with = "if_it_fits")]
    pub vocab_size: Option<u32>,
    /// Latencies come from a model of an engine, as our own server says.
    #[serde(default, rename = "x-bareflight-simulated")]
    pub simulated: bool,
    /// Weights are random, as our own server says.
    #[serde(default, rename = "x-bareflight-dummy-weights")]
    pub dummy_weights: bool,
}

/// llama.cpp's facts about a model: the context length of each slot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Meta {
    #[serde(default, deserialize_with = "if_it_fits")]
    n_ctx: Option<u32>,
}

/// A fact beside the name; one that a server writes in another way is not known.
fn if_it_fits<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    value: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(value)?).ok())
}

/// Servers whose streams can have the usage so far in each chunk, where it is asked for.
const WITH_RUNNING_USAGE: [&str; 2] = ["vllm", "sglang"];

impl Model {
    /// Whether `stream_options` may ask for the usage so far in each chunk. Other servers might refuse the field.
    pub fn takes_running_usage(&self) -> bool {
        self.owned_by.as_deref().is_some_and(|owner| WITH_RUNNING_USAGE.contains(&owner))
    }

    /// Longest prompt and output together, where the server says so.
    pub fn longest_sequence(&self) -> Option<u32> {
        self.max_model_len.or_else(|| self.meta.as_ref()?.n_ctx)
    }
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

/// Longest model list that is read.
const MAX_LIST: usize = 4 << 20;

/// Time limit of the optional query.
const OPTIONAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads the list of models, and takes the only one.
///
/// # Errors
/// When the server cannot be queried, or serves none or several.
pub fn only_model(route: Arc<Route>, request: Message) -> Result<Model, Failure> {
    let limit = 2 * route.connector.timeout();
    choose(&ask(route, request, limit)?)
}

/// The server's facts about a model that the user named. Many servers have no list, or one without aliases, so a missing
/// entry is no error: the first request shows whether the name is right.
pub fn named_model(route: Arc<Route>, request: Message, name: &str) -> Option<Model> {
    let body = ask(route, request, OPTIONAL_TIMEOUT).ok()?;
    let models: Models = serde_json::from_slice(&body).ok()?;
    models.data.into_iter().find(|model| model.id == name)
}

fn ask(route: Arc<Route>, request: Message, limit: Duration) -> Result<Vec<u8>, Failure> {
    let body = thread::wait_for(Own::AskOpenai.builder(), move || async move {
        let asking = list(&route, &request);
        tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| {
            let message = format!("no list of models within {limit:?}");
            Err(Failure::new(FailureKind::Silent, message))
        })
    });
    body.unwrap_or_else(|error| {
        Err(Failure::new(FailureKind::Connect, format!("no thread to ask on: {error}")))
    })
}

async fn list(route: &Arc<Route>, request: &Message) -> Result<Vec<u8>, Failure> {
    let (cost, leaves) = (Cell::default(), || ());
    let way = Way { leaves: &leaves, cost: &cost };
    let mut response = Transport::new(Arc::clone(route)).ask(request, &way).await?;
    let body = response.body.read_whole(MAX_LIST).await?;
    if !response.status.is_success() {
        return Err(failure_of(response.status, &response.headers, &body));
    }
    Ok(body)
}

fn choose(body: &[u8]) -> Result<Model, Failure> {
    let models: Models = serde_json::from_slice(body).map_err(|error| {
        Api::OpenAi.known_by_its_beginning(body).unwrap_or_else(|| {
            Failure::new(FailureKind::Malformed, format!("list of models: {error}"))
        })
    })?;
    match models.data.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(FailureKind::Empty, "the server serves no model")),
        several => {
            let names: Vec<_> = several.iter().map(|model| model.id.as_str()).collect();
            let message = format!("the server serves several models: {}", names.join(", "));
            Err(Failure::new(FailureKind::Refused, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_model_is_taken_with_its_limit() {
        let model = choose(br#"{"object":"list","data":[{"id":"m","max_model_len":2048}]}"#);
        let model = model.unwrap();
        assert_eq!((model.id.as_str(), model.longest_sequence()), ("m", Some(2048)));
        assert!(!model.simulated && !model.dummy_weights && !model.takes_running_usage());
        let vllm = choose(br#"{"data":[{"id":"m","owned_by":"vllm"}]}"#).unwrap();
        assert!(vllm.takes_running_usage());
        let ours = choose(br#"{"data":[{"id":"m","x-bareflight-simulated":true}]}"#);
        assert!(ours.unwrap().simulated, "what is simulated stays so behind a server");
        let llama_cpp = choose(br#"{"data":[{"id":"m","meta":{"n_ctx":512,"n_ctx_train":8192}}]}"#);
        assert_eq!(llama_cpp.unwrap().longest_sequence(), Some(512));
    }

    #[test]
    fn several_models_are_named_and_none_is_guessed() {
        let several = choose(br#"{"data":[{"id":"a"},{"id":"b"}]}"#).unwrap_err();
        assert!(several.message.contains("a, b"), "{}", several.message);
        assert!(choose(br#"{"data":[]}"#).is_err());
        assert_eq!(choose(b"<html>").unwrap_err().kind, FailureKind::Malformed);
        let page = choose(b"<title>Sign in</title>").unwrap_err().message;
        assert!(page.contains("a web page (\"Sign in\")"), "{page}");
    }

    #[test]
    fn a_fact_that_is_written_in_another_way_takes_nothing_from_the_name() {
        let odd = br#"{"data":[{"id":"m","max_model_len":"4k","owned_by":7,"meta":"x"}]}"#;
        let model = choose(odd).unwrap();
        assert_eq!((model.id.as_str(), model.longest_sequence()), ("m", None));
    }
}
