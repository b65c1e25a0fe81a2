//! KServe v2 endpoints over gRPC, with TensorRT-LLM's model and tensor names.
//!
//! Decoupled as TensorRT-LLM's models are: one response per delivery of the engine, the last of which says so
//! (`triton_final_response`) and carries the engine's stamps and counts. A last response that would hold nothing is only
//! sent where the request asks for it (`triton_enable_empty_final_response`). Unlike Triton, `ModelInfer` is answered too,
//! with everything at once.

mod framing;
mod model;
mod parse;
mod response;
mod stream;
mod tensors;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use http::header::AUTHORIZATION;
use prost::Message;

use crate::serve::admission::{ResponseHandle, ResponsePart};
use crate::serve::kserve::framing::{Status, read_one, respond, respond_status};
use crate::serve::kserve::model::Model;
use crate::serve::kserve::response::{ResponseSelection, ResponseWriter};
use crate::serve::kserve::tensors::Tensors;
use crate::serve::refusal::Refusal;
use crate::serve::service::Service;
use crate::targets::triton::kserve::{
    Choice, ENABLE_EMPTY_FINAL, InferStatistics, ModelConfigResponse, ModelIndex,
    ModelInferRequest, ModelInferResponse, ModelRequest, ModelStatistics, ModelStatisticsResponse,
    ReadyResponse, RepositoryIndex, RepositoryIndexRequest, ServerMetadata, Spent, path,
};
use crate::targets::triton::tensor_roles::Role;

type Shared = Arc<Service>;

/// Every call that is known.
pub fn router(service: Shared) -> Router {
    Router::new()
        .route(path::MODEL_STREAM_INFER, post(stream_infer))
        .route(path::MODEL_INFER, post(infer))
        .route(path::SERVER_LIVE, post(live))
        .route(path::SERVER_READY, post(ready))
        .route(path::SERVER_METADATA, post(server_metadata))
        .route(path::MODEL_READY, post(model_ready))
        .route(path::MODEL_METADATA, post(model_metadata))
        .route(path::MODEL_CONFIG, post(model_config))
        .route(path::MODEL_STATISTICS, post(model_statistics))
        .route(path::REPOSITORY_INDEX, post(repository_index))
        .fallback(unknown)
        .with_state(service)
}

async fn unknown(request: Request) -> Response {
    respond_status(&Status::unimplemented(&format!("unknown call {}", request.uri().path())))
}

/// Reads the one message of a call, and answers it with one.
async fn unary<Q, R>(
    service: &Service,
    request: Request,
    answer: impl FnOnce(Q) -> Result<R, Status>,
) -> Response
where
    Q: Message + Default,
    R: Message,
{
    let asked = match check_key(service, &request) {
        Ok(()) => read_one(request.into_body()).await,
        Err(refusal) => Err(refusal.into()),
    };
    match asked.and_then(answer) {
        Ok(message) => respond(&message),
        Err(status) => respond_status(&status),
    }
}

fn check_key(service: &Service, request: &Request) -> Result<(), Refusal> {
    service.check_key(request.headers().get(AUTHORIZATION).map(http::HeaderValue::as_bytes))
}

async fn live(State(service): State<Shared>, request: Request) -> Response {
    unary(&service, request, |_: ModelRequest| Ok(ReadyResponse { ready: true })).await
}

async fn ready(State(service): State<Shared>, request: Request) -> Response {
    let ready = service.admission.is_open();
    unary(&service, request, |_: ModelRequest| Ok(ReadyResponse { ready })).await
}

