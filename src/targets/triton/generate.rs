//! Requests over Triton's HTTP `generate_stream`: one JSON object per event; the end of the body is the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use crate::clock::{Nanos, now};
use crate::network::connect::Connector;
use crate::network::refusal::{error_message, failure_of};
use crate::network::sse::{SseEvent, SseReader};
use crate::network::stamp::LastRead;
use crate::network::unprocessed::{IDLE_RACE, is_unprocessed};
use crate::record::request_record::{ConnectionUse, Opened};
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::bad_answer::{Api, SHOWN, end_of_first};
use crate::targets::triton::connect::connector;
use crate::targets::triton::in_flight_request::Carrier;
use crate::targets::triton::kserve::ModelStatisticsResponse;
use crate::targets::triton::metadata::ServerFacts;
use crate::targets::triton::metadata_json::{facts_from_json, json};
use crate::targets::triton::options::TritonOptions;
use crate::targets::triton::request::RequestTemplate;
use crate::targets::triton::response::JsonResponse;
use crate::targets::triton::session::SharedTable;

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
        let path = path_of(options, template);
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

fn path_of(options: &TritonOptions, template: &RequestTemplate) -> String {
    let call = if template.model_io().decoupled { "generate_stream" } else { "generate" };
    format!("{}/{call}", model_path(options))
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

    /// An idle connection that the server has not closed, as far as is known.
    fn take_idle(&self) -> Option<HttpConnection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if connection.requests.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    async fn open(&self) -> Result<HttpConnection, Failure> {
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
        let mut connection = match self.take_idle() {
            Some(idle) => idle,
            None => self.open().await?,
        };
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
    let idle = client.take_idle();
    let (mut connection, mut was_idle) = match idle {
        Some(idle) => (idle, true),
        None => (client.open().await?, false),
    };
    if !table.borrow_mut().sent(id, now()) {
        return Ok(());
    }
    let mut cost = ConnectionUse::NOTHING;
    let response = loop {
        let request = client.request(Method::POST, path, body.clone())?;
        let sent = now();
        let answer = connection.requests.send_request(request).await;
        if !is_to_be_sent_again(&answer, was_idle, now() - sent) {
            break answer.map_err(broken)?;
        }
        let begun = now();
        (connection, was_idle) = (client.open().await?, false);
        cost.resent += 1;
        cost.opened = Some(Opened::Inside(now() - begun));
        table.borrow_mut().connection_of(id, cost);
    };
    if !response.status().is_success() {
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        return Err(failure_of(head.status, &head.headers, &body));
    }
    Api::Generate.refuse_what_cannot_be_read(response.headers())?;
    let reads = &connection.reads;
    read_body(response, &mut OfRequest { reads, table, id }).await?;
    table.borrow_mut().complete(id, connection.reads.get().at);
    client.idle.borrow_mut().push(connection);
    Ok(())
}

/// Whether the server was closing an idle connection as the request came, and so did not see it. A timeout that comes at
/// once is of the connection: no server waits so short for a request.
fn is_to_be_sent_again(
    answer: &Result<Response<Incoming>, hyper::Error>,
    was_idle: bool,
    after: Nanos,
) -> bool {
    was_idle
        && match answer {
            Err(error) if is_unprocessed(error) => true,
            Err(error) => {
                let is_no_http = error.is_parse() && !error.is_incomplete_message();
                after <= IDLE_RACE && !is_no_http
            }
            Ok(response) => response.status() == StatusCode::REQUEST_TIMEOUT && after <= IDLE_RACE,
        }
}

/// Where the parts of an answer go.
pub(super) trait Reader {
    /// It is one document.
    fn comes_whole(&mut self);
    /// An object, as it was written.
    fn response(&mut self, response: &JsonResponse, written: &[u8]);
}

/// The request of the load that an answer is for.
struct OfRequest<'a> {
    reads: &'a LastRead,
    table: &'a SharedTable,
    id: RequestId,
}

impl Reader for OfRequest<'_> {
    fn comes_whole(&mut self) {
        self.table.borrow_mut().comes_whole(self.id);
    }

    fn response(&mut self, response: &JsonResponse, _written: &[u8]) {
        self.table.borrow_mut().response(self.id, self.reads.get(), &response.reading());
    }
}

/// Reads a stream of events or one document. Which it is shows in its first byte: servers and proxies send each under the
/// other's name.
pub(super) async fn read_body(
    response: Response<Incoming>,
    reader: &mut impl Reader,
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
            match opening.first() {
                Some(b'{') => document = Some(Vec::new()),
                Some(b'<') => return Err(Api::Generate.web_page(&opening)),
                _ => {}
            }
        }
        match &mut document {
            Some(document) => document.extend_from_slice(bytes),
            None => events.feed(bytes, |event| take_event(event, reader))?,
        }
    }
    if let Some(document) = document {
        reader.comes_whole();
        return take(&document, reader);
    }
    events.end(|event| take_event(event, reader))?;
    if events.had_event() { Ok(()) } else { Err(Api::Generate.no_event(&opening)) }
}

/// Handles one event; gateways end streams as OpenAI's protocol does, and keep connections alive inside data.
fn take_event(event: SseEvent<'_>, reader: &mut impl Reader) -> Result<(), Failure> {
    match event.data.trim_ascii() {
        data if event.is_error => {
            Err(Failure::new(FailureKind::ErrorInStream, error_message(data)))
        }
        b"[DONE]" | b"" | b"null" | [b':', ..] => Ok(()),
        data => take(data, reader),
    }
}

/// Handles one JSON object.
fn take(data: &[u8], reader: &mut impl Reader) -> Result<(), Failure> {
    match JsonResponse::parse(data) {
        Ok(response) => {
            reader.response(&response, data);
            Ok(())
        }
        Err(Some(message)) => Err(Failure::new(FailureKind::ErrorInStream, message)),
        Err(None) => Err(Api::Generate.not_json(data, end_of_first(data).unwrap_or(0))),
    }
}

/// Sends one request that is not measured, and reads its answer into `reader`.
///
/// # Errors
/// As a request of the load.
pub(super) async fn ask_once(
    options: &TritonOptions,
    template: &RequestTemplate,
    body: Bytes,
    reader: &mut impl Reader,
) -> Result<(), Failure> {
    let client = Client::new(options)?;
    let mut connection = client.open().await?;
    let request = client.request(Method::POST, &path_of(options, template), body)?;
    let response = connection.requests.send_request(request).await.map_err(broken)?;
    if !response.status().is_success() {
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        return Err(failure_of(head.status, &head.headers, &body));
    }
    Api::Generate.refuse_what_cannot_be_read(response.headers())?;
    read_body(response, reader).await
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
