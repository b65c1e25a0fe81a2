//! Requests over Triton's HTTP `generate_stream`: one JSON object per event; the end of the body is the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use crate::clock::now;
use crate::network::connect::Connector;
use crate::network::refusal::{error_message, failure_of};
use crate::network::sse::{SseEvent, SseReader};
use crate::network::stamp::LastRead;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::connect::connector;
use crate::targets::triton::in_flight_request::Carrier;
use crate::targets::triton::kserve::ModelStatisticsResponse;
use crate::targets::triton::metadata::ServerFacts;
use crate::targets::triton::metadata_json::{facts_from_json, json};
use crate::targets::triton::options::TritonOptions;
use crate::targets::triton::request::RequestTemplate;
use crate::targets::triton::response::JsonResponse;
use crate::targets::triton::session::SharedTable;

/// Longest part of an answer that is shown.
const SHOWN: usize = 200;

/// The HTTP connections of one thread.
pub struct Generate {
    client: Rc<Client>,
    path: String,
    table: SharedTable,
}

/// Connections to one server; those that are idle are used again.
struct Client {
    connector: Connector,
    authority: String,
    headers: HeaderMap,
    idle: RefCell<Vec<HttpConnection>>,
}

struct HttpConnection {
    requests: SendRequest<Full<Bytes>>,
    reads: Arc<LastRead>,
}

impl Generate {
    /// Prepares the client; a request without an idle connection opens one.
    ///
    /// # Errors
    /// When the name does not resolve.
    pub fn open(
        options: &TritonOptions,
        template: &RequestTemplate,
        table: SharedTable,
    ) -> Result<Self, Failure> {
        let call = if template.model_io().decoupled { "generate_stream" } else { "generate" };
        let path = format!("{}/{call}", model_path(options));
        Ok(Self { client: Rc::new(Client::new(options)?), path, table })
    }

    /// Sends a request.
    pub fn send(&self, id: RequestId, body: Bytes) {
        let (client, path, table) =
            (Rc::clone(&self.client), self.path.clone(), Rc::clone(&self.table));
        let task = tokio::task::spawn_local(async move {
            if let Err(failure) = generate_one(&client, &path, &table, id, body).await {
                table.borrow_mut().fail(id, now(), failure);
            }
        });
        self.table.borrow_mut().carried_by(id, Carrier::Task(Some(task.abort_handle())));
    }
}

fn model_path(options: &TritonOptions) -> String {
    let address = &options.address;
    if address.version.is_empty() {
        format!("/v2/models/{}", address.model)
    } else {
        format!("/v2/models/{}/versions/{}", address.model, address.version)
    }
}

impl Client {
    fn new(options: &TritonOptions) -> Result<Self, Failure> {
        Ok(Self {
            connector: connector(options, b"http/1.1")?,
            headers: options.headers.clone(),
            authority: format!("{}:{}", options.address.host, options.address.port),
            idle: RefCell::default(),
        })
    }

    async fn connection(&self) -> Result<HttpConnection, Failure> {
        loop {
            let Some(idle) = self.idle.borrow_mut().pop() else { break };
            if idle.requests.is_ready() {
                return Ok(idle);
            }
        }
        let mut stream = self.connector.connect().await?;
        stream.read_once_per_poll();
        let reads = Arc::clone(stream.last_read());
        let (requests, driver) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The request on it sees its end.
        tokio::task::spawn_local(async move { drop(driver.await) });
        Ok(HttpConnection { requests, reads })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .body(Full::new(body))
            .map_err(|error| Failure::new(FailureKind::Refused, error.to_string()))?;
        for (name, value) in &self.headers {
            request.headers_mut().append(name.clone(), value.clone());
        }
        Ok(request)
    }

    /// Short query before or after the load.
    async fn get(&self, path: &str) -> Result<Bytes, Failure> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        let mut connection = self.connection().await?;
        let response = connection.requests.send_request(request).await.map_err(broken)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        self.idle.borrow_mut().push(connection);
        if head.status.is_success() {
            Ok(body)
        } else {
            Err(failure_of(head.status, &head.headers, &body))
        }
    }
}

fn broken(error: hyper::Error) -> Failure {
    // An incomplete message means that the connection broke, as with `openai:`.
    let kind = if error.is_parse() && !error.is_incomplete_message() {
        FailureKind::Malformed
    } else {
        FailureKind::Disconnected
    };
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    Failure::new(kind, format!("{error}{}", cause.unwrap_or_default()))
}

