//! `openai:URL`: an OpenAI-compatible server, through a client that adds as little latency as it can.
//!
//! ```text
//! submit ─► request_body ─► client_thread ─► send_request ─► transport ─► http1 │ http2 ─► network::socket
//!                              │                 └─► response_reader ◄─ chunk ◄─ json ◄─ sse ◄─ framing ◄─┘
//!                              └─► sink
//! ```
//! The kernel stamps each read at the bottom of this chain, and all bytes of a read are parsed before the next read. The
//! tokens of one read are one delivery.

pub mod address;
mod bad_answer;
mod beside_answers;
mod chunk;
mod client_thread;
mod decided;
mod discover;
pub(crate) mod framing;
mod http1;
mod http2;
mod json;
pub mod options;
mod output_text;
mod pattern;
mod probe;
mod remedy;
mod request_body;
mod response_progress;
mod response_reader;
mod running_usage;
mod send_request;
mod session;
mod transport;

use std::sync::Arc;

use crate::load::plan::Shot;
use crate::network::connect::{Connector, Via};
use crate::network::socket::StampKeeper;
use crate::network::tls;
use crate::record::request_record::{StampSource, TokenSource};
use crate::record::sink::Sink;
use crate::request::{Failure, FailureKind, Limits};
use crate::targets::named::Named;
use crate::targets::openai::address::{Address, Origin};
use crate::targets::openai::client_thread::ClientSettings;
use crate::targets::openai::discover::{Model, named_model, only_model};
use crate::targets::openai::probe::{Answer, Question};
use crate::targets::openai::remedy::Remedies;
use crate::targets::openai::request_body::RequestWriter;
use crate::targets::openai::running_usage::RunningUsage;
use crate::targets::openai::session::OpenAiSession;
use crate::targets::openai::transport::Route;
use crate::targets::registry::{Abilities, DefaultPrompts, Kind, ServerProtocol};
use crate::targets::{Session, Target, TargetError, TargetInfo};

pub use options::{
    ConnectionPolicy, CountTokens, Endpoint, HttpVersion, OpenAiOptions, PromptAs, Timeouts,
};

/// `openai:URL`.
pub const KIND: Kind = Kind {
    name: "openai",
    help: "`openai:URL` (OpenAI-compatible server)",
    has_argument: true,
    describe: |name, engine, served| {
        let mut options = served.openai(name.argument)?;
        options.engine_stamps = engine.perf_metrics;
        let target = OpenAiTarget::new(options)?;
        let is_named = served.model.is_some();
        let target = if is_named { target.ask_about_named_model() } else { target };
        Ok(Named::served(target, served))
    },
    abilities: Abilities {
        extra_inputs: true,
        engine_stamps: true,
        server: Some(ServerProtocol::Http),
        prompts: DefaultPrompts::ByEndpoint,
        tells_answers: true,
        ..Abilities::NONE
    },
};

/// An OpenAI-compatible server, not yet opened.
#[derive(Debug)]
pub struct OpenAiTarget {
    options: OpenAiOptions,
    info: TargetInfo,
    route: Arc<Route>,
    writer: RequestWriter,
    remedies: Arc<Remedies>,
    /// What the probe has found of the counts beside the chunks of a stream.
    usage: RunningUsage,
    address: Address,
}

impl OpenAiTarget {
    /// Checks the options, resolves the host, and asks for the model's name where none is given.
    ///
    /// # Errors
    /// When an option makes no sense, the host has no address, or the server cannot say which model it serves.
    pub fn new(mut options: OpenAiOptions) -> Result<Self, TargetError> {
        let address = Address::parse(&options.url, options.endpoint)
            .map_err(|error| unusable("openai", &error))?;
        let name = format!("openai:{}", address.shown());
        let mut writer =
            RequestWriter::new(&options, &address).map_err(|error| unusable(&name, &error))?;
        if let Some(proxy) = options.proxy.as_ref().filter(|_| forwards(&address, &options)) {
            writer.ask_through(proxy, &address);
        }
        let route = Arc::new(route_to(&address, &options, &writer, &name)?);
        let mut found = None;
        if options.model.is_none() {
            let request = writer.get(&address.models_path);
            let model = only_model(Arc::clone(&route), request).map_err(|failure| {
                let failure = Remedies::of(&options).explain(failure);
                let reason = options
                    .api_key
                    .as_ref()
                    .map_or_else(|| failure.message.clone(), |key| key.redact(&failure.message));
                let (kind, path) = (failure.kind, &address.models_path);
                let other = (kind == FailureKind::NotFound)
                    .then(|| right_base(&address, options.endpoint, &writer, &route))
                    .flatten();
                let remedy = other.unwrap_or_else(|| {
                    "is the server up and the URL right? `--model NAME` does without asking".into()
                });
                unusable(
                    &name,
                    &format!(
                        "{path} does not say which model there is ({kind}: {reason}); {remedy}"
                    ),
                )
            })?;
            writer.name_model(model.id.clone());
            options.model = Some(model.id.clone());
            found = Some(model);
        }
        let mut info = describe(name, &address, &options);
        if let Some(model) = found {
            learn(&mut info, &mut writer, &model);
        }
        let remedies = Arc::new(Remedies::of(&options));
        let usage = RunningUsage::default();
        Ok(Self { options, info, route, writer, remedies, usage, address })
    }

