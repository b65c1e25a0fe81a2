//! Failures from HTTP status codes and error objects, with the server's message.

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::request::{Failure, FailureKind};

/// The failure that an HTTP status other than success stands for; `Retry-After` is noted in its message.
pub fn failure_of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let kind = match status.as_u16() {
        401 | 403 => FailureKind::Unauthorized,
        // What is there takes no requests of this kind: the path is that of something else.
        404 | 405 | 410 => FailureKind::NotFound,
        429 => FailureKind::RateLimited,
        500..=599 => FailureKind::HttpServer,
        _ => FailureKind::HttpClient,
    };
    let noted = |name: header::HeaderName, label: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(format!(" ({label} {value})"))
    };
    let retry = noted(header::RETRY_AFTER, "Retry-After").unwrap_or_default();
    let moved = noted(header::LOCATION, "moved to").unwrap_or_default();
    let words = if status.is_redirection() {
        "redirects are not followed, since each request would pay for them: name that address as the target".to_owned()
    } else {
        error_message(body)
    };
    Failure::new(kind, format!("HTTP {status}{retry}{moved}: {words}"))
}

/// The status in the message of such a failure.
pub fn status_in(message: &str) -> Option<u16> {
    message.strip_prefix("HTTP ")?.get(..3)?.parse().ok()
}

/// The message of an error object in any of its shapes, or the text as it is.
pub fn error_message(body: &[u8]) -> String {
    let found = serde_json::from_slice::<Value>(body).ok().and_then(|value| message_in(&value));
    found.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&body[..body.len().min(4 * Failure::MAX_MESSAGE)]);
        if text.trim().is_empty() { "no message".to_owned() } else { text.into_owned() }
    })
}

fn message_in(value: &Value) -> Option<String> {
    match value {
        Value::String(message) => Some(message.clone()),
        Value::Object(members) => {
            let message = ["error", "errors", "message", "detail", "error_message", "msg"]
                .iter()
                .filter_map(|name| members.get(*name))
                .find_map(message_in)
                .or_else(|| in_choices(members.get("choices")?))?;
            let kind = members.get("type").and_then(Value::as_str);
            let code = members.get("code").filter(|code| !code.is_null());
            // Some servers name the member here and nowhere else.
            let about = members.get("param").and_then(Value::as_str);
            let message = match about.filter(|name| !name.is_empty() && !message.contains(name)) {
                Some(name) => format!("{message}: {name}"),
                None => message,
            };
            Some(match (kind, code) {
                (Some(kind), Some(code)) => format!("{message} ({kind}, {code})"),
                (Some(kind), None) => format!("{message} ({kind})"),
                (None, Some(code)) => format!("{message} ({code})"),
                (None, None) => message,
            })
        }
        Value::Array(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The message of an error that lies in a choice, or in what that adds.
fn in_choices(choices: &Value) -> Option<String> {
    let of =
        |choice: &Value| choice.get("error").or_else(|| choice.get("delta")?.get("error")).cloned();
    choices.as_array()?.iter().filter_map(of).find_map(|error| message_in(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_message_that_has_it() {
        let failure = failure_of(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), b"busy");
        assert_eq!(status_in(&failure.message), Some(429));
        assert_eq!(status_in("connection refused"), None);
    }

    fn failure(status: u16, body: &str) -> Failure {
        failure_of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn each_status_has_the_kind_that_a_user_would_look_for() {
        for (status, kind) in [
            (400, FailureKind::HttpClient),
            (401, FailureKind::Unauthorized),
            (403, FailureKind::Unauthorized),
            (404, FailureKind::NotFound),
            (405, FailureKind::NotFound),
            (422, FailureKind::HttpClient),
            (429, FailureKind::RateLimited),
            (500, FailureKind::HttpServer),
            (503, FailureKind::HttpServer),
            (302, FailureKind::HttpClient),
        ] {
            assert_eq!(failure(status, "").kind, kind, "{status}");
        }
    }

    #[test]
    fn the_servers_words_are_found_in_every_shape_seen_on_real_servers() {
        for (body, message) in [
            (
                r#"{"error":{"message":"no such model","type":"invalid","param":null,"code":404}}"#,
                "no such model (invalid, 404)",
            ),
            (
                r#"{"error":{"code":400,"message":"too long","type":"invalid_request_error"}}"#,
                "too long (invalid_request_error, 400)",
            ),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (r#"{"error":{"message":"Unsupported","param":"seed"}}"#, "Unsupported: seed"),
            (r#"{"detail":[{"msg":"field required"}]}"#, r#"[{"msg":"field required"}]"#),
            (r#"{"error":"overloaded"}"#, "overloaded"),
            (r#"{"code":1302,"msg":"too many","success":false}"#, "too many (1302)"),
            (r#"{"errors":[{"message":"no"}]}"#, r#"[{"message":"no"}]"#),
            ("Internal Server Error", "Internal Server Error"),
            ("", "no message"),
        ] {
            assert_eq!(error_message(body.as_bytes()), message);
        }
    }

    #[test]
    fn when_to_come_back_is_noted() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let failure = failure_of(StatusCode::TOO_MANY_REQUESTS, &headers, b"slow down");
        assert!(failure.message.contains("Retry-After 7"), "{}", failure.message);
        assert!(failure.message.contains("slow down"));
    }
}
