//! Server and model metadata and statistics, queried before and after the load.

use std::time::Duration;

use tonic::Code;

use crate::network::thread;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::address::Protocol;
use crate::targets::triton::call::{ask, failure_of};
use crate::targets::triton::connect::{Link, connector};
use crate::targets::triton::contract::{ModelFacts, TensorFacts};
use crate::targets::triton::kserve::{
    ModelConfig, ModelConfigResponse, ModelMetadata, ModelRequest, ModelStatisticsResponse, Ready,
    ServerMetadata, ServerRequest, TensorMetadata, path,
};
use crate::targets::triton::options::TritonOptions;

/// What the server said.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The server's name and version.
    pub server: ServerMetadata,
    /// Its model.
    pub model: ModelFacts,
}

/// Asks whether server and model are ready, and which tensors the model has. Blocks.
///
/// # Errors
/// With the server's own words.
pub fn about_model(options: &TritonOptions) -> Result<Said, Failure> {
    let options = options.clone();
    match options.address.protocol {
        Protocol::Grpc => blocking(move || async move { over_grpc(&options).await }),
        Protocol::HttpGenerate => blocking(move || async move {
            crate::targets::triton::generate::about_model(&options).await
        }),
    }
}

/// Reads the server's counters of all its models. Blocks.
///
/// # Errors
/// With the server's own words.
pub fn statistics(options: &TritonOptions) -> Result<ModelStatisticsResponse, Failure> {
    let options = options.clone();
    match options.address.protocol {
        Protocol::Grpc => blocking(move || async move { grpc_statistics(&options).await }),
        Protocol::HttpGenerate => {
            blocking(
                move || async move { crate::targets::triton::generate::statistics(&options).await },
            )
        }
    }
}

fn blocking<F, Fut, T>(question: F) -> Result<T, Failure>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, Failure>>,
    T: Send + 'static,
{
    thread::wait_for("bf-triton-ask", question).unwrap_or_else(|error| {
        Err(Failure::new(FailureKind::Connect, format!("no thread to ask from: {error}")))
    })
}

async fn link(options: &TritonOptions) -> Result<(Link, Duration), Failure> {
    let link = Link::open(options, connector(options, b"h2")?).await?;
    Ok((link, options.timeouts.connect))
}

async fn grpc_statistics(options: &TritonOptions) -> Result<ModelStatisticsResponse, Failure> {
    let (link, within) = link(options).await?;
    ask(&link.channel, path::MODEL_STATISTICS, ModelRequest::default(), within)
        .await
        .map_err(|status| failure_of(&status))
}

async fn over_grpc(options: &TritonOptions) -> Result<Said, Failure> {
    let (link, within) = link(options).await?;
    let channel = &link.channel;
    let failed = |status| failure_of(&status);
    let model = ModelRequest {
        name: options.address.model.clone(),
        version: options.address.version.clone(),
    };
    let ready: Ready =
        ask(channel, path::SERVER_READY, ServerRequest {}, within).await.map_err(failed)?;
    require(ready.ready, "the server says that it is not ready")?;
    let server: ServerMetadata =
        match ask(channel, path::SERVER_METADATA, ServerRequest {}, within).await {
            Err(status) if status.code() == Code::Unimplemented => ServerMetadata::default(),
            answer => answer.map_err(failed)?,
        };
    // Asked before readiness: the answer for a model that does not exist says so, readiness only says no.
    let metadata: ModelMetadata =
        ask(channel, path::MODEL_METADATA, model.clone(), within).await.map_err(failed)?;
    let ready: Ready =
        ask(channel, path::MODEL_READY, model.clone(), within).await.map_err(failed)?;
    require(ready.ready, &format!("the server says that model `{}` is not ready", model.name))?;
    let config = match ask(channel, path::MODEL_CONFIG, model, within).await {
        // Triton's own extension: a plain KServe server has none.
        Err(status) if status.code() == Code::Unimplemented => None,
        answer => answer.map_err(failed).map(|answer: ModelConfigResponse| answer.config)?,
    };
    Ok(Said { server, model: facts_of(metadata, config.as_ref()) })
}

fn require(condition: bool, words: &str) -> Result<(), Failure> {
    if condition { Ok(()) } else { Err(Failure::new(FailureKind::Refused, words)) }
}

/// Metadata and configuration put together. Without a configuration every input may be left out, and responses are
/// awaited as a stream.
pub(super) fn facts_of(metadata: ModelMetadata, config: Option<&ModelConfig>) -> ModelFacts {
    let optional = |name: &str| {
        config.is_none_or(|config| {
            config.input.iter().any(|input| input.name == name && input.optional)
        })
    };
    let parameter = |key: &str| {
        let entry = config?.parameters.iter().find(|entry| entry.key == key)?;
        Some(entry.value.as_ref()?.string_value.to_ascii_lowercase())
    };
    let accumulates = parameter("accumulate_tokens").and_then(|value| match value.as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        // A `${…}` that nobody filled in.
        _ => None,
    });
    let tensors = |tensors: Vec<TensorMetadata>| {
        tensors
            .into_iter()
            .map(|tensor| TensorFacts {
                optional: optional(&tensor.name),
                name: tensor.name,
                datatype: tensor.datatype,
                shape: tensor.shape,
            })
            .collect()
    };
    ModelFacts {
        name: metadata.name,
        inputs: tensors(metadata.inputs),
        outputs: tensors(metadata.outputs),
        max_batch_size: config.map_or(0, |config| config.max_batch_size),
        decoupled: config.is_none_or(|config| {
            config.model_transaction_policy.is_some_and(|policy| policy.decoupled)
        }),
        accumulates,
        runs_on: config
            .map(
                |config| if config.backend.is_empty() { &config.platform } else { &config.backend },
            )
            .filter(|runs_on| !runs_on.is_empty())
            .unwrap_or(&metadata.platform)
            .clone(),
        vocab_size: parameter("bareflight_vocab_size").and_then(|value| value.parse().ok()),
        simulated: parameter("bareflight_simulated").is_some_and(|value| value == "true"),
    }
}
