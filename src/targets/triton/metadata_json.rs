//! Parsers of Triton's metadata and statistics in JSON, as its HTTP endpoint and its C API give them.

use serde::Deserialize;

use crate::request::{Failure, FailureKind};
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
        Failure::new(FailureKind::Malformed, format!("the server's answer: {error}"))
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

/// Reason why a model is not ready, from the core's index of its repository.
pub fn why_not_ready(index: &str, model: &str) -> String {
    let entries: Vec<JsonIndexEntry> = serde_json::from_str(index).unwrap_or_default();
    let reasons: Vec<_> = entries
        .iter()
        .filter(|entry| entry.name == model && !entry.reason.is_empty())
        .map(|entry| entry.reason.as_str())
        .collect();
    if reasons.is_empty() {
        return format!("model `{model}` is not ready, and the core does not say why");
    }
    format!("model `{model}` is not ready: {}", reasons.join("; "))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonIndexEntry {
    name: String,
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
        let index = r#"[{"name":"other"},{"name":"m","version":"1","state":"UNAVAILABLE","reason":"no file"}]"#;
        assert_eq!(why_not_ready(index, "m"), "model `m` is not ready: no file");
        assert!(why_not_ready(index, "other").contains("does not say why"));
        assert!(why_not_ready("[]", "m").contains("does not say why"));
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
