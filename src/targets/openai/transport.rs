//! Choice of the connection of a request: idle, shared or new, in HTTP/1.1 or HTTP/2.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::clock::{Nanos, now};
use crate::network::connect::Connector;
use crate::network::stamp::ReadStamp;
use crate::network::stream::Stream;
use crate::network::unprocessed::{IDLE_RACE, SENT_AGAIN_AT_MOST};
use crate::record::request_record::{ConnectionUse, Opened};
use crate::request::{Failure, FailureKind};
use crate::targets::openai::http1::{BodyState, Http1, NoHead};
use crate::targets::openai::http2::{Http2, Http2Body, NoAnswer, STREAMS_PER_CONNECTION};
use crate::targets::openai::options::{ConnectionPolicy, HttpVersion};
use crate::targets::openai::request_body::Message;

/// Connections that are opened beside each other: a server's queue of new ones is not endless.
const OPENED_AT_ONCE: usize = 64;

/// Settings that all connections to one server share.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where to connect.
    pub connector: Connector,
    /// HTTP version.
    pub http: HttpVersion,
    /// Which connection carries a request.
    pub policy: ConnectionPolicy,
    /// `https://host:port`
    pub origin: String,
    /// Headers of every HTTP/2 request.
    pub http2_headers: HeaderMap,
}

/// The connections of one thread.
#[derive(Debug)]
pub struct Transport {
    route: Arc<Route>,
    idle: RefCell<Vec<Http1>>,
    shared: RefCell<Vec<Http2>>,
    /// Held while a connection that others may share is made, so that a burst does not make one each.
    opening: Mutex<()>,
    /// The negotiated HTTP version, once known.
    chose_http2: Cell<Option<bool>>,
}

/// What a request tells on its way out.
pub struct Way<'a> {
    /// Called right before the first byte is written, or before a connection is opened for it.
    pub leaves: &'a dyn Fn(),
    /// What its connection cost.
    pub cost: &'a Cell<ConnectionUse>,
}

impl Way<'_> {
    fn note_ahead(&self, took: Option<Nanos>) {
        if let Some(took) = took {
            self.note(|cost| cost.opened = Some(Opened::Ahead(took)));
        }
    }

    fn note(&self, change: impl FnOnce(&mut ConnectionUse)) {
        let mut cost = self.cost.get();
        change(&mut cost);
        self.cost.set(cost);
    }
}

fn dropped(message: &str) -> Failure {
    let message = format!(
        "{message} after it had got the request, without a byte of an answer; it may have worked on it, so it is not sent \
         again"
    );
    Failure::new(FailureKind::Disconnected, message)
}

/// The head of a response, and its unread body.
#[derive(Debug)]
pub struct Response {
    /// HTTP status.
    pub status: StatusCode,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// The body, not yet read.
    pub body: ResponseBody,
}

/// A body being read.
#[derive(Debug)]
pub enum ResponseBody {
    /// Alone on its connection.
    Http1(Http1),
    /// One stream of a connection.
    Http2(Box<Http2Body>),
}

