//! Parsers of Triton's metadata and statistics in JSON, as its HTTP endpoint and its C API give them.

use serde::Deserialize;

use crate::request::{Failure, FailureKind};
use crate::targets::bad_answer::Api;
use crate::targets::triton::kserve::{
    ModelConfig, ModelConfigInput, ModelMetadata, ModelParameter, ModelParameterEntry,
    ServerMetadata, TransactionPolicy,
};
use crate::targets::triton::metadata::{ServerFacts, facts_of};

/// Parses one of Triton's JSON responses.
///
/// # Errors
/// [`FailureKind::Malformed`]
pub fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let what = || Failure::new(FailureKind::Malformed, format!("the server's answer: {error}"));
        Api::Generate.known_by_its_beginning(body).unwrap_or_else(what)
    })
}

/// Combines server metadata, model metadata and model configuration.
///
/// # Errors
/// [`FailureKind::Malformed`]
pub fn facts_from_json(
    server: &[u8],
    metadata: &[u8],
    config: &[u8],
) -> Result<ServerFacts, Failure> {
    let server: JsonServer = json(server)?;
    let metadata: ModelMetadata = json(metadata)?;
    let config: JsonConfig = json(config)?;
    Ok(ServerFacts {
        server: ServerMetadata { name: server.name, version: server.version },
        model: facts_of(metadata, Some(&config.into())),
    })
}

/// Reason why a model did not load: that of the core's index of its repository, or else the answer to the call.
pub fn why_not_ready(index: &str, model: &str, answer: &str) -> String {
    let entries: Vec<JsonIndexEntry> = serde_json::from_str(index).unwrap_or_default();
    let mut reasons: Vec<_> = entries
        .iter()
        .filter(|entry| entry.name == model && !entry.reason.is_empty())
        .map(|entry| entry.reason.trim_end())
        .collect();
    if reasons.is_empty() {
        reasons.push(answer.trim_end());
    }
    format!("model `{model}` is not ready: {}", reasons.join("; "))
}

/// Whether a version of a model is loaded.
pub fn is_loaded(index: &str, model: &str) -> bool {
    const READY: &str = "READY";
    let entries: Vec<JsonIndexEntry> = serde_json::from_str(index).unwrap_or_default();
    entries.iter().any(|entry| entry.name == model && entry.state == READY)
}

/// Models of a repository of which no version is loaded, in the order of the core's index.
pub fn not_loaded(index: &str) -> Vec<String> {
    let entries: Vec<JsonIndexEntry> = serde_json::from_str(index).unwrap_or_default();
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
    names.dedup();
    names.retain(|name| !is_loaded(index, name));
    names
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonIndexEntry {
    name: String,
    state: String,
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonServer {
    name: String,
    version: String,
}

/// `config.pbtxt` as JSON, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonConfig {
    name: String,
    platform: String,
    backend: String,
    max_batch_size: i32,
    input: Vec<JsonInput>,
    parameters: std::collections::BTreeMap<String, JsonParameter>,
    model_transaction_policy: JsonPolicy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonInput {
    name: String,
    optional: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonParameter {
    string_value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonPolicy {
    decoupled: bool,
}

impl From<JsonConfig> for ModelConfig {
    fn from(json: JsonConfig) -> Self {
        Self {
            name: json.name,
            platform: json.platform,
            max_batch_size: json.max_batch_size,
            input: json
                .input
                .into_iter()
                .map(|input| ModelConfigInput {
                    name: input.name,
                    optional: input.optional,
                    ..ModelConfigInput::default()
                })
                .collect(),
            parameters: json
                .parameters
                .into_iter()
                .map(|(key, value)| ModelParameterEntry {
                    key,
                    value: Some(ModelParameter { string_value: value.string_value }),
                })
                .collect(),
            backend: json.backend,
            model_transaction_policy: Some(TransactionPolicy {
                decoupled: json.model_transaction_policy.decoupled,
            }),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_malformed() {
        assert_eq!(json::<ModelMetadata>(b"<html>").unwrap_err().kind, FailureKind::Malformed);
    }

    #[test]
    fn a_model_that_is_not_ready_is_explained_in_the_cores_words() {
        let index = r#"[{"name":"other"},{"name":"m","version":"1","state":"UNAVAILABLE","reason":"no file\n"}]"#;
        assert_eq!(why_not_ready(index, "m", "it failed"), "model `m` is not ready: no file");
        let other = "model `other` is not ready: failed to poll";
        assert_eq!(why_not_ready(index, "other", "failed to poll"), other);
        assert_eq!(why_not_ready("[]", "other", "failed to poll"), other);
    }

    #[test]
    fn models_of_which_no_version_is_loaded_are_listed_once() {
        let index = r#"[{"name":"a"},{"name":"b","version":"1","state":"UNAVAILABLE"},{"name":"b","version":"2","state":"READY"},
            {"name":"c","version":"1","state":"UNAVAILABLE"},{"name":"c","version":"2","state":"UNAVAILABLE"}]"#;
        assert_eq!(not_loaded(index), ["a", "c"]);
        assert!(is_loaded(index, "b") && !is_loaded(index, "c") && !is_loaded(index, "unknown"));
    }

    #[test]
    fn a_description_is_put_together_from_three_answers() {
        let facts = facts_from_json(
            br#"{"name":"triton","version":"2.51.0","extensions":[]}"#,
            br#"{"name":"m","versions":["1"],"platform":"python","inputs":[{"name":"text_input","datatype":"BYTES","shape":[-1,1]},{"name":"seed","datatype":"UINT64","shape":[-1,1]}],"outputs":[]}"#,
            br#"{"backend":"python","max_batch_size":8,"input":[{"name":"text_input","optional":false},{"name":"seed","optional":true}],
                "model_transaction_policy":{"decoupled":true},"parameters":{"accumulate_tokens":{"string_value":"${accumulate_tokens}"}}}"#,
        )
        .unwrap();
        assert_eq!(
            (facts.server.version.as_str(), facts.model.runs_on.as_str()),
            ("2.51.0", "python")
        );
        assert_eq!((facts.model.decoupled, facts.model.max_batch_size), (true, 8));
        assert_eq!(facts.model.accumulates, None, "nobody filled the placeholder in");
        let optional: Vec<_> = facts.model.inputs.iter().map(|input| input.optional).collect();
        assert_eq!(optional, [false, true]);
    }
}
