//! Post of OTLP metrics to a collector, which may be gone: a person hears of that once, and nothing that is measured waits for it.

use std::env;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::runtime;

use super::message::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use super::resource::pairs;
use crate::console;
use crate::network::connect::{Connector, Via};
use crate::network::proxy::Proxy;
use crate::network::tls::{TlsOptions, client_config};
use crate::settings::otlp_address::OtlpAddress;

/// Longest time of a post while something is measured.
pub const WHILE_RUNNING: Duration = Duration::from_secs(2);
/// The same of the results, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const OF_RESULTS: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// Port of OTLP over gRPC.
const GRPC: u16 = 4317;

/// A person has heard that the collector takes nothing.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// Why a collector has not taken it.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is no connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// It answered something else than 200.
    #[error("it answers {0}")]
    Status(u16),
    /// A part was not taken.
    #[error("it rejects {0} data points: {1}")]
    Rejected(i64, String),
}

/// How long the results may take.
pub fn time_for_results() -> Duration {
    let given = env::var("OTEL_EXPORTER_OTLP_TIMEOUT").ok().and_then(|text| text.parse().ok());
    given.map_or(OF_RESULTS, Duration::from_millis)
}

/// Posts; where it fails, a person hears of it unless one has.
pub fn post_or_tell(address: &OtlpAddress, message: &ExportMetricsServiceRequest, limit: Duration) {
    if let Err(error) = post(address, message, limit)
        && !IS_TOLD.swap(true, Ordering::Relaxed)
    {
        let hint = if address.port == GRPC {
            " (4317 is the port of OTLP over gRPC; over HTTP it is 4318)"
        } else {
            ""
        };
        console::print_notice(format_args!(
            "`--otlp {address}`: the collector takes no metrics: {error}{hint}; what is measured does not depend on it"
        ));
    }
}

/// Posts metrics and waits for the answer.
///
/// # Errors
/// When they are not, or not all, taken within the limit.
pub fn post(
    address: &OtlpAddress,
    message: &ExportMetricsServiceRequest,
    limit: Duration,
) -> Result<(), PushError> {
    let failed = |error: io::Error| PushError::Connection(error.to_string());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        tokio::time::timeout(limit, ask(address, message, limit))
            .await
            .unwrap_or_else(|_| Err(PushError::Connection(format!("no answer within {limit:?}"))))
    })
}

async fn ask(
    address: &OtlpAddress,
    message: &ExportMetricsServiceRequest,
    limit: Duration,
) -> Result<(), PushError> {
    let failed = |words: &dyn std::fmt::Display| PushError::Connection(words.to_string());
    let OtlpAddress { is_tls, host, port, path } = address;
    let tls = is_tls
        .then(|| client_config(&TlsOptions::default(), &[b"http/1.1"]))
        .transpose()
        .map_err(|error| failed(&error))?;
    let proxy = Proxy::on_the_way_to(host, *is_tls, |name| env::var(name).ok());
    let via = match proxy.map_err(|error| failed(&error))? {
        Some(proxy) if *is_tls => Via::Tunnel(proxy.into()),
        _ => Via::Direct,
    };
    let connector = Connector::through(via, host, *port, tls, limit);
    let connector = connector.map_err(|failure| failed(&failure.message))?;
    let stream = connector.connect().await.map_err(|failure| failed(&failure.message))?;
    let (mut requests, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // It ends with the runtime at the latest; what goes wrong in it is told by the answer.
    tokio::spawn(connection);
    let body = Full::new(Bytes::from(message.encode_to_vec()));
    let mut request = Request::post(path.as_str())
        .header(HOST, format!("{host}:{port}"))
        .header(CONTENT_TYPE, "application/x-protobuf")
        .header(CONNECTION, "close")
        .body(body)
        .map_err(|error| failed(&error))?;
    let headers = env::var("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
    for (name, value) in pairs(&headers) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| failed(&error))?;
        let value = HeaderValue::from_str(value).map_err(|error| failed(&error))?;
        request.headers_mut().insert(name, value);
    }
    let response = requests.send_request(request).await.map_err(|error| failed(&error))?;
    if !response.status().is_success() {
        return Err(PushError::Status(response.status().as_u16()));
    }
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| failed(&error))?.to_bytes();
    // An empty answer, or one of another form, is one that took everything.
    let answer = ExportMetricsServiceResponse::decode(body).unwrap_or_default();
    match answer.partial_success {
        Some(part) if part.rejected_data_points > 0 => {
            Err(PushError::Rejected(part.rejected_data_points, part.error_message))
        }
        _ => Ok(()),
    }
}
