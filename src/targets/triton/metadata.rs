//! Server and model metadata and statistics, queried before and after the load.

use std::time::Duration;

use tonic::Code;

use crate::network::thread;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::address::Protocol;
use crate::targets::triton::call::{failure_of, query};
use crate::targets::triton::connect::{Link, connector};
use crate::targets::triton::kserve::{
    ModelConfig, ModelConfigResponse, ModelMetadata, ModelRequest, ModelStatisticsResponse,
    ReadyResponse, ServerMetadata, ServerRequest, TensorMetadata, path,
};
use crate::targets::triton::options::TritonOptions;
use crate::threads::Own;

/// A server's metadata of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// The model.
    pub name: String,
    /// What it takes.
    pub inputs: Vec<TensorFacts>,
    /// What it gives.
    pub outputs: Vec<TensorFacts>,
    /// Requests that Triton may batch; 0 where the model has no batch dimension.
    pub max_batch_size: i32,
    /// One request may have several responses.
    pub decoupled: bool,
    /// Responses hold all text so far, from the model's configuration; `None` if it does not say.
    pub accumulates: Option<bool>,
    /// `ensemble`, or the backend.
    pub runs_on: String,
    /// Token ids are below this; only our own server says so.
    pub vocab_size: Option<u32>,
    /// Latencies come from a model of an engine; only our own server says so.
    pub simulated: bool,
    /// Weights are random; only our own server says so.
    pub dummy_weights: bool,
}

/// A server's metadata of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorFacts {
    /// Its name.
    pub name: String,
    /// KServe's name of its type.
    pub datatype: String,
    /// Its shape, the batch dimension included.
    pub shape: Vec<i64>,
    /// It may be omitted.
    pub optional: bool,
}

/// Metadata of a server and one of its models.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerFacts {
    /// Name and version of the server.
    pub server: ServerMetadata,
    /// The model.
    pub model: ModelFacts,
}

/// Checks that server and model are ready, and reads the model's tensors. Blocks.
///
/// # Errors
/// With the server's message.
pub fn query_model(options: &TritonOptions) -> Result<ServerFacts, Failure> {
    let options = options.clone();
    match options.address.protocol {
        Protocol::Grpc => blocking(move || async move { over_grpc(&options).await }),
        Protocol::HttpGenerate => blocking(move || async move {
            crate::targets::triton::generate::query_model(&options).await
        }),
    }
}

/// Reads the server's counters of all its models. Blocks.
///
/// # Errors
/// With the server's message.
pub fn query_statistics(options: &TritonOptions) -> Result<ModelStatisticsResponse, Failure> {
    let options = options.clone();
    match options.address.protocol {
        Protocol::Grpc => blocking(move || async move { grpc_statistics(&options).await }),
        Protocol::HttpGenerate => blocking(move || async move {
            crate::targets::triton::generate::query_statistics(&options).await
        }),
    }
}

fn blocking<F, Fut, T>(query: F) -> Result<T, Failure>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, Failure>>,
    T: Send + 'static,
{
    thread::wait_for(Own::AskTriton.builder(), query).unwrap_or_else(|error| {
        Err(Failure::new(FailureKind::Connect, format!("no thread to ask from: {error}")))
    })
}

async fn link(options: &TritonOptions) -> Result<(Link, Duration), Failure> {
    let link = Link::open(options, connector(options, b"h2")?).await?;
    Ok((link, options.timeouts.connect))
}

async fn grpc_statistics(options: &TritonOptions) -> Result<ModelStatisticsResponse, Failure> {
    let (link, within) = link(options).await?;
    query(&link.channel, path::MODEL_STATISTICS, ModelRequest::default(), within)
        .await
        .map_err(|status| failure_of(&status))
}

async fn over_grpc(options: &TritonOptions) -> Result<ServerFacts, Failure> {
    let (link, within) = link(options).await?;
    let channel = &link.channel;
    let failed = |status| failure_of(&status);
    let model = ModelRequest {
        name: options.address.model.clone(),
        version: options.address.version.clone(),
    };
    let ready: ReadyResponse =
        query(channel, path::SERVER_READY, ServerRequest {}, within).await.map_err(failed)?;
    require(ready.ready, "the server says that it is not ready")?;
    let server: ServerMetadata =
        match query(channel, path::SERVER_METADATA, ServerRequest {}, within).await {
            Err(status) if status.code() == Code::Unimplemented => ServerMetadata::default(),
            answer => answer.map_err(failed)?,
        };
    // Before readiness: for a missing model this call says that it is missing, readiness only says no.
    let metadata: ModelMetadata =
        query(channel, path::MODEL_METADATA, model.clone(), within).await.map_err(failed)?;
    let ready: ReadyResponse =
        query(channel, path::MODEL_READY, model.clone(), within).await.map_err(failed)?;
    require(ready.ready, &format!("the server says that model `{}` is not ready", model.name))?;
    let config = match query(channel, path::MODEL_CONFIG, model, within).await {
        // Triton's own extension: a plain KServe server has none.
        Err(status) if status.code() == Code::Unimplemented => None,
        answer => answer.map_err(failed).map(|answer: ModelConfigResponse| answer.config)?,
    };
    Ok(ServerFacts { server, model: facts_of(metadata, config.as_ref()) })
}

fn require(condition: bool, message: &str) -> Result<(), Failure> {
    if condition { Ok(()) } else { Err(Failure::new(FailureKind::Refused, message)) }
}

/// Combines metadata and configuration. Without a configuration every input is optional, and the model is taken as
/// decoupled.
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
    let says = |key: &str| parameter(key).is_some_and(|value| value == "true");
    let accumulates = parameter("accumulate_tokens").and_then(|value| match value.as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        // An unfilled `${…}` placeholder.
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
        simulated: says("bareflight_simulated"),
        dummy_weights: says("bareflight_dummy_weights"),
    }
}
