//! Failure of one request: kind (counted) and message of the target (shown).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a failed request; kinds are counted, messages are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The target's queue was full.
    QueueFull,
    /// The target refused the request as such (too long, malformed, unknown model, …).
    Refused,
    /// The engine reported an error for the request.
    Engine,
    /// The target had been shut down.
    ShutDown,
    /// No connection could be made: the name is unknown, the port refused, or no answer came in time.
    Connect,
    /// This process or machine had no open file, port or memory left for it.
    OwnLimit,
    /// The certificate could not be trusted, or the TLS handshake failed.
    Tls,
    /// The connection broke before the answer was complete.
    Disconnected,
    /// The server answered with an HTTP status of 400 to 499.
    HttpClient,
    /// 401 or 403: the key was missing or wrong.
    Unauthorized,
    /// 404: no such path or model.
    NotFound,
    /// 429: the server asked to come back later.
    RateLimited,
    /// The server answered with an HTTP status of 500 to 599.
    HttpServer,
    /// A gRPC status other than OK that none of the other kinds names.
    Grpc,
    /// gRPC's UNAVAILABLE, from the server.
    GrpcUnavailable,
    /// gRPC's `DEADLINE_EXCEEDED`, from the server.
    GrpcDeadline,
    /// An error object inside a successful answer.
    ErrorInStream,
    /// The answer could not be understood.
    Malformed,
    /// The answer ended without its end marker.
    Truncated,
    /// The answer ended properly and held no token.
    Empty,
    /// No token came within the first-token timeout.
    Silent,
    /// An answer had begun, and no further output came for longer than the idle timeout.
    Idle,
    /// The target never reported an end, not even after a cancel.
    Unanswered,
}

impl FailureKind {
    /// The word in files and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::Engine => "engine",
            Self::ShutDown => "shut_down",
            Self::Connect => "connect",
            Self::OwnLimit => "own_limit",
            Self::Tls => "tls",
            Self::Disconnected => "disconnected",
            Self::HttpClient => "http_client",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::HttpServer => "http_server",
            Self::Grpc => "grpc",
            Self::GrpcUnavailable => "grpc_unavailable",
            Self::GrpcDeadline => "grpc_deadline",
            Self::ErrorInStream => "error_in_stream",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::Empty => "empty",
            Self::Silent => "silent",
            Self::Idle => "idle",
            Self::Unanswered => "unanswered",
        }
    }

    /// Every kind, so that names can be parsed.
    pub const ALL: [Self; 23] = [
        Self::QueueFull,
        Self::Refused,
        Self::Engine,
        Self::ShutDown,
        Self::Connect,
        Self::OwnLimit,
        Self::Tls,
        Self::Disconnected,
        Self::HttpClient,
        Self::Unauthorized,
        Self::NotFound,
        Self::RateLimited,
        Self::HttpServer,
        Self::Grpc,
        Self::GrpcUnavailable,
        Self::GrpcDeadline,
        Self::ErrorInStream,
        Self::Malformed,
        Self::Truncated,
        Self::Empty,
        Self::Silent,
        Self::Idle,
        Self::Unanswered,
    ];
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why one request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, which is counted.
    pub kind: FailureKind,
    /// The message of the target, at most [`Failure::MAX_MESSAGE`] bytes.
    pub message: String,
}

impl Failure {
    /// Longest text that is kept of one failure.
    pub const MAX_MESSAGE: usize = 400;

    /// A failure with the message of the target, cut to [`Self::MAX_MESSAGE`] bytes and to one line.
    pub fn new(kind: FailureKind, message: impl AsRef<str>) -> Self {
        let mut one_line = message.as_ref().split_whitespace().collect::<Vec<_>>().join(" ");
        if one_line.len() > Self::MAX_MESSAGE {
            let cut = one_line.floor_char_boundary(Self::MAX_MESSAGE - 3);
            one_line.truncate(cut);
            one_line.push('…');
        }
        Self { kind, message: one_line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_failure_are_bounded_and_on_one_line() {
        let failure = Failure::new(FailureKind::HttpServer, "é\n".repeat(1_000));
        assert!(failure.message.len() <= Failure::MAX_MESSAGE);
        assert!(!failure.message.contains('\n'));
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> =
            FailureKind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), FailureKind::ALL.len());
    }

    #[test]
    fn the_published_schema_knows_every_kind() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../docs/summary.schema.json")).unwrap();
        let words = FailureKind::ALL.map(FailureKind::word);
        assert!(
            knows(&schema, &words),
            "docs/summary.schema.json wants `propertyNames` of failures to be {words:?}"
        );
    }

    fn knows(schema: &serde_json::Value, words: &[&str]) -> bool {
        match schema {
            serde_json::Value::Object(members) => {
                let names = members.get("propertyNames").and_then(|names| names["enum"].as_array());
                names.is_some_and(|names| names.iter().eq(words))
                    || members.values().any(|member| knows(member, words))
            }
            serde_json::Value::Array(items) => items.iter().any(|item| knows(item, words)),
            _ => false,
        }
    }
}