    /// Reads the server's facts about the model that the user named, as [`Self::new`] does without a name: its longest
    /// sequence, its vocabulary, and whether it is simulated or has random weights. A server that does not answer within a second is used without
    /// them.
    #[must_use]
    pub fn ask_about_named_model(mut self) -> Self {
        let request = self.writer.get(&self.address.models_path);
        let name = self.options.model.as_deref().unwrap_or_default();
        if let Some(model) = named_model(Arc::clone(&self.route), request, name) {
            learn(&mut self.info, &mut self.writer, &model);
        }
        self
    }
}

impl OpenAiTarget {
    /// Sends a probe that asks for the usage so far in each chunk where that can be asked, and asks for it from then on where it
    /// comes. A server that refuses is asked once more without it, since other servers take the field or pass over it.
    fn ask_for_running_usage(&mut self, shot: &Shot) -> Result<Option<Failure>, TargetError> {
        let is_known_to_take_it = self.writer.asks_for_running_usage();
        if self.writer.may_ask_for_running_usage(shot) {
            self.writer.ask_for_running_usage();
        }
        let mut answer = self.answer_to(shot)?;
        let takes_it = match &answer {
            Answer::Taken { running_usage } => running_usage.unwrap_or(is_known_to_take_it),
            Answer::Failed(_) | Answer::Unknown => is_known_to_take_it,
            Answer::Refused(_) => false,
        };
        if self.writer.asks_for_running_usage() && !takes_it {
            self.writer.leave_out_running_usage();
            let may_be_why = |it: &Failure| {
                is_of_members(it.kind) && !self.remedies.blames_no_usage(&it.message)
            };
            if matches!(&answer, Answer::Refused(failure) if may_be_why(failure)) {
                answer = self.answer_to(shot)?;
            }
        }
        if let Answer::Taken { running_usage: Some(false) } = answer {
            self.usage = RunningUsage::apart();
        }
        self.info.details["continuous_usage_stats"] = self.writer.asks_for_running_usage().into();
        Ok(match answer {
            Answer::Refused(failure) => Some(failure),
            Answer::Taken { .. } | Answer::Failed(_) | Answer::Unknown => None,
        })
    }

    fn answer_to(&self, shot: &Shot) -> Result<Answer, TargetError> {
        let message = self.writer.post(shot);
        let message = message.map_err(|error| unusable(&self.info.name, &error.message))?;
        let max_tokens = shot.request.output.max_tokens;
        let question = Question { message, max_tokens, expects: self.writer.expects(shot) };
        Ok(match probe::answer(&self.route, &question) {
            Answer::Failed(failure) if self.remedies.can_mend(&failure) => Answer::Refused(failure),
            answer => answer,
        })
    }

    /// What to do about a path that the server does not have.
    fn where_it_is(&self) -> String {
        let (endpoint, origin) = (self.options.endpoint, &self.address.origin);
        let others = format!("`--endpoint` ({} was asked for) and `--model`", endpoint.path());
        let given = self.address.base(endpoint);
        if is_there(given, &self.writer, &self.route) {
            return format!("check {others}");
        }
        right_base(&self.address, endpoint, &self.writer, &self.route).unwrap_or_else(|| {
            format!(
                "check the base path, {others}: nothing answers at {origin}{given}/models either"
            )
        })
    }
}

/// Whether a list of models lies behind a base path.
fn is_there(base: &str, writer: &RequestWriter, route: &Arc<Route>) -> bool {
    probe::exists(Arc::clone(route), writer.get(&format!("{base}/models")))
}

/// What to do where another base path than the given one has a list of models.
fn right_base(
    address: &Address,
    endpoint: Endpoint,
    writer: &RequestWriter,
    route: &Arc<Route>,
) -> Option<String> {
    let mut likely = address.likely_bases(endpoint).into_iter();
    let base = likely.find(|base| is_there(base, writer, route))?;
    let origin = &address.origin;
    Some(format!("the base path is wrong: the server answers at `openai:{origin}{base}`"))
}

