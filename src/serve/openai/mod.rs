//! How is the engine asked the way OpenAI's servers are? Chat, completions, models, health, metrics.
//!
//! What a stream looks like: no byte of the body before the first token; then one event per delivery of the engine, which
//! is one token in almost every case (a character whose bytes lie in several tokens comes with the last of them). The
//! first event of a chat carries the role along with the first token. The event with the `finish_reason` carries no text
//! and the engine's stamps (`x-bareflight-timing`). The usage, where it is asked for, is the last event before `[DONE]`.

mod body;
mod choice;
mod events;
mod problem;
mod question;
mod whole;

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

use crate::serve::openai::body::Asked;
use crate::serve::openai::choice::{Choice, Endpoint};
use crate::serve::openai::events::Events;
use crate::serve::openai::problem::problem;
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
    answer(service, Endpoint::Chat, request).await.unwrap_or_else(|refusal| problem(&refusal))
}

async fn completions(State(service): State<Shared>, request: Request) -> Response {
    answer(service, Endpoint::Completions, request)
        .await
        .unwrap_or_else(|refusal| problem(&refusal))
}

async fn answer(
    service: Shared,
    endpoint: Endpoint,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    check_key(&service, &head.headers)?;
    let bytes = read(body).await?;
    let asked = Asked::read(&bytes)?;
    let (question, wishes) = question::read(&service, endpoint, asked)?;
    let prompt_tokens = question.prompt.len() as u32;
    let prefix = wishes.return_token_ids.then(|| question.prompt.clone());
    let answer = service.ask(question).await?;
    let choice = Choice::new(&service, endpoint, wishes, answer.ticket(), prompt_tokens, prefix);
    if wishes.stream {
        let events = Events::new(answer, choice);
        let mut response = Response::new(Body::new(events));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, "text/event-stream; charset=utf-8".parse().expect("plain"));
        headers.insert(CACHE_CONTROL, "no-cache".parse().expect("plain"));
        Ok(response)
    } else {
        whole::answer(answer, choice).await.map(|bytes| json_response(StatusCode::OK, bytes))
    }
}

/// The whole body, within limits of size and time.
async fn read(body: Body) -> Result<Bytes, Refusal> {
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, LONGEST_BODY).collect());
    let invalid = |words: String| Refusal::Invalid { field: None, words };
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
        "x-bareflight-simulated": service.info.simulated,
    })
}

async fn models(State(service): State<Shared>, headers: HeaderMap) -> Response {
    if let Err(refusal) = check_key(&service, &headers) {
        return problem(&refusal);
    }
    let list = json!({ "object": "list", "data": [described(&service)] });
    json_response(StatusCode::OK, list.to_string())
}

async fn model(State(service): State<Shared>, request: Request) -> Response {
    if let Err(refusal) = check_key(&service, request.headers()) {
        return problem(&refusal);
    }
    let asked = request.uri().path().trim_start_matches("/v1/models/").to_owned();
    if asked == service.model {
        return json_response(StatusCode::OK, described(&service).to_string());
    }
    problem(&Refusal::UnknownModel { asked, served: service.model.clone() })
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
    problem::not_found(&format!("there is nothing at {}", request.uri().path()))
}

async fn wrong_method(request: Request) -> Response {
    problem::wrong_method(&format!("{} does not take {}", request.uri().path(), request.method()))
}
