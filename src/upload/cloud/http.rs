//! HTTP of object stores, on the connections and the TLS that every other client here uses.

use std::collections::HashMap;
use std::env;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{HOST, HeaderValue, USER_AGENT};
use http::uri::{PathAndQuery, Scheme, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
};
use rustls::ClientConfig;

use crate::network::connect::{Connector, Via};
use crate::network::proxy::Proxy;
use crate::network::tls::{TlsOptions, client_config};

/// Longest time for a connection; a machine that is no cloud's own has nobody at these addresses.
const CONNECT: Duration = Duration::from_secs(10);
const CONNECT_TO_METADATA: Duration = Duration::from_secs(2);
/// Longest time for an answer, beside that for sending at [`SLOWEST`].
const ANSWER: Duration = Duration::from_secs(30);
/// Bytes per second of the slowest line that is waited for.
const SLOWEST: u64 = 32 << 10;
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Makes the clients of a store.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Or why there is none, which matters where it is needed.
    tls: Result<Arc<ClientConfig>, String>,
}

impl Connections {
    /// Trusts the authorities of a file, or those of the system.
    pub fn new(ca_file: Option<String>) -> Self {
        let options = TlsOptions { ca_file: ca_file.map(PathBuf::from), insecure: false };
        Self { tls: client_config(&options, &[b"http/1.1"]).map_err(|error| error.to_string()) }
    }
}

impl HttpConnector for Connections {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows = options.get_config_value(&ClientConfigKey::AllowHttp);
        Ok(HttpClient::new(Client {
            tls: self.tls.clone(),
            allows_http: allows.as_deref() == Some("true"),
            idle: Mutex::default(),
        }))
    }
}

/// Scheme, host and port.
type Place = (bool, String, u16);

/// Keeps connections for the requests that come.
#[derive(Debug)]
struct Client {
    tls: Result<Arc<ClientConfig>, String>,
    allows_http: bool,
    idle: Mutex<HashMap<Place, Vec<SendRequest<HttpRequestBody>>>>,
}

#[async_trait::async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let sending = request.body().content_length() as u64 / SLOWEST;
        let limit = ANSWER + Duration::from_secs(sending);
        tokio::time::timeout(limit, self.ask(request)).await.unwrap_or_else(|_| {
            let words = format!("no answer within {limit:?}");
            Err(HttpError::new(HttpErrorKind::Timeout, io::Error::other(words)))
        })
    }
}

impl Client {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut head, body) = request.into_parts();
        let place = self.place_of(&head.uri)?;
        if !head.headers.contains_key(HOST) {
            let name = head.uri.authority().map_or("", |authority| authority.as_str());
            let name = HeaderValue::from_str(name).map_err(unknown)?;
            head.headers.insert(HOST, name);
        }
        let agent = concat!("bareflight/", env!("CARGO_PKG_VERSION"));
        head.headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let path = head.uri.path_and_query().cloned();
        head.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        let mut sender = match self.take_idle(&place) {
            Some(sender) => sender,
            None => self.connect(&place).await?,
        };
        let request = http::Request::from_parts(head, body);
        let response = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| HttpError::new_boxed(HttpErrorKind::Interrupted, error))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(place).or_default().push(sender);
        Ok(HttpResponse::from_parts(head, HttpResponseBody::from(body.to_bytes())))
    }

    fn place_of(&self, uri: &Uri) -> Result<Place, HttpError> {
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        if !is_tls && !self.allows_http {
            let words = "an address of plain http:// is not allowed here: write https://, or allow it (AWS_ALLOW_HTTP=true, \
                         GOOGLE_ALLOW_HTTP=true, AZURE_ALLOW_HTTP=true)";
            return Err(unknown(io::Error::other(words)));
        }
        let host = uri.host().unwrap_or_default().to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok((is_tls, host, port))
    }

    fn take_idle(&self, place: &Place) -> Option<SendRequest<HttpRequestBody>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.get_mut(place)?;
        senders.retain(|sender| !sender.is_closed());
        let ready = senders.iter().position(SendRequest::is_ready)?;
        Some(senders.swap_remove(ready))
    }

    async fn connect(&self, place: &Place) -> Result<SendRequest<HttpRequestBody>, HttpError> {
        let (is_tls, host, port) = place;
        let is_metadata = host.starts_with("169.254.") || host.starts_with("metadata.");
        let limit = if is_metadata { CONNECT_TO_METADATA } else { CONNECT };
        let proxy = Proxy::on_the_way_to(host, *is_tls, |name| env::var(name).ok());
        let via = match proxy.map_err(unknown)? {
            // Stores that speak without TLS are near.
            Some(proxy) if *is_tls => Via::Tunnel(Arc::new(proxy)),
            _ => Via::Direct,
        };
        let tls = is_tls.then(|| self.tls.clone()).transpose();
        let tls = tls.map_err(|words| unknown(io::Error::other(words)))?;
        let failed = |failure: crate::request::Failure| {
            HttpError::new(HttpErrorKind::Connect, io::Error::other(failure.message))
        };
        let connector = Connector::through(via, host, *port, tls, limit).map_err(failed)?;
        let stream = connector.connect().await.map_err(failed)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // What goes wrong in it is told by the answer that does not come.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

/// A connection that ends before its answer is tried again by who knows whether that does harm.
fn broken(error: hyper::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
        HttpErrorKind::Request
    } else if error.is_parse() {
        HttpErrorKind::Decode
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error)
}
