//! Messages of the KServe v2 protocol, the part that measuring needs, written as Rust types.
//!
//! Field numbers are those of the Open Inference Protocol (`inference.GRPCInferenceService`, KServe) with Triton's
//! extensions. Written by hand instead of generated: the subset is small, and no build needs `protoc` or a code
//! generator. The decoder skips other fields. Maps are lists of entries, as on the wire.

use bytes::Bytes;
use prost::{Message, Oneof};
use serde::{Deserialize, Serialize};

/// Paths of the calls.
pub mod path {
    macro_rules! call {
        ($name:ident, $call:literal) => {
            #[doc = concat!("`", $call, "`")]
            pub const $name: &str = concat!("/inference.GRPCInferenceService/", $call);
        };
    }
    call!(SERVER_LIVE, "ServerLive");
    call!(SERVER_READY, "ServerReady");
    call!(MODEL_READY, "ModelReady");
    call!(SERVER_METADATA, "ServerMetadata");
    call!(MODEL_METADATA, "ModelMetadata");
    call!(MODEL_CONFIG, "ModelConfig");
    call!(MODEL_STATISTICS, "ModelStatistics");
    call!(MODEL_INFER, "ModelInfer");
    call!(MODEL_STREAM_INFER, "ModelStreamInfer");
    call!(REPOSITORY_INDEX, "RepositoryIndex");
}

/// Request parameter: also send an empty final response.
pub const ENABLE_EMPTY_FINAL: &str = "triton_enable_empty_final_response";
/// Response parameter: this is the last response of the request.
pub const FINAL_RESPONSE: &str = "triton_final_response";

/// Asks for the server as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ServerRequest {}

/// Whether a server or a model is ready.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ReadyResponse {
    /// It is.
    #[prost(bool, tag = "1")]
    pub ready: bool,
}

/// Metadata of the server.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ServerMetadata {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// Asks for one model; every model where the name is empty (statistics only).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModelRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version; empty leaves the choice to the server.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// Names, types and shapes of a model's tensors.
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelMetadata {
    /// The model's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Versions that are loaded.
    #[prost(string, repeated, tag = "2")]
    pub versions: Vec<String>,
    /// `ensemble`, or which backend runs it.
    #[prost(string, tag = "3")]
    pub platform: String,
    /// What it takes.
    #[prost(message, repeated, tag = "4")]
    pub inputs: Vec<TensorMetadata>,
    /// What it gives.
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<TensorMetadata>,
}

/// Name, type and shape of one tensor.
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default)]
pub struct TensorMetadata {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `INT32`, `BYTES`, …
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// −1 where any length goes; the batch dimension included where the model has one.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
}

/// A model's configuration, as far as it is read.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModelConfigResponse {
    /// The configuration.
    #[prost(message, optional, tag = "1")]
    pub config: Option<ModelConfig>,
}

/// `config.pbtxt`, as far as it is read.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModelConfig {
    /// The model's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `ensemble`, else empty.
    #[prost(string, tag = "2")]
    pub platform: String,
    /// 0: no batch dimension.
    #[prost(int32, tag = "4")]
    pub max_batch_size: i32,
    /// Inputs; metadata does not say which are optional.
    #[prost(message, repeated, tag = "5")]
    pub input: Vec<ModelConfigInput>,
    /// Outputs.
    #[prost(message, repeated, tag = "6")]
    pub output: Vec<ModelConfigOutput>,
    /// Free parameters of the backend.
    #[prost(message, repeated, tag = "14")]
    pub parameters: Vec<ModelParameterEntry>,
    /// The models that an ensemble runs.
    #[prost(message, optional, tag = "15")]
    pub ensemble_scheduling: Option<Ensembling>,
    /// Which backend runs it.
    #[prost(string, tag = "17")]
    pub backend: String,
    /// Whether one request may have several responses.
    #[prost(message, optional, tag = "19")]
    pub model_transaction_policy: Option<TransactionPolicy>,
}