async fn server_metadata(State(service): State<Shared>, request: Request) -> Response {
    let metadata = ServerMetadata {
        name: "bareflight".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    unary(&service, request, |_: ModelRequest| Ok(metadata)).await
}

fn named(asked: &ModelRequest) -> Result<Model, Status> {
    model_of(&asked.name, &asked.version)
}

fn model_of(name: &str, version: &str) -> Result<Model, Status> {
    let known = Model::named(name).filter(|_| version.is_empty() || version == model::VERSION);
    known.ok_or_else(|| {
        let of = if version.is_empty() { String::new() } else { format!(" version {version}") };
        Status::not_found(&format!("Request for unknown model: '{name}'{of} is not found"))
    })
}

async fn model_ready(State(service): State<Shared>, request: Request) -> Response {
    let open = service.admission.is_open();
    let answer = |asked: ModelRequest| Ok(ReadyResponse { ready: open && named(&asked).is_ok() });
    unary(&service, request, answer).await
}

async fn model_metadata(State(service): State<Shared>, request: Request) -> Response {
    unary(&service, request, |asked: ModelRequest| Ok(named(&asked)?.metadata())).await
}

async fn model_config(State(service): State<Shared>, request: Request) -> Response {
    let answer = |asked: ModelRequest| {
        Ok(ModelConfigResponse { config: Some(named(&asked)?.config(&service)) })
    };
    unary(&service, request, answer).await
}

async fn repository_index(State(service): State<Shared>, request: Request) -> Response {
    let state = if service.admission.is_open() { "READY" } else { "UNAVAILABLE" };
    let answer = |asked: RepositoryIndexRequest| {
        let models = Model::ALL.into_iter().map(|model| ModelIndex {
            name: model.name().to_owned(),
            version: model::VERSION.to_owned(),
            state: state.to_owned(),
            reason: String::new(),
        });
        let models = models.filter(|model| !asked.ready || model.state == "READY").collect();
        Ok(RepositoryIndex { models })
    };
    unary(&service, request, answer).await
}

/// The engine's requests, over whichever protocol they came; one model, since there is one engine.
async fn model_statistics(State(service): State<Shared>, request: Request) -> Response {
    let totals = service.metrics.totals();
    let answer = |asked: ModelRequest| {
        let model = if asked.name.is_empty() { Model::Ids } else { named(&asked)? };
        let success = Spent { count: totals.completed, ns: totals.completed_ns };
        let fail = Spent { count: totals.failed, ns: 0 };
        let inference_stats = Some(InferStatistics {
            success: Some(success),
            fail: Some(fail),
            ..InferStatistics::default()
        });
        let stats = ModelStatistics {
            name: model.name().to_owned(),
            version: model::VERSION.to_owned(),
            inference_count: totals.completed,
            execution_count: totals.completed,
            inference_stats,
        };
        Ok(ModelStatisticsResponse { model_stats: vec![stats] })
    };
    unary(&service, request, answer).await
}

async fn infer(State(service): State<Shared>, request: Request) -> Response {
    let asked = match check_key(&service, &request) {
        Ok(()) => read_one(request.into_body()).await,
        Err(refusal) => Err(refusal.into()),
    };
    let answer = match asked {
        Ok(asked) => infer_whole(&service, &asked).await,
        Err(status) => Err(status),
    };
    match answer {
        Ok(response) => respond(&response),
        Err(status) => respond_status(&status),
    }
}

async fn infer_whole(
    service: &Service,
    asked: &ModelInferRequest,
) -> Result<ModelInferResponse, Status> {
    let begun = begin(service, asked, false).await?;
    whole(begun).await.map_err(Status::from)
}

/// A request that the engine has, and how it is to be answered.
struct Begun {
    answer: ResponseHandle,
    reply: ResponseWriter,
    streaming: bool,
}

/// Hands a request to the engine.
async fn begin(
    service: &Service,
    asked: &ModelInferRequest,
    may_stream: bool,
) -> Result<Begun, Status> {
    let model = model_of(&asked.model_name, &asked.model_version)?;
    let tensors = Tensors::check(model, asked)?;
    let parsed = parse::read(service, model, &tensors, may_stream)?;
    let streaming = parsed.streaming;
    let with_prompt = !streaming && !tensors.flag(Role::ExcludeInput);
    let prompt = if with_prompt {
        let text = match model {
            Model::Ids => String::new(),
            Model::Text => tensors.text(Role::PromptText)?.to_owned(),
        };
        Some((parsed.prompt.clone(), text))
    } else {
        None
    };
    let wanted = ResponseSelection {
        outputs: asked.outputs.iter().map(|output| output.name.clone()).collect(),
        perf: tensors.flag(Role::PerfMetrics),
        empty_final: asked.parameters.iter().any(|it| {
            it.key == ENABLE_EMPTY_FINAL
                && matches!(
                    it.value.as_ref().and_then(|it| it.choice.as_ref()),
                    Some(Choice::Bool(true))
                )
        }),
        prompt,
    };
    let answer = service.submit(parsed).await?;
    let reply = ResponseWriter::new(service, model, &asked.id, wanted);
    Ok(Begun { answer, reply, streaming })
}

/// Waits for the whole answer.
async fn whole(begun: Begun) -> Result<ModelInferResponse, Refusal> {
    let Begun { mut answer, reply, .. } = begun;
    let mut pieces = Vec::new();
    while !matches!(pieces.last(), Some(ResponsePart::End(_))) {
        answer.next_few(&mut pieces).await;
    }
    reply.whole(pieces.into_iter())
}

async fn stream_infer(State(service): State<Shared>, request: Request) -> Response {
    match check_key(&service, &request) {
        Ok(()) => stream::answer(service, request.into_body()),
        Err(refusal) => respond_status(&refusal.into()),
    }
}
