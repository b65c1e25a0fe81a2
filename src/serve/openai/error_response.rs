//! Error responses: OpenAI's error object and its HTTP status.

use axum::response::Response;
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::{Value, json};

use crate::serve::refusal::Refusal;

use crate::serve::openai::json_response;

/// `Retry-After` of a refusal because of a full queue, in seconds.
const COME_BACK: &str = "1";

struct Kind {
    status: StatusCode,
    word: &'static str,
    code: Value,
}

fn kind_of(refusal: &Refusal) -> Kind {
    let kind = |status, word, code: Option<&str>| Kind { status, word, code: code.into() };
    let invalid = "invalid_request_error";
    match refusal {
        Refusal::QueueFull(_) => {
            kind(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("queue_full"))
        }
        Refusal::Stopping => {
            kind(StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("shutting_down"))
        }
        Refusal::Unauthorized => {
            kind(StatusCode::UNAUTHORIZED, "authentication_error", Some("invalid_api_key"))
        }
        Refusal::UnknownModel { .. } => {
            kind(StatusCode::NOT_FOUND, invalid, Some("model_not_found"))
        }
        Refusal::Invalid { .. } => kind(StatusCode::BAD_REQUEST, invalid, None),
        Refusal::TooLong { .. } => {
            kind(StatusCode::BAD_REQUEST, invalid, Some("context_length_exceeded"))
        }
        Refusal::Engine(_) => kind(StatusCode::INTERNAL_SERVER_ERROR, "server_error", None),
    }
}

fn field_of(refusal: &Refusal) -> Option<&str> {
    match refusal {
        Refusal::Invalid { field, .. } => field.as_deref(),
        Refusal::TooLong { field, .. } => Some(field),
        Refusal::UnknownModel { .. } => Some("model"),
        _ => None,
    }
}

/// The error object alone, as it stands in a stream.
pub(super) fn error_object(refusal: &Refusal) -> Value {
    let Kind { word, code, .. } = kind_of(refusal);
    let (message, field) = (refusal.to_string(), field_of(refusal));
    json!({ "error": { "message": message, "type": word, "param": field, "code": code } })
}

/// The answer to a request that is refused.
pub(super) fn error_response(refusal: &Refusal) -> Response {
    let mut response = json_response(kind_of(refusal).status, error_object(refusal).to_string());
    if matches!(refusal, Refusal::QueueFull(_)) {
        response.headers_mut().insert(RETRY_AFTER, COME_BACK.parse().expect("plain"));
    }
    response
}

fn plain(status: StatusCode, message: &str) -> Response {
    let error =
        json!({ "message": message, "type": "invalid_request_error", "param": null, "code": null });
    json_response(status, json!({ "error": error }).to_string())
}

/// A path that leads nowhere.
pub(super) fn not_found(message: &str) -> Response {
    plain(StatusCode::NOT_FOUND, message)
}

/// A path that wants another method.
pub(super) fn wrong_method(message: &str) -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, message)
}
