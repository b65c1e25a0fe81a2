//! gRPC calls, unary and streaming, and the failures of their statuses.

use std::error::Error;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::request::{Failure, FailureKind};
use crate::targets::triton::connect::{ConnectFailure, HeadedChannel};

fn client(channel: HeadedChannel) -> Grpc<HeadedChannel> {
    // Logits and whole outputs may be long; the limit is up to the server.
    Grpc::new(channel).max_decoding_message_size(usize::MAX)
}

async fn ready(grpc: &mut Grpc<HeadedChannel>) -> Result<(), Status> {
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))
}

/// Unary call: one message each way.
///
/// # Errors
/// The status, with the transport's error as its source where it came from there.
pub async fn unary<Q, R>(
    channel: HeadedChannel,
    path: &'static str,
    message: Q,
) -> Result<R, Status>
where
    Q: Message + 'static,
    R: Message + Default + 'static,
{
    let mut grpc = client(channel);
    ready(&mut grpc).await?;
    let path = PathAndQuery::from_static(path);
    let reply = grpc.unary(Request::new(message), path, ProstCodec::default()).await?;
    Ok(reply.into_inner())
}

/// As [`unary`] with a time limit, for queries before and after the load.
///
/// # Errors
/// As [`unary`], and `DEADLINE_EXCEEDED` of our own.
pub async fn query<Q, R>(
    channel: &HeadedChannel,
    path: &'static str,
    message: Q,
    within: Duration,
) -> Result<R, Status>
where
    Q: Message + 'static,
    R: Message + Default + 'static,
{
    tokio::time::timeout(within, unary(channel.clone(), path, message)).await.unwrap_or_else(|_| {
        Err(Status::deadline_exceeded(format!("the server did not answer within {within:?}")))
    })
}

/// Bidirectional stream. Returns when the response head has come, which Triton sends with the first response.
///
/// # Errors
/// As [`unary`].
pub async fn stream<Q, R, S>(
    channel: HeadedChannel,
    path: &'static str,
    messages: S,
) -> Result<Streaming<R>, Status>
where
    Q: Message + 'static,
    R: Message + Default + 'static,
    S: tokio_stream::Stream<Item = Q> + Send + 'static,
{
    let mut grpc = client(channel);
    ready(&mut grpc).await?;
    let path = PathAndQuery::from_static(path);
    let reply = grpc.streaming(Request::new(messages), path, ProstCodec::default()).await?;
    Ok(reply.into_inner())
}

/// Converts a status to the failure of a request.
pub fn failure_of(status: &Status) -> Failure {
    if let Some(failure) = transport_failure(status) {
        return failure;
    }
    let kind = match status.code() {
        // tonic reports undecodable bytes as a status of its own.
        Code::Internal
            if ["failed to decode Protobuf", "protocol error"]
                .iter()
                .any(|words| status.message().starts_with(words)) =>
        {
            FailureKind::Malformed
        }
        Code::Unauthenticated | Code::PermissionDenied => FailureKind::Unauthorized,
        Code::NotFound => FailureKind::NotFound,
        Code::ResourceExhausted => FailureKind::RateLimited,
        Code::InvalidArgument | Code::Unimplemented => FailureKind::Refused,
        Code::Unavailable => FailureKind::GrpcUnavailable,
        Code::DeadlineExceeded => FailureKind::GrpcDeadline,
        _ => FailureKind::Grpc,
    };
    Failure::new(kind, format!("{}: {}", code_name(status.code()), status.message()))
}

/// The transport's error, which is the source of a status that no server sent.
fn transport_failure(status: &Status) -> Option<Failure> {
    let mut deepest: &(dyn Error + 'static) = status.source()?;
    loop {
        if let Some(ConnectFailure(failure)) = deepest.downcast_ref() {
            return Some(failure.clone());
        }
        match deepest.source() {
            Some(source) => deepest = source,
            None => break,
        }
    }
    Some(Failure::new(FailureKind::Disconnected, format!("{}: {deepest}", status.message())))
}

/// A code as gRPC writes it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_the_server_keeps_its_code_and_message() {
        let failure = failure_of(&Status::unavailable("queue is full"));
        assert_eq!(
            failure,
            Failure::new(FailureKind::GrpcUnavailable, "UNAVAILABLE: queue is full")
        );
        let kinds = [
            (Status::unauthenticated("x"), FailureKind::Unauthorized),
            (Status::not_found("x"), FailureKind::NotFound),
            (Status::resource_exhausted("x"), FailureKind::RateLimited),
            (Status::invalid_argument("x"), FailureKind::Refused),
            (Status::deadline_exceeded("x"), FailureKind::GrpcDeadline),
            (Status::aborted("x"), FailureKind::Grpc),
        ];
        for (status, kind) in kinds {
            assert_eq!(failure_of(&status).kind, kind);
        }
    }

    #[test]
    fn a_broken_connection_is_no_status_of_the_server() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let failure = failure_of(&Status::from_error(Box::new(reset)));
        assert_eq!(failure.kind, FailureKind::Disconnected);
        let refused = Failure::new(FailureKind::Connect, "nobody there");
        let status = Status::from_error(Box::new(ConnectFailure(refused.clone())));
        assert_eq!(failure_of(&status), refused);
    }
}
