//! OpenAI endpoints: chat completions, completions, models, health, metrics.
//!
//! What a stream looks like: no byte of the body before the first token; then one event per delivery of the engine, which
//! is one token in almost every case (a character whose bytes lie in several tokens comes with the last of them). The
//! first event of a chat carries the role along with the first token. The event of the last token carries the
//! `finish_reason`, as vLLM's does, and the engine's stamps (`x-bareflight-timing`). The usage, where it is asked for, is the last event before `[DONE]`.

mod body;
mod error_response;
mod events;
mod non_streaming;
mod parse;
mod response_state;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::json;

use crate::serve::openai::body::ParsedBody;
use crate::serve::openai::error_response::error_response;
use crate::serve::openai::events::Events;
use crate::serve::openai::response_state::{Endpoint, ResponseState};
use crate::serve::refusal::Refusal;
use crate::serve::service::Service;

/// Longest body of a request: a prompt of a million ids or so.
const LONGEST_BODY: usize = 16 << 20;
/// How long a client may take to send it.
const BODY_TIME: Duration = Duration::from_secs(30);

type Shared = Arc<Service>;

/// Everything that can be asked.
pub fn router(service: Shared) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .with_state(service)
}

async fn chat(State(service): State<Shared>, request: Request) -> Response {
    answer(service, Endpoint::Chat, request)
        .await
        .unwrap_or_else(|refusal| error_response(&refusal))
}

async fn completions(State(service): State<Shared>, request: Request) -> Response {
    answer(service, Endpoint::Completions, request)
        .await
        .unwrap_or_else(|refusal| error_response(&refusal))
}

async fn answer(
    service: Shared,
    endpoint: Endpoint,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    check_key(&service, &head.headers)?;
    let bytes = read(body).await?;
    let asked = ParsedBody::read(&bytes)?;
    let (parsed, options) = parse::read(&service, endpoint, asked)?;
    let prompt_tokens = parsed.prompt.len() as u32;
    let prefix = options.return_token_ids.then(|| parsed.prompt.clone());
    let answer = service.submit(parsed).await?;
    let state =
        ResponseState::new(&service, endpoint, options, answer.serial(), prompt_tokens, prefix);
    if options.stream {
        let events = Events::new(answer, state);
        let mut response = Response::new(Body::new(events));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, "text/event-stream; charset=utf-8".parse().expect("plain"));
        headers.insert(CACHE_CONTROL, "no-cache".parse().expect("plain"));
        Ok(response)
    } else {
        non_streaming::answer(answer, state).await.map(|bytes| json_response(StatusCode::OK, bytes))
    }
}

/// The whole body, within limits of size and time.
async fn read(body: Body) -> Result<Bytes, Refusal> {
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, LONGEST_BODY).collect());
    let invalid = |message: String| Refusal::Invalid { field: None, message };
    match collected.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) => Err(invalid(format!("the body cannot be read: {error}"))),
        Err(_) => Err(invalid(format!("the body did not come within {BODY_TIME:?}"))),
    }
}

fn check_key(service: &Service, headers: &HeaderMap) -> Result<(), Refusal> {
    service.check_key(headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes))
}

fn json_response(status: StatusCode, bytes: impl Into<Body>) -> Response {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("plain"));
    response
}

fn described(service: &Service) -> serde_json::Value {
    json!({
        "id": service.model,
        "object": "model",
        "created": service.created,
        "owned_by": "bareflight",
        "max_model_len": service.info.limits.max_sequence_tokens,
        "x-bareflight-vocab-size": service.info.limits.vocab_size,
        "x-bareflight-target": service.info.name,
        "x-bareflight-simulated": service.has_no_engine(),
        "x-bareflight-dummy-weights": service.info.dummy_weights,
    })
}

async fn models(State(service): State<Shared>, headers: HeaderMap) -> Response {
    if let Err(refusal) = check_key(&service, &headers) {
        return error_response(&refusal);
    }
    let list = json!({ "object": "list", "data": [described(&service)] });
    json_response(StatusCode::OK, list.to_string())
}

async fn model(State(service): State<Shared>, request: Request) -> Response {
    if let Err(refusal) = check_key(&service, request.headers()) {
        return error_response(&refusal);
    }
    let asked = request.uri().path().trim_start_matches("/v1/models/").to_owned();
    if asked == service.model {
        return json_response(StatusCode::OK, described(&service).to_string());
    }
    error_response(&Refusal::UnknownModel { asked, served: service.model.clone() })
}

/// 200 while new requests are taken, 503 from the moment that they are not.
async fn health(State(service): State<Shared>) -> Response {
    let open = service.admission.is_open();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = if open { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response
}

async fn metrics(State(service): State<Shared>) -> Response {
    let mut response = Response::new(Body::from(service.metrics.render()));
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, kind.parse().expect("plain"));
    response
}

async fn nowhere(request: Request) -> Response {
    error_response::not_found(&format!("there is nothing at {}", request.uri().path()))
}

async fn wrong_method(request: Request) -> Response {
    error_response::wrong_method(&format!(
        "{} does not take {}",
        request.uri().path(),
        request.method()
    ))
}