async fn generate_one(
    client: &Client,
    path: &str,
    table: &SharedTable,
    id: RequestId,
    body: Bytes,
) -> Result<(), Failure> {
    let mut connection = client.connection().await?;
    let request = client.request(Method::POST, path, body)?;
    if !table.borrow_mut().sent(id, now()) {
        return Ok(());
    }
    let response = connection.requests.send_request(request).await.map_err(broken)?;
    if !response.status().is_success() {
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        return Err(failure_of(head.status, &head.headers, &body));
    }
    read_body(response, &connection.reads, table, id).await?;
    table.borrow_mut().complete(id, connection.reads.get().at);
    client.idle.borrow_mut().push(connection);
    Ok(())
}

/// Reads a stream of events or one document. Which it is shows in its first byte: servers and proxies send each under the
/// other's name.
async fn read_body(
    response: Response<Incoming>,
    reads: &LastRead,
    table: &SharedTable,
    id: RequestId,
) -> Result<(), Failure> {
    let mut body = response.into_body();
    let mut events = SseReader::default();
    let mut document: Option<Vec<u8>> = None;
    let mut opening = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken)?;
        let Some(bytes) = frame.data_ref() else { continue };
        if opening.is_empty() {
            let begins = bytes.trim_ascii_start();
            opening.extend_from_slice(&begins[..begins.len().min(SHOWN)]);
            if opening.starts_with(b"{") {
                document = Some(Vec::new());
            }
        }
        match &mut document {
            Some(document) => document.extend_from_slice(bytes),
            None => events.feed(bytes, |event| take_event(event, reads, table, id))?,
        }
    }
    if let Some(document) = document {
        table.borrow_mut().comes_whole(id);
        return take(&document, reads, table, id);
    }
    events.end(|event| take_event(event, reads, table, id))?;
    if events.had_event() || opening.is_empty() { Ok(()) } else { Err(no_json(&opening)) }
}

fn no_json(data: &[u8]) -> Failure {
    let shown = String::from_utf8_lossy(&data[..data.len().min(SHOWN)]);
    Failure::new(FailureKind::Malformed, format!("not a JSON object: {shown}"))
}

/// Handles one event; gateways end streams as OpenAI's protocol does, and keep connections alive inside data.
fn take_event(
    event: SseEvent<'_>,
    reads: &LastRead,
    table: &SharedTable,
    id: RequestId,
) -> Result<(), Failure> {
    match event.data.trim_ascii() {
        data if event.is_error => {
            Err(Failure::new(FailureKind::ErrorInStream, error_message(data)))
        }
        b"[DONE]" | b"" | b"null" | [b':', ..] => Ok(()),
        data => take(data, reads, table, id),
    }
}

/// Handles one JSON object.
fn take(data: &[u8], reads: &LastRead, table: &SharedTable, id: RequestId) -> Result<(), Failure> {
    match JsonResponse::parse(data) {
        Ok(response) => {
            table.borrow_mut().response(id, reads.get(), &response.reading());
            Ok(())
        }
        Err(Some(message)) => Err(Failure::new(FailureKind::ErrorInStream, message)),
        Err(None) => Err(no_json(data)),
    }
}

/// As [`crate::targets::triton::metadata::query_model`], over HTTP.
///
/// # Errors
/// With the server's message.
pub async fn query_model(options: &TritonOptions) -> Result<ServerFacts, Failure> {
    within(options, async {
        let client = Client::new(options)?;
        let model = model_path(options);
        client.get("/v2/health/ready").await?;
        let server = client.get("/v2").await?;
        let metadata = client.get(&model).await?;
        client.get(&format!("{model}/ready")).await?;
        let config = client.get(&format!("{model}/config")).await?;
        facts_from_json(&server, &metadata, &config)
    })
    .await
}

/// As [`crate::targets::triton::metadata::statistics`], over HTTP.
///
/// # Errors
/// With the server's message.
pub async fn query_statistics(options: &TritonOptions) -> Result<ModelStatisticsResponse, Failure> {
    within(options, async { json(&Client::new(options)?.get("/v2/models/stats").await?) }).await
}

async fn within<T>(
    options: &TritonOptions,
    question: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let limit = options.timeouts.connect;
    tokio::time::timeout(limit, question).await.unwrap_or_else(|_| {
        let message = format!("the server did not answer within {limit:?}");
        Err(Failure::new(FailureKind::Silent, message))
    })
}