impl Target for OpenAiTarget {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn probe(&mut self, shot: &Shot) -> Result<(), TargetError> {
        let refused = self.ask_for_running_usage(shot)?;
        let name = &self.info.name;
        let Some(failure) = refused else { return Ok(()) };
        let failure = self.remedies.explain(failure);
        let mut reason = match &self.options.api_key {
            Some(key) => key.redact(&failure.message),
            None => failure.message,
        };
        match failure.kind {
            FailureKind::NotFound => reason = format!("{reason}; {}", self.where_it_is()),
            FailureKind::Connect if self.options.proxy.is_none() => {
                reason.push_str("; is the server up, and the URL right?");
            }
            _ => {}
        }
        Err(TargetError::Refused { name: name.clone(), reason })
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        let Self { options, info, route, writer, remedies, usage, address: _ } = *self;
        let keeper = StampKeeper::start();
        let kernel_stamps = keeper.works();
        sink.set_stamp_source(if kernel_stamps { StampSource::Kernel } else { StampSource::User });
        sink.tokens_come_from(TokenSource::Chunks);
        let settings = ClientSettings {
            takes_engine_stamps: options.engine_stamps && route.connector.is_loopback(),
            route,
            timeouts: options.timeouts,
            tokenizer: options.tokenizer,
            api_key: options.api_key,
            remedies,
            usage,
            kernel_stamps,
        };
        let threads = options.threads.get();
        let session = OpenAiSession::start(writer, &settings, keeper, threads, sink)
            .map_err(|error| unusable(&info.name, &error))?;
        Ok(Box::new(session))
    }
}

/// Whether a failure of this kind may be about a member of the request.
const fn is_of_members(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::HttpClient | FailureKind::HttpServer | FailureKind::ErrorInStream)
}

fn unusable(name: &str, reason: &(impl std::fmt::Display + ?Sized)) -> TargetError {
    TargetError::Unusable { name: name.to_owned(), reason: reason.to_string() }
}

/// A proxy reads plain HTTP/1.1 and passes it on; everything else goes through a tunnel.
fn via(address: &Address, options: &OpenAiOptions) -> Via {
    match &options.proxy {
        None => Via::Direct,
        Some(proxy) if forwards(address, options) => Via::Forward(Arc::new(proxy.clone())),
        Some(proxy) => Via::Tunnel(Arc::new(proxy.clone())),
    }
}

/// Whether the proxy reads requests.
fn forwards(address: &Address, options: &OpenAiOptions) -> bool {
    options.proxy.is_some() && !address.origin.https && options.http != HttpVersion::Http2
}

fn route_to(
    address: &Address,
    options: &OpenAiOptions,
    writer: &RequestWriter,
    name: &str,
) -> Result<Route, TargetError> {
    let alpn: &[&[u8]] = match options.http {
        HttpVersion::Auto => &[b"h2", b"http/1.1"],
        HttpVersion::Http1 => &[b"http/1.1"],
        HttpVersion::Http2 => &[b"h2"],
    };
    let config = if address.origin.https {
        Some(tls::client_config(&options.tls, alpn).map_err(|error| unusable(name, &error))?)
    } else {
        None
    };
    let via = via(address, options);
    let limit = options.timeouts.connect;
    let Origin { https, host, port } = &address.origin;
    let connector = Connector::through(via, host, *port, config, limit)
        .map_err(|failure| unusable(name, &failure.message))?;
    let connector = match options.connection {
        ConnectionPolicy::Pool => connector,
        ConnectionPolicy::Fresh => connector.resolving_each_time(host, *port),
    };
    // Without TLS there is no ALPN, so the HTTP version cannot be negotiated.
    let http = match options.http {
        HttpVersion::Auto if !https => HttpVersion::Http1,
        chosen => chosen,
    };
    Ok(Route {
        connector,
        http,
        policy: options.connection,
        origin: address.origin.to_string(),
        http2_headers: writer.http2_headers(),
    })
}

/// What a server says of its model, and what may be asked of such a server.
fn learn(info: &mut TargetInfo, writer: &mut RequestWriter, model: &Model) {
    if model.takes_running_usage() {
        writer.ask_for_running_usage();
        info.details["continuous_usage_stats"] = true.into();
    }
    info.simulated = model.simulated;
    info.dummy_weights = model.dummy_weights;
    info.limits.max_sequence_tokens = model.longest_sequence();
    info.limits.vocab_size = model.vocab_size;
}

fn describe(name: String, address: &Address, options: &OpenAiOptions) -> TargetInfo {
    let model = options.model.as_deref().unwrap_or("not named");
    let mut details = options.shown();
    details["url"] = address.shown().into();
    details["model"] = options.model.clone().into();
    TargetInfo {
        title: format!(
            "OpenAI-compatible server at {}:{}, model {model}",
            address.origin.host, address.origin.port
        ),
        name,
        kind: "openai".to_owned(),
        simulated: false,
        dummy_weights: false,
        gpus: 0,
        limits: Limits::default(),
        details,
    }
}