/// An input in `config.pbtxt`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModelConfigInput {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type, as a number of [`data_type`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Its shape without the batch dimension.
    #[prost(int64, repeated, tag = "4")]
    pub dims: Vec<i64>,
    /// It may be omitted.
    #[prost(bool, tag = "8")]
    pub optional: bool,
}

/// An output in `config.pbtxt`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModelConfigOutput {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type, as a number of [`data_type`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Its shape without the batch dimension.
    #[prost(int64, repeated, tag = "3")]
    pub dims: Vec<i64>,
}

/// Number of a datatype in a model's configuration (`inference.DataType`); 0 for a word that is none.
pub fn data_type(word: &str) -> i32 {
    const WORDS: [&str; 15] = [
        "", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
        "FP16", "FP32", "FP64", "BYTES", "BF16",
    ];
    WORDS.iter().position(|known| *known == word).unwrap_or(0) as i32
}

/// The models that an ensemble runs, in order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Ensembling {
    /// One entry for each.
    #[prost(message, repeated, tag = "1")]
    pub step: Vec<EnsembleStep>,
}

/// One model of an ensemble.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EnsembleStep {
    /// Its name.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// Its version; −1 for the newest.
    #[prost(int64, tag = "2")]
    pub model_version: i64,
    /// Its inputs, and the tensors of the ensemble that feed them.
    #[prost(message, repeated, tag = "3")]
    pub input_map: Vec<TensorMapEntry>,
    /// Its outputs, and the tensors of the ensemble that they become.
    #[prost(message, repeated, tag = "4")]
    pub output_map: Vec<TensorMapEntry>,
}

/// A tensor of a model, and its name in the ensemble.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TensorMapEntry {
    /// Name in the model.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Name in the ensemble.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Asks which models there are.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RepositoryIndexRequest {
    /// One repository; all where it is empty.
    #[prost(string, tag = "1")]
    pub repository_name: String,
    /// Only models that are ready.
    #[prost(bool, tag = "2")]
    pub ready: bool,
}

/// Which models there are.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RepositoryIndex {
    /// One entry for each.
    #[prost(message, repeated, tag = "1")]
    pub models: Vec<ModelIndex>,
}

/// One model of a repository.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModelIndex {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// `READY` or `UNAVAILABLE`.
    #[prost(string, tag = "3")]
    pub state: String,
    /// Why it is not ready.
    #[prost(string, tag = "4")]
    pub reason: String,
}

/// One free parameter.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModelParameterEntry {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<ModelParameter>,
}

/// The value of a free parameter.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModelParameter {
    /// Always text.
    #[prost(string, tag = "1")]
    pub string_value: String,
}

/// How requests and responses go together.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct TransactionPolicy {
    /// One request may have several responses.
    #[prost(bool, tag = "1")]
    pub decoupled: bool,
}

/// A parameter of a request or response.
#[derive(Clone, PartialEq, Message)]
pub struct ParameterEntry {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Parameter>,
}

/// The value of a parameter.
#[derive(Clone, PartialEq, Message)]
pub struct Parameter {
    /// One of several types.
    #[prost(oneof = "Choice", tags = "1, 2, 3, 4, 5")]
    pub choice: Option<Choice>,
}

/// The types of a parameter.
#[derive(Clone, PartialEq, Oneof)]
pub enum Choice {
    /// Yes or no.
    #[prost(bool, tag = "1")]
    Bool(bool),
    /// A whole number.
    #[prost(int64, tag = "2")]
    Int64(i64),
    /// Text.
    #[prost(string, tag = "3")]
    String(String),
    /// A number.
    #[prost(double, tag = "4")]
    Double(f64),
    /// A whole number of 0 or more.
    #[prost(uint64, tag = "5")]
    Uint64(u64),
}

impl ParameterEntry {
    /// A named value.
    pub fn new(key: impl Into<String>, choice: Choice) -> Self {
        Self { key: key.into(), value: Some(Parameter { choice: Some(choice) }) }
    }
}