impl Transport {
    /// Without any connection yet.
    pub fn new(route: Arc<Route>) -> Self {
        let chose_http2 = Cell::new(match route.http {
            HttpVersion::Auto => None,
            HttpVersion::Http1 => Some(false),
            HttpVersion::Http2 => Some(true),
        });
        let (idle, shared) = (RefCell::default(), RefCell::default());
        Self { route, idle, shared, opening: Mutex::new(()), chose_http2 }
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// When no connection can be made, or the one that carries it breaks.
    pub async fn ask(&self, message: &Message, way: &Way<'_>) -> Result<Response, Failure> {
        if self.chose_http2.get() == Some(true) {
            return self.ask_http2(message, way).await;
        }
        if let Some(response) = self.ask_over_idle(message, way).await? {
            return Ok(response);
        }
        (way.leaves)();
        let unsettled = self.chose_http2.get().is_none();
        let one_at_a_time = if unsettled { Some(self.opening.lock().await) } else { None };
        if self.chose_http2.get() == Some(true) {
            drop(one_at_a_time);
            return self.ask_http2(message, way).await;
        }
        let stream = self.connect(way).await?;
        if self.settle(&stream) {
            let connection = self.share(stream).await?;
            drop(one_at_a_time);
            return self.ask_http2_first_over(connection, message, way).await;
        }
        drop(one_at_a_time);
        let mut connection = Http1::new(stream);
        match connection.ask(&message.wire).await {
            Ok((status, headers)) => {
                Ok(Response { status, headers, body: ResponseBody::Http1(connection) })
            }
            Err(NoHead::Failed(failure)) => Err(failure),
            Err(NoHead::IdleRace(message) | NoHead::Dropped(message)) => {
                let hint = if self.route.origin.starts_with("http:") {
                    " (a port that speaks TLS closes so too: is it https://?)"
                } else {
                    ""
                };
                let message = format!("before an answer: {message}{hint}");
                Err(Failure::new(FailureKind::Disconnected, message))
            }
        }
    }

    /// Opens as many connections as so many requests in flight need, before they come. Where one cannot be made, the request
    /// that finds none makes its own, and tells why it cannot.
    pub async fn open_ahead(&self, in_flight: usize) {
        if self.route.policy == ConnectionPolicy::Fresh {
            return;
        }
        self.idle.borrow_mut().retain(Http1::is_quiet);
        self.shared.borrow_mut().retain(|connection| !connection.is_closed());
        self.idle.borrow_mut().iter_mut().for_each(Http1::tell_again);
        self.shared.borrow().iter().for_each(Http2::tell_again);
        loop {
            let at_once = if self.chose_http2.get().is_none() { 1 } else { OPENED_AT_ONCE };
            let count = self.missing(in_flight).min(at_once);
            if count == 0 || !self.open_some(count).await {
                return;
            }
        }
    }

    /// Connections that so many requests in flight still lack.
    fn missing(&self, in_flight: usize) -> usize {
        let (needed, there) = if self.chose_http2.get() == Some(true) {
            (in_flight.div_ceil(STREAMS_PER_CONNECTION as usize), self.shared.borrow().len())
        } else {
            (in_flight, self.idle.borrow().len())
        };
        needed.saturating_sub(there)
    }

    /// Opens so many connections beside each other; whether all could be made.
    async fn open_some(&self, count: usize) -> bool {
        let mut opening = JoinSet::new();
        for _ in 0..count {
            let route = Arc::clone(&self.route);
            opening.spawn_local(async move {
                let begun = now();
                let stream = route.connector.connect().await;
                // Nobody waits for it here, so the name counts too.
                (stream, Nanos((now() - begun).0 + route.connector.lookup().0))
            });
        }
        let mut all = true;
        while let Some(ended) = opening.join_next().await {
            match ended {
                Ok((Ok(stream), took)) => all &= self.keep(stream, took).await,
                Ok((Err(_), _)) | Err(_) => all = false,
            }
        }
        all
    }

    async fn keep(&self, stream: Stream, took: Nanos) -> bool {
        if !self.settle(&stream) {
            self.idle.borrow_mut().push(Http1::ahead(stream, took));
            return true;
        }
        let shared = self.share(stream).await;
        if let Ok(connection) = &shared {
            connection.opened_ahead(took);
        }
        shared.is_ok()
    }

    /// Opens a connection for one request.
    async fn connect(&self, way: &Way<'_>) -> Result<Stream, Failure> {
        let begun = now();
        let stream = self.route.connector.connect().await?;
        way.note(|cost| cost.opened = Some(Opened::Inside(now() - begun)));
        Ok(stream)
    }

    /// Sends over an idle connection, if one is left that the server has not closed. If the server was closing that one at
    /// the same moment, the caller opens a new one. A server that may have worked on the request has failed it: asking
    /// again unasked would double its load (RFC 9110, 9.2.2).
    async fn ask_over_idle(
        &self,
        message: &Message,
        way: &Way<'_>,
    ) -> Result<Option<Response>, Failure> {
        let Some(mut connection) = self.take_idle() else { return Ok(None) };
        (way.leaves)();
        way.note_ahead(connection.tell_opened());
        match connection.ask(&message.wire).await {
            Ok((status, headers)) if !connection.is_word_of_parting(status) => {
                Ok(Some(Response { status, headers, body: ResponseBody::Http1(connection) }))
            }
            Ok(_) | Err(NoHead::IdleRace(_)) => {
                way.note(|cost| cost.resent += 1);
                Ok(None)
            }
            Err(NoHead::Dropped(message)) => Err(dropped(&message)),
            Err(NoHead::Failed(failure)) => Err(failure),
        }
    }

    fn take_idle(&self) -> Option<Http1> {
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    async fn ask_http2(&self, message: &Message, way: &Way<'_>) -> Result<Response, Failure> {
        (way.leaves)();
        let Some(connection) = self.take_shared() else {
            let connection = self.open_shared(way).await?;
            return self.ask_http2_first_over(connection, message, way).await;
        };
        way.note_ahead(connection.tell_opened());
        let begun = now();
        let refused = match self.ask_over(connection.clone(), message).await {
            Ok(response) => return Ok(response),
            Err(refused) => refused,
        };
        // As with an idle connection of HTTP/1.1: it was going away as the request came.
        let is_race = now() - begun <= IDLE_RACE && connection.goes_away().await;
        if !is_race && !refused.is_unprocessed {
            return Err(refused.failure);
        }
        way.note(|cost| cost.resent += 1);
        let connection = self.open_shared(way).await?;
        self.ask_http2_first_over(connection, message, way).await
    }

    /// Sends over this connection, and over others as long as the server says that it did not process the request.
    async fn ask_http2_first_over(
        &self,
        mut connection: Http2,
        message: &Message,
        way: &Way<'_>,
    ) -> Result<Response, Failure> {
        loop {
            match self.ask_over(connection.clone(), message).await {
                Err(no) if no.is_unprocessed && way.cost.get().resent < SENT_AGAIN_AT_MOST => {
                    way.note(|cost| cost.resent += 1);
                    // A connection that ends says so here, and is not taken again.
                    let _is_known_to_end = connection.goes_away().await;
                }
                answer => return answer.map_err(|no| no.failure),
            }
            connection = self.open_shared(way).await?;
        }
    }

    fn take_shared(&self) -> Option<Http2> {
        if self.route.policy == ConnectionPolicy::Fresh {
            return None;
        }
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.is_closed());
        shared.iter().find(|connection| connection.has_room()).cloned()
    }

    async fn open_shared(&self, way: &Way<'_>) -> Result<Http2, Failure> {
        let _one_at_a_time = match self.route.policy {
            ConnectionPolicy::Pool => Some(self.opening.lock().await),
            ConnectionPolicy::Fresh => None,
        };
        match self.take_shared() {
            Some(opened_meanwhile) => Ok(opened_meanwhile),
            None => self.share(self.connect(way).await?).await,
        }
    }

    async fn share(&self, stream: Stream) -> Result<Http2, Failure> {
        let connection = Http2::start(stream).await?;
        if self.route.policy == ConnectionPolicy::Pool {
            self.shared.borrow_mut().push(connection.clone());
        }
        Ok(connection)
    }

    fn settle(&self, stream: &Stream) -> bool {
        let http2 = self.chose_http2.get().unwrap_or_else(|| stream.settled_on_http2());
        self.chose_http2.set(Some(http2));
        http2
    }

    async fn ask_over(&self, connection: Http2, message: &Message) -> Result<Response, NoAnswer> {
        let mut request = Request::new(Full::new(message.wire.slice(message.body_at..)));
        *request.method_mut() = message.method.clone();
        *request.uri_mut() =
            format!("{}{}", self.route.origin, message.path).parse().map_err(|error| {
                let message = format!("no URL of a request: {error}");
                let failure = Failure::new(FailureKind::Refused, message);
                NoAnswer { failure, is_unprocessed: false }
            })?;
        request.headers_mut().clone_from(&self.route.http2_headers);
        let (status, headers, body) = connection.ask(request).await?;
        Ok(Response { status, headers, body: ResponseBody::Http2(Box::new(body)) })
    }

    /// Takes back the connection of a response, and keeps it if it can be reused.
    pub fn give_back(&self, body: ResponseBody) {
        if let ResponseBody::Http1(connection) = body
            && self.route.policy == ConnectionPolicy::Pool
            && connection.is_reusable()
        {
            self.idle.borrow_mut().push(connection);
        }
    }
}

/// State of a body after one read.
#[derive(Debug)]
pub enum Step {
    /// More is to come.
    Open,
    /// The body has ended.
    Done,
    /// The connection broke, with this message.
    Broken(String),
}

impl From<BodyState> for Step {
    fn from(state: BodyState) -> Self {
        match state {
            BodyState::Open => Self::Open,
            BodyState::Done => Self::Done,
        }
    }
}

impl ResponseBody {
    /// When the bytes handed out last had arrived.
    #[inline]
    pub fn stamp(&self) -> ReadStamp {
        match self {
            Self::Http1(connection) => connection.stamp(),
            Self::Http2(body) => body.stamp(),
        }
    }

    /// Whether all of it has been read.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.has_ended(),
            Self::Http2(body) => body.has_ended(),
        }
    }

    /// The first token has come, or none is expected: reads may now cover several packets.
    #[inline]
    pub fn read_freely(&mut self) {
        match self {
            Self::Http1(connection) => connection.read_freely(),
            // Its frames come from a reader that all streams of a connection share.
            Self::Http2(_) => {}
        }
    }

    /// Passes what has arrived to `take`, after waiting for it if necessary. The bytes of one read are passed in one call,
    /// and [`Self::stamp`] is then their stamp.
    ///
    /// # Errors
    /// When the bytes break the framing, and what `take` returns.
    #[inline]
    pub async fn step(
        &mut self,
        is_first: bool,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Step, Failure> {
        match self {
            Self::Http1(connection) => {
                // The first bytes of a body may have come in the read that brought its head.
                if !is_first && let Err(message) = connection.read_body().await {
                    return Ok(Step::Broken(message));
                }
                connection.drain_body(take).map(Step::from)
            }
            Self::Http2(body) => match body.read_and_drain(&mut take).await {
                Ok(state) => state.map(Step::from),
                Err(message) => Ok(Step::Broken(message)),
            },
        }
    }

    /// Reads to the end, at most `limit` bytes.
    ///
    /// # Errors
    /// When the connection breaks before, or there is more.
    pub async fn read_whole(&mut self, limit: usize) -> Result<Vec<u8>, Failure> {
        self.read_freely();
        let mut whole = Vec::new();
        let mut is_first = true;
        loop {
            let step = self.step(is_first, |part| {
                whole.extend_from_slice(part);
                if whole.len() <= limit {
                    return Ok(());
                }
                let message = format!("the answer is longer than {limit} bytes");
                Err(Failure::new(FailureKind::Malformed, message))
            });
            is_first = false;
            match step.await? {
                Step::Open => {}
                Step::Done => return Ok(whole),
                Step::Broken(message) => {
                    return Err(Failure::new(FailureKind::Disconnected, message));
                }
            }
        }
    }
}