/// One request.
#[derive(Clone, PartialEq, Message)]
pub struct ModelInferRequest {
    /// Which model.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// Which version; empty leaves the choice to the server.
    #[prost(string, tag = "2")]
    pub model_version: String,
    /// Comes back with every response.
    #[prost(string, tag = "3")]
    pub id: String,
    /// Beside the tensors.
    #[prost(message, repeated, tag = "4")]
    pub parameters: Vec<ParameterEntry>,
    /// Heads of the tensors that are sent.
    #[prost(message, repeated, tag = "5")]
    pub inputs: Vec<InputTensor>,
    /// Requested tensors; all if empty.
    #[prost(message, repeated, tag = "6")]
    pub outputs: Vec<RequestedOutput>,
    /// Contents of `inputs`, in their order.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub raw_input_contents: Vec<Bytes>,
}

/// Head of a tensor that is sent.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputTensor {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `INT32`, `BYTES`, …
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// Its shape, batch dimension included.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
}

/// A requested tensor.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RequestedOutput {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// One response; a decoupled model sends several for one request.
#[derive(Clone, PartialEq, Message)]
pub struct ModelInferResponse {
    /// Which model.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// Which version of it.
    #[prost(string, tag = "2")]
    pub model_version: String,
    /// Of the request.
    #[prost(string, tag = "3")]
    pub id: String,
    /// [`FINAL_RESPONSE`] and others.
    #[prost(message, repeated, tag = "4")]
    pub parameters: Vec<ParameterEntry>,
    /// Heads of the tensors that came.
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<OutputTensor>,
    /// Contents of `outputs`, in their order, unless these carry their own.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub raw_output_contents: Vec<Bytes>,
}

/// Head of a tensor that came.
#[derive(Clone, PartialEq, Message)]
pub struct OutputTensor {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `INT32`, `BYTES`, …
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// Its shape.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
}

/// One response in a stream, or an error of one of the stream's requests.
#[derive(Clone, PartialEq, Message)]
pub struct StreamResponse {
    /// Not empty: the request failed; the stream itself goes on.
    #[prost(string, tag = "1")]
    pub error_message: String,
    /// The response; with an error, it carries the id of the failed request.
    #[prost(message, optional, tag = "2")]
    pub infer_response: Option<ModelInferResponse>,
}

/// What the server has counted since it started.
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelStatisticsResponse {
    /// One per model and version.
    #[prost(message, repeated, tag = "1")]
    pub model_stats: Vec<ModelStatistics>,
}

/// Counts of one model.
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelStatistics {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Requests, each counted with its batch size.
    #[prost(uint64, tag = "4")]
    pub inference_count: u64,
    /// Executions of the model; fewer than requests where it batches.
    #[prost(uint64, tag = "5")]
    pub execution_count: u64,
    /// Where the time went.
    #[prost(message, optional, tag = "6")]
    pub inference_stats: Option<InferStatistics>,
}

/// Where the time of a model's requests went, all together.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default)]
pub struct InferStatistics {
    /// Requests that succeeded, from arrival to end.
    #[prost(message, optional, tag = "1")]
    pub success: Option<Spent>,
    /// Requests that failed.
    #[prost(message, optional, tag = "2")]
    pub fail: Option<Spent>,
    /// Waiting in Triton's scheduler; a backend's own queue is not in it.
    #[prost(message, optional, tag = "3")]
    pub queue: Option<Spent>,
    /// Preparing input.
    #[prost(message, optional, tag = "4")]
    pub compute_input: Option<Spent>,
    /// Running the model.
    #[prost(message, optional, tag = "5")]
    pub compute_infer: Option<Spent>,
    /// Preparing output.
    #[prost(message, optional, tag = "6")]
    pub compute_output: Option<Spent>,
}

/// How often, and how long all together.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// How often.
    #[prost(uint64, tag = "1")]
    pub count: u64,
    /// How long, in nanoseconds, summed.
    #[prost(uint64, tag = "2")]
    pub ns: u64,
}
